"""Proved critical points: over contours of f in the plane, and by their index elsewhere."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.axes import Axes

from morsescape.complete.census import CriticalSet
from morsescape.figures.style import BLUE, ORANGE, PINK, VERMILLION, dress, once_each, own_axes
from morsescape.page.svg import words_at

_COLOURS = (BLUE, VERMILLION, ORANGE, PINK)
_GRID = 61


def critical_set_figure(found: CriticalSet, ax: Axes | None = None) -> Axes:
    """Points by index; with two variables in the plane, over contours of f where f is there.

    Example:
        >>> import morsescape as ms
        >>> f = ms.Objective.from_function(lambda t: (t[0] ** 2 - 1) ** 2 + t[1] ** 2, 2)
        >>> ax = critical_set_figure(ms.all_critical_points(f, box=2.0))
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['index 0: 2', 'index 1: 1']
    """
    ax = own_axes(ax, 4.4, 3.6)
    flat = found.box.shape[1] == 2
    if flat and found.f is not None:
        _contours(ax, found)
    for index, count in enumerate(found.counts):
        own = [point for point in found.points if point.index == index]
        if not own:
            continue
        x = [float(p.theta[0]) if flat else float(p.index) for p in own]
        y = [float(p.theta[1]) if flat else p.value[1] for p in own]
        (dots,) = ax.plot(x, y, "o", ms=5.5, mec="white", mew=0.7,
                          color=_COLOURS[index % len(_COLOURS)],
                          label=f"index {index}: {count}")  # fmt: skip
        words_at(dots, [f"index {index}, proved: f = {p.value[1]:.8g}" for p in own])
    dress(ax, *(("θ₁", "θ₂") if flat else ("index", "f")))
    if found.points:
        ax.legend(
            *once_each(ax), fontsize=8, frameon=False, ncols=3, loc="lower left",
            bbox_to_anchor=(0, 1), borderaxespad=0.2,
        )  # fmt: skip
    return ax


def _contours(ax: Axes, found: CriticalSet) -> None:
    """Even in log(f - min f), so that the bottoms of valleys are seen too."""
    assert found.f is not None
    low, high = found.box.tolist()
    x, y = (np.linspace(low[k], high[k], _GRID) for k in (0, 1))
    height = np.array([[found.f.value(torch.tensor([a, b])) for a in x] for b in y])
    rise = np.log1p(height - np.nanmin(height))
    if np.isfinite(rise).all() and np.ptp(rise) > 0:
        ax.contour(x, y, rise, levels=12, colors="#999999", linewidths=0.6)
