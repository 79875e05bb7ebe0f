"""Batches of intervals with float64 ends, every operation rounded outwards.

IEEE arithmetic rounds to nearest, so the neighbour of a computed number bounds the exact one.
Infinite ends say that nothing is known, and what comes of them and is no number says so again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from morsescape.rounding.balls import Ball
from morsescape.rounding.floats import INFLATION, gamma

_INF = torch.tensor(torch.inf, dtype=torch.float64)


def above(x: Tensor) -> Tensor:
    """The next numbers; of NaN, infinity."""
    return torch.nextafter(x, _INF).nan_to_num(nan=torch.inf, posinf=torch.inf, neginf=-torch.inf)


def below(x: Tensor) -> Tensor:
    """The numbers before; of NaN, minus infinity."""
    return torch.nextafter(x, -_INF).nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)


@dataclass(frozen=True, eq=False)
class Interval:
    """All tensors x with low ≤ x ≤ high, entry by entry; empty where low > high."""

    low: Tensor
    high: Tensor

    @classmethod
    def of(cls, x: Ball) -> Interval:
        """Of a ball, whose radius is rounded to nearest itself."""
        mid, rad = x.mid.double(), x.radius() * INFLATION
        return cls(below(mid - rad), above(mid + rad))

    def __add__(self, other: Interval) -> Interval:
        return Interval(below(self.low + other.low), above(self.high + other.high))

    def __neg__(self) -> Interval:
        return Interval(-self.high, -self.low)

    def __sub__(self, other: Interval) -> Interval:
        return self + -other

    def __mul__(self, other: Interval) -> Interval:
        ends = [a * b for a in (self.low, self.high) for b in (other.low, other.high)]
        corners = torch.stack(ends)  # whose least and largest are NaN if one of them is
        return Interval(below(corners.amin(0)), above(corners.amax(0)))

    def __getitem__(self, index: object) -> Interval:
        return self.each(lambda x: x[index])  # type: ignore[index]

    def each(self, move: Callable[[Tensor], Tensor]) -> Interval:
        """What only moves entries."""
        return Interval(move(self.low), move(self.high))

    def sum(self, dim: int) -> Interval:
        """Over one dimension, in any order (Higham 2002, section 3.1)."""
        g = gamma(self.low.shape[dim] + 2)

        def off(x: Tensor) -> Tensor:
            return g * x.abs().sum(dim)

        low, high = self.low.sum(dim), self.high.sum(dim)
        return Interval(below(low - off(self.low)), above(high + off(self.high)))

    @property
    def ends(self) -> tuple[Tensor, Tensor]:
        """Both."""
        return self.low, self.high

    @property
    def mag(self) -> Tensor:
        """The largest |x|, exactly."""
        return torch.maximum(self.low.abs(), self.high.abs())

    @property
    def finite(self) -> Tensor:
        """Where both ends are."""
        return self.low.isfinite() & self.high.isfinite()

    @property
    def has_zero(self) -> Tensor:
        """Where 0 is in it."""
        return (self.low <= 0) & (self.high >= 0)

    def meets(self, other: Interval) -> Tensor:
        """Where the two have a number in common."""
        return (self.low <= other.high) & (other.low <= self.high)

    def within(self, other: Interval) -> Tensor:
        """Where it is a part of the other."""
        return (other.low <= self.low) & (self.high <= other.high)

    def hull(self, other: Interval) -> Interval:
        """The smallest interval that holds both."""
        return Interval(torch.minimum(self.low, other.low), torch.maximum(self.high, other.high))


def product(a: Tensor, b: Interval) -> Interval:
    """The matrices a, which are exact, times those of b: shapes (..., m, k) and (..., k, n)."""
    terms = Interval(a, a)[..., :, :, None] * b[..., None, :, :]
    return terms.sum(-2)


def joined_boxes(parts: list[Interval]) -> Interval:
    """All boxes of some batches."""
    return Interval(torch.cat([p.low for p in parts]), torch.cat([p.high for p in parts]))
