"""The table of `morsescape spectrum`, and the sentences below it."""

from __future__ import annotations

from rich import box
from rich.table import Table

from morsescape.experiments.spectrum import TOP, SpectrumResult
from morsescape.figures import rounded_up
from morsescape.report.numbers import interval, number, sum_of_causes


def spectrum_table(result: SpectrumResult) -> Table:
    """How many eigenvalues have which sign, and where they lie."""
    counted, values = result.inertia, result.eigenvalues
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for column in ("sign", "number", "smallest", "largest"):
        table.add_column(column, justify="left" if column == "sign" else "right")
    radius = counted.radius
    parts = {
        "negative": values[values < -radius],
        "null": values[values.abs() <= radius],
        "positive": values[values > radius],
    }
    for name, part in parts.items():
        ends = (float(part.min()), float(part.max())) if len(part) else (None, None)
        table.add_row(name, interval(getattr(counted, name)), *(number(e, ".3e") for e in ends))
    return table


def spectrum_sentences(result: SpectrumResult) -> list[str]:
    """What follows from the table, one sentence a line."""
    counted = result.inertia
    share = "" if result.accuracy is None else f", accuracy {result.accuracy:.2%}"
    return [
        f"Loss {result.loss:.4f}{share}, |grad f| = {counted.grad_norm:.2g}; every eigenvalue is "
        f"within {rounded_up(counted.radius)} of the true one"
        f"{' (estimate)' if counted.status.name == 'ESTIMATE' else ''}.",
        f"Structural bound on the index: {counted.structural_upper_bound:,}; "
        f"{counted.structural_reason}.",
        f"Null space explained: {sum_of_causes(counted.null_explained)}.",
        *_outliers(result),
        f"Conclusion: {counted.conclusion}.",
    ]


def _outliers(result: SpectrumResult) -> list[str]:
    if not result.gaps:
        return []
    gap, others = result.gaps[0], result.gaps[1:3]
    text = (
        f"Outliers: {gap.above}, above the largest ratio of neighbours among the {TOP} largest: "
        f"{gap.upper:.3g} / {gap.lower:.3g} = {gap.ratio:.2f}"
    )
    if others:
        text += "; next " + ", ".join(f"{g.ratio:.2f} below {g.above}" for g in others)
    return [text + " (a heuristic; classes - 1 are expected)."]
