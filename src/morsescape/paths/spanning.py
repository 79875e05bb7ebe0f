"""A spanning tree of paths between solutions: which pairs are searched, what is kept on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import combinations

import networkx as nx
import torch
from torch import Tensor

from morsescape.objective import Objective
from morsescape.paths.curve import Curve
from morsescape.paths.path import Path
from morsescape.progress import StageProgress
from morsescape.store.run_folder import RunFolder

_LOOKS = 9  # samples of the line between two solutions, to choose the tree
Pair = tuple[int, int]


class Spanning:
    """A tree of paths while it is searched.

    Args:
        f: the landscape.
        points: the solutions, each as it was aligned.
        joined: searches for a path between two of them.
        folder: keeps every path.
    """

    def __init__(
        self, f: Objective, points: Sequence[Tensor], joined: Callable[[int, int], Path],
        folder: RunFolder | None,
    ) -> None:  # fmt: skip
        self.f, self.points, self.joined, self.folder = f, points, joined, folder

    def run(self, retries: int, progress: StageProgress | None) -> dict[Pair, Path]:
        """The paths of the tree, its highest edge searched anew `retries` times."""
        tree = spanning_tree(self.tops, len(self.points))
        tried, kept = set(tree), {}
        for done, pair in enumerate(tree):
            kept[pair] = self._path(*pair)
            if progress is not None:
                progress(done + 1, len(tree) + retries)
        for done in range(retries):
            highest = max(kept, key=lambda pair: kept[pair].height.high)
            other = self._across(kept, highest, tried)
            if other is None:
                break
            tried.add(other)
            path = self._path(*other)
            if path.height.high < kept[highest].height.high:
                del kept[highest]
                kept[other] = path
            if progress is not None:
                progress(len(tree) + done + 1, len(tree) + retries)
        return kept

    @cached_property
    def tops(self) -> dict[Pair, float]:
        """The highest sample on the straight line, for every pair."""
        shares = [k / (_LOOKS + 1) for k in range(1, _LOOKS + 1)]
        lines = {
            (a, b): Curve.chain(torch.stack([self.points[a], self.points[b]]))
            for a, b in combinations(range(len(self.points)), 2)
        }
        return {p: max(self.f.value(line(t)) for t in shares) for p, line in lines.items()}

    def _across(self, kept: dict[Pair, Path], highest: Pair, tried: set[Pair]) -> Pair | None:
        """The pair not tried, with the lowest line, that bridges the gap without that edge."""
        rest = nx.Graph(pair for pair in kept if pair != highest)
        rest.add_nodes_from(highest)
        left, right = (nx.node_connected_component(rest, end) for end in highest)
        pairs = [(min(a, b), max(a, b)) for a in left for b in right]
        return min((p for p in pairs if p not in tried), key=lambda p: self.tops[p], default=None)

    def _path(self, a: int, b: int) -> Path:
        """A search, or what is kept of it."""
        return kept_path(self.folder, f"path-{a}-{b}", self.f, lambda: self.joined(a, b))


def kept_path(folder: RunFolder | None, key: str, f: Objective, search: Callable[[], Path]) -> Path:
    """The path that is kept under a key, or one that is searched for and kept."""
    piece = folder.load(key) if folder else None
    if piece is not None:
        return Path.from_json(piece.payload, f=f, **piece.tensors)
    path = search()
    if folder:
        folder.save(key, *path.to_piece())
    return path


def spanning_tree(weights: dict[Pair, float], count: int) -> list[Pair]:
    """The pairs of a minimum spanning tree, each with the smaller place first."""
    graph = nx.Graph()
    graph.add_nodes_from(range(count))
    graph.add_weighted_edges_from((a, b, weight) for (a, b), weight in weights.items())
    edges = nx.minimum_spanning_edges(graph, data=False)
    return sorted((min(edge), max(edge)) for edge in edges)


def landscape_identity(f: Objective) -> dict[str, object]:
    """What a folder of searches is of: f is known by its values at two points, and its ridge."""
    g = torch.Generator().manual_seed(0)
    probes = torch.randn(2, f.dim, generator=g, dtype=torch.float64)
    values = [float(f"{f.value(0.3 * p):.8g}") for p in probes]
    return {"variables": f.dim, "l2": f.l2, "values at two points": values}
