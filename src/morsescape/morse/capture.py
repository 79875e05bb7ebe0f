r"""A ball around a proved minimum: how far every path out of it must rise, and what flows into it.

Let m be the minimum, S an invertible matrix, about Hess f(m)^-½, and ‖x‖ the norm |S⁻¹x|: that of
the Hessian, in which f is about f(m) + ½‖x - m‖². Let

    D²f(m)[v, v] ≥ c ‖v‖²,    |D³f(x)[v, v, v]| ≤ K(t) ‖v‖³   for ‖x - m‖ ≤ t,

K a nondecreasing step function. On the ray φ(t) = f(m + t v), ‖v‖ = 1, φ'(0) = 0 and

    φ''(t) ≥ b(t) = c - ∫₀ᵗ K,    φ'(t) ≥ g(t) = ∫₀ᵗ b,    φ(t) ≥ f(m) + q(t),   q(t) = ∫₀ᵗ g.

As long as g > 0 on (0, R], m is the only critical point in the ball of radius R, f ≥ f(m) + q(R) on
its sphere, and every path from m out of it rises by at least q(R). A point in the ball with f below
f(m) + q(R) cannot leave it downhill, and flows to m. For constant K and c = 1, q(R) is
R²/2 - KR³/6, and R < 2/K. docs/capture.md has the proofs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from typing import Any, ClassVar

import torch
from jaxtyping import Float64
from torch import Tensor
from torch.func import grad, jacfwd

from morsescape.boundary import a_count, a_vector, checked, instance
from morsescape.critical.certify import certify
from morsescape.critical.result import CriticalPoint
from morsescape.errors import ArgumentError, first_line
from morsescape.hessian.gradient import LOST
from morsescape.objective import Objective
from morsescape.paths.enclosed import Interval, pieces_on
from morsescape.rounding.balls import Ball, NoErrorRule, as_ball
from morsescape.rounding.enclose import Enclosure
from morsescape.rounding.floats import U, down, gamma, up
from morsescape.rounding.program import NotTraceable, record
from morsescape.spectrum.enclosed_eigenvalues import enclosed_eigenvalues
from morsescape.store.codec import Saved

_MOST = 60  # variables: third derivatives are enclosed entry by entry
_SHELLS = 64
_BEYOND = 8  # times the radius at which K takes half of the curvature, at most: 2/K for constant K
_DOUBLINGS = 60
_UP = 1 + 1e-9  # covers the rounding of norms


@dataclass(frozen=True, eq=False)
class CaptureBall(Saved):
    """All points within `radius` of a minimum m, in the norm ‖x‖ = |S⁻¹x|.

    Attributes:
        centre: the computed minimum, shape (D,).
        basis: S, shape (D, D).
        inverse: at least the spectral norm of S⁻¹.
        offset: m is within this of the centre, in ‖·‖.
        radius: R; 0 where nothing is proved.
        rise: q(R): f is at least f(m) + q(R) on the sphere.
        value: f(m) is between these.
        curvature: c.
        shells: (t, K): radii and the bound on third derivatives up to there.
        reason: what could not be enclosed, farther out or at all; empty if everything was.
    """

    centre: Tensor
    basis: Tensor
    inverse: float
    offset: float
    radius: float
    rise: float
    value: Interval
    curvature: float
    shells: tuple[tuple[float, float], ...]
    reason: str
    f: Objective | None = field(default=None, repr=False)
    UNSAVED: ClassVar[tuple[str, ...]] = ("f",)

    @property
    def dim(self) -> int:
        """D."""
        return len(self.centre)

    def distance(self, theta: Float64[Tensor, "D"]) -> float:
        """At least ‖θ - m‖."""
        n, step = len(theta), theta - self.centre
        y, *_ = torch.linalg.solve_ex(self.basis, step)
        sizes = self.basis.abs() @ y.abs() + step.abs()
        off = float((step - self.basis @ y).norm()) + 2 * gamma(n + 4) * float(sizes.norm())
        return (float(y.norm()) + self.inverse * off + self.offset) * _UP

    @checked(theta=a_vector(finite=True))
    def holds(self, theta: Float64[Tensor, "D"], f: Objective | None = None) -> bool:
        """Whether it is proved that every line of descent from θ ends at m.

        θ is in the ball and f(θ) < f(m) + `rise`. False says nothing.

        Args:
            theta: the point, shape (D,).
            f: the landscape, for a ball that was loaded.

        Raises:
            ArgumentError: no landscape, or a point of another shape.
        """
        f = f or self.f
        if f is None or f.dim != self.dim:
            raise ArgumentError(
                "f", expected=f"the landscape of {self.dim} variables", got=str(f),
                cure="pass the ms.Objective for which the ball was made",
            )  # fmt: skip
        if not self.distance(theta) < self.radius:
            return False
        return _value_at(f, theta)[1] < down(self.value[0] + self.rise)

    def __str__(self) -> str:
        if not self.radius:
            return f"nothing is proved around the minimum: {self.reason or 'no curvature'}"
        return (
            f"a minimum with f = {self.value[1]:.8g}: no way out below +{self.rise:.4g}, proved by "
            f"{len(self.shells)} shells up to radius {self.radius:.4g}"
        )


def _a_minimum(argument: Any) -> Any:
    if isinstance(argument.value, CriticalPoint):
        return argument.value
    return a_vector("f", finite=True)(argument)


@checked(
    f=instance(Objective, "ms.Objective(model, loss, data) makes one"),
    minimum=_a_minimum, shells=a_count(1, words="1 or more"),
)  # fmt: skip
def capture_ball(
    f: Objective, minimum: Float64[Tensor, "D"] | CriticalPoint, *, shells: int = _SHELLS
) -> CaptureBall:
    """A ball around a minimum, with a proved lower bound of every pass out of it.

    Third derivatives are enclosed on boxes around the balls. In many variables these are much
    larger than the balls, and K is bounded by the norm of a matrix: the rise is the farther below
    the lowest pass the more there are.

    Args:
        f: the landscape, of at most 60 variables.
        minimum: proved by `ms.certify`, or close enough to be.
        shells: steps of the radius at most; K is enclosed in each.

    Returns:
        The ball. Its radius is 0 where nothing could be proved; the reason says why.

    Raises:
        ArgumentError: a point that is not proved to be a minimum; too many variables.

    Source:
        Taylor's formula along rays; docs/capture.md.

    Example:
        >>> import torch, morsescape as ms
        >>> from morsescape.morse.capture import capture_ball
        >>> f = ms.zoo.double_well.objective()  # (t0² - 1)² + t1²: the pass is at f = 1
        >>> ball = capture_ball(f, torch.tensor([1.0, 0.0]).double())
        >>> 0.3 < ball.rise < 1.0
        True
        >>> ball.holds([0.7, 0.1]), ball.holds([-1.0, 0.0])
        (True, False)
    """
    theta = minimum.theta if isinstance(minimum, CriticalPoint) else minimum
    proof = minimum.certificate if isinstance(minimum, CriticalPoint) else certify(f, theta)
    if not proof.proves(0) or f.dim > _MOST:
        raise ArgumentError(
            "minimum", expected=f"a proved minimum of at most {_MOST} variables",
            got=f"{f.dim} variables, {proof}", cure="polish it with ms.find_critical_point",
        )  # fmt: skip
    values, vectors = torch.linalg.eigh(f.hessian(theta))
    basis = vectors / values.sqrt()
    inverse = _inverse_bound(basis, values.sqrt()[:, None] * vectors.t())
    offset = up(inverse * proof.distance)
    nothing = CaptureBall(theta, basis, inverse, offset, 0.0, 0.0, _value_at(f, theta), 0.0, (), "")
    if f.source.doubts or f.source.loss.scale_error:
        return replace(nothing, reason="f is not known exactly, or not what torch differentiates")
    try:
        taylor = _Taylor(f, theta, basis)
        low, high = taylor.curvature()
    except (NoErrorRule, NotTraceable, ValueError, RuntimeError) as missing:
        return replace(nothing, reason=f"no enclosure of third derivatives: {first_line(missing)}")
    third = taylor.third(offset)
    # All is around θ̂ so far. m is within the offset of it, where the curvature differs by K‖·‖.
    off = up(third * offset)
    least, above = down(low - off), up(high + off)
    found = _radii(lambda r: taylor.third(up(r + offset)), least, shells) if least > 0 else []
    radius, rise, kept = _integrated(least, found)
    # f(θ̂) - f(m) is at most half the largest curvature between times the distance squared.
    value = down(nothing.value[0] - up(above * up(offset**2))), nothing.value[1]
    return CaptureBall(
        theta, basis, inverse, offset, radius, rise, value, least, tuple(kept), taylor.why, f
    )


class _Taylor:
    """Derivatives of y ↦ f(x + S y) at y = 0, enclosed for all x near θ̂."""

    def __init__(self, f: Objective, theta: Tensor, basis: Tensor) -> None:
        self.theta, self.why = theta, ""
        # The box around the ellipsoid |S⁻¹(x - θ̂)| ≤ 1: its rows are the longest.
        self.reach = basis.norm(dim=1) * _UP
        shares = [f.source.on(*chunk) for chunk in f.source.chunks(f.source.chunk)]

        def value(x: Tensor, y: Tensor) -> Tensor:
            point = x + basis @ y
            loss = torch.stack([share(point) for share in shares]).sum()
            return loss + f.l2 * (point * point).sum()

        def derivatives(x: Tensor) -> tuple[Tensor, ...]:
            zero, along = torch.zeros_like(x), partial(value, x)
            second = jacfwd(grad(along))
            # The value is followed too: its operations must be known, or what has no derivative
            # in torch would pass for a constant.
            return along(zero), second(zero), jacfwd(second)(zero)

        self.program = record(derivatives, theta)

    def _on(self, r: float) -> list[Ball]:
        machine = Enclosure(ties=r > 0)
        box = Ball(self.theta, self.reach * r * _UP) if r else self.theta
        found = [as_ball(x) for x in self.program.run(machine, box)]
        if machine.kinks:
            names = ", ".join(self.program.branches)
            raise NoErrorRule(f"a branch that f may take otherwise within the ball, of {names}")
        return found

    def curvature(self) -> tuple[float, float]:
        """Bounds on the least and the largest eigenvalue of Sᵀ Hess f(θ̂) S."""
        _, ball, _ = self._on(0.0)
        symmetric = (ball.mid + ball.mid.t()) / 2
        values, error = enclosed_eigenvalues(symmetric)
        off = up(error + (float((ball.radius() + U * ball.mid.abs()).norm()) * _UP + LOST))
        return down(float(values[0]) - off), up(float(values[-1]) + off)

    def third(self, r: float) -> float:
        """K ≥ |D³f(x)[u, v, w]| for ‖u‖ = ‖v‖ = ‖w‖ = 1, ‖x - θ̂‖ ≤ r; ∞ where none is proved.

        It is the spectral norm of the tensor as a matrix with D rows and D² columns.
        """
        try:
            ball = self._on(r)[2]
        except (NoErrorRule, NotTraceable, ValueError) as missing:
            self.why = str(missing)
            return math.inf
        middle = ball.mid.reshape(len(self.theta), -1)
        gram = middle @ middle.t()
        if not bool(gram.isfinite().all()):
            return math.inf
        values, error = enclosed_eigenvalues((gram + gram.t()) / 2)
        size = float(middle.norm()) * _UP
        square = float(values[-1]) + error + (gamma(middle.shape[1] + 4) + U) * size * size
        bound = (math.sqrt(square) + float(ball.radius().norm())) * _UP + LOST
        return bound if math.isfinite(bound) else math.inf


def _radii(third: Callable[[float], float], least: float, most: int) -> list[tuple[float, float]]:
    """Equal steps of the radius with K up to each, until f need not rise any more."""
    r = 1.0
    for _ in range(_DOUBLINGS):
        if r * third(r) <= least / 2:
            break
        r /= 2
    for _ in range(_DOUBLINGS):
        if not 2 * r * third(2 * r) <= least / 2:
            break
        r *= 2
    found: list[tuple[float, float]] = []
    bend, slope, step = least, 0.0, _BEYOND * r / most
    for k in range(1, most + 1):
        bound = third(k * step)
        slope += bend * step - bound * step**2 / 2
        bend -= bound * step
        if not slope > 0:
            break
        found.append((k * step, bound))
    return found


def _integrated(
    least: float, found: list[tuple[float, float]]
) -> tuple[float, float, list[tuple[float, float]]]:
    """R, q(R) and the shells that count, in rational numbers."""
    before, slope, rise, bend = Fraction(0), Fraction(0), Fraction(0), Fraction(least)
    kept: list[tuple[float, float]] = []
    for t, bound in found:
        h, third = Fraction(t) - before, Fraction(bound)
        ahead = slope + bend * h - third * h**2 / 2
        if ahead <= 0:
            break
        rise += slope * h + bend * h**2 / 2 - third * h**3 / 6
        before, slope, bend = Fraction(t), ahead, bend - third * h
        kept.append((t, bound))
    return float(before), max(0.0, down(float(rise))), kept


def _value_at(f: Objective, theta: Tensor) -> Interval:
    """F(θ), enclosed."""
    (piece,) = pieces_on(f, torch.stack([theta, theta]), [(0.0, 0.0)])
    return piece.value


def _inverse_bound(basis: Tensor, nearly: Tensor) -> float:
    """‖S⁻¹‖ ≤ ‖X‖ / (1 - δ) for δ = ‖I - X S‖ < 1; infinity where that is not shown."""
    n = len(basis)
    defect = torch.eye(n, dtype=torch.float64) - nearly @ basis
    rounding = gamma(n + 4) * float((nearly.abs() @ basis.abs()).norm()) + n * U
    delta = (float(defect.norm()) + rounding) * _UP
    return float(nearly.norm()) * _UP / (1 - delta) * _UP if delta < 1 else math.inf
