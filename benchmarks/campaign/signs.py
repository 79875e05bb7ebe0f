"""Signs of the eigenvalues of a matrix of balls: Sylvester's law by symmetric elimination."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from flint import arb, arb_mat

from .exact import BITS, NoTruth, Undecided, precision

Signs = tuple[int, int, int]  # negative, zero, positive
Rows = list[list[Any]]


def signs(rows: Rows) -> tuple[Signs, bool]:
    """(negative, zero, positive), and whether the zeros are exact rather than balls around 0.

    Pivots are diagonal entries, or pairs [[a, b], [b, c]] of negative determinant, whose sign is
    certain; what is left when there is none counts as zero.
    """
    rows = [list(row) for row in rows]
    negative = positive = 0
    while rows:
        pivot = _pivot(rows)
        if pivot is None:
            break
        i, j = pivot
        if i == j:
            d = rows[i][i]
            negative, positive = negative + int(d < 0), positive + int(d > 0)
            rest = [k for k in range(len(rows)) if k != i]
            share = [rows[k][i] / d for k in rest]
            rows = [[rows[k][m] - share[p] * rows[i][m] for m in rest] for p, k in enumerate(rest)]
        else:
            a, b, c = rows[i][i], rows[i][j], rows[j][j]
            det = a * c - b * b
            if not det < 0:
                raise NoTruth("a pair of pivots without a sign")
            negative, positive = negative + 1, positive + 1
            rest = [k for k in range(len(rows)) if k not in (i, j)]
            first = [(c * rows[k][i] - b * rows[k][j]) / det for k in rest]
            second = [(a * rows[k][j] - b * rows[k][i]) / det for k in rest]
            rows = [
                [rows[k][m] - first[p] * rows[i][m] - second[p] * rows[j][m] for m in rest]
                for p, k in enumerate(rest)
            ]
    return (negative, len(rows), positive), all(_zero(x) for row in rows for x in row)


def _pivot(rows: Rows) -> tuple[int, int] | None:
    """The diagonal entry, or else the pair, that is farthest from zero, for sure."""
    size, place = 0, None
    for i in range(len(rows)):
        low = _low(rows[i][i])
        if low > size:
            size, place = low, (i, i)
    if place is not None:
        return place
    for i in range(len(rows)):
        for j in range(i):
            low = _low(rows[i][j])
            if low > size and rows[i][i] * rows[j][j] - rows[i][j] * rows[i][j] < 0:
                size, place = low, (j, i)
    return place


def _low(x: Any) -> Any:
    return x.abs_lower() if isinstance(x, arb) else abs(x)


def _zero(x: Any) -> bool:
    return x.is_zero() if isinstance(x, arb) else x == 0


def exact_signs(matrix: list[list[float]], shift: Fraction = Fraction(0)) -> Signs:
    """Of a matrix of floats minus shift·I, in rational arithmetic: no zero is a guess."""
    rows: Rows = [[Fraction(x) for x in row] for row in matrix]
    for k in range(len(rows)):
        rows[k][k] -= shift
    return signs(rows)[0]


def settled(at: Callable[[], Rows]) -> tuple[Signs, bool]:
    """`signs` of a matrix that can be had at any precision: the first two that agree.

    Also whether every zero is certain; otherwise it is a number below 2^-500 of the entries, which
    is not told from zero.
    """
    last: Signs | None = None
    for bits in BITS:
        try:
            with precision(bits):
                found, certain = signs(at())
        except Undecided:  # a branch on the way to the matrix
            continue
        if found[1] == 0 or certain:
            return found, True
        if found == last:
            return found, False
        last = found
    raise NoTruth("signs that more bits change")


def rows_of(matrix: arb_mat, shift: Any = 0) -> Rows:
    """A ball matrix as rows, minus shift·I."""
    rows: Rows = matrix.tolist()
    for k in range(len(rows)):
        rows[k][k] = rows[k][k] - shift
    return rows
