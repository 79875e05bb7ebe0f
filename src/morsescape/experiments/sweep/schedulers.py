"""Who does the tasks of a sweep: this process, several processes, or a Dask cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from morsescape.errors import ArgumentError
from morsescape.experiments.sweep.dask_cluster import DaskCluster
from morsescape.experiments.sweep.processes import Processes
from morsescape.experiments.sweep.task import Results, Task, attempt
from morsescape.progress import Progress

SCHEDULERS = "pass Here(), Processes(...) or DaskCluster(...), or leave it out"


@runtime_checkable
class Scheduler(Protocol):
    """Does tasks in any order and yields each with its outcome, or its error, as it completes.

    Each task is yielded once. Its outcome is the same, bit for bit, whichever scheduler did it
    on processors of the same kind. Closing the generator ends the work that is under way.
    """

    def run(
        self,
        tasks: Sequence[Task],
        *,
        progress: Progress | None = None,
        notice: Callable[[str], None] | None = None,
    ) -> Results:
        """Do the tasks.

        Args:
            tasks: what to do.
            progress: for the tasks, where they run in this process.
            notice: called with a sentence when a worker died and its task is done again.
        """
        ...


class Here:
    """One task after another in this process, which sees their progress and their tracebacks.

    Example:
        >>> scheduler: Scheduler = Here()
        >>> [task.key for task, outcome in scheduler.run([])]
        []
    """

    def run(
        self,
        tasks: Sequence[Task],
        *,
        progress: Progress | None = None,
        notice: Callable[[str], None] | None = None,
    ) -> Results:
        """Do the tasks in their order."""
        for task in tasks:
            yield task, attempt(task, progress)


def scheduler_from(address: str | None, workers: int | None) -> Scheduler:
    """The scheduler that the options --scheduler ADDRESS and --workers N ask for.

    Raises:
        ArgumentError: no workers, or both options.

    Example:
        >>> scheduler_from(None, 3)
        Processes(workers=3, memory=4.0)
        >>> scheduler_from("tcp://login:8786", None)
        DaskCluster(address='tcp://login:8786', timeout=10.0)
    """
    if address is None:
        return Processes(workers)
    if workers is not None:
        raise ArgumentError(
            "--workers",
            expected="no --scheduler beside it",
            got="both",
            cure="leave it out: the cluster has as many workers as were started",
        )
    return DaskCluster(address)
