"""How a Morse graph grows: which pair is searched next, what comes of it, what is kept on disk."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import networkx as nx
import torch
from torch import Tensor

from morsescape.critical.result import CriticalPoint, check_its_own
from morsescape.errors import ArgumentError
from morsescape.morse.attempt import Attempt, Name, Pair, Search, Together
from morsescape.morse.distances import Distances
from morsescape.morse.merge_tree import Join, MergeTree
from morsescape.morse.orbits import ways_of
from morsescape.morse.sides import Pass, Side, height_below
from morsescape.objective import Objective
from morsescape.paths.connect import coincide, moved_next_to
from morsescape.paths.connected import level_of
from morsescape.paths.element import Element
from morsescape.paths.height import Height
from morsescape.paths.path import Path
from morsescape.paths.spanning import landscape_identity
from morsescape.progress import Progress
from morsescape.store.run_folder import RunFolder

_SAME = 1e-6  # distance, after alignment and against the size of θ, of two results of one minimum
_LOWEST = 4  # minima of a part that it is led out of, before pairs are searched
_SAME_VALUE = 1e-8  # |difference| of f, against 1 + |f|, above which they are not compared


def merge_tree(
    values: Sequence[tuple[float, float]], ends: Sequence[Pair], passes: Sequence[Pass],
    paths: Sequence[Join] = (),
) -> MergeTree:  # fmt: skip
    """The tree of minima with these values, joined at both ends of these passes and by paths."""
    joins = [
        Join(a, b, over.height, "saddle", over.proved)
        for (a, b), over in zip(ends, passes, strict=True) if a != b
    ]  # fmt: skip
    return MergeTree.of(values, [*joins, *paths])


def _key(attempt: int) -> str:
    return f"attempt-{attempt:05}"


class Growth:
    """A graph while it grows.

    Attributes:
        minima, values, passes, ends, elements, given, attempts: as of `MorseGraph`.
        places: of the given minima, copies of which share one.
        on_the_way: for each given minimum the height of the line to the copy of the one in its
            place; None where it is that one.
    """

    def __init__(
        self, f: Objective, minima: Sequence[CriticalPoint], seed: int,
        out: str | os.PathLike[str] | None, at_once: int = 1, together: Together | None = None,
        downhill: bool = False,
    ) -> None:  # fmt: skip
        self.f, self.seed, self.at_once, self.together = f, seed, at_once, together
        self.downhill = downhill
        self.minima: list[CriticalPoint] = []
        self.values: list[tuple[float, float]] = []
        self.passes: list[Pass] = []
        self.ends: list[Pair] = []
        self.elements: list[tuple[Element, Element]] = []
        self.attempts, self.tried = 0, set[Name]()
        self.retried = 0  # searches across a cut, when all were joined: also those of earlier runs
        self._near = Distances(f, self.minima, seed)
        self.places: list[int] = []
        self.on_the_way: list[Height | None] = []
        for k, minimum in enumerate(minima):
            f.check(minimum.theta, f"minima[{k}]", finite=True)
            check_its_own(f, minimum, f"minima[{k}]")
            place, copy, _ = self._place(minimum)
            self.places.append(place)
            same = torch.equal(copy, minimum.theta)
            chain = torch.stack([minimum.theta, copy])
            self.on_the_way.append(None if same else height_below(f, chain, minimum.value))
        self.given = len(self.minima)
        self.folder = None if out is None else RunFolder(out, self._settings())

    def run(
        self, retries: int, most: int | None, progress: Progress | None,
        paths: Mapping[Pair, Path] | None = None, copies: Sequence[Path] = (),
    ) -> None:  # fmt: skip
        """What is kept; tops of paths; exits; gaps; `retries` for lower passes; ways to copies."""
        most = most if most is not None else 10**9
        self._take_kept(most)
        tops = [(pair, path, t) for pair, path in (paths or {}).items() for t in path.tops()]
        if not self.downhill:
            self._from_tops(tops, most, progress)
        first, then = (self._exits, self._gaps) if self.downhill else (self._gaps, self._exits)
        while self.attempts < most:
            room = min(self.at_once, most - self.attempts)
            pairs = first(room) or then(room)
            if not pairs and self._joined():
                pairs = self._across(min(room, retries - self.retried))
            if not pairs:
                break
            self._search([self._between(pair) for pair in pairs], progress)
        self._from_tops(tops, most, progress)
        self._close(copies, most, progress)

    def _from_tops(
        self, tops: list[tuple[Pair, Path, float]], most: int, progress: Progress | None
    ) -> None:
        """From the tops of paths that are lower than the passes known between their ends."""
        while tops and self.attempts < most:
            room, chosen = min(self.at_once, most - self.attempts), list[Search]()
            while tops and len(chosen) < room:
                pair, path, top = tops.pop(0)
                if self._misses(pair, path):
                    chosen.append(self._from_path(pair, path, top))
            self._search(chosen, progress)

    def _close(self, copies: Sequence[Path], most: int, progress: Progress | None) -> None:
        """From the tops of paths to copies, where closed ways do not lead to the copy yet."""
        ways = ways_of(self.f, self.minima) if copies else None
        joined = 0
        for number, path in enumerate(copies):
            ends = [self._known(path(t)) for t in (0.0, 1.0)]
            for top in path.tops():
                assert ways is not None
                for k in range(joined, len(self.passes)):
                    ways.take(self.passes[k], self.ends[k], self.elements[k])
                joined = len(self.passes)
                (a, g), (b, h) = ends
                if self.attempts < most and not ways.leads(a, g, b, h):
                    self._search([self._from_path((a, b), path, top, number)], progress)

    def _known(self, theta: Tensor) -> tuple[int, Element]:
        """The given minimum of which θ is a copy, and by which symmetry.

        Raises:
            ArgumentError: none is.
        """
        for k, minimum in enumerate(self.minima[: self.given]):
            copy, element = moved_next_to(self.f, theta, minimum.theta, self.seed)
            if coincide(theta, copy, _SAME):
                return k, element
        raise ArgumentError(
            "copies", expected="paths between copies of a given minimum", got="those of another",
            cure="pass what ms.joined_copies made of one of the minima",
        )  # fmt: skip

    def _take_kept(self, most: int) -> None:
        """The searches of an earlier run, in their order."""
        while self.folder and self.attempts < most:
            piece = self.folder.load(_key(self.attempts))
            if piece is None:
                return
            self._take(Attempt.from_json(piece.payload, **piece.tensors))

    def _misses(self, pair: Pair, path: Path) -> bool:
        """Whether a path is lower than the passes between its ends: then one is missing."""
        known = self.tree.pass_between(*pair)
        return pair[0] != pair[1] and (known is None or known.height[0] > path.height.high)

    def _between(self, pair: Pair) -> Search:
        a, b = pair
        return Search(pair, self.minima[a] if a == b else (self.minima[a], self.minima[b]))

    def _from_path(self, pair: Pair, path: Path, top: float, copy: int | None = None) -> Search:
        return Search(pair, replace(path, f=None), top, copy)  # f does not travel

    def _search(self, searches: Sequence[Search], progress: Progress | None) -> None:
        new = {search.name: search for search in searches if search.name not in self.tried}
        named = {_key(self.attempts + k): search for k, search in enumerate(new.values())}
        if self.together is not None and named:
            made = self.together(named, self.folder)
        else:
            made = (self._here(key, search) for key, search in named.items())
        for attempt in made:
            self._take(attempt)
            if progress is not None:
                parts = self._parts()
                done = self.given - len({self._part_of(parts, k) for k in range(self.given)})
                progress("minima joined", done, self.given - 1)

    def _here(self, key: str, search: Search) -> Attempt:
        made = search.carried_out(self.f, self.seed)
        if self.folder:
            self.folder.save(key, *made.to_piece())
        return made

    def _take(self, attempt: Attempt) -> None:
        self.attempts += 1
        self.tried.add(attempt.name)
        self.retried += int(attempt.top is None and self._joined())
        if attempt.over is not None:
            self.add(attempt.over)

    def add(self, over: Pass) -> None:
        """A pass between minima, unless it is known; its feet may be new ones."""
        if any(s.minimum.index != 0 for s in over.sides):
            return
        placed = [self._place(side.minimum) for side in over.sides]
        top = over.saddle.value
        first, second = (
            self._ended(side, copy, top)
            for side, (_, copy, _) in zip(over.sides, placed, strict=True)
        )
        ends = (placed[0][0], placed[1][0])
        for known, where in zip(self.passes, self.ends, strict=True):
            if {*where} == {*ends} and self._copy(known.saddle, over.saddle) is not None:
                return
        self.passes.append(replace(over, sides=(first, second)))
        self.ends.append(ends)
        self.elements.append((placed[0][2], placed[1][2]))

    def _place(self, minimum: CriticalPoint) -> tuple[int, Tensor, Element]:
        """The place of a minimum, new if need be, the copy that this one is, and by which g."""
        for k, known in enumerate(self.minima):
            copy = self._copy(minimum, known)
            if copy is not None:
                return k, *copy
        self.minima.append(minimum)
        self.values.append(level_of(self.f, minimum) or (minimum.value, minimum.value))
        return len(self.minima) - 1, minimum.theta, Element()

    def _copy(self, one: CriticalPoint, other: CriticalPoint) -> tuple[Tensor, Element] | None:
        """The copy g·other under symmetries g of f that is the same as one; None if none is."""
        if abs(one.value - other.value) > _SAME_VALUE * (1 + abs(one.value)):
            return None
        copy, element = moved_next_to(self.f, one.theta, other.theta, self.seed)
        return (copy, element) if coincide(one.theta, copy, _SAME) else None

    def _ended(self, side: Side, copy: Tensor, top: float) -> Side:
        """The side, its chain ended at the copy of the minimum that is in the list."""
        if torch.equal(side.chain[-1], copy):
            return side
        last = height_below(self.f, torch.stack([side.chain[-1], copy]), top)
        height = replace(
            side.height, high=max(side.height.high, last.high),
            estimate=side.height.estimate or last.estimate,
        )  # fmt: skip
        return replace(side, chain=torch.cat([side.chain, copy[None]]), height=height)

    # -- which pair next --------------------------------------------------------------------------

    @property
    def tree(self) -> MergeTree:
        """How the components join by what was found so far."""
        return merge_tree(self.values, self.ends, self.passes)

    def _parts(self) -> list[set[int]]:
        return self.tree.components(math.inf)

    @staticmethod
    def _part_of(parts: list[set[int]], k: int) -> int:
        return next(n for n, part in enumerate(parts) if k in part)

    def _joined(self) -> bool:
        parts = self._parts()
        return len({self._part_of(parts, k) for k in range(self.given)}) == 1

    def _exits(self, most: int) -> list[Pair]:
        """Of parts that are not joined, a minimum to be led out of: the lowest not tried.

        First where fewest were tried. Parts so go down, as water does, and meet where the landscape
        is low: there are fewer minima than on the way between two high ones.
        """
        if self._joined():
            return []
        choices = list[tuple[int, int]]()
        for part in self._parts():
            if any(k < self.given for k in part):
                lowest = sorted(part, key=lambda k: self.minima[k].value)[:_LOWEST]
                tried = [(k, k, None) in self.tried for k in lowest]
                left = [k for k, t in zip(lowest, tried, strict=True) if not t]
                choices += [(sum(tried), k) for k in left[:1]]
        return [(k, k) for _, k in sorted(choices)[:most]]

    def _gaps(self, most: int) -> list[Pair]:
        """Gaps on the shortest ways from the first minimum to those not joined, nearest first.

        Lengths are bounds from below until a shortest way needs them: a way that is shortest by
        bounds, and all of whose lengths are exact, is shortest.
        """
        parts = self._parts()
        part = [self._part_of(parts, k) for k in range(len(self.minima))]
        ways = nx.Graph()
        ways.add_nodes_from(range(len(part)))  # also one of which all pairs were tried
        for a in range(len(part)):
            for b in range(a):
                if part[a] == part[b]:
                    ways.add_edge(a, b, weight=0.0)
                elif (b, a, None) not in self.tried:
                    ways.add_edge(a, b, weight=self._near.bound(b, a) ** 2)
        while True:
            lengths, routes = nx.single_source_dijkstra(ways, 0)
            apart = [k for k in range(self.given) if part[k] != part[0] and k in lengths]
            gaps: dict[Pair, None] = {}  # in this order, each once
            for k in sorted(apart, key=lambda k: lengths[k]):
                steps = [(min(p), max(p)) for p in pairwise(routes[k]) if part[p[0]] != part[p[1]]]
                gaps.update(dict.fromkeys(steps))
                if len(gaps) >= most:
                    break
            unsure = [p for p in gaps if not self._near.known(*p)]
            if not unsure:
                return list(gaps)[:most]
            for p in unsure:
                ways.edges[p]["weight"] = self._near.exact(*p) ** 2

    def _across(self, most: int) -> list[Pair]:
        """The nearest pairs not tried across the cut that the highest pass of the tree bridges."""
        joins = self.tree.joins
        for highest in reversed(joins if most > 0 else ()):
            a, b = highest.a, highest.b
            cut = nx.Graph((join.a, join.b) for join in joins if join is not highest)
            cut.add_nodes_from((a, b))
            left, right = nx.node_connected_component(cut, a), nx.node_connected_component(cut, b)
            pairs = [(min(i, j), max(i, j)) for i in left for j in right]
            pairs = [p for p in pairs if (*p, None) not in self.tried]
            if pairs and all(any(k < self.given for k in side) for side in (left, right)):
                nearest = list[Pair]()
                while pairs and len(nearest) < most:
                    nearest.append(self._near.nearest(pairs))
                    pairs.remove(nearest[-1])
                return nearest
        return []

    # -- what the folder is of --------------------------------------------------------------------

    def _settings(self) -> dict[str, object]:
        """What the searches depend on."""
        return {
            "experiment": "morse graph", **landscape_identity(self.f), "seed": self.seed,
            "minima": [float(f"{m.value:.10g}") for m in self.minima],
        }  # fmt: skip
