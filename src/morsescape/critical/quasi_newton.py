"""L-BFGS by SciPy, plain or in the metric of a Hessian, with failures as values."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from morsescape.critical.counted import Counted
from morsescape.critical.descent import Hook, Point, Stop
from morsescape.critical.models import Absolute, Euclidean, Factored, Metric
from morsescape.critical.sizes import DENSE

_MEMORY = 50  # pairs kept: SciPy's default of 10 needs nearly twice as many gradients (digits)
_RENEW = 60  # gradients in one metric; then the Hessian is worth its price again
_RENEW_FACTOR = 100  # where the Hessian and its factor cost more


def lbfgs(
    problem: Counted, start: Point, *, tol: float, max_steps: int, hook: Hook | None = None,
    strict: bool = False,
) -> tuple[Point, Stop]:  # fmt: skip
    """Lower f by L-BFGS until ‖∇f‖ ≤ tol, which SciPy's own tests cannot say in this norm.

    With `strict` a step counts only if the computed f falls; otherwise also if ‖∇f‖ does.

    Source: Byrd, Lu, Nocedal & Zhu (1995), L-BFGS-B as in SciPy.
    """
    return _run(problem, start, Euclidean(), tol, (max_steps, 20 * max_steps), hook, strict)


def scaled_lbfgs(
    problem: Counted, start: Point, *, tol: float, max_steps: int, hook: Hook | None = None,
    strict: bool = False,
) -> tuple[Point, Stop]:  # fmt: skip
    """L-BFGS in coordinates in which f looks round, with the dense Hessian H every 60 gradients.

    Up to 1,500 variables s = |H|^-½ y, so that the first step is a saddle-free Newton step; above,
    where all eigenpairs cost too much, s = L⁻ᵀ y with LLᵀ = H + shift·I, every 100 gradients. Later
    steps need no Hessian. A metric that is out of date costs gradients, never correctness.
    """
    point, stop, steps = start, Stop.STEP_LIMIT, 0

    def count(at: Point) -> None:
        nonlocal steps
        steps += 1
        if hook is not None:
            hook(at)

    if not math.isfinite(start.value) or start.norm <= tol:
        return _run(problem, start, Euclidean(), tol, (max_steps, 1), hook, strict)
    while steps < max_steps:
        hessian = problem.handed_over(point.theta)
        if not bool(hessian.isfinite().all()):
            return point, Stop.NOT_FINITE
        metric, renew = _metric(hessian, 2 * problem.f.l2)
        limits = max_steps - steps, renew
        following, stop = _run(problem, point, metric, tol, limits, count, strict)
        stuck = following is point
        point = following
        if stop is not Stop.STEP_LIMIT or stuck:
            return point, Stop.STALLED if stuck else stop
    return point, stop


def _metric(hessian: Tensor, floor: float) -> tuple[Metric, int]:
    """The metric of a Hessian, and for how many gradients it is kept."""
    if len(hessian) <= DENSE:
        return Absolute(hessian, floor), _RENEW
    return Factored(hessian, floor), _RENEW_FACTOR


def _run(
    problem: Counted, start: Point, metric: Metric, tol: float, most: tuple[int, int],
    hook: Hook | None, strict: bool,
) -> tuple[Point, Stop]:  # fmt: skip
    """At most `most` steps and evaluations in one metric."""
    if not math.isfinite(start.value):
        return start, Stop.UNBOUNDED if start.value == -math.inf else Stop.NOT_FINITE
    if start.norm <= tol or most[0] <= 0:
        return start, Stop.CONVERGED if start.norm <= tol else Stop.STEP_LIMIT
    run = _Run(problem, start, metric, tol, most[1], hook, strict)
    result = minimize(
        run.value_and_gradient,
        np.zeros(problem.dim),
        jac=True,
        method="L-BFGS-B",
        callback=run.after_step,
        options={
            "maxcor": _MEMORY,
            "maxiter": most[0],
            "maxfun": 40 * most[1],  # the callback stops earlier, between two steps
            "ftol": 0.0,
            "gtol": 0.0,
            "maxls": 40,
        },
    )
    if run.best.norm <= tol:
        return run.best, Stop.CONVERGED
    if run.best.value < run.bottom:
        return run.best, Stop.UNBOUNDED
    limit = result.nit >= most[0] or run.evaluations >= most[1]
    return run.best, Stop.STEP_LIMIT if limit else Stop.STALLED


class _Run:
    def __init__(
        self, problem: Counted, start: Point, metric: Metric, tol: float, most: int,
        hook: Hook | None, strict: bool,
    ) -> None:  # fmt: skip
        self.problem, self.metric, self.tol, self.hook = problem, metric, tol, hook
        self.best = self.last = self.start = start
        self.most, self.strict, self.evaluations = most, strict, 0
        self.worst = start.value
        self.bottom = start.value - 1e12 * (1 + abs(start.value))

    def value_and_gradient(self, y: np.ndarray) -> tuple[float, np.ndarray]:
        self.last = self._at(torch.from_numpy(y.copy()))
        if math.isfinite(self.last.value):
            self.worst = max(self.worst, self.last.value)
            return self.last.value, self.metric.solve(self.last.gradient).numpy()
        if self.last.value == -math.inf:
            self.best = self.last
            return -1e300, np.zeros_like(y)
        # A wall that the line search can interpolate against: NaN would end it at once.
        return self.worst + abs(self.worst) + 1.0, np.zeros_like(y)

    def _at(self, y: Tensor) -> Point:
        if not bool(y.any()):
            return self.start  # known already
        self.evaluations += 1
        return Point.at(self.problem, self.start.theta + self.metric.solve_transposed(y))

    def after_step(self, intermediate_result: object) -> None:
        falls = self.last.value < self.best.value
        if falls or not self.strict:
            if self.last.value <= self.best.value or self.last.norm < self.best.norm:
                self.best = self.last
            if self.hook is not None:
                self.hook(self.best)
        spent = self.evaluations >= self.most
        if self.best.norm <= self.tol or self.best.value < self.bottom or spent:
            raise StopIteration
