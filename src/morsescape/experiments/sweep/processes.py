"""Tasks on several processes of this machine, any of which may be killed."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait

from morsescape.boundary import a_count, a_number, checked, named
from morsescape.experiments.sweep.task import Results, Task, TaskError, answer, outcome, packed
from morsescape.hessian.free_memory import free_memory as _free_memory
from morsescape.progress import Progress

_TRIES = 3  # of a task whose process dies
_SHORT = "if memory was short, fewer --workers or a smaller network"
_NOT_BEGUN = 'in a script, call it under `if __name__ == "__main__":`, or pass scheduler=Here()'
_ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@checked(workers=named("--workers", a_count(1)), memory=a_number(above=0, words="GiB, more than 0"))
@dataclass(frozen=True)
class Processes:
    """Several processes of one thread each, so that outcomes do not depend on the number of cores.

    A process that dies (killed, out of memory) costs its own task alone: another process does it
    again, three times at most. The processes end with the sweep, and when this process is killed.
    They are started afresh, not forked: a script that calls this does so under
    ``if __name__ == "__main__":``.

    Attributes:
        workers: how many; None takes the cores that this process may use, or fewer where the
            memory is short.
        memory: what a worker is thought to need, in GiB.

    Raises:
        ArgumentError: no workers, no memory.

    Example:
        >>> Processes(2).count
        2
    """

    workers: int | None = None
    memory: float = 4.0

    @property
    def count(self) -> int:
        """How many processes there may be."""
        return self.workers or max(1, int(min(_cores(), _free_memory() / self.memory)))

    def run(
        self,
        tasks: Sequence[Task],
        *,
        progress: Progress | None = None,
        notice: Callable[[str], None] | None = None,
    ) -> Results:
        """Do the tasks, started in their order."""
        pool = _Pool(tasks, notice)
        try:
            yield from pool.run(min(self.count, len(tasks)))
        finally:
            pool.end()


class _Pool:
    """The workers that start or have a task, and the tasks that wait for one."""

    def __init__(self, tasks: Sequence[Task], notice: Callable[[str], None] | None) -> None:
        self.waiting = deque(tasks)
        self.packed = {task.key: packed(task) for task in tasks}  # refused before any work
        self.workers: list[_Worker] = []
        self.deaths: Counter[str | None] = Counter()  # by the key of the task; None at the start
        self.notice, self.last_words = notice, ""

    def run(self, count: int) -> Results:
        for _ in range(count):
            self.workers.append(_Worker())
        while self.workers:
            ready = wait([worker.pipe for worker in self.workers])
            for worker in [worker for worker in self.workers if worker.pipe in ready]:
                yield from self.hear(worker)
        for task in self.waiting:
            yield task, _dead(task.name, f"{self.last_words} before it began", _NOT_BEGUN)

    def hear(self, worker: _Worker) -> Results:
        """A worker is ready, or has done its task, or is dead."""
        task = worker.task
        try:
            answered = worker.pipe.recv_bytes()
        except (EOFError, OSError):
            yield from self.bury(worker)
            return
        if self.waiting:
            worker.task = self.waiting.popleft()
            with contextlib.suppress(OSError):  # dead: the pipe says so when it is read
                worker.pipe.send_bytes(self.packed[worker.task.key])
        else:
            self.workers.remove(worker)
            worker.end()
        if task is not None:
            yield task, outcome(answered)

    def bury(self, worker: _Worker) -> Results:
        """Another worker takes the place of a dead one, and its task if it was not the third."""
        self.workers.remove(worker)
        task, self.last_words = worker.task, worker.last_words()
        key = None if task is None else task.key
        self.deaths[key] += 1
        again = self.deaths[key] < _TRIES
        if task is not None and again:
            self.waiting.appendleft(task)
        if self.waiting and self.deaths[None] < _TRIES:
            self.workers.append(_Worker())
        if again and self.notice is not None:
            self.notice(f"the process of {key or 'a worker'} {self.last_words}; another takes over")
        if task is not None and not again:
            yield task, _dead(task.name, f"{self.last_words}, {_TRIES} times", _SHORT)

    def end(self) -> None:
        for worker in self.workers:
            worker.process.kill()
        for worker in self.workers:
            worker.end()


class _Worker:
    """A process that does one task at a time, and this end of its pipe; no task while it starts."""

    def __init__(self) -> None:
        self.task: Task | None = None
        spawn = multiprocessing.get_context("spawn")
        self.pipe, theirs = spawn.Pipe()
        self.process = spawn.Process(target=_work, args=(theirs,), daemon=True)
        with _one_thread_each(), _deaf_to_interrupts():
            self.process.start()
        theirs.close()

    def last_words(self) -> str:
        self.process.join(10)
        code = self.process.exitcode
        self.end()
        if code is None or code >= 0:
            return f"ended with exit code {code}"
        return f"was killed by {signal.Signals(-code).name}"

    def end(self) -> None:
        """Done, or dead; no task has anything to tidy up."""
        self.process.kill()
        self.process.join()
        self.pipe.close()


def _work(pipe: Connection) -> None:
    """What a worker does until the other end of its pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(EOFError, OSError):
        pipe.send_bytes(b"ready")
        while True:
            pipe.send_bytes(answer(pipe.recv_bytes()))


def _end_with_parent() -> None:
    """End in the middle of a task, too, if the parent was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """The environment of a new process, which reads it when it loads its libraries."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """A new process inherits the mask: Ctrl-C goes to all of them, and the parent alone acts."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # its start would lift the mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _dead(name: str, last_words: str, cure: str) -> TaskError:
    return TaskError(
        name,
        expected="a process that lives until it is done",
        got=f"one that {last_words}",
        cure=cure,
    )


def _cores() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
