"""What the figures have in common: colours, axes of their own, and how axes are dressed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter

# Okabe & Ito: colours that colour-blind readers can tell apart.
VERMILLION, BLUE, GREY, PINK, ORANGE = "#D55E00", "#0072B2", "#999999", "#CC79A7", "#E69F00"
GREEN = "#009E73"


def own_axes(ax: Axes | None, width: float, height: float) -> Axes:
    """`ax`, or the axes of a new figure of this size, in inches."""
    if ax is not None:
        return ax
    return Figure(figsize=(width, height), layout="constrained").subplots()


def dress(ax: Axes, x: str, y: str) -> None:
    """Name the axes, in the sizes of a page."""
    ax.set_xlabel(x, fontsize=9)
    ax.set_ylabel(y, fontsize=9)
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=8)


def count_axis(ax: Axes, labels: Sequence[str], least: float, most: float) -> None:
    """Counts from left to right, log but for zero, and a line for each label from top to bottom."""
    ax.set_xscale("symlog", linthresh=1, linscale=0.4)
    ax.set_xlim(0.7 * least if least >= 1 else -0.15, 1.6 * most)
    ax.xaxis.set_major_locator(FixedLocator([0, 1, 10, 100, 1000, 10_000, 100_000]))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    ax.set_yticks([-place for place in range(len(labels))], list(labels))
    ax.set_ylim(0.6 - len(labels), 0.6)
    ax.tick_params(labelsize=8.5)
    ax.tick_params(axis="y", length=0)
    ax.set_axisbelow(True)
    ax.spines[["top", "right", "left"]].set_visible(False)


def once_each(ax: Axes) -> tuple[list[Any], list[str]]:
    """The entries of a legend, each label once, however often it was drawn."""
    handles, labels = ax.get_legend_handles_labels()
    by_label = dict(zip(labels, handles, strict=True))
    return list(by_label.values()), list(by_label)
