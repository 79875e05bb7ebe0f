"""The Hessian is computed once for a point, and nobody writes into the one that is kept."""

import torch

from morsescape.critical.evaluations import Counted
from morsescape.critical.loop import Point, run
from morsescape.critical.quadratic_model import Factored
from morsescape.critical.quasi_newton import QuasiNewton
from morsescape.hessian.regime import REGIMES
from morsescape.nets import build
from morsescape.objective import Objective

FACTOR = REGIMES[1]


def smooth(classes=3):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(30, 1, 8, 8, generator=generator)
    model = build("mlp2", image_shape=(8, 8), classes=classes, activation="tanh")
    return Objective(model, "cross_entropy", (x, torch.arange(30) % classes), l2=1e-2)


def test_an_enclosed_hessian_serves_as_the_hessian_of_f():
    f = smooth()
    problem = Counted(f)
    enclosed = problem.hessian_at(f.theta, bounded=True).enclose()
    identity = torch.eye(f.dim, dtype=torch.float64)
    assert torch.equal(problem.hessian_at(f.theta).dense(), enclosed.matrix + 2 * f.l2 * identity)
    assert problem.evaluations.hessian == 1
    problem.hessian_at(f.theta + 1).dense()
    assert problem.evaluations.hessian == 2


def test_a_matrix_that_is_handed_over_is_not_kept():
    f = smooth()
    problem = Counted(f)
    problem.handed_over(f.theta).zero_()
    assert float(problem.hessian_at(f.theta).dense().abs().max()) > 0


def test_a_metric_leaves_the_kept_hessian_as_it_was(monkeypatch):
    monkeypatch.setattr("morsescape.critical.quasi_newton.regime", lambda dim: FACTOR)
    f = smooth()
    problem = Counted(f)
    start = Point.at(problem, f.theta)
    before = problem.hessian_at(f.theta).dense().clone()
    steps = QuasiNewton(problem, scaled=True)
    run(steps, start, tol=1e-9, max_steps=1)  # the metric is that of the start
    assert isinstance(steps.metric, Factored)  # which writes into the matrix it is given
    assert torch.equal(problem.hessian_at(f.theta).dense(), before)
