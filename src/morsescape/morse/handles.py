"""M_ε built handle by handle: Euler characteristic, Morse inequalities, and an audit by them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from morsescape.errors import ArgumentError
from morsescape.store.codec import Saved


@dataclass(frozen=True)
class Handle(Saved):
    """A nondegenerate critical point as a handle: its value lies in [low, high].

    It stands for `copies` points, as many as its orbit has under the symmetries of f.
    """

    low: float
    high: float
    index: int
    copies: int = 1

    @property
    def did(self) -> str:
        """What attaching it does to M_ε, as far as the index alone tells."""
        if self.index == 0:
            return "a new component"
        below, own = self.index - 1, self.index
        if below == 0:
            return "joins two components or closes a loop (a class of degree 1)"
        return f"fills a class of degree {below} or makes one of degree {own}"


@dataclass(frozen=True)
class Handles(Saved):
    """The handles of f on R^dim, in the order of their lower ends.

    Attributes:
        dim: number of variables.
        handles: one for each critical point listed; the counts below speak of these alone.
    """

    dim: int
    handles: tuple[Handle, ...]

    def counts(self) -> tuple[int, ...]:
        """How many critical points have index 0, …, dim."""
        found = [0] * (self.dim + 1)
        for handle in self.handles:
            found[handle.index] += handle.copies
        return tuple(found)

    def euler(self, level: float) -> tuple[int, int]:
        """Bounds of χ(M_ε) = Σ(−1)^index over the points below ε = `level`.

        They differ where the level cuts value intervals: such a point may lie on either side.
        """
        sure = sum((-1) ** h.index * h.copies for h in self.handles if h.high < level)
        cut = [(-1) ** h.index * h.copies for h in self.handles if h.low <= level <= h.high]
        return sure + sum(s for s in cut if s < 0), sure + sum(s for s in cut if s > 0)

    def unordered(self) -> tuple[tuple[int, int], ...]:
        """Pairs of handles whose value intervals meet: which one comes first is not proved."""
        return tuple(
            (i, j)
            for i, a in enumerate(self.handles)
            for j, b in enumerate(self.handles[i + 1 :], i + 1)
            if b.low <= a.high
        )

    def violated(self, betti: Sequence[int]) -> tuple[int, ...]:
        """Degrees k at which a strong Morse inequality fails for these Betti numbers.

        With c_k points of index k: c_k − c_{k−1} + … ± c_0 ≥ b_k − b_{k−1} + … ± b_0, with
        equality at k = dim (Milnor, Morse Theory (1963), §5).
        """
        known = list(betti) + [0] * (self.dim + 1 - len(betti))
        bad, excess = [], 0
        for k, (c, b) in enumerate(zip(self.counts(), known, strict=True)):
            excess = c - b - excess
            if excess < 0 or (k == self.dim and excess != 0):
                bad.append(k)
        return tuple(bad)

    def audit(self) -> str:
        """Whether the list can be all of a coercive Morse function on R^dim: in words.

        Then M_ε is contractible for large ε, so Σ(−1)^index = 1. That the sum is 1 does not prove
        the list complete.
        """
        total = sum((-1) ** h.index * h.copies for h in self.handles)
        if total != 1:
            return f"critical points are missing: Σ(−1)^index is {total}, of a coercive f it is 1"
        bad = self.violated((1,))
        if bad:
            return f"critical points are missing: the Morse inequality fails in degree {bad[0]}"
        return "nothing speaks against the list: Σ(−1)^index is 1 and the Morse inequalities hold"


def handles(
    points: Sequence[tuple[tuple[float, float], int]], dim: int,
    copies: Sequence[int] | None = None,
) -> Handles:  # fmt: skip
    """The handles of a Morse function on R^dim, from (value interval, index) of each point.

    Passing a nondegenerate critical value attaches a handle of the point's index to
    M_ε = {f ≤ ε}, for f with compact M_ε (Milnor, Morse Theory (1963), Theorem 3.2). Of a symmetric
    f one point of each orbit is enough, with the size of the orbit in `copies`.

    Raises:
        ArgumentError: an interval is empty or no number, an index is not in 0, …, dim, or `copies`
            are not as many positive numbers as there are points.

    Example:
        >>> built = handles([((-1.0, -1.0), 0), ((-1.0, -1.0), 0), ((0.0, 0.1), 1)], dim=1)
        >>> built.euler(-0.5), built.euler(0.05), built.euler(1.0)
        ((2, 2), (1, 2), (1, 1))
    """
    for (low, high), index in points:
        if not low <= high:
            raise ArgumentError(
                "points", expected="value intervals (low, high) with low ≤ high",
                got=f"({low}, {high})", cure="give both ends, the lower one first",
            )  # fmt: skip
        if not 0 <= index <= dim:
            raise ArgumentError(
                "points", expected=f"indices from 0 to {dim}", got=str(index),
                cure="dim is the number of variables of f",
            )  # fmt: skip
    sizes = [1] * len(points) if copies is None else list(copies)
    if len(sizes) != len(points) or min(sizes, default=1) < 1:
        raise ArgumentError(
            "copies", expected=f"{len(points)} positive numbers, one for each point",
            got=f"{len(sizes)} numbers, the least {min(sizes, default=0)}",
            cure="count the points of each orbit, at least the given one",
        )  # fmt: skip
    found = (
        Handle(low, high, index, size)
        for ((low, high), index), size in zip(points, sizes, strict=True)
    )
    return Handles(dim, tuple(sorted(found, key=lambda h: (h.low, h.high, h.index))))
