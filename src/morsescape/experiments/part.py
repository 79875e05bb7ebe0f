"""What a study is to the whole: its command, its part of `reproduce`, its sections of the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from morsescape.experiments.point import AT, PointSettings
from morsescape.experiments.sweep import Task
from morsescape.page import Section
from morsescape.store import Piece
from morsescape.store.run_folders import BETWEEN

if TYPE_CHECKING:
    from morsescape.experiments.reproduce.study import ReproduceSettings

Pieces = Mapping[str, Piece]
_DIGITS, _IMAGES = 1797, 60_000


@dataclass(frozen=True, eq=False)
class Part:
    """One experiment: where its pieces are kept, how they are made, what they come to.

    Attributes:
        folder: name of the run folder; its first part is the kind.
        identity: settings of that folder.
        tasks: what makes its pieces.
        collect: the result of the pieces that are there; None if they say nothing yet.
        seconds: of a piece, roughly, on one core of a small machine.
    """

    folder: str
    identity: dict[str, Any]
    tasks: tuple[Task, ...]
    collect: Callable[[Pieces], Any]
    seconds: float

    @property
    def kind(self) -> str:
        """One of `PARTS`."""
        return self.folder.partition("/")[0]

    def key(self, task: Task) -> str:
        """What one of its pieces is called among those of all parts."""
        return f"{self.folder}{BETWEEN}{task.key}"

    def own(self, pieces: Pieces) -> Pieces:
        """Its pieces that are there, by their own keys, in the order of its tasks."""
        return {t.key: pieces[self.key(t)] for t in self.tasks if self.key(t) in pieces}


@dataclass(frozen=True, eq=False)
class Study:
    """One line of the registry.

    Attributes:
        name: of its folder, and of its command where it has one.
        kind: of the part of `reproduce` that it shows; empty for none.
        sections: its sections of the page, of all results of this kind.
        parts: the parts that make them; None where another study's results are shown.
    """

    name: str
    kind: str = ""
    sections: Callable[[list[Any]], list[Section]] = lambda results: []
    parts: Callable[[ReproduceSettings], Iterator[Part]] | None = None


def together(make: Callable[[list[Any]], Section]) -> Callable[[list[Any]], list[Section]]:
    """One section of all results."""
    return lambda results: [make(results)]


def one_by_one(make: Callable[[Any], Section]) -> Callable[[list[Any]], list[Section]]:
    """A section of each result."""
    return lambda results: [make(result) for result in results]


def points_of(
    settings: ReproduceSettings, optimizers: tuple[str, ...] = ()
) -> Iterator[tuple[str, PointSettings]]:
    """The settings of the paper's tables, by name."""
    for data in settings.data:
        for net in settings.nets:
            usual = PointSettings(net, data, samples=settings.samples, root=settings.root)
            for at in AT:
                yield f"{net}-{data}-{at}", replace(usual, at=at)
            for optimizer in optimizers:
                yield f"{net}-{data}-{optimizer}", replace(usual, optimizer=optimizer)


def roughly(point: PointSettings, fixed: float, of_all: float) -> float:
    """Seconds of what takes so many whatever the images are, and so many for 60,000 of them.

    Example:
        >>> roughly(PointSettings(data="mnist", samples=30_000), 2.0, 140.0)
        72.0
    """
    there = _DIGITS if point.data == "digits" else _IMAGES
    return fixed + of_all * min(point.samples or there, there) / _IMAGES


def the_only_piece(make: Callable[..., Any], settings: Any) -> Callable[[Pieces], Any]:
    """How a part that has one piece collects it: by `from_piece` of its result."""

    def collect(pieces: Pieces) -> Any:
        return next((make(settings, p.payload, p.tensors) for p in pieces.values()), None)

    return collect
