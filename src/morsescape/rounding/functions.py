"""Functions of one variable: one entry each, with its rule in every number system.

A ball's rule needs a bound on the slope over the ball; twice the precision a function of `double`,
if there is one; Arb a method of its numbers. A function that torch has as one operation is taught
to all machines, to the index bound and to the list of kinks by an entry here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from morsescape.rounding import double
from morsescape.rounding.balls import Ball, NoErrorRule, as_ball
from morsescape.rounding.floats import tiny, unit_roundoff
from morsescape.rounding.operations import ARB, BALL, DOUBLE, Kind, Reach, declare

Slope = Callable[[Ball, Tensor], Tensor]
TINY = tiny(torch.float64)
ULP = 2  # units in the last place granted to exp, log, tanh, ...; SLEEF and VML promise 1
RARE = 12  # u: 6 units in the last place, where libraries promise up to 5


def function(
    name: str, slope: Slope, *, floor: bool = False,
    ulps: int | Callable[[Ball], Tensor] = 2 * ULP,
    arb: Callable[[Any], Any] | None = None, kinks: bool = False,
) -> None:  # fmt: skip
    """Enter f, with |f(x') - f(x)| <= slope(x, f(x)) rad on the ball, and its other rules.

    A function of this name in `double` is the rule in twice the precision, if there is one.

    Args:
        name: of the aten operation, which takes one tensor and nothing else.
        slope: from the ball and the values in float64.
        floor: whether f(0) may underflow, as exp far below 0.
        ulps: units in the last place that torch's values may be off by, or their number by place.
        arb: the same on one ball of python-flint's, if that has no method of this name.
        kinks: whether it is not twice differentiable everywhere.
    """
    declare(name, Kind.SMOOTH, Reach.ENTRY, kinks=kinks)

    def on_balls(run: Any, operation: Any, x: Any) -> Any:
        if not (isinstance(x, Ball) or (isinstance(x, Tensor) and x.is_floating_point())):
            raise NoErrorRule(name)
        x = as_ball(x)
        out = operation(x.mid)
        wide = out.double()
        off = ulps(x) if callable(ulps) else ulps
        rad = off * unit_roundoff(out.dtype) * wide.abs()
        rad = rad + tiny(out.dtype) * (1.0 if floor else (x.upper != 0).double())
        if x.rad is not None:
            rad = rad + (slope(x, wide) + TINY) * x.rad  # a slope may have underflowed
        return Ball(out, known(wide, rad))

    BALL[name] = on_balls
    if (twice := getattr(double, name, None)) is not None:
        DOUBLE[name] = lambda run, operation, x: twice(run.value(x))
    ARB[name] = lambda run, operation, x: run.map(arb or (lambda ball: getattr(ball, name)()), x)


def known(out: Tensor, rad: Tensor) -> Tensor:
    """The radius, infinite where the value overflowed or is no number."""
    return torch.where(out.isfinite(), rad, math.inf).nan_to_num(nan=math.inf, posinf=math.inf)


def bounded_below(x: Ball) -> Tensor:
    """Mid - rad, where that is at least half of mid; 0 (so that slopes are inf) elsewhere."""
    return torch.where(2 * x.radius() <= x.mid.double(), x.mid.double() - x.radius(), 0.0)


def _growth(x: Ball) -> Tensor:
    """(e^r - 1) / r, the mean slope of exp relative to its value at the centre."""
    r = x.radius().clamp_min(1e-3)
    return torch.expm1(r) / r


def _exp_slope(x: Ball, y: Tensor) -> Tensor:
    """By growth from y, which may have underflowed; or by what e^x is at most on the ball.

    The latter where an entry far below all others, as of a mask, is rounded by more than 1.
    """
    top = x.mid.double() + x.radius() + 2.0**-50 * (x.mag + x.radius())
    return torch.fmin((y + TINY) * _growth(x), torch.exp(top) * (1 + 2.0**-40) / x.radius())


def _below_one(x: Ball) -> Tensor:
    """1 - |x|, at the end of the ball that is nearest to 1; 0 beyond."""
    return (1 - x.mag - x.radius() - 2.0**-52).clamp_min(0.0)


def _tan_slope(x: Ball, y: Tensor) -> Tensor:
    """From tan(x + r) - tan x = tan r (1 + y^2) / (1 - y tan r), y = tan x."""
    r = x.radius().clamp_min(1e-6)
    t = torch.tan(r)
    left = 1 - y.abs() * t
    return torch.where((r < 1) & (left > 1e-3), t / r * (1 + y.square()) / left, torch.inf)


def _left(x: Ball) -> Tensor:
    """How far the ball reaches to the left of 0."""
    return (x.radius() - x.mid.double()).clamp_min(0.0)


def _one(x: Ball, y: Tensor) -> Tensor:
    return torch.ones_like(y)


function("exp", _exp_slope, floor=True)
function("exp2", lambda x, y: (y + TINY) * _growth(x), floor=True,  # ln 2 < 1
         arb=lambda x: (x * type(x)(2).log()).exp())  # fmt: skip
function("expm1", lambda x, y: (x.mid.double() + x.radius()).exp() + TINY)
function("sin", _one)
function("cos", _one)
function("tan", _tan_slope, ulps=RARE)
function("atan", _one)
function("asin", lambda x, y: _below_one(x).rsqrt(), ulps=RARE)  # (1 + |x|) is at least 1
function("acos", lambda x, y: _below_one(x).rsqrt(), ulps=RARE)
function("tanh", lambda x, y: (1 - y.square() + x.radius() + 1e-15).clamp_max(1.0))
function("sigmoid", lambda x, y: torch.full_like(y, 0.25), floor=True,
         arb=lambda x: 1 / (1 + (-x).exp()))  # fmt: skip
function("erf", lambda x, y: torch.full_like(y, 2 / math.sqrt(math.pi)))
function("erfc", lambda x, y: torch.full_like(y, 2 / math.sqrt(math.pi)), floor=True, ulps=RARE)
function("sinh", lambda x, y: x.upper.cosh())
function("cosh", lambda x, y: x.upper.sinh() + 1e-15)
function("asinh", _one, ulps=RARE)
function("acosh", lambda x, y: bounded_below(Ball(x.mid.double() - 1, x.rad)).rsqrt(), ulps=RARE)
function("atanh", lambda x, y: 1 / _below_one(x), ulps=RARE)
function("log", lambda x, y: 1 / bounded_below(x))
function("log2", lambda x, y: 1.45 / bounded_below(x), ulps=RARE,
         arb=lambda x: x.log() / type(x)(2).log())  # fmt: skip
function("log10", lambda x, y: 1 / bounded_below(x), ulps=RARE,
         arb=lambda x: x.log() / type(x)(10).log())  # fmt: skip
function("log1p", lambda x, y: 1 / bounded_below(Ball(1 + x.mid.double(), x.rad)))
function("sqrt", lambda x, y: 1 / bounded_below(x).sqrt())
function("rsqrt", lambda x, y: bounded_below(x).pow(-1.5), arb=lambda x: 1 / x.sqrt())
function("special_erfcx", lambda x, y: 1.13 + 2 * _left(x) * torch.special.erfcx(-_left(x)),
         ulps=lambda x: 2 * RARE + 4 * x.mid.double().clamp_max(0.0).square(),  # it rounds e^(x^2)
         arb=lambda x: (x * x).exp() * x.erfc())  # fmt: skip
