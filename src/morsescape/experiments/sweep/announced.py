"""What a sweep has left to do and roughly how long that takes, said before; what it has, after."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from morsescape.errors import DataError
from morsescape.experiments.sweep.processes import Processes
from morsescape.experiments.sweep.schedulers import Scheduler
from morsescape.experiments.sweep.task import Task
from morsescape.page.readable import duration
from morsescape.store import Piece, RunFolder, RunFolders


def announced(
    tasks: Sequence[Task], folder: RunFolder | RunFolders | None,
    seconds: Callable[[Task], float], scheduler: Scheduler | None = None,
) -> str:  # fmt: skip
    """A sentence of the pieces that are not there, empty if all are; the time is an estimate.

    Args:
        tasks: all of them.
        folder: has some of their pieces; None has none.
        seconds: of one of them, roughly, on one core.
        scheduler: who does them, as in `run_tasks`; a cluster's workers are not counted.

    Example:
        >>> tasks = [Task("a", divmod), Task("b", divmod)]
        >>> announced(tasks, None, lambda task: 60.0, Processes(2))
        '2 of 2 pieces to do, about 2.0 min of one core, about 60 s on 2: an estimate'
    """
    each_one = [seconds(t) for t in tasks if folder is None or not folder.has(t.key)]
    if not each_one:
        return ""
    scheduler = Processes() if scheduler is None else scheduler
    workers = min(scheduler.count, len(each_one)) if isinstance(scheduler, Processes) else 1
    # As long as an even share takes, or the longest piece.
    wall = max(sum(each_one) / workers, *each_one)
    on = "" if workers == 1 else f", about {duration(wall)} on {workers}"
    return (
        f"{len(each_one)} of {len(tasks)} pieces to do, about {duration(sum(each_one))} of one "
        f"core{on}: an estimate"
    )


def kept_pieces(tasks: Sequence[Task], folder: RunFolder | RunFolders | None) -> dict[str, Piece]:
    """The pieces that the folder has, by the keys of the tasks.

    Raises:
        DataError: none.
    """
    found = {} if folder is None else {task.key: folder.load(task.key) for task in tasks}
    pieces = {key: piece for key, piece in found.items() if piece is not None}
    if not pieces:
        raise DataError(
            "no folder" if folder is None else str(folder.path),
            expected="a finished run of these settings", got="none",
            cure="give the command without --page-only first, with the same options",
        )  # fmt: skip
    return pieces
