from __future__ import annotations

import math

import mpmath as mp
import pytest
import torch

from function_hessian import function_hessian
from hessian.test_truth import error


def rosenbrock(v: torch.Tensor) -> torch.Tensor:
    return (100 * (v[1:] - v[:-1] ** 2) ** 2 + (1 - v[:-1]) ** 2).sum()


def test_rosenbrock_in_closed_form() -> None:
    x, y = 0.3, -1.7
    h = function_hessian(rosenbrock, torch.tensor([x, y], dtype=torch.float64))
    a, b = mp.mpf(x), mp.mpf(y)
    true = [[1200 * a**2 - 400 * b + 2, -400 * a], [-400 * a, mp.mpf(200)]]
    assert h.estimate is None
    assert error(None, true, h.matrix) <= h.radius < 1e-11


@pytest.mark.parametrize("seed", range(5))
def test_radius_holds_the_truth(seed: int) -> None:
    v = torch.randn(2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    h = function_hessian(lambda v: (v[0] * v[1]).exp() * v[1].sin(), v)
    x, y = (mp.mpf(float(t)) for t in v)
    e, s, c = mp.exp(x * y), mp.sin(y), mp.cos(y)
    xy = e * (s + x * y * s + y * c)
    true = [[y * y * e * s, xy], [xy, e * (x * x * s + 2 * x * c - s)]]
    assert error(None, true, h.matrix) <= h.radius < 1e-12


def test_unknown_operations_give_an_estimate_that_says_so() -> None:
    v = torch.tensor([0.3, 0.4], dtype=torch.float64)
    h = function_hessian(lambda v: torch.linalg.det(torch.outer(v, v) + torch.eye(2).double()), v)
    assert h.estimate is not None
    assert "det" in h.estimate
    assert h.matrix.isfinite().all()


def test_what_torch_cannot_differentiate_is_not_called_proved() -> None:
    v = torch.tensor([0.3, 0.4], dtype=torch.float64)
    h = function_hessian(lambda v: torch.special.bessel_j0(v).sum() + v.square().sum(), v)
    assert h.estimate is not None
    assert "bessel" in h.estimate


def test_branches_on_numbers_give_an_estimate() -> None:
    v = torch.tensor([0.3, 0.4], dtype=torch.float64)
    h = function_hessian(lambda v: v.square().sum() if v[0].item() > 0 else v.sum(), v)
    assert h.estimate is not None
    assert "recorded" in h.estimate
    assert torch.equal(h.matrix, 2 * torch.eye(2, dtype=torch.float64))


def test_a_function_that_counts_its_calls_gives_an_estimate_that_says_so() -> None:
    calls = []

    def fn(v: torch.Tensor) -> torch.Tensor:
        calls.append(v)
        return len(calls) * v.square().sum()

    h = function_hessian(fn, torch.tensor([0.3, 0.4], dtype=torch.float64))
    assert h.estimate is not None
    assert h.estimate.endswith("one with another value at every call: it reads more than θ")


def test_unbounded_says_so() -> None:
    h = function_hessian(rosenbrock, torch.ones(3).double(), bounded=False)
    assert h.estimate == "rounding was not followed"


@pytest.mark.parametrize("bounded", [True, False])
def test_entries_that_are_not_finite_are_returned(bounded: bool) -> None:
    h = function_hessian(lambda v: v.sqrt().sum(), torch.zeros(2).double(), bounded=bounded)
    assert not h.matrix.isfinite().all()
    assert h.radius == math.inf
