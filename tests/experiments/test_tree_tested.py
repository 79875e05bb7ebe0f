"""Test loss and accuracy in `morsescape tree`: of which images, and where there are none."""

import json

import pytest
import torch

from idx_files import SMALL, write_all
from morsescape.data import files, load
from morsescape.errors import ArgumentError
from morsescape.experiments.point import PointSettings, make_point
from morsescape.experiments.tree.figure import tree_figure
from morsescape.experiments.tree.study import TreeResult, TreeSettings, run_tree
from morsescape.experiments.tree.tested import split
from morsescape.experiments.tree.words import tree_section, tree_sentences, tree_table

POINT = PointSettings("cnn", samples=30, activation="tanh", pool="avg", l2=0.1, epochs=1)
WIDE = PointSettings("mlp2", samples=60, activation="tanh", l2=3e-2, epochs=5)


@pytest.fixture(scope="module")
def result():
    return run_tree(TreeSettings(WIDE, runs=2, retries=0, most=1, paths=False, held_out=20))


def test_the_last_images_are_held_out_of_the_training(result):
    settings = result.settings
    whole = load("digits", samples=60)
    assert (result.samples, result.test_samples) == (40, 20)
    minimum, score = result.graph.minima[0], result.scores[0]
    short = make_point(WIDE, 0, dataset=whole.first(40)).f
    assert result.graph.values[0][0] <= short.value(minimum.theta) + 1e-12
    assert short.value(minimum.theta) <= result.graph.values[0][1] + 1e-12
    out = short.network.model.double()  # the same architecture, by hand
    short.load_into(out, minimum.theta)
    with torch.no_grad():
        logits = out(whole.x[40:])
    by_hand = torch.nn.functional.cross_entropy(logits, whole.y[40:])
    assert score.loss == pytest.approx(float(by_hand), rel=1e-12)
    assert score.accuracy == float((logits.argmax(1) == whole.y[40:]).double().mean())
    told = result.to_json()
    assert told["n_test"] == 20
    assert told["minima"][0]["test_loss"] == score.loss
    again = TreeResult.from_json(json.loads(json.dumps(result.to_piece()[0])), settings=settings,
                                 **result.to_piece()[1])  # fmt: skip
    assert again.scores == result.scores
    assert any("On the 20 images held out: at the minima loss" in x for x in tree_sentences(again))
    section = tree_section(again)
    assert "test accuracy" in section.tables[1].columns
    assert " --held-out 20" in section.command
    assert settings.identity() != TreeSettings(WIDE, runs=2).identity()


def test_digits_have_no_test_part_and_none_is_made_up():
    train, test = split(POINT, 0)
    assert (len(train), test) == (30, None)
    result = run_tree(TreeSettings(POINT, runs=2, retries=0, most=0))
    assert (result.scores, result.test_samples) == ((), 0)
    assert result.to_json()["minima"][0]["test_accuracy"] is None
    assert not any("images held out" in x or "test part" in x for x in tree_sentences(result))
    assert "test loss" not in [str(column.header) for column in tree_table(result).columns]
    assert "held_out" not in result.settings.identity()  # folders of before are resumed


def test_mnist_is_tested_on_its_own_test_images(tmp_path, monkeypatch):
    monkeypatch.setitem(files.SOURCES, "mnist", SMALL)
    write_all(tmp_path / "MNIST/raw", gzipped=True)
    point = PointSettings(data="mnist", root=str(tmp_path))
    train, test = split(point, 0)
    assert (len(train), test.y.tolist()) == (5, [9, 2])
    train, test = split(point, 2)
    assert (train.y.tolist(), test.y.tolist()) == ([3, 1, 4], [1, 5])
    with pytest.raises(ArgumentError, match=r"--held-out: expected fewer than the 5 images"):
        split(point, 5)


def test_no_images_are_held_out_of_an_objective():
    with pytest.raises(ArgumentError, match="held-out"):
        TreeSettings(PointSettings(objective="model.py:f"), held_out=3)


def test_leaves_are_coloured_by_what_tests_them(result):
    assert len({score.accuracy for score in result.scores}) > 1
    ax = tree_figure(result)
    dots = next(c for c in ax.collections if c.get_array() is not None)
    assert list(dots.get_array()) == [score.accuracy for score in result.scores]
    assert ax.figure.axes[1].get_ylabel() == "test accuracy"
