"""Random functions of one to five variables: programs of torch's operations, run twice."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch

import morsescape as ms

from . import exact as X
from .checks import Outcome, examine
from .operations import Step, draw, named, usable

LOSSY = frozenset(
    ("integers beyond 2^53", "float32 and back", "float16 and back", "float32 constant")
)
SCALES = (1e-300, 1e-160, 1e-20, 1e-8, 30.0, 800.0, 1e8, 1e150)


class Function:
    """Steps that each append a vector to a list; the value is a weighted sum of the last ones."""

    def __init__(self, rng: random.Random, first: tuple[str, ...] = ()) -> None:
        """`first`: names of operations that stand at its beginning, each on what the last made."""
        self.rng = rng
        self.smooth = rng.random() < 0.5 or bool(first)
        self.extreme = rng.random() < 0.1 and not first
        self.dim = rng.randint(1, 5)
        self.tiny = 0.3 if first else 0.03
        self.theta = [self._coordinate() for _ in range(self.dim)]
        if self.dim > 1 and rng.random() < 0.1:
            self.theta[1] = self.theta[0]
        self.steps: list[tuple[Step, tuple[int, ...]]] = []
        self.weights = [rng.choice((1.0, -1.0, 0.5, rng.gauss(0, 1))) for _ in range(3)]
        self.quadratic = rng.choice((0.0, 0.0, 0.5))
        self._grow([named(n, rng) for n in first], 0 if first else rng.randint(1, 7))
        self.tilt: torch.Tensor | None = None

    @property
    def near_zero(self) -> bool:
        """Where reciprocals are huge and cancel: float64 keeps no digit of what is left."""
        return any(0 < abs(t) < 1e-8 for t in self.theta)

    def _coordinate(self) -> float:
        rng = self.rng
        if self.extreme:
            return rng.choice(SCALES) * rng.uniform(-1, 1)
        kind = rng.random()
        if kind < self.tiny:
            return 1e-20 * rng.uniform(-1, 1)  # where t + 1 - 1 rounds to 0
        if kind < self.tiny + 0.07:
            return float(rng.choice((0, 1, -1, 2, 0.5, -3)))
        return rng.uniform(0.2, 1.5) if kind < 0.4 else rng.gauss(0, 1)

    def _grow(self, first: list[Step], count: int) -> None:
        pool = [torch.tensor(self.theta, dtype=torch.float64)]
        drawn = (self._draw() for _ in range(40))
        for k, step in enumerate((*first, *drawn)):
            if len(self.steps) >= count + len(first):
                return
            places = tuple(
                self.rng.choice((len(pool) - 1, self.rng.randrange(len(pool))))
                for _ in range(step.operands)
            )
            if k < len(first):
                places = (len(pool) - 1, max(0, len(pool) - 2))[: step.operands]
            try:
                out = step.torch(*(pool[k] for k in places))
            except (RuntimeError, IndexError):
                continue
            if usable(out, self.extreme):
                pool.append(out)
                self.steps.append((step, places))

    def _draw(self) -> Step:
        return draw(self.rng, self.smooth)

    def plant(self) -> None:
        """Tilt the function so that ∇f(θ) = 0 up to rounding, then step away from θ a little."""
        theta = torch.tensor(self.theta, dtype=torch.float64, requires_grad=True)
        value = self.by_torch(theta)
        if not value.requires_grad:
            return
        (self.tilt,) = torch.autograd.grad(value, theta)
        if self.rng.random() < 0.6:
            off = 10.0 ** -self.rng.uniform(1, 9)
            self.theta = [t + off * self.rng.gauss(0, 1) for t in self.theta]

    def by_torch(self, theta: torch.Tensor) -> torch.Tensor:
        pool = [theta]
        for step, places in self.steps:
            pool.append(step.torch(*(pool[k] for k in places)))
        value = sum(w * part.sum() for w, part in zip(self.weights, pool[:0:-1], strict=False))
        value = value + self.quadratic * (theta * theta).sum() + 0.0 * theta.sum()
        return value if self.tilt is None else value - (self.tilt * theta).sum()

    def exact(self, theta: np.ndarray) -> Any:
        pool, used = [theta], self._used()
        for k, (step, places) in enumerate(self.steps, 1):
            # What the value does not read may have no value at all, as a root of a negative number.
            pool.append(step.exact(*(pool[p] for p in places)) if k in used else None)
        value: Any = X.jet(0)
        for w, part in zip(self.weights, pool[:0:-1], strict=False):
            value = value + X.total(part) * X.number(w)
        if self.quadratic:
            value = value + X.total(theta * theta) * X.number(self.quadratic)
        if self.tilt is not None:
            value = value - X.total(X.array(self.tilt) * theta)
        return value

    def _used(self) -> set[int]:
        """Places in the pool that the value depends on."""
        used = set(range(len(self.steps), 0, -1)[: len(self.weights)])
        for k in range(len(self.steps), 0, -1):
            if k in used:
                used.update(self.steps[k - 1][1])
        return used


PLANTED = "critical point planted"


def draw_one(
    seed: int, first: tuple[str, ...] = (), critical: bool | None = None
) -> tuple[Function, bool, tuple[str, ...]]:
    """The function of a seed, whether a critical point is planted in it, the names of its parts."""
    rng = random.Random(f"functions {seed}")
    drawn = Function(rng, first)
    if critical is None:
        critical = drawn.smooth and not drawn.extreme and rng.random() < 0.4
    if critical:
        drawn.plant()
    names = tuple(dict.fromkeys(step.name for step, _ in drawn.steps))
    return drawn, critical, (*names, PLANTED) if critical else names


def case(seed: int, first: tuple[str, ...] = (), critical: bool | None = None) -> Outcome:
    """The case of a seed; with `first` or `critical` one that is made to measure."""
    drawn, critical, parts = draw_one(seed, first, critical)
    rng = random.Random(f"functions, ridge {seed}")
    l2 = rng.choice((0.0, 0.0, 0.0, 1e-3, 0.5, 1e10 if rng.random() < 0.3 else 0.1))
    l2 = 0.0 if critical else l2
    theta = torch.tensor(drawn.theta, dtype=torch.float64)

    def build() -> ms.Objective:
        f = ms.Objective.from_function(drawn.by_torch, drawn.dim, l2=l2)
        f.theta = theta
        return f

    return examine(
        Outcome("functions", seed, parts), build, drawn.exact, seed=seed, critical=critical,
        loose=drawn.extreme or bool(LOSSY.intersection(parts)) or drawn.near_zero,
    )  # fmt: skip
