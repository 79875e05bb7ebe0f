"""Numbers of torch's formulas that float64 cannot hold, and the formulas written with them.

torch differentiates GELU with sqrt(1/2), 1/sqrt(2 pi) and sqrt(2/pi) as float64 numbers. What is
proved here is about x Phi(x), so the decompositions below name these constants: a machine finds
each as a ball, or as a pair of twice the precision, that holds the real number. Other numbers
that torch computes within its formulas, 2/(n - 1) or ln 2, are marked `Rounded` in a program.

Which numbers are torch's own? Those of its derivatives and decompositions; and, while a function
of torch's runs that was called from Python, those that nobody handed to it: 1 - ε and ε/C of a
cross-entropy with smoothing ε, 1/√d of attention.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor

from morsescape.rounding.balls import Ball, Rounded
from morsescape.rounding.double import Double
from morsescape.rounding.nests import leaves_of

_CALL: ContextVar[Any] = ContextVar("call", default=None)  # arguments of the outermost open call
_KNOWN: dict[int, Ball] = {}


def _named(hi: float, lo: float = 0.0) -> Tensor:
    """A tensor known by its identity to stand for hi + lo, to 2^-105."""
    high, low = (torch.tensor(x, dtype=torch.float64) for x in (hi, lo))
    off = 2.0**-104 * high.abs() if lo else torch.zeros_like(high)
    ball = Ball(high, (low.abs() + off) * (1 + 2.0**-50) if lo else None)
    ball.__dict__["pair"] = Double(high, low, off)
    _KNOWN[id(high)] = ball
    return high


_SQRT_HALF = _named(0.7071067811865476, -4.833646656726457e-17)
_DENSITY = _named(0.3989422804014327, -2.49232720227773e-17)  # 1 / sqrt(2 pi)
_TANH_SCALE = _named(0.7978845608028654, -4.98465440455546e-17)  # sqrt(2 / pi)
_TANH_CUBIC = _named(0.044715)  # of the formula with tanh, by definition


def constant_ball(x: Tensor) -> Ball:
    """A tensor as an exact ball, or the one around the number it is named after."""
    return _KNOWN.get(id(x)) or Ball(x)


def constant_pair(x: Tensor) -> Double | None:
    """The number that a named tensor stands for."""
    ball = _KNOWN.get(id(x))
    return None if ball is None else ball.__dict__["pair"]


def rounded(x: Any) -> Any:
    """A number in one of torch's formulas: marked unless it has few bits, as 0.5 and 3 have."""
    if not isinstance(x, float) or not math.isfinite(x) or x.is_integer():
        return x
    mantissa, _ = math.frexp(x)
    return x if (mantissa * 2**24).is_integer() else Rounded(x)


class InsideCall:
    """A function of torch's runs, called with these; of nested calls the outermost counts."""

    __slots__ = ("arguments", "token")  # entered for every operation: a generator costs as much

    def __init__(self, arguments: Any) -> None:
        self.arguments = arguments

    def __enter__(self) -> None:
        self.token = _CALL.set(self.arguments) if _CALL.get() is None else None

    def __exit__(self, *_: object) -> None:
        if self.token is not None:
            _CALL.reset(self.token)


def is_own(x: Any) -> bool:
    """Whether a function of torch's runs that was not called with this number, up to its sign."""
    call = _CALL.get()
    if call is None or not isinstance(x, float):
        return False
    return not any(isinstance(y, int | float) and abs(y) == abs(x) for y in leaves_of(call))


def _gelu(x: Tensor, approximate: str = "none") -> Tensor:
    if approximate == "none":
        return x * 0.5 * (1 + torch.erf(x * _SQRT_HALF))
    return x * 0.5 * (1 + torch.tanh(_TANH_SCALE * (x + x * x * x * _TANH_CUBIC)))


def _gelu_backward(grad: Tensor, x: Tensor, approximate: str = "none") -> Tensor:
    if approximate == "none":
        cdf = 0.5 * (1 + torch.erf(x * _SQRT_HALF))
        return grad * (cdf + x * (torch.exp(x * x * -0.5) * _DENSITY))
    square = x * x * _TANH_CUBIC
    slope = _TANH_SCALE * (1 + 3 * square)
    t = torch.tanh(_TANH_SCALE * (x + x * square))
    return grad * (0.5 * (1 + t) + 0.5 * x * ((1 - t * t) * slope))


DECOMPOSITIONS: dict[Any, Callable[..., Tensor]] = {
    torch.ops.aten.gelu.default: _gelu,
    torch.ops.aten.gelu_backward.default: _gelu_backward,
}
