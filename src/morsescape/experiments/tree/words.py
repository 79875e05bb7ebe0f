"""The table of `morsescape tree`, and the sentences below it."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table

from morsescape.experiments.tree.study import TreeResult
from morsescape.page.readable import number
from morsescape.page.tables import printed_table

COLUMNS = ("pass", "joins", "f at most", "above the lowest minimum", "|grad f|", "proved")
_ROWS = 20


def tree_table(result: TreeResult) -> Table:
    """The passes that hold the minima together, from the lowest up."""
    return printed_table(COLUMNS, _rows(result))


def _rows(result: TreeResult) -> Iterator[tuple[str, ...]]:
    graph = result.graph
    lowest = min(low for low, _ in graph.values)
    order = sorted(range(len(graph.passes)), key=lambda k: graph.passes[k].height[1])
    for k in order[:_ROWS]:
        over, (a, b) = graph.passes[k], graph.ends[k]
        high = over.height[1]
        yield (
            str(k), f"{a} – {b}", f"{high:.10g}", f"{high - lowest:.3e}",
            f"{over.saddle.grad_norm:.1e}", "yes" if over.proved else "no",
        )  # fmt: skip


def tree_sentences(result: TreeResult) -> list[str]:
    """What follows from the table, one sentence a line."""
    graph = result.graph
    heights = sorted(result.graph.values)
    lines = [
        f"Minima: {graph.given} of {result.settings.runs} seeds, "
        f"{len(graph.minima) - graph.given} more at the feet of passes; f from "
        f"{heights[0][0]:.8g} to {heights[-1][1]:.8g}, proved.",
    ]
    lines += [f"Left out: {why}." for why in result.discarded]
    certified = sum(over.proved for over in graph.passes)
    lines.append(
        f"Passes: {len(graph.passes)} in {graph.attempts} searches, {certified} proved: index "
        "exactly 1, and on both sides a way down to a proved minimum that never rises above it."
    )
    if len(graph.passes) > _ROWS:
        lines.append(f"The table has the lowest {_ROWS} of them.")
    if result.split_at is not None:
        lines.append(f"M_ε is disconnected at an ε ≥ {result.split_at:.8g}, proved.")
    threshold = graph.threshold
    if threshold is None:
        lines.append("The minima are not joined by these passes: take more searches (--most).")
    else:
        copies = ", each up to a symmetry of f," if graph.symmetric else ""
        lines.append(
            f"Threshold: all {graph.given} minima{copies} lie in one component of M_ε for every "
            f"ε ≥ {threshold[1]:.10g}, proved, {threshold[1] - heights[0][0]:.3e} above the "
            "lowest. Passes that were not found can only lower this."
        )
    known = [share for share in result.accuracies if share is not None]
    if known:
        least, most = (number(share, ".2%") for share in (min(known), max(known)))
        lines.append(f"Accuracy at the minima: {least} to {most}.")
    return lines
