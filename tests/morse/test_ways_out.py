"""Ways out of a minimum: the quartic model along a valley."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import morsescape as ms
from morsescape.critical import climb as climbing
from morsescape.critical.climb import Climb, lowest_modes
from morsescape.critical.curvature import Anchor
from morsescape.critical.evaluations import Counted
from morsescape.hessian.regime import REGIMES
from morsescape.morse import ways_out as room
from morsescape.morse.ways_out import Valley, valleys


def ways_of(f: ms.Objective, theta: Tensor) -> list[Valley]:
    problem = Counted(f)
    return valleys(problem, theta, Anchor(problem, exact=True))


C, TAU, Q, STIFF, BEND = 0.3, -0.9, 1.2, 5.0, 0.4  # of the valley below


def bent(t: Tensor) -> Tensor:
    """c x²/2 + τ x³/6 + q x⁴/24 along x; across, stiff y, whose floor bends away as x²."""
    x, y = t[0], t[1]
    along = C * x**2 / 2 + TAU * x**3 / 6 + Q * x**4 / 24
    return along + STIFF * y**2 / 2 + BEND * x**2 * y


def test_the_model_is_exact_where_f_is_quartic_along_a_valley_that_bends_once():
    f = ms.Objective.from_function(bent, 2)
    first = ways_of(f, torch.zeros(2).double())[0]
    kappa = Q - 12 * BEND**2 / STIFF  # f on the floor y = -(b/a) x²
    slope = [C, TAU / 2, kappa / 6]
    root = (-slope[1] - math.sqrt(slope[1] ** 2 - 4 * slope[0] * slope[2])) / (2 * slope[2])
    assert float(first.mode[0]) == pytest.approx(1.0)
    assert first.distance == pytest.approx(root, rel=1e-6)
    assert first.at(root)[1] == pytest.approx(-BEND / STIFF * root**2, rel=1e-6)
    assert first.height == pytest.approx(f.value(first.at(root)), rel=1e-6)
    saddle = ms.find_saddle(f, torch.zeros(2).double())
    assert saddle.theta[0] == pytest.approx(root, rel=1e-6)


@pytest.mark.parametrize("route", REGIMES, ids=lambda route: route.name)
def test_all_routes_have_the_same_lowest_valley(route, monkeypatch):
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(30, 4, generator=g), torch.randint(3, (30,), generator=g)
    net = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh(), torch.nn.Linear(3, 3))
    f = ms.Objective(net, "cross_entropy", (x, y), l2=1e-3)
    theta = ms.find_critical_point(f, torch.randn(f.dim, generator=g).double()).theta
    expected = ways_of(f, theta)[0]
    monkeypatch.setattr(room, "regime", lambda dim: route)
    monkeypatch.setattr(room, "_FEW", 24)  # the lowest valley is not along one of the six softest
    found = ways_of(f, theta)[0]
    assert math.isfinite(found.distance)
    assert float(found.mode @ expected.mode) == pytest.approx(1.0, abs=1e-3)
    loose = 1e-3 if route.dense else 0.25  # products solve with H to a tenth
    assert found.distance == pytest.approx(expected.distance, rel=loose)


def test_directions_that_the_loss_does_not_see_are_not_climbed(monkeypatch):
    """The ridge alone curves them: they are the softest, and no pass is along them."""

    def f(t: Tensor) -> Tensor:
        return (t[0] ** 2 - 1) ** 2 + t[1] ** 2

    unseen = ms.Objective.from_function(f, 8, l2=1e-3)
    theta = ms.find_critical_point(unseen, torch.full((8,), 0.9).double()).theta
    ways = ways_of(unseen, theta)
    assert abs(float(ways[0].mode[0])) == pytest.approx(1.0)
    assert all(math.isinf(way.height) for way in ways if abs(float(way.mode[2:].norm())) > 0.9)
    climb, climbs = Climb.__call__, []
    monkeypatch.setattr(
        Climb, "__call__", lambda *args, **options: climbs.append(args) or climb(*args, **options)
    )
    assert ms.find_saddle(unseen, theta).index == 1
    assert len(climbs) == 1


@pytest.mark.parametrize("route", REGIMES[1:], ids=lambda route: route.name)
def test_nor_looked_at_where_modes_are_krylovs(route, monkeypatch):
    f = ms.Objective.from_function(lambda t: (t[0] ** 2 - 1) ** 2 + t[1] ** 2, 40, l2=1e-3)
    theta = ms.find_critical_point(f, torch.full((40,), 0.9).double()).theta
    monkeypatch.setattr(room, "regime", lambda dim: route)
    monkeypatch.setattr(room, "_LOOK", 2)
    monkeypatch.setattr(room, "_FEW", 2)
    ways = ways_of(f, theta)
    assert abs(float(ways[0].mode[0])) == pytest.approx(1.0)
    assert all(float(way.mode[2:].norm()) < 1e-3 for way in ways)


def test_modes_and_valleys_of_a_minimum_share_one_factor(monkeypatch):
    for where in (climbing, room):
        monkeypatch.setattr(where, "regime", lambda dim: REGIMES[1])
    f = ms.Objective.from_function(bent, 2)
    problem, theta = Counted(f), torch.zeros(2).double()
    anchor = Anchor(problem, exact=True)
    values, _ = lowest_modes(problem, theta, 2, anchor=anchor)
    assert values.tolist() == pytest.approx([C, STIFF])
    factor = anchor.metric
    monkeypatch.setattr(room, "_LOOK", 2)
    valleys(problem, theta, anchor)
    assert anchor.metric is factor
    assert problem.hessians == 1


def test_modes_of_a_hessian_that_is_not_finite_are_not_waited_for(monkeypatch):
    monkeypatch.setattr(climbing, "regime", lambda dim: REGIMES[1])
    f = ms.Objective.from_function(lambda t: (t.abs() ** 1.5).sum(), 2)
    values, _ = lowest_modes(Counted(f), torch.zeros(2).double(), 1)
    assert not bool(values.isfinite().any())
