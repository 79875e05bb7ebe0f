"""The height of a curve is where it is said to be, and what is between samples is found."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import morsescape as ms
from morsescape.nets import build
from morsescape.paths import enclosed
from morsescape.paths.curve import Curve
from morsescape.paths.height import Height, height_of


def function(fn, dim: int = 1) -> ms.Objective:
    return ms.Objective.from_function(fn, dim)


LINE = Curve.chain(torch.tensor([[0.0], [1.0]]).double())


def images(n: int = 60, side: int = 8) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    return torch.rand(n, 1, side, side, generator=g).double(), torch.arange(n) % 10


def network(net: str, activation: str, pool: str, l2: float = 1e-3) -> ms.Objective:
    model = build(net, image_shape=(8, 8), activation=activation, pool=pool).eval()
    return ms.Objective(model, "cross_entropy", images(12 if net == "cnn" else 60), l2=l2)


def between_random_points(f: ms.Objective, scale: float = 1.0, degree: int = 1) -> Curve:
    g = torch.Generator().manual_seed(1)
    points = scale * torch.randn(degree + 2, f.dim, generator=g, dtype=torch.float64)
    return Curve.chain(points) if degree == 1 else Curve(points[None, : degree + 1])


def most(f: ms.Objective, curve: Curve, samples: int = 400) -> float:
    return max(f.value(curve(k / samples)) for k in range(samples + 1))


@pytest.mark.parametrize("place", [0.5083, 0.3417, 0.0081])
@pytest.mark.parametrize("width", [1e-3, 1e-5])
def test_a_needle_between_samples_is_found(place, width):
    f = function(lambda t: 0.1 * t[0] + torch.exp(-(((t[0] - place) / width) ** 2)))
    assert max(f.value(LINE(k / 60)) for k in range(61)) < 0.2
    height = height_of(f, LINE)
    assert height.reached
    assert 0.98 < height.low <= height.high < 1.1
    assert abs(height.at - place) < width


def test_a_proof_that_looks_at_samples_alone_would_miss_it(monkeypatch):
    """Breaks the bound: the needle is gone, so the test above can fail."""
    f = function(lambda t: 0.1 * t[0] + torch.exp(-(((t[0] - 0.5083) / 1e-5) ** 2)))
    monkeypatch.setattr(enclosed.Piece, "upper", property(lambda p: p.value[1]))
    assert height_of(f, LINE).high < 0.2


@pytest.mark.parametrize(
    ("net", "activation", "pool", "degree"),
    [
        ("mlp2", "tanh", "max", 1), ("mlp2", "relu", "max", 1), ("mlp3", "relu", "max", 1),
        ("cnn", "tanh", "avg", 1), ("cnn", "relu", "max", 1), ("mlp2", "gelu", "max", 1),
        ("mlp2", "tanh", "max", 2), ("mlp3", "relu", "max", 3),
    ],
)  # fmt: skip
def test_networks_are_no_higher_than_proved(net, activation, pool, degree):
    f = network(net, activation, pool)
    curve = between_random_points(f, 0.7, degree)
    height = height_of(f, curve, tol=0.3 if net == "cnn" else 0.05)
    highest = most(f, curve)
    assert height.estimate is None
    assert height.reached
    assert highest <= height.high * (1 + 1e-12)
    assert height.low <= highest + height.tolerance
    # Every interval's own bound holds, and the lower bounds at its middle.
    for t0, t1, upper in height.bounds:
        assert f.value(curve((t0 + t1) / 2)) <= upper * (1 + 1e-12)
    for t, lower in height.samples:
        assert f.value(curve(t)) >= lower * (1 - 1e-12)
    covered = [b[1] for b in height.bounds[:-1]]
    assert covered == [b[0] for b in height.bounds[1:]]
    assert (height.bounds[0][0], height.bounds[-1][1]) == (0, 1)


def test_the_tolerance_is_a_share_of_the_barrier():
    f = network("mlp2", "tanh", "max")
    curve = between_random_points(f)
    rough, fine = height_of(f, curve, tol=0.1), height_of(f, curve, tol=1e-3)
    assert rough.evaluations < fine.evaluations
    assert fine.high - fine.low <= 1e-3 * fine.barrier[1]
    assert rough.low - 1e-12 <= fine.high
    assert fine.low <= rough.high
    low, high = fine.barrier
    assert low <= most(f, curve) - max(f.value(curve(0.0)), f.value(curve(1.0))) <= high + 1e-9


def test_a_curve_that_goes_down_all_the_way_has_the_height_of_its_start():
    f = function(lambda t: -t[0] + 2.0)
    height = height_of(f, LINE)
    assert height.low <= 2.0 <= height.high <= 2.0 + 1e-5
    assert height.barrier[0] == 0
    assert height.at == 0


def test_the_ridge_and_other_objectives_count():
    f = network("mlp2", "tanh", "max", l2=1e-1)
    curve = between_random_points(f)
    whole, loss = height_of(f, curve), height_of(f.at_l2(0.0), curve)
    assert abs(whole.high - most(f, curve)) < 2 * whole.tolerance
    assert abs(loss.high - most(f.at_l2(0.0), curve)) < 2 * loss.tolerance


def test_samples_in_chunks_give_the_same(monkeypatch):
    f = network("mlp3", "relu", "max")
    curve = between_random_points(f)
    once = height_of(f, curve, tol=0.2)
    monkeypatch.setattr(enclosed, "_NUMBERS", 64 * 25)
    parts = height_of(f, curve, tol=0.2)
    assert abs(parts.high - once.high) <= once.tolerance
    assert abs(parts.low - once.low) <= once.tolerance


def test_class_weights_and_means_over_what_counts():
    x, y = images()
    loss = nn.CrossEntropyLoss(weight=torch.arange(1.0, 11.0), ignore_index=3, label_smoothing=0.1)
    model = build("mlp2", image_shape=(8, 8), activation="tanh").eval()
    f = ms.Objective(model, loss, (x, y))
    curve = between_random_points(f)
    height = height_of(f, curve)
    assert abs(height.high - most(f, curve)) < 2 * height.tolerance


@pytest.mark.parametrize(
    ("fn", "words"),
    [
        (lambda t: torch.where(t[0] > 0.4, t[0] ** 2, 3 * t[0]), "where"),
        (lambda t: t.float().square().sum().double(), "conversion to torch.float32"),
    ],
)
def test_an_operation_of_which_nothing_is_known_makes_it_an_estimate(fn, words):
    height = height_of(function(fn), LINE)
    assert height.estimate is not None
    assert words in height.estimate
    assert "estimate" in str(height)


UP = Curve.chain(torch.tensor([[0.1, 0.2], [5.0, 4.0]]).double())


def unheard(t: Tensor) -> Tensor:
    """Its second part moves where t is above 2, and no operation of torch's is made of it."""
    numbers = (ctypes.c_double * 2).from_address(t.detach().data_ptr())
    return t.square().sum() + sum(max(0.0, x - 2) ** 2 for x in numbers)


@pytest.mark.parametrize(
    "fn",
    [
        lambda t: t.square().sum() + sum(max(0.0, x - 2) ** 2 for x in t.tolist()),
        lambda t: t.square().sum() + float(np.maximum(t.detach().numpy() - 2, 0).sum()),
        lambda t: t.square().sum() + float(np.maximum(np.asarray(t.detach()) - 2, 0).sum()),
        unheard,
    ],
)
def test_what_is_done_past_torch_is_no_constant(fn):
    height = height_of(function(fn, 2), UP)
    assert height.estimate is not None
    assert height.high >= fn(UP(1.0))


def test_the_top_of_an_arch_that_underflows():
    arch = function(lambda t: 1e-170 * (t - t * t).sum())  # its slope squared is 0 in float64
    piece = enclosed.pieces_on(arch, LINE.pieces[0], [(0.4375, 0.125)])[0]
    assert piece.upper >= 0.25e-170


def test_a_condition_that_turns_at_many_places_is_given_up_early():
    f = function(lambda t: torch.where((300 * t).sin() > 0, t**2, 2 * t).sum())
    height = height_of(f, LINE)
    assert "at many t" in height.estimate


def test_a_smooth_proof_of_kinks_is_refused():
    f = network("mlp2", "relu", "max")
    with pytest.raises(ms.ArgumentError, match="without kinks"):
        height_of(f, between_random_points(f), smooth=True)
    with pytest.raises(ms.ArgumentError, match="points of"):
        height_of(f, LINE)


def test_a_height_is_kept(tmp_path):
    height = height_of(function(lambda t: t.sin().sum()), LINE)
    height.save(tmp_path / "height.json")
    assert Height.load(tmp_path / "height.json") == height
