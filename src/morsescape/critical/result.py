"""A critical point as a result: where, how good, which index, how sure."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from torch import Tensor

from morsescape.boundary import a_vector
from morsescape.critical.certificate import Certificate, CertificateStatus
from morsescape.critical.evaluations import Evaluations
from morsescape.errors import ArgumentError
from morsescape.objective import Objective
from morsescape.spectrum.inertia import Inertia
from morsescape.store.codec import Saved


class SearchStatus(Enum):
    """How a search for a critical point ended."""

    MINIMUM = "at a nondegenerate critical point of index 0: a strict local minimum"
    SADDLE = "at a nondegenerate critical point of index 1 or more"
    DEGENERATE = (
        "at or near a degenerate critical point, perhaps: the gradient is below tol, but some "
        "eigenvalues of the Hessian cannot be told from zero, so that none is proved to be there"
    )
    FLAT = "f is flat here: the gradient and the Hessian are zero"
    UNDECIDED = "the gradient is below tol, but no critical point could be shown to be near"
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
    INDEX_LEFT = (
        "the gradient is below tol and there is negative curvature, but no step along it lowers f"
    )
    NO_PASS = "no critical point of index 1 was reached"
    FAILED = "stopped where something could not be computed"


_ROUNDING = 1e-9  # against 1 + |f|, of what is computed twice


@dataclass(frozen=True, eq=False)
class CriticalPoint(Saved):
    """What a search for a critical point came to.

    Attributes:
        theta: the last and best point, shape (D,).
        value: f(θ).
        grad_norm: ‖∇f(θ)‖.
        inertia: signs of the eigenvalues of Hess f(θ); None where it is not finite, could not be
            computed, or is not what a second opinion says.
        certificate: whether there is a critical point near θ, and of which index.
        status: how the search ended; only MINIMUM and SADDLE say that there is a nondegenerate
            critical point, with the certainty that `certificate` states.
        evaluations: what it cost.
        steps: accepted steps.
        seconds: wall-clock time, inertia and certificate included.
        method: how it was found.
        target: "minimum", "nearest" or "saddle".
        seed: of everything that was drawn at random.
        reason: what went wrong on the way, empty if nothing did.
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
    reason: str = ""

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

    @property
    def verdict(self) -> str:
        """How the search ended, in a sentence that says no more than the certificate does."""
        if self.status in (SearchStatus.MINIMUM, SearchStatus.SADDLE):
            proved = self.certificate.status is CertificateStatus.PROVED
            said = self.status.value
            if self.index:
                said = f"at a nondegenerate critical point of index {self.index}"
            return said + ("" if proved else ", likely but not proved")
        nearby = self.certificate.reason if self.status is SearchStatus.UNDECIDED else ""
        why = "; ".join(dict.fromkeys(filter(None, (nearby, self.reason))))
        return self.status.value + (f" ({why})" if why else "")

    @property
    def conclusion(self) -> str:
        """What was found and how sure it is, without what it cost."""
        index = f"index {self.index}" if self.index is not None else "index unknown"
        proof = "" if self._fell else f" [{self.certificate.status.name.lower()}]"
        numbers = f"f = {self.value:.10g}, |grad f| = {self.grad_norm:.2g}, {index}"
        return f"{numbers}: {self.verdict}{proof}"

    def __str__(self) -> str:
        return f"{self.conclusion} ({self.method}, {self.steps} steps, {self.seconds:.1f} s)"

    def __repr__(self) -> str:
        return (
            f"CriticalPoint({self.status.name}, index={self.index}, value={self.value:.10g}, "
            f"grad_norm={self.grad_norm:.2g}, certificate={self.certificate.status.name}, "
            f"theta=<{len(self.theta):,} numbers>, steps={self.steps})"
        )

    def _shown(self) -> dict[str, object]:
        return {
            "f": f"{self.value:.12g}",
            "|grad f|": f"{self.grad_norm:.3g}",
            "index": "unknown" if self.index is None else str(self.index),
            "status": self.verdict,
            "certificate": str(self.certificate),
            "cost": f"{self.evaluations}; {self.seconds:.1f} s",
        }

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


def check_its_own(f: Objective, point: CriticalPoint, name: str) -> None:
    """Refuse a result of another landscape: what is proved of a point is proved of the f it is of.

    At θ two computed values of f differ by rounding, and so do two computed gradients.

    Raises:
        ArgumentError: f or ∇f is another there than the result says.
    """
    if not math.isfinite(point.value):
        return  # nothing is claimed of it
    value, gradient = f.value_and_gradient(point.theta)
    proof, norm = point.certificate, float(gradient.norm())
    error = proof.grad_error if math.isfinite(proof.grad_error) else 0.0
    room = 10 * (point.grad_norm + error) + _ROUNDING * (1 + abs(value))
    if not abs(value - point.value) <= _ROUNDING * (1 + abs(value)) or not norm <= room:
        raise ArgumentError(
            name, expected=f"a critical point of this f, of f = {point.value:.10g} as it says",
            got=f"f = {value:.10g} and |grad f| = {norm:.2g} there: it is of another landscape",
            cure="search in this f, from its theta: ms.find_critical_point(f, point.theta)",
        )  # fmt: skip


def a_point(of: str) -> Callable[[Any], Any]:
    """A rule for arguments: a vector of the objective `of`, or a critical point, for its θ."""

    def rule(argument: Any) -> Any:
        if isinstance(argument.value, CriticalPoint):
            return argument.value.theta
        return a_vector(of, finite=True)(argument)

    return rule
