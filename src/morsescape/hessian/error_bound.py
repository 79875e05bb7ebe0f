"""Bound the distance of a computed Hessian from the true one, in spectral norm.

Write H = sum_r u_r y_r^T block by block (r runs over samples and positions). If u_r and y_r are
known to within e_r and f_r, and the sum rounds `runs` times, then the block's error satisfies

    ||dH|| <= sum_r [ gamma_runs ||u_r|| ||y_r|| + ||u_r|| ||f_r|| + ||e_r|| (||y_r|| + ||f_r||) ],

a number per pair of units. The spectral norm of the whole is at most that of the matrix of these
numbers, which is at most its largest row sum (it is symmetric and non-negative).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from morsescape.rounding.balls import Ball
from morsescape.rounding.floats import INFLATION, gamma, perron_bound, tiny

# A square below 2^-1022 is lost from a norm: sqrt(k) 2^-511 at most, less than this for k < 4e7.
LOST = 1e-150


@dataclass
class Norms:
    """Row norms of an array of balls: of the middles, and of the radii."""

    size: Tensor
    error: Tensor

    @classmethod
    def over_inputs(cls, u: Ball, bias: bool) -> Norms:
        """Over the features of u; a bias adds a feature that is exactly 1."""
        square = u.mag.square().sum(-1)
        return cls((square + bias).sqrt() + LOST, u.radius().square().sum(-1).sqrt() + LOST)

    @classmethod
    def of_inputs(cls, u: Ball, bias: bool) -> Norms:
        """Entry by entry, with a feature that is exactly 1 for a bias."""
        entries = cls.of_entries(u)
        if not bias:
            return entries
        ones = u.mid.new_ones(*u.mid.shape[:-1], 1, dtype=torch.float64)
        size = torch.cat([entries.size, ones], -1)
        return cls(size, torch.cat([entries.error, torch.zeros_like(ones)], -1))

    @classmethod
    def of_entries(cls, d: Ball) -> Norms:
        """Entry by entry."""
        return cls(d.mag, d.radius())

    def map(self, function: Callable[[Tensor], Tensor]) -> Norms:
        """The same reshaping of both."""
        return Norms(function(self.size), function(self.error))

    def times(self, other: Norms) -> Norms:
        """Of a product."""
        error = self.size * other.error + self.error * (other.size + other.error)
        return Norms(self.size * other.size, error)

    def joined(self, other: Norms) -> Norms:
        """Of a product of matrices, rounding apart."""
        error = self.size @ other.error + self.error @ (other.size + other.error)
        return Norms(self.size @ other.size, error)

    def times_vector(self, v: Tensor) -> Norms:
        """Sums over the last dimension, weighted by v, which is exact."""
        return Norms(self.size @ v, self.error @ v)

    def plus(self, other: Norms) -> Norms:
        """Of a sum."""
        return Norms(self.size + other.size, self.error + other.error)

    def sum(self, *dims: int) -> Norms:
        """Of a sum over dimensions."""
        return Norms(self.size.sum(dims), self.error.sum(dims))


@dataclass
class ErrorBound:
    """Adds up, per pair of units, what the terms of the Hessian can be off by."""

    units: int
    dtype: torch.dtype
    runs: int = 1
    gathered_runs: int = 1  # of layers whose samples are gathered, with themselves
    underflows: int = 1  # products per entry of H, times D: each may be off by the smallest number
    kinks: int = 0
    size: Tensor = field(init=False)
    gathered: Tensor = field(init=False)
    error: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.size = torch.zeros(self.units, self.units, dtype=torch.float64)
        self.gathered, self.error = torch.zeros_like(self.size), torch.zeros_like(self.size)

    def add(self, rows: slice, columns: slice, norms: Norms, *, gathered: bool = False) -> None:
        """Add the norms of one block's terms, in both triangles."""
        size = self.gathered if gathered else self.size
        for total, part in ((size, norms.size), (self.error, norms.error)):
            total[rows, columns] += part
            if rows != columns:
                total[columns, rows] += part.t()

    def add_rows(self, rows: slice, columns: slice, norms: Norms) -> None:
        """Add the norms of whole rows; `columns` holds `rows`, and mirrored entries are set."""
        for total, part in ((self.size, norms.size), (self.error, norms.error)):
            total[rows, columns] += part
            mirrored = torch.maximum(total[columns, rows], total[rows, columns].t()).clone()
            total[columns, rows] = mirrored
            total[rows, columns] = mirrored.t()

    def rounded(self, size: Tensor, gathered: Tensor) -> Tensor:
        """What sums of these sizes may be off by."""
        gammas = (gamma(runs, self.dtype) for runs in (self.runs, self.gathered_runs))
        return next(gammas) * size + next(gammas) * gathered

    def parts(self) -> dict[str, float]:
        """The bound, split into what sums and what samples contribute."""
        absolute = 2 * self.underflows * tiny(self.dtype)
        sums = spectral_bound(self.rounded(self.size, self.gathered))
        return {
            "sums": sums * INFLATION,
            "samples": spectral_bound(self.error) * INFLATION + absolute,
        }


def in_order(product: Tensor, v: Tensor, absolute: float = LOST) -> Tensor:
    """B v / v from B v, with its own rounding; infinite where an unbounded radius came in."""
    spread = (product / v + absolute) * INFLATION
    return spread.nan_to_num(nan=torch.inf, posinf=torch.inf)


def spectral_bound(matrix: Tensor, steps: int = 20) -> float:
    """An upper bound on the spectral norm of max(B, B^T) for a non-negative B, nearly sharp."""
    symmetric = torch.maximum(matrix, matrix.t())
    if not bool(symmetric.isfinite().all()):
        return torch.inf
    return perron_bound(lambda x: symmetric @ x, len(matrix), steps)
