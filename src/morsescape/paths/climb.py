"""From near the top of a band to the saddle: eigenvector-following, then Newton's steps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float64
from torch import Tensor

from morsescape.critical.quadratic_model import Factored
from morsescape.hessian.regime import regime
from morsescape.hessian.solver import solver
from morsescape.objective import Objective
from morsescape.paths.found import hessian_cost
from morsescape.spectrum.lanczos import lanczos, random_start

_RADIUS, _GROW, _SHRINK = 0.25, 1.6, 2.0  # trust radius: of the gap at first, and its factors
_GOOD, _BAD = 0.35, 0.7  # error of the model's gradient, against the gradient
_FLATTEST = 1e-6  # curvature against the largest, below which steps do not grow further
_STEPS, _FACTORED_STEPS = 200, 30
_LOOK = 80  # Lanczos steps for the two lowest eigenvalues
_UPHILL = 10  # steps along positive curvature at most: the ceiling is the other guard


@dataclass(frozen=True)
class Saddle:
    """A critical point of index 1 as computed, in float64 and without proof.

    Attributes:
        theta: (D,).
        value: f there.
        norm: ‖∇f‖.
    """

    theta: Tensor
    value: float
    norm: float


class Climb:
    """Eigenvector-following on the dense Hessian, with a count in gradients of f.

    Uphill along the mode that overlaps most with the one before, downhill along all others. Up to
    1,500 variables modes are eigenvectors; above, the mode is the lowest Ritz vector, steps are
    those of the band's climbing image in the metric of H + shift·I, and Newton's where the Ritz
    values show exactly one negative eigenvalue.

    Args:
        f: the landscape.

    Source:
        Cerjan & Miller, J. Chem. Phys. 75 (1981) 2800; Baker, J. Comput. Chem. 7 (1986) 385; the
        trust radius by the error of the model's gradient.
    """

    def __init__(self, f: Objective) -> None:
        self.f, self.gradients = f, 0
        self._price = hessian_cost(f) if regime(f.dim).dense else 0

    def __call__(
        self,
        theta: Float64[Tensor, "D"],
        tangent: Float64[Tensor, "D"],
        *,
        gap: float,
        ceiling: float,
        tol: float,
        max_steps: int | None = None,
    ) -> Saddle | str:
        """The saddle, or why none was reached.

        Args:
            theta: the climbing image.
            tangent: of the band there.
            gap: its distance from its neighbours, which bounds the first step.
            ceiling: f above which the search has left the pass.
            tol: on ‖∇f‖.
            max_steps: accepted or not; None takes 200, and 30 above 1,500 variables, where each
                takes a factorisation of its own.
        """
        if not regime(self.f.dim).dense:
            return "too many variables for a dense Hessian"
        if max_steps is None:
            max_steps = _STEPS if regime(self.f.dim).eigenpairs else _FACTORED_STEPS
        radius, uphill = _RADIUS * gap, 0
        value, g = self._evaluated(theta)
        model = self._model(theta, tangent)
        for _ in range(max_steps):
            if model is None:
                return "the Hessian at the top is not finite"
            if float(g.norm()) <= tol:
                break
            step = model.step(g, radius)
            following, new = self._evaluated(theta + step)
            error = float((new - g - model.matrix @ step).norm() / g.norm())
            if not error <= _BAD or not math.isfinite(following):
                radius = min(radius, float(step.norm())) / _SHRINK
                if radius < 1e-14 * (1 + float(theta.norm())):
                    break
                continue
            uphill += int(model.curvature > 0)
            if following > ceiling or uphill > _UPHILL:
                return "no pass near the highest image: eigenvector-following ran uphill"
            radius *= _GROW if error <= _GOOD else 1.0
            theta, value, g = theta + step, following, new
            model = self._model(theta, model.mode)
        return (
            "the Hessian is not finite" if model is None else _judged(theta, value, g, model, tol)
        )

    def _evaluated(self, theta: Tensor) -> tuple[float, Tensor]:
        self.gradients += 1
        return self.f.value_and_gradient(theta)

    def _model(self, theta: Tensor, mode: Tensor) -> _Model | None:
        matrix = self.f.hessian(theta)
        self.gradients += self._price
        if not bool(matrix.isfinite().all()):
            return None
        if regime(self.f.dim).eigenpairs:
            return _Eigenpairs(matrix, mode)
        return _Factor(matrix, mode, 2 * self.f.l2)


def _judged(theta: Tensor, value: float, g: Tensor, model: _Model, tol: float) -> Saddle | str:
    norm = float(g.norm())
    if norm > max(tol, 1e-11 * model.size):
        return f"eigenvector-following stopped at |grad f| = {norm:.1e}"
    if not model.one_negative:
        return "the critical point at the top is not of index 1"
    return Saddle(theta, value, norm)


class _Model(Protocol):
    """The quadratic model with a mode to go up.

    Attributes:
        matrix: the Hessian.
        mode: unit vector.
        curvature: along it.
        size: of the largest curvature, about.
        one_negative: whether exactly one eigenvalue is negative, as computed.
    """

    matrix: Tensor
    mode: Tensor
    curvature: float
    size: float
    one_negative: bool

    def step(self, g: Tensor, radius: float) -> Tensor:
        """Uphill along the mode, downhill across it, no longer than the radius."""


class _Eigenpairs(_Model):
    def __init__(self, matrix: Tensor, mode: Tensor) -> None:
        self.matrix = matrix
        self.values, self.vectors = torch.linalg.eigh(matrix)
        self.size = float(self.values.abs().max())
        self.one_negative = int((self.values < 0).sum()) == 1
        self.k = 0 if self.one_negative else int((self.vectors.t() @ mode).abs().argmax())
        self.mode, self.curvature = self.vectors[:, self.k], float(self.values[self.k])

    def step(self, g: Tensor, radius: float) -> Tensor:
        size = self.values.abs().clamp_min(_FLATTEST * self.size)
        c = -(self.vectors.t() @ g)
        c[self.k] = -c[self.k]
        low, high = 0.0, float(c.norm()) / radius
        if float((c / size).norm()) <= radius:
            return self.vectors @ (c / size)
        for _ in range(60):
            shift = (low + high) / 2
            long = float((c / (size + shift)).norm()) > radius
            low, high = (shift, high) if long else (low, shift)
        return self.vectors @ (c / (size + high))


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
            assert self.solver is not None
            step = self.solver(-g)
        else:
            down, along = (
                self.metric.solve_transposed(self.metric.solve(v)) for v in (g, self.mode)
            )
            step = 2 * along * (self.mode @ down) / (self.mode @ along) - down
        return step * min(1.0, radius / max(float(step.norm()), 1e-300))
