"""Rounding rules of functions of one or two variables (see `ball_rules`)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from morsescape.rounding.ball_rules import RULES, is_float, mid_of, roundoff, rule, tiny, underflow
from morsescape.rounding.balls import ULP, Ball, NoErrorRule, as_ball
from morsescape.rounding.floats import gamma

aten = torch.ops.aten
TINY = tiny(torch.float64)
RARE = 8  # units in the last place granted to functions whose libraries promise up to 5

# -- functions of one variable ------------------------------------------------------------------


def _smooth(
    name: str, slope: Callable[[Ball, Tensor], Tensor], floor: bool = False, ulps: int = 2 * ULP
) -> None:
    """Register f with |f(x') - f(x)| <= slope * rad on the ball; `floor`: f(0) may underflow."""

    def apply(run: Any, operation: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
        if not is_float(x) or args or kwargs:
            raise NoErrorRule(name)
        x = as_ball(x)
        out = operation(x.mid)
        wide = out.double()
        rad = ulps * roundoff(out) * wide.abs()
        rad = rad + (tiny(out.dtype) if floor else underflow(out.dtype, x.upper != 0))
        if x.rad is not None:
            rad = rad + (slope(x, wide) + TINY) * x.rad  # a slope may have underflowed
        return Ball(out, _known(wide, rad))

    RULES[name] = apply


def _known(out: Tensor, rad: Tensor) -> Tensor:
    """The radius, infinite where the value overflowed or is no number."""
    return torch.where(out.isfinite(), rad, math.inf).nan_to_num(nan=math.inf, posinf=math.inf)


def _bounded_below(x: Ball) -> Tensor:
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


def _one(x: Ball, y: Tensor) -> Tensor:
    return torch.ones_like(y)


_smooth("exp", _exp_slope, floor=True)
_smooth("exp2", lambda x, y: (y + TINY) * _growth(x), floor=True)  # ln 2 < 1
_smooth("expm1", lambda x, y: (x.mid.double() + x.radius()).exp() + TINY)
_smooth("sin", _one)
_smooth("cos", _one)
_smooth("tan", _tan_slope, ulps=RARE)
_smooth("atan", _one)
_smooth("asin", lambda x, y: _below_one(x).rsqrt(), ulps=RARE)  # (1 + |x|) is at least 1
_smooth("acos", lambda x, y: _below_one(x).rsqrt(), ulps=RARE)
_smooth("tanh", lambda x, y: (1 - y.square() + x.radius() + 1e-15).clamp_max(1.0))
_smooth("sigmoid", lambda x, y: torch.full_like(y, 0.25), floor=True)
_smooth("erf", lambda x, y: torch.full_like(y, 2 / math.sqrt(math.pi)))
_smooth("erfc", lambda x, y: torch.full_like(y, 2 / math.sqrt(math.pi)), floor=True, ulps=RARE)
_smooth("sinh", lambda x, y: (x.upper).cosh())
_smooth("cosh", lambda x, y: (x.upper).sinh() + 1e-15)
_smooth("asinh", _one, ulps=RARE)
_smooth("acosh", lambda x, y: _bounded_below(Ball(x.mid.double() - 1, x.rad)).rsqrt(), ulps=RARE)
_smooth("atanh", lambda x, y: 1 / _below_one(x), ulps=RARE)
_smooth("log", lambda x, y: 1 / _bounded_below(x))
_smooth("log2", lambda x, y: 1.45 / _bounded_below(x), ulps=RARE)
_smooth("log10", lambda x, y: 1 / _bounded_below(x), ulps=RARE)
_smooth("log1p", lambda x, y: 1 / _bounded_below(Ball(1 + x.mid.double(), x.rad)))
_smooth("sqrt", lambda x, y: 1 / _bounded_below(x).sqrt())
_smooth("rsqrt", lambda x, y: _bounded_below(x).pow(-1.5))


# -- powers -------------------------------------------------------------------------------------


@rule("pow")
def _pow(run: Any, operation: Any, x: Any, exponent: Any) -> Any:
    if not (is_float(x) or is_float(exponent)):
        return operation(x, exponent)
    if isinstance(exponent, Ball | Tensor) or exponent != int(exponent) or exponent < 0:
        return _general_power(operation, x, exponent)
    x, n = as_ball(x), int(exponent)
    out = operation(x.mid, exponent)
    # (|x| + r)^n - |x|^n <= n r (|x| + r)^(n-1)
    rad = (2 * ULP + n) * roundoff(out) * out.abs().double()
    rad = rad + underflow(out.dtype, x.upper != 0)
    if n > 0 and x.rad is not None:
        rad = rad + n * x.rad * x.upper.pow(n - 1)
    return Ball(out, _known(out, rad))


def _general_power(operation: Any, x: Any, exponent: Any) -> Ball:
    """x^y = e^(y log x): a change of y log |x| by d changes it by at most the factor e^d - 1."""
    out = operation(mid_of(x), mid_of(exponent))
    x, y = as_ball(x, out.dtype), as_ball(exponent, out.dtype)
    low = x.mag - x.radius()
    wide = x.mag + x.radius()
    logs = torch.maximum(low.log().abs(), wide.log().abs()) + 1e-15
    d = 1.01 * (x.radius() / low) * y.upper + logs * y.radius()
    d = torch.where(2 * x.radius() <= x.mag, d, torch.inf) + TINY
    d = torch.where(y.upper == 0, TINY, d)
    size = out.abs().double()
    rad = RARE * roundoff(out) * size + (size + tiny(out.dtype)) * 1.01 * torch.expm1(d)
    rad = rad + tiny(out.dtype)
    whole = (y.radius() == 0) & (y.mid == y.mid.round())
    known = ((x.mid > 0) | whole) & (low > 0) & out.isfinite()
    exact = (x.upper == 0) & (y.mid.double() - y.radius() > 0) | (y.upper == 0)  # 0^y, x^0
    rad = torch.where(exact, 0.0, torch.where(known, rad, torch.inf))
    return Ball(out, rad.nan_to_num(nan=math.inf, posinf=math.inf))


@rule("logsumexp")
def _logsumexp(run: Any, operation: Any, x: Any, dim: Any, keepdim: bool = False) -> Ball:
    x = as_ball(x)
    out = operation(x.mid, dim, keepdim)
    full = operation(x.mid, dim, True)
    top = x.mid.amax(dim, True)
    shift = torch.exp(x.mid - full) * (x.mid - top).abs()
    shift = torch.where(x.mid == -torch.inf, 0.0, shift).sum(dim, keepdim).double()
    terms, u = x.mid.numel() // max(out.numel(), 1), roundoff(out)
    inside = u * (2 * shift + 4 * ULP) + 2 * gamma(terms, out.dtype)
    outside = 2 * ULP * u * (full - top).abs() + u * full.abs()
    rad = inside + (outside if keepdim else outside.reshape(out.shape)).double()
    rad = rad if x.rad is None else rad + x.rad.amax(dim, keepdim)
    return Ball(out, _known(out, rad))


@rule("atan2")
def _atan2(run: Any, operation: Any, y: Any, x: Any) -> Ball:
    """Its gradient is 1 / distance from the origin; it jumps behind the origin."""
    out = operation(mid_of(y), mid_of(x))
    y, x = as_ball(y, out.dtype), as_ball(x, out.dtype)
    reach = y.radius() + x.radius()
    distance = torch.maximum(y.mag, x.mag) - reach
    rad = reach / distance + RARE * roundoff(out) * out.abs().double()
    rad = rad + underflow(out.dtype, y.upper != 0)
    cut = (y.mag <= y.radius()) & (x.mid.double() - x.radius() <= 0)
    run.kinks += int((cut if run.moving else cut & (reach != 0)).sum())
    rad = torch.where(reach == 0, rad.nan_to_num(nan=0.0, posinf=math.inf), rad)
    sure = ((distance > 0) & ~(cut & (y.radius() > 0))) | (reach == 0)
    return Ball(out, torch.where(sure, rad, math.inf))


@rule("xlogy")
def _xlogy(run: Any, operation: Any, x: Any, y: Any) -> Ball:
    """X log y, and 0 where x is 0 exactly."""
    out = operation(mid_of(x), mid_of(y))
    x, y = as_ball(x, out.dtype), as_ball(y, out.dtype)
    slope = x.upper / _bounded_below(y) * y.radius() + x.radius() * (y.mid.log().abs() + 1e-15)
    rad = (RARE + 1) * roundoff(out) * out.abs().double() + slope + tiny(out.dtype)
    rad = torch.where((x.upper == 0) & ~y.mid.isnan(), 0.0, rad)
    return Ball(out, _known(out, rad))


# -- sums ---------------------------------------------------------------------------------------


@rule("cumsum")
def _cumsum(run: Any, operation: Any, x: Any, dim: int, **kwargs: Any) -> Any:
    if not is_float(x):
        return operation(x, dim, **kwargs)
    if kwargs.get("dtype") not in (None, as_ball(x).mid.dtype):
        raise NoErrorRule("cumsum to another type")
    x = as_ball(x)
    out = operation(x.mid, dim)
    g = gamma(x.mid.shape[dim] if x.mid.ndim else 1, out.dtype)
    rad = (g * x.mag if x.rad is None else g * x.mag + x.rad).cumsum(dim)
    return Ball(out, torch.where(out.isfinite(), rad, torch.inf))


@rule("var")
def _var(run: Any, operation: Any, x: Any, dims: Any = None, correction: float = 1.0,
         keepdim: bool = False, **kwargs: Any) -> Ball:  # fmt: skip
    """Sum (x - mean)^2 / (n - correction), from the rules for its parts."""
    x = as_ball(x)
    dims = list(range(x.mid.ndim)) if dims is None else dims
    n = math.prod(x.mid.shape[d] for d in dims)
    total = RULES["sum"](run, aten.sum.dim_IntList, x, dims, True)
    mean = RULES["div"](run, aten.div.Tensor, total, n)
    off = RULES["sub"](run, aten.sub.Tensor, x, mean)
    square = RULES["mul"](run, aten.mul.Tensor, off, off)
    total = RULES["sum"](run, aten.sum.dim_IntList, square, dims, keepdim)
    return RULES["div"](run, aten.div.Tensor, total, n - (kwargs.get("correction", correction)))
