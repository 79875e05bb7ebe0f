"""Sums and products of floats without any error, and the cutting of numbers that allows it.

Source:
    Knuth; Dekker, Numerische Mathematik 18 (1971), for sums and products of two numbers;
    Ozaki, Ogita, Oishi & Rump, Numerical Algorithms 59 (2012), for products of matrices.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from morsescape.rounding.balls import NoErrorRule

Pair = tuple[Tensor, Tensor]
_SPLITTER = 2.0**27 + 1


def two_sum(a: Tensor, b: Tensor) -> Pair:
    """The sum exactly, as its float64 value and the rest (Knuth)."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


def fast_two_sum(a: Tensor, b: Tensor) -> Pair:
    """The same where |a| >= |b| (Dekker)."""
    s = a + b
    return s, b - (s - a)


def two_product(a: Tensor, b: Tensor) -> Pair:
    """The product exactly (Dekker, Veltkamp), without relying on a fused multiplication."""
    p = a * b
    a1, a2 = _halves(a)
    b1, b2 = _halves(b)
    return p, ((a1 * b1 - p) + a1 * b2 + a2 * b1) + a2 * b2


def _halves(a: Tensor) -> Pair:
    c = _SPLITTER * a
    high = c - (c - a)
    return high, a - high


def exact_bits(terms: int) -> int:
    """How many bits whole numbers may have for sums of so many products of two to be exact."""
    return (53 - math.ceil(math.log2(max(terms, 2)))) // 2


def leading_bits(x: Tensor, unit: Tensor | float) -> Tensor:
    """Round to multiples of the unit, a power of two: a new tensor, off by half of it at most."""
    return (x * (1 / unit)).round_().mul_(unit)


def slices(x: Tensor, low: Tensor | None, bits: int, most: int = 5) -> tuple[list[Tensor], float]:
    """Leading parts of x + low, each integers up to 2^bits times one power of two.

    What is left is at most 2^(-bits * most) of the largest entry, whose bound is returned too.
    """
    rest = x
    largest = float(torch.maximum(rest.max(), -rest.min())) if rest.numel() else 0.0
    _, exponent = math.frexp(largest)
    if not math.isfinite(largest) or exponent > 900:
        raise NoErrorRule("a product of numbers near the largest, or not finite")
    first, parts = 2.0 ** max(exponent, -850), []  # below, everything counts as lost
    for k in range(1, most + 1):
        part = leading_bits(rest, first * 2.0 ** (-bits * k))
        parts.append(part)
        if k == most:
            break
        if low is not None:
            rest, low = two_sum(rest - part, low)
        else:
            rest = rest - part if k == 1 else rest.sub_(part)
        if _vanishes(rest):  # as with data of few bits
            break
    return parts, first


def _vanishes(x: Tensor) -> bool:
    few = x.reshape(-1)[:1024] if x.is_contiguous() else x
    return not bool(few.any()) and not bool(x.any())


def exact_products(left: list[Tensor], right: list[Tensor], most: int) -> Iterator[Tensor]:
    """Products of slice i and slice j with i + j < most, small ones first.

    Integers below 2^(2 bits), times a power of two: k of them add up exactly. The slices of the
    smaller factor are set side by side, so that the larger one is read once each.
    """
    parts: dict[tuple[int, int], Tensor] = {}
    if left[0].numel() >= right[0].numel():
        for i, one in enumerate(left[:most]):
            wide = one @ torch.cat(right[: most - i], -1)
            found = wide.split(right[0].shape[-1], -1)
            parts |= {(i, j): part for j, part in enumerate(found)}
    else:
        for j, one in enumerate(right[:most]):
            tall = torch.cat(left[: most - j], -2) @ one
            found = tall.split(left[0].shape[-2], -2)
            parts |= {(i, j): part for i, part in enumerate(found)}
    for place in sorted(parts, key=lambda ij: (-sum(ij), ij)):
        yield parts[place]
