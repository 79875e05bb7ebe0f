"""Eigenvectors at one end of a spectrum whose eigenvalues are known.

Lanczos' method on the matrix itself needs thousands of products where small negative eigenvalues
lie close together beside large positive ones. With the end known, one Cholesky factorisation beyond
it spreads them, and a few solves with a block of vectors are enough.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float64
from torch import Tensor

_SPARE = 5  # vectors in a block beside those wanted
_STEPS, _CHECK = 48, 12  # solves with a block at most, and between two looks at the residuals
_TOL = 1e-6  # residual against the largest wanted eigenvalue
_BEYOND = 0.05  # of the width of what is wanted: how far outside of it the factorisation is


def extreme_eigenvectors(
    matrix: Float64[Tensor, "n n"],
    eigenvalues: Float64[Tensor, " n"],
    count: int,
    *,
    largest: bool,
) -> Float64[Tensor, "n count"]:
    """Unit eigenvectors of the `count` largest or smallest eigenvalues, the extreme one first.

    They are as accurate as their residuals ‖Av - λv‖ say: nothing is promised. The same input
    gives the same vectors, as the start is fixed.

    Args:
        matrix: symmetric.
        eigenvalues: all of them as computed, ascending; they say where to look.
        count: how many, fewer than n.
        largest: which end.

    Example:
        >>> matrix = torch.diag(torch.tensor([3.0, -1.0, 2.0]).double())
        >>> values = torch.tensor([-1.0, 2.0, 3.0]).double()
        >>> extreme_eigenvectors(matrix, values, 1, largest=False).abs()
        tensor([[0.],
                [1.],
                [0.]], dtype=torch.float64)
    """
    n = len(matrix)
    if count == 0:
        return matrix.new_zeros(n, 0)
    if n <= (count + _SPARE) * (_STEPS + 1):  # no room for the basis, and all cost as little
        vectors = torch.linalg.eigh(matrix).eigenvectors
        return (vectors.flip(1) if largest else vectors)[:, :count]
    solve = _beyond(matrix, eigenvalues, count, largest)
    start = torch.randn(
        n, count + _SPARE, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    block = basis = torch.linalg.qr(start)[0]
    for step in range(1, _STEPS + 1):
        block = _orthonormal(solve(block), basis)
        basis = torch.cat([basis, block], 1)
        if step % _CHECK == 0:
            vectors, residual = _ritz(matrix, basis, count, largest)
            if residual <= _TOL:
                break
    return vectors


def _beyond(
    matrix: Tensor, eigenvalues: Tensor, count: int, largest: bool
) -> Callable[[Tensor], Tensor]:
    """Multiplication by ±(σ I - A)⁻¹, positive definite as σ is outside of the spectrum."""
    sign = 1.0 if largest else -1.0
    end, inner = (eigenvalues[-1], eigenvalues[-1 - count]) if largest else eigenvalues[[0, count]]
    spread = max(float((end - inner).abs()), 1e-10 * float(eigenvalues.abs().max()))
    shifted = -sign * matrix
    shifted.diagonal().add_(sign * float(end) + _BEYOND * spread)
    factor = torch.linalg.cholesky(shifted)
    return lambda block: torch.cholesky_solve(block, factor)


def _orthonormal(block: Tensor, basis: Tensor) -> Tensor:
    """Twice, as once leaves what the first subtraction rounded."""
    for _ in range(2):
        block = torch.linalg.qr(block - basis @ (basis.t() @ block))[0]
    return block


def _ritz(matrix: Tensor, basis: Tensor, count: int, largest: bool) -> tuple[Tensor, float]:
    """The best vectors in the space of `basis`, and their largest residual against their size."""
    moved = matrix @ basis
    values, rotation = torch.linalg.eigh(basis.t() @ moved)
    order = torch.arange(len(values)).flip(0)[:count] if largest else torch.arange(count)
    values, rotation = values[order], rotation[:, order]
    vectors = basis @ rotation
    residual = (moved @ rotation - vectors * values).norm(dim=0).max()
    return vectors, float(residual / values.abs().max())
