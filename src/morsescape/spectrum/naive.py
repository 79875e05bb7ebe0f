"""What a tool that trusts the sign of a computed eigenvalue would report."""

from __future__ import annotations

import scipy.linalg
import torch
from torch import Tensor

from morsescape.hessian.dense import exact_hessian
from morsescape.objective import Objective


def raw_eigenvalues(f: Objective, theta: Tensor, matrix: Tensor | None = None) -> dict[str, Tensor]:
    """Eigenvalues of Hess f(θ) by LAPACK, assembled and computed in float32 and in float64.

    Nothing is known about their signs near zero: that is the point of showing them.

    Args:
        f: an objective made from a network.
        theta: the point.
        matrix: Hess f(θ) in float64, if it is there already.

    Returns:
        {"float32": (D,), "float64": (D,)}, ascending.
    """
    if matrix is None:
        matrix = f.hessian(theta)
    return {"float32": _in_float32(f, theta), "float64": _eigenvalues(matrix)}


def _in_float32(f: Objective, theta: Tensor) -> Tensor:
    net = f.network
    assert net is not None
    single = net.in_precision(torch.float32)
    matrix = exact_hessian(single, theta.float(), bounded=False).matrix
    matrix.diagonal().add_(2 * f.l2)
    return _eigenvalues(matrix)


def _eigenvalues(matrix: Tensor) -> Tensor:
    """By LAPACK's syevd; where its QR iteration does not converge, by the bisection of syevr."""
    try:
        return torch.linalg.eigvalsh(matrix)
    except torch.linalg.LinAlgError:
        return torch.from_numpy(scipy.linalg.eigvalsh(matrix.numpy(), driver="evr"))


def count_negative(eigenvalues: Tensor) -> int:
    """How many computed eigenvalues are below zero, rounding noise included."""
    return int((eigenvalues < 0).sum())
