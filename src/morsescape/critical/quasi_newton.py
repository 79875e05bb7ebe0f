"""L-BFGS, plain or in the metric of a Hessian, with failures as values."""

from __future__ import annotations

import math
from collections import deque

import torch
from torch import Tensor

from morsescape.critical.evaluations import Counted
from morsescape.critical.line_search import Sample, line_search
from morsescape.critical.loop import NOISE, Hook, Point, Stop, bottom_below, shortest_step
from morsescape.critical.quadratic_model import Absolute, Euclidean, Factored, Metric
from morsescape.critical.regime import DENSE

_MEMORY = 50  # pairs kept: 10 need nearly twice as many gradients (digits)
_RENEW = 60  # gradients in one metric; then the Hessian is worth its price again
_RENEW_FACTOR = 100  # where the Hessian and its factor cost more
_EPS = torch.finfo(torch.float64).eps


def lbfgs(
    problem: Counted, start: Point, *, tol: float, max_steps: int, hook: Hook | None = None,
    strict: bool = False,
) -> tuple[Point, Stop]:  # fmt: skip
    """Lower f by L-BFGS until ‖∇f‖ ≤ tol.

    With `strict` a step counts only if the computed f falls; otherwise, where the fall is below
    the rounding of f, its slopes decide.

    Source: Liu & Nocedal, Mathematical Programming 45 (1989).
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
        if not problem.hessian_at(point.theta).finite:
            return point, Stop.NOT_FINITE
        metric, renew = _metric(problem, point.theta)
        limits = max_steps - steps, renew
        following, stop = _run(problem, point, metric, tol, limits, count, strict)
        stuck = following is point
        point = following
        if stop is not Stop.STEP_LIMIT or stuck:
            return point, Stop.STALLED if stuck else stop
    return point, stop


def _metric(problem: Counted, theta: Tensor) -> tuple[Metric, int]:
    """The metric of a Hessian, and for how many gradients it is kept."""
    floor = 2 * problem.f.l2
    if problem.dim <= DENSE:
        return Absolute(*problem.hessian_at(theta).eigh(), floor), _RENEW
    return Factored(problem.handed_over(theta), floor), _RENEW_FACTOR


def _run(
    problem: Counted, start: Point, metric: Metric, tol: float, most: tuple[int, int],
    hook: Hook | None, strict: bool,
) -> tuple[Point, Stop]:  # fmt: skip
    """At most `most` steps and evaluations in one metric."""
    if not math.isfinite(start.value):
        return start, Stop.UNBOUNDED if start.value == -math.inf else Stop.NOT_FINITE
    run = _Run(problem, start, metric, strict)
    bottom, steps = bottom_below(start), 0
    while run.point.norm > tol:
        if steps >= most[0] or run.evaluations >= most[1]:
            return run.point, Stop.STEP_LIMIT
        if not run.step():
            return run.point, Stop.STALLED
        steps += 1
        if hook is not None:
            hook(run.point)
        if run.point.value < bottom:
            return run.point, Stop.UNBOUNDED
    return run.point, Stop.CONVERGED


class _Run:
    """L-BFGS in the coordinates y with θ = θ₀ + L⁻ᵀ y, where the metric is LLᵀ.

    Source: Nocedal & Wright, Numerical Optimization (2006), algorithms 7.4 and 7.5.
    """

    def __init__(self, problem: Counted, start: Point, metric: Metric, strict: bool) -> None:
        self.problem, self.point, self.metric, self.strict = problem, start, metric, strict
        self.slope = metric.solve(start.gradient)  # the gradient with respect to y
        self.pairs: deque[tuple[Tensor, Tensor, float]] = deque(maxlen=_MEMORY)
        self.evaluations = 0

    def step(self) -> bool:
        """To the next point; False where no step is good enough, with or without the pairs."""
        while True:
            towards = self._towards()
            found = self._search(self.metric.solve_transposed(towards))
            if found is not None:
                break
            if not self.pairs:
                return False
            self.pairs.clear()  # perhaps they mislead
        slope = self.metric.solve(found.point.gradient)
        self._remember(found.t * towards, slope - self.slope)
        self.point, self.slope = found.point, slope
        return True

    def _search(self, direction: Tensor) -> Sample | None:
        def evaluate(t: float) -> Point:
            self.evaluations += 1
            return Point.at(self.problem, self.point.theta + t * direction)

        start = Sample(0.0, self.point, float(self.point.gradient @ direction))
        length = float(direction.norm())
        if not (-math.inf < start.slope < 0 and 0 < length < math.inf):
            return None
        known = bool(self.pairs) or self.metric.curved
        first = 1.0 if known else min(1.0, 1.0 / length)
        shortest = shortest_step(self.point) / length
        first = max(first, 1e3 * shortest)  # f may be flat, and θ large
        noise = 0.0 if self.strict else NOISE * abs(self.point.value)
        return line_search(evaluate, start, direction, first, shortest, noise)

    def _towards(self) -> Tensor:
        """-B⁻¹ times the slope, B being the quasi-Newton matrix of the pairs."""
        q, shares = -self.slope, []
        for s, y, product in reversed(self.pairs):
            shares.append(float(s @ q) / product)
            q = q - shares[-1] * y
        if self.pairs:
            _, y, product = self.pairs[-1]
            q = q * (product / float(y @ y))
        for s, y, product in self.pairs:
            q = q + (shares.pop() - float(y @ q) / product) * s
        return q

    def _remember(self, s: Tensor, y: Tensor) -> None:
        product, size = float(s @ y), float(y @ y)
        if not 0 < size < math.inf:
            return
        if product > _EPS * float(s.norm() * y.norm()):  # B stays positive definite
            self.pairs.append((s, y, product))
