"""Twice the precision at the ends of the range, and on the constants of torch's formulas."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import mpmath as mp
import pytest
import torch
from torch.nn import functional as F

from morsescape.hessian.gradient import sharp_gradient
from morsescape.objective import Objective
from morsescape.rounding.balls import NoErrorRule, Rounded
from morsescape.rounding.constants import rounded
from morsescape.rounding.double import Double, matrix_product
from morsescape.rounding.double_machine import DoubleMachine
from morsescape.rounding.program import record

mp.mp.dps = 50
aten = torch.ops.aten
FINITE = [
    0.0, -0.0, 5e-324, -1.5e-320, 2.2250738585072014e-308, -3.1e-308, 1.3e-300, 3e-200, -1e-160,
    1.0, -1.0, 1 / 3, 1 + 2.0**-52, 1e160, -7e200, 1e300, 1.7976931348623157e308,
]  # fmt: skip
ONE = torch.ones(1, dtype=torch.float64)


def f64(*x: float) -> torch.Tensor:
    return torch.tensor(x, dtype=torch.float64)


def double(hi: float, rad: float) -> Double:
    low = hi * 2.0**-55
    return Double(f64(hi), f64(low if abs(hi) < 1e300 else 0.0), f64(rad))


def members(x: Double) -> list[Fraction]:
    middle, rad = Fraction(float(x.hi)) + Fraction(float(x.lo)), Fraction(float(x.rad))
    return [middle - rad, middle, middle + rad] if rad else [middle]


def holds(out: Double, truth: list[Fraction]) -> bool:
    hi, lo, rad = (float(t) for t in (out.hi, out.lo, out.rad))
    if not math.isfinite(rad):
        return False
    assert math.isfinite(hi)
    assert math.isfinite(lo)
    for true in truth:
        slack = Fraction(rad) * (1 + Fraction(1, 10**12))
        assert abs(Fraction(hi) + Fraction(lo) - true) <= slack, (hi, lo, rad, float(true))
    return True


OPERATIONS: dict[str, tuple[Callable[..., Double], Callable[..., Fraction]]] = {
    "add": (lambda x, y: x + y, lambda a, b: a + b),
    "sub": (lambda x, y: x - y, lambda a, b: a - b),
    "mul": (lambda x, y: x * y, lambda a, b: a * b),
    "div": (lambda x, y: x / y, lambda a, b: a / b),
    "mm": (
        lambda x, y: matrix_product(x.each(lambda t: t[None]), y.each(lambda t: t[None])),
        lambda a, b: a * b,
    ),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_pairs_of_any_magnitude(name: str) -> None:
    rule, exact = OPERATIONS[name]
    operands = [double(*x) for x in itertools.product(FINITE, (0.0, 5e-324, 1e-200, 1e-12))]
    known = 0
    for k, (x, y) in enumerate(itertools.product(operands, operands)):
        if k % 5:
            continue
        try:
            out = rule(x, y)
        except NoErrorRule:  # near the largest numbers
            assert name == "mm"
            continue
        b = members(y)
        singular = name == "div" and min(b) <= 0 <= max(b)
        truth = [] if singular else [exact(p, q) for p in members(x) for q in b]
        certain = holds(out, truth)
        assert not (singular and certain)
        known += certain
    assert known > 300


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_nothing_is_known_of_what_is_not_finite(value: float) -> None:
    machine, x = DoubleMachine(), f64(value, 1.0)
    for target, args in (
        (aten.relu.default, (x,)),
        (aten.mul.Tensor, (x, f64(0.0, 0.0))),
        (aten.add.Tensor, (Double.exact(f64(1.0, 1.0)), x)),
        (aten.where.self, (torch.tensor([True, False]), x, 2.0)),
    ):
        try:
            out = machine(target, args, {})
        except NoErrorRule:
            assert math.isinf(value)
            continue
        assert not math.isfinite(float(out.rad[0]))


@pytest.mark.parametrize(
    ("target", "args", "kwargs"),
    [
        (aten.view.dtype, (Double.exact(ONE), torch.int64), {}),
        (aten.add.Tensor, (Double.exact(ONE), ONE * 1j), {}),
        (aten.mul.Tensor, (Double.exact(ONE), 1j), {}),
        (aten.mul.Tensor, (ONE, 2**53 + 1), {}),
        (aten.mul.Tensor, (ONE, torch.tensor([-(2**63)])), {}),
        (aten.cat.default, ([Double.exact(ONE), torch.tensor([2**53 + 1])],), {}),
        (aten.new_full.default, (ONE, [1], 2**53 + 1), {}),
        (aten.fill.Scalar, (torch.zeros(1).long(), 0.5), {}),
        (aten.slice_scatter.default, (torch.zeros(2).long(), Double.exact(ONE), 0, 0, 1), {}),
        (aten.div.Tensor_mode, (ONE, 2.0), {"rounding_mode": "floor"}),
        (aten.sum.default, (ONE,), {"dtype": torch.float32}),
        (aten.mul.Tensor, (ONE, -math.inf), {}),
        (aten.empty_like.default, (torch.zeros(1).long(),), {}),
        (aten.scatter.src, (ONE, 0, torch.tensor([0]), Double.exact(ONE)), {}),
    ],
)
def test_what_has_no_rule_with_these_arguments_is_refused(
    target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    with pytest.raises(NoErrorRule):
        DoubleMachine()(target, args, kwargs)


def test_whole_numbers_that_are_joined_are_numbers() -> None:
    out = DoubleMachine()(aten.cat.default, ([Double.exact(ONE), torch.tensor([7])],), {})
    assert out.hi.tolist() == [1.0, 7.0]
    assert not out.rad.any()


# -- constants of torch's formulas --------------------------------------------------------------


def gelu(x: mp.mpf) -> mp.mpf:
    return x * mp.ncdf(x)


def gelu_by_tanh(x: mp.mpf) -> mp.mpf:
    return x / 2 * (1 + mp.tanh(mp.sqrt(2 / mp.pi) * (x + mp.mpf(0.044715) * x**3)))


FORMULAS: dict[str, tuple[Callable[..., Any], Callable[[mp.mpf], mp.mpf]]] = {
    "erf": (torch.erf, mp.erf),
    "gelu": (F.gelu, gelu),
    "gelu by tanh": (lambda x: F.gelu(x, approximate="tanh"), gelu_by_tanh),
    "log2": (torch.log2, lambda x: mp.log(x, 2)),
    "log10": (torch.log10, mp.log10),
    "silu": (F.silu, lambda x: x / (1 + mp.exp(-x))),
    "celu": (lambda x: F.celu(x, 3.0), lambda x: x if x > 0 else 3 * mp.expm1(x / 3)),
    "softplus": (lambda x: F.softplus(x, 3.0), lambda x: mp.log1p(mp.exp(3 * x)) / 3),
    "ndtr": (torch.special.ndtr, mp.ncdf),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_derivatives_are_those_of_the_function_not_of_torchs_rounded_formula(name: str) -> None:
    fn, exact = FORMULAS[name]
    sharp = 0
    for at in (0.3, 0.7, 1.3, 2.1) + (() if name.startswith("log") else (-0.4, -1.7)):
        f = Objective.from_function(lambda t: fn(t).sum(), 1)
        found = sharp_gradient(f.source, f64(at), f.l2)
        if found is None:
            continue
        program = record(torch.func.grad(lambda t: fn(t).sum()), f64(at))
        pair = program.run(DoubleMachine(), Double.exact(f64(at)))
        true = mp.diff(exact, mp.mpf(at))
        off = abs(mp.mpf(float(pair.hi)) + mp.mpf(float(pair.lo)) - true)
        assert off <= mp.mpf(float(pair.rad)) + mp.mpf(10) ** -32
        assert abs(mp.mpf(float(found[0])) - true) <= found[1]
        sharp += float(pair.rad) < 1e-22
    assert sharp or not name.startswith(("gelu", "silu"))


def test_which_numbers_torch_may_have_rounded() -> None:
    marked = [x for x in (0.5, 3.0, 1e10, 0.75, 0.1, 2 / 3, -1.7, math.inf) if rounded(x) is not x]
    assert marked == [0.1, 2 / 3, -1.7]
    assert isinstance(rounded(0.1), Rounded)


def literals(fn: Callable[..., Any]) -> list[Any]:
    program = record(torch.func.jacfwd(torch.func.grad(lambda t: fn(t).sum())), f64(0.3, 0.7))
    return [a for step in program.steps for a in step.args if isinstance(a, float)]


def test_numbers_of_the_function_itself_are_taken_as_they_are() -> None:
    assert all(not isinstance(x, Rounded) for x in literals(lambda t: (0.1 * t * t * t) / 0.3))
    assert any(isinstance(x, Rounded) for x in literals(torch.erf))
    assert any(isinstance(x, Rounded) for x in literals(F.selu))
    assert any(isinstance(x, Rounded) for x in literals(lambda t: torch.var(torch.cat([t, t * t]))))
    assert any(isinstance(x, Rounded) for x in literals(lambda t: t**0.1))
