"""The table of `morsescape spectrum`, the sentences below it, and the section of the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table
from torch import Tensor

from morsescape.errors import ArgumentError
from morsescape.experiments.point import point_name, point_options
from morsescape.experiments.spectrum.figure import spectrum_parts
from morsescape.experiments.spectrum.study import SpectrumResult
from morsescape.page import PageTable, Picture, Section
from morsescape.page.readable import interval, number, rounded_up, sum_of_causes
from morsescape.page.tables import printed_table
from morsescape.spectrum.gaps import typical_ratio
from morsescape.spectrum.inertia import InertiaStatus
from morsescape.spectrum.split import Direction

_SMALL = 0.1  # of λ: a part below it is called small
_SETTING = "network, data, point"


def spectrum_table(result: SpectrumResult) -> Table:
    """How many eigenvalues have which sign, and where they lie."""
    values, radius = result.eigenvalues, result.inertia.radius
    parts = {
        "negative": values[values < -radius],
        "null": values[values.abs() <= radius],
        "positive": values[values > radius],
    }

    def cells(name: str, part: Tensor) -> Iterator[str]:
        ends = (float(part.min()), float(part.max())) if len(part) else (None, None)
        yield from (name, interval(getattr(result.inertia, name)))
        yield from (number(end, ".3e") for end in ends)

    columns = ("sign", "number", "smallest", "largest")
    return printed_table(columns, (cells(*part) for part in parts.items()))


def spectrum_sentences(result: SpectrumResult) -> list[str]:
    """What follows from the table, one sentence a line."""
    counted = result.inertia
    share = "" if result.accuracy is None else f", accuracy {result.accuracy:.2%}"
    return [
        f"Loss {result.loss:.4f}{share}, |grad f| = {counted.grad_norm:.2g}; every eigenvalue is "
        f"within {rounded_up(counted.radius)} of the true one"
        f"{' (estimate)' if counted.status is InertiaStatus.ESTIMATE else ''}.",
        f"Structural bound on the index: {counted.structural_upper_bound:,}; "
        f"{counted.structural_reason}.",
        f"Null space explained: {sum_of_causes(counted.null_explained)}.",
        *_outliers(result),
        *_split(result),
        f"Conclusion: {counted.conclusion}.",
    ]


def spectra_section(results: Sequence[SpectrumResult]) -> Section:
    """Figures 5.2: outliers, gaps, and the split H = G + R, setting by setting.

    Raises:
        ArgumentError: no results.

    Example:
        >>> from morsescape.experiments import PointSettings, SpectrumSettings, run_spectrum
        >>> result = run_spectrum(SpectrumSettings(PointSettings(at="random", samples=30)))
        >>> section = spectra_section([result])
        >>> section.tables[0].rows[0][0], section.command
        ('mlp2, digits, random', 'morsescape spectrum --at random --samples 30 --out DIR')
    """
    if not results:
        raise ArgumentError(
            "results", expected="at least one", got="none", cure="compute a spectrum"
        )
    drawn = [result for result in results if len(result.eigenvalues)]
    commands = (
        f"morsescape spectrum{point_options(result.settings.point, result.settings.seed)} --out DIR"
        for result in results
    )
    return Section(
        "A few steep directions, many flat ones: the spectrum",
        "spectra",
        tuple(_lead(results)),
        (_gap_table(results), _split_table(results)),
        tuple(_picture(result) for result in drawn),
        "\n".join(commands),
        tuple(_details(results)),
        plain="All eigenvalues of the Hessian: how strongly the loss curves, direction by "
        "direction. A few stand out, most directions are almost flat.",
    )


# -- sentences ------------------------------------------------------------------------------------


def _outliers(result: SpectrumResult) -> Iterator[str]:
    if not result.gaps:
        return
    gap, others = result.gaps[0], result.gaps[1:3]
    text = (
        f"Outliers: {gap.above}, above the largest ratio of neighbours among the {result.window} "
        f"largest: {gap.upper:.3g} / {gap.lower:.3g} = {gap.ratio:.2f}"
    )
    if others:
        text += "; next " + ", ".join(f"{g.ratio:.2f} below {g.above}" for g in others)
        text += f", median of the others {typical_ratio(result.gaps):.2f}"
    if result.expected is not None:
        text += f"; classes - 1 = {result.expected} are expected"
    if result.expected_gap is not None:
        place, expected = result.expected_gap
        text += f", where the ratio is {expected.ratio:.2f}, {_place(place)}"
    error = rounded_up(max(g.error for g in result.gaps))
    yield text + f". Each ratio is within {error}; where the bulk ends is a heuristic."


def _split(result: SpectrumResult) -> Iterator[str]:
    split = result.split
    if not (split.top or split.bottom):
        yield f"Split H = G + R: {split.status.value}."
        return
    yield f"Split H = G + R: {split.status.value} (at most {rounded_up(_residual(result))})."
    outliers = _outlying(result)
    if outliers:
        yield (
            f"Outliers: R makes {_shares(one.rest / one.eigenvalue for one in outliers)} of the "
            f"eigenvalue; G alone has at least {_own(result)} above the bulk."
        )
    if split.bottom:
        shares = _shares(one.gauss_newton / abs(one.eigenvalue) for one in split.bottom)
        theorem = "; G is positive semidefinite, so they are R's" if split.semidefinite else ""
        yield f"The {len(split.bottom)} most negative: G adds {shares} of their size{theorem}."


def _lead(results: Sequence[SpectrumResult]) -> Iterator[str]:
    known = [result for result in results if result.expected_gap is not None]
    if known:
        hits = [result for result in known if result.outliers == result.expected]
        others = [place for r in known if r not in hits and (place := _rank(r)) is not None]
        rest = f"; elsewhere it is number {_between(others)} in size" if others else ""
        yield (
            "Is there a gap below the (classes - 1)-th largest eigenvalue? The ratio of neighbours "
            "there is the largest at the upper end of the spectrum in "
            f"{_share_of(hits, known)}{rest}."
        )
    split = [result for result in results if _outlying(result)]
    if split:
        yield from _explained(split)
    negative = [r.split.bottom for r in results if r.split.bottom and r.split.semidefinite]
    if negative:
        against = _shares(-one.gauss_newton / one.rest for one, *_ in negative)
        yield (
            "The negative eigenvalues necessarily come from R: the loss is convex in the output, "
            "so G is positive semidefinite and vᵀRv ≤ λ < 0. Along the most negative one of each "
            f"network G cancels {against.replace('+', '')} of what R contributes."
        )


def _explained(split: Sequence[SpectrumResult]) -> Iterator[str]:
    """Whether the outliers are those of G."""
    small = [result for result in split if _rest(result) < _SMALL]
    others = [_rest(result) for result in split if result not in small]
    whole = all(len(_outlying(result)) == result.outliers for result in split)
    text = (
        f"With H = G + R, G the Gauss-Newton part, R makes less than {_SMALL:.0%} of every outlier "
        f"{'' if whole else 'that was split '}in {_share_of(small, split)}"
    )
    yield text + (f"; elsewhere up to {max(others):.0%}." if others else ".")


def _share_of(some: Sequence[SpectrumResult], known: Sequence[SpectrumResult]) -> str:
    """How many of those known, trained and random apart."""
    parts = []
    for at, words in (("trained", "trained"), ("random", "random"), ("", "given")):
        own = [result for result in known if _kind(result) == at]
        if own:
            count = sum(result in some for result in own)
            network = "network" if len(own) == 1 else "networks"
            parts.append(f"{count} of {len(own)} {words} {network}")
    return " and ".join(parts)


def _kind(result: SpectrumResult) -> str:
    point = result.settings.point
    return "" if point.objective is not None or point.checkpoint is not None else point.at


def _details(results: Sequence[SpectrumResult]) -> Iterator[str]:
    windows = sorted({result.window for result in results})
    yield (
        "Outliers are counted by a heuristic: the bulk ends at the largest ratio of neighbours "
        f"among the {' or '.join(map(str, windows))} largest eigenvalues that are proved positive. "
        "It always answers: where the largest ratio is near the next one, the number of outliers "
        "is arbitrary. Spacings widen towards the edge of any spectrum, which favours few."
    )
    yield (
        "vᵀGv and vᵀRv are estimates in float64 along computed unit vectors v. ‖Hv - λv‖, in the "
        "table, bounds how far λ is from an eigenvalue; v, and with it the split, is off by about "
        "this over the distance to the next eigenvalue, and within a cluster of eigenvalues the "
        "split depends on the basis. The Ritz values of G on the space of these vectors are lower "
        "bounds for the eigenvalues of G, one by one (Cauchy)."
    )
    for result in results:
        yield f"{_label(result)}: {result.inertia.conclusion}."


# -- tables and pictures --------------------------------------------------------------------------


def _gap_table(results: Sequence[SpectrumResult]) -> PageTable:
    columns = (
        _SETTING, "negative", "null", "largest λ", "outliers", "ratio below them", "next ratio",
        "typical ratio", "expected", "ratio there", "its place",
    )  # fmt: skip
    error = max((gap.error for result in results for gap in result.gaps), default=0.0)
    return PageTable(
        "Bulk, outliers and gaps",
        columns,
        tuple(tuple(_gap_row(result)) for result in results),
        "Ratio: an eigenvalue over the next smaller one; next ratio: the second largest, and how "
        "many eigenvalues are above it; typical: the median among the largest. Expected outliers: "
        f"classes - 1. Each ratio is within {rounded_up(error)}.",
    )


def _gap_row(result: SpectrumResult) -> Iterator[str]:
    estimate = " (est.)" if result.inertia.status is InertiaStatus.ESTIMATE else ""
    yield _label(result)
    yield interval(result.inertia.negative) + estimate
    yield interval(result.inertia.null) + estimate
    yield number(float(result.eigenvalues[-1]) if len(result.eigenvalues) else None, ".3g")
    yield str(result.outliers)
    yield number(result.gaps[0].ratio if result.gaps else None, ".2f")
    yield f"{(n := result.gaps[1]).ratio:.2f} below {n.above}" if len(result.gaps) > 1 else "–"
    yield number(typical_ratio(result.gaps), ".2f")
    yield number(result.expected, "d")
    there = result.expected_gap
    yield number(None if there is None else there[1].ratio, ".2f")
    yield number(None if there is None else there[0], "d")


def _split_table(results: Sequence[SpectrumResult]) -> PageTable:
    columns = (
        _SETTING, "outliers split", "R's share of λ", "eigenvalues of G above the bulk, at least",
        "negative split", "vᵀGv / |λ|", "largest residual",
    )  # fmt: skip
    return PageTable(
        "Both ends of the spectrum, split into G and R (estimates)",
        columns,
        tuple(tuple(_split_row(result)) for result in results),
        "λ = vᵀGv + vᵀRv along eigenvectors v. Shares from the smallest to the largest.",
    )


def _split_row(result: SpectrumResult) -> Iterator[str]:
    outliers, bottom = _outlying(result), result.split.bottom
    yield _label(result)
    yield str(len(outliers))
    yield _shares(one.rest / one.eigenvalue for one in outliers)
    yield number(_own(result) if outliers else None, "d")
    yield str(len(bottom))
    yield _shares(one.gauss_newton / abs(one.eigenvalue) for one in bottom)
    yield rounded_up(_residual(result)) if outliers or bottom else "–"


def _picture(result: SpectrumResult) -> Picture:
    name, count = _label(result), result.outliers
    word = "outlier" if count == 1 else "outliers"
    return Picture(
        spectrum_parts(result),
        f"{name}: a histogram of the eigenvalues with {count} {word} to the right of the gap; the "
        "largest and the most negative eigenvalues by rank with the Gauss-Newton part and the "
        "residual part of each.",
        f"{name}: all {result.inertia.dim:,} eigenvalues, then what G and R contribute at both "
        "ends; hollow marks work against the sign of λ.",
    )


# -- small parts ----------------------------------------------------------------------------------


def _label(result: SpectrumResult) -> str:
    return point_name(result.settings.point)


def _outlying(result: SpectrumResult) -> tuple[Direction, ...]:
    """The outliers that were split."""
    return result.split.top[: result.outliers]


def _rest(result: SpectrumResult) -> float:
    """The largest share of R in an outlier."""
    return max(abs(one.rest / one.eigenvalue) for one in _outlying(result))


def _own(result: SpectrumResult) -> int:
    """So many eigenvalues of G, at least, are above the bulk of H: Ritz values are lower bounds."""
    return sum(value > result.gaps[0].lower for value, _ in result.split.own)


def _rank(result: SpectrumResult) -> int | None:
    """The place of the expected gap by its ratio."""
    return None if result.expected_gap is None else result.expected_gap[0]


def _between(places: Sequence[int]) -> str:
    return " to ".join(dict.fromkeys(map(str, (min(places), max(places)))))


def _residual(result: SpectrumResult) -> float:
    return max(one.residual for one in (*result.split.top, *result.split.bottom))


def _shares(shares: Iterator[float]) -> str:
    """From the least to the most, as signed percentages."""
    values = list(shares)
    ends = dict.fromkeys(map(_percent, (min(values), max(values)))) if values else ("–",)
    return " to ".join(ends)


def _percent(share: float) -> str:
    return f"{share:+.0%}" if abs(share) >= _SMALL else f"{100 * share:+.2g}%"


def _place(place: int) -> str:
    return "the largest" if place == 1 else f"number {place} in size"
