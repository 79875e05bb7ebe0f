"""Functionally invariant paths: outputs that change less than along the line, by a true metric."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from morsescape.errors import ArgumentError
from morsescape.objective import Objective
from morsescape.paths.curve import Curve
from morsescape.paths.invariant import _OutputMetric, fip
from networks import classifier, labelled, mlp


def two_points(f: Objective) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return f.theta, f.theta + torch.randn(f.dim, generator=generator, dtype=torch.float64)


def outputs(f: Objective, theta: torch.Tensor) -> torch.Tensor:
    net = f.network
    return net.output(net.unflatten(theta), net.x).detach()


def dense_metric(f: Objective, theta: torch.Tensor) -> torch.Tensor:
    net = f.network
    jacobian = torch.autograd.functional.jacobian(
        lambda t: net.output(net.unflatten(t), net.x).reshape(-1), theta
    )
    return jacobian.t() @ jacobian / net.samples


def test_the_metric_is_that_of_the_jacobian(monkeypatch):
    f = classifier(samples=30)
    theta, v = two_points(f)
    true = dense_metric(f, theta) @ v
    assert torch.allclose(_OutputMetric(f, None, 0).at(theta)(v), true, rtol=1e-10)
    monkeypatch.setattr(type(f.source), "chunk", property(lambda _: 7))
    assert torch.allclose(_OutputMetric(f, None, 0).at(theta)(v), true, rtol=1e-10)


def test_the_first_step_solves_the_damped_equation():
    f = classifier(samples=30)
    a, b = two_points(f)
    joints = fip(f, a, b, steps=20, damping=0.1, tol=1e-10, inner=200, max_steps=1).curve.joints
    metric, v = dense_metric(f, a), b - a
    mu = 0.1 * float(v @ metric @ v) / float(v @ v)
    true = torch.linalg.solve(metric + mu * torch.eye(f.dim).double(), v)
    true *= v.norm() / 20 / true.norm()
    assert torch.allclose(joints[1] - a, true, atol=1e-8)


def test_ends_are_exact_and_steps_are_equal():
    f = classifier()
    a, b = two_points(f)
    found = fip(f, a, b, steps=10, damping=0.1)
    joints = found.curve.joints
    assert torch.equal(joints[0], a)
    assert torch.equal(joints[-1], b)
    gaps = joints.diff(dim=0).norm(dim=1)[:-1]
    assert torch.allclose(gaps, ((b - a).norm() / 10).expand(len(gaps)))
    left = (joints - b).norm(dim=1)
    assert bool((left.diff() < 0).all())  # ever nearer to b
    assert found.gradients > 0


def test_outputs_change_less_than_along_the_line():
    f = classifier((5, 8, 3), samples=20)
    a, b = two_points(f)
    path = fip(f, a, b, steps=20, damping=1e-3).curve.joints
    middle = min(path, key=lambda p: abs(float((p - a).norm() - (b - a).norm() / 2)))
    moved = float((middle - a).norm() / (b - a).norm())
    straight = outputs(f, a + moved * (b - a)) - outputs(f, a)
    assert float((outputs(f, middle) - outputs(f, a)).norm()) < 0.6 * float(straight.norm())


def test_it_goes_round_a_hill_of_the_loss():
    """Two hidden units that compensate: the product of two weights has to stay 1."""
    with torch.random.fork_rng(devices=[]):
        model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
    f = Objective(model, "mse", (torch.ones(1, 1), torch.ones(1, 1)))
    a, b = torch.tensor([0.2, 5.0]).double(), torch.tensor([5.0, 0.2]).double()
    curve = fip(f, a, b, steps=200, damping=1e-4, max_steps=1000).curve
    line = max(f.value(a + k / 50 * (b - a)) for k in range(51))
    assert line > 20
    count = len(curve.pieces)
    assert max(f.value(curve((k + 0.5) / count)) for k in range(count)) < 0.05 * line


def test_large_damping_goes_straight():
    f = classifier()
    a, b = two_points(f)
    joints = fip(f, a, b, steps=10, damping=1e6).curve.joints
    line = Curve.chain(torch.stack([a, b]))
    assert max(float((p - line(k / 10)).norm()) for k, p in enumerate(joints)) < 1e-4


def test_samples_are_drawn_by_the_seed():
    f = classifier(samples=40)
    a, b = two_points(f)
    first, again, other = (
        fip(f, a, b, samples=10, seed=s, steps=8).curve.pieces for s in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first[:5], other[:5])
    options = {"steps": 8, "max_steps": 2, "inner": 5, "tol": 1e-15}
    few, every = (fip(f, a, b, samples=s, **options).gradients for s in (10, 40))
    assert abs(4 * few - every) < 4  # rounded up


def test_steps_are_limited_and_reported():
    f = classifier()
    seen = []
    found = fip(f, *two_points(f), max_steps=3, progress=lambda *at: seen.append(at))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert len(found.curve.joints) == 5
    assert "the last piece is straight" in found.note


def test_what_is_refused(unchecked):
    function = Objective.from_function(lambda t: t @ t, 2)
    with pytest.raises(ArgumentError, match="which has outputs"):
        fip(function, torch.zeros(2).double(), torch.ones(2).double())
    f = classifier()
    a, b = two_points(f)
    with pytest.raises(ArgumentError, match="another point than a"):
        fip(f, a, a.clone())
    with pytest.raises(ArgumentError, match="finite"):
        fip(f, a, b * math.nan)
    with pytest.raises(ArgumentError, match="vector of shape"):
        fip(f, a, b[1:])


class Parted(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = mlp((5, 3))

    def forward(self, x):
        return {"first": self.layer(x), "second": x}


def test_outputs_that_are_no_tensor_are_refused_by_name():
    x, _ = labelled(10, 5, 3)

    def loss(output, target):
        return (output["first"] - target).square().mean()

    f = Objective(Parted(), loss, (x, torch.zeros(10, 3)))
    with pytest.raises(ArgumentError, match="outputs that are one tensor"):
        fip(f, *two_points(f))
