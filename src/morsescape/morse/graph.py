"""`ms.morse_graph`: minima, the passes between them, and the tree of sublevel sets they make."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import networkx as nx

from morsescape.boundary import (
    a_boolean,
    a_count,
    a_function,
    a_progress,
    a_seed,
    checked,
    instance,
)
from morsescape.critical.result import CriticalPoint
from morsescape.errors import ArgumentError
from morsescape.morse.attempt import Together
from morsescape.morse.growth import Growth, merge_tree
from morsescape.morse.merge_tree import Join, MergeTree
from morsescape.morse.orbits import CopiesJoined, copies_joined
from morsescape.morse.sides import Pass
from morsescape.objective import Objective
from morsescape.paths.connected import Connected
from morsescape.paths.copies import Copies
from morsescape.paths.element import Element
from morsescape.paths.spanning import landscape_identity
from morsescape.progress import Asked
from morsescape.store.codec import Saved

Interval = tuple[float, float]


@dataclass(frozen=True, eq=False)
class MorseGraph(Saved):
    """Minima and passes, as found: there may be more of both.

    Minima that a symmetry of f (relabelled hidden units, flipped signs) takes into each other count
    as one. An edge says that some copy of one end is joined to some copy of the other: with
    symmetries, "joined" is proved of orbits, not of every copy in Rᴰ.

    Attributes:
        minima: the given ones first, then those at which passes ended.
        given: how many were given.
        values: f at each minimum, as an interval, proved where its certificate is.
        passes: saddles of index 1 with both sides.
        ends: the places of the two minima of each pass.
        attempts: searches for a pass, with those that found none or one that was known.
        symmetric: whether minima are compared up to symmetries of f.
        paths: proved paths between given minima, which bound passes from above as well.
        elements: of each pass, the symmetries g and h of f for which it joins g·a to h·b, a and b
            its ends: the last vertices of its two chains.
        landscape: what tells f from others: its values at two points, and its ridge.

    Example:
        >>> import morsescape as ms
        >>> f = ms.zoo.himmelblau.objective()
        >>> starts = ms.zoo.himmelblau.starts(12, seed=0)
        >>> graph = ms.morse_graph(f, [ms.find_critical_point(f, start) for start in starts])
        >>> len(graph.minima), graph.merge_tree().threshold is not None
        (4, True)
    """

    minima: tuple[CriticalPoint, ...]
    given: int
    values: tuple[Interval, ...]
    passes: tuple[Pass, ...]
    ends: tuple[tuple[int, int], ...]
    attempts: int
    symmetric: bool
    paths: tuple[Join, ...] = ()
    elements: tuple[tuple[Element, Element], ...] = ()
    landscape: str = ""
    f: Objective | None = field(default=None, repr=False)
    UNSAVED: ClassVar[tuple[str, ...]] = ("f",)

    @property
    def saddles(self) -> tuple[CriticalPoint, ...]:
        """Of the passes."""
        return tuple(over.saddle for over in self.passes)

    def merge_tree(self, *, paths: bool = True) -> MergeTree:
        """How the components of M_ε join, by the passes that were found, and by paths or not."""
        return merge_tree(self.values, self.ends, self.passes, self.paths if paths else ())

    @property
    def network(self) -> nx.MultiGraph:
        """The graph, for NetworkX: nodes have `value`, edges `height` and `proved`."""
        graph = nx.MultiGraph()
        for k, minimum in enumerate(self.minima):
            graph.add_node(k, value=minimum.value)
        for (a, b), over in zip(self.ends, self.passes, strict=True):
            graph.add_edge(a, b, height=over.height, proved=over.proved)
        return graph

    @property
    def threshold(self) -> Interval | None:
        """ε* at which the given minima are in one component of M_ε; None if they are not joined.

        Each is joined for every ε ≥ ε*[1], proved. A pass that was not found can only be lower.
        """
        highest = self.highest()
        if highest is None:
            return self.values[0] if self.given == 1 else None
        return highest.height

    def highest(self, *, paths: bool = True) -> Join | None:
        """The join at which all given minima are first in one component; None if there is none."""
        return self.merge_tree(paths=paths).first_together(self.given)

    def copies_joined(self, f: Objective | None = None) -> CopiesJoined:
        """Which copies of the given minima the passes join, in the whole space.

        "Joined" of minima says that some copies are. Products of the group elements around closed
        ways through passes say more: the first minimum is joined to its copies under the subgroup
        that they generate; where that is the whole group, all copies of all given minima lie in one
        component of M_ε. Proved by saddles alone; `joined_copies` does it by paths.

        Args:
            f: the landscape; None takes that of the graph, which is not saved with it.

        Raises:
            ArgumentError: a graph that was loaded, without f; one that was kept without elements.

        Source:
            Gross, Voltage graphs, Discrete Mathematics 9 (1974) 239.

        Example:
            >>> import torch, morsescape as ms
            >>> f = ms.Objective.from_function(lambda t: (t[0] ** 2 - 1) ** 2 + t[1] ** 2, 2)
            >>> starts = (torch.tensor([x, 0.1]).double() for x in (-1.0, 1.0))
            >>> graph = ms.morse_graph(f, [ms.find_critical_point(f, start) for start in starts])
            >>> graph.copies_joined().order, graph.copies_joined().parts(2.0)
            (1, 1)
        """
        f = f or self.f
        if f is None or len(self.elements) != len(self.passes):
            what = ("f", "the landscape", "none", "pass it") if f is None else (
                "graph", "the symmetries of each pass", "a graph kept without them", "grow it again"
            )  # fmt: skip
            raise ArgumentError(what[0], expected=what[1], got=what[2], cure=what[3])
        over = zip(self.passes, self.ends, self.elements, strict=True)
        return copies_joined(f, self.minima, self.values, over, self.given)

    def merged(self, other: MorseGraph, f: Objective | None = None) -> MorseGraph:
        """Both graphs as one, of the same landscape: runs of two machines add up.

        Given minima and passes of both, each once up to symmetry; searches are added up. Paths of
        the other stay where their ends are minima of this one, or new.

        Args:
            other: a graph of the same f.
            f: the landscape; None takes that of one of the graphs, which is not saved with them.

        Raises:
            ArgumentError: a graph of another landscape, or of one that is not known; no f.

        Example:
            >>> import torch, morsescape as ms
            >>> f = ms.zoo.himmelblau.objective()
            >>> points = ([3.0, 2.0], [3.6, -1.8], [-2.8, 3.1])
            >>> a, b, c = (ms.find_critical_point(f, torch.tensor(p).double()) for p in points)
            >>> both = ms.morse_graph(f, [a, b]).merged(ms.morse_graph(f, [a, c]))
            >>> both.given, both.threshold is not None
            (3, True)
        """
        f = f or self.f or other.f
        if f is None:
            raise ArgumentError(
                "f", expected="the landscape", got="none, and both graphs were loaded",
                cure="pass it",
            )  # fmt: skip
        if {self.landscape, other.landscape} != {landscape_name(f)}:
            raise ArgumentError(
                "other", expected="graphs of the landscape f", got="one of another",
                cure="merge graphs of the same network, data and ridge",
            )  # fmt: skip
        growth = Growth(f, [m for g in (self, other) for m in g.minima[: g.given]], 0, None)
        joins = (*_led_on(self.paths, growth), *_led_on(other.paths, growth, self.given))
        for graph in (self, other):
            for over in graph.passes:
                growth.add(over)
        growth.attempts = self.attempts + other.attempts
        return _graph_of(growth, joins)

    def plot(self, ax: Any = None, **options: Any) -> Any:
        """The disconnectivity graph."""
        own = {"given": self.given, "symmetric": self.symmetric}
        return self.merge_tree().plot(ax, **{**own, **options})

    def html(self, path: str | os.PathLike[str], title: str = "") -> None:
        """Write a page that needs no other file and no network: the tree, its passes, its minima.

        A level ε moves over the tree, which tells the components of M_ε by the joins that are
        proved; what is pointed at is marked in all pictures and rows. With the landscape of the
        graph, which is not saved with it, f is drawn on the plane through the highest certified
        pass that is needed and its two minima, unless that takes long.

        Args:
            path: of the file.
            title: its heading.

        Raises:
            DataError: the disk is full, or the folder cannot be written.

        Example:
            >>> import tempfile, torch, morsescape as ms
            >>> f = ms.Objective.from_function(lambda t: (t[0] ** 2 - 1) ** 2 + t[1] ** 2, 2)
            >>> starts = (torch.tensor([x, 0.1]).double() for x in (-1.0, 1.0))
            >>> graph = ms.morse_graph(f, [ms.find_critical_point(f, start) for start in starts])
            >>> graph.html(f"{tempfile.mkdtemp()}/wells.html", "Two wells")
        """
        from morsescape.figures.graph_page import save_graph_page

        save_graph_page(self, path, title)

    def __str__(self) -> str:
        proved = sum(over.proved for over in self.passes)
        head = (
            f"{len(self.minima)} minima ({self.given} given), {len(self.passes)} passes "
            f"({proved} proved with both sides) in {self.attempts} searches"
        )
        highest = self.highest()
        if self.given == 1:
            return f"{head}; one was given, so that nothing is to be joined"
        if highest is None:
            return f"{head}; the given minima are not joined by them"
        copies = ", up to symmetries of f," if self.symmetric else ""
        return (
            f"{head}; the given minima{copies} lie in one component of M_ε for every "
            f"ε ≥ {highest.height[1]:.10g}, proved by a {highest.by}; passes that were not found "
            "can only lower this"
        )


@checked(
    f=instance(Objective, "ms.Objective(model, loss, data) makes one"),
    paths=instance(Connected, "ms.connected(f, minima) makes one"),
    copies=instance(Copies, "ms.joined_copies(f, minimum) makes one"), retries=a_count(0),
    most=a_count(0), downhill=a_boolean(), at_once=a_count(1), together=a_function(2),
    seed=a_seed(),
    progress=a_progress(),
)  # fmt: skip
def morse_graph(
    f: Objective,
    minima: Sequence[CriticalPoint],
    *,
    paths: Connected | None = None,
    copies: Copies | None = None,
    retries: int = 0,
    most: int | None = None,
    downhill: bool = False,
    out: str | os.PathLike[str] | None = None,
    at_once: int = 1,
    together: Together | None = None,
    seed: int = 0,
    progress: Asked = None,
) -> MorseGraph:
    """Join minima by certified passes, and say how the components of M_ε merge.

    Where a path of `paths` is lower than all passes known between its ends, passes are missing:
    they are searched for from its tops. Then pairs are chosen by the shortest way through the
    minima known so far, squared distances (after alignment) as lengths, zero where they are joined;
    each pair is searched for a saddle of index 1 (`find_saddle`), whose sides are followed down
    with proof (`pass_over`). They often end at new minima, which then lie between. It ends when the
    given minima are joined, or no pair is left. Then, `retries` times, the highest pass that holds
    them together is left out and the nearest pair across the gap is searched, for a lower one.

    Args:
        f: the landscape.
        minima: results of `find_critical_point`; copies of each other count once.
        paths: what `connected` proved of the same minima, in the same order; its paths bound the
            passes from above.
        copies: what `joined_copies` proved of one of the minima; its paths are searched for passes
            from their tops, where closed ways through passes do not lead to the copy yet.
        retries: searches for lower passes, once all are joined.
        most: searches in all; None is no limit.
        downhill: before pairs are searched, each component's lowest minima are led out of, through
            the pass that seems lowest (`find_saddle` from a minimum). Where minima are many, as
            along a chain between two, components go down and meet at less cost. Else they are led
            out of when all pairs were tried in vain.
        out: a folder that keeps every search; an interrupted graph goes on from there.
        at_once: so many pairs are chosen before the next are, by what came of them; which ones
            depends on it, and not on who searches.
        together: who does these, called as together(searches by their names, the folder), gives
            the attempts in the same order and keeps them in the folder; None does one after the
            other. `morsescape tree --workers` has processes for it.
        seed: of the searches.
        progress: True for bars, or called as progress(stage, done, total).

    Raises:
        ArgumentError: no minima; a folder of another landscape or other minima; paths of another
            number of solutions.

    Source:
        The sublevel sets M_ε are those of Akhtiamov & Thomson (2022), section 2; choice of pairs:
        Carr, Trygubenko & Wales, J. Chem. Phys. 122 (2005) 234903.

    Example:
        >>> import torch, morsescape as ms
        >>> f = ms.Objective.from_function(lambda t: (t[0] ** 2 - 1) ** 2 + t[1] ** 2, 2)
        >>> starts = (torch.tensor([x, 0.1]).double() for x in (-1.0, 1.0))
        >>> graph = ms.morse_graph(f, [ms.find_critical_point(f, start) for start in starts])
        >>> [round(x, 8) for x in graph.threshold]
        [1.0, 1.0]
    """
    assert progress is not True
    if not minima or not all(isinstance(m, CriticalPoint) for m in minima):
        raise ArgumentError(
            "minima", expected="one or more results of ms.find_critical_point",
            got=f"{len(minima)} values" if minima else "none", cure="find minima first",
        )  # fmt: skip
    if paths is not None and paths.solutions != len(minima):
        raise ArgumentError(
            "paths", expected=f"what ms.connected proved of these {len(minima)} minima",
            got=f"{paths.solutions} solutions", cure="pass both the same list",
        )  # fmt: skip
    growth = Growth(f, minima, seed, out, at_once, together, downhill)
    ways = zip(paths.edges, paths.paths, strict=False) if paths else ()
    tops = {(growth.places[e.a], growth.places[e.b]): path for e, path in ways}
    growth.run(retries, most, progress, tops, copies.paths if copies else ())
    joins = (
        Join(e.a, e.b, (e.height.low, e.height.high), "path", e.height.estimate is None)
        for e in (paths.edges if paths else ())
    )
    return _graph_of(growth, tuple(_led_on(joins, growth)))


def _graph_of(growth: Growth, joins: tuple[Join, ...]) -> MorseGraph:
    return MorseGraph(
        tuple(growth.minima), growth.given, tuple(growth.values), tuple(growth.passes),
        tuple(growth.ends), growth.attempts, growth.f.source.of_samples, joins,
        tuple(growth.elements), landscape_name(growth.f), growth.f,
    )  # fmt: skip


def landscape_name(f: Objective) -> str:
    """What tells f from others, as a text."""
    return json.dumps(landscape_identity(f), sort_keys=True)


def _led_on(joins: Iterable[Join], growth: Growth, first: int = 0) -> Iterator[Join]:
    """Paths between minima given to a growth from `first` on, led on to those in their places."""
    for join in joins:
        given = first + join.a, first + join.b
        a, b = (growth.places[k] for k in given)
        ends = [end for k in given if (end := growth.on_the_way[k]) is not None]
        high = max([join.height[1], *(end.high for end in ends)])
        sure = join.proved and all(end.estimate is None for end in ends)
        if a != b:
            yield Join(a, b, (join.height[0], high), join.by, sure)
