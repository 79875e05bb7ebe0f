"""Balls whose middles are the real numbers, rounded once, wherever that is known.

A float64 pass through a trained network loses digits: logits of size 30 are off by 1e-13, the
probabilities of a sample that is decided with certainty are differences of numbers near 1, and a
bound must take the worst of it on every sample. All values that do not depend on a tangent, or
depend on few, cost little beside the Hessian itself. So they are computed in twice the precision
(`double_machine`), where that has a rule, and every ball that comes out of it is one rounding wide.
"""

from __future__ import annotations

from typing import Any, no_type_check

import torch
from torch import Tensor

from morsescape.rounding.balls import Ball, NoErrorRule
from morsescape.rounding.double import Double
from morsescape.rounding.double_machine import DoubleMachine
from morsescape.rounding.enclose import Enclosure
from morsescape.rounding.nests import leaves_of, mapped

_UP = 1 + 1e-15  # of the sum of two radii


class Sharp(Enclosure):
    """Runs a program on balls, each with the pair of float64 numbers that it was rounded from.

    An operation without a rule in twice the precision goes on with the balls, whose radii are
    those of one rounding so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.machine = DoubleMachine()

    def __call__(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The operation in twice the precision where that is known, on balls elsewhere."""
        pairs = _pairs(args)
        if pairs is None or (kwargs and _pairs(tuple(kwargs.values())) is None):
            return super().__call__(target, args, kwargs)
        name = target.overloadpacket.__name__
        try:
            result = self.machine(target, pairs, kwargs)
        except NoErrorRule:
            return super().__call__(target, args, kwargs)
        if not _bounded(result):  # an infinity, as in a mask, or an overflow
            return super().__call__(target, args, kwargs)
        if name in _DECISIONS:
            self.kinks += self._ties(target, args, pairs)
        return mapped(_ball, result)

    def _ties(self, target: Any, args: Any, pairs: Any) -> int:
        """Decisions between equals; the machine refuses comparisons that rounding could turn."""
        if not all(isinstance(x, Double | int | float | bool) or _float64(x) for x in pairs):
            return 0
        x, *rest = (p if isinstance(p, Double) else _double(p) for p in pairs)
        if any(bool(part.hi.isinf().any()) for part in (x, *rest)):
            counted = self.kinks
            super().__call__(target, args, {})
            self.kinks, more = counted, self.kinks - counted
            return more
        off = x - rest[0] if rest else x
        near = ~(off.hi.abs() > off.lo.abs() + off.rad)  # NaN too
        if rest or not self.moving:  # in doubt, if not equal
            near = near & ((off.upper == 0) if self.moving else (off.upper != 0))
        return int(near.sum())


_DECISIONS = frozenset("relu gt ge lt le eq ne".split())


def _float64(x: Any) -> bool:
    return isinstance(x, Tensor) and x.dtype == torch.float64


def _double(x: Any) -> Double:
    return Double.exact(x if isinstance(x, Tensor) else torch.tensor(float(x)).double())


def _bounded(result: Any) -> bool:
    doubles = (x for x in leaves_of(result) if isinstance(x, Double))
    return all(bool((x.lo.abs() + x.rad).sum().isfinite()) for x in doubles)


@no_type_check
def _pairs(part: Any) -> Any:
    """The arguments in twice the precision; None if one of them is known as a ball only."""
    if isinstance(part, list | tuple):
        parts = [_pairs(p) for p in part]
        lost = any(q is None and p is not None for p, q in zip(part, parts, strict=True))
        return None if lost else type(part)(parts)
    if isinstance(part, Ball):
        return part.mid if part.rad is None else part.__dict__.get("pair")
    return part


@no_type_check
def _ball(result: Any) -> Any:
    if isinstance(result, Double):
        ball = Ball(result.hi, (result.lo.abs() + result.rad) * _UP)
        ball.__dict__["pair"] = result
        return ball
    return Ball(result) if isinstance(result, Tensor) and result.is_floating_point() else result
