"""The disconnectivity graph: minima at their height, joined at the passes between them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.ticker import ScalarFormatter

from morsescape.errors import ArgumentError
from morsescape.figures.style import BLUE, GREY, ORANGE, VERMILLION, dress, own_axes
from morsescape.morse.merge_tree import Interval, MergeTree, Node
from morsescape.page.svg import levels_at, words_at

_NUMBER = 10.0  # points that the number of a leaf takes
_BELOW = 24.0  # points free below the lowest leaf, for its number and, in a page, its component's


def disconnectivity_figure(
    tree: MergeTree, ax: Axes | None = None, *, colours: Sequence[float] | None = None,
    label: str = "", given: int | None = None, words: Sequence[str] = (), symmetric: bool = False,
) -> Axes:  # fmt: skip
    """Leaf = minimum, at its height; two parts meet at the height at which they are proved to join.

    Joins that are not proved are dashed, and no part of the tree. Heights are told above the lowest
    minimum: their differences are often 1e-4 and less. In a page a level ε can be moved.

    Args:
        tree: the merge tree.
        ax: where to draw; None makes a figure.
        colours: a number for each minimum, such as its test accuracy.
        label: what these numbers are.
        given: the minima from this place on, found at the feet of passes, are drawn hollow.
        words: what a page says at each minimum; none for its height.
        symmetric: whether minima that a symmetry of f takes into each other are one, which a page
            says then.

    Raises:
        ArgumentError: another number of colours than of minima.

    Source:
        Becker & Karplus, J. Chem. Phys. 106 (1997) 1495.

    Example:
        >>> from morsescape.morse.merge_tree import Join, MergeTree
        >>> tree = MergeTree.of([(0.0, 0.0), (1.0, 1.0)], [Join(0, 1, (2.0, 2.0), "saddle", True)])
        >>> disconnectivity_figure(tree).get_ylabel()
        'f'
    """
    n = len(tree.minima)
    if colours is not None and len(colours) != n:
        raise ArgumentError(
            "colours", expected=f"{n} numbers, one for each minimum", got=len(colours),
            cure="leave them out",
        )  # fmt: skip
    ax = own_axes(ax, max(4.2, min(9.0, 2.4 + 0.16 * n)), 4.0)
    x, floor = leaf_places(tree), _floor(tree)
    at = _node_places(tree, x)
    y = np.array([node.height[1] for node in tree.nodes]) - floor
    _branches(ax, tree, at, y)
    _unsure(ax, tree, x, floor)
    shades = {"color": BLUE} if colours is None else {"c": list(colours), "cmap": "viridis"}
    merges = tree.nodes[n:]
    (joins,) = ax.plot(at[n:], y[n:], ls="none", marker="D", ms=4, color=GREY, zorder=2)
    words_at(joins, [_merge_words(node) for node in merges], [_join_data(node) for node in merges])
    dots = ax.scatter(x, y[:n], s=24, zorder=3, **shades)
    words_at(
        dots, words or [_leaf_words(tree, k, colours, label) for k in range(n)],
        [{**minima_data((k,), tree.minima[k]), "place": x[k]} for k in range(n)],
    )  # fmt: skip
    if given is not None and given < n:
        ax.scatter(x[given:], y[given:n], s=7, zorder=4, color="white", linewidths=0)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(fontsize=8, frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 1),
                  borderaxespad=0.2)  # fmt: skip
    if colours is not None:
        bar = ax.figure.colorbar(dots, ax=ax, pad=0.02, aspect=30)
        bar.set_label(label, fontsize=9)
        bar.ax.tick_params(labelsize=8)
        bar.outline.set_visible(False)
    if n * _NUMBER <= _points(ax)[0]:
        for k in range(n):
            ax.annotate(str(k), (x[k], y[k]), (0, -5), textcoords="offset points", fontsize=7.5,
                        ha="center", va="top", color="#555555")  # fmt: skip
    _axes(ax, n, floor)
    of = "minima, each up to a symmetry of f" if symmetric else "minima"
    levels_at(ax, floor, {"of": of, "rest": tree.missing})
    return ax


def minima_data(minima: Sequence[int], height: Interval) -> dict[str, object]:
    """What the script of a page finds at a minimum, or at a pass and the two that it joins.

    A mark and a row of a table with the same data are of the same.

    Example:
        >>> minima_data((3, 1), (0.25, 0.3))
        {'minima': '1 3', 'height': 0.3}
    """
    return {"minima": " ".join(map(str, sorted(minima))), "height": float(height[1])}


def leaf_places(tree: MergeTree) -> list[float]:
    """Where the leaves stand, so that no lines cross and low minima are towards the middle.

    Example:
        >>> from morsescape.morse.merge_tree import Join, MergeTree
        >>> joins = [Join(0, 2, (3.0, 3.0), "path", True), Join(1, 2, (4.0, 4.0), "path", True)]
        >>> leaf_places(MergeTree.of([(0.0, 0.0), (1.0, 1.0), (2.0, 2.0)], joins))
        [1.0, 0.0, 2.0]
    """
    nodes, order = tree.nodes, []
    below = {child for node in nodes for child in node.children}
    roots = [k for k in range(len(nodes)) if k not in below]

    def lowest(k: int) -> float:
        return min(tree.minima[leaf][1] for leaf in nodes[k].leaves)

    todo = [(k, True) for k in sorted(roots, key=lowest, reverse=True)]
    while todo:
        k, left = todo.pop()  # a part left of the middle has its lowest on the right
        children = sorted(nodes[k].children, key=lowest, reverse=left)
        if not children:
            order.append(k)
        sides = (left, left) if k in below else (True, False)
        todo += reversed(list(zip(children, sides, strict=False)))
    places = [0.0] * len(order)
    for place, leaf in enumerate(order):
        places[leaf] = float(place)
    return places


def _floor(tree: MergeTree) -> float:
    """What heights are told above: the lowest minimum, or 0 if only rounding tells it from that."""
    heights = [high for node in tree.nodes for high in node.height]
    lowest = min((low for low, _ in tree.minima), default=0.0)
    return lowest if heights and abs(lowest) > 1e-12 * (max(heights) - lowest) else 0.0


def _node_places(tree: MergeTree, x: Sequence[float]) -> list[float]:
    """Leaves where they stand, merges in the middle of what merges."""
    at = list(x)
    for node in tree.nodes[len(x) :]:
        at.append(sum(at[child] for child in node.children) / len(node.children))
    return at


def _branches(ax: Axes, tree: MergeTree, at: Sequence[float], y: np.ndarray) -> None:
    """Up from each part to where it merges, coloured by what joins it there."""
    by: dict[str, list[list[tuple[float, float]]]] = {"saddle": [], "path": []}
    for k, node in enumerate(tree.nodes):
        for child in node.children:
            way = [(at[child], y[child]), (at[child], y[k]), (at[k], y[k])]
            by[node.join.by if node.join is not None else "saddle"].append(way)
    for kind, colour, label in (("saddle", GREY, ""), ("path", ORANGE, "joined by a path")):
        lines = LineCollection(by[kind], colors=colour, linewidths=1.1, capstyle="round")
        if by[kind] and label:
            lines.set_label(label)
        ax.add_collection(lines)


def _leaf_words(tree: MergeTree, k: int, colours: Sequence[float] | None, label: str) -> str:
    shade = "" if colours is None else f", {label} {colours[k]:.4g}"
    return f"minimum {k}: f = {tree.minima[k][1]:.10g}{shade}"


def _merge_words(node: Node) -> str:
    assert node.join is not None
    by = f"a {node.join.by} between {node.join.a} and {node.join.b}"
    leaves = ", ".join(map(str, node.leaves))
    return f"minima {leaves} are joined from ε = {node.height[1]:.10g} on, proved, by {by}"


def _join_data(node: Node) -> dict[str, object]:
    assert node.join is not None
    return minima_data((node.join.a, node.join.b), node.height)


def _unsure(ax: Axes, tree: MergeTree, x: Sequence[float], floor: float) -> None:
    for k, join in enumerate(tree.uncertain):
        high = join.height[1] - floor
        ends = (tree.minima[place][1] - floor for place in (join.a, join.b))
        a, b = ends
        ax.plot([x[join.a], x[join.a], x[join.b], x[join.b]], [a, high, high, b], "--",
                color=VERMILLION, lw=0.8, label=None if k else "not certified")  # fmt: skip


def _points(ax: Axes) -> tuple[float, float]:
    """Width and height, before the layout makes room for what stands beside."""
    inch = ax.figure.dpi / 72
    return ax.bbox.width / inch, ax.bbox.height / inch


def _axes(ax: Axes, n: int, floor: float) -> None:
    dress(ax, "", f"f {'-' if floor > 0 else '+'} {abs(floor):.8g}" if floor else "f")
    ax.set_xticks([])
    ax.spines["bottom"].set_visible(False)
    ax.set_xlim(-0.8, max(n, 1) - 0.2)
    ax.margins(y=0.08)
    ax.autoscale_view(scalex=False)
    low, high = ax.get_ylim()
    ax.set_ylim(bottom=low - max(0.0, _BELOW / _points(ax)[1] - 0.08) * (high - low))
    form = ScalarFormatter(useOffset=False, useMathText=True)
    form.set_powerlimits((-3, 4))
    ax.yaxis.set_major_formatter(form)
