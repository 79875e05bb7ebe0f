"""Curves whose control points are trained: Bézier curves and chains of straight segments."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float64
from scipy.optimize import minimize
from torch import Tensor

from morsescape.boundary import Rule, a_count, a_number, checked, choice
from morsescape.critical.curvature import metric_at
from morsescape.critical.evaluations import Counted
from morsescape.critical.quadratic_model import Euclidean, Metric
from morsescape.errors import ArgumentError
from morsescape.hessian.regime import regime
from morsescape.model.reverse import value_and_gradient
from morsescape.objective import Objective
from morsescape.paths.curve import Curve
from morsescape.paths.descent import adam, momentum
from morsescape.paths.found import COMMON, Found, check_ends, hessian_cost, line
from morsescape.paths.images import Images
from morsescape.paths.nodes import Nodes, drawn, fixed
from morsescape.progress import StageProgress

_PAIRS = 30  # of L-BFGS
_DECAY = 5e-4
_BATCH, _DRAWN = 128, 2_000  # samples of a step, and steps, where t is drawn
_STEPS = 500  # of L-BFGS

_RULES: dict[str, Rule] = COMMON | {
    "measure": choice(("t", "arclength")), "optimiser": choice(("auto", "lbfgs", "adam", "sgd")),
    "nodes": a_count(2, most=10_000), "restarts": a_count(1), "rate": a_number(above=0),
    "batch": a_count(1), "times": a_count(1, most=10_000), "decay": a_number(least=0),
}  # fmt: skip


@checked(str, **_RULES, degree=a_count(2, most=30))
def bezier(
    f: Objective,
    a: Float64[Tensor, "D"],
    b: Float64[Tensor, "D"],
    *,
    degree: int = 2,
    measure: str = "t",
    optimiser: str = "auto",
    nodes: int = 16,
    restarts: int = 1,
    rate: float = 0.003,
    batch: int | None = None,
    times: int = 1,
    decay: float | None = None,
    seed: int = 0,
    max_steps: int | None = None,
    tol: float = 1e-6,
    progress: StageProgress | None = None,
) -> Found:
    """The Bézier curve γ from a to b that minimises E f(γ(t)), t uniform in [0, 1].

    γ(t) = Σ_j C(k, j) t^j (1 - t)^(k - j) p_j with p_0 = a, p_k = b and free p_1, …, p_{k-1}, which
    start on the straight line. Degree 2 is (1 - t)² a + 2 t (1 - t) θ + t² b.

    Args:
        f: the landscape.
        a: the start.
        b: the end.
        degree: k ≥ 2.
        measure: "t" for the mean by t; "arclength" for ∫ f ‖γ′‖ dt / ∫ ‖γ′‖ dt.
        optimiser: "auto" takes "adam" with batches of 128 where f has twice as many samples and is
            a sum over them: within a few hundred gradients it is far below "lbfgs", which needs
            thousands, and is a little lower then. "lbfgs" minimises the sum at fixed Gauss–Legendre
            nodes, up to 12,000 variables in the metric of the Hessian in the middle; "adam" and
            "sgd" draw t anew in each step as Garipov et al. do, and know measure "t" only.
        nodes: so many t for "lbfgs".
        restarts: of "lbfgs": each after the first in nodes that are moved at random, so that no
            curve is low at the nodes only, and from the point before.
        rate: of "adam" and "sgd".
        batch: so many samples in each step of "adam" and "sgd", drawn anew; None takes all.
        times: so many t in each step of "adam" and "sgd".
        decay: κ of κ/2 Σ ‖p_j - q_j‖² that is added, q_j on the straight line. None takes 0 where f
            has a ridge, else 5e-4, the weight decay of Garipov et al.: without any, the lowest
            curve of an f that falls towards infinity is there.
        seed: of all that is drawn.
        max_steps: of the optimiser, in all; None takes 500 of "lbfgs", 2,000 of the others.
        tol: on the gradient by the control points, against that of the straight line, for "lbfgs".
        progress: called as progress(steps done, max_steps).

    Returns:
        The curve, what it cost, and how it ended.

    Raises:
        ArgumentError: ends that are the same, not finite, or of the wrong shape; a batch of an f
            without samples, or whose loss takes them all at once; "arclength" with drawn t.

    Source:
        Garipov, Izmailov, Podoprikhin, Vetrov & Wilson, NeurIPS (2018); Akhtiamov & Thomson.

    Example:
        >>> import torch, morsescape as ms
        >>> f = ms.Objective.from_function(lambda t: (t @ t - 1) ** 2, 2)
        >>> found = bezier(f, torch.tensor([-1.0, 0.1]).double(), torch.tensor([1.0, 0.1]).double())
        >>> found.curve.degree, f.value(found.curve(0.5)) < 0.1
        (2, True)
    """
    task = _Task(f, a, b, degree, None, measure, seed, max_steps, tol, progress, decay)
    return task.run(optimiser, nodes, restarts, _Drawing(rate, batch, times))


@checked(str, **_RULES, bends=a_count(1, most=1000))
def chain(
    f: Objective,
    a: Float64[Tensor, "D"],
    b: Float64[Tensor, "D"],
    *,
    bends: int = 1,
    measure: str = "t",
    optimiser: str = "auto",
    nodes: int = 16,
    restarts: int = 1,
    rate: float = 0.003,
    batch: int | None = None,
    times: int = 1,
    decay: float | None = None,
    seed: int = 0,
    max_steps: int | None = None,
    tol: float = 1e-6,
    progress: StageProgress | None = None,
) -> Found:
    """The polygon with so many bends from a to b that minimises E f(γ(t)), t uniform in [0, 1].

    Each segment takes an equal share of t. Arguments, results and errors as `bezier`, but for
    `bends`, the number of free points, and `nodes`, a whole number of which is on each segment.

    Source:
        Garipov et al., NeurIPS (2018), section 3.2.

    Example:
        >>> import torch, morsescape as ms
        >>> f = ms.Objective.from_function(lambda t: (t @ t - 1) ** 2, 2)
        >>> found = chain(f, torch.tensor([-1.0, 0.1]).double(), torch.tensor([1.0, 0.1]).double())
        >>> len(found.curve.pieces), f.value(found.curve(0.5)) < 0.3
        (2, True)
    """
    task = _Task(f, a, b, None, bends, measure, seed, max_steps, tol, progress, decay)
    return task.run(optimiser, nodes, restarts, _Drawing(rate, batch, times))


@dataclass(frozen=True)
class _Drawing:
    """How points and samples are drawn, and the steps that are made of them."""

    rate: float
    batch: int | None
    times: int

    def check(self, f: Objective, measure: str) -> None:
        if measure != "t":
            raise ArgumentError(
                "measure", expected="'t' where t is drawn", got=repr(measure),
                cure="take optimiser='lbfgs'",
            )  # fmt: skip
        if self.batch is not None and (not f.source.of_samples or f.source.loss.at_once):
            raise ArgumentError(
                "batch", expected="None for an f that is no sum over samples", got=self.batch,
                cure="leave it out",
            )  # fmt: skip


@dataclass
class _Task:
    f: Objective
    a: Tensor
    b: Tensor
    degree: int | None
    bends: int | None
    measure: str
    seed: int
    max_steps: int | None
    tol: float
    progress: StageProgress | None
    decay: float | None = None

    def run(self, optimiser: str, nodes: int, restarts: int, drawing: _Drawing) -> Found:
        check_ends(self.f, self.a, self.b)
        if optimiser == "auto":
            many = self._many() and self.measure == "t"
            optimiser = "adam" if many else "lbfgs"
            drawing = replace(drawing, batch=drawing.batch or _BATCH) if many else drawing
        if self.max_steps is None:
            self.most = _STEPS if optimiser == "lbfgs" else _DRAWN
        else:
            self.most = self.max_steps
        if optimiser != "lbfgs":
            drawing.check(self.f, self.measure)
        self.generator = torch.Generator().manual_seed(self.seed)
        self.images, self.more, self.steps = Images(self.f), 0, 0
        self.samples = 0  # of which mini-batches took gradients
        self.points = line(self.a, self.b, self.free + 2)
        self.straight = self.points[1:-1].clone()
        self.kappa = (0.0 if self.f.l2 else _DECAY) if self.decay is None else self.decay
        lbfgs = optimiser == "lbfgs"
        note = self._lbfgs(nodes, restarts) if lbfgs else self._drawn(drawing, optimiser == "adam")
        spent = self.images.gradients + self.more - (-self.samples // self.f.source.samples)
        return Found(self.curve(), spent, note)

    def _many(self) -> bool:
        """Whether a batch stands for all samples, and is much less work."""
        source = self.f.source
        return source.of_samples and not source.loss.at_once and source.samples >= 2 * _BATCH

    @property
    def free(self) -> int:
        """How many points are free."""
        return self.degree - 1 if self.degree is not None else self.bends or 0

    def curve(self) -> Curve:
        """The curve with the points as they are."""
        if self.degree is None:
            return Curve.chain(self.points.clone())
        return Curve(self.points.clone()[None])

    def _tell(self) -> None:
        self.steps += 1
        if self.progress is not None:
            self.progress(min(self.steps, self.most), self.most)

    # -- fixed nodes ----------------------------------------------------------------------------

    def _lbfgs(self, nodes: int, restarts: int) -> str:
        metric = self._metric()
        note = ""
        for k in range(restarts):
            jitter = None if k == 0 else self.generator
            left = max(1, (self.most - self.steps) // (restarts - k))
            note = self._minimised(fixed(self.degree, self.free, nodes, jitter), metric, left)
        return note

    def _metric(self) -> Metric:
        """Of the Hessian in the middle of the line, where f is large."""
        if not regime(self.f.dim).dense:
            return Euclidean()
        self.more += hessian_cost(self.f)
        return metric_at(Counted(self.f), (self.a + self.b) / 2) or Euclidean()

    def _minimised(self, nodes: Nodes, metric: Metric, most: int) -> str:
        start = self.points[1:-1].clone()
        first = self._mean(nodes)[1]
        size = float(metric.solve(first.t().contiguous()).norm())

        def placed(y: np.ndarray) -> None:
            moved = torch.from_numpy(y.reshape(self.f.dim, self.free).copy())
            self.points[1:-1] = start + metric.solve_transposed(moved).t()

        def mean(y: np.ndarray) -> tuple[float, np.ndarray]:
            placed(y)
            value, gradient = self._mean(nodes)
            return value, metric.solve(gradient.t().contiguous()).numpy().ravel()

        found = minimize(
            mean, np.zeros(start.numel()), jac=True, method="L-BFGS-B",
            callback=lambda _: self._tell(),
            options={
                "maxiter": most, "maxcor": _PAIRS, "gtol": self.tol * size / start.numel() ** 0.5,
                "ftol": 1e-3 * self.tol, "maxfun": 3 * most,
            },
        )  # fmt: skip
        placed(found.x)
        return f"L-BFGS after {self.steps} steps: {str(found.message).lower()}"

    def _mean(self, nodes: Nodes) -> tuple[float, Tensor]:
        """What is minimised, and its gradient by the free points."""
        value, by_points = self._mean_of_f(nodes)
        off = self.points[1:-1] - self.straight
        return value + self.kappa / 2 * float(off.square().sum()), by_points + self.kappa * off

    def _mean_of_f(self, nodes: Nodes) -> tuple[float, Tensor]:
        values, gradients = self.images(nodes.basis @ self.points)
        if self.measure == "t":
            weights = nodes.weights
            by_points = nodes.basis.t() @ (weights[:, None] * gradients)
            return float(weights @ values), by_points[1:-1]
        velocity = nodes.rates @ self.points
        speed = velocity.norm(dim=1).clamp_min(1e-300)
        weights = nodes.weights * speed / (nodes.weights @ speed)
        value = float(weights @ values)
        # The weights move as well: ∂‖γ′‖ = γ′ · ∂γ′ / ‖γ′‖.
        tilt = ((values - value) * weights / speed.square())[:, None] * velocity
        by_points = nodes.basis.t() @ (weights[:, None] * gradients) + nodes.rates.t() @ tilt
        return value, by_points[1:-1]

    # -- drawn nodes ----------------------------------------------------------------------------

    def _drawn(self, drawing: _Drawing, adaptive: bool) -> str:
        move = adam(drawing.rate) if adaptive else momentum(drawing.rate)
        for _ in range(self.most):
            nodes = drawn(self.degree, self.free, drawing.times, self.generator)
            points = nodes.basis @ self.points
            gradients = self._gradients(points, drawing.batch)
            by_points = (nodes.basis.t() @ (nodes.weights[:, None] * gradients))[1:-1]
            by_points = by_points + self.kappa * (self.points[1:-1] - self.straight)
            if not bool(by_points.isfinite().all()):
                return f"f is not finite after {self.steps} steps"
            self.points[1:-1] += move(by_points)
            self._tell()
        return f"{self.steps} steps with t drawn at random"

    def _gradients(self, points: Tensor, batch: int | None) -> Tensor:
        source = self.f.source
        if batch is None or batch >= source.samples:
            return self.images(points)[1]
        places = torch.randperm(source.samples, generator=self.generator)[:batch]
        share = source.on(*source.some(places))
        self.samples += len(points) * batch
        scale, found = source.samples / batch, []
        for point in points:
            found.append(scale * value_and_gradient(share, point)[1] + 2 * self.f.l2 * point)
        return torch.stack(found)
