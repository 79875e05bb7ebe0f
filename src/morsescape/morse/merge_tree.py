r"""The merge tree of sublevel sets: which minima lie in one component of M_ε, for every ε.

Minima are born at their height; a join at height h says that two of them lie in one component of
M_ε for every ε ≥ h. The joins that matter are a minimum spanning forest by height (Kruskal): the
highest join on the way between two minima in it is the lowest over all ways, their minimax pass.
Heights are sorted as they are, without bins. They are bounds from above: a pass that nobody found
may be lower, never higher.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import networkx as nx

from morsescape.errors import ArgumentError
from morsescape.store.codec import Saved

Interval = tuple[float, float]


@dataclass(frozen=True)
class Join(Saved):
    """Two minima that are joined.

    Attributes:
        a, b: their places in the list.
        height: they lie in one component of M_ε for every ε ≥ height[1]; what joins them is at
            least height[0] high.
        by: "saddle" or "path".
        proved: whether that is.
    """

    a: int
    b: int
    height: Interval
    by: str
    proved: bool


@dataclass(frozen=True)
class Node:
    """A node of the merge tree: a minimum, or where components merge.

    Attributes:
        height: of the minimum or of the join, an interval.
        leaves: places of the minima below it.
        children: places, in `MergeTree.nodes`, of the nodes that merge here; none for a minimum.
        join: what merges them.
    """

    height: Interval
    leaves: tuple[int, ...]
    children: tuple[int, ...] = ()
    join: Join | None = None


@dataclass(frozen=True)
class MergeTree(Saved):
    """How the components of M_ε that hold some minima merge as ε rises.

    Attributes:
        minima: their heights, as intervals.
        joins: a minimum spanning forest of the proved joins, from the lowest up.
        uncertain: joins that are not proved. They are no part of the tree.
        complete: whether components merge at no other critical point, proved.

    Example:
        >>> from morsescape.morse.merge_tree import Join, MergeTree
        >>> joins = [Join(0, 1, (3.0, 3.1), "saddle", True), Join(1, 2, (2.0, 2.1), "path", True),
        ...          Join(0, 2, (5.0, 5.1), "saddle", True)]
        >>> tree = MergeTree.of([(0.0, 0.0), (1.0, 1.0), (1.5, 1.5)], joins)
        >>> tree.threshold, tree.pass_between(0, 2).height, tree.components(2.5)
        ((3.0, 3.1), (3.0, 3.1), [{0}, {1, 2}])
    """

    minima: tuple[Interval, ...]
    joins: tuple[Join, ...]
    uncertain: tuple[Join, ...] = ()
    complete: bool = False

    @classmethod
    def of(cls, minima: Sequence[Interval], joins: Sequence[Join]) -> MergeTree:
        """The tree of some minima and all that joins them.

        Raises:
            ArgumentError: a join of a minimum that is not there.
        """
        graph = nx.Graph()
        graph.add_nodes_from(range(len(minima)))
        for join in joins:
            if not {join.a, join.b} <= {*range(len(minima))}:
                raise ArgumentError(
                    "joins", expected=f"places of {len(minima)} minima",
                    got=f"{join.a} and {join.b}", cure="count from 0",
                )  # fmt: skip
            known = graph.get_edge_data(join.a, join.b)
            lower = known is None or join.height[1] < known["weight"]
            if join.proved and join.a != join.b and lower:
                graph.add_edge(join.a, join.b, weight=join.height[1], join=join)
        kept = [data["join"] for *_, data in nx.minimum_spanning_edges(graph, data=True)]
        kept.sort(key=lambda join: join.height[1])
        unsure = tuple(join for join in joins if not join.proved)
        return cls(tuple(minima), tuple(kept), unsure)

    @cached_property
    def _forest(self) -> nx.Graph:
        forest = nx.Graph()
        forest.add_nodes_from(range(len(self.minima)))
        forest.add_edges_from((join.a, join.b, {"join": join}) for join in self.joins)
        return forest

    def components(self, eps: float) -> list[set[int]]:
        """The minima with f ≤ ε, by the component of M_ε in which they are proved to lie."""
        graph = nx.Graph()
        graph.add_nodes_from(k for k, (_, high) in enumerate(self.minima) if high <= eps)
        graph.add_edges_from((j.a, j.b) for j in self.joins if j.height[1] <= eps)
        return sorted(map(set, nx.connected_components(graph)), key=min)

    def pass_between(self, a: int, b: int) -> Join | None:
        """The join that bounds the minimax pass of two minima from above; None if there is none."""
        if a == b or not nx.has_path(self._forest, a, b):
            return None
        way = nx.shortest_path(self._forest, a, b)
        joins = [self._forest.edges[p]["join"] for p in pairwise(way)]
        return max(joins, key=lambda join: join.height[1])

    def first_together(self, count: int) -> Join | None:
        """The join at which the first so many minima are first in one component, or None."""
        joins = [self.pass_between(0, k) for k in range(1, count)]
        known = [join for join in joins if join is not None]
        if not known or len(known) < len(joins):
            return None
        return max(known, key=lambda join: join.height[1])

    @property
    def threshold(self) -> Interval | None:
        """ε* at which all minima are in one component of M_ε; None if they are not joined."""
        if len(self.joins) < len(self.minima) - 1 or not self.minima:
            return None
        if not self.joins:
            return self.minima[0]
        return self.joins[-1].height

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """The minima, in their order, then the merges from the lowest up: a binary tree."""
        nodes = [Node(height, (k,)) for k, height in enumerate(self.minima)]
        top = list(range(len(nodes)))  # of the part in which each minimum is
        for join in self.joins:
            left, right = top[join.a], top[join.b]
            leaves = nodes[left].leaves + nodes[right].leaves
            nodes.append(Node(join.height, leaves, (left, right), join))
            for leaf in leaves:
                top[leaf] = len(nodes) - 1
        return tuple(nodes)

    @property
    def persistence(self) -> tuple[tuple[float, float | None], ...]:
        """The bars of H₀: birth at a minimum, death where it meets a lower one; None lives on.

        By upper ends of the intervals; the order of two that overlap is not decided.
        """
        oldest = {k: k for k in range(len(self.minima))}
        death: dict[int, float | None] = dict.fromkeys(oldest)
        for node in self.nodes[len(self.minima) :]:
            roots = [min(self.nodes[c].leaves, key=self._birth) for c in node.children]
            younger = max(roots, key=self._birth)
            death[younger] = node.height[1]
        return tuple((self.minima[k][1], death[k]) for k in sorted(death, key=self._birth))

    def _birth(self, k: int) -> tuple[float, int]:
        return self.minima[k][1], k

    @property
    def ambiguous(self) -> int:
        """Neighbouring joins whose intervals overlap: which of them is lower is not decided."""
        heights = [join.height for join in self.joins]
        return sum(low <= high for (_, high), (low, _) in pairwise(heights))

    def plot(self, ax: Any = None, **options: Any) -> Any:
        """Draw it as a disconnectivity graph; options as of `figures.disconnectivity_figure`."""
        from morsescape.figures.disconnectivity import disconnectivity_figure

        return disconnectivity_figure(self, ax, **options)

    def __str__(self) -> str:
        n, threshold = len(self.minima), self.threshold
        if threshold is None:
            parts = n - len(self.joins)
            head = f"{n} minima in {parts} parts that nothing proved joins"
        else:
            head = (
                f"{n} minima, all in one component of M_ε for every ε ≥ {threshold[1]:.10g}, proved"
            )
        order = f"; the order of {self.ambiguous} merges is not decided" if self.ambiguous else ""
        return f"{head}{order}; {self.missing}"

    @property
    def missing(self) -> str:
        """What passes that are not in the tree may change, in words."""
        if self.complete:
            return "no pass is missing, proved"
        return "saddles that were not found can only lower the passes"
