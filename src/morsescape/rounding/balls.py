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

from dataclasses import dataclass
from functools import cached_property
from typing import Any, no_type_check

import torch
from torch import Tensor

from morsescape.rounding.floats import holds, holds_all, needs_rounding, tiny, unit_roundoff
from morsescape.rounding.nests import leaves_of
from morsescape.rounding.operations import Kind, operation


class NoErrorRule(Exception):
    """An operation in the program has no rule, so nothing can be proved about its rounding."""

    def __init__(self, operation: str) -> None:
        super().__init__(operation)
        self.operation = operation

    @property
    def sentence(self) -> str:
        """Why a radius is an estimate."""
        return f"the operation {self.operation} has no error rule"


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
    def absolute(self) -> Ball:
        """The ball around |mid|, with the same radius."""
        ball = Ball(self.mag, self.rad)
        ball.__dict__["mag"] = self.mag  # known already
        return ball

    @cached_property
    def smallest(self) -> float:
        """At most the smallest nonzero magnitude in the ball's upper bound; infinity if none is."""
        upper = once(self.upper)
        nonzero = upper.masked_fill(upper == 0, torch.inf)
        return float(nonzero.min()) if nonzero.numel() else torch.inf

    @cached_property
    def is_sign(self) -> bool:
        """Whether every midpoint is -1, 0 or 1."""
        return bool(((self.mag == 0) | (self.mag == 1)).all())

    def radius(self) -> Tensor:
        """`rad`, with zeros where the value is exact."""
        if self.rad is not None:
            return self.rad
        return torch.zeros_like(self.mid, dtype=torch.float64)

    def get(self, index: Any) -> Ball:
        """The ball of a part."""
        return Ball(self.mid[index], None if self.rad is None else self.rad[index])


@no_type_check
def magnitude(x: Tensor) -> Tensor:
    """|x| in float64; an expanded tensor stays expanded, and small."""
    small = once(x)
    size = (small if small.is_floating_point() else small.double()).abs().double()
    return size if small is x else size.expand(x.shape)


@no_type_check
def once(x: Tensor) -> Tensor:
    """An expanded tensor before its expansion: every repeated dimension has size 1."""
    if 0 not in x.stride():  # nearly always, and asked for every entry of every product
        return x
    return x[tuple(slice(0, 1) if x.stride(d) == 0 else slice(None) for d in range(x.ndim))]


class Rounded(float):
    """A number that torch computed from others in one of its formulas, 2/(n - 1) or 2/sqrt(pi).

    What it was rounded from is within `SPREAD` of it, relatively; arithmetic encloses both.
    """

    def __abs__(self) -> Rounded:
        return Rounded(float.__abs__(self))

    def __neg__(self) -> Rounded:
        return Rounded(float.__neg__(self))


SPREAD = 2.0**-50  # eight roundings; the longest of torch's products of constants has six


@no_type_check
def as_ball(value: Ball | Tensor | float | int, dtype: torch.dtype | None = None) -> Ball:
    """A ball around what torch works with, which holds what was meant.

    With `dtype`, that of an operation's result: torch converts the operands to it first, numbers
    and tensors of no dimension too, and the radius counts that rounding.

    Raises:
        NoErrorRule: complex numbers.
    """
    if dtype is not None and dtype.is_complex:
        raise NoErrorRule("complex numbers")
    if isinstance(value, Tensor):
        value = Ball(value)
    if not isinstance(value, Ball):
        return _number(value, dtype or torch.float64)
    if dtype is None or value.mid.dtype == dtype or not dtype.is_floating_point:
        return value
    return _converted(value, dtype)


@no_type_check
def _converted(x: Ball, dtype: torch.dtype) -> Ball:
    if x.mid.is_complex():
        raise NoErrorRule("complex numbers")
    mid = x.mid.to(dtype)
    if x.mid.is_floating_point():
        if holds_all(dtype, x.mid.dtype):
            return Ball(mid, x.rad)
        # By the magnitude alone: it may be a majorant of many values (see `directions`).
        off = unit_roundoff(dtype) * x.mag + tiny(dtype) * (x.mag != 0).double()
        off = torch.where(mid.isinf() & ~x.mid.isinf(), torch.inf, off)
        return Ball(mid, x.radius() + torch.where(x.mid.isinf(), 0.0, off))
    if not needs_rounding(x.mid, dtype):
        return Ball(mid, x.rad)
    largest = int(2 / torch.finfo(dtype).eps)  # an integer, or torch compares in float32
    beyond = (x.mid > largest) | (x.mid < -largest)
    if not bool(beyond.any()):
        return Ball(mid, x.rad)
    return Ball(mid, x.radius() + 2 * unit_roundoff(dtype) * mid.abs().double() * beyond)


@no_type_check
def _number(value: float | int, dtype: torch.dtype) -> Ball:
    if isinstance(value, complex):
        raise NoErrorRule("complex numbers")
    held = torch.tensor(float(value), dtype=dtype).double()
    off = 0.0
    if not holds(dtype, value):
        off = max(abs(float(held) - float(value)), 2 * unit_roundoff(dtype) * abs(float(held)))
        off = off + tiny(dtype)
    if isinstance(value, Rounded):
        off = off + SPREAD * abs(float(held))
    return Ball(held, held.new_tensor(off) if off else None)


@no_type_check
def has_float(part: Any) -> bool:
    """Whether there is a ball or a floating-point tensor in an operation's arguments."""
    return any(
        isinstance(x, Ball) or (isinstance(x, Tensor) and (x.is_floating_point() or x.is_complex()))
        for x in leaves_of(part)
    )


@no_type_check
def of_integers(target: Any, result: Any, args: tuple[Any, ...]) -> Any:
    """`result`, unless it is floating though the arguments are integers, and perhaps rounded.

    torch divides integers in float32, for example; conversions and fills are exact where the
    type holds the numbers.

    Raises:
        NoErrorRule: it may be rounded; or it is random, or what the memory held.
    """
    if isinstance(result, Ball):
        return result
    entry = operation(target.overloadpacket.__name__)
    if entry.kind is Kind.UNSET or torch.Tag.nondeterministic_seeded in target.tags:
        raise NoErrorRule(entry.name)
    floating = isinstance(result, Tensor) and result.is_floating_point()
    if not floating or has_float(args) or not any(isinstance(a, Tensor) for a in args):
        return result
    if entry.kind not in _EXACT and entry.name not in ("constant_pad_nd", "scatter"):
        raise NoErrorRule(f"{entry.name} of integers")
    if not all(_held(a, result.dtype) for a in leaves_of(args)):
        raise NoErrorRule(f"{entry.name} of numbers beyond what {result.dtype} can hold")
    return result


_EXACT = (Kind.FILLS, Kind.SPREADS, Kind.SELECTS, Kind.CONVERTS)


@no_type_check
def _held(value: Any, dtype: torch.dtype) -> bool:
    if isinstance(value, Tensor):
        return value.is_floating_point() or as_ball(value, dtype).rad is None
    return not isinstance(value, int | float) or holds(dtype, value)
