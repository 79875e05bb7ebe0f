"""What the figures have in common: colours, axes of their own, and how axes are dressed."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe & Ito: colours that colour-blind readers can tell apart.
VERMILLION, BLUE, GREY, PINK, ORANGE = "#D55E00", "#0072B2", "#999999", "#CC79A7", "#E69F00"


def own_axes(ax: Axes | None, width: float, height: float) -> Axes:
    """`ax`, or the axes of a new figure of this size, in inches."""
    return ax or Figure(figsize=(width, height), layout="constrained").subplots()


def dress(ax: Axes, x: str, y: str) -> None:
    """Name the axes, in the sizes of a page."""
    ax.set_xlabel(x, fontsize=9)
    ax.set_ylabel(y, fontsize=9)
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=8)
