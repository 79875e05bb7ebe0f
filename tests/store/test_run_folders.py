"""Several run folders under one path."""

from __future__ import annotations

import pytest
import torch

from morsescape.errors import ArgumentError
from morsescape.store import RunFolder, RunFolders


def test_each_is_the_run_folder_of_its_name(tmp_path):
    folders = RunFolders(tmp_path, {"tables/cnn": {"l2": 0.0}, "linear": {"seed": 1}})
    folders.save("tables/cnn:seed-0", {"loss": 0.5}, {"theta": torch.ones(3)})
    alone = RunFolder(tmp_path / "tables" / "cnn", {"l2": 0.0})
    assert alone.load("seed-0").payload == {"loss": 0.5}
    assert folders.load("linear:seed-0") is None
    assert folders.load("tables/cnn:seed-0").key == "tables/cnn:seed-0"


def test_one_more_folder_leaves_the_others_alone(tmp_path):
    RunFolders(tmp_path, {"a": {"n": 1}}).save("a:x", {"v": 1})
    more = RunFolders(tmp_path, {"a": {"n": 1}, "b": {"n": 2}})
    assert more.load("a:x").payload == {"v": 1}


def test_a_folder_of_other_settings_is_refused(tmp_path):
    RunFolders(tmp_path, {"a": {"n": 1}}).save("a:x", {})
    with pytest.raises(ArgumentError, match="n = 1"):
        RunFolders(tmp_path, {"a": {"n": 2}})


def test_damage_is_named_and_counts_as_missing(tmp_path):
    said = []
    folders = RunFolders(tmp_path, {"a": {}}, said.append)
    folders.save("a:x", {"v": 1})
    (tmp_path / "a" / "x.json").write_text("{")
    assert folders.load("a:x") is None
    assert len(said) == 1
