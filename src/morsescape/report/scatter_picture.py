"""The picture of one ensemble: where its solutions lie, and how far apart they are."""

from __future__ import annotations

from matplotlib.figure import Figure

from morsescape.experiments.scatter import ScatterResult
from morsescape.figures.scatter import distance_histogram, scatter_plane


def scatter_figure(result: ScatterResult, *, title: str = "") -> Figure:
    """The plane of `scatter` beside the histogram of distances, in the width of a page.

    Without two solutions that are not dead there is no histogram.
    """
    wide = result.before is not None
    figure = Figure(figsize=(7.2 if wide else 4.4, 3.3), layout="constrained")
    left, *others = figure.subplots(1, 2 if wide else 1, squeeze=False)[0]
    plane = result.plane
    scatter_plane(plane.coordinates, result.loss, result.dead, left, shares=plane.shares)
    if result.before is not None and result.after is not None:
        distance_histogram(result.before.relative, result.after.relative, others[0])
    if title:
        figure.suptitle(title, fontsize=9)
    return figure
