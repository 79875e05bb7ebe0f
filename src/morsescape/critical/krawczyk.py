r"""An interval proof of a critical point: the Krawczyk operator on python-flint's balls.

For a box X = x + [-r, r]^D, any matrix C, and enclosures of ∇f(x) and of Hess f(X), let

    K(X) = x - C ∇f(x) + (I - C Hess f(X)) (X - x).

If K(X) lies in the interior of X, there is exactly one critical point in X, it lies in K(X), C and
every matrix in Hess f(X) are invertible (Krawczyk 1969; Rump 2010, theorem 13.3). X is connected
and no Hessian on it is singular, so the index is the same on all of X. It is read off a congruence:
with B = Vᵀ Hess f(X) V for the approximate eigenvectors V, Gershgorin discs that avoid zero prove
that B, and so V, is invertible; by Sylvester's law the signs of the discs are those of Hess f.
"""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor
from torch.func import grad, jacfwd

from morsescape.errors import ArgumentError
from morsescape.hessian.balls import NoErrorRule
from morsescape.hessian.program import NotTraceable, record
from morsescape.objective import Objective

_BITS = 256
_WIDTHS = (4.0, 30.0, 1e3, 1e6)  # of the first box, in Newton steps
_LARGEST = 60  # variables; the cost is that of a Hessian in arbitrary precision


class ProofStatus(Enum):
    """What the Krawczyk operator came to."""

    PROVED = "proved: exactly one critical point in the box, nondegenerate, of this index"
    NOT_PROVED = "not proved: no box around the point is mapped into its own interior"
    NO_RULE = "not proved: the function uses an operation that has no interval form here"
    SINGULAR = "not proved: the computed Hessian is singular or not finite"


@dataclass(frozen=True)
class IntervalProof:
    """Outcome of `krawczyk`.

    Attributes:
        status: whether it is a proof.
        radius: of the box around θ that holds exactly one critical point, in the largest norm.
        distance: the critical point is within this of θ, in the largest norm.
        index: its index; None if nothing is proved.
        reason: what stood in the way, empty if nothing.
    """

    status: ProofStatus
    radius: float
    distance: float
    index: int | None
    reason: str = ""

    def __str__(self) -> str:
        if self.status is not ProofStatus.PROVED:
            return self.status.value + (f" ({self.reason})" if self.reason else "")
        return f"{self.status.value}: index {self.index}, within {self.distance:.2g}"


def krawczyk(
    f: Objective, theta: Float64[Tensor, "D"], *, radius: float | None = None, bits: int = _BITS
) -> IntervalProof:
    """Prove, in interval arithmetic of arbitrary precision, that a critical point is near θ.

    Constants in f are what they are in binary64: 0.1 means 0.1000000000000000055…

    Args:
        f: made by `Objective.from_function`, of at most 60 variables, of smooth operations.
        theta: the point, as good as float64 has it.
        radius: of the box; None tries some, in units of the Newton step.
        bits: precision of the arithmetic.

    Raises:
        ArgumentError: a network, too many variables, or python-flint not installed.

    Source:
        Krawczyk, Computing 4 (1969); Rump, Acta Numerica 19 (2010), section 13; Johansson,
        Arb (2017).

    Example:
        >>> import torch, morsescape as ms
        >>> f = ms.Objective.from_function(lambda t: t[0].exp() - t[0] + t[1] ** 2, 2)
        >>> proof = krawczyk(f, torch.tensor([1e-12, 0.0]).double())
        >>> proof.index, proof.status.name
        (0, 'PROVED')
    """
    _check(f, theta)
    flint = _flint()
    before = flint.ctx.prec
    flint.ctx.prec = bits
    try:
        return _Box(f, theta).prove(radius)
    except (NoErrorRule, NotTraceable) as missing:
        return IntervalProof(ProofStatus.NO_RULE, math.inf, math.inf, None, str(missing))
    finally:
        flint.ctx.prec = before  # the context is flint's global state: left as it was


class _Box:
    """The enclosures at one point."""

    def __init__(self, f: Objective, theta: Tensor) -> None:
        from morsescape.critical import arb

        assert f._function is not None
        self.arb, self.f, self.theta, self.dim = arb, f, theta, f.dim
        self.machine = arb.ArbMachine()
        self.slope = record(grad(f._function), theta)
        self.curvature = record(jacfwd(grad(f._function)), theta)
        self.centre = arb.balls(theta)

    def prove(self, radius: float | None) -> IntervalProof:
        hessian = self.f.hessian(self.theta)
        inverse, failed = torch.linalg.inv_ex(hessian)
        if int(failed) or not bool(inverse.isfinite().all()):
            return IntervalProof(ProofStatus.SINGULAR, math.inf, math.inf, None)
        conditioner = self.arb.balls(inverse)
        ridge = self.arb.balls(torch.full_like(self.theta, 2 * self.f.l2))
        gradient = self.arb.balls(self.slope.run(self.machine, self.centre))
        newton = -(conditioner @ (gradient + ridge * self.centre))
        step = max(_upper(abs(x)) for x in newton)
        floor = 4 * torch.finfo(torch.float64).eps * max(1.0, float(self.theta.abs().max()))
        radii = [radius] if radius is not None else [w * max(step, floor) for w in _WIDTHS]
        for r in radii:
            proof = self._on_box(r, conditioner, newton, ridge, hessian)
            if proof is not None:
                return proof
        return IntervalProof(ProofStatus.NOT_PROVED, math.inf, math.inf, None)

    def _on_box(
        self,
        r: float,
        conditioner: np.ndarray,
        newton: np.ndarray,
        ridge: np.ndarray,
        point: Tensor,
    ) -> IntervalProof | None:
        """The proof on the box of radius r; None if K(X) is not inside X."""
        import flint

        interval = flint.arb(0, r)
        box = self.centre + interval
        hessian = self.arb.balls(self.curvature.run(self.machine, box)).copy()
        for k in range(self.dim):
            hessian[k, k] = hessian[k, k] + ridge[k]
        contraction = -(conditioner @ hessian)
        for k in range(self.dim):
            contraction[k, k] = contraction[k, k] + 1
        # Entry by entry: the intervals of the box are independent.
        image = newton + (contraction * interval).sum(1)
        reach = max(_upper(abs(x)) for x in image)
        if not reach < r:
            return None
        index = self._index(hessian, point)
        if index is None:
            return None
        return IntervalProof(ProofStatus.PROVED, r, reach, index)

    def _index(self, hessian: np.ndarray, point: Tensor) -> int | None:
        vectors = self.arb.balls(torch.linalg.eigh(point).eigenvectors)
        congruent = vectors.T @ hessian @ vectors
        negative = 0
        for k in range(self.dim):
            centre = congruent[k, k]
            off = abs(congruent[k]).sum() - abs(centre)
            if not (centre - off > 0 or centre + off < 0):
                return None
            negative += int(centre < 0)
        return negative


def _upper(x: Any) -> float:
    """An upper bound as a float; nan compares as nothing."""
    top = float(x.upper())
    return math.nextafter(top, math.inf) if math.isfinite(top) else math.inf


def _flint() -> Any:
    try:
        return importlib.import_module("flint")
    except ImportError as error:
        raise ArgumentError(
            "krawczyk",
            expected="python-flint for interval arithmetic",
            got="it is not installed",
            cure="pip install python-flint",
        ) from error


def _check(f: Objective, theta: Tensor) -> None:
    if f._function is None or f.dim > _LARGEST:
        raise ArgumentError(
            "f",
            expected=f"a function of at most {_LARGEST} variables, made by Objective.from_function",
            got=str(f),
            cure="use certify, which takes any objective",
        )
    f.check(theta)
