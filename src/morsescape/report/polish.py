"""The table of `morsescape polish`, and the sentences below it."""

from __future__ import annotations

from rich import box
from rich.table import Table

from morsescape.critical import CertificateStatus
from morsescape.experiments.polish import PolishResult
from morsescape.figures import rounded_up
from morsescape.report.numbers import interval, number


def polish_table(result: PolishResult) -> Table:
    """Where the search started, and where it ended."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for column in ("", "f", "accuracy", "|grad f|", "negative", "null", "positive", "radius"):
        table.add_column(column, justify="right" if column else "left")
    rows = (
        ("start", result.start.value, result.start.grad_norm, result.start),
        ("end", result.found.value, result.found.grad_norm, result.found.inertia),
    )
    for (name, value, norm, signs), share in zip(rows, result.accuracies, strict=True):
        counts = ("–",) * 4
        if signs is not None:
            ends = (interval(end) for end in (signs.negative, signs.null, signs.positive))
            counts = (*ends, rounded_up(signs.radius))  # type: ignore[assignment]
        table.add_row(name, f"{value:.10g}", number(share, ".2%"), f"{norm:.1e}", *counts)
    return table


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
