"""The point that is looked at: settings, checkpoints, the user's own objective, the paper's."""

import math

import pytest
import torch

import own_model
from morsescape.accuracy import accuracy
from morsescape.errors import ArgumentError, DataError
from morsescape.experiments import IndexSettings, PointSettings, run_index
from morsescape.experiments.citation import published
from morsescape.experiments.point import make_point
from morsescape.nets import build
from morsescape.objective import Objective
from morsescape.store import save_checkpoint


@pytest.fixture
def own(tmp_path):
    return own_model.write(tmp_path)


# --- settings


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"net": "mlp9"}, "--net: expected mlp2 | mlp3 | cnn; got 'mlp9'"),
        ({"data": "cifar"}, "--data: expected digits | mnist | fashion-mnist; got 'cifar'"),
        ({"at": "end"}, "--at: expected trained | random; got 'end'"),
        ({"activation": "sin"}, "--activation: expected relu | tanh | softplus | gelu"),
        ({"pool": "min"}, "--pool: expected max | avg; got 'min'"),
        ({"l2": -1.0}, "--l2: expected a finite number, 0 or more; got -1.0"),
        ({"l2": math.nan}, "--l2: expected a finite number, 0 or more; got nan"),
        ({"samples": 0}, "--samples: expected 1 or more; got 0"),
        ({"lr": 0.0}, "lr: expected a positive number; got 0.0"),
        ({"epochs": -1}, "epochs: expected 0 or more; got -1"),
        ({"optimizer": "bfgs", "lr": 1.0}, "optimizer: expected sgd | adam | lbfgs; got 'bfgs'"),
        ({"optimizer": "adam"}, "--lr: expected a learning rate for adam"),
        ({"device": "abacus"}, "--device: expected a device of this machine; got 'abacus'"),
        ({"objective": "own.py"}, "--objective: expected FILE.py:FUNCTION; got 'own.py'"),
    ],
)
def test_wrong_settings_are_refused_at_once(change, message):
    with pytest.raises(ArgumentError) as caught:
        PointSettings(**change)
    assert message in str(caught.value)


def test_lbfgs_needs_no_learning_rate():
    point = make_point(PointSettings(optimizer="lbfgs", samples=50, epochs=20), seed=0)
    assert str(point.training.recipe) == "lbfgs, first length 1, 20 steps on all samples"
    assert point.training.accuracy > 0.9


def test_the_folder_of_the_data_is_no_part_of_the_identity():
    a, b = (PointSettings(root=root).identity() for root in ("here", None))
    assert a == b
    assert a != PointSettings(samples=5).identity()


def test_the_identity_follows_the_content_of_a_file(own):
    settings = PointSettings(objective=f"{own}:saddle")
    before = settings.identity()
    assert str(own) not in str(before)
    own.write_text(own_model.OWN + "\n")
    assert settings.identity() != before


# --- training


def test_random_is_the_initialisation():
    point = make_point(PointSettings(net="cnn", samples=60, at="random"), seed=2)
    model = build("cnn", image_shape=(8, 8), seed=2)
    theta = torch.cat([p.detach().flatten() for p in model.parameters()]).double()
    assert torch.equal(point.theta, theta)
    assert point.training is None


def test_a_training_that_diverges_is_told_with_its_seed_and_the_cure():
    settings = PointSettings(net="cnn", samples=60, epochs=2, optimizer="sgd", lr=1e30)
    with pytest.raises(ArgumentError, match=r"got loss \S+ with seed 0 .*cure: a smaller learning"):
        make_point(settings, seed=0)


# --- checkpoints


def test_a_checkpoint_is_the_point(tmp_path):
    model = build("cnn", image_shape=(8, 8), seed=3)
    save_checkpoint(tmp_path / "cnn.safetensors", model)
    settings = PointSettings(net="cnn", samples=20, checkpoint=str(tmp_path / "cnn.safetensors"))
    point = make_point(settings, seed=0)
    assert torch.equal(point.theta, torch.cat([p.flatten() for p in model.parameters()]).double())
    assert point.training is None


def test_a_checkpoint_of_another_model(tmp_path):
    save_checkpoint(tmp_path / "a.safetensors", build("mlp2", image_shape=(8, 8)))
    settings = PointSettings(net="cnn", samples=20, checkpoint=str(tmp_path / "a.safetensors"))
    with pytest.raises(ArgumentError, match="build the model with the same net"):
        make_point(settings, seed=0)


# --- the user's own


def test_an_objective_of_the_users_is_taken_as_it_is(own):
    point = make_point(PointSettings(objective=f"{own}:saddle"), seed=0)
    assert point.f.dim == 3
    assert accuracy(point.f, point.theta) is None


def test_the_function_gets_the_seed_and_keeps_its_l2(own):
    result = run_index(IndexSettings(PointSettings(objective=f"{own}:seeded"), runs=2))
    values = result.to_json()
    assert (values["net"], values["at"], values["l2"]) == (None, "given", 0.25)
    assert values["runs"][0]["loss"] != values["runs"][1]["loss"]
    other = make_point(PointSettings(objective=f"{own}:seeded", l2=0.0), seed=0)
    assert other.f.l2 == 0.0


def test_the_index_of_a_known_saddle(own):
    result = run_index(IndexSettings(PointSettings(objective=f"{own}:saddle"), runs=1))
    (run,) = result.runs
    assert (run.negative, run.null, run.positive) == ((1, 1), (0, 0), (2, 2))
    assert run.raw_negative == {"float32": None, "float64": None}
    assert (run.smallest, run.largest) == (-2.0, 2.0)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("number", "expected a function that returns a morsescape.Objective; got int"),
        ("fails", "got ValueError: two lines (line 22)"),
        ("leaves", "got SystemExit: bye (line 25)"),
        ("missing", "got the functions saddle, seeded, number, fails, leaves, refused"),
        ("SIZE", "expected a function SIZE in"),
    ],
)
def test_a_function_that_gives_no_objective(own, function, message):
    with pytest.raises(DataError) as caught:
        make_point(PointSettings(objective=f"{own}:{function}"), seed=0)
    assert message in str(caught.value)


def test_a_function_that_is_missing_is_missed_before_the_file_runs(tmp_path):
    (tmp_path / "long.py").write_text("def train():\n    pass\nraise SystemExit('it ran')\n")
    with pytest.raises(DataError, match=r"got the functions train;"):
        make_point(PointSettings(objective=f"{tmp_path}/long.py:trian"), seed=0)
    (tmp_path / "other.py").write_text("from long import *\n")  # where it may come from
    with pytest.raises(DataError, match="it ran"):
        make_point(PointSettings(objective=f"{tmp_path}/other.py:trian"), seed=0)


@pytest.mark.usefixtures("unchecked")
def test_what_the_objective_refuses_is_said_in_its_own_words(own):
    with pytest.raises(ArgumentError, match="loss: expected 'cross_entropy'"):
        make_point(PointSettings(objective=f"{own}:refused"), seed=0)


def test_a_file_that_is_missing_or_does_not_parse(tmp_path):
    with pytest.raises(DataError, match="expected a Python file; got no file"):
        make_point(PointSettings(objective=f"{tmp_path}/no.py:f"), seed=0)
    (tmp_path / "broken.py").write_text("def f(:\n")
    with pytest.raises(DataError, match="SyntaxError"):
        make_point(PointSettings(objective=f"{tmp_path}/broken.py:f"), seed=0)


def test_several_runs_need_a_seed(own):
    settings = IndexSettings(PointSettings(objective=f"{own}:saddle"), runs=2)
    with pytest.raises(ArgumentError, match="has no parameter `seed`; got 2"):
        run_index(settings)


def test_networks_of_different_sizes_are_not_one_table(own):
    own.write_text(own_model.OWN.replace("GROW = 0", "GROW = 1"))
    settings = IndexSettings(PointSettings(objective=f"{own}:seeded"), runs=2)
    with pytest.raises(ArgumentError, match="expected 6 parameters for every seed; got 9"):
        run_index(settings)


# --- accuracy and the paper


def test_accuracy_counts_the_right_answers():
    model = torch.nn.Linear(2, 2, bias=False)
    model.weight.data = torch.eye(2)
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [3.0, 2.0], [0.0, 1.0]])
    f = Objective(model, "cross_entropy", (x, torch.tensor([0, 1, 0, 0])))
    assert accuracy(f, f.theta) == 0.75


@pytest.mark.parametrize(
    ("net", "data", "at", "mean", "sd"),
    [
        ("cnn", "mnist", "trained", 232.9, 2.88),
        ("cnn", "fashion-mnist", "trained", 238.5, 4.88),
        ("mlp2", "mnist", "trained", 1980.1, 130.4),
        ("mlp2", "fashion-mnist", "random", 2840.9, 387.35),
        ("mlp3", "mnist", "random", 1410.3, 235.31),
        ("mlp3", "fashion-mnist", "trained", 3593.3, 208.61),
    ],
)
def test_the_published_numbers(net, data, at, mean, sd):
    paper = published(PointSettings(net=net, data=data, at=at))
    assert (paper.mean, paper.sd) == (mean, sd)


@pytest.mark.parametrize(
    "change",
    [
        {"activation": "tanh"},
        {"pool": "avg"},
        {"l2": 1e-4},
        {"samples": 600},
        {"data": "digits"},
        {"optimizer": "sgd", "lr": 0.1},
        {"checkpoint": "mine.safetensors"},
    ],
)
def test_no_published_number_stands_beside_another_setting(change):
    assert published(PointSettings(**{"net": "cnn", "data": "mnist"} | change)) is None


@pytest.mark.parametrize(("at", "times"), [("random", 1), ("trained", 2)])
def test_the_objective_is_built_again_only_after_a_training(at, times, monkeypatch):
    built, said = [], []
    make = Objective.__init__

    def counted(self, *given, **named):
        built.append(self)
        make(self, *given, **named)

    monkeypatch.setattr(Objective, "__init__", counted)
    found = make_point(PointSettings(at=at, samples=20, epochs=1), 0, before=said.append)
    assert (len(built), len(said)) == (times, 1)
    assert (found.f is said[0]) == (at == "random")
