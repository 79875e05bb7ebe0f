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

import numpy as np
import torch
from scipy.linalg import solve_triangular
from torch import Tensor

_LOOK = 40  # Lanczos steps that tell how negative a matrix is
_FLATTEST = 1e-6  # curvature against the largest, below which a metric does not stretch further
_CHECK_EVERY = 4  # products between two looks at the residual; a look costs O(k²)


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


class Euclidean:
    """L = I."""

    curved = False

    def solve(self, v: Tensor) -> Tensor:
        """Unchanged."""
        return v

    def solve_transposed(self, v: Tensor) -> Tensor:
        """Unchanged."""
        return v


class Absolute:
    """L⁻ᵀ = V |W|^-½ from all eigenpairs of H: negative curvature counts by its size."""

    curved = True

    def __init__(self, values: Tensor, vectors: Tensor, floor: float) -> None:
        """`floor` bounds the curvature from below, and so does a millionth of the largest."""
        size = values.abs()
        size = size.clamp_min(max(floor, _FLATTEST * float(size.max()), 1e-130))
        self.root = vectors / size.sqrt()

    def solve(self, v: Tensor) -> Tensor:
        """L⁻¹ v."""
        return self.root.t() @ v

    def solve_transposed(self, v: Tensor) -> Tensor:
        """L⁻ᵀ v, for a vector or the columns of a matrix."""
        return self.root @ v


class Factored:
    """L from a Cholesky factorisation of H + shift·I; the matrix given is overwritten."""

    curved = True

    def __init__(self, matrix: Tensor, floor: float) -> None:
        """Factor, raising the shift until the factorisation exists.

        `floor` bounds the diagonal from below: the curvature that f is known to have, such as 2λ.
        """
        diagonal = matrix.diagonal().clone()
        # A failed attempt costs as much as one that succeeds, a look at the spectrum far less.
        lowest = _lowest(matrix)
        shift = 0.0 if lowest > 0 else -1.3 * lowest + floor
        least = max(1e-4 * float(diagonal.abs().max()), floor, 1e-130)
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


def _lowest(matrix: Tensor) -> float:
    """The lowest Ritz value of a few Lanczos steps: at least the lowest eigenvalue, and near it."""
    start = torch.randn(len(matrix), generator=torch.Generator().manual_seed(0)).double()
    model = krylov_model(lambda v: matrix @ v, start, size=_LOOK, tolerance=0.0, to_zero=True)
    return float(model.values[0])


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
    norm = float(start.norm())
    basis = [start / norm]
    alphas: list[float] = []
    betas: list[float] = []
    for k in range(min(size, len(gradient))):
        w = metric.solve(product(metric.solve_transposed(basis[k])))
        alphas.append(float(w @ basis[k]))
        # Twice is enough (Kahan): orthogonal to rounding, or ghosts of eigenvalues appear.
        q = torch.stack(basis)
        for _ in range(2):
            w = w - q.t() @ (q @ w)
        beta = float(w.norm())
        if not math.isfinite(beta):
            alphas.pop()
            break
        largest = max(map(abs, alphas + betas))
        if beta <= 1e-12 * largest or _solved(alphas, betas, beta, tolerance, to_zero):
            break
        betas.append(beta)
        basis.append(w / beta)
    return _from_basis(alphas, betas, basis, norm, metric)


def _solved(
    alphas: list[float], betas: list[float], beta: float, tolerance: float, to_zero: bool
) -> bool:
    """Whether T y = -e₁ leaves a residual below `tolerance`, by its last entry times beta."""
    k = len(alphas)
    if k % _CHECK_EVERY:
        return False
    values, vectors = _tridiagonal(alphas, betas)
    if values[0] <= 0 and not to_zero:
        # Negative curvature was found. It is worth following when its Ritz vector has settled.
        return beta * abs(vectors[-1, 0]) <= 0.1 * abs(values[0])
    with np.errstate(divide="ignore", invalid="ignore"):
        last = float(vectors[-1] @ (vectors[0] / values))
    return beta * abs(last) <= tolerance


def _tridiagonal(alphas: list[float], betas: list[float]) -> tuple[np.ndarray, np.ndarray]:
    k = len(alphas)
    matrix = np.diag(np.array(alphas))
    off = np.array(betas[: k - 1])
    matrix[np.arange(k - 1), np.arange(1, k)] = off
    matrix[np.arange(1, k), np.arange(k - 1)] = off
    return np.linalg.eigh(matrix)


def _from_basis(
    alphas: list[float], betas: list[float], basis: list[Tensor], norm: float, metric: Metric
) -> Model:
    k = len(alphas)
    if k == 0:  # the first product was not finite: no curvature is known, only the slope
        direction = metric.solve_transposed(basis[0])[:, None]
        one = torch.ones(1, dtype=torch.float64)
        return Model(one, direction, norm * one, False)
    values, rotation = (torch.from_numpy(x) for x in _tridiagonal(alphas, betas))
    krylov = torch.stack(basis[:k], 1)
    vectors = metric.solve_transposed((krylov @ rotation).contiguous())
    return Model(values, vectors, norm * rotation[0].clone(), k == len(basis[0]))
