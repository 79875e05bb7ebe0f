"""L-BFGS by SciPy, with failures as values."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.optimize import minimize

from morsescape.critical.counted import Counted
from morsescape.critical.descent import Hook, Point, Stop

_MEMORY = 20  # pairs kept; 10 is SciPy's default, and doubling it costs less than a gradient


def lbfgs(
    problem: Counted, start: Point, *, tol: float, max_steps: int, hook: Hook | None = None
) -> tuple[Point, Stop]:
    """Lower f by L-BFGS until ‖∇f‖ ≤ tol, which SciPy's own tests cannot say in this norm.

    Source: Byrd, Lu, Nocedal & Zhu (1995), L-BFGS-B as in SciPy.
    """
    if not math.isfinite(start.value):
        return start, Stop.UNBOUNDED if start.value == -math.inf else Stop.NOT_FINITE
    if start.norm <= tol or max_steps <= 0:
        return start, Stop.CONVERGED if start.norm <= tol else Stop.STEP_LIMIT
    run = _Run(problem, start, tol, hook)
    result = minimize(
        run.value_and_gradient,
        start.theta.numpy(),
        jac=True,
        method="L-BFGS-B",
        callback=run.after_step,
        options={
            "maxcor": _MEMORY,
            "maxiter": max_steps,
            "maxfun": 20 * max_steps,
            "ftol": 0.0,
            "gtol": 0.0,
            "maxls": 40,
        },
    )
    if run.best.norm <= tol:
        return run.best, Stop.CONVERGED
    if run.best.value < run.bottom:
        return run.best, Stop.UNBOUNDED
    return run.best, Stop.STEP_LIMIT if result.nit >= max_steps else Stop.STALLED


class _Run:
    def __init__(self, problem: Counted, start: Point, tol: float, hook: Hook | None) -> None:
        self.problem, self.tol, self.hook = problem, tol, hook
        self.best = self.last = start
        self.worst = start.value
        self.bottom = start.value - 1e12 * (1 + abs(start.value))

    def value_and_gradient(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        self.last = Point.at(self.problem, torch.from_numpy(x.copy()))
        if math.isfinite(self.last.value):
            self.worst = max(self.worst, self.last.value)
            return self.last.value, self.last.gradient.numpy()
        if self.last.value == -math.inf:
            self.best = self.last
            return -1e300, np.zeros_like(x)
        # A wall that the line search can interpolate against: NaN would end it at once.
        return self.worst + abs(self.worst) + 1.0, np.zeros_like(x)

    def after_step(self, intermediate_result: object) -> None:
        if self.last.value <= self.best.value or self.last.norm < self.best.norm:
            self.best = self.last
        if self.hook is not None:
            self.hook(self.best)
        if self.best.norm <= self.tol or self.best.value < self.bottom:
            raise StopIteration
