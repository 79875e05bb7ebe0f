"""The index of f = L + λ‖θ‖² over λ: sentences, and the section of the page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from matplotlib.figure import Figure

from morsescape.errors import ArgumentError
from morsescape.experiments.point import point_name, point_options
from morsescape.experiments.ridge.figure import ridge_curve
from morsescape.experiments.ridge.study import RidgeCurve, RidgeGap
from morsescape.experiments.spectrum.study import SpectrumResult
from morsescape.page import PageTable, Picture, Section
from morsescape.page.readable import interval, rounded_down, rounded_up
from morsescape.spectrum.inertia import InertiaStatus


def ridge_sentences(curve: RidgeCurve) -> list[str]:
    """What the curve says, one sentence a line.

    Example:
        >>> import torch
        >>> curve = RidgeCurve(torch.tensor([-2.0, -0.1, 0.0, 3.0]).double(), 1e-9)
        >>> print(*ridge_sentences(curve), sep=chr(10))
        Index of L + λ‖θ‖² without a ridge: [2, 3]; every λ above 1.1e+00 makes it 0.
        Widest gap for -2λ, by ratio: λ from 5.1e-10 to 5.0e-02, index 2 (take λ = 5.0e-06).
        Widest by difference: λ from 5.1e-02 to 9.9e-01, index 1.
    """
    gap, broad = curve.widest_gap(), curve.widest_by_difference()
    first = interval(curve.index(0.0))
    lines = [
        f"Index of L + λ‖θ‖² without a ridge: {first}; every λ above "
        f"{rounded_up(curve.convex.below)} makes it 0."
    ]
    if math.isinf(gap.above):
        return lines
    place = f"take λ = {gap.l2:.1e}" if gap.l2 else "no ridge is needed"
    return [
        *lines,
        f"Widest gap for -2λ, by ratio: λ {_range(gap)}, index {gap.index} ({place}).",
        f"Widest by difference: λ {_range(broad)}, index {broad.index}.",
    ]


def ridge_section(results: Sequence[SpectrumResult]) -> Section:
    """The curve of each setting, the widest gap in which to place -2λ, and the index there.

    Raises:
        ArgumentError: no results.

    Example:
        >>> from morsescape.experiments import PointSettings, SpectrumSettings, run_spectrum
        >>> result = run_spectrum(SpectrumSettings(PointSettings(at="random", samples=30)))
        >>> ridge_section([result]).tables[0].columns[:2]
        ('network, data, point', 'index without ridge')
    """
    curves = [(result, curve) for result in results if (curve := result.ridge) is not None]
    if not curves:
        raise ArgumentError(
            "results", expected="at least one with a proved radius", got=f"{len(results)} without",
            cure="compute a spectrum",
        )  # fmt: skip
    commands = (
        f"morsescape spectrum{point_options(result.settings.point, result.settings.seed)} --out DIR"
        for result, _ in curves
    )
    return Section(
        "A small ridge settles the count: the index over λ",
        "ridge",
        tuple(_lead(curves)),
        (_table(curves),),
        (_picture(curves),),
        "\n".join(commands),
        tuple(_details()),
        plain="Adding λ‖θ‖² to the loss lifts every curvature by 2λ, so that the directions of no "
        "curvature get a sign that can be proved.",
    )


# -- inside ---------------------------------------------------------------------------------------

Curves = Sequence[tuple[SpectrumResult, RidgeCurve]]


def _lead(curves: Curves) -> Iterator[str]:
    gaps = [curve.widest_gap() for _, curve in curves]
    undecided = sum(low < high for low, high in (curve.index(0.0) for _, curve in curves))
    places = [gap.l2 for gap in gaps if gap.l2 and not math.isinf(gap.above)]
    proved = "estimated" if any(map(_is_estimate, (r for r, _ in curves))) else "proved"
    text = f"A ridge makes the index of L + λ‖θ‖² one {proved} number"
    if places:
        between = dict.fromkeys((f"{min(places):.1e}", f"{max(places):.1e}"))
        text += f": λ in the middle of the widest gap is {' to '.join(between)}"
    if undecided:
        text += (
            f"; at λ = 0 it is undecided in {undecided} of {len(curves)} settings, because some "
            "eigenvalues are within the radius of zero"
        )
    yield text + "."
    limited = sum(_by_radius(gap, curve) for gap, (_, curve) in zip(gaps, curves, strict=True))
    if limited:
        yield (
            f"In {limited} of {len(curves)} settings the lower end of the widest gap is the radius "
            "of the proof, not an eigenvalue: its ratio says how sharp the proof is."
        )
    convex = [(curve.convex.below, point_name(r.settings.point)) for r, curve in curves]
    (least, first), (most, last) = min(convex), max(convex)
    yield (
        f"No negative eigenvalue is left for λ above {rounded_up(least)} ({first})"
        + (
            f", which takes least, and {rounded_up(most)} ({last}), which takes most"
            * (most > least)
        )
        + ": there 2λ exceeds the most negative curvature of L."
    )


def _details() -> Iterator[str]:
    yield (
        "Hess f = Hess L + 2λI (the paper writes λ·Id), so the index is the number of eigenvalues "
        "of Hess L below -2λ. Each is known up to a proved radius, so each index is a proved "
        "interval; it is one number wherever -2λ is farther than the radius from every eigenvalue. "
        "Where the gradient is not zero, it is the index of the quadratic form Hess f, no Morse "
        "index."
    )
    yield (
        "The widest gap is the one of the largest ratio of its ends, in which λ may change by the "
        "largest factor: λ has no natural unit. By difference the widest gap lies among the most "
        "negative eigenvalues, where the ridge is as strong as the curvature of L. The point is "
        "kept while λ changes: a network trained with this λ would be at another one."
    )


def _table(curves: Curves) -> PageTable:
    columns = (
        "network, data, point", "index without ridge", "widest gap, by ratio: λ", "ratio",
        "λ to take", "index there", "by difference: λ", "index there", "index 0 above λ", "radius",
    )  # fmt: skip
    return PageTable(
        "Where to place -2λ",
        columns,
        tuple(tuple(_row(result, curve)) for result, curve in curves),
        "Each index is proved for every λ strictly inside its gap; gaps are rounded inwards, the "
        "radius and the last λ up.",
    )


def _row(result: SpectrumResult, curve: RidgeCurve) -> Iterator[str]:
    gap, broad = curve.widest_gap(), curve.widest_by_difference()
    estimate = " (est.)" if _is_estimate(result) else ""
    yield point_name(result.settings.point)
    yield interval(curve.index(0.0)) + estimate
    yield _range(gap)
    yield "∞" if math.isinf(gap.ratio) else f"{gap.ratio:.3g}"
    yield f"{gap.l2:.1e}" if gap.l2 else "0"
    yield f"{gap.index:,}{estimate}"
    yield _range(broad)
    yield f"{broad.index:,}{estimate}"
    yield rounded_up(curve.convex.below)
    yield rounded_up(curve.radius)


def _is_estimate(result: SpectrumResult) -> bool:
    return result.inertia.status is InertiaStatus.ESTIMATE


def _by_radius(gap: RidgeGap, curve: RidgeCurve) -> bool:
    """Whether the gap begins where an eigenvalue that may be zero is proved to be passed."""
    return 0 < gap.below <= curve.radius


def _range(gap: RidgeGap) -> str:
    """Rounded inwards, so that the index is proved on what is printed."""
    end = f"to {rounded_down(gap.above)}" if math.isfinite(gap.above) else "on"
    return f"from {rounded_up(gap.below)} {end}"


def _picture(curves: Curves) -> Picture:
    figures = tuple(Figure(figsize=(3.6, 2.4), layout="constrained") for _ in curves)
    for (result, curve), figure in zip(curves, figures, strict=True):
        gap = curve.widest_gap()
        ends = (gap.below, min(gap.above, 1e300))
        ax = ridge_curve(*curve.steps(), figure.subplots(), gap=ends, at=(gap.l2, gap.index))
        ax.set_title(point_name(result.settings.point), fontsize=8)
        figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3,
                      fontsize=8, frameon=False)  # fmt: skip
    return Picture(
        figures,
        "For each setting a staircase that falls from the index without a ridge to 0 as λ grows, "
        "with the widest gap shaded. The numbers are in the table.",
        "The proved interval for the index of L + λ‖θ‖² at each λ; where both ends are one line, "
        "the index is one number.",
    )
