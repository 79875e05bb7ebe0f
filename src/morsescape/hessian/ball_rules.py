"""One rounding rule per aten operation: from balls to a ball that holds every possible result.

Each rule is called as rule(run, operation, *args, **kwargs); `run.kinks` collects branch
decisions within rounding. The derivations are in docs/proof.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, no_type_check

import torch
from torch import Tensor

from morsescape.hessian.balls import (
    Ball,
    NoErrorRule,
    as_ball,
    gamma,
    longest_run,
    longest_total,
    magnitude,
    product,
    total,
    unit_roundoff,
)

Rule = Callable[..., Any]
RULES: dict[str, Rule] = {}
aten = torch.ops.aten
SUBNORMAL = 2 * 2.0**-1074  # what two products of radii can lose


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Register a rule for the named aten operations."""

    def register(function: Rule) -> Rule:
        for name in names:
            RULES[name] = function
        return function

    return register


# -- helpers ------------------------------------------------------------------------------------


def tiny(dtype: torch.dtype) -> float:
    """The smallest normal number: what a result that underflows can be off by."""
    return torch.finfo(dtype).tiny


def underflow(dtype: torch.dtype, where: Tensor) -> Tensor:
    """`tiny` where the mask holds. In float64: a number times a mask would be float32, and 0."""
    return where.double() * tiny(dtype)


@no_type_check
def roundoff(out: Tensor) -> float:
    """Unit roundoff of the result's dtype; 0 for integers."""
    return unit_roundoff(out.dtype) if out.is_floating_point() else 0.0


def _finite(out: Tensor, rad: Tensor) -> Ball:
    """Nothing is known of a sum that overflowed, though its radius, some ulps of it, did not."""
    if not bool(out.sum().isfinite()):
        rad = torch.where(out.isfinite(), rad, torch.inf)
    return Ball(out, rad)


def _may_underflow(run: Any, a: Ball, b: Ball, dtype: torch.dtype) -> bool:
    """Whether a product of two entries that are not zero can leave the normal range."""
    limit = torch.finfo(dtype).tiny / unit_roundoff(dtype)
    return run.family or a.smallest * b.smallest < limit


def _map(operation: Any, operand: Any, *args: Any, **kwargs: Any) -> Ball:
    """An operation that only moves entries: it moves their radii alike."""
    x = as_ball(operand)
    mid = operation(x.mid, *args, **kwargs)
    return Ball(mid, None if x.rad is None else operation(x.rad, *args, **kwargs))


@no_type_check
def is_float(x: Any) -> bool:
    """Whether x is a ball or a tensor of floating-point numbers."""
    return isinstance(x, Ball) or (isinstance(x, Tensor) and x.is_floating_point())


@no_type_check
def mid_of(x: Any) -> Any:
    """What torch computed."""
    return x.mid if isinstance(x, Ball) else x


# -- operations that move entries ---------------------------------------------------------------


@rule(
    "view", "_unsafe_view", "reshape", "permute", "transpose", "t", "expand", "slice", "select",
    "squeeze", "unsqueeze", "alias", "detach", "gather", "unfold",
    "flip", "diagonal", "repeat", "tril", "triu", "lift_fresh_copy", "alias_copy", "view_copy",
    "expand_copy", "permute_copy", "slice_copy", "select_copy", "squeeze_copy", "t_copy",
    "transpose_copy", "unsqueeze_copy", "unfold_copy", "diagonal_copy", "detach_copy", "roll",
    "contiguous", "index_select", "movedim", "_reshape_alias", "as_strided_copy", "as_strided",
    "broadcast_in_dim",
)  # fmt: skip
def _move(run: Any, operation: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    if operation in (aten.view.default, aten._unsafe_view.default):
        operation = aten.reshape.default  # the layout in memory may not be the traced one
    if not is_float(x):
        return operation(x, *args, **kwargs)
    if "as_strided" in str(operation):  # strides refer to storage: lay both out alike
        x = as_ball(x)
        x = Ball(x.mid.contiguous(), None if x.rad is None else x.rad.contiguous())
    return _map(operation, x, *args, **kwargs)


@rule("constant_pad_nd")
def _pad(run: Any, operation: Any, x: Any, pad: list[int], value: Any = 0) -> Any:
    out = operation(mid_of(x), pad, value)
    if not is_float(x):
        return out
    x = as_ball(x)
    return Ball(out, None if x.rad is None else operation(x.rad, pad, 0.0))


@rule("clone")
def _clone(run: Any, operation: Any, x: Any, **kwargs: Any) -> Any:
    if not is_float(x) or 0 in as_ball(x).mid.stride():
        return x  # nothing is written in place, so an expanded tensor can stay small
    return _map(torch.Tensor.contiguous, x)


@rule("split", "split_with_sizes", "unbind", "split_copy", "split_with_sizes_copy", "unbind_copy")
def _parts(run: Any, operation: Any, x: Any, *args: Any, **kwargs: Any) -> list[Ball]:
    x = as_ball(x)
    mids = operation(x.mid, *args, **kwargs)
    if x.rad is None:
        return [Ball(m) for m in mids]
    return [Ball(m, r) for m, r in zip(mids, operation(x.rad, *args, **kwargs), strict=True)]


@rule("cat", "stack")
def _join(run: Any, operation: Any, parts: list[Any], *args: Any, **kwargs: Any) -> Any:
    balls = [as_ball(p) for p in parts]
    mid = operation([b.mid for b in balls], *args, **kwargs)
    if all(b.rad is None for b in balls):
        return Ball(mid)
    return Ball(mid, operation([b.radius() for b in balls], *args, **kwargs))


@rule("index", "_unsafe_index")
def _index(run: Any, operation: Any, x: Any, indices: list[Any]) -> Any:
    return _map(operation, x, indices) if is_float(x) else operation(x, indices)


@rule("slice_scatter", "select_scatter", "copy", "diagonal_scatter")
def _overwrite(run: Any, operation: Any, x: Any, y: Any, *args: Any, **kwargs: Any) -> Ball:
    x, y = as_ball(x), as_ball(y)
    mid = operation(x.mid, y.mid, *args, **kwargs)
    if y.mid.is_floating_point() and not mid.is_floating_point():
        raise NoErrorRule("rounding to integers")  # a step, which no radius can follow
    return Ball(mid, operation(x.radius(), y.radius(), *args, **kwargs))


@rule("neg")
def _neg(run: Any, operation: Any, x: Any) -> Any:
    return Ball(-x.mid, x.rad) if isinstance(x, Ball) else -x


@rule("abs")
def _abs(run: Any, operation: Any, x: Any) -> Ball:
    x = as_ball(x)
    return Ball(x.mid.abs(), x.rad)


@rule(
    "zeros_like", "ones_like", "full_like", "empty_like", "new_zeros", "new_ones", "new_full",
    "_new_zeros_with_same_feature_meta",
)  # fmt: skip
def _constant(run: Any, operation: Any, x: Any, *args: Any, **kwargs: Any) -> Tensor:
    return operation(mid_of(x), *map(mid_of, args), **kwargs)


@rule("fill", "fill_")
def _fill(run: Any, operation: Any, x: Any, value: Any) -> Any:
    out = operation(mid_of(x), mid_of(value))
    if not (isinstance(value, Ball) and value.rad is not None):
        return out
    return Ball(out, value.rad.expand(out.shape))


@rule("_to_copy", "convert_element_type")
def _cast(run: Any, operation: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    out = operation(mid_of(x), *args, **kwargs)
    if not is_float(x):
        return out
    x = as_ball(x)
    if not out.is_floating_point():
        if x.rad is not None:
            raise NoErrorRule("rounding to integers")  # a step, which no radius can follow
        return out
    if torch.finfo(out.dtype).eps <= torch.finfo(x.mid.dtype).eps:
        return Ball(out, x.rad)
    rad = x.radius() + roundoff(out) * x.mag + underflow(out.dtype, x.upper != 0)
    return _finite(out, rad)


# -- arithmetic ---------------------------------------------------------------------------------


def _sum_of_two(operation: Any, a: Any, b: Any, alpha: float, kwargs: Any) -> Any:
    if not (is_float(a) or is_float(b)):
        return operation(a, b, **kwargs)
    out = operation(mid_of(a), mid_of(b), **kwargs)
    a, b = as_ball(a, out.dtype), as_ball(b, out.dtype)
    rad = roundoff(out) * magnitude(out)
    if a.rad is not None:
        rad = rad + a.rad
    if b.rad is not None:
        rad = rad + (b.rad if abs(alpha) == 1 else abs(alpha) * b.rad)
    if abs(alpha) != 1:
        rad = rad + roundoff(out) * abs(alpha) * b.mag + underflow(out.dtype, b.upper != 0)
    return Ball(out, rad)


@rule("add")
def _add(run: Any, operation: Any, a: Any, b: Any, **kwargs: Any) -> Any:
    return _sum_of_two(operation, a, b, float(kwargs.get("alpha", 1)), kwargs)


@rule("sub")
def _sub(run: Any, operation: Any, a: Any, b: Any, **kwargs: Any) -> Any:
    return _sum_of_two(operation, a, b, float(kwargs.get("alpha", 1)), kwargs)


@rule("mul")
def _mul(run: Any, operation: Any, a: Any, b: Any) -> Any:
    if not (is_float(a) or is_float(b)):
        return operation(a, b)
    out = operation(mid_of(a), mid_of(b))
    if not out.is_floating_point():
        return out
    a, b = as_ball(a, out.dtype), as_ball(b, out.dtype)
    if not run.family and (_is_sign(b) or _is_sign(a)):  # by -1, 0 or 1: nothing is rounded
        rad = torch.zeros_like(out, dtype=torch.float64)
    else:
        rad = roundoff(out) * out.abs().double()
        if _may_underflow(run, a, b, out.dtype):
            rad = rad + underflow(out.dtype, (a.upper != 0) & (b.upper != 0))
    if a.rad is not None:
        rad = rad + a.rad * b.upper
    if b.rad is not None:
        rad = rad + a.mag * b.rad
    return Ball(out, rad)


def _is_sign(x: Ball) -> bool:
    if x.rad is not None:
        return False
    if not x.mid.is_floating_point():
        return x.mid.dtype == torch.bool
    return bool(((x.mid == 0) | (x.mag == 1)).all())


@rule("div")
def _div(run: Any, operation: Any, a: Any, b: Any, **kwargs: Any) -> Any:
    if kwargs.get("rounding_mode") is not None:
        raise NoErrorRule("division rounded to integers")
    out = operation(mid_of(a), mid_of(b), **kwargs)
    if not (is_float(a) or is_float(b)) or not out.is_floating_point():
        return out
    a, b = as_ball(a, out.dtype), as_ball(b, out.dtype)
    rb = b.radius()
    low = b.mag - rb
    carried = a.radius() + out.abs() * rb + SUBNORMAL * (a.upper != 0).double()
    rad = carried / low + roundoff(out) * out.abs()
    small = out.abs() < tiny(out.dtype) / roundoff(out)
    rad = rad + underflow(out.dtype, (a.upper != 0) & small)
    apart = (2 * rb <= b.mag) & (b.mag > 0)
    return Ball(out, torch.where(apart, rad, torch.inf).double())


@rule("reciprocal")
def _reciprocal(run: Any, operation: Any, x: Any) -> Ball:
    return _div(run, aten.div.Tensor, torch.ones_like(mid_of(x)), x)


@rule("mm", "bmm")
def _matmul(run: Any, operation: Any, a: Any, b: Any) -> Ball:
    """|fl(ab) - ab| <= gamma |a||b|, and the radii carried along: (|a| + r)(|b| + s) - |a||b|."""
    a, b = as_ball(a), as_ball(b)
    k = a.mid.shape[-1]
    out = product(a.mid, b.mid)
    g = gamma(longest_run(k), out.dtype)
    rad = product(a.mag, g * b.mag if b.rad is None else g * b.mag + b.rad)
    if a.rad is not None:
        rad = rad + product(a.rad, b.upper)
    if _may_underflow(run, a, b, out.dtype):
        terms = product((a.upper != 0).double(), (b.upper != 0).double())
        rad = rad + tiny(out.dtype) * terms
    return _finite(out, rad)


@rule("sum")
def _sum(run: Any, operation: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    if not is_float(x):
        return operation(x, *args, **kwargs)
    x = as_ball(x)
    out = total(x.mid, *args, **kwargs)
    g = gamma(longest_total(x.mid, args[0] if args else None), out.dtype)
    return _finite(out, total(g * x.mag if x.rad is None else g * x.mag + x.rad, *args))


@rule("scatter")
def _scatter(run: Any, operation: Any, x: Any, dim: int, index: Tensor, value: Any) -> Ball:
    x, value = as_ball(x), as_ball(value) if is_float(value) else value
    if not isinstance(value, Ball):
        radius = x.radius().scatter(dim, index, 0.0)
        return Ball(operation(x.mid, dim, index, value), radius)
    radius = x.radius().scatter(dim, index, value.radius())
    return Ball(operation(x.mid, dim, index, value.mid), radius)


@rule("scatter_add", "index_put", "_unsafe_index_put")
def _accumulate(run: Any, operation: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    if not is_float(x):
        return operation(x, *map(mid_of, args), **kwargs)
    x, balls = as_ball(x), [as_ball(a) if is_float(a) else a for a in args]

    def apply(start: Tensor, part: Callable[[Ball], Tensor]) -> Tensor:
        return operation(start, *(part(a) if isinstance(a, Ball) else a for a in balls), **kwargs)

    out = apply(x.mid, lambda a: a.mid)
    # Entries may meet: at most `count` terms are added up in any place.
    count = apply(torch.zeros_like(x.mag), lambda a: torch.ones_like(a.mag))
    terms = int(count.max()) if count.numel() else 0
    rad = apply(x.radius(), lambda a: a.radius())
    if terms > 1 or bool((x.mag * (count != 0)).any()):
        rad = rad + gamma(terms, out.dtype) * apply(x.mag, lambda a: a.mag)
    return _finite(out, rad)
