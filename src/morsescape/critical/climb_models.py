r"""The quadratic models of eigenvector-following: uphill along one mode, downhill along all others.

In coordinates y with s = V y in which the model is a sum of squares (see `quadratic_model`), w the
curvatures, c = -Vᵀ∇f and the sign of c turned for the mode that is climbed,

    y_k = c_k / (|w_k| + μ),   μ ≥ 0 the least with ‖V y‖ ≤ radius.

V are all eigenvectors; or L⁻ᵀ times the Ritz vectors of L⁻¹ H L⁻ᵀ, with L Lᵀ a positive definite
matrix near |H|. As many of their w are negative as H has negative curvatures in the space that they
span (Sylvester): a critical point of index 1 in these coordinates is one.
"""

from __future__ import annotations

import torch
from torch import Tensor

from morsescape.critical.evaluations import Counted
from morsescape.critical.loop import Point
from morsescape.critical.quadratic_model import FLATTEST, Euclidean, Factored, Metric
from morsescape.spectrum.lanczos import Krylov, lanczos

_SPACE = 160  # products of a model at most
_LEFT = 1e-2  # share of the gradient that a model in a metric may leave
_SETTLED = 0.1  # residual of the lowest Ritz pair there, against its value
_TRACE = 1e-2  # of the mode before, in the start of a Krylov space


class Modes:
    """From all eigenpairs.

    Attributes:
        mode: unit vector.
        curvature: along it.
        size: of the largest curvature, about.
        one_negative: whether exactly one eigenvalue is negative, as computed.
        exact: whether H was computed at the point itself.
    """

    exact = True

    def __init__(self, values: Tensor, vectors: Tensor, mode: Tensor) -> None:
        self._of(values, vectors, vectors.t() @ mode)

    def _of(self, values: Tensor, vectors: Tensor, overlaps: Tensor) -> None:
        self.values, self.vectors = values, vectors
        self.size = float(values.abs().max())
        self.one_negative = int((values < 0).sum()) == 1
        self.k = 0 if values[0] < 0 else int(overlaps.abs().argmax())
        mode = vectors[:, self.k]
        self.mode, self.curvature = mode / mode.norm(), float(values[self.k])
        self.stiffness = values.abs().clamp_min(max(FLATTEST * self.size, 1e-300))

    def step(self, g: Tensor, radius: float) -> Tensor:
        """Uphill along the mode, downhill across it, no longer than the radius."""
        c = -(self.vectors.t() @ g)
        c[self.k] = -c[self.k]
        low, high = 0.0, float(c.norm()) * self._stretch() / radius
        if self._length(c / self.stiffness) <= radius:
            return self.vectors @ (c / self.stiffness)
        for _ in range(60):
            shift = (low + high) / 2
            long = self._length(c / (self.stiffness + shift)) > radius
            low, high = (shift, high) if long else (low, shift)
        return self.vectors @ (c / (self.stiffness + high))

    def _stretch(self) -> float:
        """A bound on ‖V y‖ / ‖y‖."""
        return 1.0

    def _length(self, y: Tensor) -> float:
        return float(y.norm())

    def product(self, v: Tensor) -> Tensor:
        """H v."""
        return self.vectors @ (self.values * (self.vectors.t() @ v))

    def as_step(self, g: Tensor) -> float:
        """The length of |H|⁻¹ g."""
        return float(((self.vectors.t() @ g) / self.stiffness).norm())

    def corrected(self, step: Tensor, change: Tensor) -> Modes | None:
        """The model at the end of the step, from the gradient's change; None to compute it."""
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
        model = Modes(values, vectors, self.mode)
        model.exact = False
        return model


class RitzModes(Modes):
    """From products, in a Krylov space that starts at the gradient and a little of the last mode.

    In a metric the space grows until Newton's equation is solved to a hundredth and the lowest
    curvature has settled; without one it has 160 dimensions.

    Args:
        problem: the landscape.
        point: where.
        mode: the one before.
        metric: L of the model.
    """

    def __init__(self, problem: Counted, point: Point, mode: Tensor, metric: Metric) -> None:
        self.problem, self.point, self.metric = problem, point, metric
        slope, across = metric.solve(point.gradient), metric.stretched(mode)
        start = slope / slope.norm().clamp_min(1e-300) + _TRACE * across / across.norm()
        curved = not isinstance(metric, Euclidean)
        found = lanczos(
            self._product, start, settled=_solved if curved else None,
            size=min(_SPACE, problem.dim),
        )  # fmt: skip
        self.inner = found.vectors
        vectors = metric.solve_transposed(self.inner.contiguous())
        self._of(found.values, vectors, self.inner.t() @ across)
        self.lengths = vectors.t() @ vectors
        self.size = metric.size if isinstance(metric, Factored) else self.size

    def _product(self, v: Tensor) -> Tensor:
        moved = self.problem.hvp(self.point.theta, self.metric.solve_transposed(v))
        return self.metric.solve(moved)

    def _stretch(self) -> float:
        return float(self.lengths.trace()) ** 0.5

    def _length(self, y: Tensor) -> float:
        return max(float(y @ self.lengths @ y), 0.0) ** 0.5

    def product(self, v: Tensor) -> Tensor:
        """H v."""
        return self.problem.hvp(self.point.theta, v)

    def as_step(self, g: Tensor) -> float:
        """What of g is outside the space counts as in the metric, where H is about the identity."""
        dual = self.metric.solve(g)
        inside = self.inner.t() @ dual
        rest = dual - self.inner @ inside
        y = self.inner @ (inside / self.stiffness) + rest
        return float(self.metric.solve_transposed(y).norm())

    def corrected(self, step: Tensor, change: Tensor) -> Modes | None:
        """None."""
        return None  # the next Krylov space starts at another gradient


def _solved(space: Krylov) -> bool:
    values, rotation, residuals = space.decomposed()
    low = float(residuals[0]) <= _SETTLED * abs(float(values[0]))
    return low and float((space.coupled(rotation) @ (rotation[0] / values)).norm()) <= _LEFT
