"""`run_tasks`: nothing finished is lost or done twice, whatever ends the sweep, and errors wait."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from faults import fail_at_call, names
from morsescape.errors import ArgumentError, DataError
from morsescape.experiments.sweep.run import Task, TaskError, run_tasks
from morsescape.experiments.sweep.schedulers import Here
from morsescape.store import RunFolder
from sweep_tasks import (
    LONG,
    alive,
    counted,
    divides,
    numbers,
    refused,
    runs,
    same,
    until,
    watched,
)

KEYS = ("a", "b", "c", "d")
SETTINGS = {"experiment": "test"}


@pytest.fixture
def log(tmp_path):
    folder = tmp_path / "log"
    folder.mkdir()
    return folder


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path / "out", SETTINGS)


@pytest.fixture
def tasks(log):
    return [Task(key, counted, (log, key)) for key in KEYS]


def times(log, keys=KEYS):
    return [len(runs(log, key)) for key in keys]


def run_here(tasks, folder=None, **options):
    return run_tasks(tasks, folder, scheduler=Here(), **options)


# --- what comes back


def test_pieces_come_in_the_order_of_the_tasks_and_are_kept(tasks, folder):
    pieces = run_here(tasks, folder)
    assert list(pieces) == list(KEYS)
    assert all(same(pieces[key], RunFolder(folder.path, SETTINGS).load(key)) for key in KEYS)
    assert torch.equal(pieces["a"].tensors["theta"], torch.ones(3))


def test_pieces_are_the_same_computed_or_read_with_or_without_a_folder(folder):
    tasks = [Task(f"seed-{seed}", numbers, (seed,)) for seed in (0, 1)]
    computed, read, alone = run_here(tasks, folder), run_here(tasks, folder), run_here(tasks)
    for key in computed:
        assert same(computed[key], read[key])
        assert same(computed[key], alone[key])
    assert computed["seed-1"].payload["pair"] == [1, 0.1]


def test_what_is_kept_is_not_done_again(tasks, folder, log):
    said = []
    run_here(tasks[1:3], folder)
    run_here(tasks, folder, notice=said.append)
    run_here(tasks, folder)
    assert times(log) == [1, 1, 1, 1]
    assert said == [f"resumed: 2 of 4 runs are in {folder.path} already"]


def test_no_tasks_no_pieces(folder):
    assert run_tasks([], folder) == {}


def test_each_piece_is_on_disk_when_it_is_told(tasks, folder):
    run_here(tasks[1:2], folder)
    told, seen = [], []

    def finished(key):
        told.append((key, f"{key}.json" in names(folder.path)))

    run_here(tasks, folder, finished=finished, progress=lambda *step: seen.append(step))
    assert told == [("a", True), ("c", True), ("d", True)]
    assert seen == [("runs", done, 4) for done in (1, 2, 3, 4)]


def test_here_a_task_shows_its_own_progress(log):
    seen = []
    tasks = [Task("a", watched, (log, "a")), Task("b", counted, (log, "b"))]
    run_here(tasks, progress=lambda *step: seen.append(step))
    steps = [("steps", done, 3) for done in range(3)]
    assert seen == [("runs", 0, 2), *steps, ("runs", 1, 2), ("runs", 2, 2)]


def test_a_damaged_piece_is_named_and_done_again(tasks, folder, log):
    whole = run_here(tasks, folder)
    file = folder.path / "b.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    said = []
    again = run_here(tasks, RunFolder(folder.path, SETTINGS, said.append))
    assert times(log) == [1, 2, 1, 1]
    assert len(said) == 1
    assert str(file) in said[0]
    assert all(same(again[key], whole[key]) for key in KEYS)


# --- errors


def test_the_others_go_on_and_an_error_of_ours_keeps_its_kind_and_message(folder, log):
    works = {"a": refused, "b": counted, "c": divides, "d": counted}
    tasks = [Task(key, function, (log, key)) for key, function in works.items()]
    with pytest.raises(ArgumentError) as caught:
        run_here(tasks, folder)
    assert str(caught.value) == (
        "a, c (2 of 4 runs failed): --lr: expected a finite loss; got nan; cure: a smaller rate"
    )
    assert times(log) == [1, 1, 1, 1]
    assert {"b.json", "d.json"} < names(folder.path)
    mended = [Task(key, counted, (log, key)) for key in KEYS]
    assert list(run_here(mended, folder)) == list(KEYS)
    assert times(log) == [2, 1, 2, 1]


def test_another_error_is_named_with_its_place_and_its_traceback(log):
    with pytest.raises(TaskError) as caught:
        run_here([Task("a", counted, (log, "a")), Task("b", divides, (log, "b"))])
    assert "b (1 of 2 runs failed): divides: expected a task that runs" in str(caught.value)
    assert "got ZeroDivisionError: division by zero (sweep_tasks.py, line " in str(caught.value)
    assert isinstance(caught.value.__cause__.__cause__, ZeroDivisionError)


def test_many_failed_keys_are_counted(log):
    tasks = [Task(f"seed-{seed}", divides, (log, "a")) for seed in range(11)]
    with pytest.raises(TaskError, match=r"seed-6, seed-7 and 3 more \(11 of 11 runs failed\)"):
        run_here(tasks)


def test_a_key_twice_and_a_key_that_is_no_file_name_are_refused_before_any_work(tasks, folder, log):
    with pytest.raises(ArgumentError, match="tasks: expected each key once; got a twice"):
        run_here([*tasks, tasks[0]], folder)
    with pytest.raises(ArgumentError, match="key: expected letters"):
        run_here([*tasks, Task("../e", counted, (log, "e"))], folder)
    assert times(log) == [0, 0, 0, 0]


def test_a_full_disk_ends_the_sweep_and_loses_nothing(tasks, folder, log, monkeypatch):
    # Two files a piece: the fourth rename is that of the second one's JSON.
    fail_at_call(monkeypatch, 4, OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(DataError, match="No space left"):
        run_here(tasks, folder)
    assert times(log) == [1, 1, 0, 0]
    run_here(tasks, folder)
    assert times(log) == [1, 2, 1, 1]


@pytest.mark.parametrize("number", [1, 2], ids=["at its tensors", "at its JSON"])
def test_interrupted_while_a_piece_is_saved_that_piece_is_kept(
    number, tasks, folder, log, monkeypatch
):
    fail_at_call(monkeypatch, number, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        run_here(tasks, folder)
    assert times(log) == [1, 0, 0, 0]
    run_here(tasks, folder)
    assert times(log) == [1, 1, 1, 1]


# --- a real interrupt of a real sweep on two processes

SWEEP = """
import sys
from morsescape.experiments.sweep.processes import Processes
from morsescape.experiments.sweep.run import Task, run_tasks
from morsescape.store import RunFolder
from sweep_tasks import slow, stuck
log, out, first, *keys = sys.argv[1:]
tasks = [Task(first, stuck, (log, first)), *(Task(key, slow, (log, key)) for key in keys)]
run_tasks(tasks, RunFolder(out, {"experiment": "test"}), scheduler=Processes(2))
"""
MANY = [f"seed-{seed}" for seed in range(200)]


@pytest.mark.skipif(os.name != "posix", reason="signals cannot be sent to one process elsewhere")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ended_by_a_signal_nothing_is_lost_and_no_process_stays(number, folder, log):
    process = start(log, folder.path)
    try:
        until(lambda: runs(log, MANY[0]) and len(list(folder.path.glob("seed-*.json"))) >= 3)
        # A terminal sends Ctrl-C to the workers, too.
        (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
        _, stderr = process.communicate(timeout=LONG)
    finally:
        process.kill()
    until(lambda: not any(alive(pid) for key in MANY for pid in runs(log, key)))
    assert process.returncode == -number
    assert stderr.count("Traceback") == (number == signal.SIGINT)  # of the parent alone
    kept = {key for key in MANY if folder.load(key) is not None}
    assert 3 <= len(kept) < len(MANY)
    resumed = run_here([Task(key, counted, (log, key)) for key in MANY], folder)
    whole = run_here([Task(key, counted, (log, key)) for key in MANY])
    assert all(same(resumed[key], whole[key]) for key in MANY)
    assert all(len(runs(log, key)) == 2 for key in kept)  # one of them for `whole`
    assert folder.damaged == []


def start(log, out):
    return subprocess.Popen(
        [sys.executable, "-c", SWEEP, str(log), str(out), *MANY],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
