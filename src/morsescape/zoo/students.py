"""Student and teacher ReLU networks under Gaussian inputs: a landscape with spurious minima."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from morsescape.boundary import a_count, checked
from morsescape.zoo.landscape import Landscape, Point, Signs

# The spurious minimum of 7 students and 7 teachers, to six digits, on the plane of matrices fixed
# by permutations of the first six: diagonal, rest, last column, last row, corner.
_SPURIOUS = (0.996923, -0.035080, 0.261691, 0.185991, -0.632704)


@checked(n=a_count(1, words="1 or more"), k=a_count(2, words="2 or more"))
def safran_shamir(n: int = 7, k: int = 7) -> Landscape:
    r"""Population loss of n ReLU students against k orthonormal ReLU teachers, inputs N(0, I).

    The students are the rows of W (n×k), t = W row by row, and the teachers e_1, …, e_k:

        f(W) = ½ E (Σ_i [w_i·x]₊ - Σ_j [x_j]₊)²
             = ½ Σ_ij F(w_i, w_j) - Σ_ij F(w_i, e_j) + ½ Σ_ij F(e_i, e_j),
        F(w, v) = (1/2π) (s + d (π - t)),  d = w·v = ‖w‖‖v‖ cos t,  s = ‖w‖‖v‖ sin t.

    π - t is computed as atan2(s, -d). f is twice, but not three times, differentiable where two of
    the vectors are parallel, for s - d t is of order t³, and not differentiable where some
    w_i = 0. So it is at the global minima f = 0 for n = k, the permutations of the teachers: there
    the Hessian is positive definite, with the least eigenvalue 1/4 - 1/2π for k ≥ 3, but s = 0 and
    atan2 have no derivative, and nothing is certified.

    Listed are the teachers for n = k, and for n = k = 7 the spurious minimum too, f = 0.0232027…,
    one of its copies under permutations of students and of teachers.

    Args:
        n: students, 1 or more.
        k: teachers, 2 or more; the dimension of the inputs.

    Raises:
        ArgumentError: other numbers.

    Source:
        Safran & Shamir, Spurious local minima are common in two-layer ReLU neural networks, ICML
        2018; F: Cho & Saul, Kernel methods for deep learning (2009). The Hessian at the teachers:
        docs/exits.md.

    Example:
        >>> import torch, morsescape as ms
        >>> spurious = ms.zoo.safran_shamir(7, 7)
        >>> point = ms.find_critical_point(
        ...     spurious.objective(), torch.tensor(spurious.critical[1][0]).double()
        ... )
        >>> point.index, point.certificate.status.name, round(point.value, 8)
        (0, 'PROVED', 0.02320271)
    """
    points: list[tuple[Point, Signs]] = []
    if n == k:
        points.append((tuple(torch.eye(k).reshape(-1).tolist()), (0, 0)))
    if n == k == 7:
        points.append((_symmetric(7, *_SPURIOUS), (0, 0)))
    return Landscape(
        f"{n} students of {k} teachers",
        lambda t, m: _one_by_one(t, m, n, k),
        n * k,
        tuple(points),
        "Safran & Shamir, ICML 2018: isolated minima with f > 0 for n = k from 6 to 20",
        True,
        complete=False,
        box=1.0,
        vector=lambda t: _at_once(t, n, k),
    )


def _one_by_one(t: Sequence[Any], m: Any, n: int, k: int) -> Any:
    """The formula, number by number."""
    rows = [t[i * k : (i + 1) * k] for i in range(n)]
    squares = [sum(x * x for x in row) for row in rows]
    total: Any = 0
    for i in range(n):
        for j in range(i):
            d = sum(x * y for x, y in zip(rows[i], rows[j], strict=True))
            s = m.sqrt(squares[i] * squares[j] - d * d)
            total = total + s + d * m.atan2(s, -d)
        for j in range(k):
            d, s = rows[i][j], m.sqrt(sum(x * x for a, x in enumerate(rows[i]) if a != j))
            total = total - s - d * m.atan2(s, -d)
    total = total + k * (k - 1) / 2
    return total / (2 * m.pi) + sum(squares) / 4 + k / 4


def _at_once(t: Tensor, n: int, k: int) -> Tensor:
    """The same with pairs of students, and of a student and a teacher, side by side."""
    w = t.reshape(n, k)
    i, j = torch.tril_indices(n, n, -1)
    squares = w * w
    lengths = squares.sum(1)
    d = (w[i] * w[j]).sum(1)
    s = (lengths[i] * lengths[j] - d * d).sqrt()
    others = (squares @ (1 - torch.eye(k, dtype=t.dtype))).sqrt()
    pairs = (s + d * torch.atan2(s, -d)).sum() - (others + w * torch.atan2(others, -w)).sum()
    two_pi = 8 * torch.atan(torch.ones((), dtype=t.dtype))  # an operation, with its rounding
    return (pairs + k * (k - 1) / 2) / two_pi + lengths.sum() / 4 + k / 4


def _symmetric(
    k: int, diagonal: float, rest: float, column: float, row: float, corner: float
) -> Point:
    w = torch.full((k, k), rest, dtype=torch.float64)
    w.diagonal().fill_(diagonal)
    w[:, -1], w[-1, :], w[-1, -1] = column, row, corner
    return tuple(w.reshape(-1).tolist())
