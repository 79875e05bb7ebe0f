"""`run_scatter`: an ensemble in pieces that are kept, its distances and its plane."""

import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from morsescape.data import load
from morsescape.errors import ArgumentError
from morsescape.experiments.point import PointSettings
from morsescape.experiments.scatter.cloud import SAME, Distances, Plane
from morsescape.experiments.scatter.study import (
    ScatterSettings,
    assemble_scatter,
    run_scatter,
    scatter_piece,
    scatter_tasks,
)
from morsescape.nets import Recipe, build, train
from morsescape.store import Piece, RunFolder

POINT = PointSettings("cnn", samples=90, epochs=2)
SETTINGS = ScatterSettings(POINT, seed=3, members=10, piece=4)


def piece(theta, loss, status=None, seeds=None, **payload):
    """A piece of a cnn on 8×8 images, as `scatter_piece` would make it."""
    count = len(theta)
    payload = {
        "seeds": list(seeds or range(count)),
        "accuracy": [0.5] * count,
        "status": list(status or ["DONE"] * count),
        "recipe": {"optimizer": "adam", "lr": 3e-3, "epochs": 2},
        "pixels": 64,
        "classes": 10,
        "n_samples": 90,
        "seconds": 1.0,
    } | payload
    return Piece("members-0-9", payload, {"theta": theta, "loss": loss})


def solutions(count=6):
    models = [build("cnn", image_shape=(8, 8), seed=seed) for seed in range(count)]
    theta = [nn.utils.parameters_to_vector(m.parameters()).detach() for m in models]
    return torch.stack(theta).double(), torch.linspace(0.1, 1, count, dtype=torch.float64)


def as_json(result):
    return {k: v for k, v in json.loads(json.dumps(result.to_json())).items() if k != "seconds"}


@pytest.fixture(scope="module")
def result():
    return run_scatter(SETTINGS)


def test_members_are_the_networks_of_their_seeds(result):
    assert result.seeds == tuple(range(3, 13))
    assert result.complete
    digits = load("digits", samples=90)
    for k in (0, 5, 9):
        model = build("cnn", image_shape=(8, 8), seed=3 + k)
        training = train(model, digits, seed=3, recipe=Recipe("adam", 3e-3, 2))
        theta = nn.utils.parameters_to_vector(model.parameters()).detach().double()
        torch.testing.assert_close(result.theta[k], theta, rtol=0, atol=1e-5)
        assert float(result.loss[k]) == pytest.approx(training.loss, abs=1e-5)
        assert float(result.accuracy[k]) == pytest.approx(training.accuracy, abs=0.02)
        assert bool(result.dead[k]) == (training.status.name == "CONSTANT")


def test_interrupted_it_resumes_with_the_same_result(result, tmp_path):
    folder = RunFolder(tmp_path, SETTINGS.identity())
    second = scatter_tasks(SETTINGS)[1]
    folder.save(second.key, *second.function(*second.arguments))
    said = []
    resumed = run_scatter(SETTINGS, RunFolder(tmp_path, SETTINGS.identity()), notice=said.append)
    assert said == [f"resumed: 1 of 3 runs are in {tmp_path} already"]
    assert as_json(resumed) == as_json(result)
    again = run_scatter(SETTINGS, RunFolder(tmp_path, SETTINGS.identity()))
    assert as_json(again) == as_json(result)


def test_more_members_take_the_same_folder_and_other_orders_do_not(tmp_path):
    RunFolder(tmp_path, SETTINGS.identity()).save("members-0-3", {})
    more = ScatterSettings(POINT, seed=3, members=20, piece=4)
    RunFolder(tmp_path, more.identity())
    other = ScatterSettings(POINT, seed=4, members=10, piece=4)
    with pytest.raises(ArgumentError, match="seed = 3"):
        RunFolder(tmp_path, other.identity())


def test_the_pieces_hold_every_member_once():
    tasks = scatter_tasks(ScatterSettings(POINT, members=10, piece=4))
    assert [task.arguments[1:] for task in tasks] == [(0, 4), (4, 8), (8, 10)]
    assert [task.key for task in tasks] == ["members-0-3", "members-4-7", "members-8-9"]


def test_what_is_there_of_an_unfinished_ensemble(result):
    payload, tensors = scatter_piece(SETTINGS, 0, 4)
    part = assemble_scatter(SETTINGS, {"members-0-3": Piece("members-0-3", payload, tensors)})
    assert not part.complete
    assert part.seeds == (3, 4, 5, 6)
    assert torch.equal(part.theta, result.theta[:4])
    assert assemble_scatter(SETTINGS, {}) is None


def test_symmetric_copies_coincide_after_and_not_before():
    theta, loss = solutions()
    theta[1] = theta[0]
    theta[1, :26] *= 2
    theta[1, 26:51] /= 2
    theta[1, 92:] += 3
    result = assemble_scatter(SETTINGS, {"a": piece(theta, loss)})
    assert (result.before.same, result.after.same) == (0, 1)
    assert result.after.relative[0] < 1e-9
    assert min(result.after.relative[1:]) > 0.1
    values = result.to_json()
    assert values["distances"]["same"] == 0
    assert values["distances_modulo_symmetries"]["same"] == 1
    assert values["symmetries"] == ["positive rescaling", "softmax shift"]


def test_dead_members_are_in_the_plane_and_not_in_the_distances():
    theta, loss = solutions()
    status = ["DONE", "CONSTANT", "DONE", "DONE", "CONSTANT", "DONE"]
    result = assemble_scatter(SETTINGS, {"a": piece(theta, loss, status)})
    assert result.dead.tolist() == [False, True, False, False, True, False]
    assert len(result.plane.coordinates) == 6
    assert len(result.before.relative) == 6
    assert result.to_json()["dead"] == 2


def test_diverged_members_are_named_and_left_out():
    theta, loss = solutions()
    theta[2], loss[2] = math.nan, math.nan
    result = assemble_scatter(SETTINGS, {"a": piece(theta, loss, seeds=range(40, 46))})
    assert (result.diverged, result.seeds) == ((42,), (40, 41, 43, 44, 45))
    assert np.isfinite(result.plane.coordinates).all()


def test_no_two_live_solutions_have_no_distances():
    theta, loss = solutions(2)
    result = assemble_scatter(SETTINGS, {"a": piece(theta, loss, ["CONSTANT", "DONE"])})
    assert result.before is None
    assert result.to_json()["distances"] is None


def test_when_all_diverge_the_cure_is_named():
    wild = PointSettings("mlp2", samples=40, lr=1e30, epochs=20)
    with pytest.raises(ArgumentError, match="--lr: expected at least two trainings whose loss"):
        run_scatter(ScatterSettings(wild, members=2))


def test_a_finished_ensemble_needs_no_data(tmp_path, monkeypatch):
    settings = ScatterSettings(PointSettings("cnn", samples=20, at="random"), members=3)
    folder = RunFolder(tmp_path, settings.identity())
    first = run_scatter(settings, folder)
    monkeypatch.setattr("morsescape.experiments.scatter.study.load_data", None)
    assert run_scatter(settings, folder).to_json() == first.to_json()


def test_a_random_point_is_not_trained():
    point = PointSettings("cnn", samples=20, at="random")
    result = run_scatter(ScatterSettings(point, members=3))
    assert torch.equal(result.theta, solutions(3)[0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"point": PointSettings("mlp3")}, r"--net: expected cnn \| mlp2; got 'mlp3'"),
        ({"members": 1}, "--members: expected 2 or more; got 1"),
        ({"seed": -1}, "--seed: expected 0 or more"),
        ({"piece": 0}, "--piece: expected 1 or more"),
        ({"point": PointSettings("cnn", l2=0.1)}, "--l2: expected none"),
        ({"point": PointSettings("cnn", device="meta")}, "--device: expected cpu; got 'meta'"),
        ({"point": PointSettings("cnn", optimizer="lbfgs")}, r"--optimizer: expected sgd \| adam"),
        (
            {"point": PointSettings("cnn", checkpoint="a.safetensors")},
            "--checkpoint: expected none",
        ),
    ],
)
def test_settings_that_no_ensemble_has(changes, message):
    with pytest.raises(ArgumentError, match=message):
        ScatterSettings(**changes)


# --- clouds


def test_distances_by_hand():
    points = torch.tensor([[3.0, 0.0], [0.0, 4.0], [0.0, 4.0 + 1e-6]], dtype=torch.float64)
    absolute = np.array([5.0, math.hypot(3, 4 + 1e-6), 1e-6])
    distances = Distances.of(absolute, points)
    np.testing.assert_allclose(distances.relative, [1, 1, 1e-6 / math.sqrt(32)], rtol=1e-6)
    np.testing.assert_allclose(distances.nearest, [1, *[1e-6 / math.sqrt(32)] * 2], rtol=1e-6)
    assert distances.same == 1
    assert distances.to_json()["same_definition"] == f"relative distance at most {SAME:g}"


def test_the_plane_is_that_of_the_largest_variance():
    generator = torch.Generator().manual_seed(0)
    scales = torch.tensor([9.0, 4.0, 1.0, 0.5]).double()
    points = torch.randn(200, 4, generator=generator).double() * scales + 7
    plane = Plane.of(points)
    centred = points - points.mean(0)
    values, vectors = torch.linalg.eigh(centred.t() @ centred)
    shares = (values / values.sum()).flip(0)[:2]
    np.testing.assert_allclose(plane.shares, shares.numpy(), rtol=1e-10)
    expected = (centred @ vectors.flip(1)[:, :2]).abs().numpy()
    np.testing.assert_allclose(np.abs(plane.coordinates), expected, atol=1e-9)
    assert np.array_equal(Plane.of(points.clone()).coordinates, plane.coordinates)
