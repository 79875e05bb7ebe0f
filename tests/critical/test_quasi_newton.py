"""Step lengths and directions of L-BFGS: what is promised holds."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from morsescape.critical.evaluations import Counted
from morsescape.critical.line_search import Sample, _cubic, line_search
from morsescape.critical.loop import Point, Stop, run
from morsescape.critical.quasi_newton import QuasiNewton
from morsescape.objective import Objective

ONE = torch.ones(1).double()


def lbfgs(problem, start, **limits):
    return run(QuasiNewton(problem, scaled=False), start, **limits)


def scaled_lbfgs(problem, start, **limits):
    return run(QuasiNewton(problem, scaled=True), start, **limits)


def searched(f, x, first=1.0, noise=0.0):
    """From x against the slope of f, by autograd; the start, what was found, the lengths tried."""
    tried = []

    def at(where):
        theta = where.clone().requires_grad_()
        value = f(theta[0])
        (gradient,) = torch.autograd.grad(value, theta)
        return Point(where, float(value.detach()), gradient)

    point = at(x * ONE)
    direction = -point.gradient

    def evaluate(t):
        tried.append(t)
        return at(point.theta + t * direction)

    start = Sample(0.0, point, -(point.norm**2))
    return start, line_search(evaluate, start, direction, first, 1e-15, noise), tried


SMOOTH = {
    "quadratic": lambda x: x * x,
    "quartic": lambda x: (x * x - 1) ** 2,
    "bumps": lambda x: 0.1 * x * x + torch.sin(3 * x),
    "flat far away": lambda x: -torch.exp(-x * x),
    "kink": lambda x: x.abs() + 0.1 * x,
    "kinks": lambda x: (x - 0.3).abs() + (x + 0.2).abs() + 0.01 * x * x,
}


@pytest.mark.parametrize("name", SMOOTH)
@given(x=st.floats(-3, 3), first=st.floats(1e-4, 1e3))
def test_weak_wolfe_conditions_hold(name, x, first):
    start, found, _ = searched(SMOOTH[name], x, first)
    if start.slope > -1e-12 or (name == "kink" and abs(x) < 1e-9):  # no way down from there
        return
    assert found.value < start.value
    assert found.value <= start.value + 1e-4 * found.t * start.slope
    assert found.slope >= 0.8 * start.slope


def test_a_good_first_length_is_taken_at_once():
    _, found, tried = searched(lambda x: x * x / 2, 3.0)
    assert (found.t, found.slope, tried) == (1.0, 0.0, [1.0])


def test_the_third_try_on_a_cubic_is_its_minimum():
    # f = x³ - x from 0 along +1: the first try is beyond, the cubic through both ends is f itself.
    _, found, tried = searched(lambda x: x**3 - x, 0.0, first=3.0)
    assert tried[1] == pytest.approx(3**-0.5, rel=1e-12)
    assert found.slope == pytest.approx(0.0, abs=1e-12)


@given(*[st.floats(-2, 2)] * 3, st.floats(0.1, 3), st.floats(-2, 2), st.floats(0.1, 2))
def test_cubic_minimum(p, q, r, cube, a, width):
    def sample(t):
        value = cube * t**3 + p * t * t + q * t + r
        return Sample(t, Point(ONE, value, ONE), 3 * cube * t * t + 2 * p * t + q)

    found = _cubic(sample(a), sample(a + width))
    inside = p * p - 3 * cube * q
    if inside < 1e-3:
        return
    least = (-p + math.sqrt(inside)) / (3 * cube)
    assert found == pytest.approx(least, abs=1e-6)
    assert _cubic(sample(a + width), sample(a)) == pytest.approx(least, abs=1e-6)


@pytest.mark.parametrize("edge", [math.nan, math.inf])
def test_an_edge_of_the_domain_bounds_the_length(edge):
    def f(x):
        return x * edge if x > 0.5 else (x - 0.4) ** 2

    start, found, _ = searched(f, -1.0)
    assert found.value < start.value
    assert float(found.point.theta) <= 0.5


def test_below_the_rounding_of_f_slopes_decide():
    def f(x):
        return 1e6 + (x - 1) ** 2

    x = 1 + 1e-7
    _, strict, _ = searched(f, x, first=0.5)
    assert strict is None
    start, found, _ = searched(f, x, first=0.5, noise=1e-8)
    assert abs(found.slope) < 1e-3 * abs(start.slope)


def test_minus_infinity_is_reported_and_a_line_without_bound_ends():
    _, found, _ = searched(lambda x: torch.log(1 - x), 0.0, first=1.0)
    assert found.value == -math.inf
    start, found, tried = searched(lambda x: -x, 0.0)
    assert found.value < start.value - 1e12
    assert len(tried) == 40


def test_the_direction_is_that_of_the_dense_update():
    """Two loops over the pairs = the inverse BFGS matrix, Nocedal & Wright, equation 6.17."""
    generator = torch.Generator().manual_seed(0)
    draw = torch.randn(12, 4, generator=generator, dtype=torch.float64)
    f = Objective.from_function(lambda t: t @ t, 4)
    problem = Counted(f)
    steps_of = QuasiNewton(problem, scaled=False)
    steps_of.slope = problem.value_and_gradient(draw[0])[1]
    matrix = torch.eye(4, dtype=torch.float64)
    steps = draw[1:6]
    pairs = [(s, s * torch.tensor([1.0, 2.0, 3.0, 4.0]).double()) for s in steps]
    s, y = pairs[-1]
    matrix = matrix * (s @ y) / (y @ y)
    for s, y in pairs:
        steps_of._remember(s, y)
        left = torch.eye(4).double() - torch.outer(s, y) / (s @ y)
        matrix = left @ matrix @ left.t() + torch.outer(s, s) / (s @ y)
    towards = -matrix @ steps_of.slope
    torch.testing.assert_close(steps_of._towards(), towards, rtol=1e-12, atol=1e-12)


def test_pairs_without_positive_curvature_are_not_kept():
    problem = Counted(Objective.from_function(lambda t: t @ t, 2))
    steps = QuasiNewton(problem, scaled=False)
    steps._remember(torch.tensor([1.0, 0.0]).double(), torch.tensor([-1.0, 0.0]).double())
    steps._remember(torch.tensor([1.0, 0.0]).double(), torch.tensor([0.0, 1.0]).double())
    steps._remember(torch.tensor([math.nan, 0.0]).double(), torch.tensor([0.0, 1.0]).double())
    assert not steps.pairs


def test_the_metric_of_a_quadratic_makes_one_step_enough():
    hessian = torch.diag(torch.tensor([1e-3, 1.0, 1e3]).double())
    problem = Counted(Objective.from_function(lambda t: t @ (hessian @ t) / 2, 3))
    start = Point.at(problem, torch.tensor([1.0, -2.0, 3.0]).double())
    _, stop = scaled_lbfgs(problem, start, tol=1e-10, max_steps=10)
    assert stop is Stop.CONVERGED
    assert problem.evaluations.gradient == 2
    _, stop = lbfgs(problem, start, tol=1e-10, max_steps=100)
    assert stop is Stop.CONVERGED
    assert problem.evaluations.gradient < 60


def test_numbers_near_the_ends_of_the_range_end_with_a_status():
    w = torch.tensor([1.0, 2.0]).double()
    huge = Counted(Objective.from_function(lambda t: 1e170 * (t * t * w).sum(), 2))
    _, stop = lbfgs(huge, Point.at(huge, torch.ones(2).double()), tol=1e-9, max_steps=50)
    assert stop is Stop.STALLED
    steps = QuasiNewton(huge, scaled=False)
    steps._remember(torch.tensor([1.0, 0.0]).double(), torch.tensor([1e-170, 0.0]).double())
    assert not steps.pairs


def test_a_gradient_that_is_tiny_beside_the_point_still_leads_down():
    w = torch.tensor([1.0, 2.0]).double()
    flat = Counted(Objective.from_function(lambda t: 1e-20 * ((t - 3).square() * w).sum(), 2))
    start = Point.at(flat, torch.tensor([1e3, -1e3]).double())
    found, stop = lbfgs(flat, start, tol=1e-27, max_steps=200)
    assert stop is Stop.CONVERGED
    assert float((found.theta - 3).norm()) < 1e-6


def test_a_metric_is_renewed_when_it_is_out_of_date():
    f = Objective.from_function(lambda t: ((t**2 - 1) ** 2).sum() + t[0].exp(), 3)
    problem = Counted(f)
    steps = QuasiNewton(problem, scaled=True)
    steps.route = replace(steps.route, renew=2)
    start = Point.at(problem, torch.tensor([3.0, -2.0, 0.1]).double())
    _, stop = run(steps, start, tol=1e-9, max_steps=100)
    assert stop is Stop.CONVERGED
    assert problem.evaluations.hessian >= problem.evaluations.gradient // 4 > 1


def test_a_point_from_elsewhere_starts_anew():
    problem = Counted(Objective.from_function(lambda t: (t**4).sum() + t @ t, 2))
    steps = QuasiNewton(problem, scaled=False)
    run(steps, Point.at(problem, torch.ones(2).double()), tol=0.0, max_steps=3)
    assert steps.pairs
    elsewhere = Point.at(problem, torch.tensor([-3.0, 0.5]).double())
    after = steps.step(elsewhere)
    assert isinstance(after, Point)
    assert len(steps.pairs) == 1
    fresh = QuasiNewton(problem, scaled=False).step(elsewhere)
    assert torch.equal(after.theta, fresh.theta)


def test_a_hessian_that_is_not_finite_ends_a_scaled_search():
    problem = Counted(Objective.from_function(lambda t: (t.abs() ** 1.5).sum() + t[0], 2))
    start = Point.at(problem, torch.zeros(2).double())
    assert scaled_lbfgs(problem, start, tol=1e-9, max_steps=9) == (start, Stop.NOT_FINITE)
