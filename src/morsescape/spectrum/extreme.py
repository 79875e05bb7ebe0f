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

from morsescape.spectrum.lanczos import Krylov, lanczos, random_start
from morsescape.spectrum.lanczos import largest as from_largest

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

    def settled(space: Krylov) -> bool:
        _, rotation, _ = space.decomposed()
        vectors = space.vectors(rotation[:, -count:])
        moved = matrix @ vectors
        values = (vectors * moved).sum(0)
        residual = (moved - vectors * values).norm(dim=0).max()
        return float(residual) <= _TOL * float(values.abs().max())

    block = count + _SPARE
    found = lanczos(
        solve, random_start(n, block), order=from_largest, settled=settled,
        every=_CHECK * block, size=block * (_STEPS + 1),
    )  # fmt: skip
    return found.vectors[:, :count]


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
