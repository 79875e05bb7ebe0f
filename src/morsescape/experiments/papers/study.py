"""One published table, measured again: a run folder of pieces, and the rows they come to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from morsescape.boundary import (
    a_boolean,
    a_count,
    a_path,
    a_seed,
    checked,
    choice,
    each,
    instance,
    option,
    spelt,
)
from morsescape.errors import ArgumentError
from morsescape.experiments.papers import barriers, spurious_minima
from morsescape.experiments.papers.published import PublishedTable
from morsescape.experiments.point import rules_of_run
from morsescape.experiments.sweep import Task, run_tasks
from morsescape.experiments.sweep.announced import announced, kept_pieces
from morsescape.experiments.sweep.schedulers import SCHEDULERS, Scheduler
from morsescape.progress import Progress
from morsescape.store import RunFolder, Settings, versions

TABLES = {table.name: table for table in (barriers.TABLE, spurious_minima.TABLE)}


@checked(
    option, paper=choice(TABLES), widths=each(a_count(1), "widths, 8,16,32"), many=a_count(1),
    seed=a_seed(), samples=a_count(1), root=a_path(),
)  # fmt: skip
@dataclass(frozen=True)
class PaperSettings(Settings):
    """Which table, and how much of it.

    Attributes:
        paper: one of `TABLES`.
        widths: rows; none takes those of the table.
        many: pairs or runs in a row; None takes the number of the table.
        seed: of the first pair or run.
        samples: take the first so many images; None takes all. Only of a table of images.
        root: folder of the data; it does not change the results.

    Raises:
        ArgumentError: an unknown name, a width that is too small or given twice, samples of a
            table without images.

    Example:
        >>> PaperSettings("barrier-by-width").table.widths
        (8, 16, 32)
    """

    EXPERIMENT = "paper"
    UNSAVED: ClassVar[tuple[str, ...]] = ("root",)
    APART = ("widths", "many", "seed", "root")
    paper: str
    widths: tuple[int, ...] = ()
    many: int | None = None
    seed: int = 0
    samples: int | None = None
    root: str | None = None

    def __post_init__(self) -> None:
        with spelt(option):
            least = self.table.least
            if len(set(self.widths)) < len(self.widths) or min(self.widths, default=least) < least:
                raise ArgumentError(
                    "widths", expected=f"numbers of {least} or more, each once",
                    got=", ".join(map(str, self.widths)), cure="mend the list",
                )  # fmt: skip
            if self.samples is not None and not self.table.of_images:
                raise ArgumentError(
                    "samples", expected=f"none: {self.paper} has no images", got=self.samples,
                    cure="leave it out",
                )  # fmt: skip

    @property
    def table(self) -> PublishedTable:
        """The line of the registry."""
        return TABLES[self.paper]

    @property
    def rows(self) -> tuple[int, ...]:
        """The widths that are measured."""
        return self.widths or self.table.widths

    @property
    def count(self) -> int:
        """Pairs or runs in a row."""
        return self.table.many if self.many is None else self.many

    def tasks(self) -> dict[int, list[Task]]:
        """What makes each row."""
        own = self.count, self.seed, self.samples, self.root
        return {width: list(self.table.tasks(width, *own)) for width in self.rows}


@dataclass(frozen=True, eq=False)
class PaperResult:
    """The rows that are there, as far as their pieces are.

    Attributes:
        settings: what was asked for.
        rows: one for each width that has a piece.
        done, expected: pieces.
        made_with: the versions of Python and torch that made the pieces.
    """

    settings: PaperSettings
    rows: tuple[Any, ...]
    done: int
    expected: int
    made_with: tuple[dict[str, str], ...]

    @property
    def complete(self) -> bool:
        """Whether every piece is there."""
        return self.done == self.expected

    def to_json(self) -> dict[str, Any]:
        """The object that is written to results.json."""
        import morsescape

        tables = self.settings.table.tables(self.rows)
        return {
            "source": self.settings.table.citation,
            "morsescape": morsescape.__version__,
            "made_with": list(self.made_with),
            "settings": self.settings.to_json(),
            "complete": self.complete,
            "pieces": {"done": self.done, "expected": self.expected},
            "rows": [row.to_json() for row in self.rows],
            "tables": [
                {"caption": t.caption, "columns": t.columns, "rows": t.rows, "note": t.note}
                for t in tables
            ],
        }


@checked(
    str, **rules_of_run(PaperSettings, "name"), scheduler=instance(Scheduler, SCHEDULERS),
    compute=a_boolean(),
)  # fmt: skip
def run_paper(
    settings: PaperSettings,
    folder: RunFolder | None = None,
    *,
    scheduler: Scheduler | None = None,
    progress: Progress | None = None,
    notice: Callable[[str], None] | None = None,
    compute: bool = True,
) -> PaperResult:
    """Measure a published table again. Arguments as for `run_reproduce`, but of one folder.

    Raises:
        ArgumentError, DataError: as `run_tasks`. Nothing is there and nothing is to be computed.

    Example:
        >>> from morsescape.experiments.sweep.schedulers import Here
        >>> few = PaperSettings("spurious-minima", widths=(4,), many=4)
        >>> result = run_paper(few, scheduler=Here())
        >>> result.rows[0].teachers, result.rows[0].spurious, result.complete
        (4, 0, True)
    """
    by_width = settings.tasks()
    tasks = [task for row in by_width.values() for task in row]
    if compute:
        cost = announced(tasks, folder, lambda t: settings.table.seconds(*t.arguments), scheduler)
        if cost and notice is not None:
            shown = ", ".join(map(str, settings.rows))
            notice(
                f"{settings.paper}: {settings.table.width} = {shown}, {settings.count} "
                f"{settings.table.counted} each; {cost}"
            )
        pieces = run_tasks(tasks, folder, scheduler=scheduler, progress=progress, notice=notice)
    else:
        pieces = kept_pieces(tasks, folder)
    rows = []
    for width, own in by_width.items():
        payloads = {t.key: pieces[t.key].payload for t in own if t.key in pieces}
        if payloads:
            rows.append(settings.table.row(width, payloads))
    made = {tuple((piece.made_with or versions()).items()) for piece in pieces.values()}
    made_with = tuple(map(dict, sorted(made)))
    return PaperResult(settings, tuple(rows), len(pieces), len(tasks), made_with)
