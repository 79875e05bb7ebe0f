"""All critical points in a box as a result: which, whether that is all, and what stayed open."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float64
from torch import Tensor

from morsescape.complete.points import ProvedPoint
from morsescape.store.codec import Saved


@dataclass(frozen=True, eq=False)
class CriticalSet(Saved):
    """The critical points of f in a box, with f ≤ ε where a level is given.

    Attributes:
        points: the proved ones, each nondegenerate, by their values from below.
        undecided: boxes that may hold others, shape (n, 2, D), lower corners first.
        box: where was looked, shape (2, D).
        level: ε; None is all.
        whole: whether the box is proved to hold all of M_ε = {f ≤ ε}.
        boxes: how many were looked at.
        width: boxes as narrow as this were not split further.
        reasons: why boxes are undecided, each once.
    """

    points: tuple[ProvedPoint, ...]
    undecided: Float64[Tensor, "n 2 D"]
    box: Float64[Tensor, "2 D"]
    level: float | None
    whole: bool
    boxes: int
    width: float
    reasons: tuple[str, ...] = ()

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
        """Σ(-1)^index over all points, where they are all; χ(M_ε) where the box holds all of it."""
        return sum((-1) ** p.index for p in self.points) if self.complete else None

    def __str__(self) -> str:
        of = ", ".join(f"{n} of index {k}" for k, n in enumerate(self.counts) if n) or "none"
        where = "in the box" if self.level is None else f"with f ≤ {self.level:.10g}"
        if self.level is not None and not self.whole:
            where += " in the box"
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
