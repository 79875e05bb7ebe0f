"""What is known about a critical point near a computed one: numbers and a sentence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from morsescape.spectrum.counts import Interval
from morsescape.store.codec import Saved


class CertificateStatus(Enum):
    """What may be said about a critical point nearby."""

    PROVED = "proved: there is a critical point within the distance given, and of this index"
    ESTIMATE = (
        "not proved, but likely: the conditions hold with numbers of which some are estimates"
    )
    DEGENERATE = "degenerate: the Hessian has eigenvalues that cannot be told from zero"
    GRADIENT_FLAT = (
        "gradient-flat: the gradient is not small, but nearly in the kernel of the Hessian"
    )
    UNDECIDED = "undecided: no critical point could be proved to be nearby"
    NOT_SMOOTH = "not twice differentiable nearby: the theory does not apply"
    NOT_FINITE = "nothing is known: the gradient or the Hessian is not finite"


@dataclass(frozen=True)
class Certificate(Saved):
    """The Newton–Kantorovich quantities at θ and what follows from them.

    Numbers that bound something are rounded to the safe side, after their last operation too. With
    A the computed Hess f(θ), which is within `hessian_radius` of the true one:

    Attributes:
        status: what may be concluded.
        beta: β ≥ ‖A⁻¹‖, and ‖Hess f(θ)⁻¹‖.
        eta: η ≥ ‖A⁻¹ ∇f(θ)‖, the rounding of ∇f and A included.
        lipschitz: K ≥ ‖Hess f(x) - A‖ / 2η on the ball of radius 2η; with a sampled K, of
            ‖Hess f(x) - Hess f(θ)‖ / ‖x - θ‖.
        lipschitz_bounded: whether K is proved; otherwise it is the largest of some samples.
        h: β η K. At most ½ (at most ¼ with a proved K, see `certify`) there is a critical point.
        distance: it is within this distance of θ; infinite if there need not be any.
        index: interval for its index; (0, D) if nothing is known.
        min_abs_eigenvalue: a lower bound on min |λ| of Hess f(θ); 0 if none.
        grad_norm: ‖∇f(θ)‖ as computed.
        grad_error: what that can be off by.
        grad_error_bounded: whether this is proved; otherwise it is a guess.
        flatness: ‖Hess f(θ) ∇f(θ)‖ / ‖∇f(θ)‖; nan where ∇f(θ) = 0.
        hessian_radius: bound on the error of the computed Hessian.
        reason: what stands in the way of a proof, empty where nothing does.
    """

    status: CertificateStatus
    beta: float
    eta: float
    lipschitz: float
    lipschitz_bounded: bool
    h: float
    distance: float
    index: Interval
    min_abs_eigenvalue: float
    grad_norm: float
    grad_error: float
    grad_error_bounded: bool
    flatness: float
    hessian_radius: float
    reason: str

    @classmethod
    def unknown(
        cls, status: CertificateStatus, dim: int, grad_norm: float, reason: str = ""
    ) -> Certificate:
        """What is known where nothing could be computed beyond the gradient."""
        return cls(
            status=status,
            beta=math.inf,
            eta=math.inf,
            lipschitz=math.inf,
            lipschitz_bounded=False,
            h=math.inf,
            distance=math.inf,
            index=(0, dim),
            min_abs_eigenvalue=0.0,
            grad_norm=grad_norm,
            grad_error=math.inf,
            grad_error_bounded=False,
            flatness=math.nan,
            hessian_radius=math.inf,
            reason=reason,
        )

    @property
    def holds(self) -> bool:
        """Whether there is a critical point nearby: proved, or likely."""
        return self.status in (CertificateStatus.PROVED, CertificateStatus.ESTIMATE)

    def proves(self, index: int) -> bool:
        """Whether a nondegenerate critical point of exactly this index is proved to be nearby."""
        return self.status is CertificateStatus.PROVED and self.index == (index, index)

    def __str__(self) -> str:
        numbers = f"beta {self.beta:.2g}, eta {self.eta:.2g}, K {self.lipschitz:.2g}"
        kind = "bounded" if self.lipschitz_bounded else "sampled"
        because = f" ({self.reason})" if self.reason else ""
        near = f"; within {self.distance:.2g}" if self.holds else ""
        return f"{self.status.value}{because}: {numbers} ({kind}), h {self.h:.2g}{near}"
