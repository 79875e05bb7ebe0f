"""Every experiment of the paper as one sweep: each a run folder of its own, filled side by side."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from morsescape.boundary import (
    a_boolean,
    a_count,
    a_function,
    a_path,
    a_seed,
    checked,
    choices,
    instance,
    named,
    option,
)
from morsescape.data import NAMES as DATA
from morsescape.errors import DataError
from morsescape.experiments.part import Part
from morsescape.experiments.registry import PARTS, STUDIES
from morsescape.experiments.sweep.announced import announced, kept_pieces
from morsescape.experiments.sweep.run import Task, run_tasks
from morsescape.experiments.sweep.schedulers import SCHEDULERS, Scheduler
from morsescape.nets import NAMES as NETS
from morsescape.progress import Progress
from morsescape.store import Piece, RunFolders, Saved

ASKED = "asked.json"  # the settings of the last command, whether it was interrupted or not


@checked(
    option,
    data=choices(DATA, least=1), nets=named("--net", choices(NETS, least=1)),
    parts=choices(PARTS, least=1), runs=a_count(1), members=a_count(2), seed=a_seed(),
    samples=a_count(1),
    # Others need a learning rate of their own.
    optimizers=named("--optimizer", choices(("lbfgs",))), root=a_path(),
)  # fmt: skip
@dataclass(frozen=True)
class ReproduceSettings(Saved):
    """What to reproduce, and how much of it.

    Attributes:
        data: names of data sets; the paper's are mnist and fashion-mnist.
        nets: names of networks.
        parts: which experiments, of `PARTS`.
        runs: networks in each setting of the tables; run k has seed + k.
        members: networks in the ensemble of section 5.3.
        seed: of the first run.
        samples: take the first so many images; None takes all.
        optimizers: further optimizers of the trained networks, beside the paper's own.
        root: folder of the data; it does not change the results.

    Raises:
        ArgumentError: an unknown name, a name that is given twice, or a number below one.

    Example:
        >>> ReproduceSettings(("mnist", "fashion-mnist")).runs
        10
    """

    data: tuple[str, ...] = ("digits",)
    nets: tuple[str, ...] = NETS
    parts: tuple[str, ...] = PARTS
    runs: int = 10
    members: int = 500
    seed: int = 0
    samples: int | None = None
    optimizers: tuple[str, ...] = ()
    root: str | None = None
    UNSAVED: ClassVar[tuple[str, ...]] = ("root",)

    def __str__(self) -> str:
        samples = "all images" if self.samples is None else f"the first {self.samples:,} images"
        runs = "1 run" if self.runs == 1 else f"{self.runs} runs"
        tables = " in the tables, one elsewhere" if self.runs > 1 and len(self.parts) > 1 else ""
        return (
            f"{', '.join(self.nets)} on {', '.join(self.data)}, {samples}, {runs} a setting{tables}"
        )


@dataclass(frozen=True, eq=False)
class ReproduceResult:
    """What is there so far: one result for each part that has any of its pieces.

    Attributes:
        settings: what was asked for.
        parts: the parts in their order.
        pieces: the finished pieces by key.
    """

    settings: ReproduceSettings
    parts: tuple[Part, ...]
    pieces: dict[str, Piece]

    def of(self, kind: str) -> list[Any]:
        """The results of the parts of one kind, as far as they can be told from what is there."""
        return self._results.get(kind, [])

    @cached_property
    def _results(self) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {}
        for part in self.parts:
            result = part.collect(part.own(self.pieces))
            if result is not None:
                found.setdefault(part.kind, []).append(result)
        return found

    @property
    def expected(self) -> int:
        """How many pieces there are when all is done."""
        return sum(len(part.tasks) for part in self.parts)

    @property
    def complete(self) -> bool:
        """Whether every piece is there."""
        return len(self.pieces) == self.expected

    @property
    def seconds(self) -> float:
        """How long the pieces took together, each on one thread."""
        times = (piece.payload.get("seconds", 0.0) for piece in self.pieces.values())
        return float(sum(map(_total, times)))

    @property
    def provenance(self) -> dict[str, Any]:
        """What the numbers are compared with, and what computed them."""
        import morsescape

        return {
            "source": "Akhtiamov & Thomson 2022, Connectedness of loss landscapes via the lens of "
            "Morse theory",
            "morsescape": morsescape.__version__,
            "made_with": self.made_with,
        }

    @property
    def made_with(self) -> list[dict[str, Any]]:
        """Versions of Python and torch, how many pieces they made, of which parts; most first."""
        made: Counter[tuple[tuple[str, str], ...]] = Counter()
        kinds: dict[tuple[tuple[str, str], ...], dict[str, None]] = {}
        for part in self.parts:
            for piece in part.own(self.pieces).values():
                versions = tuple(sorted(piece.made_with.items()))
                made[versions] += 1
                kinds.setdefault(versions, {})[part.kind] = None
        return [
            {**dict(versions), "pieces": count, "parts": list(kinds[versions])}
            for versions, count in made.most_common()
        ]

    def to_json(self) -> dict[str, Any]:
        """The object that is written to results.json."""
        kinds = {kind: [r.to_json() for r in self.of(kind)] for kind in self.settings.parts}
        for spectrum in kinds.get("spectra", []):
            spectrum.pop("eigenvalues", None)  # thousands of numbers, kept in the run folder
        return {
            **self.provenance,
            "settings": self.settings.to_json(),
            "complete": self.complete,
            "pieces": {"done": len(self.pieces), "expected": self.expected},
            "seconds": self.seconds,
            **kinds,
        }


@checked(
    settings=instance(ReproduceSettings, "ReproduceSettings(...) makes one"), path=a_path(),
    scheduler=instance(Scheduler, SCHEDULERS), progress=a_function(3), notice=a_function(1),
    compute=a_boolean(),
)  # fmt: skip
def run_reproduce(
    settings: ReproduceSettings,
    path: str | os.PathLike[str],
    *,
    scheduler: Scheduler | None = None,
    progress: Progress | None = None,
    notice: Callable[[str], None] | None = None,
    compute: bool = True,
) -> ReproduceResult:
    """Do what is missing below `path`, and give what is there.

    Args:
        settings: what to reproduce. The folders of other data sets, networks or parts below the
            same path are left alone, so a reproduction can be extended.
        path: folder above the run folders of the parts.
        scheduler: who does the pieces, as in `run_tasks`.
        progress: called as progress("runs", done, total).
        notice: called with a sentence: what is left to do and roughly how long it takes, and if a
            worker died.
        compute: False takes only what is there.

    Raises:
        ArgumentError, DataError: as `run_tasks`; what was finished is kept. Nothing is there and
            nothing is to be computed.
    """
    parts = parts_of(settings)
    folders = RunFolders(path, {part.folder: part.identity for part in parts}, notice)
    tasks = ordered_tasks(parts)
    if compute:
        settings.save(Path(path) / ASKED)
        seconds = {part.key(task): part.seconds for part in parts for task in part.tasks}
        cost = announced(tasks, folders, lambda task: seconds[task.key], scheduler)
        if cost and notice is not None:
            notice(cost)
        pieces = run_tasks(tasks, folders, scheduler=scheduler, progress=progress, notice=notice)
    else:
        pieces = kept_pieces(tasks, folders)
    return ReproduceResult(settings, parts, pieces)


@checked(path=a_path())
def asked(path: str | os.PathLike[str]) -> ReproduceSettings:
    """What the last reproduction in this folder asked for, so that its page needs no options.

    Raises:
        DataError: there was none.
    """
    file = Path(path) / ASKED
    if not os.path.lexists(file):
        raise DataError(
            str(path), expected="a folder of `morsescape reproduce`", got=f"no {ASKED} in it",
            cure="give the command without --page-only first",
        )  # fmt: skip
    return ReproduceSettings.load(file)


def parts_of(settings: ReproduceSettings) -> tuple[Part, ...]:
    """The parts that `settings` asks for, in the order asked."""
    makers = {study.kind: study.parts for study in STUDIES if study.parts is not None}
    return tuple(part for kind in settings.parts for part in makers[kind](settings))


def ordered_tasks(parts: tuple[Part, ...]) -> list[Task]:
    """The tasks of all parts with keys that name the folder; the first runs of every part first.

    So an interrupted reproduction has something of everything.
    """
    named = [
        (place, replace(task, key=part.key(task)))
        for part in parts
        for place, task in enumerate(part.tasks)
    ]
    return [task for _, task in sorted(named, key=lambda pair: pair[0])]


def _total(seconds: Any) -> float:
    """Of a number, or of the numbers by stage."""
    return float(sum(seconds.values()) if isinstance(seconds, dict) else seconds)
