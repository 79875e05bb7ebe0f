"""Every scheduler gives the same outcomes, loses nothing with a dead worker, and ends its work."""

import logging
import math
import os
import re
import signal
import subprocess
import sys
from contextlib import closing

import pytest
import torch

from morsescape.errors import ArgumentError
from morsescape.experiments.sweep import dask_cluster, processes
from morsescape.experiments.sweep.dask_cluster import DaskCluster
from morsescape.experiments.sweep.processes import Processes
from morsescape.experiments.sweep.run import Task, TaskError, run_tasks
from morsescape.experiments.sweep.schedulers import Here, Scheduler, scheduler_from
from morsescape.store import RunFolder
from sweep_tasks import (
    alive,
    counted,
    killed,
    killed_once,
    numbers,
    outlives,
    refused,
    runs,
    same,
    stuck,
    unsendable,
    unspeakable,
    until,
)

NEEDS_SIGKILL = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")


@pytest.fixture(scope="module")
def cluster():
    """A real one: two workers, processes that a nanny starts again."""
    distributed = pytest.importorskip("distributed", reason="distributed is not installed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None,
        silence_logs=logging.CRITICAL,
    ) as cluster:  # fmt: skip
        yield cluster


@pytest.fixture(scope="module", params=["processes", "dask"])
def scheduler(request):
    if request.param == "processes":
        return Processes(2)
    return DaskCluster(request.getfixturevalue("cluster").scheduler_address)


@pytest.fixture
def log(tmp_path):
    folder = tmp_path / "log"
    folder.mkdir()
    return folder


NUMBERS = [Task(f"seed-{seed}", numbers, (seed,)) for seed in range(3)]


@pytest.fixture(scope="module")
def results(scheduler, tmp_path_factory):
    """One sweep of tasks that end well and badly, by their keys."""
    folder = tmp_path_factory.mktemp("log")
    works = (refused, unspeakable, unsendable)
    bad = [Task(work.__name__, work, (folder, work.__name__)) for work in works]
    return results_of(scheduler, [*bad, *NUMBERS])


def test_each_is_a_scheduler():
    assert all(isinstance(s, Scheduler) for s in (Here(), Processes(), DaskCluster("tcp://a:1")))


def test_outcomes_are_those_of_this_process_to_the_last_bit(results):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        here = results_of(Here(), NUMBERS)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert here["seed-0"][0]["threads"] == [1, 1]
    assert all(same(here[task.key], results[task.key]) for task in NUMBERS)


def test_errors_come_back_as_they_are_or_as_a_sentence(results):
    assert isinstance(results["refused"], ArgumentError)
    assert results["refused"].what == "--lr"
    said = str(results["unspeakable"])
    assert "unspeakable: expected a task that runs; got OwnError: ('two', 'lines" in said
    assert isinstance(results["unsendable"], TaskError)
    assert "pickle" in str(results["unsendable"])


@NEEDS_SIGKILL
def test_a_killed_worker_loses_nothing_and_nothing_finished_is_done_twice(scheduler, log, tmp_path):
    folder, said = RunFolder(tmp_path / "out", {"experiment": "test"}), []
    names = [f"seed-{seed}" for seed in range(6)]
    tasks = [Task(name, counted, (log, name)) for name in names[:4]]
    # While the first is killed, the second is in the middle, and the others are finished.
    tasks.append(Task("seed-4", killed_once, (log, "seed-4", ["seed-5.runs", *names[:4]])))
    tasks.append(Task("seed-5", outlives, (log, "seed-5", "seed-4")))
    pieces = run_tasks(
        tasks, folder, scheduler=scheduler, notice=said.append, finished=lambda k: (log / k).touch()
    )
    assert [len(runs(log, name)) for name in names] == [1, 1, 1, 1, 2, 1]
    assert list(pieces) == names
    plain = run_tasks([Task(name, counted, (tmp_path, name)) for name in names], scheduler=Here())
    assert all(same(pieces[name], plain[name]) for name in names)
    assert all(same(folder.load(name), plain[name]) for name in names)
    if isinstance(scheduler, Processes):
        assert said == ["the process of seed-4 was killed by SIGKILL; another takes over"]


@NEEDS_SIGKILL
def test_a_task_that_kills_every_worker_is_named_and_the_others_are_done(
    scheduler, log, monkeypatch, request
):
    if isinstance(scheduler, Processes):
        assert processes._TRIES == 3
        monkeypatch.setattr(processes, "_TRIES", 1)
        scheduler, times = Processes(1), 1
        reason = "one that was killed by SIGKILL, 1 times"
    else:
        inside = request.getfixturevalue("cluster").scheduler
        monkeypatch.setattr(inside, "allowed_failures", 0)
        reason, times = "KilledWorker", 2  # among the others, and alone
    works = {"bad": killed, "a": counted, "b": counted, "c": counted}
    results = results_of(scheduler, [Task(key, work, (log, key)) for key, work in works.items()])
    assert isinstance(results["bad"], TaskError)
    assert re.search(f"killed: expected a .*; got {reason}", str(results["bad"]))
    assert all(results[key][0] == {"name": key} for key in "abc")
    assert [len(runs(log, key)) for key in works] == [times, 1, 1, 1]


def test_a_task_that_cannot_be_sent_is_refused(scheduler):
    with pytest.raises(ArgumentError, match="task a: expected a function at the top level"):
        results_of(scheduler, [Task("a", lambda: ({}, {}))])


# --- processes


def test_stopped_in_the_middle_no_process_stays(log):
    tasks = [Task("good", counted, (log, "good")), Task("stuck", stuck, (log, "stuck"))]
    with closing(Processes(1).run(tasks)) as results:
        assert next(results)[0].key == "good"
        until(lambda: runs(log, "stuck"))
        assert alive(runs(log, "stuck")[0])
    assert not alive(runs(log, "stuck")[0])


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="no signal masks here")
def test_a_process_is_deaf_to_interrupts_from_its_first_moment():
    code = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    said = []
    with processes._deaf_to_interrupts():
        said.append(subprocess.check_output([sys.executable, "-c", code], text=True))
    said.append(subprocess.check_output([sys.executable, "-c", code], text=True))
    assert said == ["True\n", "False\n"]


def test_where_no_worker_starts_every_task_says_so(monkeypatch, log):
    monkeypatch.setattr(processes, "_work", sys.exit)  # called with the pipe: exit code 1
    tasks = [Task(key, counted, (log, key)) for key in ("a", "b")]
    results = results_of(Processes(1), tasks)
    assert set(results) == {"a", "b"}
    for result in results.values():
        assert "got one that ended with exit code 1 before it began; cure: in a " in str(result)


def test_the_environment_of_this_process_is_left_as_it_was(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with processes._one_thread_each():
        assert os.environ["OMP_NUM_THREADS"] == os.environ["MKL_NUM_THREADS"] == "1"
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in os.environ


@pytest.mark.parametrize(
    ("cores", "free", "memory", "count"),
    [
        (8, 64.0, 4.0, 8),
        (8, 13.0, 4.0, 3),
        (8, 13.0, 1.0, 8),
        (8, 1.0, 4.0, 1),
        (2, 1e9, 4.0, 2),
        (2, math.inf, 4.0, 2),
    ],
)
def test_as_many_workers_as_cores_and_memory_allow(monkeypatch, cores, free, memory, count):
    monkeypatch.setattr(processes, "_cores", lambda: cores)
    monkeypatch.setattr(processes, "_free_memory", lambda: free)
    assert Processes(memory=memory).count == count
    assert Processes(5, memory=memory).count == 5


# --- the cluster


def test_without_distributed_the_cure_is_named(monkeypatch, log):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ArgumentError, match=r"cure: pip install 'morsescape\[distributed\]'"):
        results_of(DaskCluster("tcp://127.0.0.1:1"), [Task("a", counted, (log, "a"))])


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense://a", "127.0.0.1:port"])
def test_an_address_where_nobody_answers(address, log):
    pytest.importorskip("distributed", reason="distributed is not installed")
    with pytest.raises(ArgumentError, match="--scheduler: expected a Dask scheduler that answers"):
        results_of(DaskCluster(address, timeout=0.3), [Task("a", counted, (log, "a"))])


def test_a_worker_of_another_version_is_refused(cluster, monkeypatch, log):
    monkeypatch.setattr(dask_cluster, "_versions", lambda: {"morsescape": "0.0.1", "torch": "1"})
    scheduler = DaskCluster(cluster.scheduler_address)
    result = results_of(scheduler, [Task("a", counted, (log, "a"))])["a"]
    assert "expected workers with morsescape 0.0.1, torch 1; got morsescape" in str(result)
    assert runs(log, "a") == []


@NEEDS_SIGKILL
def test_stopped_in_the_middle_the_cluster_forgets_the_rest(cluster, log):
    names = ["good", *(f"stuck-{k}" for k in range(5))]
    tasks = [Task(name, counted if name == "good" else stuck, (log, name)) for name in names]

    def stuck_ones():
        return [pid for name in names[1:] for pid in runs(log, name)]

    with closing(DaskCluster(cluster.scheduler_address).run(tasks)) as results:
        assert next(results)[0].key == "good"
        until(stuck_ones)
    until(lambda: not cluster.scheduler.tasks)
    until(lambda: not any(name.startswith("Client-") for name in cluster.scheduler.clients))
    assert len(stuck_ones()) <= 2
    for pid in stuck_ones():  # a thread cannot be interrupted
        os.kill(pid, signal.SIGKILL)


# --- options


def test_scheduler_of_the_options():
    assert scheduler_from(None, None) == Processes()
    assert scheduler_from(None, 3) == Processes(3)
    assert scheduler_from("host:8786", None) == DaskCluster("host:8786")
    with pytest.raises(ArgumentError, match="--workers: expected 1 or more; got 0"):
        scheduler_from(None, 0)
    with pytest.raises(ArgumentError, match="--workers: expected no --scheduler beside it"):
        scheduler_from("host:8786", 2)
    with pytest.raises(ArgumentError, match="memory: expected GiB, more than 0"):
        Processes(memory=0.0)


def results_of(scheduler, tasks):
    """The results by key, in the order of their coming."""
    with closing(scheduler.run(tasks)) as results:
        return {task.key: result for task, result in results}
