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
from torch.autograd import functional
from torch.func import grad, jacfwd

from morsescape.boundary import a_count, a_number, a_vector, checked, instance
from morsescape.errors import ArgumentError
from morsescape.model.source import Share
from morsescape.notebook import Shown
from morsescape.objective import Objective
from morsescape.rounding.balls import NoErrorRule
from morsescape.rounding.floats import up
from morsescape.rounding.program import NotTraceable, record

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
class IntervalProof(Shown):
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
        if self.status is ProofStatus.NOT_PROVED and self.reason:
            return f"not proved: {self.reason}"
        if self.status is not ProofStatus.PROVED:
            return self.status.value + (f" ({self.reason})" if self.reason else "")
        return f"{self.status.value}: index {self.index}, within {self.distance:.2g}"


@checked(
    f=instance(Objective, "ms.Objective.from_function(fn, dim) makes one"), theta=a_vector("f"),
    radius=a_number(above=0), bits=a_count(2, most=2**20),
)  # fmt: skip
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
        from morsescape.rounding import arb

        self.arb, self.f, self.theta, self.dim = arb, f, theta, f.dim
        self.machine = arb.ArbMachine()
        # The value is followed too: its operations must be known, or what has no derivative in
        # torch would pass for a constant.
        fn = _function(f)
        try:
            self.slope = record(lambda v: (grad(fn)(v), fn(v)), theta)
            self.curvature = record(jacfwd(grad(fn)), theta)
        except RuntimeError as error:  # what torch.func cannot differentiate
            raise NotTraceable(str(error).strip().split("\n")[0][:120]) from error
        self.centre = arb.balls(theta)

    def prove(self, radius: float | None) -> IntervalProof:
        hessian = self.f.hessian(self.theta)
        inverse, failed = torch.linalg.inv_ex(hessian)
        if int(failed) or not bool(inverse.isfinite().all()):
            return IntervalProof(ProofStatus.SINGULAR, math.inf, math.inf, None)
        conditioner = self.arb.balls(inverse)
        ridge = self.arb.balls(torch.full_like(self.theta, 2 * self.f.l2))
        slope, _ = self.slope.run(self.machine, self.centre)
        gradient = self.arb.balls(slope) + ridge * self.centre
        at_point = self._hessian_on(self.centre, ridge)
        if why := _contradiction(self.f, self.theta, gradient, at_point):
            return IntervalProof(ProofStatus.NOT_PROVED, math.inf, math.inf, None, why)
        newton = -(conditioner @ gradient)
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
        hessian = self._hessian_on(self.centre + interval, ridge)
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

    def _hessian_on(self, box: np.ndarray, ridge: np.ndarray) -> np.ndarray:
        hessian = self.arb.balls(self.curvature.run(self.machine, box)).copy()
        for k in range(self.dim):
            hessian[k, k] = hessian[k, k] + ridge[k]
        return hessian

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


_STEPS = [10.0**-k for k in range(1, 10)]
_CLOSE, _ROUGH = 1e-6, 1e-3  # of rounding, of difference quotients; relative


def _contradiction(f: Objective, theta: Tensor, gradient: np.ndarray, hessian: np.ndarray) -> str:
    """What autograd and differences of f say against the enclosures at θ; empty if nothing.

    It proves nothing, but shares no code with the program: a program that is not f, or an f whose
    derivative is not the one that torch computes (a detached part, a custom function), shows.
    """
    g, h = (torch.tensor(_middles(x), dtype=torch.float64) for x in (gradient, hessian))
    if not bool(g.isfinite().all() and h.isfinite().all()):
        return "the enclosures at the point are not finite"
    generator = torch.Generator().manual_seed(0)
    v = torch.randn(len(theta), generator=generator, dtype=torch.float64)
    v = v / v.norm()
    scale = float(h.abs().max())
    reach = scale * (1 + float(theta.abs().max())) + float(g.abs().max())
    point = theta.detach().clone().requires_grad_()
    found, product = _double_backward(f, point, v)
    if not float((found - g).abs().max()) <= _CLOSE * reach:
        return "autograd finds another gradient than the enclosure"
    if not float((product - h @ v).abs().max()) <= _CLOSE * scale:
        return "autograd finds another Hessian than the enclosure"
    ends = [(s, f.value(theta + s * v), f.value(theta - s * v)) for s in _STEPS]
    slope, bend, middle = float(g @ v), float(v @ h @ v), f.value(theta)
    if not any(abs((a - b) / (2 * s) - slope) <= _ROUGH * reach for s, a, b in ends):
        return "differences of f(θ) are not the gradient that torch computes"
    if not any(abs((a - 2 * middle + b) / s**2 - bend) <= 0.05 * scale for s, a, b in ends):
        return "second differences of f(θ) are not the Hessian that torch computes"
    return ""


def _double_backward(f: Objective, point: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    (found,) = torch.autograd.grad(_function(f)(point), point)
    _, product = functional.hvp(_function(f), point.detach(), v)
    return found + 2 * f.l2 * point.detach(), product + 2 * f.l2 * v


def _function(f: Objective) -> Share:
    ((x, y),) = f.source.chunks(1)
    return f.source.on(x, y)


def _middles(x: np.ndarray) -> Any:
    return np.vectorize(lambda ball: float(ball.mid()))(x)


def _upper(x: Any) -> float:
    """An upper bound as a float; nan compares as nothing."""
    top = float(x.upper())
    return up(top) if math.isfinite(top) else math.inf


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
    if f.source.of_samples or f.dim > _LARGEST:
        raise ArgumentError(
            "f",
            expected=f"a function of at most {_LARGEST} variables, made by Objective.from_function",
            got=str(f),
            cure="use certify, which takes any objective",
        )
    f.check(theta)
