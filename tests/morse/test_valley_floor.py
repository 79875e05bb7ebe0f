"""Floors of valleys: followed where they are too narrow to be climbed."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import morsescape as ms
from morsescape.critical.climb import span
from morsescape.critical.evaluations import Counted
from morsescape.morse.valley_floor import passes_along


def both_ways(mode: Tensor) -> list[Tensor]:
    return [mode, -mode]


def narrow(t: Tensor) -> Tensor:
    """A soft double well along a stiff valley that swings thrice: minima at t₀ = ±1."""
    k = torch.arange(1, 4, dtype=t.dtype)
    off = t[1:] - 1 - 0.5 * torch.sin(3 * k * t[0])
    return 1e-4 * (t[0] * t[0] - 1) ** 2 + 0.5 * (k * off**2).sum()


def test_along_a_narrow_valley_the_floor_leads_to_the_pass():
    f = ms.Objective.from_function(narrow, 4)
    k = torch.arange(1, 4).double()
    minimum = torch.cat([torch.ones(1).double(), 1 + 0.5 * torch.sin(3 * k)])
    problem = Counted(f)
    soft = problem.hessian_at(minimum).eigh()[1][:, 0]
    theta, r = next(passes_along(problem, minimum, both_ways(soft), [0.05 * span(minimum)] * 2))
    assert float((theta - torch.tensor([0.0, 1, 1, 1]).double()).norm()) < 1e-3
    assert float(r @ f.hvp(theta, r)) < 0
    saddle = ms.find_saddle(f, minimum)
    assert saddle.certificate.proves(1)
    assert abs(float(saddle.theta[0])) < 1e-9
    assert saddle.evaluations.hessian < 300  # climbs along it take more than a thousand, in vain


def test_a_start_that_is_not_quite_the_minimum_is_passed():
    """From beside it f falls first: that is no top."""
    f = ms.Objective.from_function(lambda t: (t[0] ** 2 - 1) ** 2 + t[1] ** 2, 2)
    beside = torch.tensor([1.02, 0.0]).double()
    ways = [torch.tensor([-1.0, 0.0]).double()]
    tops = [theta for theta, _ in passes_along(Counted(f), beside, ways, [0.01])]
    assert len(tops) == 1
    assert float(tops[0].norm()) < 1e-3


def test_the_top_is_on_the_floor_that_bends():
    stiff, bend = 50.0, 4.0

    def f(t: Tensor) -> Tensor:
        return t[0] ** 2 / 2 - t[0] ** 3 / 3 + stiff * (t[1] - bend * t[0] ** 2) ** 2 / 2

    problem = Counted(ms.Objective.from_function(f, 2))
    mode = torch.tensor([1.0, 0.0]).double()
    theta, _ = next(passes_along(problem, torch.zeros(2).double(), [mode], [0.01]))
    assert theta.tolist() == pytest.approx([1.0, bend], abs=0.02)


def test_the_lowest_floor_is_followed():
    """One way a pass at f = 1/6, the other rises for ever: it is not followed above the pass."""
    f = ms.Objective.from_function(lambda t: t[0] ** 2 / 2 - t[0] ** 3 / 3 + 99 * t[1] ** 2, 2)
    problem, seen = Counted(f), list[float]()
    told = problem.value_and_gradient
    problem.value_and_gradient = lambda theta: seen.append(float(theta[0])) or told(theta)
    mode = torch.tensor([1.0, 0.0]).double()
    theta, _ = next(passes_along(problem, torch.zeros(2).double(), both_ways(mode), [0.05] * 2))
    assert theta.tolist() == pytest.approx([1.0, 0.0], abs=0.02)
    assert -1.0 < min(seen) < 0  # f(-1/2) is 1/6, and a step more


def test_a_valley_that_is_no_longer_the_softest_is_left():
    f = ms.Objective.from_function(lambda t: 0.01 * t[0] ** 2 + t[0] ** 4 + 0.05 * t[1] ** 2, 2)
    problem, mode = Counted(f), torch.tensor([1.0, 0.0]).double()
    assert list(passes_along(problem, torch.zeros(2).double(), [mode], [0.01])) == []
    assert problem.hessians < 100


def test_a_floor_out_of_a_bowl_leads_nowhere():
    f = ms.Objective.from_function(lambda t: (t * t).sum() + (t**4).sum(), 3)
    mode = torch.tensor([1.0, 0, 0]).double()
    assert list(passes_along(Counted(f), torch.zeros(3).double(), [mode], [0.1])) == []
    assert "uphill" in ms.find_saddle(f, torch.zeros(3).double()).reason


def test_where_f_is_not_finite_a_floor_is_left():
    f = ms.Objective.from_function(lambda t: t[0] ** 2 - torch.log(1 - t[0]) + t[1] ** 2 - t[0], 2)
    mode = torch.tensor([1.0, 0.0]).double()
    tops = list(passes_along(Counted(f), torch.zeros(2).double(), [mode], [0.1]))
    assert all(math.isfinite(float(theta.sum())) for theta, _ in tops)
    assert tops == []
