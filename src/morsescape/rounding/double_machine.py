"""A machine that runs recorded programs on numbers of twice the precision.

It knows what the gradients of fully connected and convolutional networks are made of: with ReLU,
tanh, sigmoid, softplus, GELU or SiLU, pooling, cross-entropy or squared error. Anything else is
refused by name (`NoErrorRule`), and so is a comparison that rounding could turn.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, no_type_check  # what runs for every argument is not checked

import torch
from torch import Tensor

from morsescape.rounding import functions, operations
from morsescape.rounding.ball_rules import on_any_layout
from morsescape.rounding.balls import SPREAD, NoErrorRule, Rounded, of_integers
from morsescape.rounding.constants import constant_pair
from morsescape.rounding.double import (
    Double,
    logsumexp,
    matrix_product,
    one_over,
    select,
)  # fmt: skip
from morsescape.rounding.enclose import carry_out, refuse_complex
from morsescape.rounding.floats import holds, needs_rounding
from morsescape.rounding.nests import leaves_of
from morsescape.rounding.operations import DOUBLE, OPERATIONS, Kind, derive, operation

__all__ = ["DoubleMachine", "functions"]  # functions: their rules are registered
aten = torch.ops.aten
rule = partial(operations.rule, DOUBLE)
_LARGEST = 2**53  # integers up to here are numbers of float64


class DoubleMachine:
    """Carries out aten operations on `Double`; integers and exact constants stay tensors."""

    bounded = False

    def __init__(self, digits: int = 100) -> None:
        """Products of matrices are off by about 2^-digits of their largest terms."""
        self.digits = digits

    def __call__(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The operation's result, a `Double` wherever something may be rounded."""
        if not (_floats((args, kwargs)) or _fills(target)):
            return of_integers(target, refuse_complex(target(*args, **kwargs), args), args)
        return carry_out(DOUBLE, self, target, args, kwargs)

    @staticmethod
    def value(x: Any) -> Double:
        """An operand."""
        return _double(x)


@no_type_check
def _floats(part: Any) -> bool:
    return any(
        isinstance(x, Double) or (isinstance(x, Tensor) and x.is_floating_point())
        for x in leaves_of(part)
    )


@no_type_check
def _fills(target: Any) -> bool:
    """With a number, which an integer tensor cannot hold; torch would round it."""
    return operation(target.overloadpacket.__name__).kind is Kind.SPREADS


@no_type_check
def _has_double(part: Any) -> bool:
    return any(isinstance(x, Double) for x in leaves_of(part))


@no_type_check
def _double(x: Any) -> Double:
    """An operand as it is, or as what torch holds of it.

    Raises:
        NoErrorRule: a tensor of another floating type, or numbers that float64 cannot hold.
    """
    if isinstance(x, Double):
        return x
    if isinstance(x, Tensor):
        return constant_pair(x) or _exact(x)
    if isinstance(x, complex) or not holds(torch.float64, x) or math.isinf(x):
        raise NoErrorRule(f"the number {x}, which float64 cannot hold")
    out = Double.exact(torch.tensor(float(x), dtype=torch.float64))
    return Double(out.hi, out.lo, SPREAD * out.hi.abs()) if isinstance(x, Rounded) else out


@no_type_check
def _exact(x: Tensor) -> Double:
    """A constant; of one that is NaN nothing is known. Balls know more of what is infinite."""
    _check_type(x)
    out = Double.exact(x)
    if bool(out.hi.sum().isfinite()):
        return out
    if bool(out.hi.isinf().any()):
        raise NoErrorRule("numbers that are infinite")
    return Double(out.hi, out.lo, out.rad.masked_fill(out.hi.isnan(), torch.inf))


@no_type_check
def _check_type(x: Tensor) -> None:
    if x.is_floating_point() or x.is_complex():
        if x.dtype != torch.float64:
            raise NoErrorRule("numbers that are not float64")
    elif needs_rounding(x, torch.float64) and bool(((x > _LARGEST) | (x < -_LARGEST)).any()):
        raise NoErrorRule("integers that are not float64 numbers")


# -- what rounds nothing ------------------------------------------------------------------------


def _move(run: Any, target: Any, *args: Any, **kwargs: Any) -> Any:
    """Let torch move each of hi, lo and rad alike."""
    k, target = OPERATIONS[target.overloadpacket.__name__].values, on_any_layout(target)
    if k == 2 and not _floats(args[0]):
        raise NoErrorRule("rounding to integers")
    if not _has_double(args):
        return target(*args, **kwargs)
    parts = _parts(args[:k])
    moved = [target(*values, *args[k:], **kwargs) for values in parts]
    if isinstance(moved[0], list | tuple):
        return [Double(*each) for each in zip(*moved, strict=True)]
    return Double(*moved)


@no_type_check
def _parts(values: Any) -> tuple[Any, Any, Any]:
    """hi, lo and rad of values in their nest of lists."""
    if isinstance(values, list | tuple):
        parts = zip(*map(_parts, values), strict=True)
        return tuple(type(values)(part) for part in parts)
    x = _double(values)
    return x.hi, x.lo, x.rad


derive(DOUBLE, _move, Kind.MOVES, Kind.CHOOSES)


@rule("clone")
def _clone(run: Any, target: Any, x: Any, **kwargs: Any) -> Any:
    return x  # nothing is written in place


@rule("constant_pad_nd")
def _pad(run: Any, target: Any, x: Any, pad: list[int], value: Any = 0) -> Double:
    if value:
        raise NoErrorRule("padding by a number that is not 0")
    return _double(x).each(lambda t: target(t, pad, 0.0))


@rule("copy")
def _copy(run: Any, target: Any, x: Any, source: Any, *more: Any) -> Double:
    if isinstance(x, Tensor) and x.dtype != torch.float64:
        raise NoErrorRule("rounding to integers")
    shape = (x.hi if isinstance(x, Double) else x).shape
    return _double(source).each(lambda t: t.expand(shape).clone())


def _filled(run: Any, target: Any, *args: Any, **kwargs: Any) -> Tensor:
    if target.overloadpacket is aten.fill and _has_double(args[1:]):
        raise NoErrorRule("fill")
    out: Tensor = target(*(a.hi if isinstance(a, Double) else a for a in args), **kwargs)
    for value in args[1:]:
        step = isinstance(value, Tensor) and value.is_floating_point() > out.is_floating_point()
        if step or (isinstance(value, int | float) and not holds(out.dtype, value)):
            raise NoErrorRule(f"a fill with a number that {out.dtype} cannot hold")
    return out


derive(DOUBLE, _filled, Kind.FILLS, Kind.SPREADS)


@rule("empty_like", "new_empty")
def _unset(run: Any, target: Any, x: Any, *args: Any, **kwargs: Any) -> Double:
    """Whatever the memory held: nothing is known until it is written over."""
    zero = torch.zeros_like(target(x.hi, *args, **kwargs))
    if zero.dtype != torch.float64:
        raise NoErrorRule(target.overloadpacket.__name__)
    return Double(zero, zero, torch.full_like(zero, torch.inf))


@rule("_to_copy")
def _cast(run: Any, target: Any, x: Any, dtype: Any = None, **kwargs: Any) -> Double:
    if dtype not in (None, torch.float64):
        raise NoErrorRule(f"conversion to {dtype}")
    return _double(x)


@rule("where")
def _where(run: Any, target: Any, condition: Any, a: Any, b: Any) -> Double:
    return select(condition, _double(a), _double(b))


# -- arithmetic ---------------------------------------------------------------------------------


@rule("add", "sub")
def _add(run: Any, target: Any, a: Any, b: Any, alpha: Any = 1) -> Double:
    factor = alpha if target.overloadpacket is aten.add else -alpha
    return _double(a) + (_double(b) if factor == 1 else _double(factor) * _double(b))


@rule("neg")
def _neg(run: Any, target: Any, x: Any) -> Double:
    return -_double(x)


@rule("mul")
def _mul(run: Any, target: Any, a: Any, b: Any) -> Double:
    return _double(a) * _double(b)


@rule("div")
def _div(run: Any, target: Any, a: Any, b: Any) -> Double:
    return _double(a) / _double(b)


@rule("reciprocal")
def _reciprocal(run: Any, target: Any, x: Any) -> Double:
    return one_over(_double(x))


@rule("mm", "bmm")
def _matmul(run: Any, target: Any, a: Any, b: Any) -> Double:
    for x in (a, b):
        if isinstance(x, Tensor):
            _check_type(x)
    return matrix_product(a, b, run.digits)


@rule("sum")
def _sum(run: Any, target: Any, x: Any, dims: Any = None, keepdim: bool = False) -> Double:
    x = _double(x)
    if x.hi.ndim == 0:
        return x
    dims = dims or range(x.hi.ndim)
    for dim in sorted((d % x.hi.ndim for d in dims), reverse=True):
        x = x.sum(dim)
        x = x.each(lambda t, d=dim: t.unsqueeze(d)) if keepdim else x
    return x


@rule("logsumexp")
def _logsumexp(run: Any, target: Any, x: Any, dims: Any, keepdim: bool = False) -> Double:
    if len(dims) != 1:
        raise NoErrorRule("logsumexp over several dimensions")
    out = logsumexp(_double(x), dims[0])
    return out.each(lambda t: t.unsqueeze(dims[0])) if keepdim else out


@rule("var")
def _var(run: Any, target: Any, x: Any, dims: Any = None, correction: Any = 1,
         keepdim: bool = False) -> Double:  # fmt: skip
    """Σ (x - mean)² / (n - correction)."""
    x = _double(x)
    axes = list(range(x.hi.ndim)) if not dims else list(dims)
    n = math.prod(x.hi.shape[d] for d in axes)
    off = x - _sum(run, target, x, axes, True) / _double(n)
    less = 1 if correction is None else correction
    return _sum(run, target, off * off, axes, keepdim) / _double(n - less)


@rule("pow")
def _power(run: Any, target: Any, x: Any, exponent: Any) -> Double:
    if not isinstance(exponent, int | float) or exponent not in (1, 2, 3):
        raise NoErrorRule(f"pow {exponent}")
    out = x = _double(x)
    for _ in range(int(exponent) - 1):
        out = out * x
    return out


@rule("gt", "ge", "lt", "le")
def _compare(run: Any, target: Any, a: Any, b: Any) -> Tensor:
    """Refused where rounding could turn the answer."""
    off = _double(a) - _double(b)
    apart = off.hi.abs() > 2 * (off.lo.abs() + off.rad)  # not so for NaN
    if not bool((apart | (off.upper == 0)).all()):
        raise NoErrorRule("a comparison of what is nearly equal")
    answer: Tensor = getattr(torch, target.overloadpacket.__name__)(off.hi, 0.0)
    return answer


@rule("scatter_add")
def _scatter_add(run: Any, target: Any, x: Any, dim: int, index: Tensor, source: Any) -> Double:
    start, source = _double(x), _double(source)
    hits = torch.zeros_like(start.hi).scatter_add(dim, index, torch.ones_like(source.hi))
    if bool(start.mag.any()) or bool(start.rad.any()) or bool((hits > 1).any()):
        raise NoErrorRule("scatter_add of entries that meet")
    zero = torch.zeros_like(start.hi)
    return source.each(lambda t: zero.scatter_add(dim, index, t))


@rule("relu")
def _relu(run: Any, target: Any, x: Any) -> Double:
    """Where the sign is in doubt the radius covers both."""
    x = _double(x)
    above, zero, off = x.hi > 0, torch.zeros_like(x.hi), x.lo.abs() + x.rad
    below = -x.hi > 2 * off
    rad = torch.where(above, x.rad, torch.where(below | (off == 0), 0.0, 2 * off))
    return Double(torch.where(above, x.hi, zero), torch.where(above, x.lo, zero), rad)


@rule("amax")
def _largest(run: Any, target: Any, x: Any, dims: Any = (), keepdim: bool = False) -> Double:
    """The largest by its first half, then by its second; maxima differ by no more than entries."""
    x = _double(x)
    top = x.hi.amax(dims, True)
    low = torch.where(x.hi == top, x.lo, -torch.inf).amax(dims, True)
    over = ((x.hi - top) + (x.lo - low)).clamp_min(0.0)  # of a pair whose halves overlap
    off = (x.rad.amax(dims, keepdim) + over.amax(dims, keepdim)) * (1 + 2.0**-50)
    return Double(x.hi.amax(dims, keepdim), low.reshape(off.shape), off)


@rule("max_pool2d_with_indices")
def _maxima(run: Any, target: Any, x: Any, kernel: list[int], *more: Any) -> tuple[Double, Tensor]:
    """The entry with the largest float64 value; the radius covers others that might be larger."""
    _check_windows(kernel, *more)
    x = _double(x)
    top, places = aten.max_pool2d_with_indices(x.hi, kernel)
    flat = places.flatten(-2)
    rest = x.hi.flatten(-2).scatter(-1, flat, -torch.inf).view(x.hi.shape)
    second, _ = aten.max_pool2d_with_indices(rest, kernel)
    off, _ = aten.max_pool2d_with_indices(x.lo.abs() + x.rad, kernel)
    found = x.each(lambda t: t.flatten(-2).gather(-1, flat).view(places.shape))
    sure = top - second > 4 * off + 2.0**-50 * top.abs()
    return Double(top, found.lo, torch.where(sure, found.rad, found.rad + 3 * off)), places


@rule("max_pool2d_with_indices_backward")
def _maxima_back(run: Any, target: Any, grad: Any, x: Any, kernel: list[int], *more: Any) -> Double:
    *options, places = more
    _check_windows(kernel, *options)
    size, flat = (x.hi if isinstance(x, Double) else x).shape, places.flatten(-2)
    zero = torch.zeros(size, dtype=torch.float64).flatten(-2)
    return _double(grad).each(lambda t: zero.scatter(-1, flat, t.flatten(-2)).view(size))


def _check_windows(
    kernel: list[int], stride: Any = (), padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False,
) -> None:  # fmt: skip
    spread = any(d != 1 for d in dilation) if isinstance(dilation, list | tuple) else dilation != 1
    if spread:
        raise NoErrorRule("pooling with dilation")
    _check_pooling(kernel, stride, padding, ceil_mode)


def _check_pooling(
    kernel: list[int], stride: Any = (), padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: Any = None,
) -> None:  # fmt: skip
    padded = any(padding) if isinstance(padding, list | tuple) else padding
    meet = stride and list(stride) * (2 // len(stride)) != list(kernel) * (2 // len(kernel))
    if meet or padded or ceil_mode or divisor_override is not None:
        raise NoErrorRule("pooling with windows that meet, are cut, padding or another divisor")


@rule("avg_pool2d")
def _average(run: Any, target: Any, x: Any, kernel: list[int], *more: Any) -> Double:
    _check_pooling(kernel, *more)
    (kh, kw), x = kernel * (2 // len(kernel)), _double(x)
    h, w = x.hi.shape[-2] // kh, x.hi.shape[-1] // kw
    windows = x.each(
        lambda t: t[..., : h * kh, : w * kw].unflatten(-1, (w, kw)).unflatten(-3, (h, kh))
    )
    return windows.sum(-1).sum(-2) / _double(float(kh * kw))


@rule("avg_pool2d_backward")
def _average_back(run: Any, target: Any, grad: Any, x: Any, kernel: list[int],
                  *more: Any) -> Double:  # fmt: skip
    _check_pooling(kernel, *more)
    (kh, kw), share = kernel * (2 // len(kernel)), _double(grad)
    share = share / _double(float(kernel[0] * kernel[-1]))
    size = (x.hi if isinstance(x, Double) else x).shape

    def spread(t: Tensor) -> Tensor:
        t = t.repeat_interleave(kh, -2).repeat_interleave(kw, -1)
        return torch.nn.functional.pad(t, (0, size[-1] - t.shape[-1], 0, size[-2] - t.shape[-2]))

    return share.each(spread)
