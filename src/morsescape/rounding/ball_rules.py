"""One rounding rule per aten operation: from balls to a ball that holds every possible result.

Each rule is called as rule(run, operation, *args, **kwargs); `run.kinks` collects branch
decisions within rounding. The derivations are in docs/proof.md.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, no_type_check

import torch
from torch import Tensor

from morsescape.rounding import operations
from morsescape.rounding.balls import Ball, NoErrorRule, as_ball, magnitude
from morsescape.rounding.floats import SUBNORMAL, gamma, tiny, unit_roundoff
from morsescape.rounding.operations import BALL, Kind, derive
from morsescape.rounding.sums import longest_run, longest_total, product, total

aten = torch.ops.aten
RULES = BALL  # the column of the table that this file and its neighbours fill
rule = partial(operations.rule, BALL)


# -- helpers ------------------------------------------------------------------------------------


def underflow(dtype: torch.dtype, where: Tensor) -> Tensor:
    """`tiny` where the mask holds. In float64: a number times a mask would be float32, and 0."""
    return where.double() * tiny(dtype)


def roundoff(out: Tensor) -> float:
    """Unit roundoff of the result's dtype; 0 for integers."""
    return unit_roundoff(out.dtype)


def finite(out: Tensor, rad: Tensor) -> Ball:
    """Nothing is known of what overflowed, though its radius, some ulps of it, did not."""
    if not math.isfinite(out.sum().item()):
        rad = torch.where(out.isfinite(), rad, torch.inf)
    return Ball(out, rad)


def _may_underflow(run: Any, a: Ball, b: Ball, dtype: torch.dtype) -> bool:
    """Whether a product of two entries that are not zero can leave the normal range.

    Where none can, |a||b| or a product with a radius is above `tiny` / u, and what the radii lose
    by their own underflow is far below the share of them by which they are inflated. NaN: it can.
    """
    limit = tiny(dtype) / unit_roundoff(dtype)
    return run.family or not a.smallest * b.smallest >= limit


@no_type_check
def is_float(x: Any) -> bool:
    """Whether x is a ball or a tensor of floating-point numbers."""
    return isinstance(x, Ball) or (isinstance(x, Tensor) and x.is_floating_point())


@no_type_check
def mid_of(x: Any) -> Any:
    """What torch computed."""
    return x.mid if isinstance(x, Ball) else x


# -- operations that move entries ---------------------------------------------------------------


def _move(run: Any, operation: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    """An operation that only moves entries moves their radii alike."""
    operation = on_any_layout(operation)
    if not is_float(x):
        return operation(x, *args, **kwargs)
    x = as_ball(x)
    mid = operation(x.mid, *args, **kwargs)
    rad = None if x.rad is None else operation(x.rad, *args, **kwargs)
    if isinstance(mid, Tensor):
        return _entries(x, mid, rad)
    return [_entries(x, *part) for part in zip(mid, rad or [None] * len(mid), strict=True)]


def _entries(x: Ball, mid: Tensor, rad: Tensor | None) -> Ball:
    """A ball of entries of x: none of them is smaller than the smallest of x, once that is known.

    It is found in x where its entries are there many times over, as in the windows of an image.
    """
    ball = Ball(mid, rad)
    if "smallest" in x.__dict__ or mid.numel() > x.mid.numel():
        ball.__dict__["smallest"] = x.smallest
    return ball


def on_any_layout(operation: Any) -> Any:
    """The operation that gives the same where values do not lie in memory as in the recording.

    Raises:
        NoErrorRule: it looks at bits.
    """
    if operation in _VIEWS:
        return aten.reshape.default
    if operation is aten._reshape_alias.default:
        return lambda x, size, stride: x.reshape(size)
    if operation is aten.view.dtype:
        raise NoErrorRule("a view of bits as another type")
    return operation


_VIEWS = (aten.view.default, aten._unsafe_view.default)


@rule("clone")
def _clone(run: Any, operation: Any, x: Any, **kwargs: Any) -> Any:
    if not is_float(x) or 0 in as_ball(x).mid.stride():
        return x  # nothing is written in place, so an expanded tensor can stay small
    x = as_ball(x)
    return _entries(x, x.mid.contiguous(), None if x.rad is None else x.rad.contiguous())


@rule("cat", "stack")
def _join(run: Any, operation: Any, parts: list[Any], *args: Any, **kwargs: Any) -> Any:
    out = operation([mid_of(p) for p in parts], *args, **kwargs)
    if not out.is_floating_point():
        return out
    balls = [as_ball(p, out.dtype) for p in parts]
    if all(b.rad is None for b in balls):
        return Ball(out)
    return Ball(out, operation([b.radius() for b in balls], *args, **kwargs))


@rule("constant_pad_nd")
def _pad(run: Any, operation: Any, x: Any, pad: list[int], value: Any = 0) -> Any:
    out = operation(mid_of(x), pad, value)
    if not is_float(x):
        return out
    x, border = as_ball(x), as_ball(value, out.dtype)
    if x.rad is None and border.rad is None:
        return Ball(out)
    return Ball(out, operation(x.radius(), pad, float(border.radius())))


derive(BALL, _move, Kind.MOVES, Kind.CHOOSES, values=1)


@rule("neg")
def _neg(run: Any, operation: Any, x: Any) -> Any:
    return Ball(-x.mid, x.rad) if isinstance(x, Ball) else -x


# -- arithmetic ---------------------------------------------------------------------------------


def _sum_of_two(run: Any, operation: Any, a: Any, b: Any, alpha: Any) -> Any:
    out = operation(mid_of(a), mid_of(b), **({} if alpha is None else {"alpha": alpha}))
    if not (is_float(a) or is_float(b)):
        return out
    a, b = as_ball(a, out.dtype), as_ball(b, out.dtype)
    rad = roundoff(out) * magnitude(out)
    if alpha is not None and abs(alpha) != 1:
        factor = as_ball(alpha, out.dtype)
        rad = rad + roundoff(out) * b.mag * factor.mag + carried(b, factor)
        rad = rad + underflow(out.dtype, b.upper != 0)
    elif b.rad is not None:
        rad = rad + b.rad
    if a.rad is not None:
        rad = rad + a.rad
    return _finite_sum(out, rad, a, b)


def _finite_sum(out: Tensor, rad: Tensor, a: Ball, b: Ball) -> Ball:
    """-inf is exact where it was, as in masks of attention; else overflow, of which nothing."""
    if math.isfinite(out.sum().item()):
        return Ball(out, rad)
    rad = torch.where(out.isfinite(), rad, torch.inf)
    endless = (a.mag.isinf() & (a.radius() == 0), b.mag.isinf() & (b.radius() == 0))
    known = (endless[0] | a.upper.isfinite()) & (endless[1] | b.upper.isfinite())
    return Ball(out, rad.masked_fill(out.isinf() & (endless[0] | endless[1]) & known, 0.0))


def carried(a: Ball, b: Ball) -> Tensor | float:
    """What a product inherits: (|a| + r)(|b| + s) - |a||b|."""
    rad = 0.0 if a.rad is None else a.rad * b.upper
    return rad if b.rad is None else rad + a.mag * b.rad


@rule("add")
def _add(run: Any, operation: Any, a: Any, b: Any, alpha: Any = None) -> Any:
    return _sum_of_two(run, operation, a, b, alpha)


@rule("sub")
def _sub(run: Any, operation: Any, a: Any, b: Any, alpha: Any = None) -> Any:
    return _sum_of_two(run, operation, a, b, alpha)


@rule("mul")
def _mul(run: Any, operation: Any, a: Any, b: Any) -> Any:
    out = operation(mid_of(a), mid_of(b))
    if not (is_float(a) or is_float(b)):
        return out
    a, b = as_ball(a, out.dtype), as_ball(b, out.dtype)
    if not run.family and (_is_sign(b) or _is_sign(a)):  # by -1, 0 or 1: nothing is rounded
        rad = torch.zeros_like(out, dtype=torch.float64)
    else:
        rad = roundoff(out) * out.abs().double()
        if _may_underflow(run, a, b, out.dtype):
            rad = rad + underflow(out.dtype, (a.upper != 0) & (b.upper != 0))
    return finite(out, rad + carried(a, b))


def _is_sign(x: Ball) -> bool:
    return x.rad is None and x.is_sign


@rule("div")
def _div(run: Any, operation: Any, a: Any, b: Any, *, rounding_mode: Any = None) -> Any:
    if rounding_mode is not None:
        raise NoErrorRule("division rounded to integers")
    out = operation(mid_of(a), mid_of(b))
    if not (is_float(a) or is_float(b)):
        return out
    a, b = as_ball(a, out.dtype), as_ball(b, out.dtype)
    rb = b.radius()
    low = b.mag - rb
    inherited = a.radius() + out.abs() * rb + SUBNORMAL * (a.upper != 0).double()
    rad = inherited / low + roundoff(out) * out.abs()
    small = out.abs() < tiny(out.dtype) / roundoff(out)
    rad = rad + underflow(out.dtype, (a.upper != 0) & small)
    apart = (2 * rb <= b.mag) & (b.mag > 0)
    return finite(out, torch.where(apart, rad, torch.inf).double())


@rule("reciprocal")
def _reciprocal(run: Any, operation: Any, x: Any) -> Any:
    return _div(run, aten.div.Tensor, torch.ones_like(mid_of(x)), x)


@rule("mm", "bmm")
def _matmul(run: Any, operation: Any, a: Any, b: Any) -> Any:
    """|fl(ab) - ab| <= gamma |a||b|, and the radii carried along: (|a| + r)(|b| + s) - |a||b|."""
    if not (is_float(a) or is_float(b)):
        return operation(a, b)
    a, b = as_ball(a), as_ball(b)
    k = a.mid.shape[-1]
    out = product(a.mid, b.mid)
    rad = product(a.mag, _spread(b, gamma(longest_run(k), out.dtype)))
    if a.rad is not None:
        rad = rad + product(a.rad, b.upper)
    if _may_underflow(run, a, b, out.dtype):
        terms = product((a.upper != 0).double(), (b.upper != 0).double())
        rad = rad + tiny(out.dtype) * terms
    return finite(out, rad)


def _spread(x: Ball, g: float) -> Tensor:
    """The radius g |x| + rad, not less where it is subnormal: a large factor may follow."""
    if g == 0:
        return x.radius()
    rad = g * x.mag if x.rad is None else g * x.mag + x.rad
    return rad if x.smallest * g >= _SOUND else rad + SUBNORMAL * (x.upper != 0).double()


_SOUND = 1e-300  # above, a rounded radius is right to far more than it is inflated by


@rule("sum")
def _sum(
    run: Any, operation: Any, x: Any, dims: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Any:
    if not is_float(x):
        more = () if dims is None else (dims, keepdim)
        return operation(x, *more, dtype=dtype)
    x = as_ball(x, dtype)
    if dtype is not None and x.mid.dtype != dtype:
        raise NoErrorRule(f"a sum as {dtype}")
    out = total(x.mid, dims, keepdim)
    g = gamma(longest_total(x.mid, dims), out.dtype)
    return finite(out, total(_spread(x, g), dims, keepdim))
