"""The one loop behind all methods: a model, a rule, a merit to lower, a radius that adapts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

import torch
from torch import Tensor

from morsescape.critical.curvature import Curvature
from morsescape.critical.evaluations import Counted
from morsescape.critical.quadratic_model import Model
from morsescape.critical.step_rules import RULES

_ACCEPT, _POOR, _GOOD = 1e-4, 0.25, 0.75  # Conn, Gould & Toint 2000, section 17.1
NOISE = 64 * torch.finfo(torch.float64).eps  # relative rounding of a computed f, roughly
_SMALLEST = 1e-15  # a step this small against θ changes nothing
_FAR = 100.0  # the first step, against the size of θ
_REFUSALS = 60  # in a row; each shrinks the radius faster, by 0.25^1830 in all
_BOTTOM = 1e12  # f this far below its start, against its size there, has no lower bound in sight


class Stop(Enum):
    """Why a loop ended; what that means is for the caller to find out."""

    CONVERGED = auto()
    STALLED = auto()
    STEP_LIMIT = auto()
    UNBOUNDED = auto()
    NOT_FINITE = auto()
    FAILED = auto()


@dataclass(frozen=True)
class Point:
    """A point with f and ∇f there."""

    theta: Tensor
    value: float
    gradient: Tensor

    @property
    def norm(self) -> float:
        """‖∇f‖."""
        return float(self.gradient.norm())

    @classmethod
    def at(cls, problem: Counted, theta: Tensor) -> Point:
        """Evaluate."""
        return cls(theta, *problem.value_and_gradient(theta))


Hook = Callable[[Point], None]


def bottom_below(start: Point) -> float:
    """Below this f has no lower bound in sight."""
    return start.value - _BOTTOM * (1 + abs(start.value))


def shortest_step(point: Point) -> float:
    """A step of this length changes nothing."""
    return _SMALLEST * max(float(point.theta.norm()), 1e-150)


@dataclass
class Loop:
    """Lower f (or ‖∇f‖) by `rule` on the models of `curvature` until ‖∇f‖ ≤ tol.

    Attributes:
        problem, curvature: the landscape and where its models come from.
        rule: name of a step rule; "levenberg" lowers ‖∇f‖, the others f.
        tol: on ‖∇f‖.
        max_steps: accepted steps at most.
        strict: accept only steps on which the computed f falls. Otherwise, where the fall is below
            the rounding of f, it is measured by the gradients at both ends.
        hook: called with every accepted point.
    """

    problem: Counted
    curvature: Curvature
    rule: str
    tol: float
    max_steps: int
    strict: bool = False
    hook: Hook | None = None
    steps: int = 0
    radius: float | None = None

    def run(self, point: Point) -> tuple[Point, Stop]:
        """Steps from `point` until something ends it."""
        if not math.isfinite(point.value):
            return point, Stop.UNBOUNDED if point.value == -math.inf else Stop.NOT_FINITE
        bottom = bottom_below(point)
        while point.norm > self.tol:
            if self.steps >= self.max_steps:
                return point, Stop.STEP_LIMIT
            model = self.curvature.model(point.theta, point.gradient)
            if model is None:
                return point, Stop.NOT_FINITE
            following = self._step(point, model)
            if following is None:
                return point, Stop.STALLED
            point = following
            self.steps += 1
            if self.hook is not None:
                self.hook(point)
            if point.value < bottom:
                return point, Stop.UNBOUNDED
        return point, Stop.CONVERGED

    def _step(self, point: Point, model: Model) -> Point | None:
        """The next point; None where no step of any length is good enough."""
        if self.radius is None or self.curvature.changed:
            self.radius = self._first_radius(point, model)
        shortest = shortest_step(point)
        refused = 0
        while True:
            y = RULES[self.rule](model, self.radius)
            step, length = model.step(y), float(y.norm())
            trial_theta = point.theta + step
            if not float(step.norm()) > shortest or torch.equal(trial_theta, point.theta):
                return None
            trial = Point.at(self.problem, trial_theta)
            if trial.value == -math.inf:
                return trial
            ratio = self._ratio(point, trial, step, model, y)
            refused = 0 if ratio > _ACCEPT else refused + 1
            self._adapt(ratio, length, refused)
            if not refused:
                return trial
            if refused > _REFUSALS:  # the radius is at the end of its range
                return None

    def _first_radius(self, point: Point, model: Model) -> float:
        """Newton's length with every curvature positive: free of scale. Too long costs values."""
        w = model.values.abs()
        newton = float((model.slope / w.clamp_min(1e-8 * float(w.max()) + 1e-130)).norm())
        farthest = min(newton, _FAR * max(1.0, float(point.theta.norm())))
        if self.rule == "levenberg":  # leaping far away would not find what is nearest
            along = float((w * model.slope).norm() / w.square().max().clamp_min(1e-130))
            farthest = min(farthest, 30 * along)
        if self.rule == "cubic":  # ‖y‖ = scale μ: about Newton's length at μ = the mean curvature
            farthest /= float(w.mean().clamp_min(1e-130))
        return max(farthest, 1e-130)

    def _adapt(self, ratio: float, length: float, refused: int) -> None:
        assert self.radius is not None
        # Refused again and again, the radius is decades too long: shrink it ever faster.
        shrink = 0.25 ** max(1, refused)
        if self.rule == "cubic":
            factor = shrink if ratio < _POOR else 3.0 if ratio > _GOOD else 1.0
            self.radius = min(max(self.radius * factor, 1e-130), 1e130)
        elif ratio < _POOR:
            self.radius = shrink * length
        elif ratio > _GOOD and length > 0.8 * self.radius:
            self.radius = min(3 * self.radius, 1e130)

    def _ratio(self, point: Point, trial: Point, step: Tensor, model: Model, y: Tensor) -> float:
        """How much the merit fell, against what the model said."""
        if not math.isfinite(trial.value):
            return -math.inf
        if self.rule == "levenberg":
            return self._gradient_ratio(point, trial, step, model)
        fall, predicted = point.value - trial.value, model.decrease(y)
        if self.strict and not fall > 0:
            return -math.inf
        noise = NOISE * max(abs(point.value), abs(trial.value))
        if predicted < 100 * noise and abs(fall) < 1000 * noise:
            # f's own digits are spent: the trapezoidal rule has the fall up to third order.
            fall = -float((point.gradient + trial.gradient) @ step) / 2
        return fall / predicted if predicted > 0 else -math.inf

    def _gradient_ratio(self, point: Point, trial: Point, step: Tensor, model: Model) -> float:
        if model.whole:
            y = model.vectors.t() @ step
            linear = model.slope + model.values * y
        else:
            linear = point.gradient + self.problem.hvp(point.theta, step)
        predicted = point.norm**2 - float(linear.norm()) ** 2
        fall = point.norm**2 - trial.norm**2
        return fall / predicted if predicted > 0 else -math.inf
