"""Lower the index without raising the loss: what the paper calls a very interesting challenge."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from jaxtyping import Float64
from torch import Tensor

from morsescape.boundary import a_count, a_function, a_seed, a_vector, checked, instance
from morsescape.critical.counted import Counted, Evaluations
from morsescape.critical.curvature import choose
from morsescape.critical.descent import Loop, Point, Stop
from morsescape.critical.failures import Callbacks
from morsescape.critical.negative import leave, negative_directions
from morsescape.critical.quasi_newton import lbfgs, scaled_lbfgs
from morsescape.critical.sizes import DENSE, FACTORED
from morsescape.errors import ArgumentError
from morsescape.hessian.second_opinion import second_opinion
from morsescape.objective import Objective
from morsescape.progress import Progress
from morsescape.spectrum.inertia import Inertia, InertiaStatus, inertia
from morsescape.store.codec import Saved, html_table

# Steps between two counts, each of which costs some Hessians and factorisations: of trust-region,
# L-BFGS, and L-BFGS in the metric of a factor or of all eigenpairs.
_STEPS_BETWEEN, _GRADIENTS, _FACTORED, _SCALED = 10, 300, 100, 40


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
    progress=a_function(3), callback=a_function(2),
)  # fmt: skip
def escape(
    f: Objective,
    theta: Float64[Tensor, "D"] | None = None,
    *,
    max_rounds: int = 50,
    seed: int = 0,
    progress: Progress | None = None,
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
        progress: called as progress(stage, done, total).
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
    start = f.theta if theta is None else theta
    _check(f, start, max_rounds)
    return _Descent(f, seed, progress, callback).run(start.detach().clone(), max_rounds)


class _Descent:
    def __init__(
        self,
        f: Objective,
        seed: int,
        progress: Progress | None,
        callback: Callable[[Tensor, EscapeStep], None] | None,
    ) -> None:
        self.calls = Callbacks()
        self.f, self.seed, self.reason = f, seed, ""
        self.progress, self.callback = self.calls.own(progress), self.calls.own(callback)
        self.problem = Counted(f)
        self.trajectory: list[EscapeStep] = []
        self.loop = Loop(
            self.problem,
            choose(self.problem),
            "trust-region",
            tol=0.0,
            max_steps=0,
            strict=True,
            hook=lambda point: self._note(point, "descent"),
        )

    def run(self, theta: Tensor, max_rounds: int) -> Escape:
        began = time.perf_counter()
        self._note(Point.at(self.problem, theta), "start")
        try:
            signs, status = self._rounds(self.latest, max_rounds)
        except Exception as error:
            self.reason = self.calls.caught(error)
            signs, status = None, EscapeStatus.FAILED
        return Escape(
            theta=self.latest.theta,
            trajectory=tuple(self.trajectory),
            inertia=signs,
            status=status,
            evaluations=self.problem.evaluations,
            seconds=time.perf_counter() - began,
            seed=self.seed,
            reason=self.reason,
        )

    def _rounds(self, point: Point, most: int) -> tuple[Inertia | None, EscapeStatus]:
        """Count, leave, go down; ends at the latest point."""
        for round_ in range(most + 1):
            signs = self._count(point)
            ended = _ended(signs)
            if self.reason or ended is not None or round_ == most:
                failed = EscapeStatus.FAILED if self.reason else None
                return signs, failed or ended or EscapeStatus.STEP_LIMIT
            assert signs is not None
            following, stop = self._round(point, signs, self.seed + round_)
            if following is point:
                return signs, EscapeStatus.BLOCKED
            point = following
            if stop is Stop.UNBOUNDED:
                break
        return self._count(point), EscapeStatus.UNBOUNDED

    def _round(self, point: Point, signs: Inertia, seed: int) -> tuple[Point, Stop]:
        """Along negative curvature, then down."""
        directions = negative_directions(self.problem, point.theta, signs.radius, seed)
        moved = leave(self.problem, point, directions) if len(directions) else None
        if moved is not None:
            point = moved
            self._note(point, "negative curvature")
        if self.f.network is None:
            self.loop.max_steps = self.loop.steps + _STEPS_BETWEEN
            return self.loop.run(point)
        if self.f.dim > FACTORED:
            down, most = lbfgs, _GRADIENTS
        else:
            down, most = scaled_lbfgs, _SCALED if self.f.dim <= DENSE else _FACTORED
        return down(
            self.problem, point, tol=0.0, max_steps=most, strict=True,
            hook=lambda point: self._note(point, "descent"),
        )  # fmt: skip

    def _count(self, point: Point) -> Inertia | None:
        """The signs at the point, written into the last step of the trajectory."""
        hessian = self.problem.enclosed_hessian(point.theta)
        if not hessian.finite or not abs(point.value) < float("inf"):
            return None
        self.reason = second_opinion(self.f, point.theta, hessian)
        if self.reason:
            return None
        method = "eigh" if self.f.dim <= DENSE else "ldl"
        signs = inertia(self.f, point.theta, hessian=hessian, method=method, progress=self.progress)
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


def _check(f: Objective, theta: Tensor, max_rounds: int) -> None:
    f.check(theta, finite=True)
    if max_rounds < 1:
        raise ArgumentError(
            "max_rounds", expected="1 or more", got=max_rounds, cure="leave it at its default"
        )


def _shown(interval: tuple[int, int] | None) -> str:
    if interval is None:
        return "?"
    return str(interval[0]) if interval[0] == interval[1] else f"[{interval[0]}, {interval[1]}]"
