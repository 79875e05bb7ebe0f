"""The index of f = L + λ‖θ‖² as a function of λ."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from morsescape.errors import ArgumentError
from morsescape.figures.style import BLUE, ORANGE, dress, own_axes

_TICKS = 5


def ridge_curve(
    starts: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    ax: Axes | None = None,
    *,
    gap: tuple[float, float] | None = None,
    at: tuple[float, int] | None = None,
) -> Axes:
    """The proved interval for the index over λ, linear from 0 to the first step, then log.

    Args:
        starts: the λ at which each step begins, ascending from 0.
        low: lower end of the interval on each step.
        high: upper end.
        ax: where to draw; None makes a figure.
        gap: (below, above), a range of λ to shade.
        at: (λ, index) to mark.

    Raises:
        ArgumentError: no steps, or ends of other lengths.

    Example:
        >>> ax = ridge_curve(np.array([0.0, 0.5]), np.array([1, 0]), np.array([1, 0]))
        >>> ax.get_xlabel()
        'λ of L + λ‖θ‖²'
    """
    if len(starts) == 0 or not len(starts) == len(low) == len(high):
        raise ArgumentError(
            "steps", expected="at least one, each with both ends of its interval",
            got=f"{len(starts)}, with {len(low)} and {len(high)} ends", cure="pass curve.steps()",
        )  # fmt: skip
    ax = own_axes(ax, 4.8, 3.2)
    first = float(starts[1]) if len(starts) > 1 else 1.0
    end = 10 * max(float(starts[-1]), first)
    # The last step goes on for ever; one decade of it is shown.
    starts, low, high = np.append(starts, end), np.append(low, low[-1]), np.append(high, high[-1])
    ax.fill_between(starts, low, high, step="post", color=BLUE, alpha=0.3, lw=0, label="undecided")
    for line in (low, high):
        ax.step(starts, line, where="post", color=BLUE, lw=1.1)
    if gap is not None:
        ax.axvspan(gap[0], min(gap[1], end), color=ORANGE, alpha=0.3, lw=0, label="widest gap")
    if at is not None:
        place = max(at[0], 0.0)
        ax.plot(place, at[1], marker="o", ms=4.5, color="black", ls="none", label="λ to take")
    _dress(ax, first, end, int(high.max()))
    return ax


def _dress(ax: Axes, first: float, end: float, most: int) -> None:
    ax.set_xscale("symlog", linthresh=first, linscale=0.4)
    ax.set_xlim(0, end)
    # Nearer than this to the first step, a label would touch that of zero.
    lowest, highest = math.ceil(math.log10(first) + 0.7), math.floor(math.log10(end))
    every = max(1, math.ceil((highest - lowest + 1) / _TICKS))
    powers = [10.0**n for n in range(highest, lowest - 1, -every)]
    ax.xaxis.set_major_locator(FixedLocator([0.0, *powers[::-1]]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(
        FuncFormatter(lambda x, _: "0" if x == 0 else rf"$10^{{{round(math.log10(x))}}}$")
    )
    ax.set_ylim(-0.04 * max(most, 1), 1.08 * max(most, 1))
    dress(ax, "λ of L + λ‖θ‖²", "index")
