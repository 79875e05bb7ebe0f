"""One search for a pass, as a value: what it starts from, what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from morsescape.critical.result import CriticalPoint
from morsescape.morse.saddle import find_saddle
from morsescape.morse.sides import Pass, pass_over
from morsescape.objective import Objective
from morsescape.paths.path import Path
from morsescape.store.codec import Saved
from morsescape.store.run_folder import RunFolder

Pair = tuple[int, int]
Name = tuple[float | int | None, ...]


@dataclass(frozen=True, eq=False)
class Attempt(Saved):
    """One search for a pass, done.

    Attributes:
        pair: the minima between which it was looked for; twice one that it was to lead out of.
        over: the pass; None if there is none.
        why: how it ended.
        top: where on a path between the two it began; None for the boundary of a basin.
        copy: which of the paths to copies of one minimum that is; None for one between two minima.
    """

    pair: Pair
    over: Pass | None
    why: str
    top: float | None = None
    copy: int | None = None

    @property
    def name(self) -> Name:
        """The same as that of its search."""
        return _name(self.pair, self.top, self.copy)


@dataclass(frozen=True, eq=False)
class Search:
    """One search for a pass, to be done by whoever has f: it can be sent to another process.

    Attributes:
        pair, top, copy: as of `Attempt`.
        start: both minima, or the path, or the minimum to be led out of.
    """

    pair: Pair
    start: tuple[CriticalPoint, CriticalPoint] | Path | CriticalPoint
    top: float | None = None
    copy: int | None = None

    @property
    def name(self) -> Name:
        """What tells it from others of one graph."""
        return _name(self.pair, self.top, self.copy)

    def carried_out(self, f: Objective, seed: int) -> Attempt:
        """The saddle that is found, with both sides."""
        start = self.start
        if isinstance(start, Path) and self.top is not None:
            start = replace(start, height=replace(start.height, at=self.top))
        saddle = find_saddle(f, start, seed=seed)
        over = pass_over(f, saddle, seed=seed) if saddle.index == 1 else None
        return Attempt(self.pair, over, str(over or saddle.verdict), self.top, self.copy)


Together = Callable[[Mapping[str, Search], RunFolder | None], Iterable[Attempt]]


def _name(pair: Pair, top: float | None, copy: int | None) -> Name:
    return (*pair, top) if copy is None else (*pair, top, copy)
