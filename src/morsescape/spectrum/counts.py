"""How many eigenvalues are negative, zero and positive: intervals that are proved, by two routes.

Let A be the given matrix, c the center and r the radius: H is any symmetric matrix with
‖H - A‖₂ ≤ r. All counts are those of H - c I.

*By LDLᵀ.* `ldl` factors fl(A + σ I) = L D Lᵀ - E for a shift σ, with ‖E‖₂ ≤ e proved. If
σ + c ≥ r + e then H - c I ⪯ L D Lᵀ, so n₋(H - c I) ≥ n₋(D) and n₊(H - c I) ≤ n₊(D); if
σ + c ≤ -(r + e) the order turns round (`shifts`). Eigenvalues of A - c I outside
±(max |σ + c| + e) are decided. Without the shifts the signs of D would belong to A + E: for an
eigenvalue below ‖E‖ they prove nothing, however small the residual.

*Row by row.* The radius may be a number for each row: then H is any symmetric matrix with
-diag(r) ⪯ H - A ⪯ diag(r), and shifts and errors of factorisations are diagonal matrices too. A
graded matrix, whose small eigenvalues live on rows of small numbers, is decided by this alone.

*By eigenvalues.* `eigen` gives λ_k(A) up to a proved radius e. Weyl: λ_k(H) is within r + e of it.

A zero eigenvalue cannot be proved by either: perturbed by ε I it is none. So the interval for zeros
starts at 0, and ends at what is not proved to have a sign.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from morsescape.errors import ArgumentError
from morsescape.notebook import Shown
from morsescape.progress import StageProgress
from morsescape.rounding.floats import gamma, up
from morsescape.spectrum.enclosed_eigenvalues import enclosed_eigenvalues
from morsescape.spectrum.ldl import restore
from morsescape.spectrum.shifts import Refused, Sides
from morsescape.store.codec import brief

Interval = tuple[int, int]

_STRIP = 256  # rows looked at together


class CountStatus(Enum):
    """Whether the signs were counted."""

    COUNTED = "counted: the intervals are proved"
    RADIUS = "not counted: the given radius is infinite, so nothing can be proved"
    OVERFLOW = "refused: the factorisation or the bound on its error overflowed"
    NO_SHIFT = "refused: no shift exceeded the bound on the error of its factorisation"
    NO_BOUND = "refused: the computed eigenvectors are too inaccurate to prove anything"


@dataclass(frozen=True)
class Counts(Shown):
    """Numbers of negative, zero and positive eigenvalues of H - center I, as closed intervals.

    They hold for every symmetric H within the given radius of the given matrix, in spectral norm.

    Attributes:
        negative, null, positive: intervals (lo, hi); the true numbers sum to n.
        radius: eigenvalues of the matrix farther than this from the center are decided; the given
            radius plus `solver_radius`.
        solver_radius: what the counting method adds, proved.
        method: "ldl" | "eigh".
        shift: the larger |σ + center| of the two factorisations; 0 for "eigh".
        eigenvalues: of the matrix itself (not minus the center), ascending, by "eigh" only; each
            within `solver_radius`.
        error: bound on the error of the factorisations alone; by "eigh", `solver_radius`.
        status: whether this is a count, or why not (then every interval is (0, n)).
        by_rows: whether the radius was one for each row; `radius` is then the largest reach.
    """

    negative: Interval
    null: Interval
    positive: Interval
    radius: float
    solver_radius: float
    method: str
    shift: float
    eigenvalues: Tensor | None
    error: float
    status: CountStatus
    by_rows: bool = False

    __repr__ = brief


def sharpened(counts: Counts, other: Counts) -> Counts:
    """The same with what another count of the same H - center I proves beside it."""
    negative = max(counts.negative[0], other.negative[0])
    positive = max(counts.positive[0], other.positive[0])
    if (negative, positive) == (counts.negative[0], counts.positive[0]):
        return counts
    n = counts.negative[0] + counts.positive[1]
    return replace(
        counts,
        negative=(negative, n - positive),
        null=(0, n - negative - positive),
        positive=(positive, n - negative),
        by_rows=counts.by_rows or other.by_rows,
    )


def count_by_ldl(
    matrix: Float64[Tensor, "n n"],
    radius: float | Float64[Tensor, " n"],
    *,
    triangle: bool = False,
    overwrite: bool = False,
    center: float = 0.0,
    enough: int = 0,
    progress: StageProgress | None = None,
) -> Counts:
    """Count the signs of H - center I, for all H within `radius`, by two shifted LDLᵀ.

    Costs two to five factorisations (n³/3 multiplications and additions each). Without
    `triangle` or `overwrite` a copy is made; with one of them only O(n) memory is needed besides.

    Args:
        matrix: symmetric; if it is so up to rounding, that is added to the radius.
        radius: bound on ‖H - matrix‖₂, ≥ 0, or r ≥ 0 of shape (n,) with
            -diag(r) ⪯ H - matrix ⪯ diag(r).
        triangle: only the upper triangle (i ≤ j) is read, the strict lower one is scratch.
        overwrite: the strict lower triangle may be used meanwhile; it is restored.
        center: eigenvalues are counted against this number.
        enough: so many may stay open, for they are zero for a reason that is known; with more,
            a count by rows looks closer, by two more factorisations.
        progress: called as progress(columns done, columns in all); the latter may grow.

    Raises:
        ArgumentError: a matrix that is not square, float64, finite and symmetric; a bad radius.

    Source:
        Sylvester's law of inertia; Bunch & Kaufman (1977); the bound on E is derived in `ldl`.

    Example:
        >>> import torch
        >>> count = count_by_ldl(torch.diag(torch.tensor([-2.0, 1e-20, 3.0]).double()), 1e-12)
        >>> count.negative, count.null, count.positive, count.status.value
        ((1, 2), (0, 1), (1, 2), 'counted: the intervals are proved')
    """
    most = _largest(radius)
    n = _check_arguments(matrix, most, center)
    skew = _check_triangle(matrix) if triangle else _check_symmetric(matrix, most)
    given: float | np.ndarray
    if isinstance(radius, Tensor):
        if radius.shape != (n,):
            raise ArgumentError(
                "radius",
                expected=f"a number, or {n} for as many rows",
                got=f"a tensor of shape {tuple(radius.shape)}",
                cure="pass r with -diag(r) ⪯ H - matrix ⪯ diag(r)",
            )
        given = np.nextafter(radius.numpy() + skew, math.inf)
    else:
        given = up(radius + skew)
    if math.isinf(most):
        return _undecided(n, "ldl", CountStatus.RADIUS)
    if n == 0:
        return _counts(n, (0, 0), (0, 0), most, 0.0, "ldl")
    in_place = (triangle or overwrite) and matrix.stride(1) == 1
    work = matrix if in_place else matrix.clone(memory_format=torch.contiguous_format)
    try:
        above, below = sides = Sides(work, given, center, progress, enough).run()
    except Refused as reason:
        return _undecided(n, "ldl", CountStatus[str(reason)])
    finally:
        if in_place and not triangle:
            restore(matrix)
    reach = max(up(_most(s.distance + s.error)) for s in sides)
    counts = _counts(n, above.signs, below.signs, most, max(up(reach - most), 0.0), "ldl")
    return replace(
        counts,
        shift=max(_most(s.distance) for s in sides),
        error=max(_most(s.error) for s in sides),
        by_rows=isinstance(radius, Tensor),
    )


def count_by_eigh(matrix: Float64[Tensor, "n n"], radius: float, *, center: float = 0.0) -> Counts:
    """Count the signs of H - center I, for all H within `radius`, from all eigenvalues.

    Slower than `count_by_ldl` and hungrier for memory (ten matrices), but it returns the
    eigenvalues, each within `solver_radius`.

    Args:
        matrix: symmetric; if it is so up to rounding, that is added to the radius.
        radius: bound on ‖H - matrix‖₂, ≥ 0.
        center: eigenvalues are counted against this number.

    Raises:
        ArgumentError: as `count_by_ldl`.

    Source:
        Weyl's inequality; the argument is written out in `eigen`.

    Example:
        >>> import torch
        >>> count = count_by_eigh(torch.tensor([[0.0, 1.0], [1.0, 0.0]]).double(), 1e-12)
        >>> count.negative, count.null, count.positive
        ((1, 1), (0, 0), (1, 1))
    """
    _check_arguments(matrix, radius, center)
    skew = _check_symmetric(matrix, radius)
    upper = matrix.triu() + matrix.triu(1).t() if skew else matrix
    values, error = enclosed_eigenvalues(upper)
    return count_eigenvalues(values, up(error + skew), radius, center)


def count_eigenvalues(
    values: Float64[Tensor, " n"], error: float, radius: float, center: float
) -> Counts:
    """The same from eigenvalues that are known to within `error`."""
    n = len(values)
    if not math.isfinite(error + radius):
        status = CountStatus.RADIUS if math.isinf(radius) else CountStatus.NO_BOUND
        return replace(_undecided(n, "eigh", status), eigenvalues=values)
    band = up(radius + error)
    # Rounding is monotone: fl(λ - c) < -band implies λ - c < -band.
    distance = values - center
    negative, positive = int((distance < -band).sum()), int((distance > band).sum())
    above, below = (negative, n - negative), (n - positive, positive)
    return replace(_counts(n, above, below, radius, error, "eigh"), eigenvalues=values)


def _counts(
    n: int, above: Interval, below: Interval, radius: float, solver_radius: float, method: str
) -> Counts:
    """From (negative, positive) of something that H - c I is below, and of something above it."""
    negative, positive = above[0], below[1]
    return Counts(
        negative=(negative, n - positive),
        null=(0, n - negative - positive),
        positive=(positive, n - negative),
        radius=up(radius + solver_radius),
        solver_radius=solver_radius,
        method=method,
        shift=0.0,
        eigenvalues=None,
        error=solver_radius,
        status=CountStatus.COUNTED,
    )


def _undecided(n: int, method: str, status: CountStatus) -> Counts:
    counts = _counts(n, (0, n), (n, 0), 0.0, 0.0, method)
    return replace(counts, radius=math.inf, solver_radius=math.inf, status=status)


def _largest(radius: float | Tensor) -> float:
    """The largest of the rows' radii; NaN if any is, the smallest if it is negative."""
    if not isinstance(radius, Tensor):
        return radius
    if not len(radius) or bool((radius < 0).any()):
        return float(radius.min()) if len(radius) else 0.0
    return float(radius.max())


def _most(x: float | np.ndarray) -> float:
    return float(np.max(x))


def _check_arguments(matrix: Tensor, radius: float, center: float) -> int:
    """The size of the matrix, if all is well."""
    kind = f"{matrix.dtype} of shape {tuple(matrix.shape)} on {matrix.device}"
    square = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1]
    if not (square and matrix.dtype == torch.float64 and matrix.device.type == "cpu"):
        raise ArgumentError(
            "matrix",
            expected="a square float64 matrix on the CPU",
            got=kind.replace("torch.", ""),
            cure="signs are decided in float64: compute the Hessian in float64",
        )
    if not radius >= 0:
        raise ArgumentError(
            "radius",
            expected="a number that is 0 or more",
            got=repr(radius),
            cure="pass the bound on the error of the matrix, 0 if it is exact",
        )
    if not math.isfinite(center):
        raise ArgumentError(
            "center", expected="a finite number", got=repr(center), cure="0 counts signs"
        )
    return len(matrix)


def _check_symmetric(matrix: Tensor, radius: float) -> float:
    """½ ‖A - Aᵀ‖_∞: how far the symmetric matrix of the upper triangle may be from ½ (A + Aᵀ)."""
    sums = matrix.new_zeros(len(matrix))
    for i in range(0, len(matrix), _STRIP):
        j = i + _STRIP
        upper, lower = matrix[i:j, i:], matrix[i:, i:j].t()
        _check_finite(upper)
        if torch.equal(upper, lower):
            continue
        _check_finite(lower)
        skew = (upper - lower).abs()
        if float(skew.max()) > radius:
            row, column = divmod(int(skew.argmax()), len(matrix) - i)
            raise ArgumentError(
                "matrix",
                expected="a symmetric matrix",
                got=f"entries ({row + i}, {column + i}) and ({column + i}, {row + i}) that differ "
                f"by {float(skew.max()):.3g}",
                cure="mend the matrix; triangle=True reads the upper triangle only",
            )
        sums[i:j] += skew.sum(1)
        sums[j:] += skew[:, _STRIP:].sum(0)
    total = float(sums.max()) if len(matrix) else 0.0
    return 0.5 * total * (1 + gamma(len(matrix) + 4))


def _check_triangle(matrix: Tensor) -> float:
    for i in range(0, len(matrix), _STRIP):
        _check_finite(matrix[i : i + _STRIP, i:].triu())
    return 0.0


def _check_finite(entries: Tensor) -> None:
    if not bool(torch.isfinite(entries).all()):
        raise ArgumentError(
            "matrix",
            expected="finite entries",
            got="nan or infinity",
            cure="look for what overflowed where the matrix was computed",
        )
