"""Every experiment in one sweep: what comes first, what is kept, what is shown of a part."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from interrupted import Interrupted, Until
from morsescape.errors import ArgumentError, DataError
from morsescape.experiments import ReproduceSettings, run_reproduce
from morsescape.experiments.registry import PARTS
from morsescape.experiments.reproduce.study import asked, ordered_tasks, parts_of
from morsescape.experiments.reproduce.words import reproduce_page
from morsescape.experiments.sweep.schedulers import Here
from morsescape.page import render
from morsescape.store import versions

SMALL = ReproduceSettings(
    nets=("cnn",), parts=("tables", "scatter", "linear"), runs=2, members=3, samples=40
)


def timeless(value: Any) -> Any:
    """Without the times, which differ from run to run."""
    if isinstance(value, dict):
        return {k: timeless(v) for k, v in value.items() if not k.startswith("seconds")}
    return [timeless(v) for v in value] if isinstance(value, list) else value


@pytest.fixture(scope="module", autouse=True)
def short_trainings() -> Iterator[None]:
    """A tenth of the steps: nothing here is said of how well a network was trained."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("morsescape.nets.training._LEAST_STEPS", 500)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("whole")
    result = run_reproduce(SMALL, folder, scheduler=Here())
    assert result.complete
    return folder, timeless(result.to_json())


@pytest.fixture(scope="module")
def cut_off(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep that was interrupted after two tasks. To be copied, not changed."""
    folder = tmp_path_factory.mktemp("cut_off")
    with pytest.raises(Interrupted):
        run_reproduce(SMALL, folder, scheduler=Until(2))
    return folder


def test_interrupted_and_resumed_it_is_the_same_and_does_nothing_twice(whole, tmp_path):
    done: list[str] = []
    said: list[str] = []
    tasks = ordered_tasks(parts_of(SMALL))
    for stop in (1, 0, 3, 100):
        scheduler = Until(stop)
        left = len(tasks) - len(done)
        with contextlib.suppress(Interrupted):
            result = run_reproduce(SMALL, tmp_path, scheduler=scheduler, notice=said.append)
        *_, cost = (sentence for sentence in said if " to do, " in sentence)
        assert cost.startswith(f"{left} of {len(tasks)} pieces to do, about ")
        assert cost.endswith("an estimate")
        done += scheduler.done
    run_reproduce(SMALL, tmp_path, scheduler=Until(0), notice=said.append)
    assert (
        sum(" to do, " in sentence for sentence in said) == 4
    )  # with nothing left nothing is said
    assert timeless(result.to_json()) == whole[1]
    assert sorted(done) == sorted(task.key for task in tasks)


def test_the_versions_of_every_piece_are_reported(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "__version__", "1.0.0")
    with contextlib.suppress(Interrupted):
        run_reproduce(SMALL, tmp_path, scheduler=Until(2))
    monkeypatch.undo()
    result = run_reproduce(SMALL, tmp_path, scheduler=Here())
    rest = result.expected - 2
    old = versions() | {"torch": "1.0.0"}
    first, second = result.to_json()["made_with"]
    assert first == versions() | {"pieces": rest, "parts": first["parts"]}
    assert {*first["parts"], *second["parts"]} == set(SMALL.parts)
    assert second == old | {"pieces": 2, "parts": second["parts"]}
    assert "; 2 pieces (" in reproduce_page(result).footer[0]


def test_a_folder_can_be_extended(whole):
    folder, _ = whole
    more = ReproduceSettings(**{**vars(SMALL), "nets": ("cnn", "mlp2"), "parts": ("tables",)})
    scheduler = Until(100)
    run_reproduce(more, folder, scheduler=scheduler)
    assert scheduler.done
    assert all("mlp2" in key for key in scheduler.done)


def test_something_of_everything_comes_first():
    parts = parts_of(ReproduceSettings(runs=3))
    first = [task.key for task in ordered_tasks(parts)][: len(parts)]
    assert len({key.partition(":")[0] for key in first}) == len(parts)
    assert {part.kind for part in parts} == set(PARTS)


def test_the_page_of_what_is_there(cut_off, tmp_path):
    shutil.copytree(cut_off, tmp_path, dirs_exist_ok=True)
    result = run_reproduce(SMALL, tmp_path, compute=False)
    assert not result.complete
    page = reproduce_page(result)
    assert "Not finished: 2 of" in page.findings[0]
    assert "<h1>" in render(page)


def test_an_interrupted_reproduction_says_what_was_asked_for(cut_off, tmp_path):
    shutil.copytree(cut_off, tmp_path, dirs_exist_ok=True)
    assert asked(tmp_path) == dataclasses.replace(SMALL, root=None)
    with pytest.raises(DataError, match="without --page-only first"):
        asked(tmp_path / "elsewhere")


def test_nothing_is_there_yet(tmp_path):
    with pytest.raises(DataError, match="without --page-only first"):
        run_reproduce(SMALL, tmp_path, compute=False)
    other = ReproduceSettings(**{**vars(SMALL), "samples": 50})
    other = ReproduceSettings(**{**vars(other), "parts": ("tables",), "runs": 1})
    assert run_reproduce(other, tmp_path, scheduler=Here()).complete  # the folder is not bound


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"data": ("mnist", "mnist")}, "--data"),
        ({"data": ()}, "--data"),
        ({"nets": ("resnet",)}, "--net:"),
        ({"parts": ("tables", "poetry")}, "--parts"),
        ({"runs": 0}, "--runs"),
        ({"members": 1}, "--members"),
        ({"seed": -1}, "--seed"),
    ],
)
def test_bad_settings_are_refused(change: dict[str, Any], named: str):
    with pytest.raises(ArgumentError, match=named):
        ReproduceSettings(**change)


def test_optimizers_give_rows_of_their_own():
    settings = ReproduceSettings(parts=("tables",), nets=("mlp2",), optimizers=("lbfgs",))
    assert [part.folder for part in parts_of(settings)] == [
        "tables/mlp2-digits-trained", "tables/mlp2-digits-random", "tables/mlp2-digits-lbfgs",
    ]  # fmt: skip
