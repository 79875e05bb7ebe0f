"""The two factorisations of a count, with shifts that are proved to be large enough.

H lies between A - diag(r) and A + diag(r) in the order of symmetric matrices, r a number or one
for each row. `factor` gives L D Lᵀ = A + diag(σ) + E with -diag(e) ⪯ E ⪯ diag(e), e again a number,
from ‖E‖₂, or one for each row. If σ + c ≥ r + e in every row then H - c I ⪯ L D Lᵀ; if
σ + c ≤ -(r + e) the order turns round.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from morsescape.progress import StageProgress
from morsescape.rounding.floats import U
from morsescape.spectrum.ldl import Factor, factor, restore
from morsescape.spectrum.near_null import near_null

Amount = Any  # a float, or an array with one for each row

_TRIES = 4  # factorisations per side before giving up; the second nearly always does
_PILOT = 512  # up to this size the shift is chosen by factoring the whole matrix once more
_LARGEST_PILOT = 4000
_SLACK = 1.3  # on a guessed error; a guess too small costs a whole factorisation
_TOO_WIDE = 4.0  # a band this much wider than needed is worth a second factorisation
_GENEROUS = 2.0  # on an extrapolated error, which falls short by up to this much
_SHARE = 0.005  # of the radius: so much wider is no loss
_STRIP = 256  # rows looked at together
_POWER = 0.75
_WIDEST = 2.0**34  # entries of the test vector lie between 1 and this
_RAISED = 32.0  # so much at most where signs are open
_FEW = 512  # of more open signs, null ones among them, the directions are not looked for


class Refused(Exception):
    """No count; the argument is the name of the `CountStatus` that says why."""


@dataclass(frozen=True)
class Side:
    """One factorisation: its signs, |σ + c| rounded up, and the bound on its error."""

    signs: tuple[int, int]
    distance: Amount
    error: Amount


@dataclass
class Sides:
    """Factor twice; `matrix` holds A in its upper triangle, and the lower one is scratch.

    Attributes:
        matrix, radius, center: A, r and c.
        progress: called as progress(columns done, columns in all).
        enough: so many eigenvalues may stay open; with more, two factorisations look closer.
    """

    matrix: Tensor
    radius: Amount
    center: float
    progress: StageProgress | None
    enough: int = 0
    done: int = 0
    planned: int = 2
    favoured: _Rows | None = None  # a second measure
    expected: Amount = 0.0  # its error

    def run(self) -> tuple[Side, Side]:
        """The sides above and below.

        Raises:
            Refused: nothing is counted.
        """
        by_rows = isinstance(self.radius, np.ndarray)
        self.measure: _Norm | _Rows = _Rows.of(self.matrix) if by_rows else _Norm()
        above = self._side(1, self._guess(len(self.matrix)))
        below = self._side(-1, _SLACK * above.error, above)
        if self.favoured is None:
            return above, below
        # With other errors other signs are decided; those that were stay so.
        self.planned += 2
        self.measure = self.favoured
        try:
            higher = self._side(1, _SLACK * self.expected)
            lower = self._side(-1, _SLACK * higher.error)
        except Refused:
            return above, below
        return (
            higher if higher.signs[0] > above.signs[0] else above,
            lower if lower.signs[1] > below.signs[1] else below,
        )

    def _side(self, sign: int, guess: Amount, other: Side | None = None) -> Side:
        for attempt in range(_TRIES):
            shift = sign * (self.radius + guess) - self.center
            restore(self.matrix)
            result = factor(self.matrix, shift, self._step)
            signs = result.signs()
            if other is not None and signs is not None:
                self._look_closer(result, shift, len(self.matrix) - other.signs[0] - signs[1])
            error = self.measure.error(result)
            if other is not None and self.favoured is not None:
                self.expected = self.favoured.error(result)
            self.done += 1
            if signs is None or not np.isfinite(error).all():
                raise Refused("OVERFLOW")
            # Each side is one rounding, and the margin is more than they are off by.
            have = sign * (shift + self.center) * (1 - 4 * U)
            needed = (self.radius + error) * (1 + 4 * U)
            wide = attempt == 0 and self.measure.narrow and have > _TOO_WIDE * needed
            if np.all(have >= needed) and not wide:
                return Side(signs, np.nextafter(abs(shift + self.center), math.inf), error)
            self.planned += 1
            # A large center or radius swallows small changes of the shift: step over its rounding.
            least = np.spacing(abs(self.center) + abs(shift))
            wanted = _SLACK ** (attempt + 1) * error + 2 * least
            # Another order of pivots has other errors in single rows: never go back in one of them.
            guess = wanted if self.measure.narrow else np.maximum(guess, wanted)
        raise Refused("NO_SHIFT")

    def _look_closer(self, result: Factor, shift: Amount, count: int) -> None:
        """Choose a second measure, if more signs are open than need be."""
        if isinstance(self.measure, _Rows) and self.enough < count:
            few = count <= _FEW
            self.favoured = self.measure.favouring(near_null(result, shift, count if few else 0))

    def _step(self, columns: int) -> None:
        if self.progress is not None:
            n = len(self.matrix)
            self.progress(self.done * n + columns, self.planned * n)

    def _guess(self, n: int) -> Amount:
        """An error of the factorisation; from the whole where that is small.

        Extrapolated from those of two principal submatrices, chosen at random: a heuristic; the
        error grows like a power of n, between n and n^2.6. `_side` verifies it. A guess that is too
        small costs a third of the time, one that is too large some eigenvalues.
        """
        if n <= _PILOT:
            return self.measure.guess(self._pilot(n))
        large = min(n // 4, _LARGEST_PILOT)
        small_error, large_error = self._pilot(large // 2), self._pilot(large)
        growth = np.ones_like(large_error)
        known = (small_error > 0) & (large_error > 0)
        growth[known] = np.clip(large_error[known] / small_error[known], 2.0, 6.0)
        guess = self.measure.guess(large_error * growth ** math.log2(n / large))
        return np.maximum(_GENEROUS * guess, _SHARE * self.radius)

    def _pilot(self, size: int) -> np.ndarray:
        """The numbers of `measure` that tell the error of factoring a principal submatrix."""
        n = len(self.matrix)
        chosen = torch.arange(n)
        if size < n:
            order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
            chosen = order[:size].sort().values
        part = self.matrix[chosen[:, None], chosen[None, :]].contiguous()
        restore(part)
        radius, sums = self.measure.rows(self.radius, part, chosen)
        error = self.measure.numbers(factor(part, radius + size * U * sums - self.center), chosen)
        return np.where(np.isfinite(error), _SLACK * error, 0.0)


class _Norm:
    """Errors as one number, ‖E‖₂."""

    narrow = True  # a first shift that is far too wide is made narrower at once

    def error(self, result: Factor) -> float:
        return result.bound()

    def guess(self, numbers: np.ndarray) -> float:
        return float(numbers[0])

    def rows(self, radius: float, part: Tensor, chosen: Tensor) -> tuple[float, float]:
        return radius, float(part.abs().sum(1).max())

    def numbers(self, result: Factor, chosen: Tensor) -> np.ndarray:
        return np.array([result.bound()])


@dataclass
class _Rows:
    """Errors as a number for each row, e = M v / v, near multiples of the row sums of |A|.

    v = (row sums)^(-3/4), scaled to begin at 1. The power -1/2 makes M v / v smallest on average,
    -3/4 favours rows of small numbers: it is their signs that are hard to decide.
    """

    sums: np.ndarray
    v: np.ndarray
    narrow = False

    @classmethod
    def of(cls, matrix: Tensor) -> _Rows:
        restore(matrix)
        sums = torch.cat([part.abs().sum(1) for part in matrix.split(_STRIP)]).numpy()
        largest = float(sums.max(initial=0.0))
        if not 0 < largest < math.inf:
            return cls(np.ones(len(sums)), np.ones(len(sums)))
        # Rows of zeros are as harmless as those of the largest numbers.
        ratio = np.maximum(np.where(sums > 0, sums, largest) / largest, _WIDEST ** (-1 / _POWER))
        return cls(ratio * largest, ratio**-_POWER)

    def favouring(self, near: np.ndarray) -> _Rows:
        """The same with v raised in the directions `near`, (n, m): their errors fall."""
        size = np.abs(near)
        share = size / (size / self.v[:, None]).max(0, initial=1e-300)  # at most v
        return replace(self, v=self.v + (_RAISED - 1) * share.max(1, initial=0.0))

    def error(self, result: Factor) -> np.ndarray:
        return result.spread(self.v)

    def guess(self, numbers: np.ndarray) -> np.ndarray:
        return np.minimum(numbers[0] * self.sums, numbers[1])

    def rows(
        self, radius: np.ndarray, part: Tensor, chosen: Tensor
    ) -> tuple[np.ndarray, np.ndarray]:
        return radius[chosen.numpy()], self.sums[chosen.numpy()]

    def numbers(self, result: Factor, chosen: Tensor) -> np.ndarray:
        """The largest e / row sum, and the largest e."""
        error = result.spread(self.v[chosen.numpy()])
        return np.array([(error / self.sums[chosen.numpy()]).max(), error.max()])
