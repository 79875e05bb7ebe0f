"""A machine that runs recorded programs on numbers of twice the precision.

It knows what the gradients of fully connected and convolutional networks are made of: with ReLU,
tanh, sigmoid, softplus, GELU or SiLU, pooling, cross-entropy or squared error. Anything else is
refused by name (`NoErrorRule`), and so is a comparison that rounding could turn.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from morsescape.rounding.balls import SPREAD, NoErrorRule, Rounded, of_integers
from morsescape.rounding.constants import constant_pair
from morsescape.rounding.double import (
    Double,
    erf,
    exp,
    log_from_1,
    logsumexp,
    matrix_product,
    select,
    sigmoid,
    sqrt,
    tanh,
)  # fmt: skip
from morsescape.rounding.floats import holds

aten = torch.ops.aten

_MOVES = frozenset(
    """view _unsafe_view reshape t transpose permute slice select squeeze unsqueeze expand gather
    clone detach alias flip contiguous lift_fresh slice_scatter select_scatter cat stack unbind
    split split_with_sizes index _unsafe_index index_select diagonal roll repeat unfold
    constant_pad_nd""".split()
)
_OVERWRITES = frozenset(("slice_scatter", "select_scatter"))
_JOINS = _OVERWRITES | {"cat", "stack"}
_FILLS = frozenset(
    """new_zeros new_ones zeros_like ones_like full_like new_full fill
    _new_zeros_with_same_feature_meta""".split()
)
_LARGEST = 2**53  # integers up to here are numbers of float64


class DoubleMachine:
    """Carries out aten operations on `Double`; integers and exact constants stay tensors."""

    bounded = False

    def __init__(self, digits: int = 100) -> None:
        """Products of matrices are off by about 2^-digits of their largest terms."""
        self.digits = digits

    def __call__(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The operation's result, a `Double` wherever something may be rounded."""
        name = name_of(target)
        if _rounded_before(args):
            raise NoErrorRule(f"{name} of numbers that are not float64")
        if name in _FILLS and not (name == "fill" and _has_double(args[1:])):
            return _filled(target, args, kwargs)
        if name in ("empty_like", "new_empty") and isinstance(args[0], Double):
            return _unset(target, args, kwargs)
        if name in _MOVES:
            return _move(target, args, kwargs)
        if not _floats((args, tuple(kwargs.values()))):
            return of_integers(target, target(*args, **kwargs), args)
        if name in ("mm", "bmm") and len(args) == 2 and not kwargs:
            return matrix_product(args[0], args[1], self.digits)
        if name not in _RULES:
            raise NoErrorRule(name)
        try:
            _SIGNATURES[name].bind(*args, **kwargs)
        except TypeError:  # a variant of the operation for which there is no rule
            raise NoErrorRule(name) from None
        return _RULES[name](*args, **kwargs)


def _floats(part: Any) -> bool:
    if isinstance(part, list | tuple):
        return any(_floats(p) for p in part)
    return isinstance(part, Double) or (isinstance(part, Tensor) and part.is_floating_point())


def _rounded_before(part: Any) -> bool:
    """Whether there is a tensor of another floating type, or of integers beyond 2^53."""
    if isinstance(part, list | tuple):
        return any(_rounded_before(p) for p in part)
    if not isinstance(part, Tensor):
        return False
    if part.is_floating_point() or part.is_complex():
        return part.dtype != torch.float64
    wide = part.dtype in (torch.int64, torch.uint64)
    return wide and bool(((part > _LARGEST) | (part < -_LARGEST)).any())


def _has_double(part: Any) -> bool:
    if isinstance(part, list | tuple):
        return any(_has_double(p) for p in part)
    return isinstance(part, Double)


def _filled(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    out: Tensor = target(*(a.hi if isinstance(a, Double) else a for a in args), **kwargs)
    for value in args[1:]:
        step = isinstance(value, Tensor) and value.is_floating_point() > out.is_floating_point()
        if step or (isinstance(value, int | float) and not holds(out.dtype, value)):
            raise NoErrorRule(f"{name_of(target)} with a number that {out.dtype} cannot hold")
    return out


def _unset(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Double:
    """Whatever the memory held: nothing is known until it is written over."""
    zero = torch.zeros_like(target(args[0].hi, *args[1:], **kwargs))
    if zero.dtype != torch.float64:
        raise NoErrorRule(name_of(target))
    return Double(zero, zero, torch.full_like(zero, torch.inf))


def _move(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Let torch move each of hi, lo and rad alike."""
    if target in (aten.view.default, aten._unsafe_view.default):
        target = aten.reshape.default
    elif target is aten.view.dtype:
        raise NoErrorRule("a view of bits as another type")
    name = name_of(target)
    if name in _OVERWRITES and not _floats(args[0]) and _floats(args[1]):
        raise NoErrorRule("rounding to integers")
    if not _has_double(args):
        return target(*args, **kwargs)
    if name in _JOINS:  # integers among the values are numbers, not places
        args = tuple(_values(a, k) for k, a in enumerate(args))
    if target is aten.constant_pad_nd.default and any(args[2:]):
        raise NoErrorRule("padding by a number that is not 0")

    def part_of(part: Any, name: str) -> Any:
        if isinstance(part, list | tuple):
            return type(part)(part_of(p, name) for p in part)
        if isinstance(part, Tensor) and part.is_floating_point():
            part = _double(part)
        return getattr(part, name) if isinstance(part, Double) else part

    moved = [target(*part_of(args, part), **kwargs) for part in ("hi", "lo", "rad")]
    if isinstance(moved[0], list | tuple):
        return [Double(*parts) for parts in zip(*moved, strict=True)]
    return Double(*moved)


def name_of(target: Any) -> str:
    """Of an aten operation, whatever its variant."""
    name: str = target.overloadpacket.__name__
    return name


def _values(part: Any, place: int) -> Any:
    """The tensors among the first two arguments as numbers."""
    if isinstance(part, list | tuple) and place == 0:
        return type(part)(_double(p) for p in part)
    return _double(part) if isinstance(part, Tensor) and place < 2 else part


def _double(x: Any) -> Double:
    if isinstance(x, Double):
        return x
    if isinstance(x, Tensor):
        return constant_pair(x) or _exact(x)
    if isinstance(x, complex) or not holds(torch.float64, x) or math.isinf(x):
        raise NoErrorRule(f"the number {x}, which float64 cannot hold")
    out = Double.exact(torch.tensor(float(x), dtype=torch.float64))
    return Double(out.hi, out.lo, SPREAD * out.hi.abs()) if isinstance(x, Rounded) else out


def _exact(x: Tensor) -> Double:
    """A constant; of one that is NaN nothing is known. Balls know more of what is infinite."""
    out = Double.exact(x)
    if bool(out.hi.sum().isfinite()):
        return out
    if bool(out.hi.isinf().any()):
        raise NoErrorRule("numbers that are infinite")
    return Double(out.hi, out.lo, out.rad.masked_fill(out.hi.isnan(), torch.inf))


def _plus(sign: int) -> Callable[..., Double]:
    def rule(a: Any, b: Any, alpha: Any = 1) -> Double:
        second = _double(b) if sign * alpha == 1 else _double(sign * alpha) * _double(b)
        return _double(a) + second

    return rule


def _sum(x: Any, dims: Any = None, keepdim: bool = False) -> Double:
    x = _double(x)
    if x.hi.ndim == 0:
        return x
    dims = dims or range(x.hi.ndim)
    for dim in sorted((d % x.hi.ndim for d in dims), reverse=True):
        x = x.sum(dim)
        x = x.each(lambda t, d=dim: t.unsqueeze(d)) if keepdim else x
    return x


def _logsumexp(x: Any, dims: Any, keepdim: bool = False) -> Double:
    if len(dims) != 1:
        raise NoErrorRule("logsumexp over several dimensions")
    out = logsumexp(_double(x), dims[0])
    return out.each(lambda t: t.unsqueeze(dims[0])) if keepdim else out


def _var(x: Any, dims: Any = None, correction: Any = 1, keepdim: bool = False) -> Double:
    """Σ (x - mean)² / (n - correction)."""
    x = _double(x)
    axes = list(range(x.hi.ndim)) if not dims else list(dims)
    n = math.prod(x.hi.shape[d] for d in axes)
    off = x - _sum(x, axes, True) / _double(n)
    return _sum(off * off, axes, keepdim) / _double(n - (1 if correction is None else correction))


def _log1p(x: Any) -> Double:
    x = _double(x)
    if bool((x.hi < 0).any()):
        raise NoErrorRule("log1p of negative numbers")
    return log_from_1(Double.exact(torch.ones_like(x.hi)) + x)


def _power(x: Any, exponent: Any) -> Double:
    if not isinstance(exponent, int | float) or exponent not in (1, 2, 3):
        raise NoErrorRule(f"pow {exponent}")
    out = x = _double(x)
    for _ in range(int(exponent) - 1):
        out = out * x
    return out


def _compared(target: Any) -> Callable[..., Tensor]:
    """Refused where rounding could turn the answer."""

    def rule(a: Any, b: Any) -> Tensor:
        off = _double(a) - _double(b)
        apart = off.hi.abs() > 2 * (off.lo.abs() + off.rad)  # not so for NaN
        if not bool((apart | (off.upper == 0)).all()):
            raise NoErrorRule("a comparison of what is nearly equal")
        answer: Tensor = target(off.hi, 0.0)
        return answer

    return rule


def _scatter_add(x: Any, dim: int, index: Tensor, source: Any) -> Double:
    start, source = _double(x), _double(source)
    hits = torch.zeros_like(start.hi).scatter_add(dim, index, torch.ones_like(source.hi))
    if bool(start.mag.any()) or bool(start.rad.any()) or bool((hits > 1).any()):
        raise NoErrorRule("scatter_add of entries that meet")
    zero = torch.zeros_like(start.hi)
    return source.each(lambda t: zero.scatter_add(dim, index, t))


def _relu(x: Any) -> Double:
    """Where the sign is in doubt the radius covers both."""
    x = _double(x)
    above, zero, off = x.hi > 0, torch.zeros_like(x.hi), x.lo.abs() + x.rad
    below = -x.hi > 2 * off
    rad = torch.where(above, x.rad, torch.where(below | (off == 0), 0.0, 2 * off))
    return Double(torch.where(above, x.hi, zero), torch.where(above, x.lo, zero), rad)


def _cast(x: Any, dtype: Any = None, **kwargs: Any) -> Double:
    if dtype not in (None, torch.float64):
        raise NoErrorRule(f"conversion to {dtype}")
    return _double(x)


def _copy(x: Any, source: Any, *more: Any) -> Double:
    if isinstance(x, Tensor) and x.dtype != torch.float64:
        raise NoErrorRule("rounding to integers")
    shape = (x.hi if isinstance(x, Double) else x).shape
    return _double(source).each(lambda t: t.expand(shape).clone())


def _largest(x: Any, dims: Any = (), keepdim: bool = False) -> Double:
    """To rounding: which entry is the largest may be in doubt."""
    x = _double(x)
    off = (x.lo.abs() + x.rad).amax(dims, keepdim) * (1 + 2.0**-50)
    top = x.hi.amax(dims, keepdim)
    return Double(top, torch.zeros_like(top), off)


def _maxima(x: Any, kernel: list[int], *more: Any) -> tuple[Double, Tensor]:
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


def _maxima_back(grad: Any, x: Any, kernel: list[int], *more: Any) -> Double:
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


def _average(x: Any, kernel: list[int], *more: Any) -> Double:
    _check_pooling(kernel, *more)
    (kh, kw), x = kernel * (2 // len(kernel)), _double(x)
    h, w = x.hi.shape[-2] // kh, x.hi.shape[-1] // kw
    windows = x.each(
        lambda t: t[..., : h * kh, : w * kw].unflatten(-1, (w, kw)).unflatten(-3, (h, kh))
    )
    return windows.sum(-1).sum(-2) / _double(float(kh * kw))


def _average_back(grad: Any, x: Any, kernel: list[int], *more: Any) -> Double:
    _check_pooling(kernel, *more)
    (kh, kw), share = kernel * (2 // len(kernel)), _double(grad)
    share = share / _double(float(kernel[0] * kernel[-1]))
    size = (x.hi if isinstance(x, Double) else x).shape

    def spread(t: Tensor) -> Tensor:
        t = t.repeat_interleave(kh, -2).repeat_interleave(kw, -1)
        return torch.nn.functional.pad(t, (0, size[-1] - t.shape[-1], 0, size[-2] - t.shape[-2]))

    return share.each(spread)


_RULES: dict[str, Callable[..., Any]] = {
    "add": _plus(1),
    "sub": _plus(-1),
    "neg": lambda x: -_double(x),
    "mul": lambda a, b: _double(a) * _double(b),
    "div": lambda a, b: _double(a) / _double(b),
    "sum": _sum,
    "exp": lambda x: exp(_double(x)),
    "tanh": lambda x: tanh(_double(x)),
    "sigmoid": lambda x: sigmoid(_double(x)),
    "erf": lambda x: erf(_double(x)),
    "log1p": _log1p,
    "sqrt": lambda x: sqrt(_double(x)),
    "rsqrt": lambda x: _double(1.0) / sqrt(_double(x)),
    "reciprocal": lambda x: _double(1.0) / _double(x),
    "var": _var,
    "pow": _power,
    "gt": _compared(torch.gt),
    "ge": _compared(torch.ge),
    "lt": _compared(torch.lt),
    "le": _compared(torch.le),
    "where": lambda condition, a, b: select(condition, _double(a), _double(b)),
    "logsumexp": _logsumexp,
    "scatter_add": _scatter_add,
    "relu": _relu,
    "_to_copy": _cast,
    "copy": _copy,
    "amax": _largest,
    "max_pool2d_with_indices": _maxima,
    "max_pool2d_with_indices_backward": _maxima_back,
    "avg_pool2d": _average,
    "avg_pool2d_backward": _average_back,
}
_SIGNATURES = {name: inspect.signature(rule) for name, rule in _RULES.items()}
