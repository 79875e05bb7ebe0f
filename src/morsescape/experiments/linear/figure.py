"""Separable points with the line that regression finds, and how every descent comes to it."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from morsescape.figures.style import BLUE, GREY, ORANGE, VERMILLION, dress

_SMALLEST = 1e-17  # a distance of exactly zero has no place on a log axis


def separating_line(
    ax: Axes, x: np.ndarray, y: np.ndarray, theta: np.ndarray, first: np.ndarray, last: np.ndarray
) -> None:
    """Points x (N, 2) by class y = ±1, and lines w·x + b = 0 of θ = (w, b).

    The line of theta is drawn over those at which descents began, `first` (k, 3), faint, and under
    those where they ended, `last`, dotted.
    """
    for sign, colour, marker in ((1, BLUE, "o"), (-1, VERMILLION, "s")):
        label = f"class {sign:+d}"
        ax.plot(*x[y == sign].T, ls="none", marker=marker, ms=4, mew=0, color=colour, label=label)
    for k, line in enumerate(first):
        _draw_line(ax, line, color=GREY, lw=0.7, alpha=0.6, label="" if k else "starts")
    _draw_line(ax, theta, color="black", lw=1.8, label="least squares")
    for k, line in enumerate(last):
        _draw_line(ax, line, color=ORANGE, lw=1.8, ls=":", label="" if k else "ends, all alike")
    reach = 1.08 * float(np.abs(x).max())
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    _dress(ax, "x₁", "x₂")


def descent_curves(
    ax: Axes, steps: np.ndarray, distances: np.ndarray, colour: str = BLUE, label: str = ""
) -> None:
    """The distance (starts, k) of each descent after so many steps (k,), on log axes.

    Step 0 is drawn at ½.
    """
    for k, row in enumerate(distances):
        ax.loglog(
            np.maximum(steps, 0.5), np.maximum(row, _SMALLEST), color=colour, lw=0.8, alpha=0.7,
            label="" if k else label,
        )  # fmt: skip
    _dress(ax, "steps", "distance from the least-squares solution")


def _draw_line(ax: Axes, theta: np.ndarray, **style: object) -> None:
    """w·x + b = 0 through its point nearest to the origin; nothing where w = 0."""
    w, b = theta[:2], theta[2]
    if size := float(w @ w):
        near = -b * w / size
        ax.axline(near, near + np.array([-w[1], w[0]]), **style)  # type: ignore[arg-type]


def _dress(ax: Axes, x: str, y: str) -> None:
    dress(ax, x, y)
    if ax.get_legend_handles_labels()[1]:
        ax.legend(fontsize=7.5, frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
