"""The page of a Morse graph: the tree with a level that moves, its passes and its minima."""

from __future__ import annotations

import os
from collections.abc import Sequence

from matplotlib.figure import Figure

from morsescape.errors import ArgumentError
from morsescape.figures.disconnectivity import disconnectivity_figure, minima_data
from morsescape.figures.slice import plane
from morsescape.figures.style import VERMILLION
from morsescape.morse.graph import MorseGraph
from morsescape.page import Page, PageTable, Picture, Section, save_page, words_at

PASSES = ("pass", "joins", "f at most", "above the lowest minimum", "|grad f|", "proved")
MINIMA = ("minimum", "f at most", "found as")
TITLE = "The tree of sublevel sets"
ROWS = 20
_COST = 1e8  # samples times variables up to which the thousand values of f on a plane are drawn
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


def plane_pictures(graph: MorseGraph, name: str) -> tuple[Picture, ...]:
    """The plane of the highest certified pass that is needed; none where it cannot be drawn.

    Needed to join the given minima, or where passes do not yet, those that they do. None without f
    or a pass, where f takes long, and where the saddle lies on the line between its minima.
    """
    f, joins = graph.f, graph.merge_tree(paths=False).joins
    top = graph.highest(paths=False) or next(reversed(joins), None)
    if f is None or top is None or f.dim * f.source.samples > _COST:
        return ()
    k = next(
        k for k, (over, ends) in enumerate(zip(graph.passes, graph.ends, strict=True))
        if ends == (top.a, top.b) and over.height == top.height
    )  # fmt: skip
    first, second = (side.chain[-1] for side in graph.passes[k].sides)
    try:
        seen = plane(f, first, second, graph.passes[k].saddle)
    except ArgumentError:
        return ()
    figure = Figure(figsize=(4.0, 3.2), layout="constrained")
    ax = seen.plot(figure.subplots(), names=(f"{top.a}", f"{top.b}", f"pass {k}"))
    for text in ax.texts:
        text.set_bbox({"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.8})
    ax.plot(*seen.points[2].tolist(), "D", ms=6, color=VERMILLION, markeredgecolor="white")
    data = [minima_data((end,), graph.values[end]) for end in (top.a, top.b)]
    over = minima_data((top.a, top.b), top.height)
    told = [f"{what}: f = {value:.10g}" for what, value in zip(
        (f"minimum {top.a}", f"minimum {top.b}", f"pass {k}"), seen.at_points.tolist(), strict=True
    )]  # fmt: skip
    words_at(ax.lines[0], told, [*data, over])
    caption = (
        f"The plane through pass {k} (diamond), the highest that is needed, and the minima {top.a} "
        f"and {top.b} on its two sides. Off the plane f is not what the contours say."
    )
    return (Picture(figure, "Contours of f, dark where it is low, three points.", caption, name),)


def save_graph_page(graph: MorseGraph, path: str | os.PathLike[str], title: str = "") -> None:
    """What `MorseGraph.html` does."""
    save_page(graph_page(graph, title), path)


def graph_page(graph: MorseGraph, title: str = "") -> Page:
    """Its page."""
    figure = Figure(figsize=(4.0, 3.2), layout="constrained")
    disconnectivity_figure(
        graph.merge_tree(), figure.subplots(), given=graph.given, symmetric=graph.symmetric
    )
    passes = [pass_row(graph, k) for k in lowest_passes(graph)]
    minima = [minimum_row(graph, k) for k in lowest_minima(graph)]
    section = Section(
        TITLE, "tree", (f"{graph}.",),
        pictures=(tree_picture(figure, "tree"), *plane_pictures(graph, "tree")), plain=PLAIN,
        beside=(
            pass_table(graph, PASSES, passes, "tree"), minimum_table(graph, MINIMA, minima, "tree"),
        ),
    )  # fmt: skip
    return Page(title or "Minima and the passes between them", "", (), (section,))
