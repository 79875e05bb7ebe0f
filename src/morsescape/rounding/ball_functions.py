"""Rounding rules of powers, sums and functions of two variables (see `ball_rules`)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from morsescape.rounding.ball_rules import RULES, is_float, mid_of, roundoff, rule, underflow
from morsescape.rounding.balls import Ball, NoErrorRule, as_ball
from morsescape.rounding.floats import gamma, tiny
from morsescape.rounding.functions import RARE, TINY, ULP, bounded_below, known

aten = torch.ops.aten
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
    return Ball(out, known(out, rad))


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
    return Ball(out, known(out, rad))


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
    slope = x.upper / bounded_below(y) * y.radius() + x.radius() * (y.mid.log().abs() + 1e-15)
    rad = (RARE + 1) * roundoff(out) * out.abs().double() + slope + tiny(out.dtype)
    rad = torch.where((x.upper == 0) & ~y.mid.isnan(), 0.0, rad)
    return Ball(out, known(out, rad))


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
    """Sum (x - mean)^2 / max(0, n - correction), from the rules for its parts."""
    x = as_ball(x)
    dims = list(range(x.mid.ndim)) if dims is None else dims
    n = math.prod(x.mid.shape[d] for d in dims)
    total = RULES["sum"](run, aten.sum.dim_IntList, x, dims, True)
    mean = RULES["div"](run, aten.div.Tensor, total, n)
    off = RULES["sub"](run, aten.sub.Tensor, x, mean)
    square = RULES["mul"](run, aten.mul.Tensor, off, off)
    total = RULES["sum"](run, aten.sum.dim_IntList, square, dims, keepdim)
    rest = max(0, n - kwargs.get("correction", correction))
    return RULES["div"](run, aten.div.Tensor, total, rest)
