"""Published beside measured, by width."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from morsescape.errors import ArgumentError
from morsescape.experiments.papers.published import Beside
from morsescape.figures.style import BLUE, GREY, dress, own_axes

_APART = 0.08  # of the distance between two rows


def beside_figure(rows: Sequence[Beside], x: str, y: str, ax: Axes | None = None) -> Axes:
    """A dot with its interval for what is published, and one for what is measured, in each row.

    Raises:
        ArgumentError: no rows.

    Example:
        >>> row = Beside(8, (0.26, 0.12, 0.4), (0.32, 0.11, 0.54))
        >>> [text.get_text() for text in beside_figure([row], "w", "rise").get_legend().get_texts()]
        ['published', 'measured']
    """
    if not rows:
        raise ArgumentError("rows", expected="one or more", got="none", cure="measure one first")
    ax = own_axes(ax, 4.0, 2.4)
    for label, colour, shift in (("published", GREY, -_APART), ("measured", BLUE, _APART)):
        found = [(place, getattr(row, label)) for place, row in enumerate(rows)]
        known = [(place + shift, *values) for place, values in found if values is not None]
        if known:
            places, values, lows, highs = zip(*known, strict=True)
            reach = [
                [v - low for v, low in zip(values, lows, strict=True)],
                [high - v for v, high in zip(values, highs, strict=True)],
            ]
            ax.errorbar(
                places, values, yerr=reach, fmt="o", ms=4, color=colour, lw=1.2, label=label
            )
    ax.set_xticks(range(len(rows)), [str(row.width) for row in rows])
    ax.set_xlim(-0.5, len(rows) - 0.5)
    dress(ax, x, y)
    ax.legend(fontsize=8, frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return ax
