"""The page of a Morse graph: the tree with a level that moves, its passes and its minima."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from morsescape.figures.disconnectivity import disconnectivity_figure, minima_data
from morsescape.page import Page, PageTable, Picture, Section

if TYPE_CHECKING:
    from morsescape.morse.graph import MorseGraph

PASSES = ("pass", "joins", "f at most", "above the lowest minimum", "|grad f|", "proved")
MINIMA = ("minimum", "f at most", "found as")
ROWS = 20
PLAIN = (
    "A minimum is the bottom of a valley, a pass a lowest point on the way to the next. As the "
    "level rises, valleys merge; the tree says which, and where."
)


def lowest_passes(graph: MorseGraph) -> list[int]:
    """The places of those that a table has, from below."""
    return sorted(range(len(graph.passes)), key=lambda k: graph.passes[k].height[1])[:ROWS]


def lowest_minima(graph: MorseGraph) -> list[int]:
    """The same of the minima."""
    return sorted(range(len(graph.minima)), key=lambda k: graph.values[k][1])[:ROWS]


def pass_row(graph: MorseGraph, k: int) -> tuple[str, ...]:
    """The cells of one pass, below `PASSES`."""
    over, (a, b) = graph.passes[k], graph.ends[k]
    high, lowest = over.height[1], min(low for low, _ in graph.values)
    return (
        str(k), f"{a} – {b}", f"{high:.10g}", f"{high - lowest:.3e}",
        f"{over.saddle.grad_norm:.1e}", "yes" if over.proved else "no",
    )  # fmt: skip


def minimum_row(graph: MorseGraph, k: int) -> tuple[str, ...]:
    """The cells of one minimum, below `MINIMA`."""
    found = "given" if k < graph.given else "foot of a pass"
    return str(k), f"{graph.values[k][1]:.10g}", found


def pass_table(
    graph: MorseGraph, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], name: str
) -> PageTable:
    """A table of the lowest passes, whose rows know the minima that they join."""
    data = tuple(
        minima_data(graph.ends[k], graph.passes[k].height) for k in lowest_passes(graph)
    )  # fmt: skip
    return PageTable("Passes between the minima", columns, tuple(rows), graph=name, data=data)


def minimum_table(
    graph: MorseGraph, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], name: str
) -> PageTable:
    """A table of the lowest minima."""
    data = tuple(minima_data((k,), graph.values[k]) for k in lowest_minima(graph))
    return PageTable("Minima", columns, tuple(rows), graph=name, data=data)


def tree_picture(figure: Figure, name: str) -> Picture:
    """The disconnectivity graph with its words."""
    return Picture(
        figure,
        "A tree: each leaf is a minimum at its loss, branches meet at the passes.",
        "Disconnectivity graph: a leaf is a proved minimum; two branches meet at the lowest f "
        "found at which both lie in one component of M_ε, proved.",
        name,
    )


def graph_page(graph: MorseGraph, title: str = "") -> Page:
    """What `MorseGraph.html` writes."""
    figure = Figure(figsize=(4.0, 3.2), layout="constrained")
    disconnectivity_figure(
        graph.merge_tree(), figure.subplots(), given=graph.given, symmetric=graph.symmetric
    )
    passes = [pass_row(graph, k) for k in lowest_passes(graph)]
    minima = [minimum_row(graph, k) for k in lowest_minima(graph)]
    section = Section(
        "The tree of sublevel sets", "tree", (str(graph),),
        (pass_table(graph, PASSES, passes, "tree"), minimum_table(graph, MINIMA, minima, "tree")),
        (tree_picture(figure, "tree"),), plain=PLAIN,
    )  # fmt: skip
    return Page(title or "Minima and the passes between them", "", (), (section,))
