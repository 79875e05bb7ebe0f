"""A machine that runs recorded programs on python-flint's real balls, at any precision.

Elementary operations are carried out by Arb, ball by ball; operations that only move entries are
carried out by torch itself, on the positions of the entries. Whatever branches on a value (ReLU,
max, comparisons) is refused: on a ball it has no single answer.

python-flint is optional: this file is imported only where an interval proof is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from flint import arb
from torch import Tensor

from morsescape.hessian.balls import Ball, NoErrorRule

Array = np.ndarray  # of arb objects

_MOVES = frozenset(
    """view _unsafe_view reshape permute transpose t expand slice select squeeze unsqueeze alias
    detach gather flip diagonal repeat clone contiguous index_select movedim unfold roll index
    _reshape_alias view_copy expand_copy permute_copy slice_copy select_copy squeeze_copy t_copy
    transpose_copy unsqueeze_copy diagonal_copy alias_copy detach_copy lift_fresh_copy
    cat stack split split_with_sizes unbind slice_scatter select_scatter diagonal_scatter copy
    _to_copy as_strided constant_pad_nd tril triu""".split()
)
_FILLS = frozenset("zeros_like ones_like full_like new_zeros new_ones new_full fill".split())
_ONE = arb(1)


def _power(x: arb, n: Any) -> arb:
    exponent = n if isinstance(n, arb) else arb(n)
    whole = exponent.unique_fmpz()
    if whole is None or abs(whole) > 64:
        return x**exponent  # exp(y log x): nothing is known where x may be 0
    # By multiplication, which takes any x. An even power of a ball around 0 is not negative, but
    # the wider ball is right too.
    out = _ONE
    for _ in range(abs(int(whole))):
        out = out * x
    return out if whole >= 0 else _ONE / out


_UNARY: dict[str, Callable[[arb], arb]] = {
    "neg": lambda x: -x,
    "exp": arb.exp,
    "expm1": arb.expm1,
    "log": arb.log,
    "log1p": arb.log1p,
    "sqrt": arb.sqrt,
    "rsqrt": lambda x: _ONE / x.sqrt(),
    "reciprocal": lambda x: _ONE / x,
    "sin": arb.sin,
    "cos": arb.cos,
    "tanh": arb.tanh,
    "sinh": arb.sinh,
    "cosh": arb.cosh,
    "atan": arb.atan,
    "erf": arb.erf,
    "sigmoid": lambda x: _ONE / (_ONE + (-x).exp()),
}
_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "pow": _power,
}


def balls(x: Tensor | Ball | Array) -> Array:
    """The entries as balls; those of a tensor are exact, a constant brings its own rounding."""
    if isinstance(x, np.ndarray):
        return x
    mid, rad = (x.mid, x.radius()) if isinstance(x, Ball) else (x, torch.zeros_like(x))
    pairs = zip(mid.detach().reshape(-1).tolist(), rad.reshape(-1).tolist(), strict=True)
    out = np.empty(mid.numel(), dtype=object)
    for k, (centre, radius) in enumerate(pairs):
        out[k] = arb(float(centre), float(radius))
    return out.reshape(tuple(mid.shape))


class ArbMachine:
    """Carries out aten operations on arrays of arb; integers and booleans stay tensors."""

    bounded = True

    def __call__(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The operation's result, an array of arb wherever real numbers are in play."""
        name = target.overloadpacket.__name__
        if not _any_floats((args, tuple(kwargs.values()))):
            return target(*args, **kwargs)  # integers and shapes
        if name in _MOVES:
            return _move(target, args, kwargs)
        if name in _FILLS and not (name == "fill" and _any_floats(args[1:])):
            return target(*_emptied(args), **kwargs)
        if name in _UNARY:
            return _map(_UNARY[name], balls(args[0]))
        if name in ("add", "sub"):
            return _sum_of_two(name, args[0], args[1], kwargs.get("alpha", 1))
        if name in _BINARY:
            pair = _operand(args[0]), _operand(args[1])
            return _array(np.frompyfunc(_BINARY[name], 2, 1)(*pair))
        if name == "where" and isinstance(args[0], Tensor):  # a condition on shapes, not on balls
            return _array(np.where(args[0].numpy(), *(_operand(a) for a in args[1:3])))
        if name in ("mm", "bmm"):
            return _array(np.matmul(balls(args[0]), balls(args[1])))
        if name == "sum":
            return _sum(balls(args[0]), *args[1:3])
        if name == "logsumexp":
            total = _sum(_map(arb.exp, balls(args[0])), *args[1:3])
            return _map(arb.log, total)
        raise NoErrorRule(name)


def _map(function: Callable[[arb], arb], x: Array) -> Array:
    return _array(np.frompyfunc(function, 1, 1)(x))


def _sum_of_two(name: str, a: Any, b: Any, alpha: Any) -> Array:
    second = _operand(b) if alpha == 1 else _operand(b) * arb(alpha)
    return _array(_operand(a) + second if name == "add" else _operand(a) - second)


def _sum(x: Array, dims: Any = None, keepdim: bool = False) -> Array:
    axes: Sequence[int] = range(x.ndim) if not dims and dims != 0 else dims
    axes = [axes] if isinstance(axes, int) else axes
    for axis in sorted((d % x.ndim for d in axes), reverse=True):
        x = _array(np.sum(x, axis=axis, keepdims=keepdim))
    return x


def _operand(x: Any) -> Any:
    return balls(x) if isinstance(x, Tensor | Ball | np.ndarray) else arb(x)


def _array(x: Any) -> Array:
    """Numpy turns arrays of no dimension into bare objects; here they stay arrays."""
    if isinstance(x, np.ndarray):
        return x
    out = np.empty((), dtype=object)
    out[()] = x
    return out


def _any_floats(part: Any) -> bool:
    """Whether there is a ball, or a constant tensor of the function, which becomes one."""
    if isinstance(part, list | tuple):
        return any(_any_floats(p) for p in part)
    if isinstance(part, Tensor):
        return part.is_floating_point()
    return isinstance(part, Ball | np.ndarray)


def _emptied(args: Any) -> tuple[Any, ...]:
    return tuple(
        torch.empty(_shape(a)).double() if isinstance(a, Ball | np.ndarray) else a for a in args
    )


def _shape(x: Ball | Array) -> tuple[int, ...]:
    return tuple(x.mid.shape) if isinstance(x, Ball) else x.shape


def _move(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Let torch move the positions, then fetch the entries. Position 0 is an exact zero."""
    pool: list[Array] = [balls(torch.zeros(1))]
    count = 1

    def positions(part: Any) -> Any:
        nonlocal count
        if isinstance(part, list | tuple):
            return type(part)(positions(p) for p in part)
        floats = isinstance(part, Tensor) and part.is_floating_point()
        if not (floats or isinstance(part, Ball | np.ndarray)):
            return part
        entries = balls(part)
        numbers = torch.arange(count, count + entries.size).reshape(entries.shape)
        pool.append(entries.reshape(-1))
        count += entries.size
        return numbers

    kwargs = {k: v for k, v in kwargs.items() if k not in ("dtype", "memory_format")}
    moved = target(*positions(args), **kwargs)
    entries = np.concatenate(pool)
    if isinstance(moved, list | tuple):
        return [_array(entries[m.numpy()]) for m in moved]
    return _array(entries[moved.numpy()])
