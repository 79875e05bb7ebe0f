"""The heights of paths, the plane in which the lowest of them bends, and what they are good for."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from morsescape.errors import ArgumentError
from morsescape.experiments.connect.study import ConnectResult
from morsescape.experiments.connect.uses_figure import attack_axes, means_axes
from morsescape.figures import heights_figure, plane_figure
from morsescape.paths import Path

_SECONDS = 20.0  # about so long may the contours take
_GRID = (9, 31)


def connect_figure(result: ConnectResult) -> Figure:
    """Heights; where the lowest path bends, contours of f around it; then what was asked for."""
    panels = list(_panels(result))
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    size = (10.0 if columns == 2 else 5.6, 3.8 * rows)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for draw, axes in zip(panels, grid, strict=False):
        draw(axes)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    return figure


def _panels(result: ConnectResult) -> Iterator[Callable[[Axes], object]]:
    path = result.path
    yield lambda ax: heights_figure([(w.method, w.height) for w in result.ways], ax, log=True)
    if path is not None and path.f is not None and path.method != "line":
        yield lambda ax: _plane(path, ax)
    if result.settings.uses:
        yield lambda ax: means_axes(result.used, ax)
    if result.settings.attack:
        yield lambda ax: attack_axes(result.used, ax)


def _plane(path: Path, ax: Axes) -> None:
    assert path.f is not None
    try:
        plane_figure(path.f, path.curve, ax, grid=_grid(path))
    except ArgumentError:  # a path that is straight after all
        ax.set_axis_off()


def _grid(path: Path) -> int:
    """Points on a side, as many as there is time for."""
    assert path.f is not None
    start = time.perf_counter()
    path.f.value(path(0.5))
    each = time.perf_counter() - start
    return max(_GRID[0], min(_GRID[1], int(math.sqrt(_SECONDS / max(each, 1e-9)))))
