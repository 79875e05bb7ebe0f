"""Histograms of Hessian eigenvalues."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from torch import Tensor

from morsescape.errors import ArgumentError
from morsescape.figures.style import BLUE, GREY, ORANGE, VERMILLION, dress, own_axes
from morsescape.page.readable import rounded_up
from morsescape.page.svg import words_at

Interval = tuple[int, int]
Values = Tensor | np.ndarray | Sequence[float]

NEGATIVE, UNDECIDED, POSITIVE, GAP = VERMILLION, GREY, BLUE, ORANGE
_BINS = 60
_PER_DECADE = 5


def spectrum_histogram(
    eigenvalues: Values,
    radius: float,
    ax: Axes | None = None,
    *,
    intervals: Mapping[str, Interval] | None = None,
    outliers: int = 0,
    gap: tuple[float, float] | None = None,
) -> Axes:
    """Histogram of the eigenvalues on a symlog axis, linear only inside the undecided band.

    Bars have equal widths in log |λ|; the band |λ| ≤ `radius`, where signs are not proved, is one
    shaded bar. Counts are on a log axis.

    Args:
        eigenvalues: shape (D,), in any order.
        radius: bound on the distance of each from the true one, > 0 to draw a band.
        ax: where to draw; None makes a figure.
        intervals: "negative", "null" and "positive" as proved, for the legend; None takes what
            the radius says.
        outliers: how many of the largest to mark.
        gap: (lower, upper) between bulk and outliers; the bulk is everything below it.

    Raises:
        ArgumentError: no eigenvalues, or some that are not finite.

    Example:
        >>> ax = spectrum_histogram([-0.1, 1e-12, 2.0, 30.0], radius=1e-9)
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['negative: 1', 'undecided: 1', 'positive: 2', 'sign not proved: |λ| ≤ 1.0e-09']
    """
    values, ax = _checked(eigenvalues), own_axes(ax, 4.8, 3.2)
    band = _band(values, radius)
    edges = _symlog_edges(values, band)
    ax.axvspan(-band, band, color=UNDECIDED, alpha=0.25, lw=0)
    _draw_bars(ax, values, edges, band, (-band, band))
    ax.set_xscale("symlog", linthresh=band, linscale=0.5)
    _symlog_ticks(ax, band, float(edges[0]), float(edges[-1]))
    margin = 10 ** (1 / _PER_DECADE)
    ax.set_xlim(edges[0] * margin, edges[-1] * margin)
    marks = [*_mark(ax, values, edges, outliers), *_mark_gap(ax, values, gap)]
    _finish(ax, values, radius, intervals, marks)
    return ax


def spectrum_linear(
    eigenvalues: Values,
    radius: float,
    ax: Axes | None = None,
    *,
    intervals: Mapping[str, Interval] | None = None,
    outliers: int = 0,
    gap: tuple[float, float] | None = None,
) -> Axes:
    """Histogram of the eigenvalues on a linear axis, counts on a log axis.

    Arguments and errors as `spectrum_histogram`. On this scale the undecided band is thinner than a
    line; its bar is drawn half as wide as the others.

    Example:
        >>> ax = spectrum_linear([-0.1, 1e-12, 2.0, 30.0], radius=1e-9, outliers=1)
        >>> ax.get_xlabel()
        'eigenvalue of the Hessian'
    """
    values, ax = _checked(eigenvalues), own_axes(ax, 4.8, 3.2)
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    width = (high - low or 1.0) / _BINS
    # Zero is an edge, so that no bar has both signs.
    edges = width * np.arange(math.floor(low / width), math.ceil(high / width) + 2)
    _draw_bars(ax, values, edges, _band(values, radius), (-width / 4, width / 4))
    marks = [*_mark(ax, values, edges, outliers), *_mark_gap(ax, values, gap)]
    _finish(ax, values, radius, intervals, marks)
    return ax


def spectrum_figure(
    eigenvalues: Values,
    radius: float,
    *,
    intervals: Mapping[str, Interval] | None = None,
    outliers: int = 0,
    gap: tuple[float, float] | None = None,
    title: str = "",
) -> Figure:
    """Both histograms side by side, linear and symlog, in the width of a page.

    Example:
        >>> len(spectrum_figure([-0.1, 1e-12, 2.0, 30.0], 1e-9).axes)
        2
    """
    figure = Figure(figsize=(7.2, 3.3), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    spectrum_panels(
        left, right, eigenvalues, radius, intervals=intervals, outliers=outliers, gap=gap
    )
    if title:
        figure.suptitle(title, fontsize=9)
    return figure


def spectrum_panels(
    left: Axes,
    right: Axes,
    eigenvalues: Values,
    radius: float,
    *,
    intervals: Mapping[str, Interval] | None = None,
    outliers: int = 0,
    gap: tuple[float, float] | None = None,
) -> None:
    """Both histograms in the axes given, with one legend below their figure."""
    marks: dict[str, Any] = {"intervals": intervals, "outliers": outliers, "gap": gap}
    spectrum_linear(eigenvalues, radius, left, **marks)
    spectrum_histogram(eigenvalues, radius, right, **marks)
    legends = [legend for ax in (left, right) if (legend := ax.get_legend()) is not None]
    entries = [artist for artist in legends[-1].legend_handles if artist is not None]
    for legend in legends:
        legend.remove()
    # One below both, instead of the same one twice; a second row rather than a wider figure.
    left.figure.legend(
        handles=entries, loc="outside lower center", ncols=min(4, len(entries)), fontsize=7.5,
        frameon=False, handlelength=1.2, columnspacing=1.4,
    )  # fmt: skip
    right.set_ylabel("")


# -- inside ---------------------------------------------------------------------------------------


def _checked(eigenvalues: Values) -> np.ndarray:
    values = np.asarray(eigenvalues, dtype=np.float64)
    if values.ndim != 1 or values.size == 0 or not np.isfinite(values).all():
        raise ArgumentError(
            "eigenvalues",
            expected="finite numbers, at least one",
            got=f"shape {values.shape}, {int((~np.isfinite(values)).sum())} not finite",
            cure="a Hessian with nan or inf has no spectrum to draw",
        )
    return values


def _band(values: np.ndarray, radius: float) -> float:
    """Half the width of the band; a radius of 0 or infinity leaves the rounding of the drawing."""
    largest = float(np.abs(values).max()) or 1.0
    return radius if 0 < radius < largest else largest * (1e-16 if radius == 0 else 1.0)


def _symlog_edges(values: np.ndarray, band: float) -> np.ndarray:
    """Edges with equal ratios outside the band, the band itself, and the same on the other side."""
    sides = []
    for sign in (-1, 1):
        reach = max(float((sign * values).max()), 10 * band)
        count = max(2, math.ceil(_PER_DECADE * math.log10(reach / band)) + 1)
        sides.append(band * 10 ** (np.arange(count) / _PER_DECADE))
    return np.concatenate([-sides[0][::-1], sides[1]])


def _draw_bars(
    ax: Axes, values: np.ndarray, edges: np.ndarray, band: float, middle: tuple[float, float]
) -> None:
    """Bars by sign; those that are undecided as one bar over `middle`, beside, not on top."""
    for colour, part in ((NEGATIVE, values < -band), (POSITIVE, values > band)):
        counts, _ = np.histogram(values[part], edges)
        there = np.flatnonzero(counts)
        bars = ax.bar(
            edges[there], counts[there], np.diff(edges)[there], align="edge", color=colour,
            edgecolor="white", linewidth=0.3,
        )  # fmt: skip
        for bar, k in zip(bars, there, strict=True):
            words_at(bar, [f"{counts[k]:,} from {edges[k]:.3g} to {edges[k + 1]:.3g}"])
    undecided = int((np.abs(values) <= band).sum())
    (bar,) = ax.bar(middle[0], undecided, middle[1] - middle[0], align="edge", color=UNDECIDED)
    words_at(bar, [f"{undecided:,} whose sign is not proved: |λ| ≤ {rounded_up(band)}"])


def _mark(ax: Axes, values: np.ndarray, edges: np.ndarray, outliers: int) -> list[Line2D]:
    """A triangle over the bar of each of the largest eigenvalues, for the legend too."""
    if not outliers:
        return []
    largest = np.sort(values)[-outliers:]
    counts, _ = np.histogram(values, edges)
    bars = np.clip(np.searchsorted(edges, largest, "right") - 1, 0, len(counts) - 1)
    word = "outlier" if outliers == 1 else "outliers"
    marks = ax.plot(
        largest, 1.8 * counts[bars], ls="none", marker="v", ms=3.5, mfc="none", mec="black",
        mew=0.8, label=f"{outliers} {word}",
    )  # fmt: skip
    words_at(marks[0], [f"outlier: λ = {value:.5g}" for value in largest])
    return marks


def _mark_gap(
    ax: Axes, values: np.ndarray, gap: tuple[float, float] | None
) -> list[Patch | Line2D]:
    """The gap as a shaded span, and a line over the bulk below it."""
    if gap is None:
        return []
    lower, upper = gap
    ax.axvspan(lower, upper, facecolor="none", edgecolor=GAP, hatch="//////", lw=0)
    bulk = int((values <= lower).sum())
    (line,) = ax.plot(
        [float(values.min()), lower], [0.97] * 2, color="black", lw=1.2, marker="|", ms=6,
        transform=ax.get_xaxis_transform(), label=f"bulk: {bulk:,}",
    )  # fmt: skip
    hatched = Patch(
        facecolor="none",
        edgecolor=GAP,
        hatch="//////",
        lw=0,
        label=f"gap: ratio {upper / lower:.2f}",
    )
    return [line, hatched]


def _finish(
    ax: Axes,
    values: np.ndarray,
    radius: float,
    intervals: Mapping[str, Interval] | None,
    marks: Sequence[Patch | Line2D],
) -> None:
    ax.set_yscale("log")
    # Room below a count of one, so that its bar is seen, and above for the marks.
    ax.set_ylim(0.5, max(20.0, 2.0 * len(values)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.0f}" if y >= 1 else ""))
    dress(ax, "eigenvalue of the Hessian", "number of eigenvalues")
    handles = _legend(values, radius, intervals)
    # Above the axes, where no bar can be.
    ax.legend(
        handles=[*handles, *marks], fontsize=8, frameon=False, ncols=2, handlelength=1.2,
        loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2,
    )  # fmt: skip


def _legend(
    values: np.ndarray, radius: float, intervals: Mapping[str, Interval] | None
) -> list[Patch]:
    if intervals is None:
        parts = (values < -radius, np.abs(values) <= radius, values > radius)
        texts = [f"{int(part.sum()):,}" for part in parts]
    else:
        texts = [_interval(intervals[name]) for name in ("negative", "null", "positive")]
    names = ("negative", "null" if intervals else "undecided", "positive")
    entries = zip(names, texts, (NEGATIVE, UNDECIDED, POSITIVE), strict=True)
    patches = [Patch(color=colour, label=f"{name}: {text}") for name, text, colour in entries]
    return [
        *patches,
        Patch(
            color=UNDECIDED, alpha=0.25, lw=0, label=f"sign not proved: |λ| ≤ {rounded_up(radius)}"
        ),
    ]


def _interval(interval: Interval) -> str:
    low, high = interval
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _symlog_ticks(ax: Axes, band: float, low: float, high: float) -> None:
    """Zero and about five powers of ten, as far apart on one side as on the other."""
    # Nearer than this to the band, a label would touch that of zero.
    near = max(0.7, 0.09 * (math.log10(-low / band) + math.log10(high / band)))
    first = math.ceil(math.log10(band) + near)
    last = {sign: math.floor(math.log10(reach)) for sign, reach in ((-1, -low), (1, high))}
    step = max(1, math.ceil(sum(max(0, end - first + 1) for end in last.values()) / 5))
    ticks = [sign * 10.0**n for sign, end in last.items() for n in range(end, first - 1, -step)]
    ax.xaxis.set_major_locator(FixedLocator(sorted([0.0, *ticks])))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(_power))


def _power(x: float, _: int | None = None) -> str:
    if x == 0:
        return "0"
    sign = "−" if x < 0 else ""
    return rf"${sign}10^{{{round(math.log10(abs(x)))}}}$".replace("−", "-")
