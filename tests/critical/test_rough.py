"""Metrics from some of the samples, and the models of climbs in them."""

import pytest
import torch
from torch import nn

import morsescape as ms
from morsescape.critical import evaluations
from morsescape.critical.climb_models import Modes, RitzModes
from morsescape.critical.evaluations import Counted
from morsescape.critical.loop import Point
from morsescape.critical.quadratic_model import Absolute, Euclidean, Factored

SAMPLES, MOST = 600, 200


def regression(loss="mse", samples=SAMPLES, l2=0.01):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(samples, 3, generator=generator).double()
    y = (x[:, :2] * x[:, 1:]).tanh()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    return ms.Objective(model, loss, (x, y), l2=l2)


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(evaluations, "ENOUGH", MOST)


def test_a_metric_of_many_samples_is_that_of_some(few):
    f = regression()
    problem = Counted(f)
    assert problem.rough_share == MOST / SAMPLES
    rough, exact = problem.rough_hessian(f.theta), f.hessian(f.theta)
    places = torch.linspace(0, SAMPLES - 1, MOST).round().long()
    x, y = f.source.some(places)
    own = ms.Objective(f.source.model, "mse", (x, y), l2=f.l2).hessian(f.theta)
    assert (rough - own).abs().max() < 1e-13
    assert 1e-4 < (rough - exact).norm() / exact.norm() < 0.3
    assert problem.hessians == 1
    assert f.source.samples == SAMPLES


def test_few_samples_and_what_has_no_parts_stay_whole(few):
    few_samples = regression(samples=2 * MOST)
    assert few_samples.source.thinned(MOST) is few_samples.source

    def median(output, y):
        return (output - y).square().mean(1).sort().values[:100].mean()

    at_once = regression(loss=median)
    assert at_once.source.loss.at_once
    assert at_once.source.thinned(MOST) is at_once.source
    function = ms.Objective.from_function(lambda t: t @ t, 3)
    assert Counted(function).rough_share == 1.0
    assert torch.equal(Counted(function).rough_hessian(function.theta), 2 * torch.eye(3).double())


def indefinite(dim=30, seed=0):
    generator = torch.Generator().manual_seed(seed)
    basis, _ = torch.linalg.qr(torch.randn(dim, dim, generator=generator).double())
    values = torch.logspace(-1, 2, dim).double()
    values[0] = -0.5
    matrix = (basis * values) @ basis.t()
    matrix = (matrix + matrix.t()) / 2
    f = ms.Objective.from_function(lambda t: 0.5 * t @ (matrix @ t), dim)
    return f, matrix, torch.randn(dim, generator=generator).double()


def test_in_a_metric_a_few_products_give_the_step_of_all_eigenpairs():
    """With no bound on its length that is Newton's, which leads to the critical point."""
    f, matrix, theta = indefinite()
    problem = Counted(f)
    point = Point.at(problem, theta)
    metric = Factored(matrix + 0.1 * torch.eye(len(theta)), 0.0)
    model = RitzModes(problem, point, torch.ones_like(theta), metric)
    assert problem.hvps < 20
    assert model.one_negative
    assert model.curvature < 0
    exact = Modes(*torch.linalg.eigh(matrix), torch.ones_like(theta))
    step, newton = model.step(point.gradient, 1e9), exact.step(point.gradient, 1e9)
    assert (newton + theta).norm() < 1e-10 * theta.norm()
    left = metric.solve(point.gradient + matrix @ step)  # of Newton's equation
    assert left.norm() < 0.03 * metric.solve(point.gradient).norm()
    assert (step - newton).norm() < 0.2 * newton.norm()
    assert model.step(point.gradient, 0.3).norm() <= 0.3 * (1 + 1e-9)


@pytest.mark.parametrize("kind", ["euclidean", "factored", "absolute"])
def test_a_vector_stretched_in_a_metric(kind):
    _, matrix, theta = indefinite()
    square = matrix @ matrix
    metric = {
        "euclidean": Euclidean(), "factored": Factored(square.clone(), 0.0),
        "absolute": Absolute(*torch.linalg.eigh(square), 0.0),
    }[kind]  # fmt: skip
    back = metric.solve_transposed(metric.stretched(theta))
    assert (back - theta).norm() < 1e-6 * theta.norm()
