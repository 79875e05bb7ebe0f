r"""A grid of a box, its Freudenthal triangulation, and how far f is from linear on its cells.

Every cell is cut into d! simplices, along the chains of its vertices from the lowest corner to the
highest. On them g interpolates the values at the grid's points linearly. For x in a simplex with
vertices pᵢ and weights λᵢ, and f twice continuously differentiable on the cell,

    f(x) - Σ λᵢ f(pᵢ) = -½ Σ λᵢ (pᵢ - x)ᵀ Hess f(ξᵢ) (pᵢ - x),

and Σ λᵢ (pᵢ - x)ⱼ² ≤ hⱼ²/4, the variance of what takes two values hⱼ apart. So, by Cauchy and
Schwarz, |f - g| ≤ ⅛ Σ |Hess f|ⱼₖ hⱼ hₖ on the cell, with the largest |Hess f| there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise, product

import numpy as np
import torch
from torch import Tensor

from morsescape.complete.intervals import Interval, above, below, joined_boxes
from morsescape.complete.on_boxes import Enclosures

_ROUNDING = 1 + 1e-12  # of a sum of d² + 2 nonnegative numbers, generously


class Grid:
    """Points in a box (2, d), counts along each axis: the first varies slowest."""

    def __init__(self, box: Tensor, shape: Sequence[int]) -> None:
        self.shape, self.dim = tuple(shape), len(shape)
        self.axes = []
        for (low, high), n in zip(box.T.tolist(), shape, strict=True):
            axis = torch.linspace(low, high, n, dtype=torch.float64)
            axis[0], axis[-1] = low, high  # exactly
            self.axes.append(axis)

    def points(self) -> Tensor:
        """All of them, shape (n, d)."""
        return torch.cartesian_prod(*self.axes).view(-1, self.dim)

    def cells(self) -> Interval:
        """The boxes between neighbours, shape (cells, d)."""
        low, high = (
            torch.cartesian_prod(*parts).view(-1, self.dim)
            for parts in ([x[:-1] for x in self.axes], [x[1:] for x in self.axes])
        )
        return Interval(low, high)

    def corners(self, values: np.ndarray) -> np.ndarray:
        """The values at the vertices of each cell, shape (2^d, cells)."""
        grid = values.reshape(self.shape)
        parts = [
            grid[tuple(slice(e, n - 1 + e) for e, n in zip(ends, self.shape, strict=True))]
            for ends in product((0, 1), repeat=self.dim)
        ]
        return np.stack([part.ravel() for part in parts])

    @property
    def simplices(self) -> int:
        """How many the triangulation has, of all dimensions, roughly."""
        return int(np.prod(self.shape)) * (1 + sum(1 for _ in _chains(self.dim)))

    def faces(self) -> Iterator[np.ndarray]:
        """The simplices as places of their vertices, shape (k + 1, n): the vertices first.

        Each is a lowest vertex and a chain of steps 0 < s₁ < … < s_k in {0, 1}^d, once.
        """
        places = np.arange(int(np.prod(self.shape))).reshape(self.shape)
        yield places.reshape(1, -1)
        for chain in _chains(self.dim):
            ends = [(0,) * self.dim, *chain]
            top = ends[-1]
            sizes = [n - t for n, t in zip(self.shape, top, strict=True)]
            yield np.stack([
                places[tuple(slice(e, e + n) for e, n in zip(end, sizes, strict=True))].ravel()
                for end in ends
            ])  # fmt: skip


def _chains(dim: int) -> Iterator[tuple[tuple[int, ...], ...]]:
    """Nonempty strictly increasing chains of nonzero steps, by length."""
    steps = [s for s in product((0, 1), repeat=dim) if any(s)]
    steps.sort(key=sum)
    for length in range(1, dim + 1):
        for chain in combinations(steps, length):
            if all(all(x <= y for x, y in zip(a, b, strict=True)) for a, b in pairwise(chain)):
                yield chain


def enclosed_values(f: Enclosures, grid: Grid, batch: int = 4096) -> tuple[np.ndarray, np.ndarray]:
    """Values at the points, and on each cell a proved bound of |f - g|; infinity where none.

    So many boxes are enclosed at once as `batch` says.
    """
    points = grid.points().split(batch)
    value = joined_boxes([f.first(Interval(p, p))[0] for p in points])
    middle = value.low + (value.high - value.low) / 2
    off = torch.maximum(above(value.high - middle), above(middle - value.low))
    cells = grid.cells()
    sides = above(cells.high - cells.low)
    parts = (Interval(*ends) for ends in zip(*(x.split(batch) for x in cells.ends), strict=True))
    largest = torch.cat([f.hessian(part).mag for part in parts])
    bend = (largest * sides[:, :, None] * sides[:, None, :]).sum((1, 2)) / 8
    worst = torch.from_numpy(grid.corners(off.numpy()).max(0))
    bound = ((bend + worst) * _ROUNDING).nan_to_num(nan=torch.inf, posinf=torch.inf)
    return middle.numpy(), bound.numpy()


class Sandwich:
    """For every t: {g ≤ t} ⊂ {f ≤ up(t)} and {f ≤ s} ⊂ {g ≤ t} for all s ≤ down(t).

    A cell with bound δ and least vertex m matters to {g ≤ t} if m ≤ t, and to {f ≤ s} if
    m - δ ≤ s; all bounds of cells that matter count, so steep places far above do not.
    """

    def __init__(self, least: np.ndarray, bound: np.ndarray) -> None:
        order = np.argsort(least)
        self._least, self._up = least[order], np.maximum.accumulate(bound[order])
        reach = below(torch.from_numpy(least - bound)).numpy()
        order = np.argsort(reach)
        self._reach, self._down = reach[order], np.maximum.accumulate(bound[order])

    def up(self, t: float) -> float:
        """A level of f below which all of {g ≤ t} is."""
        place = int(np.searchsorted(self._least, t, side="right"))
        return t if place == 0 else float(np.nextafter(t + self._up[place - 1], np.inf))

    def down(self, t: float) -> float:
        """The largest s that is sure to have {f ≤ s'} in {g < t} for all s' < s."""
        # With the cells up to place k, s + down[k] < t is needed, while s < reach[k + 1].
        starts = np.nextafter(self._reach + self._down, np.inf)
        k = int(np.searchsorted(starts, t, side="left")) - 1
        if k < 0:
            return min(t, float(self._reach[0]))
        end = float(np.nextafter(t - self._down[k], -np.inf))
        return min(end, float(self._reach[k + 1])) if k + 1 < len(self._reach) else end
