"""Factors of a symmetric matrix: for many right-hand sides, and by its eigenvectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import scipy.linalg
import torch
from torch import Tensor


@dataclass(frozen=True)
class Solver:
    """v -> A⁻¹ v for a vector v, and whether A is positive definite as far as rounding shows."""

    solve: Callable[[Tensor], Tensor]
    definite: bool

    def __call__(self, v: Tensor) -> Tensor:
        """A⁻¹ v."""
        return self.solve(v[:, None])[:, 0]


def solver(matrix: Tensor) -> Solver | None:
    """Cholesky's factor where there is one, for half the price of Gauss's; None if singular."""
    if not bool(matrix.isfinite().all()):
        return None
    lower, failed = torch.linalg.cholesky_ex(matrix)
    if not int(failed):
        return Solver(lambda v: torch.cholesky_solve(v, lower), True)
    lu, pivots, failed = torch.linalg.lu_factor_ex(matrix)
    if int(failed):
        return None
    return Solver(lambda v: torch.linalg.lu_solve(lu, pivots, v), False)


def eigenpairs(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues, ascending, and orthonormal eigenvectors of a finite symmetric matrix.

    By divide and conquer; where that does not converge, as for some matrices graded over hundreds
    of orders of magnitude, by relatively robust representations, which does.
    """
    try:
        values, vectors = torch.linalg.eigh(matrix)
    except torch.linalg.LinAlgError:
        found = scipy.linalg.eigh(matrix.numpy(), driver="evr")
        values, vectors = map(torch.from_numpy, found)
    return values, vectors
