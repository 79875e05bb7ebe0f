"""One setting counted in many ways: a dot for each way, beside the published number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from matplotlib.axes import Axes

from morsescape.errors import ArgumentError
from morsescape.figures.style import BLUE, GREY, ORANGE, VERMILLION, count_axis, once_each, own_axes

# Kind of protocol by kind, in the order in which they are given.
_STYLES = (("o", GREY, 0.1), ("D", ORANGE, -0.1))


@dataclass(frozen=True)
class ProtocolRow:
    """One line of `protocol_dots`: a setting and the numbers counted for it.

    Attributes:
        label: the setting.
        counts: numbers counted, by kind of protocol; two kinds at most.
        published: (mean, standard deviation); None draws nothing.
        closest: what the closest protocol counts; None draws nothing.
        bound: structural upper bound; None draws nothing.
    """

    label: str
    counts: Mapping[str, Sequence[float]] = field(default_factory=dict)
    published: tuple[float, float] | None = None
    closest: float | None = None
    bound: int | None = None


def protocol_dots(rows: Sequence[ProtocolRow], ax: Axes | None = None) -> Axes:
    """The counts of all protocols for each setting on a log axis.

    Args:
        rows: from top to bottom.
        ax: where to draw; None makes a figure that fits the rows.

    Raises:
        ArgumentError: no rows, or more kinds of protocol than there are marks.

    Example:
        >>> row = ProtocolRow("cnn", {"cross-entropy": [26.0, 40.0]}, (232.9, 2.88), 40.0, 52)
        >>> ax = protocol_dots([row])
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['structural bound', 'cross-entropy', 'closest protocol', 'published, ± 2 sd']
    """
    _check(rows)
    ax = own_axes(ax, 6.4, 1.4 + 0.38 * len(rows))
    kinds = tuple(dict.fromkeys(kind for row in rows for kind in row.counts))
    for place, row in enumerate(rows):
        _draw_row(ax, row, kinds, float(-place))
    _dress(ax, rows)
    return ax


def _check(rows: Sequence[ProtocolRow]) -> None:
    kinds = {kind for row in rows for kind in row.counts}
    if not rows or len(kinds) > len(_STYLES):
        raise ArgumentError(
            "rows",
            expected=f"at least one, with {len(_STYLES)} kinds of protocol at most",
            got=f"{len(rows)} rows with {len(kinds)} kinds",
            cure="pass a ProtocolRow for each setting",
        )


def _draw_row(ax: Axes, row: ProtocolRow, kinds: Sequence[str], place: float) -> None:
    if row.bound is not None:
        ax.plot(
            row.bound, place, color=VERMILLION, ls="none", marker="|", ms=17, mew=2,
            label="structural bound",
        )  # fmt: skip
    for kind, (marker, colour, shift) in zip(kinds, _STYLES, strict=False):
        counts = row.counts.get(kind, ())
        ax.plot(
            counts, [place + shift] * len(counts), ls="none", marker=marker, ms=4.5, color=colour,
            alpha=0.55, mew=0, label=kind,
        )  # fmt: skip
    if row.closest is not None:
        ax.plot(
            row.closest, place, ls="none", marker="o", ms=9, mew=1.6, color=BLUE, mfc="none",
            label="closest protocol",
        )  # fmt: skip
    if row.published is not None:
        mean, sd = row.published
        ax.errorbar(
            mean, place, xerr=2 * sd, color="black", marker="x", ms=6, ls="none", elinewidth=1.2,
            label="published, ± 2 sd",
        )  # fmt: skip


def _dress(ax: Axes, rows: Sequence[ProtocolRow]) -> None:
    """Axes, ticks, and one legend entry for each kind of mark."""
    count_axis(ax, [row.label for row in rows], *_ends(rows))
    ax.set_xlabel("number of negative Hessian eigenvalues, as counted", fontsize=9)
    ax.grid(axis="both", lw=0.4, color="0.85")
    # Flush right: the names of the settings leave room on the left.
    ax.legend(
        *once_each(ax), loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False,
        fontsize=8, columnspacing=1.2, handletextpad=0.4,
    )  # fmt: skip


def _ends(rows: Sequence[ProtocolRow]) -> tuple[float, float]:
    """The smallest and the largest number shown, which decide where the axis ends."""
    shown = [count for row in rows for counts in row.counts.values() for count in counts]
    for row in rows:
        shown += [float(value) for value in (row.bound, row.closest) if value is not None]
        if row.published is not None:
            mean, sd = row.published
            shown += [max(0.0, mean - 2 * sd), mean + 2 * sd]
    return min(shown, default=0.0), max(shown, default=1.0)
