r"""Out of a minimum: the valleys in which a pass is near, and where in them it may be.

Along a unit vector v, an eigenvector of H = Hess f(θ) with curvature c, the other variables are let
go where f is lowest. To fourth order in t that is at

    θ + t v - ½ t² H⁻¹ w,       w = P ∂ₜ² ∇f(θ + t v),  P = I - v vᵀ,

where

    f ≈ f(θ) + c t²/2 + τ t³/6 + κ t⁴/24,   κ = q - 3 wᵀ H⁻¹ w,

τ and q the third and fourth derivative of f along v: u across v adds t² wᵀu/2 + uᵀHu/2, least at
u = -½ t² H⁻¹ w. A pass of this model is where c + τ t/2 + κ t²/6 = 0. The softest modes of a
network are often the worst: along weights of inputs that are always 0 the ridge alone is felt, τ
and κ are 0, and no pass is there. Which of the valleys leads to one is tried, and what is found is
certified: the model saves time only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float64
from torch import Tensor

from morsescape.critical.climb import FAR, ROUGH, lowest_of, span
from morsescape.critical.curvature import Anchor
from morsescape.critical.evaluations import Counted
from morsescape.critical.quadratic_model import krylov_model
from morsescape.hessian.regime import regime
from morsescape.spectrum.lanczos import lanczos, random_start

_LOOK, _FEW = 24, 6  # modes that are looked at; where all are products with the Hessian
_STEP = 0.05  # of `span`: between the points of the differences
_FLAT = 1e-11  # curvature against the largest, below which nothing is told of a mode
_PARABOLA = 1e-6  # change of curvature from point to point, against it, below which there is none
_PRODUCTS = 60  # of a solution with H, where there is no matrix

Inverse = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Valley:
    """One way out of a minimum.

    Attributes:
        minimum: θ, shape (D,).
        mode: v, turned outwards.
        bend: -½ H⁻¹ w.
        distance: t of the model's pass; infinite where it has none.
        height: of that pass above the minimum.
        curvature: c; infinite where f is a parabola along v, as far as differences tell.
    """

    minimum: Tensor
    mode: Tensor
    bend: Tensor
    distance: float
    height: float
    curvature: float

    def at(self, t: float) -> Tensor:
        """The point of the valley at t."""
        return self.minimum + t * self.mode + t * t * self.bend


def valleys(
    problem: Counted, theta: Float64[Tensor, "D"], anchor: Anchor, seed: int = 0
) -> list[Valley]:
    """Both ways along the softest modes, those with the lowest pass of the model first.

    Args:
        problem: the landscape.
        theta: a minimum.
        anchor: where the Hessian is factored, it is there, for the climbs that follow.
        seed: of random starts of Krylov spaces.
    """
    values, vectors, inverse, size = _soft(problem, theta, anchor, seed)
    step = _STEP * span(theta)
    found = []
    for c, v in zip(values.tolist(), vectors.t(), strict=True):
        ahead, behind = (problem.hvp(theta + way * step * v, v) for way in (1, -1))
        third, fourth = (ahead - behind) / (2 * step), (ahead + behind - 2 * c * v) / step**2
        across = third - (third @ v) * v
        bend = -0.5 * inverse(across)
        tau, kappa = float(third @ v), float(fourth @ v) + 6 * float(across @ bend)
        told = abs(c) > _FLAT * size
        bent = abs(tau) * step + abs(kappa) * step**2 > _PARABOLA * abs(c)
        curvature = c if told and bent else math.inf
        for way in (1.0, -1.0):
            distance, height = _pass(c, way * tau, kappa) if told else (math.inf, math.inf)
            if not distance <= FAR * span(theta):
                distance = height = math.inf
            found.append(Valley(theta, way * v, bend, distance, height, curvature))
    return sorted(found, key=lambda valley: valley.height)  # stable: the softest first, of equals


def _pass(c: float, tau: float, kappa: float) -> tuple[float, float]:
    """The nearest t > 0 at which c t²/2 + τ t³/6 + κ t⁴/24 turns, and its value there."""
    root = tau * tau / 4 - 2 * kappa * c / 3
    if root < 0:
        return math.inf, math.inf
    nearest = min(
        (t for t in (_over(2 * c, -tau / 2 + s * math.sqrt(root)) for s in (1, -1)) if t > 0),
        default=math.inf,
    )
    if nearest == math.inf:
        return math.inf, math.inf
    return nearest, nearest**2 * (c / 2 + nearest * (tau / 6 + nearest * kappa / 24))


def _over(a: float, b: float) -> float:
    return a / b if b else math.inf


def _soft(
    problem: Counted, theta: Tensor, anchor: Anchor, seed: int
) -> tuple[Tensor, Tensor, Inverse, float]:
    """The softest modes, how H⁻¹ is applied, and the largest curvature, about."""
    route = regime(problem.dim)
    if route.eigenpairs:
        values, vectors = problem.hessian_at(theta).eigh()
        size = max(float(values.abs().max()), 1e-280)
        sizes = values.abs().clamp_min(_FLAT * size)
        return (
            values[:_LOOK], vectors[:, :_LOOK],
            lambda v: vectors @ ((vectors.t() @ v) / sizes), size,
        )  # fmt: skip
    factor = anchor.of(theta) if route.dense else None
    if factor is not None:
        low = lowest_of(factor, _seen(problem, theta, seed), _LOOK)
        return *low, factor.inverse, factor.size
    start = _seen(problem, theta, seed)
    few = lanczos(lambda v: problem.hvp(theta, v), start, count=_FEW, tol=ROUGH)

    def solved(v: Tensor) -> Tensor:
        if not bool(v.any()):
            return v
        model = krylov_model(
            lambda u: problem.hvp(theta, u), v, size=_PRODUCTS, tolerance=0.1, to_zero=True
        )
        return model.vectors @ (model.slope / model.values)

    return few.values, few.vectors, solved, float(few.values.abs().max())


def _seen(problem: Counted, theta: Tensor, seed: int) -> Tensor:
    """Drawn from the image of Hess L: a Krylov space of it has no mode that the ridge alone curves.

    Where Hess L is about zero, drawn from all.
    """
    drawn = random_start(problem.dim, seed=seed)
    curved = problem.hvp(theta, drawn)
    seen = curved - 2 * problem.f.l2 * drawn
    return seen if float(seen.norm()) > _FLAT * float(curved.norm()) else drawn
