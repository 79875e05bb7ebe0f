"""Independent pieces of work: done by a scheduler, kept as they come, taken up again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing

from morsescape.boundary import a_function, checked, each, instance
from morsescape.errors import ArgumentError, MorsescapeError
from morsescape.experiments.sweep.processes import Processes
from morsescape.experiments.sweep.schedulers import SCHEDULERS, Scheduler
from morsescape.experiments.sweep.task import Outcome, Task, TaskError
from morsescape.progress import Progress
from morsescape.store import Piece, RunFolder, RunFolders, versions
from morsescape.store.checkpoint import plain
from morsescape.store.json_values import from_json, to_json

__all__ = ["Outcome", "Task", "TaskError", "run_tasks"]

_NAMED = 8  # failed keys that an error names


@checked(
    tasks=each(instance(Task, "Task(key, function, arguments) makes one"), "a list of tasks"),
    scheduler=instance(Scheduler, SCHEDULERS),
    progress=a_function(3), notice=a_function(1), finished=a_function(1),
)  # fmt: skip
def run_tasks(
    tasks: Sequence[Task],
    folder: RunFolder | RunFolders | None = None,
    *,
    scheduler: Scheduler | None = None,
    progress: Progress | None = None,
    notice: Callable[[str], None] | None = None,
    finished: Callable[[str], None] | None = None,
) -> dict[str, Piece]:
    """Take from `folder` what it has, do the rest, keep each outcome the moment it comes back.

    Only this process writes to the folder. Interrupted or killed at any moment, what was kept is
    whole, and the same call does only the rest. The pieces do not depend on the scheduler, nor on
    whether they were computed now or before: payloads are as JSON gives them back.

    Args:
        tasks: what to do; each key once.
        folder: keeps the pieces; a damaged one is set aside by it, and computed again.
        scheduler: who does it; `Processes()` if None.
        progress: called as progress("runs", done, total); `Here` passes it on to the tasks.
        notice: called with a sentence if the sweep is resumed, or if a worker died.
        finished: called with the key of each piece that was computed now, when it is kept.

    Returns:
        The pieces by key, in the order of the tasks.

    Raises:
        ArgumentError: two tasks of one key, a key that is no file name.
        DataError: the folder cannot be written; ends the sweep at once.
        MorsescapeError: a task failed. The others were done and kept. The error is of the kind of
            the first one, with its message after the keys that failed.

    Example:
        >>> from morsescape.experiments.sweep.schedulers import Here
        >>> from morsescape.experiments import IndexSettings, PointSettings, index_run
        >>> settings = IndexSettings(PointSettings(at="random", samples=50), raw=False)
        >>> tasks = [Task(f"seed-{seed}", index_run, (settings, seed)) for seed in (0, 1)]
        >>> pieces = run_tasks(tasks, scheduler=Here())
        >>> pieces["seed-1"].payload["n_params"], pieces["seed-1"].tensors["theta"].shape
        (760, torch.Size([760]))
    """
    _check_keys(tasks)
    pieces = _kept(tasks, folder)
    if pieces and notice is not None and folder is not None:
        notice(f"resumed: {len(pieces)} of {len(tasks)} runs are in {folder.path} already")
    rest = [task for task in tasks if task.key not in pieces]
    failed: dict[str, MorsescapeError] = {}
    _count(progress, pieces, tasks)
    scheduler = Processes() if scheduler is None else scheduler
    # Closed whatever happens here, so that no worker outlives the sweep.
    with closing(scheduler.run(rest, progress=progress, notice=notice)) as results:
        for task, result in results:
            if isinstance(result, MorsescapeError):
                failed[task.key] = result
                continue
            pieces[task.key] = _keep(task.key, result, folder)
            _count(progress, pieces, tasks)
            if finished is not None:
                finished(task.key)
    if failed:
        _fail({task.key: failed[task.key] for task in tasks if task.key in failed}, len(tasks))
    return {task.key: pieces[task.key] for task in tasks}


def _check_keys(tasks: Sequence[Task]) -> None:
    twice = [key for key, times in Counter(task.key for task in tasks).items() if times > 1]
    if twice:
        raise ArgumentError(
            "tasks", expected="each key once", got=f"{_listed(twice)} twice", cure="rename one"
        )


def _kept(tasks: Sequence[Task], folder: RunFolder | RunFolders | None) -> dict[str, Piece]:
    if folder is None:
        return {}
    pieces = (folder.load(task.key) for task in tasks)
    return {piece.key: piece for piece in pieces if piece is not None}


def _keep(key: str, result: Outcome, folder: RunFolder | RunFolders | None) -> Piece:
    """The piece as the folder will give it back."""
    payload, tensors = result
    if folder is not None:
        try:
            folder.save(key, payload, tensors)
        except KeyboardInterrupt:
            folder.save(key, payload, tensors)  # perhaps the work of hours: first this, then stop
            raise
    return Piece(key, from_json(to_json(payload, "payload")), plain(tensors), versions())


def _count(progress: Progress | None, pieces: dict[str, Piece], tasks: Sequence[Task]) -> None:
    if progress is not None:
        progress("runs", len(pieces), len(tasks))


def _fail(failed: dict[str, MorsescapeError], total: int) -> None:
    first = next(iter(failed.values()))
    raise type(first)(
        f"{_listed(list(failed))} ({len(failed)} of {total} runs failed): {first.what}",
        expected=first.expected,
        got=first.got,
        cure=first.cure,
    ) from first


def _listed(keys: list[str]) -> str:
    more = len(keys) - _NAMED
    return ", ".join(keys[:_NAMED]) + (f" and {more} more" if more > 0 else "")
