r"""Functions of one variable t, enclosed on an interval with their first two derivatives.

Where the inputs of a recorded program move along a curve, every number x in it is a function of t.
On [c - r, c + r] a `Jet` encloses

    x(c), x′(c), x′(t) and x″(t) for all t of the interval,

as balls, whose centres are what float64 computes and whose radii hold both what t does and what
rounding does. From these follow two enclosures of x(t), of which the narrower is kept:

    x(c) + x′(c) s + x″(τ) s² / 2  and  x(c) + x′(τ) s,  |s| ≤ r  (Taylor; mean value),

so that what depends on t in the same way at many places cancels, as in W(t) u for a straight W(t).
Where a function of t has a kink, x″ is unknown (its radius is infinite), and x′ encloses the slopes
of all pieces: Lipschitz functions have a derivative almost everywhere, and their mean values are
means of it (Clarke 1983, proposition 2.2.7).

How numbers move through an operation is read off the table of operations: what moves entries or is
linear acts on each part, products obey Leibniz' rule, pieces are told apart where that is certain.
Any other operation is recorded with torch's forward derivatives of it, once for its shapes, and the
program is run on balls; so what has a ball rule and forward derivatives needs no rule here.

Before the first bent operation all numbers are polynomials in t (`Poly`), the same on every
interval; they are computed once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from morsescape.rounding.balls import Ball
from morsescape.rounding.enclose import Enclosure
from morsescape.rounding.nests import leaves_of

aten = torch.ops.aten
_WIDER = 1 + 2.0**-48  # of radii computed here: a few roundings each
_LACK = 2.0**-34  # of a radius: half a million roundings in a row, of terms that are not negative
_RUN = Enclosure()


def carried(operation: Any, *args: Any, **kwargs: Any) -> Any:
    """An operation on balls."""
    return _RUN(operation, args, kwargs)


def plus(a: Ball | None, b: Ball | None) -> Ball | None:
    """The sum, where None is exactly 0."""
    if a is None or b is None:
        return b if a is None else a
    total: Ball = carried(aten.add.Tensor, a, b)
    return total


def ends(x: Ball) -> tuple[Tensor, Tensor]:
    """Bounds on the ball from below and above, rounded outwards.

    What is decided or claimed is read off here, so here radii get what their own rounding may lack.
    """
    mid, rad = x.mid.double(), x.radius()
    slack = (2.0**-50 * mid.abs() + _LACK * rad).masked_fill(rad == 0, 0.0)  # exact, infinity too
    endless = torch.inf  # a radius that is no number, of 0 times infinity, says nothing
    return (mid - rad - slack).nan_to_num(nan=-endless, posinf=endless, neginf=-endless), (
        mid + rad + slack
    ).nan_to_num(nan=endless, posinf=endless, neginf=-endless)


def between(low: Tensor, high: Tensor) -> Ball:
    """The ball of an interval; one without bounds is around 0."""
    mid = (low / 2 + high / 2).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
    rad = torch.maximum(high - mid, mid - low) * _WIDER
    return Ball(mid, rad.nan_to_num(nan=torch.inf, posinf=torch.inf))


def narrower(a: Ball, b: Ball) -> Ball:
    """Of two enclosures, entry by entry, the one with the smaller radius."""
    first = ~(b.radius() < a.radius())
    if bool(first.all()):
        return a
    return select(first, a, b)


def select(first: Tensor, a: Ball, b: Ball) -> Ball:
    """Entries of a where `first`, else of b."""
    return Ball(torch.where(first, a.mid, b.mid), torch.where(first, a.radius(), b.radius()))


@dataclass(eq=False)
class Poly:
    """Σ_k x_k t^k with balls x_k, on all of [0, 1]; None is exactly 0."""

    parts: list[Ball | None]
    like: Tensor  # of the shape of the value

    def at(self, c: float, r: float) -> Jet:
        """The jet on [c - r, c + r]."""
        value = slope = bend = spread = None
        for k, part in enumerate(self.parts):
            if part is None:
                continue
            value = plus(value, part if k == 0 or c == 1 else scaled(part, c**k))
            if k >= 1:
                slope = plus(slope, part if k == 1 else scaled(part, k * c ** (k - 1)))
            if k >= 2:  # t^(k - 2) on the interval
                top = (c + r) ** (k - 2)
                low, high = ends(scaled(part, float(k * (k - 1))))
                small, large = min(max(c - r, 0.0) ** (k - 2), top), top
                corners = torch.stack([low * small, low * large, high * small, high * large])
                bend = plus(
                    bend,
                    wider(
                        between(corners.amin(0), corners.amax(0)), 2.0**-48 * corners.abs().amax(0)
                    ),
                )
        value = Ball(torch.zeros_like(self.like)) if value is None else value
        if slope is not None and bend is not None:
            spread = plus(slope, symmetric(bend, r))
        return Jet(value, slope, slope if bend is None else spread, bend, r)


def scaled(x: Ball, factor: float) -> Ball:
    """The ball times a number, whose own rounding is counted: powers of c are rounded."""
    out: Ball = carried(aten.mul.Tensor, x, factor)
    return Ball(out.mid, (out.radius() + 2.0**-50 * out.mag) * _WIDER)


def symmetric(x: Ball, r: float) -> Ball:
    """The products x s for all |s| ≤ r."""
    zero = torch.zeros_like(x.mid)
    return Ball(zero, (x.upper * r + torch.finfo(torch.float64).tiny) * _WIDER)


@dataclass(eq=False)
class Jet:
    """A function of t on [c - r, c + r]; None is exactly 0.

    Attributes:
        value, slope: x(c) and x′(c).
        slopes, bends: x′(t) and x″(t) for all t of the interval.
        r: half its length.
        known: another enclosure of x(t), if there is one.
        narrowed: whether `slopes` are known to be within x′(c) + x″(t) s, so entries that moved.
    """

    value: Ball
    slope: Ball | None
    slopes: Ball | None
    bends: Ball | None
    r: float
    known: Ball | None = None
    narrowed: bool = False

    def __post_init__(self) -> None:
        self._range: Ball | None = None
        if self.narrowed or self.slope is None or self.slopes is None:
            return
        if self.bends is not None:
            centred = plus(self.slope, symmetric(self.bends, self.r))
            assert centred is not None
            self.slopes = narrower(self.slopes, centred)

    @property
    def range(self) -> Ball:
        """x(t) for all t of the interval."""
        if self._range is None:
            self._range = self._enclosed()
        return self._range

    def _enclosed(self) -> Ball:
        if self.slopes is None:
            return self.value
        mean = wider(self.value, self.slopes.upper * self.r)
        if self.slope is not None:
            off = self.slope.upper * self.r
            if self.bends is not None:
                off = off + self.bends.upper * (self.r * self.r / 2)
            mean = narrower(mean, wider(self.value, off))
        return mean if self.known is None else narrower(mean, self.known)


def wider(x: Ball, by: Tensor) -> Ball:
    """The ball with a larger radius."""
    return Ball(x.mid, ((x.radius() + by) * _WIDER).nan_to_num(nan=torch.inf, posinf=torch.inf))


@dataclass(eq=False)
class Decision:
    """A boolean function of t: its value where it is certain on the whole interval, and doubts."""

    value: Tensor
    doubt: Tensor

    def settled(self, what: str) -> Tensor:
        """The value, if it is certain everywhere.

        Raises:
            Undecided: it is not.
        """
        if bool(self.doubt.any()):
            raise Undecided(what)
        return self.value


class Undecided(Exception):
    """A decision, or a formula, that is not known on an interval as wide as this."""


class Bent(Exception):
    """An operation makes something else of polynomials."""


def moving(part: Any) -> list[Any]:
    """The numbers in an argument that are functions of t."""
    return [x for x in leaves_of(part) if isinstance(x, Jet | Poly | Decision)]


def on_jets(*args: Any) -> None:
    """Say that polynomials will not do.

    Raises:
        Bent: there are some.
    """
    if any(isinstance(x, Poly) for x in moving(args)):
        raise Bent


def shape_of(x: Any) -> torch.Size:
    """Of a number's values."""
    if isinstance(x, Poly):
        return x.like.shape
    if isinstance(x, Jet):
        return x.value.mid.shape
    if isinstance(x, Decision):
        return x.value.shape
    return middle(x).shape if isinstance(x, Ball | Tensor) else torch.Size()


def middle(x: Any) -> Tensor:
    """What float64 has of a fixed number."""
    mid: Tensor = x.mid if isinstance(x, Ball) else x
    return mid


def zeros_of(x: Any) -> Ball:
    """Exact zeros in the shape of a moving number."""
    return Ball(torch.zeros(shape_of(x), dtype=torch.float64))
