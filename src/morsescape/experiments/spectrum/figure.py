"""The picture of one spectrum: its histograms, and both its ends split in two parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from morsescape.errors import ArgumentError
from morsescape.experiments.point import point_name
from morsescape.experiments.spectrum.study import SpectrumResult
from morsescape.figures.histogram import spectrum_histogram, spectrum_panels
from morsescape.figures.style import BLUE, GREY, VERMILLION, dress, own_axes
from morsescape.page.svg import words_at
from morsescape.spectrum.split import Direction

Numbers = Sequence[float] | np.ndarray


def spectrum_picture(result: SpectrumResult) -> Figure:
    """Both histograms with bulk, outliers and gap marked; below them both ends split in two parts.

    Example:
        >>> from morsescape.experiments import PointSettings, SpectrumSettings, run_spectrum
        >>> result = run_spectrum(SpectrumSettings(PointSettings(at="random", samples=30)))
        >>> len(spectrum_picture(result).axes)
        4
    """
    split = result.split
    ends = [(part, n) for part, n in ((split.top, result.outliers), (split.bottom, 0)) if part]
    figure = Figure(figsize=(7.2, 6.4 if ends else 3.6), layout="constrained")
    heights = (1.15, 1) if ends else (1,)
    upper, *lower = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    _draw_histograms(result, *upper.subplots(1, 2, sharey=True))
    for part in lower:
        axes = part.subplots(1, len(ends), squeeze=False)[0]
        for (end, outliers), ax in zip(ends, axes, strict=True):
            _draw_ranks(end, ax, outliers)
    upper.suptitle(
        f"{point_name(result.settings.point)}: {result.inertia.dim:,} parameters, loss "
        f"{result.loss:.3g}, |grad f| = {result.inertia.grad_norm:.1e}",
        fontsize=9,
    )
    return figure


def spectrum_parts(result: SpectrumResult) -> tuple[Figure, ...]:
    """The symlog histogram and the ends, each a figure of its own, for a page.

    Example:
        >>> from morsescape.experiments import PointSettings, SpectrumSettings, run_spectrum
        >>> result = run_spectrum(SpectrumSettings(PointSettings(at="random", samples=30)))
        >>> len(spectrum_parts(result))
        3
    """
    ends = [(part, n) for part, n in ((result.split.top, result.outliers),
                                      (result.split.bottom, 0)) if part]  # fmt: skip
    figures = [Figure(figsize=(3.9, 3.2), layout="constrained") for _ in range(1 + len(ends))]
    first, *others = figures
    spectrum_histogram(result.eigenvalues, result.inertia.radius, first.subplots(),
                       **_marks(result))  # fmt: skip
    for (end, outliers), figure in zip(ends, others, strict=True):
        _draw_ranks(end, figure.subplots(), outliers)
    return tuple(figures)


def _marks(result: SpectrumResult) -> dict[str, Any]:
    """What the histograms mark."""
    gaps, names = result.gaps, ("negative", "null", "positive")
    return {
        "intervals": {name: getattr(result.inertia, name) for name in names},
        "outliers": result.outliers,
        "gap": (gaps[0].lower, gaps[0].upper) if gaps else None,
    }


def _draw_histograms(result: SpectrumResult, left: Axes, right: Axes) -> None:
    spectrum_panels(left, right, result.eigenvalues, result.inertia.radius, **_marks(result))


def _draw_ranks(part: Sequence[Direction], ax: Axes, outliers: int) -> None:
    split_ranks(
        [one.eigenvalue for one in part],
        [one.gauss_newton for one in part],
        [one.rest for one in part],
        ax,
        outliers=outliers,
    )


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
    ax = own_axes(ax, 4.8, 3.2)
    ranks = np.arange(1, len(values) + 1)
    (line,) = ax.plot(ranks, np.abs(values), color="black", marker="_", ms=9, mew=1.6, lw=0,
                      label="eigenvalue λ")  # fmt: skip
    each = zip(ranks, values, *parts, strict=True)
    words_at(line, [f"number {k}: λ = {a:.4g} = {g:.4g} (Gauss-Newton) + {r:.4g} (rest)"
                    for k, a, g, r in each])  # fmt: skip
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
    dress(ax, f"rank, from the {end}", "size" if sign > 0 else "size (all λ < 0)")
    ax.tick_params(which="minor", labelsize=8)
    ax.legend(
        fontsize=7.5, frameon=False, ncols=2, handlelength=1.2, loc="lower left",
        bbox_to_anchor=(0, 1), borderaxespad=0.2,
    )  # fmt: skip
