"""The signs of a Hessian's eigenvalues, counted once and kept with it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from morsescape.hessian.regime import regime
from morsescape.hessian.solver import Solver
from morsescape.hessian.value import Hessian, once
from morsescape.progress import StageProgress
from morsescape.rounding.floats import down, up
from morsescape.spectrum.counts import Counts, count_by_ldl, count_eigenvalues, sharpened
from morsescape.spectrum.enclosed_eigenvalues import eigenvalue_error

Apart = tuple[float, Counts | None]
Counter = Callable[[float], Counts]


def counter(
    hessian: Hessian, method: str, spend: bool, known: int, progress: StageProgress | None
) -> Counter:
    """Counts the signs of Hess L - center I without the rows that are exactly zero in Hess L.

    Row by row, where the errors are known so, and by the norm where that leaves more open than the
    `known` null vectors; all that is proved either way is kept.
    """
    enclosed = hessian.enclose()
    radius, spread = enclosed.radius, enclosed.spread
    if spread is not None and enclosed.untouched is not None:
        spread = spread[~enclosed.untouched]
    del enclosed  # so that the matrix can be released
    by_values = method == "eigh"
    if spend and not by_values:
        matrix, own = released_core(hessian), True
    else:
        matrix, kept = hessian.core()
        own = kept is not None

    def by_ldl(center: float, radius: float | Tensor) -> Counts:
        return count_by_ldl(
            matrix, radius, overwrite=own, center=center, enough=known, progress=progress
        )

    def count(center: float) -> Counts:
        by_norm = partial(count_core, hessian) if by_values else partial(by_ldl, radius=radius)
        ways = [by_norm]
        if spread is not None and bool(spread.isfinite().all()):
            # By eigenvalues the norm comes first, for they are asked for.
            ways.insert(1 if by_values else 0, partial(by_ldl, radius=spread))
        counts = ways[0](center)
        for way in ways[1:]:
            if counts.null[1] > known:
                counts = sharpened(counts, way(center))
        return counts

    return count


def count_core(hessian: Hessian, center: float) -> Counts:
    """Signs of Hess L(θ) - center I, from all eigenvalues.

    The rows of Hess L that are exactly zero are left out (`Hessian.core`).
    """
    values, radius = hessian.core_eigh()[0], hessian.enclose().radius
    return count_eigenvalues(values, _core_error(hessian), radius, center)


def released_core(hessian: Hessian) -> Tensor:
    """Its core, in the memory of the Hessian, which is released."""
    enclosed = hessian.release()
    matrix, untouched = enclosed.matrix, enclosed.untouched
    if untouched is None or not bool(untouched.any()):
        return matrix
    kept = (~untouched).nonzero().squeeze(1)
    for row, old in enumerate(kept.tolist()):  # never down, so that none is lost
        matrix[row, : len(kept)] = matrix[old].index_select(0, kept)
    return matrix[: len(kept), : len(kept)]


@once
def _core_error(hessian: Hessian) -> float:
    return eigenvalue_error(hessian.core()[0], *hessian.core_eigh())


@once
def distance_from_singular(hessian: Hessian) -> Apart:
    """A lower bound on min |λ| of every matrix within the radius, and their common inertia.

    Up to 1,500 variables from all eigenvalues. Above, two factorisations A ± σI with the same
    signs, σ near the smallest |λ| that inverse iteration finds, prove it.
    """
    radius = hessian.radius
    if not math.isfinite(radius):
        return 0.0, None
    if regime(hessian.dim).eigenpairs:
        return _apart_by_eigenvalues(hessian)
    solve = hessian.factor()
    guess = 0.0 if solve is None else _smallest_guess(solve, hessian.dim)
    for share in (0.9, 0.5, 0.1):
        # Nothing within `bound` is singular, so min |λ| of the matrix is at least that.
        bound = share * guess
        if bound <= radius:
            break
        counts = count_by_ldl(hessian.enclose().matrix, bound, center=-2 * hessian.f.l2)
        if counts.null == (0, 0):
            return down(bound - radius), counts
    return 0.0, None


def signs_known(hessian: Hessian) -> Counts | None:
    """The signs, if `distance_from_singular` was asked for before and decided all of them.

    With none undecided, no band is: the radius is that of the Hessian and its factorisations.
    """
    _, counts = hessian.made.get("distance_from_singular", (0.0, None))
    if counts is None:
        return None
    radius = up(hessian.enclose().radius + counts.error)
    return replace(counts, radius=radius, solver_radius=counts.error, eigenvalues=None)


def _apart_by_eigenvalues(hessian: Hessian) -> Apart:
    counts = count_core(hessian, -2 * hessian.f.l2)
    zero_rows = hessian.dim - len(hessian.core_eigh()[0])
    ridge = 2 * hessian.f.l2
    if counts.null != (0, 0) or (zero_rows and not ridge):
        return 0.0, None
    low, high = (number + zero_rows for number in counts.positive)
    sizes = (hessian.core_eigh()[0] + ridge).abs()
    least = float(sizes.min()) if len(sizes) else math.inf
    least = down(down(least) - counts.radius)
    return min(least, ridge) if zero_rows else least, replace(counts, positive=(low, high))


def _smallest_guess(solve: Solver, dim: int) -> float:
    """Min |λ| by inverse iteration."""
    v = torch.randn(dim, generator=torch.Generator().manual_seed(0)).double()
    norm = 1.0
    for _ in range(30):
        v = solve(v / v.norm())
        norm = float(v.norm())
        if not 0 < norm < math.inf:
            return 0.0
    return 1 / norm
