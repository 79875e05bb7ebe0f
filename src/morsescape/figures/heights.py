"""The loss along paths, with what is proved of it drawn as a band."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from morsescape.errors import ArgumentError
from morsescape.figures.style import BLUE, GREEN, GREY, ORANGE, PINK, VERMILLION, dress, own_axes
from morsescape.page.readable import rounded_up
from morsescape.page.svg import words_at
from morsescape.paths import Height

_COLOURS = (BLUE, VERMILLION, ORANGE, GREY, GREEN, PINK, "#F0E442", "black")


def heights_figure(
    heights: Sequence[tuple[str, Height]], ax: Axes | None = None, *, log: bool = False
) -> Axes:
    """F along curves: samples as points, the bounds above them as steps, the band between filled.

    Args:
        heights: (name, height) of each curve.
        ax: where to draw; None makes a figure.
        log: a logarithmic axis of f, for heights that are orders of magnitude apart.

    Raises:
        ArgumentError: no heights.

    Example:
        >>> import torch, morsescape as ms
        >>> f = ms.Objective.from_function(lambda t: (t[0] ** 2 - 1) ** 2, 1)
        >>> ends = (torch.tensor([x]).double() for x in (-1.0, 1.0))
        >>> ax = heights_figure([("line", ms.connect(f, *ends).height)])
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['line: at most 1.01']
    """
    if not heights:
        raise ArgumentError("heights", expected="one or more", got="none", cure="pass some")
    ax = own_axes(ax, 5.6, 3.6)
    for k, (name, height) in enumerate(heights):
        _band(ax, name, height, _COLOURS[k % len(_COLOURS)])
    dress(ax, "t along the curve", "f")
    if log:
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        ax.yaxis.set_minor_locator(NullLocator())
    ax.set_xlim(0, 1)
    ax.legend(fontsize=8, frameon=False)
    return ax


def _band(ax: Axes, name: str, height: Height, colour: str) -> None:
    ends = (0.0, height.ends[0][0]), (1.0, height.ends[1][0])
    t, low = np.array(sorted({*height.samples, *ends})).T
    most = (
        f"about {height.high:.3g}" if height.estimate else f"at most {rounded_up(height.high, 3)}"
    )
    ax.plot(t, low, lw=0.8, color=colour)
    (dots,) = ax.plot(t, low, ".", ms=2.5, color=colour, label=f"{name}: {most}")
    words_at(dots, [f"{name}, t = {x:.4g}: f = {y:.6g}" for x, y in zip(t, low, strict=True)])
    if height.bounds:
        edges = np.array([b[0] for b in height.bounds] + [1.0])
        upper = np.array([b[2] for b in height.bounds])
        ax.stairs(upper, edges, baseline=None, color=colour, lw=0.6, alpha=0.7)
        middle = np.interp((edges[:-1] + edges[1:]) / 2, t, low)
        ax.fill_between(edges, np.append(middle, middle[-1]), np.append(upper, upper[-1]),
                        step="post", color=colour, alpha=0.15, lw=0)  # fmt: skip
