"""The loop itself: every way in which it ends, with steppers that are made up."""

import math
from itertools import pairwise

import pytest
import torch

from morsescape.critical.evaluations import Counted
from morsescape.critical.loop import Point, Stop, run
from morsescape.critical.model_steps import ModelSteps
from morsescape.critical.negative_curvature import negative_directions
from morsescape.critical.step_rules import RULES
from morsescape.critical.steppers import STEPPERS, stepper
from morsescape.hessian.regime import REGIMES, regime
from morsescape.objective import Objective


class Halving:
    def __init__(self, problem):
        self.problem = problem

    def step(self, point):
        return Point.at(self.problem, point.theta / 2)


class Ending:
    def __init__(self, stop):
        self.stop = stop

    def step(self, point):
        return self.stop


def bowl():
    return Counted(Objective.from_function(lambda t: t @ t, 2))


def at(problem, *numbers):
    return Point.at(problem, torch.tensor(numbers).double())


def test_it_converges_and_tells_of_every_step():
    problem, seen = bowl(), []
    start = at(problem, 1.0, 0.0)
    found, stop = run(Halving(problem), start, tol=1e-3, max_steps=99, hook=seen.append)
    assert stop is Stop.CONVERGED
    assert seen[-1] is found
    assert len(seen) == 11  # 2 / 2¹¹ < 1e-3 < 2 / 2¹⁰
    assert run(Ending(Stop.STALLED), found, tol=1e-3, max_steps=0) == (found, Stop.CONVERGED)


def test_it_ends_at_the_limit_and_where_the_stepper_ends():
    problem, seen = bowl(), []
    start = at(problem, 1.0, 0.0)
    _, stop = run(Halving(problem), start, tol=0.0, max_steps=4, hook=seen.append)
    assert (stop, len(seen)) == (Stop.STEP_LIMIT, 4)
    for end in (Stop.STALLED, Stop.NOT_FINITE):
        assert run(Ending(end), start, tol=0.0, max_steps=4) == (start, end)


def test_f_that_falls_out_of_sight_has_no_bound():
    problem = Counted(Objective.from_function(lambda t: -t[0], 1))

    class Far:
        def step(self, point):
            return Point.at(problem, 100 * point.theta)

    _, stop = run(Far(), at(problem, 1.0), tol=0.0, max_steps=20)
    assert stop is Stop.UNBOUNDED


@pytest.mark.parametrize(("edge", "stop"), [(math.nan, "NOT_FINITE"), (-math.inf, "UNBOUNDED")])
def test_a_start_that_is_not_finite(edge, stop):
    problem = Counted(Objective.from_function(lambda t: t[0] * 0 + edge, 1))
    start = at(problem, 1.0)
    assert run(Ending(Stop.STALLED), start, tol=1.0, max_steps=9) == (start, Stop[stop])


@pytest.mark.parametrize("method", STEPPERS)
@pytest.mark.parametrize("route", REGIMES, ids=lambda r: r.name)
def test_every_stepper_goes_to_the_minimum_on_every_route(method, route, monkeypatch):
    for module in ("quasi_newton", "curvature"):
        monkeypatch.setattr(f"morsescape.critical.{module}.regime", lambda dim: route)
    w = torch.logspace(-1, 1, 30).double()
    f = Objective.from_function(lambda t: (w * t**2).sum() + 0.1 * (t**4).sum() + t[0], 30)
    problem = Counted(f)
    start = Point.at(problem, torch.linspace(-1, 1.5, 30).double())
    found, stop = run(stepper(method, problem), start, tol=1e-8, max_steps=500)
    assert stop is Stop.CONVERGED
    assert float(found.theta[1:].norm()) < 1e-6


@pytest.mark.parametrize("rule", RULES)
def test_a_strict_stepper_never_raises_f(rule):
    f = Objective.from_function(lambda t: 100 * (t[1] - t[0] ** 2) ** 2 + (1 - t[0]) ** 2, 2)
    problem, values = Counted(f), []
    steps = stepper(rule, problem, strict=True)
    assert isinstance(steps, ModelSteps)
    start = at(problem, -1.2, 1.0)
    run(steps, start, tol=1e-9, max_steps=60, hook=lambda p: values.append(p.value))
    falls = [b < a for a, b in pairwise([start.value, *values])]
    assert all(falls) or RULES[rule].to_zero  # which lowers the gradient instead


@pytest.mark.parametrize("route", REGIMES, ids=lambda r: r.name)
def test_negative_directions_on_every_route(route, monkeypatch):
    monkeypatch.setattr("morsescape.critical.negative_curvature.regime", lambda dim: route)
    w = torch.linspace(-1, 5, 60).double()
    problem = Counted(Objective.from_function(lambda t: (w * t**2).sum() / 2, 60))
    found = negative_directions(problem, torch.zeros(60).double(), 1e-12, 0)
    assert len(found) == (10 if route.eigenpairs else 8)
    assert torch.allclose(found.curvatures[:4], w[:4], atol=1e-5)
    quotients = (found.vectors.square() * w[:, None]).sum(0)
    assert bool((quotients <= found.curvatures).all())
    assert torch.allclose(found.vectors.norm(dim=0), torch.ones(len(found)).double())


def test_routes_cover_every_size_once():
    assert [r.most for r in REGIMES] == sorted(r.most for r in REGIMES)
    assert regime(10**9) is REGIMES[-1]
    assert regime(1) is REGIMES[0]
