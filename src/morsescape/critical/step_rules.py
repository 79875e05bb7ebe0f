r"""Step rules: from a quadratic model and a scale to a step. Each is one formula in w and c.

==================  ===================================================  =======================
rule                step y                                               scale
==================  ===================================================  =======================
trust_region        minimiser of the model on ‖y‖ ≤ scale                radius
saddle_free         -c / (|w| + μ), μ ≥ 0 least with ‖y‖ ≤ scale         radius
cubic               minimiser of the model + ‖y‖³ / (3 scale)            1/σ
levenberg           -w c / (w² + μ²), μ ≥ 0 least with ‖y‖ ≤ scale       radius
==================  ===================================================  =======================

The first three lower f. `levenberg` lowers ‖∇f‖² and so is drawn to critical points of any index:
it minimises the linearised ½‖∇f + H s‖² in the ball.

Sources: Moré & Sorensen (1983); Dauphin et al. (2014); Nesterov & Polyak (2006), Cartis, Gould &
Toint (2011); Levenberg (1944).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from scipy.optimize import brentq
from torch import Tensor

from morsescape.critical.evaluations import Counted
from morsescape.critical.loop import NOISE, Point
from morsescape.critical.quadratic_model import Model

_NULL = 1e-14  # relative to the largest |w|: below it, curvature is rounding
_LEAST = 1e-130  # a Hessian that vanishes counts as this, so that no square overflows


def trust_region(model: Model, radius: float) -> Tensor:
    """Y = -c / (w + μ) with μ ≥ max(0, -w₁) and ‖y‖ ≤ radius; in the hard case, w₁'s vector."""
    w, c = model.values, model.slope
    size = _size(model)
    # A little slack keeps w + μ away from zero, where the length of the step is all rounding.
    least = max(0.0, -float(w[0]) * (1 + 1e-10) + _NULL * size) if w[0] < _NULL * size else 0.0

    def at(shift: float) -> Tensor:
        return -c / (w + shift).clamp_min(_NULL * size)

    y = at(least)
    length = float(y.norm())
    if length <= radius:
        if w[0] >= -_NULL * size:
            return y
        # The hard case (Moré & Sorensen): the slope says nothing of the lowest curvature.
        y = y.clone()
        y[0] = _made_up(y, radius, c)
        return y
    return at(_shift(at, radius, least, float(c.norm()) / radius))


def saddle_free(model: Model, radius: float) -> Tensor:
    """Y = -c / (|w| + μ): Newton's step with every curvature counted as positive."""
    w, c = model.values.abs(), model.slope

    def at(shift: float) -> Tensor:
        return -c / (w + shift).clamp_min(_NULL * _size(model))

    if float(at(0.0).norm()) <= radius:
        return at(0.0)
    return at(_shift(at, radius, 0.0, float(c.norm()) / radius))


def cubic(model: Model, scale: float) -> Tensor:
    """The minimiser of c·y + ½ Σ w y² + ‖y‖³/(3 scale): it is y(μ) with ‖y‖ = scale · μ."""
    w, c = model.values, model.slope
    size = _size(model)
    least = max(0.0, -float(w[0]))

    def at(shift: float) -> Tensor:
        return -c / (w + shift).clamp_min(_NULL * size)

    def excess(shift: float) -> float:
        return float(at(shift).norm()) - scale * shift

    low = least + _NULL * size
    if excess(low) <= 0:  # the hard case again: make up the length along the lowest curvature
        y = at(low)
        y[0] = _made_up(y, scale * low, c)
        return y
    high = least + max(size, math.sqrt(float(c.norm()) / scale), 1e-300)
    while excess(high) > 0:
        high *= 4
    return at(brentq(excess, low, high, rtol=1e-12, xtol=1e-300))


def _made_up(y: Tensor, length: float, c: Tensor) -> float:
    """What y₀ must be for ‖y‖ = length, against the slope."""
    rest = float(y[1:].norm())
    return math.copysign(math.sqrt(max(length**2 - rest**2, 0.0)), -float(c[0]) or 1.0)


def levenberg(model: Model, radius: float) -> Tensor:
    """Y = -w c / (w² + μ²): what Levenberg and Marquardt do for the equations ∇f = 0."""
    w, c = model.values, model.slope
    size = _size(model)

    def at(shift: float) -> Tensor:
        kept = w.abs() > _NULL * size
        return torch.where(kept, -w * c / (w.square() + shift * shift).clamp_min(1e-300), 0.0)

    if float(at(0.0).norm()) <= radius:
        return at(0.0)
    return at(_shift(at, radius, 0.0, size + float(c.norm()) / radius))


# -- what a step is worth -------------------------------------------------------------------------


@dataclass(frozen=True)
class Trial:
    """A step s = V y from one point to another, and the model that proposed it."""

    problem: Counted
    model: Model
    start: Point
    end: Point
    y: Tensor
    step: Tensor
    strict: bool


def value_ratio(trial: Trial) -> float:
    """How much f fell, against what the model said."""
    start, end = trial.start, trial.end
    if not math.isfinite(end.value):
        return -math.inf
    fall, predicted = start.value - end.value, trial.model.decrease(trial.y)
    if trial.strict and not fall > 0:
        return -math.inf
    noise = NOISE * max(abs(start.value), abs(end.value))
    if predicted < 100 * noise and abs(fall) < 1000 * noise:
        # f's own digits are spent: the trapezoidal rule has the fall up to third order.
        fall = -float((start.gradient + end.gradient) @ trial.step) / 2
    return fall / predicted if predicted > 0 else -math.inf


def gradient_ratio(trial: Trial) -> float:
    """How much ‖∇f‖² fell, against what the model said."""
    start, end, model = trial.start, trial.end, trial.model
    if not math.isfinite(end.value):
        return -math.inf
    if model.whole:
        linear = model.slope + model.values * (model.vectors.t() @ trial.step)
    else:
        linear = start.gradient + trial.problem.hvp(start.theta, trial.step)
    predicted = start.norm**2 - float(linear.norm()) ** 2
    return (start.norm**2 - end.norm**2) / predicted if predicted > 0 else -math.inf


# -- the rules ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rule:
    """A step rule as data.

    Attributes:
        step: (model, scale) -> y.
        first: (model, farthest) -> the first scale, for a step about that long.
        ratio: how much of what was promised a step brought.
        radius: whether the scale is a bound on ‖y‖.
        to_zero: whether it lowers ‖∇f‖ instead of f.
    """

    step: Callable[[Model, float], Tensor]
    first: Callable[[Model, float], float] = lambda model, farthest: farthest
    ratio: Callable[[Trial], float] = value_ratio
    radius: bool = True
    to_zero: bool = False


def _near(model: Model, farthest: float) -> float:
    """Leaping far away would not find what is nearest."""
    w = model.values
    along = float((w * model.slope).norm() / w.square().max().clamp_min(1e-130))
    return min(farthest, 30 * along)


def _over_curvature(model: Model, farthest: float) -> float:
    """‖y‖ = scale μ: about the length asked for at μ = the mean curvature."""
    return farthest / float(model.values.abs().mean().clamp_min(1e-130))


RULES: dict[str, Rule] = {
    "trust-region": Rule(trust_region),
    "saddle-free": Rule(saddle_free),
    "cubic": Rule(cubic, first=_over_curvature, radius=False),
    "levenberg": Rule(levenberg, first=_near, ratio=gradient_ratio, to_zero=True),
}


def _size(model: Model) -> float:
    return float(model.values.abs().max().clamp_min(_LEAST))


def _shift(at: Callable[[float], Tensor], radius: float, least: float, reach: float) -> float:
    """μ ≥ least with ‖y(μ)‖ = radius, up to 1 %; the length falls with μ."""
    low, high = 0.0, max(reach, 1e-300)
    while float(at(least + high).norm()) > radius:
        low, high = high, 4 * high
    for _ in range(200):
        # Geometric while the bracket spans decades: μ may be anything from 1e-12 to 1e6.
        middle = math.sqrt(low * high) if low > 0 and high > 4 * low else (low + high) / 2
        if low == 0:
            middle = high / 16
        length = float(at(least + middle).norm())
        if 0.99 * radius <= length <= radius:
            return least + middle
        low, high = (middle, high) if length > radius else (low, middle)
        if high < 1e-290:
            break
    return least + high
