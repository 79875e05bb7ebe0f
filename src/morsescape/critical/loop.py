"""The one loop behind all methods: steps until ‖∇f‖ is small, or until something else ends it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from morsescape.critical.evaluations import Counted

NOISE = 64 * torch.finfo(torch.float64).eps  # relative rounding of a computed f, roughly
_SMALLEST = 1e-15  # a step this small against θ changes nothing
_BOTTOM = 1e12  # f this far below its start, against its size there, has no lower bound in sight


class Stop(Enum):
    """Why a loop ended; what that means is for the caller to find out."""

    CONVERGED = auto()
    STALLED = auto()
    STEP_LIMIT = auto()
    UNBOUNDED = auto()
    NOT_FINITE = auto()


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


@runtime_checkable
class Stepper(Protocol):
    """What makes a step. It may remember the steps before."""

    def step(self, point: Point) -> Point | Stop:
        """The next point; or why there is none."""


def shortest_step(point: Point) -> float:
    """A step of this length changes nothing."""
    return _SMALLEST * max(float(point.theta.norm()), 1e-150)


def run(
    stepper: Stepper, point: Point, *, tol: float, max_steps: int, hook: Hook | None = None
) -> tuple[Point, Stop]:
    """Steps from `point` until ‖∇f‖ ≤ tol or something else ends it; the hook hears of each."""
    if not math.isfinite(point.value):
        return point, Stop.UNBOUNDED if point.value == -math.inf else Stop.NOT_FINITE
    bottom, steps = point.value - _BOTTOM * (1 + abs(point.value)), 0
    while point.norm > tol:
        if steps >= max_steps:
            return point, Stop.STEP_LIMIT
        following = stepper.step(point)
        if isinstance(following, Stop):
            return point, following
        point, steps = following, steps + 1
        if hook is not None:
            hook(point)
        if point.value < bottom:
            return point, Stop.UNBOUNDED
    return point, Stop.CONVERGED
