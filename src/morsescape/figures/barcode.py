"""The barcode of sublevel sets: a line for each class of homology, from birth to death."""

from __future__ import annotations

import math

from matplotlib.axes import Axes

from morsescape.complete.homology import Bar, Barcode
from morsescape.figures.style import (
    BLUE,
    GREY,
    ORANGE,
    PINK,
    VERMILLION,
    dress,
    once_each,
    own_axes,
)

_COLOURS = (BLUE, VERMILLION, ORANGE, PINK)
_SHOWN = 40  # bars of each degree


def barcode_figure(code: Barcode, ax: Axes | None = None) -> Axes:
    """Bars over ε, degree by degree, the longest first: thick where proved of M_ε, thin elsewhere.

    Bars that live on at the highest level end in an arrow. Of each degree the 40 longest are drawn.

    Source:
        Carlsson, Zomorodian, Collins & Guibas, Persistence barcodes for shapes (2005).

    Example:
        >>> from morsescape.complete.homology import Bar, Barcode
        >>> code = Barcode((Bar(0, 0.0, 2.0, (0.1, 1.9)),), ((-1.0, 1.0),), (9,), None, 0.1)
        >>> barcode_figure(code).get_xlabel()
        'ε'
    """
    chosen: list[Bar] = []
    for k in range(len(code.box)):
        chosen += [bar for bar in code.bars if bar.degree == k][:_SHOWN]
    ends = [x for bar in code.bars for x in (bar.birth, bar.death) if math.isfinite(x)]
    top = max(ends, default=0.0) if code.level is None else code.level
    right = top + 0.06 * ((top - min(ends, default=0.0)) or 1.0)
    ax = own_axes(ax, 5.6, max(1.8, min(8.0, 0.8 + 0.14 * len(chosen))))
    for row, bar in enumerate(chosen):
        colour = _COLOURS[bar.degree]
        end = min(bar.death, right)
        ax.plot([bar.birth, end], [-row, -row], color=colour, lw=1.0, label=f"H{bar.degree}")
        if bar.death == math.inf:
            ax.plot([end], [-row], ">", color=colour, ms=4)
        if bar.sure:
            ax.plot([bar.sure[0], min(bar.sure[1], right)], [-row, -row], color=colour, lw=4,
                    solid_capstyle="butt", label=f"H{bar.degree}, proved")  # fmt: skip
    dress(ax, "ε", "")
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    if code.estimate:
        ax.set_title("an estimate", fontsize=9, color=GREY)
    ax.legend(*once_each(ax), fontsize=8, frameon=False)
    return ax
