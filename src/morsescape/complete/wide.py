"""Enclosures for wide balls: products, powers and monotone functions from their values at the ends.

The rules of balls in `rounding` keep what torch computes at the middle as the middle, and bound the
distance from there: right for rounding errors, but up to twice too wide where the ball itself is
wide, as x² on [-1, 1] or tanh beyond its bend. Here both enclosures are taken and the narrower one
kept, entry by entry.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from morsescape.rounding.balls import Ball, as_ball
from morsescape.rounding.enclose import Enclosure
from morsescape.rounding.floats import tiny, unit_roundoff
from morsescape.rounding.functions import ULP
from morsescape.rounding.jets import between, ends, narrower

_RISING = frozenset("tanh exp sigmoid erf expm1 sinh log log1p sqrt".split())
_OWN = 1 + 2.0**-30  # far above what sums of nonnegative terms lose, far below a box
_POWERS = tuple(range(2, 9))
_TINY, _U = tiny(torch.float64), unit_roundoff(torch.float64)


class Wide(Enclosure):
    """Runs a program on balls that are boxes, not roundings."""

    def __call__(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The operation's rule, or its ends, whichever is narrower."""
        out = super().__call__(target, args, kwargs)
        if not isinstance(out, Ball) or out.rad is None or out.mid.dtype != torch.float64:
            return out
        name = target.overloadpacket.__name__
        if name in _RISING:
            return narrower(out, _rising(target, as_ball(args[0])))
        if name == "mul" and all(isinstance(x, Ball) and x.rad is not None for x in args[:2]):
            a, b = args[:2]
            return narrower(out, _power(a, 2) if a is b else _times(a, b))
        if name == "pow" and isinstance(args[0], Ball) and args[1] in _POWERS:
            return narrower(out, _power(args[0], int(args[1])))
        return out


def _ends(x: Ball) -> tuple[Tensor, Tensor]:
    """With the rounding of the radius, which `INFLATION` would count at the end only."""
    return ends(Ball(x.mid, x.radius() * _OWN))


def _between(low: Tensor, high: Tensor, ulps: float) -> Ball:
    """The ball of an interval whose ends are off by so many units in the last place."""
    off = ulps * _U
    low = (low - off * low.abs() - _TINY).nan_to_num(nan=-torch.inf, neginf=-torch.inf)
    high = (high + off * high.abs() + _TINY).nan_to_num(nan=torch.inf, posinf=torch.inf)
    return between(low, high)


def _rising(target: Any, x: Ball) -> Ball:
    low, high = _ends(x)
    first, last = target(low), target(high)
    return _between(first, last, 2.0 * ULP)


def _times(a: Ball, b: Ball) -> Ball:
    corners = torch.stack([x * y for x in _ends(a) for y in _ends(b)])
    return _between(corners.amin(0), corners.amax(0), 1.0)


def _power(x: Ball, n: int) -> Ball:
    low, high = _ends(x)
    a, b = (_whole_power(y, n) for y in (low, high))
    if n % 2:
        return _between(a, b, 2.0 * n)
    least = torch.where((low <= 0) & (high >= 0), 0.0, torch.minimum(a, b))
    return _between(least, torch.maximum(a, b), 2.0 * n)


def _whole_power(x: Tensor, n: int) -> Tensor:
    out = x
    for _ in range(n - 1):
        out = out * x
    return out
