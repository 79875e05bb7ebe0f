"""The table of `morsescape polish`, and the sentences below it."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table

from morsescape.critical import CertificateStatus
from morsescape.experiments.polish.study import PolishResult
from morsescape.page.readable import interval, number, rounded_up
from morsescape.page.tables import printed_table
from morsescape.spectrum.inertia import Inertia


def polish_table(result: PolishResult) -> Table:
    """Where the search started, and where it ended."""
    columns = ("", "f", "accuracy", "|grad f|", "negative", "null", "positive", "radius")
    found, (first, last) = result.found, result.accuracies
    start = result.start
    rows = (
        ("start", start.value, first, start.grad_norm, start),
        ("end", found.value, last, found.grad_norm, found.inertia),
    )
    return printed_table(columns, (_cells(*row) for row in rows))


def _cells(
    name: str, value: float, share: float | None, norm: float, signs: Inertia | None
) -> Iterator[str]:
    yield from (name, f"{value:.10g}", number(share, ".2%"), f"{norm:.1e}")
    if signs is None:
        yield from ("–",) * 4
    else:
        yield from map(interval, (signs.negative, signs.null, signs.positive))
        yield rounded_up(signs.radius)


def polish_sentences(result: PolishResult) -> list[str]:
    """What follows from the table, one sentence a line."""
    found, certificate = result.found, result.found.certificate
    lines = [f"Result: {found.verdict}."]
    if found.index is None:
        lines.append("Index: not known; a count at a point that is not critical is no Morse index.")
    elif certificate.status is CertificateStatus.PROVED:
        lines.append(
            f"Index: {found.index}, proved, of a critical point within "
            f"{rounded_up(certificate.distance)}."
        )
    else:
        lines.append(
            f"Index: {found.index} of a critical point within {rounded_up(certificate.distance)} "
            f"(an estimate, not proved: {certificate.reason})."
        )
    lines.append(f"Certificate: {certificate}.")
    smooth = result.start.not_smooth
    if smooth:
        lines.append(
            f"Not twice differentiable ({', '.join(smooth)}): Morse theory does not apply; "
            "--activation tanh --pool avg is smooth."
        )
    lines.append(f"Cost: {found.evaluations}; {result.seconds:.0f} s.")
    return lines
