"""A step length along a descent direction: weak Wolfe conditions, by bracketing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from morsescape.critical.loop import Point

_FALL, _FLATTER = 1e-4, 0.8  # Wolfe: share of the fall along the slope; of the slope that is left
_EVALUATIONS = 40
_MARGIN = 0.1  # of the bracket that interpolation keeps away from its ends
_FARTHER = 0.01, 9.0  # extrapolation, in multiples of the last step
_EPS = torch.finfo(torch.float64).eps


@dataclass(frozen=True)
class Sample:
    """Length t along the direction, the point there, and the slope d f / d t."""

    t: float
    point: Point
    slope: float

    @property
    def value(self) -> float:
        """The value of f."""
        return self.point.value


def line_search(
    evaluate: Callable[[float], Point], start: Sample, direction: Tensor, first: float,
    shortest: float, noise: float,
) -> Sample | None:  # fmt: skip
    """A length t with f(t) ≤ f(0) + 1e-4 t f'(0) and f'(t) ≥ 0.8 f'(0); None if there is none.

    The bracket [low, high] has the fall at `low`, where the slope is still too steep, and lacks it
    at `high`; between them lies such a t, whether f is smooth or not (Lewis & Overton 2013). The
    next t is where the cubic through both ends, values and slopes, is least.

    Args:
        evaluate: t -> the point there; f may be infinite or NaN, which bounds the bracket.
        start: t = 0, with a negative slope.
        direction: (D,).
        first: the t to try first.
        shortest: a t that changes nothing.
        noise: rounding of f. Where f falls by less, its slopes decide (Hager & Zhang 2005): then f
            may seem to rise by this much. 0 takes only what falls.
    """
    before, low, high, t = start, start, None, first
    for _ in range(_EVALUATIONS):
        point = evaluate(t)
        here = Sample(t, point, float(point.gradient @ direction))
        if point.value == -math.inf:
            return here
        if not _falls(start, here, noise):
            high = here
        elif here.slope < _FLATTER * start.slope:
            before, low = low, here
        else:
            return here
        following = _beyond(before, low) if high is None else _between(low, high)
        narrow = high is not None and high.t - low.t <= shortest
        if narrow or abs(following - t) <= _EPS * t:
            break
        t = following
    return low if low.t > shortest else None


def _falls(start: Sample, here: Sample, noise: float) -> bool:
    if not math.isfinite(here.value) or not math.isfinite(here.slope):
        return False
    if here.value < start.value and here.value <= start.value + _FALL * here.t * start.slope:
        return True
    by_slope = here.slope <= (2 * _FALL - 1) * start.slope
    return noise > 0 and by_slope and here.value <= start.value + noise


def _beyond(before: Sample, low: Sample) -> float:
    """Farther than `low`, which lies farther than `before`."""
    step = low.t - before.t
    least, most = low.t + _FARTHER[0] * step, low.t + _FARTHER[1] * step
    found = _cubic(before, low)
    return (least + most) / 2 if found is None or found < low.t else min(max(found, least), most)


def _between(low: Sample, high: Sample) -> float:
    """Inside the bracket, whichever of its ends is farther."""
    width = high.t - low.t
    found = _cubic(low, high) if math.isfinite(high.value) else low.t + width / 4
    if found is None or not math.isfinite(found):
        return low.t + width / 2
    ends = low.t + _MARGIN * width, high.t - _MARGIN * width
    return min(max(found, min(ends)), max(ends))


def _cubic(a: Sample, b: Sample) -> float | None:
    """Where the cubic with the values and slopes at both has its minimum; None if it has none.

    Source: Nocedal & Wright, Numerical Optimization (2006), equation 3.59.
    """
    step = b.t - a.t
    first = a.slope + b.slope - 3 * (a.value - b.value) / (a.t - b.t)
    root = first * first - a.slope * b.slope
    if not root >= 0:
        return None
    second = math.copysign(math.sqrt(root), step)
    below = b.slope - a.slope + 2 * second
    return None if below == 0 else b.t - step * (b.slope + second - first) / below
