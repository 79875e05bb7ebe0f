r"""Numbers of twice the precision: a pair hi + lo of float64 tensors, with a bound on the error.

The sum hi + lo has about 106 bits. Basic operations on pairs err by a few u² (u = 2^-53) of the
result, here counted as 2^-100; products of matrices are cut into slices whose products are exact
in float64, in any order of summation (Ozaki et al. 2012); exp, tanh and log are reduced to these.
Every operation carries a radius: rad bounds |hi + lo - what real arithmetic gives|.

Underflow: a product whose low half falls below the normal range loses at most `_LOST`. What is
exactly zero stays so: the zeros of a Hessian that hold whatever the rounding depend on it.

Source:
    Joldes, Muller & Popescu, ACM TOMS 44 (2017), for the bounds of the basic operations;
    Ozaki, Ogita, Oishi & Rump, Numerical Algorithms 59 (2012), for products of matrices.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from morsescape.rounding.balls import NoErrorRule
from morsescape.rounding.exact import (
    Pair,
    exact_bits,
    exact_products,
    fast_two_sum,
    slices,
    two_product,
    two_sum,
)
from morsescape.rounding.sums import product

_EPS = 2.0**-100
_FUNCTION = 2.0**-84  # of exp, relative; of the others, absolute; of log on [1, 2^40]
_LOST = 1e-290


@dataclass(frozen=True)
class Double:
    """All x with |x - (hi + lo)| <= rad, entry by entry."""

    hi: Tensor
    lo: Tensor
    rad: Tensor

    @classmethod
    def exact(cls, x: Tensor) -> Double:
        """A tensor as it is."""
        zero = torch.zeros_like(x, dtype=torch.float64)
        return cls(x.double(), zero, zero)

    @property
    def mag(self) -> Tensor:
        """A bound on |hi + lo|, to rounding."""
        return self.hi.abs() + self.lo.abs()

    @property
    def upper(self) -> Tensor:
        """A bound on |x|, to rounding; 0 only where x is exactly 0."""
        return self.mag + self.rad

    @property
    def shape(self) -> torch.Size:
        """Of the tensor."""
        return self.hi.shape

    def each(self, move: Callable[[Tensor], Any]) -> Double:
        """What only moves entries, or fetches some."""
        return Double(move(self.hi), move(self.lo), move(self.rad))

    def __neg__(self) -> Double:
        return Double(-self.hi, -self.lo, self.rad)

    def __add__(self, other: Double) -> Double:
        hi, lo = _plus(self.hi, self.lo, other.hi, other.lo)
        return Double(hi, lo, self.rad + other.rad + _EPS * hi.abs())

    def __sub__(self, other: Double) -> Double:
        return self + -other

    def __mul__(self, other: Double) -> Double:
        hi, lo = _times(self.hi, self.lo, other.hi, other.lo)
        mag, upper = self.mag, other.upper
        carried = self.rad * upper + mag * other.rad
        lost = _LOST * ((mag + self.rad != 0) & (upper != 0)).double()
        return Double(hi, lo, carried + _EPS * hi.abs() + lost)

    def __truediv__(self, other: Double) -> Double:
        hi, lo = _over(self.hi, self.lo, other.hi, other.lo)
        least = other.mag - 2 * other.lo.abs() - other.rad
        rad = (self.rad + (hi.abs() + lo.abs()) * other.rad + _LOST) / least + _EPS * hi.abs()
        rad = torch.where(least > 0, rad + _LOST, torch.inf)
        zero = (self.upper == 0) & (least > 0)  # also by a number too large to be split
        return Double(*(t.masked_fill(zero, 0.0) for t in (hi, lo, rad)))

    def __matmul__(self, other: Double) -> Double:
        return matrix_product(self, other)

    def sum(self, dim: int) -> Double:
        """Over one dimension, by halves."""
        x = self.each(lambda t: t.movedim(dim, 0))
        if len(x.hi) == 0:
            return x.each(lambda t: t.new_zeros(t.shape[1:]))
        while (n := len(x.hi)) > 1:
            half = n // 2
            added = x._rows(0, half) + x._rows(half, 2 * half)
            x = _join([added, x._rows(2 * half, n)]) if n % 2 else added
        return x.each(lambda t: t[0])

    def _rows(self, start: int, stop: int) -> Double:
        return Double(self.hi[start:stop], self.lo[start:stop], self.rad[start:stop])


def select(condition: Tensor, x: Double, y: Double) -> Double:
    """Entries of x where the condition holds, of y elsewhere."""
    pairs = ((x.hi, y.hi), (x.lo, y.lo), (x.rad, y.rad))
    return Double(*(torch.where(condition, a, b) for a, b in pairs))


def _join(parts: list[Double]) -> Double:
    hi, lo, rad = ([getattr(p, name) for p in parts] for name in ("hi", "lo", "rad"))
    return Double(torch.cat(hi), torch.cat(lo), torch.cat(rad))


# -- pairs ----------------------------------------------------------------------------------------


def _plus(ah: Tensor, al: Tensor, bh: Tensor, bl: Tensor) -> Pair:
    """AccurateDWPlusDW, 3u² + 13u³."""
    s, e = two_sum(ah, bh)
    t, f = two_sum(al, bl)
    s, e = fast_two_sum(s, e + t)
    return fast_two_sum(s, e + f)


def _times(ah: Tensor, al: Tensor, bh: Tensor, bl: Tensor) -> Pair:
    """DWTimesDW1, 7u²."""
    p, e = two_product(ah, bh)
    return fast_two_sum(p, e + (ah * bl + al * bh))


def _square(ah: Tensor, al: Tensor) -> Pair:
    """The same of two equal factors."""
    p, e = two_product(ah, ah)
    return fast_two_sum(p, e + 2 * (ah * al))


def _over(ah: Tensor, al: Tensor, bh: Tensor, bl: Tensor) -> Pair:
    """DWDivDW2, 15u² + 56u³."""
    q = ah / bh
    ph, pl = two_product(bh, q)
    ph, pl = fast_two_sum(ph, pl + bl * q)
    return fast_two_sum(q, ((ah - ph) + (al - pl)) / bh)


# -- products of matrices -------------------------------------------------------------------------


def matrix_product(a: Double | Tensor, b: Double | Tensor, digits: int = 100) -> Double:
    """A @ b, off by about 2^-digits of the largest products; tensors are exact."""
    k = a.shape[-1]
    if k == 0:
        raise NoErrorRule("a product over no terms")
    bits = exact_bits(k) - 1
    most = -(-digits // bits)
    left, top = slices(*_high_and_low(a), bits, most)
    right, side = slices(*_high_and_low(b), bits, most)
    hi = lo = torch.zeros((), dtype=torch.float64)
    for part in exact_products(left, right, most):
        hi, lo = _plus(hi, lo, part, torch.zeros_like(part))
    cut = k * (most**2 + 2 * most + 2) * 2.0 ** (-most * bits) * (top * side)
    (size, size_rad), (other, other_rad) = _sizes(a), _sizes(b)
    rad = (
        cut + k * _LOST + product(size, 15 * _EPS * other + (0 if other_rad is None else other_rad))
    )
    if other_rad is not None:
        other = other + other_rad
    if size_rad is not None:
        rad = rad + product(size_rad, other)
        size = size + size_rad
    zero = (size.amax(-1, keepdim=True) == 0) | (other.amax(-2, keepdim=True) == 0)
    return Double(hi, lo, rad.masked_fill(zero, 0.0))


def _high_and_low(x: Double | Tensor) -> tuple[Tensor, Tensor | None]:
    if isinstance(x, Tensor):
        return x.double(), None
    return x.hi, x.lo if bool(x.lo.any()) else None


def _sizes(x: Double | Tensor) -> tuple[Tensor, Tensor | None]:
    """Bounds on the magnitude and the radius; None where that is 0 everywhere."""
    if isinstance(x, Tensor):
        return x.double().abs(), None
    return x.mag, x.rad if bool(x.rad.any()) else None


def _power_of_two(exponent: Tensor) -> Tensor:
    """2^exponent, exactly: `torch.pow` does not promise that. From -1022 to 1023."""
    return ((exponent.long() + 1023) << 52).view(torch.float64)


# -- elementary functions -------------------------------------------------------------------------

_LN2 = (0.6931471805599453, 2.3190468138462996e-17)  # its first 106 bits
_HALVINGS, _TERMS, _FLOAT = 4, 12, 7  # terms of exp's series; from which on in float64
_TWO_OVER_ROOT_PI = (1.1283791670955126, 1.533545961316588e-17)  # its first 106 bits
_ERF_FAR = 8.6


def _expm1_scaled(h: Tensor, lo: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The k and s with exp(x) = 2^k (1 + s), |s| < 0.5, by Taylor's series of r = x/16.

    |r| < 0.0217, so that the terms from r^7 / 7! on are below 3e-14 |r|: in float64, and cut off
    after r^12 / 12!, they are off by less than 2^-92 |r|.
    """
    k = torch.round(h / _LN2[0])
    ph, pl = _times(torch.full_like(h, _LN2[0]), torch.full_like(h, _LN2[1]), k, 0 * k)
    rh, rl = _plus(h, lo, -ph, -pl)
    rh, rl = rh / 2**_HALVINGS, rl / 2**_HALVINGS
    tail = torch.full_like(h, _FACTORIALS[_TERMS][0])
    for n in range(_TERMS - 1, _FLOAT - 1, -1):
        tail = tail * rh + _FACTORIALS[n][0]
    sh, sl = tail, torch.zeros_like(h)
    for n in range(_FLOAT - 1, 0, -1):
        sh, sl = _times(sh, sl, rh, rl)
        sh, sl = _plus(sh, sl, *(torch.full_like(h, c) for c in _FACTORIALS[n]))
    sh, sl = _times(sh, sl, rh, rl)
    for _ in range(_HALVINGS):  # (1 + s)² - 1
        qh, ql = _square(sh, sl)
        sh, sl = _plus(2 * sh, 2 * sl, qh, ql)
    return k, sh, sl


def _pair(x: Fraction) -> tuple[float, float]:
    return float(x), float(x - Fraction(float(x)))


_FACTORIALS = [_pair(Fraction(1, math.factorial(n))) for n in range(_TERMS + 1)]


def exp(x: Double) -> Double:
    """e^x, for x up to 700."""
    h, lo = x.hi.clamp(-740, 700), torch.where(x.hi < -740, 0.0, x.lo)
    k, sh, sl = _expm1_scaled(h, lo)
    sh, sl = _plus(sh, sl, torch.ones_like(h), torch.zeros_like(h))
    half = _power_of_two((k / 2).floor())  # in two steps: 2^k alone may be subnormal
    rest = _power_of_two(k - (k / 2).floor())
    sh, sl = sh * half * rest, sl * half * rest
    rad = sh.abs() * (torch.expm1(x.rad) * (1 + 2**-20) + _FUNCTION) + _LOST
    return Double(sh, sl, torch.where(x.hi > 700, torch.inf, rad))


def _zero_at_zero(x: Double, rad: Tensor) -> Tensor:
    """The radius of a function whose value at 0 is 0."""
    return torch.where(x.upper == 0, 0.0, rad)


def sqrt(x: Double) -> Double:
    """A step of Newton from the float64 root y: y + (x - y²) / 2y, off by (y - √x)² / 2y.

    For |x' - x| <= r roots differ by at most r / √(x - r).
    """
    least = x.hi - x.lo.abs() - x.rad
    sure = (least > 2.0**-900) & (x.hi < 2.0**900)
    near = Double(torch.where(sure, x.hi, 1.0), torch.where(sure, x.lo, 0.0), 0 * x.rad)
    root = Double.exact(near.hi.sqrt())
    out = root + (near - root * root) / (root + root)
    rad = x.rad / torch.where(sure, least, 1.0).sqrt() * (1 + 2**-20) + _FUNCTION * out.hi
    none = (x.upper == 0) & (x.rad == 0)  # the root of 0 is 0
    hi = torch.where(none, 0.0, out.hi)
    rad = torch.where(none, 0.0, torch.where(sure, rad, torch.inf))
    return Double(hi, torch.where(none, 0.0, out.lo), rad)


def tanh(x: Double) -> Double:
    """Tanh |x| = -s / (2 + s), s = exp(-2|x|) - 1."""
    sign = torch.where(x.hi < 0, -1.0, 1.0).double()
    h, lo = (-2 * sign * x.hi).clamp(min=-100), -2 * sign * x.lo
    lo = torch.where(h == -100, 0.0, lo)
    e = exp(Double(h, lo, torch.zeros_like(h)))
    one = Double.exact(torch.ones_like(h))
    out = (one - e) / (one + e)
    return Double(sign * out.hi, sign * out.lo, _zero_at_zero(x, x.rad + _FUNCTION))


def sigmoid(x: Double) -> Double:
    """1 / (1 + exp(-|x|)), or its complement to 1 where x < 0."""
    sign = torch.where(x.hi < 0, -1.0, 1.0).double()
    e = exp(Double(-sign * x.hi, -sign * x.lo, torch.zeros_like(x.hi)))
    one = Double.exact(torch.ones_like(x.hi))
    out = select(x.hi < 0, e, one) / (one + e)
    return Double(out.hi, out.lo, x.rad / 4 + _FUNCTION)


def erf(x: Double) -> Double:
    """2/√π x exp(-x²) Σ (2x²)^n / (2n+1)!!, whose terms are positive; ±1 beyond 8.6.

    Source: NIST Digital Library of Mathematical Functions, equation 7.6.2.
    """
    far = ~(x.hi.abs() <= _ERF_FAR)  # there 1 - |erf| < 2^-108
    h, lo = torch.where(far, 0.0, x.hi), torch.where(far, 0.0, x.lo)
    near = Double(h, lo, torch.zeros_like(h))
    square = near * near
    total = _erf_series(square.hi, square.lo, float(h.abs().max()) if h.numel() else 0.0)
    front, rest = (torch.full_like(h, c) for c in _TWO_OVER_ROOT_PI)
    out = Double(front, rest, torch.zeros_like(h)) * near * exp(-square) * total
    hi = torch.where(far, x.hi.clamp(-1, 1), out.hi)
    rad = torch.where(x.hi.isnan(), torch.inf, 1.13 * x.rad + _FUNCTION)
    return Double(hi, torch.where(far, 0.0, out.lo), _zero_at_zero(x, rad))


def _erf_series(xh: Tensor, xl: Tensor, largest: float) -> Double:
    """Σ (2x)^n / (2n+1)!! of squares x up to largest², to 2^-88 of it.

    What follows a term below 2^-48 is below twice that, and off by at most 600 u of it in float64.
    """
    many, few = _erf_terms(largest, 2.0**-102), _erf_terms(largest, 2.0**-48)
    high, one, zero = torch.ones_like(xh), torch.ones_like(xh), torch.zeros_like(xh)
    for n in range(many, few, -1):
        high = 1 + high * (xh * (2 / (2 * n + 1)))
    low = zero
    for n in range(few, 0, -1):
        share = (torch.full_like(xh, c) for c in _pair(Fraction(2, 2 * n + 1)))
        high, low = _times(high, low, *_times(xh, xl, *share))
        high, low = _plus(one, zero, high, low)
    return Double(high, low, zero)


def _erf_terms(largest: float, small: float) -> int:
    """How many until what follows is below twice `small`, of a sum that is 1 or more."""
    term, n = 1.0, 0
    while term > small or 4 * largest**2 > 2 * n + 3:  # then each is below half of the last
        n += 1
        term *= 2 * largest**2 / (2 * n + 1)
    return n


def log_from_1(x: Double) -> Double:
    """Log x for 1 <= x <= 2^40, by a step of Newton from the float64 value."""
    guess = Double.exact(torch.log(x.hi))
    z = x * exp(-guess) - Double.exact(torch.ones_like(x.hi))
    out = guess + z - z * z * Double.exact(torch.full_like(x.hi, 0.5))
    inside = (
        (z.hi.abs() < 2.0**-40) & (x.hi >= 1 - 2.0**-30) & (x.hi <= 2.0**40) & (x.rad < 2.0**-21)
    )
    rad = x.rad / (x.hi - x.rad) * (1 + 2**-20) + _FUNCTION
    return Double(out.hi, out.lo, torch.where(inside, rad, torch.inf))


def log1p(x: Double) -> Double:
    """Log (1 + x) for 0 <= x."""
    if bool((x.hi < 0).any()):
        raise NoErrorRule("log1p of negative numbers")
    return log_from_1(Double.exact(torch.ones_like(x.hi)) + x)


def one_over(x: Double) -> Double:
    """1 / x."""
    return Double.exact(torch.ones((), dtype=torch.float64)) / x


def rsqrt(x: Double) -> Double:
    """1 / sqrt x."""
    return one_over(sqrt(x))


def logsumexp(x: Double, dim: int) -> Double:
    """M + log Σ exp(x - M), M the largest entry's float64 value."""
    top = x.hi.amax(dim, keepdim=True)
    total = exp(x - Double.exact(top)).sum(dim)
    return log_from_1(total) + Double.exact(top.squeeze(dim))
