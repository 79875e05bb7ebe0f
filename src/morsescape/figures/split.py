"""Extreme eigenvalues by rank, with what the two parts of the Hessian contribute to each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from morsescape.errors import ArgumentError
from morsescape.figures.common import BLUE, GREY, VERMILLION

Numbers = Sequence[float] | np.ndarray


def split_ranks(
    eigenvalues: Numbers,
    gauss_newton: Numbers,
    rest: Numbers,
    ax: Axes | None = None,
    *,
    outliers: int = 0,
) -> Axes:
    """|λ| by rank on a log axis, beside |vᵀGv| and |vᵀRv|, where λ = vᵀGv + vᵀRv.

    Filled marks have the sign of λ, hollow ones the other.

    Args:
        eigenvalues: from the extreme one inwards, all of one sign.
        gauss_newton: vᵀGv of each.
        rest: vᵀRv of each.
        ax: where to draw; None makes a figure.
        outliers: a line is drawn after so many; 0 draws none.

    Raises:
        ArgumentError: no eigenvalues, or other numbers of parts.

    Example:
        >>> ax = split_ranks([9.0, 8.0], [8.9, 8.1], [0.1, -0.1], outliers=1)
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['eigenvalue λ', 'Gauss-Newton part', 'residual part', '1 outlier']
    """
    values, parts = np.asarray(eigenvalues), (np.asarray(gauss_newton), np.asarray(rest))
    if len(values) == 0 or any(len(part) != len(values) for part in parts):
        raise ArgumentError(
            "eigenvalues", expected="at least one, and two parts of each",
            got=f"{len(values)}, with {len(parts[0])} and {len(parts[1])} parts",
            cure="draw nothing where no eigenvalue was split",
        )  # fmt: skip
    if ax is None:
        ax = Figure(figsize=(4.8, 3.2), layout="constrained").subplots()
    ranks = np.arange(1, len(values) + 1)
    ax.plot(ranks, np.abs(values), color="black", marker="_", ms=9, mew=1.6, lw=0.6,
            label="eigenvalue λ")  # fmt: skip
    sign = 1.0 if values[0] > 0 else -1.0
    for part, marker, colour, name in (
        (parts[0], "s", BLUE, "Gauss-Newton part"), (parts[1], "^", VERMILLION, "residual part")
    ):  # fmt: skip
        _draw_part(ax, ranks, sign * part, marker, colour, name)
    if outliers:
        word = "outlier" if outliers == 1 else "outliers"
        ax.axvline(outliers + 0.5, color=GREY, lw=1.2, ls="--", label=f"{outliers} {word}")
    _dress(ax, sign)
    return ax


def _draw_part(
    ax: Axes, ranks: np.ndarray, part: np.ndarray, marker: str, colour: str, name: str
) -> None:
    """Against λ hollow. What is exactly zero has no place on a log axis."""
    for holds, face, label in ((part > 0, colour, name), (part < 0, "none", "_" + name)):
        ax.plot(
            ranks[holds], np.abs(part[holds]), ls="none", marker=marker, ms=4.5, mec=colour,
            mfc=face, label=label,
        )  # fmt: skip


def _dress(ax: Axes, sign: float) -> None:
    ax.set_yscale("log")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    end = "largest" if sign > 0 else "most negative"
    ax.set_xlabel(f"rank, from the {end}", fontsize=9)
    ax.set_ylabel("size" if sign > 0 else "size (all λ < 0)", fontsize=9)
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(which="both", labelsize=8)
    ax.legend(
        fontsize=7.5, frameon=False, ncols=2, handlelength=1.2, loc="lower left",
        bbox_to_anchor=(0, 1), borderaxespad=0.2,
    )  # fmt: skip
