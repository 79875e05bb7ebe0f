"""Means of a path's points beside its ends, and accuracy along it under attack."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from morsescape.experiments.connect.put_to_use import Used
from morsescape.figures.style import BLUE, GREEN, GREY, ORANGE, PINK, VERMILLION, dress, once_each
from morsescape.paths.uses import Score

_MARKS = {"ends": (GREY, "o"), "mean of weights": (BLUE, "s"), "mean of outputs": (ORANGE, "D")}
_COLOURS = (BLUE, VERMILLION, ORANGE, GREEN, PINK, "black")


def means_axes(used: Sequence[Used], ax: Axes) -> Axes:
    """A line for each path, a mark for each network: its error, or its loss without labels.

    On test images where there are some.
    """
    rows = [(u.method, u.means.test or u.means.train) for u in used if u.means is not None]
    tested = any(u.means is not None and u.means.test is not None for u in used)
    for place, (_, scores) in enumerate(rows):
        for name, score in (
            ("ends", scores.first), ("ends", scores.last), ("mean of weights", scores.average),
            ("mean of outputs", scores.ensemble),
        ):  # fmt: skip
            if score is not None:
                colour, mark = _MARKS[name]
                ax.plot(_shown(score), -place, mark, color=colour, label=name, ms=6, alpha=0.9)
    labelled = bool(rows) and rows[0][1].first.accuracy is not None
    what = "error (%)" if labelled else "loss"
    dress(ax, f"{what}, {'test' if tested else 'training'} data", "")
    ax.set_yticks([-k for k in range(len(rows))], [name for name, _ in rows])
    ax.set_ylim(0.6 - len(rows), 0.6)
    ax.set_xlim(left=min(0.0, ax.get_xlim()[0]))
    ax.legend(*once_each(ax), fontsize=8, frameon=False)
    return ax


def attack_axes(used: Sequence[Used], ax: Axes) -> Axes:
    """Accuracy over t: of the images as they are, dashed, and under attack."""
    for k, one in enumerate(used):
        if (found := one.attacked) is None:
            continue
        colour = _COLOURS[k % len(_COLOURS)]
        percent = [[100 * share for share in shares] for shares in (found.clean, found.attacked)]
        ax.plot(found.t, percent[0], "--", color=colour, lw=0.9, label=f"{one.method}")
        ax.plot(found.t, percent[1], ".-", color=colour, lw=1.2, label=f"{one.method}, attacked")
    images = next((u.attacked.images for u in used if u.attacked is not None), "")
    dress(ax, "t along the curve", f"accuracy (%), {images} images")
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 100)
    ax.legend(fontsize=8, frameon=False)
    return ax


def _shown(score: Score) -> float:
    return score.loss if score.accuracy is None else 100 * (1 - score.accuracy)
