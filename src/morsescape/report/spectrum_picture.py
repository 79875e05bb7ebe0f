"""The picture of one spectrum: its histograms, and both its ends split in two parts."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from morsescape.experiments.spectrum import SpectrumResult
from morsescape.figures.spectrum import spectrum_panels
from morsescape.figures.split import split_ranks
from morsescape.report.points import point_name
from morsescape.spectrum.split import Direction


def spectrum_picture(result: SpectrumResult) -> Figure:
    """Both histograms with bulk, outliers and gap marked; below them both ends split in two parts.

    Example:
        >>> from morsescape.experiments import PointSettings, SpectrumSettings, run_spectrum
        >>> result = run_spectrum(SpectrumSettings(PointSettings(at="random", samples=30)))
        >>> len(spectrum_picture(result).axes)
        4
    """
    split = result.split
    ends = [(part, n) for part, n in ((split.top, result.outliers), (split.bottom, 0)) if part]
    figure = Figure(figsize=(7.2, 6.4 if ends else 3.6), layout="constrained")
    heights = (1.15, 1) if ends else (1,)
    upper, *lower = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    _draw_histograms(result, *upper.subplots(1, 2, sharey=True))
    for part in lower:
        axes = part.subplots(1, len(ends), squeeze=False)[0]
        for (end, outliers), ax in zip(ends, axes, strict=True):
            _draw_ranks(end, ax, outliers)
    upper.suptitle(
        f"{point_name(result.settings.point)}: {result.inertia.dim:,} parameters, loss "
        f"{result.loss:.3g}, |grad f| = {result.inertia.grad_norm:.1e}",
        fontsize=9,
    )
    return figure


def _draw_histograms(result: SpectrumResult, left: Axes, right: Axes) -> None:
    counted, gaps = result.inertia, result.gaps
    names = ("negative", "null", "positive")
    spectrum_panels(
        left,
        right,
        result.eigenvalues,
        counted.radius,
        intervals={name: getattr(counted, name) for name in names},
        outliers=result.outliers,
        gap=(gaps[0].lower, gaps[0].upper) if gaps else None,
    )


def _draw_ranks(part: Sequence[Direction], ax: Axes, outliers: int) -> None:
    split_ranks(
        [one.eigenvalue for one in part],
        [one.gauss_newton for one in part],
        [one.rest for one in part],
        ax,
        outliers=outliers,
    )
