"""Does a claim about a derivative agree with differences?

Differences are never exact. A claim is refuted only where none of many lengths h agrees with it
and three successive ones agree with each other, far better than with the claim: truncation changes
a hundredfold between them, the jump of a kink tenfold, and rounding as it likes. What neither
agrees nor refutes is no opinion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from morsescape.errors import is_out_of_memory

_SAME = 1e-6  # of the larger of claim and difference: so well a difference quotient can agree
# What three quotients that refute a claim may differ by, of their distance from it and their size.
_STEADY = 0.03
_NOISE = 64 * torch.finfo(torch.float64).eps  # relative rounding of what is differenced, roughly
_TELLING = 1e-4  # of the larger of both; above it, that rounding hides too much to tell anything
# Lengths of the differences, in powers of ten of the size of θ, those that mostly do first. The
# shortest stay within one piece of a network that branches at millions of places.
_POWERS = (-4, -5, -3, -6, -2, -7, -8, -9, -10)
BESIDE = 1e-3  # of the size of θ: how far from it the gradient is compared


@dataclass
class Quotients:
    """(g(x + hv) - g(x - hv)) / 2h for many h, each computed when it is asked for."""

    function: Callable[[Tensor], Tensor]
    point: Tensor
    direction: Tensor
    agreed: bool = False

    def refute(self, claimed: Tensor, granted: float) -> Tensor | None:
        """What the quotients agree on, if that is not `claimed`; None if they refute nothing."""
        if not bool(claimed.isfinite().all()):
            return None
        found: list[tuple[float, Tensor, float]] = []
        for h in _lengths(self.point):
            quotient = self._at(h)
            if quotient is None:
                continue
            value, noise = quotient
            scale = max(float(value.norm()), float(claimed.norm()))
            if noise > _TELLING * scale:
                continue
            if float((value - claimed).norm()) <= _SAME * scale + noise + granted:
                self.agreed = True
                return None
            found.append((h, value, noise))
        return _steady(sorted(found, key=lambda each: each[0]), claimed)

    def _at(self, h: float) -> tuple[Tensor, float] | None:
        """The quotient and its rounding; None where it is not finite, or too short to see."""
        ahead = attempt(lambda: self.function(self.point + h * self.direction))
        behind = attempt(lambda: self.function(self.point - h * self.direction))
        if ahead is None or behind is None:
            return None
        if torch.equal(ahead, behind) and bool(ahead.any()):
            # An even function, or a step that rounding swallows: then the centre is the same too.
            centre = attempt(lambda: self.function(self.point))
            if centre is None or torch.equal(ahead, centre):
                return None
        value = (ahead - behind) / (2 * h)
        noise = _NOISE * max(float(ahead.norm()), float(behind.norm())) / h
        return (value, noise) if bool(value.isfinite().all()) else None


def _steady(found: list[tuple[float, Tensor, float]], claimed: Tensor) -> Tensor | None:
    """The middle one of three successive quotients that agree with each other, not with it."""
    for before, (_, here, _), after in zip(found, found[1:], found[2:], strict=False):
        apart = max(float((value - here).norm()) for _, value, _ in (before, after))
        off, size, noise = float((here - claimed).norm()), float(here.norm()), before[2]
        if apart <= _STEADY * off and apart <= _STEADY * size + noise:
            return here
    return None


def _lengths(point: Tensor) -> Iterable[float]:
    size = size_of(point)
    yield from (size * 10.0**power for power in _POWERS)
    small = float(point.norm())
    if 0 < small < 1e-3:  # f may live on the scale of a tiny θ
        yield from (small * 10.0**power for power in _POWERS[:5])


def size_of(theta: Tensor) -> float:
    """What lengths are measured in: |θ|, and at least 1."""
    return max(1.0, float(theta.norm()))


def apart_by(claimed: Tensor, found: Tensor) -> str:
    """How far apart, where their lengths do not show it."""
    off = float((claimed - found).norm())
    close = abs(float(claimed.norm()) - float(found.norm())) < 0.5 * off
    return f", {off:.3g} apart" if close else ""


def attempt(compute: Callable[[], Tensor]) -> Tensor | None:
    """What was asked for, if it can be computed and is finite: an opinion is never an error."""
    try:
        result = compute()
    except Exception as error:
        if is_out_of_memory(error):
            raise
        return None
    return result if bool(result.isfinite().all()) else None
