"""Bézier curves and chains: lower than the line, exact ends, the mean they claim to minimise."""

from __future__ import annotations

import math

import pytest
import torch

from morsescape import zoo
from morsescape.errors import ArgumentError
from morsescape.objective import Objective
from morsescape.paths.curve import Curve
from morsescape.paths.nodes import drawn, fixed
from morsescape.paths.trained import _Drawing, _Task, bezier, chain
from networks import classifier, mlp

METHODS = pytest.mark.parametrize("method", [bezier, chain], ids=lambda m: m.__name__)


def hill() -> tuple[Objective, torch.Tensor, torch.Tensor]:
    """A ring of minima around a hill that the line crosses."""
    f = Objective.from_function(lambda t: (t @ t - 1) ** 2 + 0.2 * t[1], 2)
    return f, torch.tensor([-1.0, 0.05]).double(), torch.tensor([1.0, 0.05]).double()


def height(f: Objective, curve: Curve, count: int = 101) -> float:
    return max(f.value(curve(k / (count - 1))) for k in range(count))


def mean(f: Objective, curve: Curve, measure: str, count: int = 2000) -> float:
    times = [(k + 0.5) / count for k in range(count)]
    weights = [1.0 if measure == "t" else float(curve.velocity(t).norm()) for t in times]
    total = sum(w * f.value(curve(t)) for w, t in zip(weights, times, strict=True))
    return total / sum(weights)


@METHODS
@pytest.mark.parametrize("measure", ["t", "arclength"])
def test_it_goes_round_the_hill_between_exact_ends(method, measure):
    f, a, b = hill()
    line = height(f, Curve.chain(torch.stack([a, b])))
    found = method(f, a, b, measure=measure)
    assert torch.equal(found.curve(0.0), a)
    assert torch.equal(found.curve(1.0), b)
    assert height(f, found.curve) < 0.5 * line
    assert found.gradients > 16


@pytest.mark.parametrize("measure", ["t", "arclength"])
def test_no_nearby_point_gives_a_lower_mean(measure):
    f, a, b = hill()
    curve = bezier(f, a, b, measure=measure, nodes=40, tol=1e-9).curve
    here = mean(f, curve, measure)
    for angle in range(6):
        moved = curve.pieces.clone()
        moved[0, 1] += 0.05 * torch.tensor([math.cos(angle), math.sin(angle)]).double()
        assert mean(f, Curve(moved), measure) > here


def test_the_gradient_of_the_mean_by_arc_length_is_that_of_differences():
    f, a, b = hill()
    task = _Task(f, a, b, 3, None, "arclength", 0, 1, 1e-6, None)
    task.run("lbfgs", 8, 1, _Drawing(0.1, None, 1))
    nodes = fixed(3, 2, 8, None)
    task.points[1:-1] += torch.tensor([[0.1, 0.3], [-0.2, 0.4]]).double()
    gradient = task._mean(nodes)[1]
    for i in range(2):
        for j in range(2):
            ends = []
            for step in (1e-5, -2e-5):
                task.points[1 + i, j] += step
                ends.append(task._mean(nodes)[0])
            task.points[1 + i, j] += 1e-5
            assert gradient[i, j].item() == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-6)


def test_more_control_points_are_lower():
    f, a, b = hill()
    heights = [mean(f, bezier(f, a, b, degree=k).curve, "t") for k in (2, 3, 5)]
    assert heights == sorted(heights, reverse=True)
    bends = [mean(f, chain(f, a, b, bends=k).curve, "t") for k in (1, 3)]
    assert bends[1] < bends[0]
    assert len(chain(f, a, b, bends=3).curve.pieces) == 4


@METHODS
@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
def test_drawn_points_lead_there_too(method, optimiser):
    f, a, b = hill()
    line = height(f, Curve.chain(torch.stack([a, b])))
    found = method(f, a, b, optimiser=optimiser, rate=0.02, times=4, max_steps=300)
    assert height(f, found.curve) < 0.5 * line


@METHODS
def test_mini_batches(method):
    f = classifier((5, 4, 3), samples=40, l2=1e-3)
    b = f.theta + 1.0
    options = {"optimiser": "adam", "batch": 8, "max_steps": 60, "rate": 0.05}
    found = method(f, f.theta, b, **options)
    assert torch.equal(found.curve(1.0), b)
    assert found.gradients == 12  # 60 steps on a fifth of the samples
    assert mean(f, found.curve, "t", 50) < mean(f, Curve.chain(torch.stack([f.theta, b])), "t", 50)


def test_a_mini_batch_stands_for_all_samples():
    x = torch.tensor([[0.3, -1.0]]).double().repeat(8, 1)
    f = Objective(mlp((2, 3, 2)), "cross_entropy", (x, torch.ones(8).long()), l2=0.3)
    task = _Task(f, f.theta, f.theta + 1, 2, None, "t", 0, 1, 1e-6, None)
    task.run("adam", 8, 1, _Drawing(0.1, 2, 1))
    gradients = task._gradients(f.theta[None] + 0.5, 2)
    assert torch.allclose(gradients[0], f.gradient(f.theta + 0.5), rtol=1e-12)


@METHODS
def test_one_seed_gives_one_curve(method):
    f, a, b = hill()
    for options in ({"optimiser": "adam", "max_steps": 20}, {"restarts": 2, "max_steps": 20}):
        first, again, other = (method(f, a, b, seed=s, **options) for s in (1, 1, 2))
        assert torch.equal(first.curve.pieces, again.curve.pieces)
        assert not torch.equal(first.curve.pieces, other.curve.pieces)


def test_it_stops_when_it_has_converged():
    f, a, b = hill()
    steps = []
    found = bezier(f, a, b, max_steps=500, progress=lambda done, total: steps.append((done, total)))
    assert 0 < steps[-1][0] < 100
    assert steps[-1][1] == 500
    assert "converge" in found.note
    assert bezier(f, a, b, max_steps=2).gradients < found.gradients


def test_nodes_integrate_polynomials_and_sum_to_one():
    generator = torch.Generator().manual_seed(0)
    for jitter in (None, generator):
        for degree, free in ((2, 1), (4, 3), (None, 1), (None, 3)):
            nodes = fixed(degree, free, 12, jitter)
            points = torch.linspace(0, 1, free + 2).double()  # γ(t) = t, for all of these
            t = nodes.basis @ points
            assert nodes.weights.sum().item() == pytest.approx(1)
            assert (nodes.weights @ t**3).item() == pytest.approx(1 / 4)
            assert torch.allclose(nodes.rates @ points, torch.ones(len(t)).double())
    times = drawn(2, 1, 5, generator).basis @ torch.tensor([0, 0.5, 1]).double()
    assert [int(5 * t) for t in times.tolist()] == [0, 1, 2, 3, 4]


@METHODS
def test_what_is_refused(method):
    f, a, b = hill()
    with pytest.raises(ArgumentError, match="another point than a"):
        method(f, a, a.clone())
    with pytest.raises(ArgumentError, match="finite"):
        method(f, a, b * math.nan)
    with pytest.raises(ArgumentError, match="'t' where t is drawn"):
        method(f, a, b, optimiser="adam", measure="arclength")
    with pytest.raises(ArgumentError, match="no sum over samples"):
        method(f, a, b, optimiser="adam", batch=3)


@METHODS
def test_a_wrong_shape_is_refused(method, unchecked):
    f, a, _ = hill()
    with pytest.raises(ArgumentError, match=r"shape \(2,\)"):
        method(f, a, torch.ones(3).double())


def test_two_wells_are_straight():
    f = zoo.double_well.objective()
    a, b = torch.tensor([-1.0, 0]).double(), torch.tensor([1.0, 0]).double()
    curve = bezier(f, a, b).curve
    assert float(curve.pieces[0, 1, 1].abs()) < 1e-6
