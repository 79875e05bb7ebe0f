"""Symmetric matrices whose inertia is known: planted, by structure, or by exact arithmetic."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from fractions import Fraction

import flint
import mpmath
import numpy as np
import torch
from torch import Tensor

Inertia = tuple[int, int, int]  # negative, zero, positive


def exact_inertia(matrix: Tensor) -> Inertia:
    """The inertia of the matrix whose entries are exactly these float64 numbers.

    Descartes' rule of signs, which is exact for a polynomial with real roots only, applied to the
    characteristic polynomial over the rationals.
    """
    rows = [[flint.fmpq(*Fraction(x).as_integer_ratio()) for x in row] for row in matrix.tolist()]
    if not rows:
        return 0, 0, 0
    polynomial = flint.fmpq_mat(rows).charpoly()
    coefficients = [polynomial[k] for k in range(len(rows) + 1)]
    zero = next(k for k, c in enumerate(coefficients) if c != 0)
    signs = [c > 0 for c in coefficients if c != 0]
    positive = sum(a != b for a, b in itertools.pairwise(signs))
    return len(rows) - zero - positive, zero, positive


def spectral_norm(matrix: mpmath.matrix) -> float:
    """The largest |eigenvalue| of a symmetric matrix in the current precision of mpmath."""
    values = mpmath.eigsy(matrix, eigvals_only=True)
    return float(max(abs(x) for x in values))


def rotated(values: np.ndarray, seed: int = 0) -> Tensor:
    """Q diag(values) Qᵀ for a product Q of reflections, in extended precision, then rounded.

    Off from the exact one by 2⁻⁵³ per entry, relative to the largest entry of it.
    """
    out = np.diag(values.astype(np.longdouble))
    rng = np.random.default_rng(seed)
    for _ in range(4):
        v = rng.standard_normal(len(values)).astype(np.longdouble)
        v /= np.sqrt(v @ v)
        w = out @ v
        out -= 2 * (np.outer(v, w) + np.outer(w, v)) - 4 * (v @ w) * np.outer(v, v)
    lower = np.tril(out).astype(np.float64)
    return torch.from_numpy(lower + np.tril(lower, -1).T)


def gap(n: int, size: float, seed: int = 0) -> tuple[Tensor, Inertia]:
    """A third negative, the rest positive; the two nearest to zero are ±size, the norm is 1."""
    negative = n // 3
    values = np.concatenate([-np.geomspace(1, size, negative), np.geomspace(size, 1, n - negative)])
    return rotated(values, seed), (negative, 0, n - negative)


def _random(n: int) -> np.ndarray:
    a = np.random.default_rng(n).standard_normal((n, n))
    return a + a.T


def _hilbert(n: int) -> np.ndarray:
    i = np.arange(n)
    return 1 / (i[:, None] + i[None, :] + 1.0)


def _arrow(n: int) -> np.ndarray:
    a = np.diag(np.linspace(-1, 2, n))
    a[0, :] = a[:, 0] = 1
    return a


def _pairs(n: int) -> np.ndarray:
    whole = np.kron(np.eye((n + 1) // 2), [[0.0, 1.0], [1.0, 0.0]])
    return whole[:n, :n]  # an odd n leaves a zero row at the end


def _saddle_point(n: int) -> np.ndarray:
    m = n // 3
    b = np.random.default_rng(1).standard_normal((m, n - m))
    return np.block([[np.eye(n - m), b.T], [b, np.zeros((m, m))]])


def _graded(n: int) -> np.ndarray:
    s = np.geomspace(1, 1e-12, n)
    return s[:, None] * _random(n) * s[None, :]


def _low_rank(n: int) -> np.ndarray:
    rng = np.random.default_rng(2)
    x, d = rng.standard_normal((n // 2, n)), np.geomspace(1, 1e-9, n // 2)
    d[::3] *= -1
    a = x.T @ (d[:, None] * x)
    return np.tril(a) + np.tril(a, -1).T


FAMILIES: dict[str, Callable[[int], np.ndarray]] = {
    "random": _random,
    "hilbert": _hilbert,
    "arrow": _arrow,
    "pairs": _pairs,
    "saddle point": _saddle_point,
    "graded": _graded,
    "low rank": _low_rank,
    "zero": lambda n: np.zeros((n, n)),
    "diagonal": lambda n: np.diag(np.linspace(-1, 1, n)),
    "negative definite": lambda n: -_random(n) @ _random(n).T - np.eye(n),
    "huge": lambda n: 1e150 * _random(n),
    "tiny": lambda n: 1e-150 * _random(n),
}


def family(name: str, n: int) -> Tensor:
    """One of FAMILIES, made exactly symmetric."""
    a = FAMILIES[name](n)
    return torch.from_numpy(np.tril(a) + np.tril(a, -1).T)
