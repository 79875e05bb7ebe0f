"""From near the top of a band to the saddle: eigenvector-following, then Newton's steps."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from morsescape.hessian.regime import regime
from morsescape.hessian.solver import solver
from morsescape.objective import Objective
from morsescape.paths.found import hessian_cost

_RADIUS, _GROW, _SHRINK = 0.25, 1.6, 2.0  # trust radius: of the gap at first, and its factors
_GOOD, _BAD = 0.35, 0.7  # error of the model's gradient, against the gradient
_FLATTEST = 1e-6  # curvature against the largest, below which steps do not grow further
_UPHILL = 10  # steps along positive curvature at most: the ceiling is the other guard


@dataclass(frozen=True)
class Saddle:
    """A critical point of index 1 as computed, in float64 and without proof.

    Attributes:
        theta: (D,).
        value: f there.
        norm: ‖∇f‖.
        direction: the unit eigenvector of the negative eigenvalue.
    """

    theta: Tensor
    value: float
    norm: float
    direction: Tensor


class Climb:
    """Eigenvector-following on the dense Hessian, with a count in gradients of f.

    Up to 1,500 variables all eigenpairs are computed: uphill along the mode that overlaps most with
    the one before, downhill along all others. Above, Newton's steps are taken where the Hessian
    has exactly one negative eigenvalue.

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
        max_steps: int = 100,
    ) -> Saddle | str:
        """The saddle, or why none was reached.

        Args:
            theta: the climbing image.
            tangent: of the band there.
            gap: its distance from its neighbours, which bounds the first step.
            ceiling: f above which the search has left the pass.
            tol: on ‖∇f‖.
            max_steps: accepted or not.
        """
        if not regime(self.f.dim).dense:
            return "too many variables for a dense Hessian: the climbing image is as it is"
        radius, mode, uphill = _RADIUS * gap, tangent, 0
        value, g = self._evaluated(theta)
        spectrum = self._spectrum(theta)
        for _ in range(max_steps):
            if isinstance(spectrum, str):
                return spectrum
            w, vectors, hessian = spectrum
            k = int((vectors.t() @ mode).abs().argmax())
            k = 0 if bool(w[0] < 0) and (len(w) == 1 or bool(w[1] > 0)) else k
            mode = vectors[:, k]
            if float(g.norm()) <= tol:
                break
            step = _step(w, vectors, g, k, radius)
            following, new = self._evaluated(theta + step)
            error = float((new - g - hessian @ step).norm() / g.norm())
            if not error <= _BAD or not math.isfinite(following):
                radius = min(radius, float(step.norm())) / _SHRINK
                if radius < 1e-14 * (1 + float(theta.norm())):
                    break
                continue
            if following > ceiling:
                return "eigenvector-following left the pass uphill"
            uphill += int(float(w[k]) > 0)
            if uphill > _UPHILL:
                return "no mode of negative curvature along the band at its top"
            radius *= _GROW if error <= _GOOD else 1.0
            theta, value, g = theta + step, following, new
            spectrum = self._spectrum(theta)
        if isinstance(spectrum, str):
            return spectrum
        return self._judged(theta, value, g, spectrum[0], spectrum[1], tol)

    def _judged(
        self, theta: Tensor, value: float, g: Tensor, w: Tensor, vectors: Tensor, tol: float
    ) -> Saddle | str:
        norm, index = float(g.norm()), int((w < 0).sum())
        if norm > max(tol, 1e-7 * float(w.abs().max())):
            return f"eigenvector-following stopped at |grad f| = {norm:.1e}"
        if index != 1:
            return f"the critical point at the top has index {index} as computed"
        return Saddle(theta, value, norm, vectors[:, 0].clone())

    def _evaluated(self, theta: Tensor) -> tuple[float, Tensor]:
        self.gradients += 1
        return self.f.value_and_gradient(theta)

    def _spectrum(self, theta: Tensor) -> tuple[Tensor, Tensor, Tensor] | str:
        """Eigenvalues, ascending, eigenvectors, and the matrix."""
        matrix = self.f.hessian(theta)
        self.gradients += self._price
        if not bool(matrix.isfinite().all()):
            return "the Hessian at the top is not finite"
        return *torch.linalg.eigh(matrix), matrix


def _step(w: Tensor, vectors: Tensor, g: Tensor, k: int, radius: float) -> Tensor:
    """Uphill along mode k, downhill along the others, no longer than the radius."""
    size = w.abs()
    size = size.clamp_min(_FLATTEST * float(size.max()))
    c = -(vectors.t() @ g)
    c[k] = -c[k]

    def at(shift: float) -> Tensor:
        return c / (size + shift)

    if float(at(0.0).norm()) <= radius:
        return vectors @ at(0.0)
    low, high = 0.0, float(c.norm()) / radius
    for _ in range(60):
        shift = (low + high) / 2
        low, high = (shift, high) if float(at(shift).norm()) > radius else (low, shift)
    return vectors @ at(high)
