"""Separable points with the line that regression finds, and how every descent comes to it."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from morsescape.errors import ArgumentError
from morsescape.figures.common import BLUE, GREY, ORANGE, VERMILLION

_SMALLEST = 1e-17  # a distance of exactly zero has no place on a log axis


def separating_line(
    x: np.ndarray,
    y: np.ndarray,
    theta: np.ndarray,
    ax: Axes | None = None,
    *,
    first: np.ndarray | None = None,
    last: np.ndarray | None = None,
) -> Axes:
    """Points by class and the line w·x + b = 0.

    Args:
        x: points, shape (N, 2).
        y: their classes, ±1, shape (N,).
        theta: (w, b) of the line, shape (3,).
        ax: where to draw; None makes a figure.
        first: lines to draw faintly, shape (k, 3): where descents started.
        last: lines to draw dotted over the line, shape (k, 3): where they ended.

    Raises:
        ArgumentError: points that are not in the plane.

    Example:
        >>> ax = separating_line(np.eye(2), np.array([1.0, -1.0]), np.array([1.0, -1.0, 0.0]))
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['class +1', 'class -1', 'least squares']
    """
    if x.ndim != 2 or x.shape[1] != 2 or len(x) != len(y):
        raise ArgumentError(
            "x", expected="points (N, 2) with a class for each",
            got=f"shapes {x.shape} and {y.shape}", cure="only points of the plane can be drawn",
        )  # fmt: skip
    if ax is None:
        ax = Figure(figsize=(3.4, 3.4), layout="constrained").subplots()
    for sign, colour, marker in ((1, BLUE, "o"), (-1, VERMILLION, "s")):
        own = x[y == sign]
        ax.plot(
            *own.T, ls="none", marker=marker, ms=4, mew=0, color=colour, label=f"class {sign:+d}"
        )
    for k, line in enumerate(() if first is None else first):
        _draw_line(ax, line, color=GREY, lw=0.7, alpha=0.6, label="" if k else "starts")
    _draw_line(ax, theta, color="black", lw=1.8, label="least squares")
    for k, line in enumerate(() if last is None else last):
        _draw_line(ax, line, color=ORANGE, lw=1.8, ls=":", label="" if k else "ends, all alike")
    reach = 1.08 * float(np.abs(x).max())
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    _dress(ax, "x₁", "x₂")
    return ax


def descent_curves(
    steps: np.ndarray,
    distances: np.ndarray,
    ax: Axes | None = None,
    *,
    colour: str = BLUE,
    label: str = "",
) -> Axes:
    """The distance of each descent from where it should end, on log axes.

    Args:
        steps: at which the distances were taken, shape (k,); step 0 is drawn at ½.
        distances: one row for each start, shape (starts, k).
        ax: where to draw; None makes a figure.
        colour: of all curves.
        label: for the legend.

    Raises:
        ArgumentError: distances whose columns are not the steps.

    Example:
        >>> ax = descent_curves(np.array([0, 10]), np.array([[1.0, 1e-9]]), label="one")
        >>> ax.get_xscale(), ax.get_yscale()
        ('log', 'log')
    """
    if distances.ndim != 2 or distances.shape[1] != len(steps):
        raise ArgumentError(
            "distances", expected=f"shape (starts, {len(steps)})", got=distances.shape,
            cure="pass a distance for every start and step",
        )  # fmt: skip
    if ax is None:
        ax = Figure(figsize=(4.2, 3.2), layout="constrained").subplots()
    for k, row in enumerate(distances):
        ax.loglog(
            np.maximum(steps, 0.5), np.maximum(row, _SMALLEST), color=colour, lw=0.8, alpha=0.7,
            label="" if k else label,
        )  # fmt: skip
    _dress(ax, "steps", "distance from the least-squares solution")
    return ax


def _draw_line(ax: Axes, theta: np.ndarray, **style: object) -> None:
    """w·x + b = 0 through its point nearest to the origin; nothing where w = 0."""
    w, b = theta[:2], theta[2]
    if not (size := float(w @ w)):
        return
    near = -b * w / size
    ax.axline(near, near + np.array([-w[1], w[0]]), **style)  # type: ignore[arg-type]


def _dress(ax: Axes, x: str, y: str) -> None:
    ax.set_xlabel(x, fontsize=9)
    ax.set_ylabel(y, fontsize=9)
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=8)
    if ax.get_legend_handles_labels()[1]:
        ax.legend(fontsize=7.5, frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
