"""Capture balls: lower bounds against known passes, points on the sphere, and flows."""

import pytest
import torch
from torch import nn

import morsescape as ms
from morsescape import zoo
from morsescape.errors import ArgumentError
from morsescape.morse.capture import CaptureBall, capture_ball
from morsescape.morse.embedding import embed


def vector(*numbers):
    return torch.tensor(numbers).double()


def drawn(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def on_the_sphere(ball, f, share=1.0, count=200):
    """Values of f - f(m) at random points of a smaller sphere."""
    y = drawn(0, count, f.dim)
    y = share * ball.radius * y / y.norm(dim=1, keepdim=True)
    return [f.value(ball.centre + ball.basis @ v) - ball.value[1] for v in y]


def test_where_the_third_derivative_is_constant_it_is_the_pass():
    f = zoo.fold.objective()  # t0³/3 - t0 + t1²: from the minimum at 1 to the pass at -1 by 4/3
    ball = capture_ball(f, vector(1, 0))
    assert 0.99 * 4 / 3 < ball.rise < 4 / 3
    assert ball.holds(vector(-0.9, 0))
    assert not ball.holds(vector(-1.01, 0))


def test_third_derivatives_that_vanish_at_the_minimum_are_seen_around_it():
    f = ms.Objective.from_function(lambda t: (t * t).sum() / 2 - (t**4).sum() / 4, 2)
    ball = capture_ball(f, vector(0, 0))
    assert 0.1 < ball.rise < 0.25


@pytest.mark.parametrize(
    ("landscape", "minimum", "barrier", "least"),
    [
        (zoo.double_well, (1, 0), 1.0, 0.4),
        (zoo.double_wells(2), (1, -1), 0.25, 0.1),
        (zoo.two_wells, (-1, -1), 5 / 12, 0.2),
        (zoo.himmelblau, (3, 2), 13.311926, 5.0),
        (zoo.banana, (1, 0), 1.0, 0.07),
    ],
)
def test_below_the_lowest_pass_and_not_vacuous(landscape, minimum, barrier, least):
    f = landscape.objective()
    ball = capture_ball(f, ms.find_critical_point(f, vector(*minimum)), shells=24)
    assert least < ball.rise < barrier
    for share in (0.3, 1.0):
        values = on_the_sphere(ball, f, share)
        assert min(values) >= (ball.rise if share == 1.0 else 0.0)


def test_a_network_against_the_pass_over_its_zero_unit():
    x = vector(-1, 0, 1)[:, None]

    def objective(units):
        layers = nn.Linear(1, units), nn.Tanh(), nn.Linear(units, 1, bias=False)
        return ms.Objective(nn.Sequential(*layers), "mse", (x, x), l2=0.1)

    narrow, wide = objective(1), objective(2)
    found = embed(narrow, ms.find_critical_point(narrow, drawn(0, 3)).theta, wide)
    assert found.index == (1, 1)
    below = ms.find_critical_point(wide, found.theta + 0.05 * found.directions[0])
    ball = capture_ball(wide, below, shells=12)
    barrier = wide.value(found.theta) - below.value
    assert barrier / 200 < ball.rise < barrier
    assert min(on_the_sphere(ball, wide)) >= ball.rise
    assert not ball.holds(found.theta)


def test_what_it_holds_flows_to_the_minimum(tmp_path):
    f = zoo.himmelblau.objective()
    ball = capture_ball(f, vector(3, 2), shells=16)
    starts = ball.centre + 0.6 * drawn(1, 15, 2)
    held = [p for p in starts if ball.holds(p)]
    assert 3 < len(held) < 15
    for p in held[:3]:
        end = ms.morse.steepest_descent(f, p).end
        assert float((end - ball.centre).norm()) < 1e-4
    ball.save(tmp_path / "ball")
    loaded = CaptureBall.load(tmp_path / "ball")
    assert loaded.holds(held[0], f)
    with pytest.raises(ArgumentError, match="the landscape of 2 variables"):
        loaded.holds(held[0])


def test_distances_are_upper_bounds():
    f = zoo.himmelblau.objective()
    ball = capture_ball(f, vector(3, 2), shells=2)
    inverse = torch.linalg.inv(ball.basis)
    assert ball.inverse >= float(torch.linalg.matrix_norm(inverse, 2))
    for p in ball.centre + drawn(2, 5, 2):
        exact = float((inverse @ (p - ball.centre)).norm())
        assert exact <= ball.distance(p) < exact + 1e-6


def test_refusals():
    f = zoo.double_well.objective()
    with pytest.raises(ArgumentError, match="a proved minimum"):
        capture_ball(f, vector(0, 0))
    large = ms.Objective.from_function(lambda t: (t * t).sum(), 61)
    with pytest.raises(ArgumentError, match="at most 60 variables"):
        capture_ball(large, torch.zeros(61).double())


def test_a_kink_ends_the_ball():
    f = ms.Objective.from_function(lambda t: t[0] ** 2 + t[1] ** 2 - (t[0] - 1).relu(), 2)
    ball = capture_ball(f, vector(0, 0))
    assert 0.5 < ball.rise < 1.0
    assert "within the ball, of relu" in ball.reason


def test_torchs_softplus_branches_above_20():
    f = ms.Objective.from_function(lambda t: nn.functional.softplus(t + 19.9).sum() + t @ t, 1)
    ball = capture_ball(f, ms.find_critical_point(f))  # at -1/2, where ‖x‖ = √2 |x|
    assert 0.5 < ball.radius < 0.6 * 2**0.5
    assert "softplus" in ball.reason
