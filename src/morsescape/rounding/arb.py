"""A machine that runs recorded programs on python-flint's real balls, at any precision.

Elementary operations are carried out by Arb, ball by ball; operations that only move entries are
carried out by torch itself, on the positions of the entries. Whatever has no rule,
for these arguments, is refused by name: whatever branches on a value (ReLU, max, comparisons),
for on a ball it has no single answer, and whatever rounds to integers or to another type.

python-flint is optional: this file is imported only where an interval proof is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from flint import arb
from torch import Tensor

from morsescape.rounding import functions, operations
from morsescape.rounding.ball_rules import on_any_layout
from morsescape.rounding.balls import SPREAD, Ball, NoErrorRule, Rounded, as_ball, of_integers
from morsescape.rounding.enclose import carry_out
from morsescape.rounding.floats import holds
from morsescape.rounding.nests import leaves_of, mapped
from morsescape.rounding.operations import ARB, OPERATIONS, Kind, derive

__all__ = ["ArbMachine", "balls", "functions"]  # functions: their rules are registered
rule = partial(operations.rule, ARB)
Array = np.ndarray  # of arb objects; they stand for float64 tensors

_ONE = arb(1)


def balls(x: Tensor | Ball | Array) -> Array:
    """The entries as balls; those of a tensor are exact, a constant brings its own rounding."""
    if isinstance(x, np.ndarray):
        return x
    ball = as_ball(x)
    if ball.mid.is_complex():
        raise NoErrorRule("complex numbers")
    pair = ball.__dict__.get("pair")  # of twice the precision
    parts = (ball.mid, None, ball.rad) if pair is None else (pair.hi, pair.lo, pair.rad)
    out = np.empty(ball.mid.numel(), dtype=object)
    for part, place in zip(parts, ("mid", "low", "radius"), strict=True):
        for k, value in enumerate([] if part is None else part.detach().reshape(-1).tolist()):
            if place == "mid":
                out[k] = arb(int(value) if isinstance(value, bool) else value)  # whole ones exactly
            else:
                out[k] = out[k] + (arb(value) if place == "low" else arb(0, value))
    return out.reshape(tuple(ball.mid.shape))


class ArbMachine:
    """Carries out aten operations on arrays of arb; integers and booleans stay tensors."""

    bounded = True

    def __call__(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The operation's result, an array of arb wherever real numbers are in play."""
        if not _any_reals((args, kwargs)):  # integers, shapes: torch's are exact
            return of_integers(target, target(*args, **kwargs), args)
        return carry_out(ARB, self, target, args, kwargs)

    @staticmethod
    def map(function: Callable[[arb], arb], x: Any) -> Array:
        """A function of one ball, entry by entry."""
        _in_double(x)
        return _map(function, balls(x))


# -- what an argument is ------------------------------------------------------------------------


def _any_reals(part: Any) -> bool:
    """Whether there is a ball, or a constant tensor of the function, which becomes one."""
    return any(
        isinstance(x, Ball | np.ndarray)
        or (isinstance(x, Tensor) and (x.is_floating_point() or x.is_complex()))
        for x in leaves_of(part)
    )


def _operand(x: Any) -> Any:
    if isinstance(x, Tensor | Ball | np.ndarray):
        return balls(x)
    if isinstance(x, complex):
        raise NoErrorRule("complex numbers")
    x = int(x) if isinstance(x, bool) else x
    return arb(x, SPREAD * abs(x)) if isinstance(x, Rounded) else arb(x)


def _stand_in(x: Any) -> Any:
    """A tensor of the shape and type that x has in torch."""
    if isinstance(x, np.ndarray):
        return torch.zeros(x.shape, dtype=torch.float64)
    return x.mid if isinstance(x, Ball) else x


def _in_double(*operands: Any) -> None:
    """Refuse what torch would carry out in another type than float64."""
    first, *rest = map(_stand_in, operands)
    dtype = torch.result_type(first, rest[0]) if rest else first.dtype
    if dtype != torch.float64:
        raise NoErrorRule(f"arithmetic in {dtype}")


def _array(x: Any) -> Array:
    """Numpy turns arrays of no dimension into bare objects; here they stay arrays."""
    if isinstance(x, np.ndarray):
        return x
    out = np.empty((), dtype=object)
    out[()] = x
    return out


# -- moves --------------------------------------------------------------------------------------

_HARMLESS = frozenset(("memory_format", "implicit", "sparse_grad"))


def _move(run: Any, target: Any, *args: Any, **kwargs: Any) -> Any:
    """Let torch move the positions, then fetch the entries. Position 0 is an exact zero."""
    name = target.overloadpacket.__name__
    target, values = on_any_layout(target), OPERATIONS[name].values
    if not kwargs.keys() <= _HARMLESS or _any_reals(args[values:]):
        raise NoErrorRule(f"{name} at places that are not integers, or with options")
    if values == 2:
        _in_double(args[0])
    pool: list[Array] = [balls(torch.zeros(1))]
    count = 1

    def positions(part: Any) -> Tensor:
        nonlocal count
        entries = balls(part)
        numbers = torch.arange(count, count + entries.size).reshape(entries.shape)
        pool.append(entries.reshape(-1))
        count += entries.size
        return numbers

    shapes = mapped(_shown, args[:values])
    if not any(isinstance(a, np.ndarray) for a in leaves_of(args[:values])):  # constants: as torch
        return _constants(target(*shapes, *args[values:], **kwargs))
    moved = target(*mapped(positions, args[:values]), *args[values:], **kwargs)
    entries = np.concatenate(pool)
    if isinstance(moved, list | tuple):
        return [_array(entries[m.numpy()]) for m in moved]
    return _array(entries[moved.numpy()])


derive(ARB, _move, Kind.MOVES, Kind.CHOOSES)


def _shown(part: Any) -> Any:
    if isinstance(part, Ball) and part.rad is not None:
        raise NoErrorRule("moves of a constant that is rounded")
    return _stand_in(part)


def _constants(out: Any) -> Any:
    return mapped(lambda x: Ball(x) if x.is_floating_point() else x, out)


@rule("constant_pad_nd")
def _pad(run: Any, target: Any, x: Any, pad: list[int], value: Any = 0) -> Array:
    _in_double(x)
    border = _array(_operand(value)).reshape(1)
    entries = np.concatenate([balls(x).reshape(-1), border])
    places = torch.arange(entries.size - 1).reshape(_stand_in(x).shape)
    moved = torch.ops.aten.constant_pad_nd(places, pad, entries.size - 1)
    return _array(entries[moved.numpy()])


# -- fills and conversions ----------------------------------------------------------------------


def _fill(run: Any, target: Any, *args: Any, dtype: Any = None, **options: Any) -> Any:
    more = {} if dtype is None else {"dtype": dtype}
    return _constants(target(*map(_stand_in, args), **more, **options))


derive(ARB, _fill, Kind.FILLS)


@rule("full_like", "new_full")
def _full(run: Any, target: Any, x: Any, *more: Any, dtype: Any = None, **options: Any) -> Any:
    *size, value = more
    shape = tuple(size[0]) if size else _stand_in(x).shape
    dtype = dtype or _stand_in(x).dtype
    if dtype == torch.float64:
        return _broadcast(_operand(value), shape)
    if isinstance(value, Rounded) or not holds(dtype, value):
        raise NoErrorRule(f"a number that {dtype} cannot hold")
    return _constants(torch.full(shape, value, dtype=dtype))


@rule("fill", "copy")
def _overwrite(run: Any, target: Any, x: Any, source: Any, non_blocking: bool = False) -> Array:
    if _stand_in(x).dtype != torch.float64:
        raise NoErrorRule(f"conversion to {_stand_in(x).dtype}")
    return _broadcast(_operand(source), _stand_in(x).shape)


def _broadcast(x: Any, shape: Sequence[int]) -> Array:
    return np.array(np.broadcast_to(_array(x), tuple(shape)))


@rule("_to_copy", "convert_element_type")
def _cast(run: Any, target: Any, x: Any, dtype: Any = None, **options: Any) -> Any:
    if dtype is None or dtype == _stand_in(x).dtype:
        return x
    if dtype != torch.float64:
        raise NoErrorRule(f"conversion to {dtype}")
    return balls(x)


# -- arithmetic ---------------------------------------------------------------------------------


@rule("neg")
def _neg(run: Any, target: Any, x: Any) -> Array:
    return run.map(lambda ball: -ball, x)


@rule("reciprocal")
def _reciprocal(run: Any, target: Any, x: Any) -> Array:
    return run.map(lambda ball: _ONE / ball, x)


@rule("add", "sub")
def _add(run: Any, target: Any, a: Any, b: Any, alpha: Any = 1) -> Array:
    _in_double(a, b)
    sign = 1 if target.overloadpacket.__name__ == "add" else -1
    return _array(_operand(a) + sign * _operand(alpha) * _operand(b))


@rule("mul")
def _mul(run: Any, target: Any, a: Any, b: Any) -> Array:
    _in_double(a, b)
    return _array(_operand(a) * _operand(b))


@rule("div")
def _div(run: Any, target: Any, a: Any, b: Any) -> Array:
    _in_double(a, b)
    return _array(_operand(a) / _operand(b))


@rule("pow")
def _pow(run: Any, target: Any, x: Any, exponent: Any) -> Array:
    _in_double(x, exponent)
    if isinstance(exponent, float) and 0 < abs(exponent) < 2**-20:
        raise NoErrorRule("pow with a small exponent, which torch rounds to -1 in its derivative")
    return _array(np.frompyfunc(_power, 2, 1)(_operand(x), _operand(exponent)))


def _power(x: arb, exponent: arb) -> arb:
    whole = exponent.unique_fmpz() if exponent.is_exact() else None
    if whole is None or abs(whole) > 64:
        return x**exponent  # exp(y log x): nothing is known where x may be 0
    # By multiplication, which takes any x. An even power of a ball around 0 is not negative, but
    # the wider ball is right too.
    out = _ONE
    for _ in range(abs(int(whole))):
        out = out * x
    return out if whole >= 0 else _ONE / out


@rule("where")
def _where(run: Any, target: Any, condition: Any, a: Any, b: Any) -> Array:
    if not isinstance(condition, Tensor) or condition.dtype != torch.bool:
        raise NoErrorRule("where")
    _in_double(a, b)
    return _array(np.where(condition.numpy(), _operand(a), _operand(b)))


@rule("mm", "bmm")
def _matmul(run: Any, target: Any, a: Any, b: Any) -> Array:
    _in_double(a, b)
    return _array(np.matmul(balls(a), balls(b)))


@rule("sum")
def _sum(
    run: Any, target: Any, x: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Array:
    _in_double(x)
    if dtype not in (None, torch.float64):
        raise NoErrorRule(f"a sum as {dtype}")
    return _total(balls(x), dim, keepdim)


def _total(x: Array, dims: Any = None, keepdim: bool = False) -> Array:
    zero: Any = arb(0)
    axes: Sequence[int] = range(x.ndim) if not dims and dims != 0 else dims
    axes = [axes] if isinstance(axes, int) else axes
    for axis in sorted((d % x.ndim for d in axes), reverse=True):
        x = _array(x.sum(axis=axis, keepdims=keepdim, initial=zero))
    return x


@rule("logsumexp")
def _logsumexp(run: Any, target: Any, x: Any, dim: Any, keepdim: bool = False) -> Array:
    _in_double(x)
    return _map(arb.log, _total(_map(arb.exp, balls(x)), dim, keepdim))


def _map(function: Callable[[arb], arb], x: Array) -> Array:
    return _array(np.frompyfunc(function, 1, 1)(x))
