"""The heights of paths, and the plane in which the lowest of them bends."""

from __future__ import annotations

import math
import time

from matplotlib.figure import Figure

from morsescape.errors import ArgumentError
from morsescape.experiments.connect.study import ConnectResult
from morsescape.figures import heights_figure, plane_figure
from morsescape.paths import Path

_SECONDS = 20.0  # about so long may the contours take
_GRID = (9, 31)


def connect_figure(result: ConnectResult) -> Figure:
    """Heights on the left; on the right, where the lowest path bends, contours of f around it."""
    path = result.path
    bent = path is not None and path.f is not None and path.method != "line"
    figure = Figure(figsize=(10.0 if bent else 5.6, 3.8), layout="constrained")
    axes = figure.subplots(1, 2 if bent else 1, squeeze=False)[0]
    heights_figure([(w.method, w.height) for w in result.ways], axes[0], log=True)
    if bent and path is not None and path.f is not None:
        try:
            plane_figure(path.f, path.curve, axes[1], grid=_grid(path))
        except ArgumentError:  # a path that is straight after all
            axes[1].set_axis_off()
    return figure


def _grid(path: Path) -> int:
    """Points on a side, as many as there is time for."""
    assert path.f is not None
    start = time.perf_counter()
    path.f.value(path(0.5))
    each = time.perf_counter() - start
    return max(_GRID[0], min(_GRID[1], int(math.sqrt(_SECONDS / max(each, 1e-9)))))
