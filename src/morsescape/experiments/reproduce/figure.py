"""How flat it is where training stops, and at proved critical points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from morsescape.errors import ArgumentError
from morsescape.figures.style import BLUE, GREY, VERMILLION, dress, own_axes
from morsescape.page.svg import words_at

_LEAST = 1e-18  # where a gradient that is zero is drawn
_ROWS = ("training stops", "minima", "passes")


@dataclass(frozen=True)
class Gradient:
    """A point: what it is, |grad f| there, and its index where that is proved."""

    name: str
    norm: float
    index: int | None


def gradients_figure(points: Sequence[Gradient], ax: Axes | None = None) -> Axes:
    """|grad f| on a log axis, a row for each kind of point.

    Raises:
        ArgumentError: no points.

    Example:
        >>> ax = gradients_figure([Gradient("seed 0", 0.1, None), Gradient("minimum", 1e-15, 0)])
        >>> [label.get_text() for label in ax.get_yticklabels()]
        ['training stops', 'minima']
    """
    if not points:
        raise ArgumentError("points", expected="one or more", got="none", cure="pass some")
    ax = own_axes(ax, 4.0, 1.75)
    kinds = [k for k in (None, 0, 1) if any(point.index == k for point in points)]
    for row, kind in enumerate(kinds):
        own = [point for point in points if point.index == kind]
        colour = GREY if kind is None else (BLUE, VERMILLION)[kind]
        norms = [max(point.norm, _LEAST) for point in own]
        # Beside each other, where several are equally flat.
        places = [0.1 * (k % 5 - 2) - row if len(own) > 1 else -row for k in range(len(own))]
        (dots,) = ax.plot(norms, places, "o", ms=5, color=colour, mec="white", mew=0.6)
        sure = "not critical" if kind is None else f"critical point of index {kind}, proved"
        words_at(dots, [f"{point.name}: |grad f| = {point.norm:.2g}; {sure}" for point in own])
    names = [_ROWS[0 if kind is None else kind + 1] for kind in kinds]
    ax.set_xscale("log")
    ax.set_yticks([-row for row in range(len(kinds))], names)
    ax.set_ylim(0.5 - len(kinds), 0.5)
    dress(ax, "slope |grad f|", "")
    ax.tick_params(axis="y", length=0, labelsize=9)
    ax.spines["left"].set_visible(False)
    ax.margins(x=0.06)
    return ax
