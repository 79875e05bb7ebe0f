"""One piece of a sweep, and how any process does it: on one thread, with its errors as values."""

from __future__ import annotations

import inspect
import pickle
import threading
import traceback
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from morsescape.errors import ArgumentError, MorsescapeError, is_out_of_memory, shown
from morsescape.progress import Progress

Outcome = tuple[dict[str, Any], dict[str, Tensor]]

# The number of threads belongs to the process; a Dask worker may call from several threads.
_ONE_AT_A_TIME = threading.RLock()


@dataclass(frozen=True)
class Task:
    """One piece of a sweep: function(*arguments) gives JSON values and tensors, for `key`.

    The function is at the top level of its module and a function of its arguments alone, so that
    any process can do it, and doing it again gives the same. It loads its data itself. If it has a
    parameter `progress`, it is given one where somebody watches.

    Example:
        >>> from morsescape.experiments.index.study import IndexSettings, index_run
        >>> Task("seed-3", index_run, (IndexSettings(), 3)).name
        'index_run'
    """

    key: str
    function: Callable[..., Outcome]
    arguments: tuple[Any, ...] = ()

    @property
    def name(self) -> str:
        """The name of the function, for messages."""
        return getattr(self.function, "__qualname__", repr(self.function))


class TaskError(MorsescapeError):
    """A task that ended in an error of no kind of ours, or that could not be done anywhere."""


Results = Generator[tuple[Task, Outcome | MorsescapeError], None, None]


def attempt(task: Task, progress: Progress | None = None) -> Outcome | MorsescapeError:
    """Do the task on one thread; an error is returned, so that the others go on.

    Example:
        >>> print(attempt(Task("a", divmod, (1, 0))))
        divmod: expected a task that runs; got ZeroDivisionError: ... (task.py, line ...); cure: ...
    """
    try:
        watched = progress is not None and "progress" in inspect.signature(task.function).parameters
        with one_thread():
            result = task.function(*task.arguments, **({"progress": progress} if watched else {}))
        return result if _is_outcome(result) else _no_outcome(task.name, result)
    except MorsescapeError as error:
        return error
    except (Exception, SystemExit) as error:
        failed = _failed(task.name, error)
        failed.__cause__ = error
        return failed


def _is_outcome(result: object) -> bool:
    pair = isinstance(result, tuple) and len(result) == 2
    return pair and all(isinstance(part, dict) for part in result)  # type: ignore[attr-defined]


def _no_outcome(name: str, result: object) -> TaskError:
    return TaskError(
        name, expected="JSON values and tensors, in two dictionaries", got=shown(result),
        cure='return {"loss": ...}, {"theta": ...}',
    )  # fmt: skip


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch, BLAS and OpenMP on one thread, so that sums have the same order on any machine."""
    with _ONE_AT_A_TIME:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with threadpool_limits(1):
                yield
        finally:
            torch.set_num_threads(before)


# -- between processes ------------------------------------------------------------------------


def packed(task: Task) -> bytes:
    """The task as it travels to another process.

    Raises:
        ArgumentError: a function or an argument that cannot be sent.
    """
    try:
        return pickle.dumps(task)
    except Exception as error:
        raise ArgumentError(
            f"task {task.key}",
            expected="a function at the top level of a module, and arguments that can be pickled",
            got=str(error),
            cure="move it there, or pass scheduler=Here()",
        ) from error


def answer(task: bytes) -> bytes:
    """Do a task that was sent, in the process that it was sent to; its outcome as it travels back.

    PyTorch's own way between processes shares memory, which is lost when the sender is killed.
    """
    try:
        return pickle.dumps(attempt(pickle.loads(task)))
    except Exception as error:
        return pickle.dumps(_failed("task", error))


def outcome(answered: bytes) -> Outcome | MorsescapeError:
    """What `answer` came to."""
    return pickle.loads(answered)


def _failed(name: str, error: BaseException) -> TaskError:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"({Path(frame.filename).name}, line {frame.lineno})"
    memory = is_out_of_memory(error)
    return TaskError(
        name,
        expected="a task that runs",
        got=f"{type(error).__name__}: {error} {place}",
        cure="fewer --workers, fewer --samples or a smaller network need less memory"
        if memory
        else "scheduler=Here() shows the whole traceback",
    )
