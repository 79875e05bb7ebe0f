r"""Eigenvector-following: from near a pass to the critical point of index 1 on it.

Uphill along one mode of the Hessian, downhill along all others (`climb_models`), in a trust region.
A step is taken if the model told the gradient at its end: e = ∇f(θ + s) - ∇f(θ) - H s is small
against ∇f(θ). Both are measured as steps, by ‖|H|⁻¹ e‖: an error along stiff modes, which the next
step corrects at no cost, would else keep the steps along soft ones short. On networks of 760
weights that more than halves the Hessians (15 of 16 starts in 14 to 60 of them, where the Euclidean
norm had 8 of 16 in 80).

With `keep` > 0, and where modes are eigenvectors, H is computed anew only after so many steps, or
where the model told the gradient too badly for a step; else it is corrected by the gradient's
change along the step, so that H⁺s = ∇f(θ + s) - ∇f(θ). With r = e and φ = (rᵀs)² / ‖r‖²‖s‖²
(Bofill; no sign is forced, as a saddle wants),

    H⁺ = H + φ rrᵀ/(rᵀs) + (1 - φ) ((rsᵀ + srᵀ)/‖s‖² - (rᵀs) ssᵀ/‖s‖⁴).

The Hessian at the end, which says whether the index is 1, is computed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from jaxtyping import Float64
from torch import Tensor

from morsescape.critical.climb_models import Modes, RitzModes
from morsescape.critical.curvature import Anchor
from morsescape.critical.evaluations import Counted
from morsescape.critical.loop import Point
from morsescape.critical.quadratic_model import Euclidean, Factored
from morsescape.hessian.regime import regime
from morsescape.spectrum.lanczos import lanczos, largest, random_start

_RADIUS, _GROW, _SHRINK = 0.25, 1.6, 2.0  # trust radius: of the gap at first, and its factors
_GOOD, _BAD = 0.35, 0.7  # error of the model's gradient, against the gradient
_STEPS = 150
_SURE = 0.1  # error up to which the radius grows where the Hessian was corrected
FAR = 100.0  # of `span`: what is farther off is no pass of the point a search began at
ROUGH = 1e-4  # residual of an eigenpair that is only a direction to go
_UPHILL = 40  # steps along positive curvature at most: the ceiling is the other guard


@dataclass(frozen=True)
class Climbed:
    """Where eigenvector-following came to: computed in float64, without proof.

    Attributes:
        point: the last one.
        why: no critical point of index 1 was reached, for this reason; empty if one was.
    """

    point: Point
    why: str = ""


class Climb:
    """Eigenvector-following with the exact Hessian.

    The mode is the lowest; where no curvature is negative, the one that overlaps most with the one
    before. Up to 1,500 variables modes are eigenvectors; above, Ritz vectors of a Krylov space that
    starts at the gradient, up to 12,000 in the metric of the dense Hessian at an earlier point, in
    which a few products do.

    Source:
        Cerjan & Miller, J. Chem. Phys. 75 (1981) 2800; Baker, J. Comput. Chem. 7 (1986) 385;
        Bofill, J. Comput. Chem. 15 (1994) 1 (the correction).
    """

    def __init__(self, problem: Counted) -> None:
        self.problem, self.regime = problem, regime(problem.dim)
        self.anchor = Anchor(problem, exact=True)

    def __call__(
        self,
        theta: Float64[Tensor, "D"],
        mode: Float64[Tensor, "D"],
        *,
        gap: float,
        ceiling: float,
        tol: float,
        max_steps: int | None = None,
        reach: float = math.inf,
        keep: int = 0,
    ) -> Climbed:
        """From θ to a critical point of index 1.

        Args:
            theta: near the pass.
            mode: the direction to go up where no curvature is negative.
            gap: four times the first trust radius.
            ceiling: f above which the search has left the pass.
            tol: on ‖∇f‖.
            max_steps: accepted or not; None takes 150.
            keep: so many steps at most are taken with corrections of one Hessian.
            reach: distance from θ above which it is not followed along positive curvature.
        """
        radius, uphill, kept = _RADIUS * gap, 0, 0
        point = Point.at(self.problem, theta)
        model = self._model(point, mode)
        for _ in range(max_steps or _STEPS):
            if model is None:
                return Climbed(point, "the Hessian on the way is not finite")
            if point.norm <= tol:
                break
            step = model.step(point.gradient, radius)
            end = Point.at(self.problem, point.theta + step)
            error = _error(model, point, end, step)
            if not error <= _BAD or not math.isfinite(end.value):
                if not model.exact:
                    model, kept = self._model(point, model.mode), 0
                    continue
                radius = min(radius, float(step.norm())) / _SHRINK
                if radius < 1e-14 * (1 + float(point.theta.norm())):
                    break
                continue
            uphill += int(model.curvature > 0)
            far = model.curvature > 0 and float((end.theta - theta).norm()) > reach
            if end.value > ceiling or uphill > _UPHILL or far:
                return Climbed(end, "no pass near: eigenvector-following ran uphill")
            radius *= _GROW if error <= (_GOOD if model.exact else _SURE) else 1.0
            change = end.gradient - point.gradient
            corrected = model.corrected(step, change) if kept < keep else None
            kept = 0 if corrected is None else kept + 1
            point, model = end, corrected or self._model(end, model.mode)
        if model is not None and not model.exact:
            model = self._model(point, model.mode)
        return Climbed(point, _missing(point, model, tol))

    def _model(self, point: Point, mode: Tensor) -> Modes | None:
        if self.regime.eigenpairs:
            hessian = self.problem.hessian_at(point.theta)
            return Modes(*hessian.eigh(), mode) if hessian.finite else None
        metric = self.anchor.at(point.theta) if self.regime.dense else None
        before = self.problem.hvps
        model = RitzModes(self.problem, point, mode, metric or Euclidean())
        self.anchor.products += self.problem.hvps - before
        return model if bool(model.vectors.isfinite().all()) else None


def lowest_modes(
    problem: Counted, theta: Float64[Tensor, "D"], count: int, seed: int = 0,
    anchor: Anchor | None = None,
) -> tuple[Float64[Tensor, " k"], Float64[Tensor, "D k"]]:  # fmt: skip
    """The lowest curvatures, as computed, and their directions; at most D of them.

    Where the Hessian is factored for them, that is left in the anchor, an exact one.
    """
    count, route = min(count, problem.dim), regime(problem.dim)
    if route.eigenpairs:
        values, vectors = problem.hessian_at(theta).eigh()
        return values[:count], vectors[:, :count]
    start = random_start(problem.dim, seed=seed)
    anchor = anchor or Anchor(problem, exact=True)
    factor = anchor.of(theta) if route.dense else None
    if factor is not None:
        return lowest_of(factor, start, count)
    found = lanczos(lambda v: problem.hvp(theta, v), start, count=count)
    return found.values, found.vectors


def lowest_of(
    factor: Factored, start: Float64[Tensor, "D"], count: int
) -> tuple[Float64[Tensor, " k"], Float64[Tensor, "D k"]]:
    """The lowest curvatures of what was factored, and their directions, by inverse iteration.

    Low curvatures of a network lie close together, and a Krylov space of H itself takes a thousand
    products to tell them apart.
    """
    found = lanczos(factor.inverse, start, count=count, order=largest, tol=ROUGH)
    return 1 / found.values - factor.shift, found.vectors


def span(theta: Float64[Tensor, "D"]) -> float:
    """The length against which steps off θ are reckoned: 1 + ‖θ‖ / 10."""
    return 1.0 + 0.1 * float(theta.norm())


def _error(model: Modes, start: Point, end: Point, step: Tensor) -> float:
    """Of the gradient that the model told, against the gradient, both as steps."""
    off = end.gradient - start.gradient - model.product(step)
    return model.as_step(off) / max(model.as_step(start.gradient), 1e-300)


def _missing(point: Point, model: Modes | None, tol: float) -> str:
    """Why this is no critical point of index 1, as computed; empty if it is one."""
    if model is None:
        return "the Hessian is not finite"
    if point.norm > max(tol, 1e-11 * model.size):
        return f"eigenvector-following stopped at |grad f| = {point.norm:.1e}"
    return "" if model.one_negative else "the critical point that was reached is not of index 1"
