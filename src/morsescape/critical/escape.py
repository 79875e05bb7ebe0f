"""Lower the index without raising the loss: what the paper calls a very interesting challenge."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any

from jaxtyping import Float64
from torch import Tensor

from morsescape.boundary import a_count, a_function, a_progress, a_seed, a_vector, checked, instance
from morsescape.critical.evaluations import Evaluations
from morsescape.critical.loop import Point, Stop, run
from morsescape.critical.negative_curvature import leave, negative_directions
from morsescape.critical.search import Search
from morsescape.critical.steppers import descent, stepper
from morsescape.hessian.regime import regime
from morsescape.notebook import html_table
from morsescape.objective import Objective
from morsescape.progress import Asked, Progress
from morsescape.spectrum.inertia import Inertia, InertiaStatus, signs_at
from morsescape.store.codec import Saved

_STEPS_BETWEEN = 10  # of trust-region between two counts; those of L-BFGS the regime knows


class EscapeStatus(Enum):
    """How an escape ended."""

    INDEX_ZERO = "no negative curvature is left: the count is 0"
    UNDECIDED = (
        "no direction is left whose curvature is negative beyond the radius, but some eigenvalues "
        "are too close to zero for their sign to be decided"
    )
    BLOCKED = "negative curvature is left, but no step along it lowers the computed f"
    STEP_LIMIT = "negative curvature is left at the limit of rounds"
    UNBOUNDED = "f seems to have no lower bound: it fell out of sight"
    NOT_FINITE = "f or a derivative is NaN or infinite"
    FAILED = "stopped where something could not be computed"


@dataclass(frozen=True)
class EscapeStep:
    """Where an escape stood: f, the interval of the index (of the count, where ∇f ≠ 0), ‖∇f‖.

    Attributes:
        value: f.
        grad_norm: ‖∇f‖.
        negative: interval of the number of negative eigenvalues; None between two counts.
        move: what led here: "start", "negative curvature" or "descent".
    """

    value: float
    grad_norm: float
    negative: tuple[int, int] | None
    move: str


@dataclass(frozen=True, eq=False)
class Escape(Saved):
    """What an escape came to; f falls along `trajectory` at every step.

    Attributes:
        theta: the last point, shape (D,).
        trajectory: every accepted step, the start first; the last one carries a count.
        inertia: the signs at the last point; None where the Hessian is not finite, could not be
            computed, or is not what a second opinion says.
        status: how it ended.
        evaluations: what it cost.
        seconds: wall-clock time.
        seed: of the starts of the eigenvector searches.
        reason: what went wrong, empty if nothing did.
    """

    theta: Tensor
    trajectory: tuple[EscapeStep, ...]
    inertia: Inertia | None
    status: EscapeStatus
    evaluations: Evaluations
    seconds: float
    seed: int
    reason: str = ""

    @property
    def verdict(self) -> str:
        """How it ended, in a sentence that says no more than the inertia does."""
        how = ""
        if self.status is EscapeStatus.INDEX_ZERO and self.inertia is not None:
            how = f" ({_certainty(self.inertia)})"
        return self.status.value + how + (f" ({self.reason})" if self.reason else "")

    def __repr__(self) -> str:
        first, last = self.trajectory[0], self.trajectory[-1]
        return (
            f"Escape({self.status.name}, negative={first.negative} -> {last.negative}, "
            f"value={first.value:.8g} -> {last.value:.8g}, "
            f"theta=<{len(self.theta):,} numbers>, steps={len(self.trajectory) - 1})"
        )

    def __str__(self) -> str:
        first, last = self.trajectory[0], self.trajectory[-1]
        return (
            f"negative {_shown(first.negative)} -> {_shown(last.negative)}, f {first.value:.8g} -> "
            f"{last.value:.8g} in {len(self.trajectory) - 1} steps: {self.verdict} "
            f"(|grad f| = {last.grad_norm:.2g}, {self.seconds:.1f} s)"
        )

    def _repr_html_(self) -> str:
        counted = [s for s in self.trajectory if s.negative is not None]
        rows = [
            (f"{s.value:.8g}", _shown(s.negative), f"{s.grad_norm:.2g}", s.move) for s in counted
        ]
        return html_table(rows, ("f", "negative", "|grad f|", "after"), self.verdict)

    def plot(self, ax: Any = None) -> Any:
        """Draw f along the way, and the counted intervals on a second axis."""
        if ax is None:
            from matplotlib.figure import Figure

            ax = Figure().add_subplot()
        ax.plot([s.value for s in self.trajectory], color="C0")
        ax.set(xlabel="accepted step", ylabel="f")
        other = ax.twinx()
        counted = [(k, s.negative) for k, s in enumerate(self.trajectory) if s.negative]
        for k, (low, high) in counted:
            other.plot([k, k], [low, high], color="C1", marker="o", markersize=3)
        how = "not known" if self.inertia is None else _certainty(self.inertia)
        other.set_ylabel(f"negative eigenvalues ({how})")
        return ax


@checked(
    f=instance(Objective, "ms.Objective(model, loss, data) makes one"),
    theta=a_vector("f", finite=True), max_rounds=a_count(1), seed=a_seed(),
    progress=a_progress(), callback=a_function(2),
)  # fmt: skip
def escape(
    f: Objective,
    theta: Float64[Tensor, "D"] | None = None,
    *,
    max_rounds: int = 50,
    seed: int = 0,
    progress: Asked = None,
    callback: Callable[[Tensor, EscapeStep], None] | None = None,
) -> Escape:
    """Lower the number of negative eigenvalues to 0 without ever raising f.

    Each round counts the signs at the point; moves along directions v in which vᵀ Hess f v is
    negative beyond all errors, by a line search that accepts a lower f only; then goes down, each
    step accepted only if the computed f falls: at most ten by trust-region; for networks 40 by
    L-BFGS in the metric |H|, above 1,500 variables 100 in that of H + shift·I, above 12,000 300
    without. It ends when the count is 0, proved so where `inertia` proves it.

    What f raises at the start passes, and so does what `progress` and `callback` raise; whatever
    else goes wrong is said by `status` and `reason`.

    Args:
        f: the landscape.
        theta: where to start; None takes the model's own parameters.
        max_rounds: rounds at most.
        seed: of the starts of the eigenvector searches.
        progress: True for bars, or called as progress(stage, done, total).
        callback: called as callback(θ, step) after every accepted step. To resume an interrupted
            escape, start from the last θ.

    Raises:
        ArgumentError: a point of the wrong shape, or not finite; no rounds.

    Source:
        The challenge: Akhtiamov & Thomson, conclusion. Moves along negative curvature: Moré &
        Sorensen, Mathematical Programming 16 (1979).

    Example:
        >>> import torch, morsescape as ms
        >>> f = ms.Objective.from_function(lambda t: (t[0] ** 2 - 1) ** 2 + t[1] ** 2, 2)
        >>> way = ms.escape(f, torch.zeros(2).double())
        >>> way.trajectory[0].negative, way.trajectory[-1].negative, way.status.name
        ((1, 1), (0, 0), 'INDEX_ZERO')
    """
    assert progress is not True
    start = f.theta if theta is None else theta
    f.check(start, finite=True)
    return _Escape(f, seed, progress, callback, max_rounds).run(start.detach().clone())


class _Escape(Search[EscapeStatus, Escape]):
    BLOCKED, FAILED = EscapeStatus.BLOCKED, EscapeStatus.FAILED

    def __init__(
        self, f: Objective, seed: int, progress: Progress | None,
        callback: Callable[[Tensor, EscapeStep], None] | None, max_rounds: int,
    ) -> None:  # fmt: skip
        super().__init__(f, seed, progress, callback)
        self.max_rounds = max_rounds
        self.trajectory: list[EscapeStep] = []
        self.signs: Inertia | None = None
        self.models = stepper("trust-region", self.problem, strict=True)  # keeps its radius

    def started(self, point: Point) -> None:
        self._note(point, "start")

    def rounds(self) -> tuple[Point, EscapeStatus]:
        return self.alternated(self.latest, None, self.max_rounds + 1)

    def look(self, point: Point, stop: Stop | None, round_: int, last: bool) -> EscapeStatus | None:
        """Count; how it ended, if it did."""
        if self.progress is not None:
            self.progress("rounds", round_, self.max_rounds)
        self.signs = self._count(point)
        if stop is Stop.UNBOUNDED:
            return EscapeStatus.UNBOUNDED
        if self.reason:
            return EscapeStatus.FAILED
        return _ended(self.signs) or (EscapeStatus.STEP_LIMIT if last else None)

    def leave(self, point: Point, round_: int) -> Point:
        """Along negative curvature, or not at all: going down may lead away too."""
        assert self.signs is not None
        seed = self.seed + round_
        directions = negative_directions(self.problem, point.theta, self.signs.radius, seed)
        left = leave(self.problem, point, directions) if len(directions) else None
        if left is None:
            return point
        self._note(left, "negative curvature")
        return left

    def down(self, point: Point) -> tuple[Point, Stop]:
        steps, most = self.models, _STEPS_BETWEEN
        if self.f.source.of_samples:
            steps = stepper(descent(self.problem), self.problem, strict=True)
            most = regime(self.f.dim).between
        note = partial(self._note, move="descent")
        return run(steps, point, tol=0.0, max_steps=most, hook=note)

    def failed(self) -> Escape:
        self.signs = None
        return self.result(self.latest, self.FAILED)

    def result(self, point: Point, status: EscapeStatus) -> Escape:
        return Escape(
            theta=point.theta,
            trajectory=tuple(self.trajectory),
            inertia=self.signs,
            status=status,
            evaluations=self.problem.evaluations,
            seconds=self.seconds,
            seed=self.seed,
            reason=self.reason,
        )

    def _count(self, point: Point) -> Inertia | None:
        """The signs at the point, written into the last step of the trajectory."""
        hessian = self.problem.hessian_at(point.theta, bounded=True)
        if not (math.isfinite(point.value) and hessian.finite):
            return None
        self.reason = hessian.doubt
        if self.reason:
            return None
        signs = signs_at(hessian, self.progress)
        last = self.trajectory[-1]
        self.trajectory[-1] = EscapeStep(last.value, last.grad_norm, signs.negative, last.move)
        return signs

    def _note(self, point: Point, move: str) -> None:
        self.latest = point
        step = EscapeStep(point.value, point.norm, None, move)
        self.trajectory.append(step)
        if self.callback is not None:
            self.callback(point.theta, step)


def _ended(signs: Inertia | None) -> EscapeStatus | None:
    if signs is None:
        return EscapeStatus.NOT_FINITE
    if signs.negative == (0, 0):
        return EscapeStatus.INDEX_ZERO
    return EscapeStatus.UNDECIDED if signs.negative[0] == 0 else None


def _certainty(signs: Inertia) -> str:
    """How sure the count of negative eigenvalues is."""
    if signs.status is InertiaStatus.ESTIMATE:
        return f"an estimate, not proved: {signs.estimate}"
    if signs.kinks:
        return "of one smooth piece of f: a branch is within rounding of its threshold"
    return "proved"


def _shown(interval: tuple[int, int] | None) -> str:
    if interval is None:
        return "?"
    return str(interval[0]) if interval[0] == interval[1] else f"[{interval[0]}, {interval[1]}]"
