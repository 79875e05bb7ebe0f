r"""Eigenvector-following: from near a pass to the critical point of index 1 on it.

Uphill along one mode of the Hessian, downhill along all others, in a trust region. In the modes,
with w the curvatures, c = -Vᵀ∇f and the sign of c turned for the one that is climbed,

    s = V y,   y_k = c_k / (|w_k| + μ),   μ ≥ 0 the least with ‖y‖ ≤ radius.

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
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float64
from torch import Tensor

from morsescape.critical.evaluations import Counted
from morsescape.critical.loop import Point
from morsescape.critical.quadratic_model import Factored
from morsescape.hessian.regime import regime
from morsescape.hessian.solver import solver
from morsescape.spectrum.lanczos import lanczos, random_start

_RADIUS, _GROW, _SHRINK = 0.25, 1.6, 2.0  # trust radius: of the gap at first, and its factors
_GOOD, _BAD = 0.35, 0.7  # error of the model's gradient, against the gradient
_FLATTEST = 1e-6  # curvature against the largest, below which steps do not grow further
_STEPS, _FACTORED_STEPS = 150, 30
_LOOK = 80  # Lanczos steps for the two lowest eigenvalues
_SPACE = 160  # Lanczos steps of a model where only products exist
_SURE = 0.1  # error up to which the radius grows where the Hessian was corrected
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
    before. Up to 1,500 variables modes are eigenvectors; up to 12,000 the mode is the lowest Ritz
    vector, steps are those of a climbing image in the metric of H + shift·I, and Newton's where the
    Ritz values show exactly one negative eigenvalue; above, modes are Ritz vectors of a Krylov
    space that starts at the gradient.

    Source:
        Cerjan & Miller, J. Chem. Phys. 75 (1981) 2800; Baker, J. Comput. Chem. 7 (1986) 385;
        Bofill, J. Comput. Chem. 15 (1994) 1 (the correction).
    """

    def __init__(self, problem: Counted) -> None:
        self.problem, self.regime = problem, regime(problem.dim)

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
            max_steps: accepted or not; None takes 150, and 30 where each takes a factorisation.
            keep: so many steps at most are taken with corrections of one Hessian.
            reach: distance from θ above which it is not followed along positive curvature.
        """
        if max_steps is None:
            factored = self.regime.dense and not self.regime.eigenpairs
            max_steps = _FACTORED_STEPS if factored else _STEPS
        radius, uphill, kept = _RADIUS * gap, 0, 0
        point = Point.at(self.problem, theta)
        model = self._model(point, mode)
        for _ in range(max_steps):
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

    def _model(self, point: Point, mode: Tensor) -> _Model | None:
        if not self.regime.dense:
            return _Ritz(self.problem, point, mode)
        hessian = self.problem.hessian_at(point.theta)
        if not hessian.finite:
            return None
        if self.regime.eigenpairs:
            return _Modes(*hessian.eigh(), mode)
        return _Factor(self.problem.handed_over(point.theta), mode, 2 * self.problem.f.l2)


def lowest_modes(
    problem: Counted, theta: Float64[Tensor, "D"], count: int, seed: int = 0
) -> tuple[Float64[Tensor, " k"], Float64[Tensor, "D k"]]:
    """The lowest curvatures, as computed, and their directions; at most D of them."""
    count = min(count, problem.dim)
    if regime(problem.dim).eigenpairs:
        values, vectors = problem.hessian_at(theta).eigh()
        return values[:count], vectors[:, :count]
    start = random_start(problem.dim, seed=seed)
    found = lanczos(lambda v: problem.hvp(theta, v), start, count=count)
    return found.values, found.vectors


def span(theta: Float64[Tensor, "D"]) -> float:
    """The length against which steps off θ are reckoned: 1 + ‖θ‖ / 10."""
    return 1.0 + 0.1 * float(theta.norm())


def _error(model: _Model, start: Point, end: Point, step: Tensor) -> float:
    """Of the gradient that the model told, against the gradient, both as steps."""
    off = end.gradient - start.gradient - model.product(step)
    return model.as_step(off) / max(model.as_step(start.gradient), 1e-300)


def _missing(point: Point, model: _Model | None, tol: float) -> str:
    """Why this is no critical point of index 1, as computed; empty if it is one."""
    if model is None:
        return "the Hessian is not finite"
    if point.norm > max(tol, 1e-11 * model.size):
        return f"eigenvector-following stopped at |grad f| = {point.norm:.1e}"
    return "" if model.one_negative else "the critical point that was reached is not of index 1"


@runtime_checkable
class _Model(Protocol):
    """The quadratic model with a mode to go up.

    Attributes:
        mode: unit vector.
        curvature: along it.
        size: of the largest curvature, about.
        one_negative: whether exactly one eigenvalue is negative, as computed.
        exact: whether H was computed at the point itself.
    """

    mode: Tensor
    curvature: float
    size: float
    one_negative: bool
    exact: bool = True

    def step(self, g: Tensor, radius: float) -> Tensor:
        """Uphill along the mode, downhill across it, no longer than the radius."""

    def product(self, v: Tensor) -> Tensor:
        """H v."""

    def as_step(self, g: Tensor) -> float:
        """The length of |H|⁻¹ g."""

    def corrected(self, step: Tensor, change: Tensor) -> _Model | None:
        """The model at the end of the step, from the gradient's change; None to compute it."""
        return None


class _Modes(_Model):
    """From orthonormal modes, of all directions or of a subspace."""

    def __init__(self, values: Tensor, vectors: Tensor, mode: Tensor) -> None:
        self.values, self.vectors = values, vectors
        self.size = float(values.abs().max())
        self.one_negative = int((values < 0).sum()) == 1
        self.k = 0 if values[0] < 0 else int((vectors.t() @ mode).abs().argmax())
        self.mode, self.curvature = vectors[:, self.k], float(values[self.k])
        self.stiffness = values.abs().clamp_min(max(_FLATTEST * self.size, 1e-300))

    def step(self, g: Tensor, radius: float) -> Tensor:
        c = -(self.vectors.t() @ g)
        c[self.k] = -c[self.k]
        low, high = 0.0, float(c.norm()) / radius
        if float((c / self.stiffness).norm()) <= radius:
            return self.vectors @ (c / self.stiffness)
        for _ in range(60):
            shift = (low + high) / 2
            long = float((c / (self.stiffness + shift)).norm()) > radius
            low, high = (shift, high) if long else (low, shift)
        return self.vectors @ (c / (self.stiffness + high))

    def product(self, v: Tensor) -> Tensor:
        return self.vectors @ (self.values * (self.vectors.t() @ v))

    def as_step(self, g: Tensor) -> float:
        return float(((self.vectors.t() @ g) / self.stiffness).norm())

    def corrected(self, step: Tensor, change: Tensor) -> _Model | None:
        square = float(step @ step)
        if square == 0:
            return None
        off = change - self.product(step)
        along, size = float(off @ step), float(off @ off)
        matrix = (self.vectors * self.values) @ self.vectors.t()
        share = along**2 / (size * square) if size * square > 0 else 0.0
        if share * abs(along) > 0:
            matrix += (share / along) * torch.outer(off, off)
        mixed = torch.outer(off, step) / square
        flat = (along / square**2) * torch.outer(step, step)
        matrix += (1 - share) * (mixed + mixed.t() - flat)
        if not bool(matrix.isfinite().all()):
            return None
        values, vectors = torch.linalg.eigh(matrix)
        model = _Modes(values, vectors, self.mode)
        model.exact = False
        return model


class _Ritz(_Modes):
    """From a Krylov space that starts at the gradient, with a little of the mode before in it."""

    def __init__(self, problem: Counted, point: Point, mode: Tensor) -> None:
        self.problem, self.point = problem, point
        unit = point.gradient / max(point.norm, 1e-300)
        found = lanczos(
            lambda v: problem.hvp(point.theta, v), unit + 1e-2 * mode / mode.norm(),
            size=min(_SPACE, problem.dim),
        )  # fmt: skip
        super().__init__(found.values, found.vectors, mode)

    def product(self, v: Tensor) -> Tensor:
        return self.problem.hvp(self.point.theta, v)

    def corrected(self, step: Tensor, change: Tensor) -> _Model | None:
        return None  # the next Krylov space starts at another gradient


class _Factor(_Model):
    def __init__(self, matrix: Tensor, mode: Tensor, floor: float) -> None:
        self.matrix = matrix
        start = mode + 1e-3 * random_start(len(mode)) / len(mode) ** 0.5
        found = lanczos(lambda v: matrix @ v, start, count=2, size=min(_LOOK, len(mode)))
        lowest, second = found.values[:2].tolist()
        self.one_negative = lowest < 0 < second
        self.size = float(matrix.diagonal().abs().max())
        self.mode, self.curvature = found.vectors[:, 0], lowest
        self.solver = solver(matrix) if self.one_negative else None
        self.metric = None if self.solver else Factored(matrix.clone(), floor)

    def step(self, g: Tensor, radius: float) -> Tensor:
        if self.metric is None:
            step = self._solved(-g)
        else:
            down, along = self._solved(g), self._solved(self.mode)
            step = 2 * along * (self.mode @ down) / (self.mode @ along) - down
        return step * min(1.0, radius / max(float(step.norm()), 1e-300))

    def product(self, v: Tensor) -> Tensor:
        return self.matrix @ v

    def as_step(self, g: Tensor) -> float:
        return float(self._solved(g).norm())

    def _solved(self, v: Tensor) -> Tensor:
        if self.metric is None:
            assert self.solver is not None
            return self.solver(v)
        return self.metric.solve_transposed(self.metric.solve(v))
