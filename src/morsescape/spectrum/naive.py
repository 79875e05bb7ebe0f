"""What a tool that trusts the sign of a computed eigenvalue would report."""

from __future__ import annotations

import scipy.linalg
import torch
from torch import Tensor

from morsescape.hessian.dense import exact_hessian
from morsescape.hessian.value import Hessian
from morsescape.model.source import Source


def raw_eigenvalues(hessian: Hessian, single: Source | None = None) -> dict[str, Tensor]:
    """Eigenvalues of Hess f(θ) by LAPACK, assembled and computed in float32 and in float64.

    Nothing is known about their signs near zero: that is the point of showing them. `single` is the
    source in float32, if it is there already.

    Returns:
        {"float32": (D,), "float64": (D,)}, ascending.

    Raises:
        ArgumentError: the Hessian of a function.
    """
    single = single or hessian.f.source.in_precision(torch.float32)
    matrix = exact_hessian(single, hessian.theta.float(), bounded=False).matrix
    matrix.diagonal().add_(2 * hessian.f.l2)
    return {"float32": _eigenvalues(matrix), "float64": _eigenvalues(hessian.dense())}


def _eigenvalues(matrix: Tensor) -> Tensor:
    """By LAPACK's syevd; where its QR iteration does not converge, by the bisection of syevr."""
    try:
        return torch.linalg.eigvalsh(matrix)
    except torch.linalg.LinAlgError:
        return torch.from_numpy(scipy.linalg.eigvalsh(matrix.numpy(), driver="evr"))


def count_negative(eigenvalues: Tensor) -> int:
    """How many computed eigenvalues are below zero, rounding noise included."""
    return int((eigenvalues < 0).sum())
