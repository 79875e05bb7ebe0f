r"""The quadratic model of f near a point, in coordinates in which it is a sum of squares.

    f(θ + V y) ≈ f(θ) + Σ_k ( c_k y_k + ½ w_k y_k² ),        ‖y‖ = length of the step,

from an eigendecomposition of the dense Hessian (then V is orthogonal and spans everything) or in a
Krylov space that starts at the gradient (Lanczos, reorthogonalised). A Krylov space may be
preconditioned by a factor M = L Lᵀ of a Hessian computed before: the Lanczos process then runs on
L⁻¹ H L⁻ᵀ, and the length of a step is ‖Lᵀ s‖. Every step rule (`rules`) works on any of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from scipy.linalg import solve_triangular
from torch import Tensor

from morsescape.spectrum.lanczos import Krylov, lanczos, random_start

_LOOK = 40  # Lanczos steps that tell how negative a matrix is
FLATTEST = 1e-6  # curvature against the largest, below which steps do not grow further


@dataclass(frozen=True)
class Model:
    """w ascending, c = Vᵀ∇f and V of the model; `whole` where V spans all directions."""

    values: Tensor  # (k,)
    vectors: Tensor  # (D, k)
    slope: Tensor  # (k,)
    whole: bool

    def step(self, y: Tensor) -> Tensor:
        """The step s = V y in θ."""
        return self.vectors @ y

    def decrease(self, y: Tensor) -> float:
        """How much f falls by y, as the model has it."""
        return -float(self.slope @ y + 0.5 * (self.values * y) @ y)


@runtime_checkable
class Metric(Protocol):
    """A change of variables s = L⁻ᵀ y that makes the Hessian better conditioned.

    Attributes:
        curved: whether it comes from a Hessian, so that -L⁻ᵀL⁻¹∇f has about the right length.
    """

    curved: bool

    def solve(self, v: Tensor) -> Tensor:
        """L⁻¹ v."""

    def solve_transposed(self, v: Tensor) -> Tensor:
        """L⁻ᵀ v, for a vector or the columns of a matrix."""

    def stretched(self, v: Tensor) -> Tensor:
        """Lᵀ v."""


class Euclidean:
    """L = I."""

    curved = False

    def solve(self, v: Tensor) -> Tensor:
        """Unchanged."""
        return v

    def solve_transposed(self, v: Tensor) -> Tensor:
        """Unchanged."""
        return v

    def stretched(self, v: Tensor) -> Tensor:
        """Unchanged."""
        return v


class Absolute:
    """L⁻ᵀ = V |W|^-½ from all eigenpairs of H: negative curvature counts by its size."""

    curved = True

    def __init__(self, values: Tensor, vectors: Tensor, floor: float) -> None:
        """`floor` bounds the curvature from below, and so does a millionth of the largest."""
        size = values.abs()
        size = size.clamp_min(max(floor, FLATTEST * float(size.max()), 1e-130))
        self.root = vectors / size.sqrt()

    def solve(self, v: Tensor) -> Tensor:
        """L⁻¹ v."""
        return self.root.t() @ v

    def solve_transposed(self, v: Tensor) -> Tensor:
        """L⁻ᵀ v, for a vector or the columns of a matrix."""
        return self.root @ v

    def stretched(self, v: Tensor) -> Tensor:
        """Lᵀ v."""
        return (self.root / self.root.square().sum(0)).t() @ v


class Factored:
    """L from a Cholesky factorisation of H + shift·I; the matrix given is overwritten."""

    curved = True

    def __init__(self, matrix: Tensor, floor: float) -> None:
        """Factor, raising the shift until the factorisation exists.

        `floor` bounds the diagonal from below: the curvature that f is known to have, such as 2λ.
        """
        diagonal = matrix.diagonal().clone()
        self.size = float(diagonal.abs().max())
        # A failed attempt costs as much as one that succeeds, a look at the spectrum far less.
        lowest = _lowest(matrix)
        shift = 0.0 if lowest > 0 else -1.3 * lowest + floor
        least = max(1e-4 * self.size, floor, 1e-130)
        while True:
            matrix.diagonal().copy_(diagonal + shift)
            lower, failed = torch.linalg.cholesky_ex(matrix)
            if not int(failed):
                break
            shift = max(2 * shift, least)
        self.lower, self.shift = lower, shift
        self._numpy = lower.numpy().T  # column-major upper triangle: LAPACK copies nothing

    def solve(self, v: Tensor) -> Tensor:
        """L⁻¹ v."""
        return torch.from_numpy(
            solve_triangular(self._numpy, v.numpy(), lower=False, trans="T", check_finite=False)
        )

    def solve_transposed(self, v: Tensor) -> Tensor:
        """L⁻ᵀ v."""
        return torch.from_numpy(
            solve_triangular(self._numpy, v.numpy(), lower=False, check_finite=False)
        )

    def stretched(self, v: Tensor) -> Tensor:
        """Lᵀ v."""
        return self.lower.t() @ v

    def inverse(self, v: Tensor) -> Tensor:
        """(H + shift·I)⁻¹ v."""
        return self.solve_transposed(self.solve(v))


def _lowest(matrix: Tensor) -> float:
    """The lowest Ritz value of a few Lanczos steps: at least the lowest eigenvalue, and near it."""
    found = lanczos(lambda v: matrix @ v, random_start(len(matrix)), size=min(_LOOK, len(matrix)))
    return float(found.values[0]) if len(found.values) else math.nan


def dense_model(values: Tensor, vectors: Tensor, gradient: Tensor) -> Model:
    """The model from all eigenpairs: exact."""
    return Model(values, vectors, vectors.t() @ gradient, True)


def krylov_model(
    product: Callable[[Tensor], Tensor],
    gradient: Tensor,
    *,
    size: int,
    tolerance: float,
    metric: Metric | None = None,
    to_zero: bool = False,
) -> Model:
    """The model in the Krylov space of the gradient, grown until Newton's equation is solved.

    Args:
        product: v -> H v.
        gradient: ∇f, not zero.
        size: at most so many products.
        tolerance: stop at a residual below this share of the gradient, in the metric.
        metric: preconditioner.
        to_zero: go on past negative curvature until Newton's equation is solved.
    """
    metric = metric or Euclidean()
    start = metric.solve(gradient)

    def settled(space: Krylov) -> bool:
        values, rotation, residuals = space.decomposed()
        if values[0] <= 0 and not to_zero:
            # Negative curvature was found. It is worth following when its Ritz vector has settled.
            return float(residuals[0]) <= 0.1 * abs(float(values[0]))
        return float((space.coupled(rotation) @ (rotation[0] / values)).norm()) <= tolerance

    found = lanczos(
        lambda v: metric.solve(product(metric.solve_transposed(v))),
        start, settled=settled, size=min(size, len(start)),
    )  # fmt: skip
    if not len(found.values):  # the first product was not finite: only the slope is known
        norm = start.norm()
        direction = metric.solve_transposed(start / norm)[:, None]
        return Model(torch.ones(1).double(), direction, norm[None], False)
    slope = found.vectors.t() @ start
    vectors = metric.solve_transposed(found.vectors.contiguous())
    return Model(found.values, vectors, slope, len(found.values) == len(start))
