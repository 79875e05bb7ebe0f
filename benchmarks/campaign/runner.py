"""Many cases in a pool of processes, each kept as a line of JSON: an interrupted run goes on."""

from __future__ import annotations

import importlib
import json
import os
import signal
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

FAMILIES = ("models", "functions", "planted", "searches", "paths")
SHARE = {
    "models": 0.28,
    "functions": 0.37,
    "planted": 0.2,
    "searches": 0.05,
    "paths": 0.1,
}  # of the cases asked for
Task = tuple[str, int]


class TookTooLong(BaseException):
    """Not an `Exception`, so that nothing under test catches it."""


@contextmanager
def within(limit: float) -> Iterator[None]:
    """Ends what runs in it after `limit` seconds, by `TookTooLong`."""

    def late(*_: object) -> None:
        raise TookTooLong

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def run_one(family: str, seed: int, limit: float) -> dict[str, Any]:
    """One case within `limit` seconds."""
    module = importlib.import_module(f".{family}", __package__)
    try:
        with within(limit), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            outcome: dict[str, Any] = module.case(seed).to_json()
    except TookTooLong:
        outcome = {"family": family, "seed": seed, "parts": (), "answer": "late", "wrong": []}
    return outcome


def run(tasks: Sequence[Task], out: Path, workers: int, limit: float) -> None:
    """Those that `out` does not have yet, with a bar that says how long the rest will take."""
    done = {(o["family"], o["seed"]) for o in outcomes(out)}
    left = [t for t in tasks if t not in done]
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TimeRemainingColumn(),
    )  # fmt: skip
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.exists() and not out.read_bytes().endswith(b"\n"):
        out.write_bytes(out.read_bytes() + b"\n")  # cut off within a line
    with out.open("a") as file, Progress(*columns) as bar:
        shown = bar.add_task("cases", total=len(tasks), completed=len(tasks) - len(left))
        wrong = 0
        for outcome in _results(left, workers, limit):
            file.write(json.dumps(outcome) + "\n")
            file.flush()
            if outcome["wrong"]:
                wrong += 1
                bar.console.print(
                    f"{outcome['family']} {outcome['seed']}: {outcome['wrong'][0]}",
                    markup=False, highlight=False,
                )  # fmt: skip
            bar.update(shown, advance=1, description=f"cases, {wrong} wrong")


def _results(tasks: list[Task], workers: int, limit: float) -> Iterator[dict[str, Any]]:
    """In whatever order they come; a process that dies costs its own case only."""
    waiting, suspects = list(reversed(tasks)), list[Task]()
    while waiting or suspects:
        alone = not waiting  # what was running when a process died is run one by one
        queue = suspects if alone else waiting
        with _pool(1 if alone else workers) as pool:
            running: dict[Future[dict[str, Any]], Task] = {}
            while queue or running:
                try:
                    while queue and len(running) < (1 if alone else 2 * workers):
                        task = queue.pop()
                        running[pool.submit(run_one, *task, limit)] = task
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        result = future.result()
                        del running[future]
                        yield result
                except BrokenProcessPool:
                    lost = list(running.values())
                    if alone:
                        (family, seed), text = lost[0], "crash: the process died"
                        yield {
                            "family": family, "seed": seed, "parts": (), "answer": "crash",
                            "wrong": [text],
                        }  # fmt: skip
                    else:
                        suspects += [t for t in (*lost, task) if t not in suspects]
                    break


def _pool(workers: int) -> ProcessPoolExecutor:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # one process a core, one thread each
    return ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_quiet, max_tasks_per_child=400
    )


def _quiet() -> None:
    """Torch's own warnings, printed by its libraries, would tear the bar."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def outcomes(out: Path) -> list[dict[str, Any]]:
    """What is in the file so far; a line that was cut off is dropped."""
    found = []
    for line in out.read_text().splitlines() if out.exists() else ():
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return found


def tasks_of(families: Sequence[str], cases: int, seed: int) -> list[Task]:
    """Seeds from `seed` on, shared out over the families, mixed."""
    whole = sum(SHARE[f] for f in families)
    counts = {f: round(cases * SHARE[f] / whole) for f in families}
    tasks = [(f, seed + k) for f, n in counts.items() for k in range(n)]
    return sorted(tasks, key=lambda t: (t[1] / counts[t[0]], t[0]))
