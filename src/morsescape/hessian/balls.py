"""Ball arithmetic on traced tensor programs: every number with a proved bound on its rounding.

A program (a traced graph of aten operations, see `enclose`) is run once on balls
[mid - rad, mid + rad]:
`mid` is what torch computes, `rad` bounds the distance of `mid` from what real arithmetic
would give. One rule per operation, in `ball_rules`, derives the radius of its result.

The floating-point model, stated and derived in docs/proof.md:

* + - * / sqrt round to nearest: fl(a op b) = (a op b)(1 + d), |d| <= u, u = 2^-53 in float64;
* a sum or inner product of n terms, in any order, fused or not, errs by at most
  gamma_n * sum |terms| with gamma_n = n u / (1 - n u) (Higham 2002, section 3.1);
* exp, log, tanh and their like are within `ULP` units in the last place;
* a result that underflows is off by at most the smallest normal number.

Radii are themselves computed in float64. All their terms are non-negative, so their relative
error is far below the factor `INFLATION` by which every final radius is enlarged.

Where a program branches on a sign (ReLU, max-pooling) the branch taken by the computed values
is kept: the balls enclose the smooth piece of the function on which torch evaluated it. How
many decisions were closer to their threshold than the rounding is counted in `kinks`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

ULP = 2  # units in the last place granted to exp, log, tanh, ...; SLEEF and VML promise 1
INFLATION = 1 + 1e-6  # covers the rounding of the radii themselves


class NoErrorRule(Exception):
    """An operation in the program has no rule, so nothing can be proved about its rounding."""


@dataclass(frozen=True)
class Ball:
    """All tensors x with |x - mid| <= rad entrywise; `rad is None` means exact."""

    mid: Tensor
    rad: Tensor | None = None

    @cached_property
    def mag(self) -> Tensor:
        """|mid| in float64."""
        return magnitude(self.mid)

    @cached_property
    def upper(self) -> Tensor:
        """|mid| + rad, an upper bound on the magnitude."""
        return self.mag if self.rad is None else self.mag + self.rad

    @cached_property
    def smallest(self) -> float:
        """The smallest nonzero |mid|; infinity if there is none."""
        mag = once(self.mag)
        nonzero = mag.masked_fill(mag == 0, torch.inf)
        return float(nonzero.min()) if nonzero.numel() else torch.inf

    def radius(self) -> Tensor:
        """`rad`, with zeros where the value is exact."""
        if self.rad is not None:
            return self.rad
        return torch.zeros_like(self.mid, dtype=torch.float64)

    def get(self, index: Any) -> Ball:
        """The ball of a part."""
        return Ball(self.mid[index], None if self.rad is None else self.rad[index])


def magnitude(x: Tensor) -> Tensor:
    """|x| in float64; an expanded tensor stays expanded, and small."""
    return once(x).abs().double().expand(x.shape)


def once(x: Tensor) -> Tensor:
    """An expanded tensor before its expansion: every repeated dimension has size 1."""
    return x[tuple(slice(0, 1) if x.stride(d) == 0 else slice(None) for d in range(x.ndim))]


def unit_roundoff(dtype: torch.dtype) -> float:
    """u, half the distance from 1 to the next floating-point number."""
    return torch.finfo(dtype).eps / 2


def gamma(n: int, dtype: torch.dtype) -> float:
    """gamma_n = n u / (1 - n u), the relative error bound of n roundings in a row."""
    nu = n * unit_roundoff(dtype)
    return nu / (1 - nu) if nu < 1 else torch.inf


def as_ball(value: Ball | Tensor | float, dtype: torch.dtype = torch.float64) -> Ball:
    """Tensors are exact; a number is exact unless `dtype` cannot hold it."""
    if isinstance(value, Ball):
        return value
    if isinstance(value, Tensor):
        return Ball(value)
    held = torch.tensor(value, dtype=dtype).double()
    return Ball(held, (held - value).abs())


RUN = 256  # longest sum in one product when samples are contracted


def product(a: Tensor, b: Tensor) -> Tensor:
    """a @ b, with long sums split into about sqrt(k) parts, so that they round less.

    Where one operand is the same for the whole batch, one product is taken instead of many.
    """
    if a.ndim == 3 and a.shape[0] > 1:
        batch, n, k = a.shape
        m = b.shape[2]
        if b.stride(0) == 0:
            return product(a.reshape(batch * n, k), b[0]).view(batch, n, m)
        if a.stride(0) == 0:
            wide = product(a[0], b.permute(1, 0, 2).reshape(k, -1))
            return wide.view(n, batch, m).permute(1, 0, 2)
    k = a.shape[-1]
    if a.ndim > 2 or k <= LONG:
        return a @ b
    run = math.isqrt(k)
    parts, rest = k // run, k % run
    left = a[:, : k - rest].reshape(len(a), parts, run).transpose(0, 1)
    total = (left @ b[: k - rest].reshape(parts, run, -1)).sum(0)
    return total + a[:, k - rest :] @ b[k - rest :] if rest else total


LONG = 256  # sums up to here are left to one matrix product


def longest_run(k: int) -> int:
    """How many roundings one entry of a two-dimensional `product` passes when it sums k terms."""
    return k if k <= LONG else math.isqrt(k) + k // math.isqrt(k) + 1


def accurate_product(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """a @ b to nearly full precision, and a bound on what it is off by.

    Each operand is cut in two, a = a1 + a2, so that a1 @ b1 sums integers (times a power of two)
    that fit the significand: it is exact in any order (Ozaki, Ogita, Oishi & Rump 2012). What
    remains, a1 @ b2 + a2 @ b, is smaller by 2^-bits and so is its rounding.
    """
    k = a.shape[-1]
    u = unit_roundoff(a.dtype)
    significand = 53 if a.dtype == torch.float64 else 24
    bits = (significand - math.ceil(math.log2(k))) // 2
    a1, row = _leading_bits(a, bits, -1)
    b1, column = _leading_bits(b, bits, -2)
    rest = product(a1, b - b1) + product(a - a1, b)
    out = product(a1, b1) + rest
    runs = longest_run(k) if out.ndim == 2 else k
    scale = (2 * gamma(runs, a.dtype) + 2 * u) * k * 2.0**-bits * 2.01
    return out, u * magnitude(out) + (scale * row.double()) * column.double()


def _leading_bits(x: Tensor, bits: int, dim: int) -> tuple[Tensor, Tensor]:
    """x rounded to multiples of 2^-bits of its largest entry along `dim`, and that entry."""
    largest = once(x).abs().amax(dim, keepdim=True)
    exponent = torch.frexp(largest).exponent
    unit = torch.ldexp(torch.ones_like(largest), exponent - bits)
    return ((once(x) / unit).round() * unit).expand(x.shape), largest
