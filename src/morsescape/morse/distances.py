r"""Distances between minima up to symmetry, found where they matter, bounded from below elsewhere.

A permutation of units permutes the entries of a parameter along the axes on which they stand, and a
flip changes signs. Sorting is a contraction: the sorted absolute values of two vectors are no
farther apart than any permuted and flipped copies of them are (the rearrangement inequality). So,
with σ(θ) the absolute values of each parameter, sorted along these axes together,
‖σ(a) - σ(b)‖ ≤ min over g of ‖a - g b‖, which is at most the distance that alignment finds.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from morsescape.critical.result import CriticalPoint
from morsescape.objective import Objective
from morsescape.paths.connect import moved_next_to
from morsescape.paths.symmetry import Symmetries, symmetries

_SLACK = 1 - 1e-9  # norms of two vectors that are the same but for their order differ by rounding
Pair = tuple[int, int]


class Distances:
    """Of a growing list of minima.

    Args:
        f: the landscape.
        minima: the list.
        seed: of alignments.
    """

    def __init__(self, f: Objective, minima: Sequence[CriticalPoint], seed: int) -> None:
        self.f, self.minima, self.seed = f, minima, seed
        self.symmetries = symmetries(f) if f.source.of_samples else None
        self._exact: dict[Pair, float] = {}
        self._sorted: list[Tensor] = []

    def known(self, a: int, b: int) -> bool:
        """Whether the distance was found."""
        return (a, b) in self._exact

    def exact(self, a: int, b: int) -> float:
        """‖m_a - g m_b‖ for the best symmetry g that is found."""
        if (a, b) not in self._exact:
            here, there = self.minima[a].theta, self.minima[b].theta
            copy, _ = moved_next_to(self.f, here, there, self.seed)
            self._exact[a, b] = float((here - copy).norm())
        return self._exact[a, b]

    def bound(self, a: int, b: int) -> float:
        """The distance, or less where it was not found; the distance itself of a function."""
        if self.symmetries is None or self.known(a, b):
            return self.exact(a, b)
        while len(self._sorted) <= max(a, b):
            theta = self.minima[len(self._sorted)].theta
            self._sorted.append(in_order(self.symmetries, theta))
        return float((self._sorted[a] - self._sorted[b]).norm()) * _SLACK

    def nearest(self, pairs: Sequence[Pair]) -> Pair:
        """The first of the pairs with the least distance."""
        order = sorted(range(len(pairs)), key=lambda k: self.bound(*pairs[k]))
        best: tuple[float, int] | None = None
        for k in order:
            if best is not None and self.bound(*pairs[k]) > best[0]:
                break
            own = self.exact(*pairs[k]), k
            best = own if best is None else min(best, own)
        assert best is not None
        return pairs[best[1]]


def in_order(known: Symmetries, theta: Tensor) -> Tensor:
    """σ(θ): what no permutation and no flip changes, as a contraction of θ."""
    parameters = known.source.unflatten(theta)
    axes: dict[str, set[int]] = {}
    for place in (place for group in known.groups for place in group.places):
        axes.setdefault(place.name, set()).add(place.dim)
    found = []
    for name, own in parameters.items():
        dims = sorted(axes.get(name, ()))
        if dims:
            moved = own.abs().movedim(dims, tuple(range(len(dims))))
            own = moved.flatten(0, len(dims) - 1).sort(0).values
        found.append(own.reshape(-1))
    return torch.cat(found)
