"""Numbers of negative eigenvalues side by side: naive, published, certified."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from morsescape.errors import ArgumentError
from morsescape.figures.style import BLUE, ORANGE, PINK, VERMILLION, count_axis, once_each, own_axes
from morsescape.page.svg import words_at


@dataclass(frozen=True)
class CountRow:
    """One line of `index_bars`: a setting and the numbers of negative eigenvalues claimed for it.

    Attributes:
        label: the setting.
        certified: the interval that is proved, or the hull of those of several runs.
        published, float32, float64: (mean, standard deviation or None); None draws nothing.
        bound: structural upper bound; None draws nothing.
    """

    label: str
    certified: tuple[int, int]
    published: tuple[float, float | None] | None = None
    float32: tuple[float, float | None] | None = None
    float64: tuple[float, float | None] | None = None
    bound: int | None = None


def index_bars(rows: Sequence[CountRow], ax: Axes | None = None) -> Axes:
    """Naive, published and certified numbers of negative eigenvalues on one log axis.

    Each row is a setting. The structural bound is a line that no index can pass.

    Args:
        rows: from top to bottom.
        ax: where to draw; None makes a figure that fits the rows.

    Raises:
        ArgumentError: no rows.

    Example:
        >>> ax = index_bars([CountRow("cnn, mnist", (18, 20), (232.9, 2.88), bound=52)])
        >>> [label.get_text() for label in ax.get_yticklabels()]
        ['cnn, mnist']
    """
    if not rows:
        raise ArgumentError("rows", expected="at least one", got="none", cure="pass a CountRow")
    ax = own_axes(ax, 7.2, 1.5 + 0.55 * len(rows))
    for place, row in enumerate(rows):
        _draw_row(ax, row, float(-place))
    count_axis(ax, [row.label for row in rows], 0.0, max(_largest(row) for row in rows))
    ax.set_xlabel("number of negative Hessian eigenvalues", fontsize=9)
    ax.grid(axis="x", lw=0.4, color="0.85")
    ax.legend(
        *once_each(ax), loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, fontsize=8
    )
    return ax


def _draw_row(ax: Axes, row: CountRow, place: float) -> None:
    if row.bound is not None:
        ax.plot([row.bound] * 2, [place - 0.35, place + 0.35], color=VERMILLION, lw=2)
        ax.plot(
            row.bound, place, color=VERMILLION, ls="none", marker="|", ms=11, mew=2,
            label="structural bound",
        )  # fmt: skip
    low, high = row.certified
    (bar,) = ax.plot([low, high], [place] * 2, color=BLUE, lw=5, solid_capstyle="butt")
    words_at(bar, [f"{row.label}: proved {low:,}" + (f" to {high:,}" if high > low else "")])
    ax.plot(
        [low, high], [place] * 2, color=BLUE, ls="none", marker="|", ms=11, mew=2.5,
        label="certified interval",
    )  # fmt: skip
    for value, name, marker, colour, shift in (
        (row.float32, "naive, float32", "s", PINK, 0.12),
        (row.float64, "naive, float64", "D", ORANGE, -0.12),
        (row.published, "published", "x", "black", 0.0),
    ):
        if value is not None:
            dot, *_ = ax.errorbar(
                value[0], place + shift, xerr=value[1] or None, color=colour, marker=marker, ms=5,
                ls="none", elinewidth=1.2, label=name,
            )  # fmt: skip
            words_at(dot, [f"{row.label}: {name} {value[0]:,.4g}"])


def _largest(row: CountRow) -> float:
    """The largest number of the row, which decides where the axis ends."""
    claims = (row.published, row.float32, row.float64)
    ends = [value[0] + (value[1] or 0) for value in claims if value is not None]
    return float(max(*ends, row.certified[1], row.bound or 1, 1))
