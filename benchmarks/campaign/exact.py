"""Second-order jets of real balls: value, gradient and Hessian of a formula, exact to the last bit.

A `Jet` is f, ∇f and ∇²f at a point of R^D, carried through + - * / and functions of one variable by
the chain rule. Its numbers are python-flint's balls, which hold the real numbers: a comparison that
they cannot decide raises `Undecided` (more bits may), one that is undecided because a moving number
lies on its threshold raises `AtKink`: no Hessian exists there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from flint import arb, arb_mat, ctx

BITS = (192, 768, 3072)  # precisions tried in turn


class Undecided(Exception):
    """A branch that the present precision does not decide."""


class AtKink(Exception):
    """A moving number lies exactly on the threshold of a branch."""


class NoTruth(Exception):
    """The oracle has no answer: a number that is not finite, or a definition that is missing."""


class Jet:
    """v, gradient g (D, 1) and Hessian h (D, D); None stands for zeros."""

    __slots__ = ("g", "h", "v")
    __array_priority__ = 1000

    def __init__(self, v: arb, g: arb_mat | None = None, h: arb_mat | None = None) -> None:
        self.v, self.g, self.h = v, g, h

    def __neg__(self) -> Jet:
        return Jet(-self.v, _times(self.g, -1), _times(self.h, -1))

    def __add__(self, other: Any) -> Jet:
        if not isinstance(other, Jet):
            return Jet(self.v + number(other), self.g, self.h)
        return Jet(self.v + other.v, _plus(self.g, other.g), _plus(self.h, other.h))

    __radd__ = __add__

    def __sub__(self, other: Any) -> Jet:
        return self + (-other if isinstance(other, Jet) else -number(other))

    def __rsub__(self, other: Any) -> Jet:
        return -self + other

    def __mul__(self, other: Any) -> Jet:
        if not isinstance(other, Jet):
            c = number(other)
            return Jet(self.v * c, _times(self.g, c), _times(self.h, c))
        g = _plus(_times(self.g, other.v), _times(other.g, self.v))
        h = _plus(_times(self.h, other.v), _times(other.h, self.v))
        if self.g is not None and other.g is not None:
            cross = self.g * other.g.transpose()
            h = _plus(h, cross + cross.transpose())
        return Jet(self.v * other.v, g, h)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Jet:
        if not isinstance(other, Jet):
            return self * (1 / number(other))
        return self * reciprocal(other)

    def __rtruediv__(self, other: Any) -> Jet:
        return reciprocal(self) * other

    @property
    def moves(self) -> bool:
        """Whether its gradient or Hessian is not exactly zero."""
        parts = [m for m in (self.g, self.h) if m is not None]
        return any(not x.is_zero() for m in parts for x in m.entries())


def number(x: Any) -> arb:
    """An exact real number: of a float, that binary64 number."""
    if isinstance(x, arb):
        return x
    return arb(int(x)) if isinstance(x, bool | int | np.integer | np.bool_) else arb(float(x))


def _times(m: arb_mat | None, c: Any) -> arb_mat | None:
    return None if m is None or (isinstance(c, arb) and c.is_zero()) else m * c


def _plus(a: arb_mat | None, b: arb_mat | None) -> arb_mat | None:
    if a is None or b is None:
        return b if a is None else a
    return a + b


def jet(x: Any) -> Jet:
    """A constant as a jet."""
    return x if isinstance(x, Jet) else Jet(number(x))


def variables(point: Sequence[Any]) -> np.ndarray:
    """The coordinates of R^D as jets, an object array (D,)."""
    out = np.empty(len(point), dtype=object)
    for k, value in enumerate(point):
        unit = arb_mat(len(point), 1, [int(i == k) for i in range(len(point))])
        out[k] = Jet(number(value), unit)
    return out


# -- functions of one variable ----------------------------------------------------------------


def lift(x: Any, f: arb, slope: arb, bend: arb) -> Jet:
    """f(x) from f, f′, f″ at the value of x."""
    x = jet(x)
    if not f.is_finite():
        raise NoTruth("a value that is not finite")
    h = _times(x.h, slope)
    if x.g is not None and not bend.is_zero():
        h = _plus(h, (x.g * bend) * x.g.transpose())
    return Jet(f, _times(x.g, slope), h)


def _of(derivatives: Callable[[arb], tuple[arb, arb, arb]]) -> Callable[[Any], Jet]:
    return lambda x: lift(x, *derivatives(jet(x).v))


def _exp(v: arb) -> tuple[arb, arb, arb]:
    e = v.exp()
    return e, e, e


def _log(v: arb) -> tuple[arb, arb, arb]:
    return v.log(), 1 / v, -1 / (v * v)


def _log1p(v: arb) -> tuple[arb, arb, arb]:
    s = 1 / (1 + v)
    return v.log1p(), s, -s * s


def _tanh(v: arb) -> tuple[arb, arb, arb]:
    t, s = v.tanh(), v.sech()
    return t, s * s, -2 * t * s * s


def _sigmoid(v: arb) -> tuple[arb, arb, arb]:
    p, q = 1 / (1 + (-v).exp()), 1 / (1 + v.exp())
    return p, p * q, p * q * (q - p)


def _erf(v: arb) -> tuple[arb, arb, arb]:
    slope = 2 / arb.const_sqrt_pi() * (-v * v).exp()
    return v.erf(), slope, -2 * v * slope


def _erfc(v: arb) -> tuple[arb, arb, arb]:
    slope = -2 / arb.const_sqrt_pi() * (-v * v).exp()
    return v.erfc(), slope, -2 * v * slope


def _reciprocal(v: arb) -> tuple[arb, arb, arb]:
    r = 1 / v
    return r, -r * r, 2 * r * r * r


def _sqrt(v: arb) -> tuple[arb, arb, arb]:
    s = v.sqrt()
    return s, 1 / (2 * s), -1 / (4 * s * v)


def _atan(v: arb) -> tuple[arb, arb, arb]:
    s = 1 / (1 + v * v)
    return v.atan(), s, -2 * v * s * s


def _asinh(v: arb) -> tuple[arb, arb, arb]:
    s = (1 + v * v).rsqrt()
    return v.asinh(), s, -v * s * s * s


def _asin(v: arb) -> tuple[arb, arb, arb]:
    s = (1 - v * v).rsqrt()
    return v.asin(), s, v * s * s * s


def _acos(v: arb) -> tuple[arb, arb, arb]:
    _, s, b = _asin(v)
    return v.acos(), -s, -b


def _atanh(v: arb) -> tuple[arb, arb, arb]:
    s = 1 / (1 - v * v)
    return v.atanh(), s, 2 * v * s * s


def _acosh(v: arb) -> tuple[arb, arb, arb]:
    s = (v * v - 1).rsqrt()
    return v.acosh(), s, -v * s * s * s


def _tan(v: arb) -> tuple[arb, arb, arb]:
    t = v.tan()
    return t, 1 + t * t, 2 * t * (1 + t * t)


def _lgamma(v: arb) -> tuple[arb, arb, arb]:
    return v.lgamma(), v.digamma(), arb(2).zeta(v)


exp, log, log1p, tanh, sigmoid = map(_of, (_exp, _log, _log1p, _tanh, _sigmoid))
erf, erfc, sqrt, atan = map(_of, (_erf, _erfc, _sqrt, _atan))
asinh, asin, acos, atanh, acosh, tan = map(_of, (_asinh, _asin, _acos, _atanh, _acosh, _tan))
reciprocal, lgamma = _of(_reciprocal), _of(_lgamma)
sin = _of(lambda v: (v.sin(), v.cos(), -v.sin()))
cos = _of(lambda v: (v.cos(), -v.sin(), -v.cos()))
sinh = _of(lambda v: (v.sinh(), v.cosh(), v.sinh()))
cosh = _of(lambda v: (v.cosh(), v.sinh(), v.cosh()))
expm1 = _of(lambda v: (v.expm1(), v.exp(), v.exp()))


def power(x: Any, exponent: Any) -> Jet:
    """x^p: by multiplication for whole p, else exp(p log x)."""
    if isinstance(exponent, Jet):
        return exp(exponent * log(x))
    whole = number(exponent).unique_fmpz()
    if whole is None:
        x, p = jet(x), number(exponent)
        f = x.v**p
        return lift(x, f, p * f / x.v, p * (p - 1) * f / (x.v * x.v))
    out = jet(1)
    for _ in range(abs(int(whole))):
        out = out * x
    return out if whole >= 0 else reciprocal(out)


def softplus(x: Any) -> Jet:
    """log(1 + e^x), without loss on either side."""
    v = jet(x).v
    p, q = 1 / (1 + (-v).exp()), 1 / (1 + v.exp())
    value = (v.exp()).log1p() if not v > 0 else v + ((-v).exp()).log1p()
    return lift(x, value, p, p * q)


# -- branches -----------------------------------------------------------------------------------


def above(x: Any, threshold: Any, name: str) -> bool:
    """Whether x > threshold; `AtKink` where a moving x lies on it."""
    off = jet(x) - threshold
    if off.v > 0:
        return True
    if off.v < 0:
        return False
    if not off.v.is_zero():
        raise Undecided(name)
    if off.moves:
        raise AtKink(name)
    return False


def pieces(x: Any, name: str, *parts: Any) -> Jet:
    """Pieces f0, t1, f1, t2, f2, …: f_k between the thresholds t_k and t_(k+1)."""
    x = jet(x)
    functions, thresholds = parts[::2], parts[1::2]
    chosen = sum(above(x, t, name) for t in thresholds)
    return jet(functions[chosen](x))


def absolute(x: Any) -> Jet:
    """|x|."""
    return pieces(x, "abs", lambda x: -x, 0, lambda x: x)


def largest(parts: Sequence[Any], name: str = "max") -> Any:
    """The largest; equal ones that are the same function to second order may meet."""
    jets = [jet(part) for part in parts]
    best = max(jets, key=lambda part: float(part.v.mid()))  # so that only it is tied with
    for part in jets:
        if part is not best and above(part - best, 0, name):
            best = part
    return best


def smallest(parts: Sequence[Any], name: str = "min") -> Any:
    """The smallest."""
    return -largest([-jet(p) for p in parts], name)


def logsumexp(parts: Sequence[Any]) -> Jet:
    """m + log(1 + Σ exp(x - m)) over the others, m the largest: nothing cancels."""
    parts = [jet(p) for p in parts if not (isinstance(p, float) and p == -np.inf)]
    k = max(range(len(parts)), key=lambda i: float(parts[i].v.mid()))
    top = parts[k]
    rest = [exp(p - top) for i, p in enumerate(parts) if i != k]
    return top + log1p(total(rest)) if rest else top


def softmax(parts: Sequence[Any]) -> list[Any]:
    """e^x_i / Σ e^x_j; where x is -inf exactly 0."""
    scale = logsumexp(parts)
    return [jet(0) if isinstance(p, float) and p == -np.inf else exp(jet(p) - scale) for p in parts]


def total(parts: Any) -> Any:
    """Σ."""
    out: Any = jet(0)
    for part in parts:
        out = out + part
    return out


# -- arrays -------------------------------------------------------------------------------------


def array(x: Any) -> np.ndarray:
    """A tensor's or nested list's numbers as exact balls, -inf kept as it is."""
    source = np.asarray(x.detach().cpu().numpy() if hasattr(x, "detach") else x)
    out = np.empty(source.shape, dtype=object)
    for k, value in np.ndenumerate(source):
        out[k] = -np.inf if value == -np.inf else number(value)
    return out


def elementwise(function: Callable[..., Any]) -> Callable[..., np.ndarray]:
    """A function of numbers on object arrays, which broadcast."""

    def apply(*arrays: Any) -> np.ndarray:
        return wrapped(np.frompyfunc(function, len(arrays), 1)(*arrays))

    return apply


def wrapped(x: Any) -> np.ndarray:
    """Numpy turns arrays of no dimension into bare objects; here they stay arrays."""
    if isinstance(x, np.ndarray):
        return x
    out = np.empty((), dtype=object)
    out[()] = x
    return out


def along(function: Callable[[Sequence[Any]], Any], x: np.ndarray, axis: int) -> np.ndarray:
    """function(list) of every line along an axis: one number, which drops the axis, or as many."""
    moved = np.moveaxis(x, axis, -1)
    lines = [function(list(line)) for line in moved.reshape(-1, moved.shape[-1])]
    if lines and isinstance(lines[0], list):
        out = np.empty((len(lines), len(lines[0])), dtype=object)
        for k, line in enumerate(lines):
            out[k] = line
        return np.moveaxis(out.reshape(*moved.shape[:-1], -1), -1, axis)
    flat = np.empty(len(lines), dtype=object)
    for k, line in enumerate(lines):
        flat[k] = line
    return flat.reshape(moved.shape[:-1])


class precision:
    """Within it flint computes with so many bits; left as it was afterwards."""

    def __init__(self, bits: int) -> None:
        self.bits = bits

    def __enter__(self) -> None:
        self.before, ctx.prec = ctx.prec, self.bits

    def __exit__(self, *_: object) -> None:
        ctx.prec = self.before
