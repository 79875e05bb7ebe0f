r"""Third-order local minima: below the saddles that the Hessian cannot see (Anandkumar & Ge 2016).

With T = ∇³f, a third-order local minimum has

    ∇f = 0,    Hess f ⪰ 0,    T(u, u, u) = 0 for all u in ker Hess f.

Every local minimum has this; a monkey saddle has the first two only. The loop alternates a step of
cubic-regularised Newton with a random third-order step in the *competitive subspace*: the largest
span S of bottom eigenvectors of Hess f whose largest eigenvalue is at most C²/(12 L Q²), where
C = ‖T restricted to S‖_F, Q = B n^1.5, n = dim S. If C ≥ Q (24 ‖∇f‖ L²)^⅓, draw unit vectors u in S
until |T(u,u,u)| ≥ C/Q, take the sign with T < 0, and move by (C/(LQ)) u. With L a Lipschitz
constant of T this lowers f by at least C⁴/(24 L³ Q⁴):

    f(θ + t u) - f ≤ t‖g‖ + ½ t² λ - t³ C/(6Q) + L t⁴/24,    t = C/(LQ),

where the conditions bound the first two terms by C⁴/(24 L³Q⁴) each and the last is the same once:
-4/24 + 1/24 + 1/24 + 1/24 = -1/24. T is only ever applied within the near-null space, as
derivatives of Hessian products, at most n(n+1)/2 of them. It does not certify a minimum: to fourth
order that is NP-hard.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import torch
from jaxtyping import Float64
from torch import Tensor
from torch.func import grad, jvp

from morsescape.boundary import a_count, a_number, a_seed, a_vector, checked, instance
from morsescape.critical.evaluations import Evaluations
from morsescape.critical.loop import Point, Stop, run
from morsescape.critical.search import Search
from morsescape.critical.steppers import stepper
from morsescape.errors import ArgumentError
from morsescape.hessian.regime import DENSE, regime
from morsescape.notebook import Shown
from morsescape.objective import Objective

_LARGEST = 12  # directions of the near-null space that are looked at: 78 Hessian products
_DRAWS = 200
_B = 1.0  # their constant B; a draw below the threshold is repeated, so it costs draws only
_CUBIC_STEPS = 500  # in all rounds; where f has kinks they would go on for ever
_TRIES = 40  # doublings of an L that turned out too small


class ThirdOrderStatus(Enum):
    """What a search for a third-order local minimum came to."""

    THIRD_ORDER = (
        "the conditions of a third-order local minimum hold to the tolerances; that does not prove "
        "a minimum"
    )
    SECOND_ORDER_ONLY = "the gradient and curvature conditions hold, but no third-order step fell"
    NOT_SECOND_ORDER = "stopped short of the gradient and curvature conditions"
    UNBOUNDED = "f seems to have no lower bound: it fell out of sight"
    NOT_FINITE = "f or a derivative is NaN or infinite"
    FAILED = "stopped where something could not be computed"


@dataclass(frozen=True)
class ThirdOrderStep:
    """One step: "cubic" (with how many) or "third order".

    Attributes:
        kind: of step.
        value: f after it.
        decrease: by how much f fell.
        guaranteed: C⁴/(24 L³ Q⁴) for a third-order step, else 0; `decrease` is at least this.
        tensor_norm: C where a third-order step was taken, else 0.
        dim: n, the dimension of the competitive subspace.
    """

    kind: str
    value: float
    decrease: float
    guaranteed: float
    tensor_norm: float
    dim: int


@dataclass(frozen=True, eq=False)
class ThirdOrderPoint(Shown):
    """What `third_order_minimum` came to.

    Attributes:
        theta: the last point.
        value: f there.
        grad_norm: ‖∇f‖.
        lowest: smallest eigenvalue of Hess f.
        nullity: eigenvalues within `curvature_tol` of 0, at most 12 of which are looked at.
        tensor_norm: ‖T‖_F on their span; 0 if there are none.
        lipschitz: the L in use at the end.
        lipschitz_estimated: whether it was sampled rather than given.
        steps: what was done.
        status: how it ended.
        evaluations: what it cost, without the `third` derivatives.
        third: how many products T(u, v, ·) were computed.
        seconds: wall-clock time.
        seed: of the draws.
        reason: what went wrong, empty if nothing did.
    """

    theta: Tensor
    value: float
    grad_norm: float
    lowest: float
    nullity: int
    tensor_norm: float
    lipschitz: float
    lipschitz_estimated: bool
    steps: tuple[ThirdOrderStep, ...]
    status: ThirdOrderStatus
    evaluations: Evaluations
    third: int
    seconds: float
    seed: int
    reason: str = ""

    def __repr__(self) -> str:
        return (
            f"ThirdOrderPoint({self.status.name}, value={self.value:.8g}, "
            f"grad_norm={self.grad_norm:.2g}, lowest={self.lowest:.2g}, nullity={self.nullity}, "
            f"theta=<{len(self.theta):,} numbers>, steps={len(self.steps)})"
        )

    def __str__(self) -> str:
        return (
            f"f = {self.value:.8g}, |grad f| = {self.grad_norm:.2g}, lowest curvature "
            f"{self.lowest:.2g}, nullity {self.nullity}, |T| on it {self.tensor_norm:.2g}: "
            f"{self.status.value}" + (f" ({self.reason})" if self.reason else "")
        )


@checked(
    f=instance(Objective, "ms.Objective(model, loss, data) makes one"), theta=a_vector("f"),
    lipschitz=a_number(above=0), tol=a_number(above=0), curvature_tol=a_number(above=0),
    tensor_tol=a_number(above=0), max_rounds=a_count(1, words="a positive number"), seed=a_seed(),
)  # fmt: skip
def third_order_minimum(
    f: Objective,
    theta: Float64[Tensor, "D"],
    *,
    lipschitz: float | None = None,
    tol: float = 1e-9,
    curvature_tol: float = 1e-6,
    tensor_tol: float = 1e-4,
    max_rounds: int = 30,
    seed: int = 0,
) -> ThirdOrderPoint:
    """Go down to where ∇f = 0, Hess f ⪰ 0 and T = ∇³f vanishes on the kernel of Hess f.

    Practical where the dense Hessian is (D up to 1,500) and the kernel small: n directions need
    n(n+1)/2 products T(u,v,·), each of the price of about two Hessian products. With λ > 0 the
    Hessian at a minimum of a network has no kernel, and nothing is left to do; it matters at λ = 0
    and at degenerate points such as units that are all zero.

    At most 500 cubic steps are taken in all. What f raises at the start passes; whatever else goes
    wrong is said by `status` and `reason`.

    Args:
        f: the landscape.
        theta: where to start.
        lipschitz: L, a Lipschitz constant of ∇³f; None samples one. If a step falls by less than L
            promises, L was too small and is doubled.
        tol: on ‖∇f‖.
        curvature_tol: eigenvalues within this of 0 count as the kernel.
        tensor_tol: ‖T‖_F on the kernel below this counts as 0.
        max_rounds: of one cubic and one third-order step.
        seed: of the draws.

    Raises:
        ArgumentError: a point of the wrong shape, more than 1,500 variables, an L that is not
            positive.

    Source:
        Anandkumar & Ge, Efficient approaches for escaping higher order saddle points, COLT 2016;
        the threshold and the decrease are derived anew above.

    Example:
        >>> import torch, morsescape as ms
        >>> monkey = lambda t: t[0] ** 3 - 3 * t[0] * t[1] ** 2 + (t @ t) ** 2
        >>> f = ms.Objective.from_function(monkey, 2)
        >>> low = third_order_minimum(f, torch.zeros(2).double())
        >>> low.status.name, round(low.value, 6), low.steps[0].kind
        ('THIRD_ORDER', -0.105469, 'third order')
    """
    if not regime(f.dim).eigenpairs:
        raise ArgumentError(
            "f",
            expected=f"at most {DENSE:,} variables, for all eigenvectors of the Hessian",
            got=f"{f.dim:,}",
            cure="use find_critical_point, whose conditions are of second order",
        )
    limits = (tol, curvature_tol, tensor_tol)
    return _ThirdOrder(f, lipschitz, limits, seed, max_rounds).run(theta.detach().clone())


def third_derivative(f: Objective, theta: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """T(u, v, ·) = d/ds d/dt ∇f(θ + s u + t v) at 0: two forward derivatives over one reverse."""

    def product(loss: Callable[[Tensor], Tensor]) -> tuple[Tensor]:
        def along(t: Tensor) -> Tensor:
            return jvp(grad(loss), (t,), (v,))[1]

        return (jvp(along, (theta,), (u,))[1],)

    (moved,) = f.over_chunks(product)  # the ridge is quadratic: it has no third derivative
    return moved


class _ThirdOrder(Search[ThirdOrderStatus, ThirdOrderPoint]):
    # Where nothing is left to leave, the conditions at the point say what it is.
    BLOCKED, FAILED = ThirdOrderStatus.SECOND_ORDER_ONLY, ThirdOrderStatus.FAILED

    def __init__(
        self, f: Objective, lipschitz: float | None, limits: tuple[float, float, float], seed: int,
        max_rounds: int,
    ) -> None:  # fmt: skip
        super().__init__(f, seed)
        self.tol, self.curvature_tol, self.tensor_tol = limits
        self.estimated, self.lipschitz = lipschitz is None, lipschitz or 0.0
        self.generator = torch.Generator().manual_seed(seed)
        self.third, self.max_rounds, self.left = 0, max_rounds, _CUBIC_STEPS
        self.steps: list[ThirdOrderStep] = []

    def rounds(self) -> tuple[Point, ThirdOrderStatus]:
        return self.alternated(*self.down(self.latest), self.max_rounds + 1)

    def look(
        self, point: Point, stop: Stop | None, round_: int, last: bool
    ) -> ThirdOrderStatus | None:
        """How it ended; BLOCKED after the last round too."""
        self.latest = point
        if stop is Stop.UNBOUNDED:
            return ThirdOrderStatus.UNBOUNDED
        finite = math.isfinite(point.value) and bool(point.gradient.isfinite().all())
        if not (finite and self.problem.hessian_at(point.theta).finite):
            return ThirdOrderStatus.NOT_FINITE
        return self.BLOCKED if last else None

    def leave(self, point: Point, round_: int) -> Point | None:
        left = self._third_order(point) if self.left else None
        self.latest = left or point
        return left

    def down(self, point: Point) -> tuple[Point, Stop]:
        taken = 0

        def note(at: Point) -> None:
            nonlocal taken
            self.latest, taken = at, taken + 1

        steps = stepper("cubic", self.problem, strict=True)
        after, stop = run(steps, point, tol=self.tol, max_steps=self.left, hook=note)
        self.left -= taken
        if taken:
            fall = point.value - after.value
            assert fall > 0, "only steps on which f falls are accepted"
            kind = f"cubic, {taken} times"
            self.steps.append(ThirdOrderStep(kind, after.value, fall, 0.0, 0.0, self.f.dim))
        return after, stop

    def _third_order(self, point: Point) -> Point | None:
        """One random step in the competitive subspace; None if there is none to take."""
        values, vectors = self.problem.hessian_at(point.theta).eigh()
        near = min(int((values <= self._reach(values)).sum()), _LARGEST)
        if near == 0:
            return None
        tensor = self._tensor(point.theta, vectors[:, :near])
        if self.lipschitz == 0:
            self.lipschitz = self._sampled_lipschitz(point.theta, vectors[:, :near])
        for _ in range(_TRIES):
            found = self._competitive(values[:near], tensor, point.norm)
            if found is None:
                return None
            moved = self._try(point, vectors, tensor, *found)
            if moved is not None:
                return moved
            # Less than L promises: L was too small, whoever said it.
            self.lipschitz, self.estimated = 2 * self.lipschitz, True
        return None

    def _reach(self, values: Tensor) -> float:
        """Eigenvalues above this are not looked at; λ ≤ C²/(12LQ²) is tested later."""
        return max(self.curvature_tol, 1e-3 * float(values.abs().max()))

    def _competitive(
        self, values: Tensor, tensor: Tensor, grad_norm: float
    ) -> tuple[int, float, float] | None:
        """The largest n that qualifies, with C and Q."""
        for n in range(len(values), 0, -1):
            size = float(tensor[:n, :n, :n].norm())
            q = _B * n**1.5
            if size <= self.tensor_tol or float(values[n - 1]) > size**2 / (
                12 * self.lipschitz * q * q
            ):
                continue
            if size >= q * (24 * grad_norm * self.lipschitz**2) ** (1 / 3):
                return n, size, q
        return None

    def _try(
        self, point: Point, vectors: Tensor, tensor: Tensor, n: int, size: float, q: float
    ) -> Point | None:
        part = tensor[:n, :n, :n]
        for _ in range(_DRAWS):
            u = torch.randn(n, generator=self.generator, dtype=torch.float64)
            u = u / u.norm()
            along = float(torch.einsum("ijk,i,j,k->", part, u, u, u))
            if abs(along) >= size / q:
                break
        else:
            return None
        u = -u if along > 0 else u
        length = size / (self.lipschitz * q)
        moved = Point.at(self.problem, point.theta + length * (vectors[:, :n] @ u))
        promised = size**4 / (24 * self.lipschitz**3 * q**4)
        fall = point.value - moved.value
        if not fall >= promised:
            return None
        self.steps.append(ThirdOrderStep("third order", moved.value, fall, promised, size, n))
        return moved

    def _tensor(self, theta: Tensor, basis: Tensor) -> Tensor:
        """T restricted to the span of the columns: (n, n, n), symmetric."""
        n = basis.shape[1]
        tensor = torch.zeros(n, n, n, dtype=torch.float64)
        for i in range(n):
            for j in range(i, n):
                self.third += 1
                row = basis.t() @ third_derivative(self.f, theta, basis[:, i], basis[:, j])
                tensor[i, j] = tensor[j, i] = row
        return tensor

    def _sampled_lipschitz(self, theta: Tensor, basis: Tensor) -> float:
        """Twice the largest sampled ‖T(θ + v) - T(θ - v)‖_F / 2‖v‖ along the near-null space."""
        largest, reach = 0.0, 1e-2 * max(1.0, float(theta.norm()))
        for _ in range(3):
            v = basis @ torch.randn(basis.shape[1], generator=self.generator, dtype=torch.float64)
            v = v / v.norm() * reach
            change = self._tensor(theta + v, basis) - self._tensor(theta - v, basis)
            largest = max(largest, float(change.norm()) / (2 * reach))
        return 2 * largest if 0 < largest < math.inf else 1.0

    def failed(self) -> ThirdOrderPoint:
        return self.result(self.latest, self.FAILED)

    def result(self, point: Point, status: ThirdOrderStatus) -> ThirdOrderPoint:
        lowest, nullity, size = math.nan, 0, 0.0
        if status is self.BLOCKED:
            values, vectors = self.problem.hessian_at(point.theta).eigh()
            lowest = float(values[0])
            kernel = (values.abs() <= self.curvature_tol).nonzero().squeeze(1)
            nullity = len(kernel)
            if nullity:
                size = float(self._tensor(point.theta, vectors[:, kernel[:_LARGEST]]).norm())
            if point.norm > self.tol or lowest < -self.curvature_tol:
                status = ThirdOrderStatus.NOT_SECOND_ORDER
            elif size <= self.tensor_tol:
                status = ThirdOrderStatus.THIRD_ORDER
        return ThirdOrderPoint(
            theta=point.theta,
            value=point.value,
            grad_norm=point.norm,
            lowest=lowest,
            nullity=nullity,
            tensor_norm=size,
            lipschitz=self.lipschitz,
            lipschitz_estimated=self.estimated,
            steps=tuple(self.steps),
            status=status,
            evaluations=self.problem.evaluations,
            third=self.third,
            seconds=self.seconds,
            seed=self.seed,
            reason=self.reason or self.problem.failure,
        )
