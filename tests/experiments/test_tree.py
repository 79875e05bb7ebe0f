"""`morsescape tree`: from seeds to the threshold, resumed, and what it refuses."""

import json

import pytest
from typer.testing import CliRunner

from morsescape.app import app
from morsescape.errors import ArgumentError
from morsescape.experiments.point import PointSettings
from morsescape.experiments.tree.figure import tree_figure
from morsescape.experiments.tree.study import TreeSettings, run_tree
from morsescape.experiments.tree.words import tree_sentences, tree_table
from morsescape.store import RunFolder

POINT = PointSettings("mlp2", samples=40, activation="tanh", l2=3e-2, epochs=5)


def test_from_seeds_to_a_tree_and_again(tmp_path):
    settings = TreeSettings(POINT, runs=2, retries=0, most=3)
    result = run_tree(settings, RunFolder(tmp_path, settings.identity()))
    told = []
    again = run_tree(settings, RunFolder(tmp_path, settings.identity()), notice=told.append)
    assert told == ["resumed: 2 minima are there already"]
    assert again.to_json()["minima"] == result.to_json()["minima"]
    assert again.graph.attempts == result.graph.attempts
    assert any("proved" in line for line in tree_sentences(result))
    assert tree_table(result).row_count == len(result.graph.passes)
    assert tree_figure(result).get_ylabel().startswith("f - ")


def test_kinks_are_refused():
    with pytest.raises(ArgumentError, match="twice differentiable"):
        run_tree(TreeSettings(PointSettings("mlp2", samples=40, l2=1e-2, epochs=1), runs=2))


def test_the_command(tmp_path):
    line = (
        "tree --net cnn --activation tanh --pool avg --samples 20 --l2 0.1 --epochs 1 --runs 2 "
        f"--json {tmp_path / 'tree.json'}"
    )
    answer = CliRunner().invoke(app, line.split())
    assert answer.exit_code == 0, answer.output
    values = json.loads((tmp_path / "tree.json").read_text())
    assert len(values["minima"]) == values["given"] == 1
    assert values["threshold"] == values["minima"][0]["value"]
