"""L-BFGS, plain or in the metric of a Hessian, with failures as values."""

from __future__ import annotations

import math
from collections import deque

import torch
from torch import Tensor

from morsescape.critical.curvature import factored_at
from morsescape.critical.evaluations import Counted
from morsescape.critical.line_search import Sample, line_search
from morsescape.critical.loop import NOISE, Point, Stop, shortest_step
from morsescape.critical.quadratic_model import Absolute, Euclidean, Metric
from morsescape.hessian.regime import regime

_MEMORY = 50  # pairs kept: 10 need nearly twice as many gradients (digits)
_EPS = torch.finfo(torch.float64).eps


class QuasiNewton:
    """L-BFGS, in the coordinates y with θ = L⁻ᵀ y, where L Lᵀ is a metric.

    Unscaled L = I. Scaled, f looks round in the metric, for which the dense Hessian H is computed
    now and then: up to 1,500 variables s = |H|^-½ y, every 60 gradients, so that the first step is
    a saddle-free Newton step; above, where all eigenpairs cost too much, s = L⁻ᵀ y with L Lᵀ = H +
    shift·I, every 100. Later steps need no Hessian. A metric that is out of date costs gradients,
    never correctness.

    Args:
        problem: the landscape.
        scaled: whether in a metric of the Hessian.
        strict: a step counts only if the computed f falls; otherwise, where the fall is below the
            rounding of f, its slopes decide.

    Source:
        Liu & Nocedal, Mathematical Programming 45 (1989); Nocedal & Wright, Numerical Optimization
        (2006), algorithms 7.4 and 7.5.
    """

    def __init__(self, problem: Counted, *, scaled: bool, strict: bool = False) -> None:
        self.problem, self.scaled, self.strict = problem, scaled, strict
        self.route = regime(problem.dim)
        self.metric: Metric | None = None if scaled else Euclidean()
        self.pairs: deque[tuple[Tensor, Tensor, float]] = deque(maxlen=_MEMORY)
        self.evaluations = 0  # in this metric
        self.point: Point | None = None
        self.slope = torch.empty(0)  # there, with respect to y

    def step(self, point: Point) -> Point | Stop:
        """To the next point; STALLED where no step is good enough, with or without the pairs."""
        if self.metric is None or (self.scaled and self.evaluations >= self.route.renew):
            self.metric = None  # frees the old one before the new matrix is made
            self.metric, self.point, self.evaluations = self._metric(point.theta), None, 0
            if self.metric is None:
                return Stop.NOT_FINITE
        if point is not self.point:
            self.pairs.clear()
            self.point, self.slope = point, self.metric.solve(point.gradient)
        while True:
            towards = self._towards()
            found = self._search(point, self.metric, self.metric.solve_transposed(towards))
            if found is not None:
                break
            if not self.pairs:
                return Stop.STALLED
            self.pairs.clear()  # perhaps they mislead
        slope = self.metric.solve(found.point.gradient)
        self._remember(found.t * towards, slope - self.slope)
        self.point, self.slope = found.point, slope
        return found.point

    def _metric(self, theta: Tensor) -> Metric | None:
        if not self.route.eigenpairs:
            return factored_at(self.problem, theta)
        hessian = self.problem.hessian_at(theta)  # whose eigenpairs the proof wants too
        return Absolute(*hessian.eigh(), 2 * self.problem.f.l2) if hessian.finite else None

    def _search(self, point: Point, metric: Metric, direction: Tensor) -> Sample | None:
        def evaluate(t: float) -> Point:
            self.evaluations += 1
            return Point.at(self.problem, point.theta + t * direction)

        start = Sample(0.0, point, float(point.gradient @ direction))
        length = float(direction.norm())
        if not (-math.inf < start.slope < 0 and 0 < length < math.inf):
            return None
        known = bool(self.pairs) or metric.curved
        first = 1.0 if known else min(1.0, 1.0 / length)
        shortest = shortest_step(point) / length
        first = max(first, 1e3 * shortest)  # f may be flat, and θ large
        noise = 0.0 if self.strict else NOISE * abs(point.value)
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
