"""The parts of `reproduce`: for each experiment of the paper its run folder and its tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from morsescape.experiments.index import IndexResult, IndexSettings, index_run
from morsescape.experiments.linear_regression import LinearResult, LinearSettings, linear_run
from morsescape.experiments.point import AT, PointSettings
from morsescape.experiments.scatter import ScatterSettings, assemble_scatter, scatter_tasks
from morsescape.experiments.spectrum import SpectrumResult, SpectrumSettings, spectrum_task
from morsescape.experiments.task import Task
from morsescape.store import Piece
from morsescape.store.run_folders import BETWEEN

if TYPE_CHECKING:
    from morsescape.experiments.reproduce import ReproduceSettings

Pieces = Mapping[str, Piece]


@dataclass(frozen=True, eq=False)
class Part:
    """One experiment: where its pieces are kept, how they are made, what they come to.

    Attributes:
        kind: one of `PARTS`.
        folder: name of the run folder.
        identity: settings of that folder.
        tasks: what makes its pieces.
        collect: the result of the pieces that are there; None if they say nothing yet.
    """

    kind: str
    folder: str
    identity: dict[str, Any]
    tasks: tuple[Task, ...]
    collect: Callable[[Pieces], Any]

    def key(self, task: Task) -> str:
        """What one of its pieces is called among those of all parts."""
        return f"{self.folder}{BETWEEN}{task.key}"

    def own(self, pieces: Pieces) -> Pieces:
        """Its pieces that are there, by their own keys, in the order of its tasks."""
        return {t.key: pieces[self.key(t)] for t in self.tasks if self.key(t) in pieces}


def parts_of(settings: ReproduceSettings) -> tuple[Part, ...]:
    """The parts that `settings` asks for, in the order of the paper."""
    return tuple(part for kind in settings.parts for part in _MAKERS[kind](settings))


def _tables(settings: ReproduceSettings) -> Iterator[Part]:
    """Tables 5.2 and 5.5."""
    for name, point in _points(settings, settings.optimizers):
        own = IndexSettings(point, settings.seed, settings.runs)
        tasks = tuple(Task(f"seed-{seed}", index_run, (own, seed)) for seed in own.seeds)
        yield Part("tables", f"tables/{name}", own.identity(), tasks, partial(_runs, own))


def _runs(settings: IndexSettings, pieces: Pieces) -> IndexResult | None:
    runs = tuple(piece.payload for piece in pieces.values())
    return IndexResult(settings, runs) if runs else None


def _spectra(settings: ReproduceSettings) -> Iterator[Part]:
    """Figures 5.2, one run of each setting."""
    for name, point in _points(settings):
        own = SpectrumSettings(point, settings.seed)
        tasks = (Task("point", spectrum_task, (own,)),)
        yield Part(
            "spectra", f"spectra/{name}", own.identity(), tasks, partial(_only, SpectrumResult, own)
        )


def _only(kind: Any, settings: Any, pieces: Pieces) -> Any:
    """The result of a part that has one piece."""
    if not pieces:
        return None
    (piece,) = pieces.values()
    return kind.from_piece(settings, piece.payload, piece.tensors)


def _scatter(settings: ReproduceSettings) -> Iterator[Part]:
    """Section 5.3."""
    for data in settings.data:
        point = PointSettings("cnn", data, samples=settings.samples, root=settings.root)
        own = ScatterSettings(point, settings.seed, settings.members)
        tasks = tuple(scatter_tasks(own))
        collect = partial(assemble_scatter, own)
        yield Part("scatter", f"scatter/{data}", own.identity(), tasks, collect)


def _linear(settings: ReproduceSettings) -> Iterator[Part]:
    """Section 5.4 and Example 1."""
    own = LinearSettings(seed=settings.seed)
    tasks = (Task("regression", linear_run, (own,)),)
    yield Part("linear", "linear", own.identity(), tasks, partial(_only, LinearResult, own))


def _points(
    settings: ReproduceSettings, optimizers: tuple[str, ...] = ()
) -> Iterator[tuple[str, PointSettings]]:
    """The settings of the tables, by name."""
    for data in settings.data:
        for net in settings.nets:
            usual = PointSettings(net, data, samples=settings.samples, root=settings.root)
            for at in AT:
                yield f"{net}-{data}-{at}", replace(usual, at=at)
            for optimizer in optimizers:
                yield f"{net}-{data}-{optimizer}", replace(usual, optimizer=optimizer)


_MAKERS: dict[str, Callable[[ReproduceSettings], Iterator[Part]]] = {
    "tables": _tables,
    "spectra": _spectra,
    "scatter": _scatter,
    "linear": _linear,
}
PARTS = tuple(_MAKERS)
