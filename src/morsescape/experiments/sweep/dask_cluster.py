"""Tasks on a Dask cluster: processes on any number of machines, any of which may be lost."""

from __future__ import annotations

import pickle
import uuid
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from morsescape.boundary import a_number, a_text, checked, named
from morsescape.errors import ArgumentError, MorsescapeError
from morsescape.experiments.sweep.task import (
    Outcome,
    Results,
    Task,
    TaskError,
    answer,
    outcome,
    packed,
)
from morsescape.progress import Progress

if TYPE_CHECKING:
    from distributed import Client


@checked(
    address=named("--scheduler", a_text('an address, "tcp://HOST:8786"')), timeout=a_number(above=0)
)
@dataclass(frozen=True)
class DaskCluster:
    """The workers of the Dask scheduler at an address; needs the package `distributed`.

    A task whose worker is lost is done by another one, as often as the cluster allows (three times
    unless configured: `distributed.scheduler.allowed-failures`). Workers have the same versions of
    morsescape and PyTorch as this process, and see the data under the same path.

    Attributes:
        address: as `dask scheduler` prints it, "tcp://HOST:8786".
        timeout: seconds to wait for the scheduler to answer.

    Source:
        Rocklin, Dask: parallel computation with blocked algorithms and task scheduling, SciPy 2015.
    """

    address: str
    timeout: float = 10.0

    def run(
        self,
        tasks: Sequence[Task],
        *,
        progress: Progress | None = None,
        notice: Callable[[str], None] | None = None,
    ) -> Results:
        """Send the tasks.

        Raises:
            ArgumentError: `distributed` is not installed, or nobody answers at the address.
        """
        if not tasks:
            return
        with _connected(self.address, self.timeout) as client:
            if notice is not None:
                _remark(client, self.address, notice)
            yield from _results(client, tasks)


def _results(client: Client, tasks: Sequence[Task]) -> Results:
    from distributed.scheduler import KilledWorker

    suspects = []
    with closing(_answers(client, tasks)) as answers:
        for task, answered in answers:
            if isinstance(answered, KilledWorker):
                suspects.append(task)
            else:
                yield task, _read(task, answered)
    # Dask blames for a death also the tasks that waited at that worker. Alone, none does.
    for task in suspects:
        with closing(_answers(client, [task])) as answers:
            for _, answered in answers:
                yield task, _read(task, answered)


def _answers(
    client: Client, tasks: Sequence[Task]
) -> Generator[tuple[Task, bytes | BaseException], None, None]:
    """Each task as it completes, with what `answer` gave, or with the error of the cluster."""
    from distributed import as_completed

    run = uuid.uuid4().hex  # of keys, so that no other run's results are taken for ours
    sent = {f"{task.key}-{run}": task for task in tasks}
    futures = [
        client.submit(_answer_there, packed(task), _versions(), key=key, pure=False)
        for key, task in sent.items()
    ]
    try:
        for future, result in as_completed(
            futures, loop=client.loop, with_results=True, raise_errors=False
        ):
            # Else the cluster would do it again if the worker that did it were lost.
            futures.remove(future)
            future.release()
            yield sent[future.key], result[1] if isinstance(result, tuple) else result
    finally:
        client.cancel(futures)


def _answer_there(task: bytes, expected: dict[str, str]) -> bytes:
    """`answer`, on a worker, if it would do the same there as here."""
    there = _versions()
    if there == expected:
        return answer(task)
    refusal = ArgumentError(
        "--scheduler",
        expected=f"workers with {_spelt(expected)}",
        got=_spelt(there),
        cure="install the same versions on all machines",
    )
    return pickle.dumps(refusal)


def _read(task: Task, answered: bytes | BaseException) -> Outcome | MorsescapeError:
    if isinstance(answered, bytes):
        return outcome(answered)
    return TaskError(
        task.name,
        expected="a Dask cluster that does it",
        got=f"{type(answered).__name__}: {answered}",
        cure="look at the cluster's logs; what was finished is kept",
    )


@contextmanager
def _connected(address: str, timeout: float) -> Iterator[Client]:
    try:
        from distributed import Client
    except ImportError as error:
        raise ArgumentError(
            "--scheduler", expected="the package distributed", got=str(error),
            cure="pip install 'morsescape[distributed]'",
        ) from error  # fmt: skip
    try:
        client = Client(address, timeout=timeout, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ArgumentError(
            "--scheduler",
            expected=f"a Dask scheduler that answers at {address} within {timeout:g} s",
            got=str(error),
            cure="start one with `dask scheduler`, and pass the address that it prints",
        ) from error
    with client:
        yield client


def _remark(client: Client, address: str, notice: Callable[[str], None]) -> None:
    threads = client.nthreads().values()
    if not threads:
        notice(f"the Dask cluster at {address} has no workers yet; the runs wait for them")
    elif max(threads) > 1:
        notice(
            "a Dask worker does one run at a time: start more of them, with --nthreads 1, "
            f"instead of {max(threads)} threads in one"
        )


def _versions() -> dict[str, str]:
    """What the outcome of a task depends on; torch's builds (+cpu, +cu128) are one version."""
    import morsescape

    return {"morsescape": morsescape.__version__, "torch": torch.__version__.partition("+")[0]}


def _spelt(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
