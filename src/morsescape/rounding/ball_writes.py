"""Rounding rules of what fills, converts and overwrites (see `ball_rules`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from morsescape.rounding.ball_rules import finite, is_float, mid_of, rule
from morsescape.rounding.balls import Ball, NoErrorRule, as_ball
from morsescape.rounding.floats import gamma
from morsescape.rounding.operations import BALL, Kind, derive

# -- constants and conversions ------------------------------------------------------------------


def _constant(run: Any, operation: Any, x: Any, *args: Any, **kwargs: Any) -> Tensor:
    out: Tensor = operation(mid_of(x), *map(mid_of, args), **kwargs)
    return out


derive(BALL, _constant, Kind.FILLS)


@rule("full_like", "new_full")
def _full(run: Any, operation: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    out = operation(mid_of(x), *args, **kwargs)
    return _filled(run, out, args[-1])


@rule("fill")
def _fill(run: Any, operation: Any, x: Any, value: Any) -> Any:
    return _filled(run, operation(mid_of(x), mid_of(value)), value)


def _filled(run: Any, out: Tensor, value: Any) -> Any:
    if not out.is_floating_point():
        _check_whole(run, value)
        return out
    ball = as_ball(value, out.dtype)
    return out if ball.rad is None else Ball(out, ball.rad.expand(out.shape))


@rule("empty_like", "new_empty", "new_empty_strided")
def _empty(run: Any, operation: Any, x: Any, *args: Any, **kwargs: Any) -> Ball:
    """Whatever the memory held: nothing is known until it is written over."""
    out = torch.zeros_like(operation(mid_of(x), *args, **kwargs))
    if not out.is_floating_point():
        raise NoErrorRule(f"{operation.overloadpacket.__name__} of integers")
    return Ball(out, torch.full_like(out, torch.inf, dtype=torch.float64))


@rule("_to_copy", "convert_element_type")
def _cast(run: Any, operation: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    out = operation(mid_of(x), *args, **kwargs)
    if not out.is_floating_point():
        _check_whole(run, x)
        return out
    ball = as_ball(x, out.dtype)
    if not is_float(x):
        if ball.rad is not None:
            raise NoErrorRule(f"conversion of integers beyond what {out.dtype} can hold")
        return out
    return Ball(out, ball.rad)


def _check_whole(run: Any, x: Any) -> None:
    """Rounding to integers is a step, which no radius can follow; of constants it is a constant."""
    moves = is_float(x) and (as_ball(x).rad is not None or getattr(run, "moving", False))
    if moves or (isinstance(x, float) and not x.is_integer()):
        raise NoErrorRule("rounding to integers")


# -- writing over a part ------------------------------------------------------------------------


@rule("slice_scatter", "select_scatter", "copy", "diagonal_scatter")
def _overwrite(run: Any, operation: Any, x: Any, y: Any, *args: Any, **kwargs: Any) -> Any:
    out = operation(mid_of(x), mid_of(y), *args, **kwargs)
    if not out.is_floating_point():
        if is_float(y):
            _check_whole(run, y)
        return out
    x, y = as_ball(x), as_ball(y, out.dtype)
    if x.rad is None and y.rad is None:
        return Ball(out)
    return Ball(out, operation(x.radius(), y.radius(), *args, **kwargs))


@rule("scatter")
def _scatter(run: Any, operation: Any, x: Any, dim: int, index: Tensor, value: Any) -> Any:
    out = operation(mid_of(x), dim, index, mid_of(value))
    if not out.is_floating_point():
        return out
    x, ball = as_ball(x), as_ball(value, out.dtype)
    if isinstance(value, int | float):
        return Ball(out, x.radius().scatter(dim, index, float(ball.radius())))
    ones = torch.ones_like(index, dtype=torch.float64)
    _check_apart("scatter", torch.zeros_like(x.mag).scatter_add(dim, index, ones))
    return Ball(out, x.radius().scatter(dim, index, ball.radius()))


def _check_apart(name: str, writes: Tensor) -> None:
    """Torch leaves open which of two writes lasts, and its derivative takes each for that one."""
    if writes.numel() and float(writes.max()) > 1:
        raise NoErrorRule(f"{name} that writes an entry twice")


@rule("scatter_add")
def _scatter_add(run: Any, operation: Any, x: Any, dim: int, index: Tensor, source: Any) -> Any:
    if not is_float(x):
        return operation(x, dim, index, source)
    return _added(lambda start, part: operation(start, dim, index, part), x, source)


@rule("index_put", "_unsafe_index_put")
def _index_put(
    run: Any, operation: Any, x: Any, indices: list[Any], source: Any, accumulate: bool = False
) -> Any:
    if not is_float(x):
        return operation(x, indices, source, accumulate)
    if accumulate:
        return _added(lambda start, part: operation(start, indices, part, True), x, source)
    x, source = as_ball(x), as_ball(source)
    empty = torch.zeros_like(x.mag)
    ones = torch.ones_like(source.mag)
    _check_apart("index_put", operation(empty, indices, ones, True))
    rad = operation(x.radius(), indices, source.radius())
    return Ball(operation(x.mid, indices, source.mid), rad)


def _added(put: Callable[[Tensor, Tensor], Tensor], x: Any, source: Any) -> Ball:
    """Entries may meet: each place adds up what `put` brings there to what was there."""
    x, source = as_ball(x), as_ball(source)
    out = put(x.mid, source.mid)
    count = put(torch.zeros_like(x.mag), torch.ones_like(source.mag))
    terms = int(count.max()) if count.numel() else 0
    rad = put(x.radius(), source.radius())
    if terms > 1 or bool((x.mag * (count != 0)).any()):
        rad = rad + gamma(terms, out.dtype) * put(x.mag, source.mag)
    return finite(out, rad)
