"""All critical points in a box as a result: which, whether that is all, and what stayed open."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

from jaxtyping import Float64
from torch import Tensor

from morsescape.complete.points import ProvedPoint
from morsescape.complete.tree import joins_of, lower_end
from morsescape.errors import ArgumentError
from morsescape.morse.handles import Handles, handles
from morsescape.morse.merge_tree import Join, MergeTree
from morsescape.objective import Objective
from morsescape.store.codec import Saved


@dataclass(frozen=True, eq=False)
class CriticalSet(Saved):
    """The critical points of f in a box, with f ≤ ε where a level is given.

    Attributes:
        points: the proved ones, each nondegenerate, by their values from below.
        undecided: boxes that may hold others, shape (n, 2, D), lower corners first.
        box: where was looked, shape (2, D).
        level: ε; None is all.
        sealed: whether f > ε is proved on the boundary of the box, so that no component of
            M_ε = {f ≤ ε} leaves it; or that the box holds all of M_ε.
        boxes: how many were looked at.
        width: boxes as narrow as this were not split further.
        reasons: why boxes are undecided, each once.
    """

    points: tuple[ProvedPoint, ...]
    undecided: Float64[Tensor, "n 2 D"]
    box: Float64[Tensor, "2 D"]
    level: float | None
    sealed: bool
    boxes: int
    width: float
    reasons: tuple[str, ...] = ()
    f: Objective | None = field(default=None, repr=False)
    UNSAVED: ClassVar[tuple[str, ...]] = ("f",)

    def plot(self, ax: Any = None) -> Any:
        """Draw f at each point over its index; over contours of f where there are two variables."""
        from morsescape.figures import critical_set_figure

        return critical_set_figure(self, ax)

    @property
    def complete(self) -> bool:
        """Whether these are proved to be all, and all nondegenerate."""
        return len(self.undecided) == 0

    @property
    def counts(self) -> tuple[int, ...]:
        """How many points have index 0, …, D."""
        found = [0] * (self.box.shape[1] + 1)
        for point in self.points:
            found[point.index] += 1
        return tuple(found)

    @property
    def euler_characteristic(self) -> int | None:
        """Σ(-1)^index over all points, where they are proved to be all.

        It is χ of the part of M_ε in the box where that is sealed and ε is no critical value
        (Milnor, Morse Theory (1963), §5).
        """
        return sum((-1) ** p.index for p in self.points) if self.complete else None

    def handles(self) -> Handles:
        """The points as handles, in the order of their values: its `audit` speaks of all of R^D."""
        return handles([(p.value, p.index) for p in self.points], self.box.shape[1])

    def merge_tree(self) -> MergeTree:
        """How the components of M_ε in the box merge as ε rises to the level.

        Every point of index 1 is followed down on both sides, with the heights proved. Where the
        list is complete, the box sealed, and no join uncertain, components merge at no other point;
        where intervals overlap, which merge comes first is not decided.

        Raises:
            ArgumentError: a side that ends outside the box; a set that was read from a file.
        """
        tree = MergeTree.of(self._heights, self._joins)
        exact = self.complete and self.sealed and not tree.uncertain
        return replace(tree, complete=exact)

    @property
    def threshold(self) -> tuple[float, float] | None:
        """ε* at which all minima of the list are in one component of M_ε; None if never.

        They are for every ε from the upper end on, proved, and not below the lower end: that is
        finite where the list is complete and the box sealed.

        Raises:
            ArgumentError: as `merge_tree`.
        """
        joined = self.merge_tree().threshold
        if joined is None:
            return None
        known = self.complete and self.sealed
        low = lower_end(self._heights, self._joins) if known and self._joins else joined[0]
        return (low if known else -math.inf), joined[1]

    @property
    def _heights(self) -> list[tuple[float, float]]:
        return [p.value for p in self.points if p.index == 0]

    @cached_property
    def _joins(self) -> tuple[Join, ...]:
        if self.f is None:
            raise ArgumentError(
                "f", expected="the landscape", got="a set that was read from a file",
                cure="set it: dataclasses.replace(found, f=f)",
            )  # fmt: skip
        return joins_of(self.f, self.points)

    def __str__(self) -> str:
        of = ", ".join(f"{n} of index {k}" for k, n in enumerate(self.counts) if n) or "none"
        where = "in the box" + ("" if self.level is None else f" with f ≤ {self.level:.10g}")
        number = f"{len(self.points)} critical point" + "s" * (len(self.points) != 1)
        if self.complete:
            return (
                f"{number} {where}, proved to be all: {of}; Σ(-1)^index = "
                f"{self.euler_characteristic}; {self.boxes:,} boxes"
            )
        why = f" ({'; '.join(self.reasons)})" if self.reasons else ""
        return (
            f"{number} {where}, proved, but perhaps not all: {of}; "
            f"{len(self.undecided):,} of {self.boxes:,} boxes stayed undecided{why}"
        )
