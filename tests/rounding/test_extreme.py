"""Each rule of a function contains the true value at every magnitude that a double can have."""

from __future__ import annotations

import inspect
import re

import mpmath as mp
import pytest
import torch
from torch import Tensor

from morsescape.rounding import functions
from morsescape.rounding.balls import Ball, NoErrorRule
from morsescape.rounding.enclose import Enclosure, carry_out
from morsescape.rounding.operations import BALL

aten = torch.ops.aten
mp.mp.dps = 50
SIZES = [0.0, 5e-324, 1e-310, 1e-300, 1e-160, 1e-20, 1e-8, 0.3, 0.5, 0.999, 1.0, 1.5, 2.0, 6.0,
         20.0, 27.0, 36.7, 88.0, 700.0, 709.9, 744.0, 746.0, 1e3, 1e8, 1e160, 1e300]  # fmt: skip


def at(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


POINTS = at(*SIZES, *(-s for s in SIZES))


def positive(function):  # type: ignore[no-untyped-def]
    return lambda x: function(x) if x > 0 else None


def scaled_erfc(x):  # type: ignore[no-untyped-def]
    """Of large numbers, by the asymptotic series."""
    if x > 1e4:
        return (1 - 1 / (2 * x**2) + 3 / (4 * x**4)) / (x * mp.sqrt(mp.pi))
    return mp.exp(x * x) * mp.erfc(x) if x > -30 else None


UNARY = {
    "exp": mp.exp,
    "exp2": lambda x: mp.mpf(2) ** x,
    "expm1": mp.expm1,
    "sin": mp.sin,
    "cos": mp.cos,
    "tan": mp.tan,
    "atan": mp.atan,
    "asin": lambda x: mp.asin(x) if abs(x) <= 1 else None,
    "acos": lambda x: mp.acos(x) if abs(x) <= 1 else None,
    "tanh": mp.tanh,
    "sigmoid": lambda x: 1 / (1 + mp.exp(-x)),
    "erf": mp.erf,
    "erfc": lambda x: mp.erfc(x) if abs(x) < 1e4 else mp.mpf(2 if x < 0 else 0),
    "special_erfcx": scaled_erfc,
    "sinh": mp.sinh,
    "cosh": mp.cosh,
    "asinh": mp.asinh,
    "acosh": lambda x: mp.acosh(x) if x >= 1 else None,
    "atanh": lambda x: mp.atanh(x) if abs(x) < 1 else None,
    "log": positive(mp.log),
    "log2": positive(lambda x: mp.log(x, 2)),
    "log10": positive(mp.log10),
    "log1p": lambda x: mp.log1p(x) if x > -1 else None,
    "sqrt": positive(mp.sqrt),
    "rsqrt": positive(lambda x: 1 / mp.sqrt(x)),
    "reciprocal": lambda x: 1 / x if x else None,
    "abs": abs,
    "relu": lambda x: max(x, mp.mpf(0)),
    "neg": lambda x: -x,
    "floor": mp.floor,
    "ceil": mp.ceil,
    "round": lambda x: mp.nint(x),
    "trunc": lambda x: mp.floor(x) if x > 0 else mp.ceil(x),
    "sgn": mp.sign,
}
STEPS = {"floor", "ceil", "round", "trunc"}
ENDS = {"relu", "abs", "sgn"}  # the computed branch is kept where a ball holds a kink
EXPONENTS = [0.5, -0.5, 3, 2, 1, 0, -1, -2, 0.37, -7.25, 40]


def check(out: Ball, truth: list[mp.mpf | None], name: str) -> None:
    pairs = zip(out.mid.tolist(), out.radius().tolist(), truth, strict=True)
    for k, (mid, rad, true) in enumerate(pairs):
        if true is None or not rad < float("inf"):
            continue
        assert mp.isfinite(mp.mpf(mid)) or not mp.isfinite(true), (name, k, mid, rad)
        assert abs(mp.mpf(mid) - true) <= mp.mpf(rad) * (1 + mp.mpf("1e-6")), (name, k, mid, rad)


@pytest.mark.parametrize("width", [(0.0, 0.0), (1e-12, 0.0), (0.3, 0.0), (0.0, 1e-3), (0.0, 60.0)])
@pytest.mark.parametrize("name", UNARY)
def test_functions_of_one_variable(name: str, width: tuple[float, float]) -> None:
    relative, absolute = width
    rad = relative * POINTS.abs() + absolute
    run = Enclosure()
    operation = getattr(aten, name).default
    for k, x in enumerate(POINTS.tolist()):  # one by one: rules refuse whole tensors
        ball = Ball(at(x), at(float(rad[k])) if relative or absolute else None)
        try:
            out = carry_out(BALL, run, operation, (ball,), {})
        except NoErrorRule:  # a step within the ball
            assert name in STEPS
            continue
        for where in (-1, 0, 1):
            true = mp.mpf(x) + mp.mpf(float(rad[k])) * where
            if name in ENDS and true * x <= 0 < abs(where):
                continue
            check(out, [UNARY[name](true)], f"{name} {x} {where}")


@pytest.mark.parametrize("relative", [0.0, 1e-12, 0.3])
@pytest.mark.parametrize("exponent", EXPONENTS)
def test_powers(exponent: float, relative: float) -> None:
    rad = relative * POINTS.abs()
    ball = Ball(POINTS, rad if relative else None)
    out = carry_out(BALL, Enclosure(), aten.pow.Tensor_Scalar, (ball, exponent), {})
    other = Ball(torch.full_like(POINTS, exponent), torch.full_like(POINTS, relative * 1e-3))
    both = carry_out(BALL, Enclosure(), aten.pow.Tensor_Tensor, (ball, other), {})

    def power(x: mp.mpf, n: mp.mpf) -> mp.mpf | None:
        if x < 0 and n != mp.nint(n):
            return None
        if x == 0:
            return None if n < 0 else mp.mpf(int(n == 0))
        return x**n

    for where in (-1, 0, 1):
        ends = zip(POINTS.tolist(), rad.tolist(), strict=True)
        xs = [mp.mpf(x) + mp.mpf(r) * where for x, r in ends]
        check(out, [power(x, mp.mpf(exponent)) for x in xs], f"pow {exponent}")
        for other_way in (-1, 0, 1):
            n = mp.mpf(exponent) + mp.mpf(relative * 1e-3) * other_way
            check(both, [power(x, n) for x in xs], f"pow to {exponent}")


@pytest.mark.parametrize("relative", [0.0, 1e-9])
@pytest.mark.parametrize("name", ["atan2", "xlogy", "logsumexp"])
def test_functions_of_two_variables(name: str, relative: float) -> None:
    few = POINTS[::3]
    grid = torch.cartesian_prod(few, few)
    rad = relative * grid.abs()
    parts = [Ball(grid[:, k].contiguous(), rad[:, k].contiguous()) for k in (0, 1)]
    if name == "logsumexp":
        out = carry_out(BALL, Enclosure(), aten.logsumexp.default, (Ball(grid, rad), [1]), {})
    else:
        operation = aten.atan2.default if name == "atan2" else aten.xlogy.Tensor
        out = carry_out(BALL, Enclosure(), operation, tuple(parts), {})
    exact = {
        "atan2": mp.atan2,
        "xlogy": lambda a, b: (mp.mpf(0) if a == 0 else a * mp.log(b)) if b > 0 else None,
        "logsumexp": lambda a, b: max(a, b) + mp.log1p(mp.exp(-abs(a - b))),
    }[name]
    for where in (-1, 0, 1):
        truth = [
            exact(mp.mpf(x) + mp.mpf(a) * where, mp.mpf(y) - mp.mpf(b) * where)
            for (x, y), (a, b) in zip(grid.tolist(), rad.tolist(), strict=True)
        ]
        check(out, truth, name)


def test_no_function_of_one_variable_is_left_out() -> None:
    """What is registered for it takes one tensor; the others move entries or order them."""
    source = inspect.getsource(functions)
    smooth = set(re.findall(r'^function\("(\w+)"', source, re.M))
    assert len(smooth) > 20
    assert smooth <= set(UNARY)
