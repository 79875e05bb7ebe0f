"""What a floating-point number is: its rounding, its ends, and bounds made of such numbers.

The model, stated and derived in docs/proof.md: + - * / sqrt round to nearest,
fl(a op b) = (a op b)(1 + d), |d| <= u; a result that underflows is off by at most the smallest
normal number; a sum or inner product of n terms, in any order, fused or not, errs by at most
gamma_n * sum |terms| (Higham 2002, section 3.1).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import no_type_check  # what runs for every argument is not checked

import torch
from torch import Tensor

U = 2.0**-53  # of float64
INFLATION = 1 + 1e-6  # covers the rounding of radii, sums of terms that are not negative
SUBNORMAL = 2 * 2.0**-1074  # what two products of radii can lose
LEAST = 1e-6  # smallest entry of a test vector: any positive one is right, this one is harmless


@no_type_check
def unit_roundoff(dtype: torch.dtype) -> float:
    """u, half the distance from 1 to the next floating-point number; 0 for integers."""
    return torch.finfo(dtype).eps / 2 if dtype.is_floating_point else 0.0


@no_type_check
def tiny(dtype: torch.dtype) -> float:
    """The smallest normal number: what a result that underflows can be off by."""
    return torch.finfo(dtype).tiny


@no_type_check
def gamma(n: int, dtype: torch.dtype = torch.float64) -> float:
    """gamma_n = n u / (1 - n u), n roundings in a row, with more than its own rounding."""
    nu = n * unit_roundoff(dtype)
    return nu / (1 - nu) * (1 + 8 * U) if nu < 1 else math.inf


def up(x: float) -> float:
    """The next number: above the exact result of the one operation that gave x."""
    return math.nextafter(x, math.inf)


def down(x: float) -> float:
    """The number before."""
    return math.nextafter(x, -math.inf)


def sum_up(a: float, b: float) -> float:
    """A float64 number that is at least a + b."""
    return a + b if a == 0 or b == 0 else up(a + b)


@no_type_check
def holds(dtype: torch.dtype, value: float | int | bool) -> bool:
    """Whether a number is one of this type, exactly; infinities and NaN are."""
    if not dtype.is_floating_point:
        return isinstance(value, int)
    if dtype == torch.float64 and isinstance(value, float):
        return True
    held = float(torch.tensor(float(value), dtype=dtype))
    return held == value or value != value  # Python compares integers and floats exactly


@no_type_check
def holds_all(dtype: torch.dtype, other: torch.dtype) -> bool:
    """Whether every number of the other floating type is one of this."""
    wide, narrow = torch.finfo(dtype), torch.finfo(other)
    return wide.eps <= narrow.eps and wide.max >= narrow.max and wide.tiny <= narrow.tiny


@no_type_check
def needs_rounding(x: Tensor, dtype: torch.dtype) -> bool:
    """Whether some integers of this type are not numbers of that floating-point type."""
    info = torch.iinfo(x.dtype) if x.dtype != torch.bool else None
    return info is not None and info.max > 2 / torch.finfo(dtype).eps


def perron_bound(times: Callable[[Tensor], Tensor], n: int, steps: int) -> float:
    """An upper bound on the norm of a symmetric non-negative matrix M, which `times` multiplies by.

    For every x > 0, ||M|| <= max_i (M x)_i / x_i; x = 1 gives the largest row sum, a few steps of
    the power method nearly the norm. Its own rounding, of sums of terms that are not negative, is
    the caller's to add. Infinity where a product is no number.

    Source:
        Collatz and Wielandt; Horn and Johnson, Matrix Analysis, corollary 8.1.31.
    """
    if n == 0:
        return 0.0
    x, best = torch.ones(n, dtype=torch.float64), math.inf
    for _ in range(steps):
        product = times(x)
        best = min(best, float((product / x).max()))
        top = float(product.max())
        if not 0 < top < math.inf:
            break
        x = (product / top).clamp_min_(LEAST)
    return best
