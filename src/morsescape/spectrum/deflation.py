"""Take exactly known null vectors out of a Hessian before its signs are counted.

Rows that are exactly zero are cut out. The softmax shift vectors, ones on the coordinates
(c, p) of all classes c, are lifted: H + s sum_p 1_p 1_p^T has the same negative and positive
eigenvalues as H, and instead of one zero per p an eigenvalue s C > 0, because H 1_p = 0 and the
1_p are orthogonal. Nothing is rotated, so the only rounding is that of the additions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from morsescape.rounding.floats import U
from morsescape.spectrum.null_space import Cause


@dataclass(frozen=True)
class Reduced:
    """A symmetric matrix without the null vectors that are known exactly.

    Attributes:
        matrix: (n, n); n₋ is that of the Hessian, n₊ larger by `lifted`.
        lifted: how many null vectors were turned into positive eigenvalues.
        lift: those eigenvalues.
        cut: how many exactly zero rows were cut out.
        radius: bound on the norm of the rounding of this step.
    """

    matrix: Tensor
    lifted: int
    lift: float
    cut: int
    radius: float

    @property
    def exact_null(self) -> int:
        """How many null vectors are known exactly."""
        return self.cut + self.lifted

    def all_eigenvalues(self, counted: Tensor) -> Tensor:
        """Those of the Hessian itself, ascending: the lifted ones are put back to zero."""
        if self.lifted:
            # Of a cluster that is exact to rounding, any `lifted` nearest values will do.
            order = (counted - self.lift).abs().argsort()
            counted = counted[order[self.lifted :]]
        zeros = counted.new_zeros(self.exact_null)
        return torch.cat([counted, zeros]).sort().values


def reduce(matrix: Tensor, causes: tuple[Cause, ...], *, overwrite: bool = False) -> Reduced:
    """Cut and lift what `causes` knows exactly.

    `matrix` itself is left as it is, unless `overwrite` allows the result to lie in its memory.
    """
    cut = torch.zeros(len(matrix), dtype=torch.bool)
    lifts: list[Tensor] = []
    for cause in causes:
        for places, local in cause.blocks if cause.exact else ():
            if len(places) == 1:
                cut[places] = True
            else:
                lifts.append(places)
                assert bool((local == local[0]).all())  # a shift: all entries alike
    keep = ~cut
    small = _without(matrix if overwrite else matrix.clone(), keep)
    lift, worst = _lift(small, lifts, keep)
    classes = len(lifts[0]) if lifts else 0
    radius = 2 * U * worst * classes
    return Reduced(small, len(lifts), lift * classes, int(cut.sum()), radius)


def _without(matrix: Tensor, keep: Tensor) -> Tensor:
    """The kept rows and columns, moved up and left within the matrix: a row never moves down."""
    if bool(keep.all()):
        return matrix
    columns = keep.nonzero().squeeze(1)
    for row, old in enumerate(columns.tolist()):
        matrix[row, : len(columns)] = matrix[old].index_select(0, columns)
    return matrix[: len(columns), : len(columns)]


def _lift(small: Tensor, lifts: list[Tensor], keep: Tensor) -> tuple[float, float]:
    """Add s to the blocks; returns s and the largest entry that was rounded."""
    if not lifts:
        return 0.0, 0.0
    number = keep.cumsum(0) - 1
    # A power of two as large as a typical eigenvalue: it neither hides among small eigenvalues
    # nor makes the matrix larger.
    typical = float(small.diagonal().abs().max()) / len(lifts[0])
    s = 2.0 ** round(math.log2(max(typical, 1e-300)))
    worst = 0.0
    for places in lifts:
        own = number[places]
        block = small[own[:, None], own] + s
        small[own[:, None], own] = block
        worst = max(worst, float(block.abs().max()))
    return s, worst
