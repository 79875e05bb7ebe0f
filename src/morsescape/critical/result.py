"""A critical point as a result: where, how good, which index, how sure."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from torch import Tensor

from morsescape.critical.certificate import Certificate
from morsescape.critical.counted import Evaluations
from morsescape.errors import ArgumentError, DataError
from morsescape.spectrum.inertia import Inertia
from morsescape.store import RunFolder


class SearchStatus(Enum):
    """How a search for a critical point ended."""

    MINIMUM = "at a nondegenerate critical point of index 0: a strict local minimum"
    SADDLE = "at a nondegenerate critical point of index 1 or more"
    DEGENERATE = (
        "at or near a degenerate critical point, perhaps: the gradient is below tol, but some "
        "eigenvalues of the Hessian cannot be told from zero, so that none is proved to be there"
    )
    FLAT = "f is flat here: the gradient and the Hessian are zero"
    UNDECIDED = (
        "the gradient is below tol, but no critical point could be shown to be near: the curvature "
        "is too small, or varies too much, for a bound"
    )
    GRADIENT_FLAT = (
        "stopped where the gradient is nearly in the kernel of the Hessian: not a critical point"
    )
    STEP_LIMIT = "stopped at the limit of steps, the gradient above tol"
    PRECISION = "stopped where no step lowers the merit in float64 any more, the gradient above tol"
    UNBOUNDED = "f seems to have no lower bound: it fell out of sight"
    NOT_FINITE = "f or a derivative is NaN or infinite where the search started"
    WALL = "stopped at the edge of where f is finite: every step on leads to NaN or infinity"
    NOT_SMOOTH = "the gradient jumps here: f is not differentiable, so this is no critical point"
    PIECE = (
        "the gradient is below tol, but the model is not twice differentiable everywhere: a "
        "critical point of one smooth piece, perhaps"
    )
    INDEX_LEFT = "at a critical point of index 1 or more, which no step could leave"


@dataclass(frozen=True, eq=False)
class CriticalPoint:
    """What a search for a critical point came to.

    Attributes:
        theta: the last and best point, shape (D,).
        value: f(θ).
        grad_norm: ‖∇f(θ)‖.
        inertia: signs of the eigenvalues of Hess f(θ); None where it is not finite.
        certificate: whether there is a critical point near θ, and of which index.
        status: how the search ended; only MINIMUM and SADDLE say that there is a nondegenerate
            critical point, with the certainty that `certificate` states.
        evaluations: what it cost.
        steps: accepted steps.
        seconds: wall-clock time, inertia and certificate included.
        method: how it was found.
        target: "minimum" or "nearest".
        seed: of everything that was drawn at random.
    """

    theta: Tensor
    value: float
    grad_norm: float
    inertia: Inertia | None
    certificate: Certificate
    status: SearchStatus
    evaluations: Evaluations
    steps: int
    seconds: float
    method: str
    target: str
    seed: int

    @property
    def index(self) -> int | None:
        """The index of the critical point nearby, where it is a single number.

        None too where f fell out of sight: a critical point near there is not what was looked for.
        """
        low, high = self.certificate.index
        return low if self.certificate.holds and low == high and not self._fell else None

    @property
    def _fell(self) -> bool:
        return self.status is SearchStatus.UNBOUNDED

    def __str__(self) -> str:
        index = f"index {self.index}" if self.index is not None else "index unknown"
        proof = "" if self._fell else f"[{self.certificate.status.name.lower()}] "
        return (
            f"f = {self.value:.10g}, |grad f| = {self.grad_norm:.2g}, {index}: "
            f"{self.status.value} {proof}"
            f"({self.method}, {self.steps} steps, {self.seconds:.1f} s)"
        )

    def _repr_html_(self) -> str:
        rows = {
            "f": f"{self.value:.12g}",
            "|grad f|": f"{self.grad_norm:.3g}",
            "index": "unknown" if self.index is None else str(self.index),
            "status": self.status.value,
            "certificate": str(self.certificate),
            "cost": f"{self.evaluations}; {self.seconds:.1f} s",
        }
        cells = "".join(f"<tr><th>{k}</th><td>{v}</td></tr>" for k, v in rows.items())
        return f"<table>{cells}</table>"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save to a folder: numbers as JSON, θ as safetensors, with checksums.

        Raises:
            DataError: the folder cannot be written.
        """
        RunFolder(path, _SETTINGS).save("critical-point", self.to_json(), {"theta": self.theta})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> CriticalPoint:
        """Read what `save` wrote.

        Raises:
            DataError: it is missing or damaged.
        """
        there = Path(path).is_dir()  # a RunFolder would make it
        folder = RunFolder(path, _SETTINGS) if there else None
        piece = None if folder is None else folder.load("critical-point")
        if piece is None:
            damaged = [] if folder is None else folder.damaged
            raise DataError(
                str(path),
                expected="a folder that CriticalPoint.save wrote",
                got=damaged[-1] if damaged else "none in it" if there else "no such folder",
                cure="search again; a damaged piece is kept as *.damaged",
            )
        return cls.from_json(piece.payload, piece.tensors["theta"])

    def to_json(self) -> dict[str, Any]:
        """Everything but θ, as JSON values."""
        return {name: getattr(self, name) for name in _PLAIN} | {
            "inertia": None if self.inertia is None else self.inertia.to_json(),
            "certificate": self.certificate.to_json(),
            "status": self.status.name,
            "evaluations": asdict(self.evaluations),
        }

    @classmethod
    def from_json(cls, values: dict[str, Any], theta: Tensor) -> CriticalPoint:
        """From what `to_json` gave, and θ."""
        signs = values["inertia"]
        return cls(
            theta=theta,
            inertia=None if signs is None else Inertia.from_json(signs),
            certificate=Certificate.from_json(values["certificate"]),
            status=SearchStatus[values["status"]],
            evaluations=Evaluations(**values["evaluations"]),
            **{name: values[name] for name in _PLAIN},
        )

    def plot(self, ax: Any = None) -> Any:
        """Draw the eigenvalues as `Inertia.plot` does; they must have been kept."""
        if self.inertia is None:
            raise ArgumentError(
                "inertia",
                expected="a point with a finite Hessian",
                got="none",
                cure="look at `status`: there is nothing to draw here",
            )
        return self.inertia.plot(ax)


_PLAIN = ("value", "grad_norm", "steps", "seconds", "method", "target", "seed")
_SETTINGS = {"kind": "critical point"}
