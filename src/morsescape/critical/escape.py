"""Lower the index without raising the loss: what the paper calls a very interesting challenge."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from jaxtyping import Float64
from torch import Tensor

from morsescape.critical.counted import Counted, Evaluations
from morsescape.critical.curvature import choose
from morsescape.critical.descent import Loop, Point, Stop
from morsescape.critical.negative import leave, negative_directions
from morsescape.critical.quasi_newton import lbfgs, scaled_lbfgs
from morsescape.critical.sizes import DENSE, FACTORED
from morsescape.errors import ArgumentError, DataError
from morsescape.objective import Objective
from morsescape.progress import Progress
from morsescape.spectrum.inertia import Inertia, inertia
from morsescape.store import RunFolder

# Steps between two counts, each of which costs some Hessians and factorisations: of trust-region,
# L-BFGS, and L-BFGS in the metric of a factor or of all eigenpairs.
_STEPS_BETWEEN, _GRADIENTS, _FACTORED, _SCALED = 10, 300, 100, 40


class EscapeStatus(Enum):
    """How an escape ended."""

    INDEX_ZERO = "no negative curvature is left: the certified count is 0"
    UNDECIDED = (
        "no certified negative direction is left, but some eigenvalues are too close to zero for "
        "their sign to be proved"
    )
    BLOCKED = "negative curvature is left, but no step along it lowers the computed f"
    STEP_LIMIT = "negative curvature is left at the limit of rounds"
    UNBOUNDED = "f seems to have no lower bound: it fell out of sight"
    NOT_FINITE = "f or a derivative is NaN or infinite"


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
class Escape:
    """What an escape came to; f falls along `trajectory` at every step.

    Attributes:
        theta: the last point, shape (D,).
        trajectory: every accepted step, the start first; the last one carries a count.
        inertia: the signs at the last point; None where the Hessian is not finite.
        status: how it ended.
        evaluations: what it cost.
        seconds: wall-clock time.
        seed: of the starts of the eigenvector searches.
    """

    theta: Tensor
    trajectory: tuple[EscapeStep, ...]
    inertia: Inertia | None
    status: EscapeStatus
    evaluations: Evaluations
    seconds: float
    seed: int

    def __str__(self) -> str:
        first, last = self.trajectory[0], self.trajectory[-1]
        return (
            f"negative {_shown(first.negative)} -> {_shown(last.negative)}, f {first.value:.8g} -> "
            f"{last.value:.8g} in {len(self.trajectory) - 1} steps: {self.status.value} "
            f"(|grad f| = {last.grad_norm:.2g}, {self.seconds:.1f} s)"
        )

    def _repr_html_(self) -> str:
        counted = [s for s in self.trajectory if s.negative is not None]
        rows = "".join(
            f"<tr><td>{s.value:.8g}</td><td>{_shown(s.negative)}</td><td>{s.grad_norm:.2g}</td>"
            f"<td>{s.move}</td></tr>"
            for s in counted
        )
        head = "<tr><th>f</th><th>negative</th><th>|grad f|</th><th>after</th></tr>"
        return f"<table>{head}{rows}</table><p>{self.status.value}</p>"

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
        other.set_ylabel("negative eigenvalues (certified interval)")
        return ax

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save to a folder, with checksums."""
        payload = {
            "trajectory": [asdict(s) for s in self.trajectory],
            "inertia": None if self.inertia is None else self.inertia.to_json(),
            "status": self.status.name,
            "evaluations": asdict(self.evaluations),
            "seconds": self.seconds,
            "seed": self.seed,
        }
        RunFolder(path, {"kind": "escape"}).save("escape", payload, {"theta": self.theta})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Escape:
        """Read what `save` wrote.

        Raises:
            DataError: it is missing or damaged.
        """
        there = Path(path).is_dir()  # a RunFolder would make it
        piece = RunFolder(path, {"kind": "escape"}).load("escape") if there else None
        if piece is None:
            raise DataError(
                str(path), expected="what Escape.save wrote", got="none", cure="escape again"
            )
        saved = piece.payload
        steps = tuple(
            EscapeStep(**(s | {"negative": s["negative"] and tuple(s["negative"])}))
            for s in saved["trajectory"]
        )
        return cls(
            theta=piece.tensors["theta"],
            trajectory=steps,
            inertia=None if saved["inertia"] is None else Inertia.from_json(saved["inertia"]),
            status=EscapeStatus[saved["status"]],
            evaluations=Evaluations(**saved["evaluations"]),
            seconds=saved["seconds"],
            seed=saved["seed"],
        )


def escape(
    f: Objective,
    theta: Float64[Tensor, "D"] | None = None,
    *,
    max_rounds: int = 50,
    seed: int = 0,
    progress: Progress | None = None,
    callback: Callable[[Tensor, EscapeStep], None] | None = None,
) -> Escape:
    """Lower the number of negative eigenvalues to a certified 0 without ever raising f.

    Each round counts the signs at the point; moves along directions v with vᵀ Hess f v < 0 proved,
    by a line search that accepts a lower f only; then goes down, each step accepted only if the
    computed f falls: at most ten by trust-region; for networks 40 by L-BFGS in the metric |H|,
    above 1,500 variables 100 in that of H + shift·I, above 12,000 300 without. It ends when the
    count is a certified 0.

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
        self.f, self.seed, self.progress, self.callback = f, seed, progress, callback
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
        point = Point.at(self.problem, theta)
        self._note(point, "start")
        signs: Inertia | None = None
        status = EscapeStatus.STEP_LIMIT
        for round_ in range(max_rounds + 1):
            signs = self._count(point)
            ended = _ended(signs)
            if ended is not None or round_ == max_rounds:
                status = ended or status
                break
            assert signs is not None
            following, stop = self._round(point, signs, self.seed + round_)
            if following is point:
                status = EscapeStatus.BLOCKED
                break
            point = following
            if stop is Stop.UNBOUNDED:
                signs, status = self._count(point), EscapeStatus.UNBOUNDED
                break
        return Escape(
            theta=point.theta,
            trajectory=tuple(self.trajectory),
            inertia=signs,
            status=status,
            evaluations=self.problem.evaluations,
            seconds=time.perf_counter() - began,
            seed=self.seed,
        )

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
        method = "eigh" if self.f.dim <= DENSE else "ldl"
        signs = inertia(self.f, point.theta, hessian=hessian, method=method, progress=self.progress)
        last = self.trajectory[-1]
        self.trajectory[-1] = EscapeStep(last.value, last.grad_norm, signs.negative, last.move)
        return signs

    def _note(self, point: Point, move: str) -> None:
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
