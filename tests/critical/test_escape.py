"""Escape: f never rises, the index ends at a certified 0 or the status says why not."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from morsescape.critical import Escape, EscapeStatus, ThirdOrderStatus, escape, third_order_minimum
from morsescape.critical.third_order import third_derivative
from morsescape.errors import ArgumentError
from morsescape.objective import Objective
from morsescape.zoo import ZOO


def by_name(name: str):
    return next(z for z in ZOO if z.name == name)


def check_monotone(way: Escape) -> None:
    values = [s.value for s in way.trajectory]
    assert all(b < a for a, b in pairwise(values))


@pytest.mark.parametrize("z", ZOO, ids=lambda z: z.name)
def test_f_never_rises(z):
    f = z.objective()
    starts = [torch.tensor(p).double() for p, (index, _) in z.critical if index > 0][:1]
    for start in [*starts, *z.starts(1, seed=5)]:
        way = escape(f, start, max_rounds=8)
        check_monotone(way)
        assert way.trajectory[0].value == f.value(start)
        assert way.trajectory[-1].value == f.value(way.theta)
        if way.status is EscapeStatus.INDEX_ZERO:
            assert way.inertia is not None
            assert way.inertia.negative == (0, 0)
        if z.coercive and z.morse:
            assert way.status is EscapeStatus.INDEX_ZERO
        if z.name == "quadric":
            assert way.status is EscapeStatus.UNBOUNDED


def test_degenerate_points_end_undecided():
    way = escape(by_name("monkey saddle").objective(), torch.zeros(2).double())
    assert way.status is EscapeStatus.UNDECIDED
    assert len(way.trajectory) == 1


def test_not_finite_is_said():
    f = Objective.from_function(lambda t: torch.log(t[0]) + t[1] ** 2, 2)
    assert escape(f, torch.tensor([-1.0, 0.0]).double()).status is EscapeStatus.NOT_FINITE


def test_how_sure_the_count_is_depends_on_the_inertia():
    at = torch.tensor([0.3, 0.0]).double()

    def well(t):
        return t[0] ** 2 - t[1] ** 2 / 2 + t[1] ** 4

    guess = escape(Objective.from_function(lambda t: well(t) + 0 * torch.special.i0(t[0]), 2), at)
    sure = escape(Objective.from_function(well, 2), at)
    assert guess.status is sure.status is EscapeStatus.INDEX_ZERO
    for text in (str(guess), guess._repr_html_()):
        assert "the count is 0 (an estimate, not proved: " in text
        assert "certified" not in text
    assert "the count is 0 (proved)" in str(sure)
    label = guess.plot().figure.axes[1].get_ylabel()
    assert "not proved" in label
    kinked = replace(sure, inertia=replace(sure.inertia, kinks=1))
    assert "of one smooth piece" in str(kinked)


def test_save_load_and_show(tmp_path):
    way = escape(by_name("Himmelblau").objective(), torch.tensor([-0.27, -0.92]).double())
    assert way.trajectory[0].negative == (2, 2)
    way.save(tmp_path / "way")
    back = Escape.load(tmp_path / "way")
    assert back.trajectory == way.trajectory
    assert str(back) == str(way)
    assert "<table>" in back._repr_html_()
    assert back.plot() is not None


def test_bad_arguments(unchecked):
    f = by_name("double well").objective()
    for theta in (torch.zeros(3).double(), torch.zeros(2)):
        with pytest.raises(ArgumentError, match="float64"):
            escape(f, theta)
    with pytest.raises(ArgumentError, match="max_rounds"):
        escape(f, torch.zeros(2).double(), max_rounds=0)


# -- third order ----------------------------------------------------------------------------------


def test_third_derivative_against_the_formula():
    f = by_name("monkey saddle").objective()
    u, v = torch.tensor([1.0, 2.0]).double(), torch.tensor([-1.0, 0.5]).double()
    # T(u, v, ·) of x³ - 3xy²: (6(u0 v0 - u1 v1), -6(u0 v1 + u1 v0))
    expected = torch.tensor([6 * (-1 - 1.0), -6 * (0.5 - 2.0)]).double()
    assert torch.allclose(third_derivative(f, torch.zeros(2).double(), u, v), expected)


@pytest.mark.parametrize("dim", [2, 3, 40])
def test_third_order_says_where_the_hessian_is_not_finite(dim):
    f = Objective.from_function(lambda t: (t.abs() ** 1.5).sum(), dim)
    found = third_order_minimum(f, torch.zeros(dim).double())
    assert found.status is ThirdOrderStatus.NOT_FINITE


@pytest.mark.parametrize("change", [{"max_rounds": 0}, {"tol": -1.0}, {"tensor_tol": math.nan}])
def test_third_order_refuses_numbers_that_are_not_positive(change):
    (name,) = change
    with pytest.raises(ArgumentError, match=f"{name}: expected a positive number"):
        third_order_minimum(by_name("quartic").objective(), torch.zeros(2).double(), **change)


def test_third_order_leaves_the_monkey_saddle():
    f = by_name("held monkey saddle").objective()
    low = third_order_minimum(f, torch.zeros(2).double())
    assert low.status is ThirdOrderStatus.THIRD_ORDER
    assert low.value == pytest.approx(-27 / 256)
    assert low.steps[0].kind == "third order"
    for step in low.steps:
        assert step.decrease >= step.guaranteed >= 0
        assert step.decrease > 0


def test_third_order_accepts_a_degenerate_minimum_and_leaves_an_inflection():
    quartic = third_order_minimum(by_name("quartic").objective(), torch.zeros(2).double())
    assert quartic.status is ThirdOrderStatus.THIRD_ORDER
    assert (quartic.nullity, len(quartic.steps)) == (1, 0)
    inflection = third_order_minimum(
        by_name("inflection").objective(), torch.zeros(2).double(), max_rounds=3
    )
    assert inflection.value < 0


def test_third_order_at_degenerate_points_of_small_networks():
    """At 0 the deep linear chain has H = 0 and T ≠ 0: third order sees what second cannot."""
    f = by_name("deep linear network 1-1-1-1").objective()
    low = third_order_minimum(f, torch.zeros(3).double(), lipschitz=10.0)
    assert low.steps[0].kind == "third order"
    assert low.value < 1e-12
    assert low.status is ThirdOrderStatus.THIRD_ORDER


def test_a_lipschitz_constant_that_is_too_small_is_doubled():
    f = by_name("held monkey saddle").objective()
    low = third_order_minimum(f, torch.zeros(2).double(), lipschitz=1e-3)
    assert low.lipschitz > 1e-3
    assert low.lipschitz_estimated
    assert low.value == pytest.approx(-27 / 256)


def test_third_order_bad_arguments(unchecked):
    f = by_name("double well").objective()
    with pytest.raises(ArgumentError, match="lipschitz"):
        third_order_minimum(f, torch.zeros(2).double(), lipschitz=0.0)
    with pytest.raises(ArgumentError, match="shape"):
        third_order_minimum(f, torch.zeros(3).double())
