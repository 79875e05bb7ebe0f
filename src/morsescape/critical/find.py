"""From any point to a critical point, with proof of what was found."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, get_args

from jaxtyping import Float64
from torch import Tensor

from morsescape.boundary import (
    a_count,
    a_function,
    a_number,
    a_progress,
    a_seed,
    a_vector,
    checked,
    choice,
    instance,
)
from morsescape.critical.certificate import Certificate, CertificateStatus
from morsescape.critical.certify import certify
from morsescape.critical.diagnose import diagnose
from morsescape.critical.evaluations import Counted
from morsescape.critical.loop import Point, Stop, run
from morsescape.critical.negative_curvature import Directions, leave, negative_directions
from morsescape.critical.result import CriticalPoint, SearchStatus
from morsescape.critical.search import Search
from morsescape.critical.steppers import descent, stepper
from morsescape.errors import ArgumentError
from morsescape.hessian.gradient import sharp_gradient
from morsescape.hessian.regime import regime
from morsescape.hessian.solver import Solver
from morsescape.objective import Objective
from morsescape.progress import Asked, Progress
from morsescape.spectrum.inertia import Inertia, signs_at

Callback = Callable[[Tensor, float, float], None]

Target = Literal["minimum", "nearest"]
Method = Literal[
    "auto", "lbfgs", "scaled-lbfgs", "trust-region", "saddle-free", "cubic", "levenberg"
]
TARGETS, METHODS = get_args(Target), get_args(Method)  # the methods: "auto" and the steppers
_ROUNDS = 20  # saddles left on the way to one minimum
_NEGATIVE = 1e-7  # share of ‖Hess f‖ below which negative curvature is not worth following
_QUASI_STEPS = 10_000  # at most, before Newton's; where f is not convex yet, they gain more
_REFINEMENTS = 10


@checked(
    f=instance(Objective, "ms.Objective(model, loss, data) makes one"),
    theta=a_vector("f", finite=True), target=choice(TARGETS), method=choice(METHODS),
    tol=a_number(above=0), max_steps=a_count(1, words="a positive number"), seed=a_seed(),
    progress=a_progress(), callback=a_function(3),
)  # fmt: skip
def find_critical_point(
    f: Objective,
    theta: Float64[Tensor, "D"] | None = None,
    *,
    target: Target = "minimum",
    method: Method = "auto",
    tol: float = 1e-9,
    max_steps: int = 2000,
    seed: int = 0,
    progress: Asked = None,
    callback: Callback | None = None,
) -> CriticalPoint:
    """A critical point of f reached from θ, with its index and a certificate that says how sure.

    With target "minimum" f falls until ‖∇f‖ ≤ tol; a critical point with curvature that is negative
    beyond all errors is left along it and the search goes on. With "nearest" ‖∇f‖ falls instead,
    towards a critical point of any index.

    ============== ============================================================================
    method         step
    ============== ============================================================================
    auto           networks: scaled-lbfgs, functions: lbfgs, to 1e-7 (above 12,000 variables lbfgs
                   to 1e-5), then Newton steps; where that is not enough, trust-region; for
                   "nearest" levenberg
    lbfgs          quasi-Newton, 50 pairs, weak Wolfe conditions
    scaled-lbfgs   the same in the metric of |H|, above 1,500 variables of H + shift·I, with H
                   dense and renewed every 60 or 100 gradients
    trust-region   minimiser of the quadratic model in a ball
    saddle-free    -|H|⁻¹∇f, damped: attracted to minima only
    cubic          minimiser of the quadratic model + σ‖s‖³/3
    levenberg      least ‖∇f + Hs‖² in a ball; the only one for "nearest"
    ============== ============================================================================

    The second-order steps use all eigenpairs of the dense Hessian up to 1,500 variables, products
    in a Krylov space above, preconditioned up to 12,000 by a dense factor that is renewed when
    stale.

    Args:
        f: the landscape.
        theta: where to start; None takes the model's own parameters.
        target: "minimum" or "nearest".
        method: see above.
        tol: on ‖∇f‖, absolute.
        max_steps: accepted steps in all.
        seed: of random directions; the caller's random state is not used.
        progress: True for bars, or called as progress(stage, done, total); for the search, in
            tenths of a decade of ‖∇f‖.
        callback: called as callback(θ, f(θ), ‖∇f(θ)‖) after every accepted step. To resume an
            interrupted search, keep θ and start from it.

    Returns:
        The point, whatever came of the search; `status` says what. A search that does not converge,
        or in which something cannot be computed, does not raise. What f raises at the start passes,
        and so does what `progress` and `callback` raise.

    Raises:
        ArgumentError: an unknown target or method, a point of the wrong shape or not finite, a
            tolerance or limit that is not positive, a limit that is no integer.

    Source:
        Conn, Gould & Toint, Trust-Region Methods (2000); Dauphin et al. (2014), saddle-free Newton;
        Nesterov & Polyak (2006), cubic regularisation.

    Example:
        >>> import torch, morsescape as ms
        >>> f = ms.Objective.from_function(lambda t: (t[0] ** 2 - 1) ** 2 + t[1] ** 2, 2)
        >>> start = torch.tensor([0.1, 0.5]).double()
        >>> low, near = (
        ...     ms.find_critical_point(f, start, target=t) for t in ("minimum", "nearest")
        ... )
        >>> low.index, near.index, near.certificate.status.name
        (0, 1, 'PROVED')
    """
    assert progress is not True
    start = f.theta if theta is None else theta
    check_method(target, method)
    f.check(start, finite=True)
    search = Find(f, seed, progress, callback, target, method, tol, max_steps)
    return search.run(start.detach().clone())


class Find(Search[SearchStatus, CriticalPoint]):
    """The search behind `find_critical_point`."""

    BLOCKED, FAILED = SearchStatus.INDEX_LEFT, SearchStatus.FAILED

    def __init__(
        self, f: Objective, seed: int, progress: Progress | None, callback: Callback | None,
        target: str, method: str, tol: float, max_steps: int,
    ) -> None:  # fmt: skip
        super().__init__(f, seed, progress, callback)
        self.target, self.method, self.tol, self.max_steps = target, method, tol, max_steps
        self.steps = 0
        self.refined: Point | None = None  # where Newton steps gained nothing any more

    def started(self, point: Point) -> None:
        """The first norm is what progress is reckoned from."""
        self.first_norm = point.norm

    def rounds(self) -> tuple[Point, SearchStatus]:
        """Down, and on from saddles."""
        return self.alternated(*self.down(self.latest), _ROUNDS)

    def look(self, point: Point, stop: Stop | None, round_: int, last: bool) -> SearchStatus | None:
        """How it ended, unless there is a saddle that can be left."""
        self.signs, self.certificate = self._judge(point)
        assert stop is not None
        if stop is Stop.CONVERGED and self.target == "minimum" and not last:
            signs = self.signs
            if signs is not None and signs.negative[0] > 0:
                self.directions = self._directions(point, signs, round_)
                if len(self.directions):
                    return None
        status = diagnose(self.problem, point, stop, self.certificate, self.seed)
        flat = status is SearchStatus.DEGENERATE and _vanishes(self.problem, point)
        return SearchStatus.FLAT if flat else status

    def leave(self, point: Point, round_: int) -> Point | None:
        """Along negative curvature."""
        left = leave(self.problem, point, self.directions)
        if left is not None:
            self._after_step(left)
        return left

    def down(self, point: Point) -> tuple[Point, Stop]:
        """Down to ‖∇f‖ ≤ tol and on to the last digits, or to what ends it."""
        method, stop = self.method, None
        if method == "auto":
            method = "trust-region" if self.target == "minimum" else "levenberg"
            if self.target == "minimum":
                loose = max(regime(self.f.dim).loose, self.tol)
                point, stop = self._run(descent(self.problem), point, loose, _QUASI_STEPS)
                if stop is Stop.CONVERGED:
                    point = self._newton(point, definite=True)
        if stop not in (Stop.UNBOUNDED, Stop.NOT_FINITE):
            point, stop = self._run(method, point, self.tol, self.max_steps)
        return (self._newton(point, definite=False) if stop is Stop.CONVERGED else point), stop

    def _run(self, method: str, point: Point, tol: float, steps: int) -> tuple[Point, Stop]:
        limit = max(0, min(steps, self.max_steps - self.steps))
        steps_of = stepper(method, self.problem)
        return run(steps_of, point, tol=tol, max_steps=limit, hook=self._after_step)

    def _after_step(self, point: Point) -> None:
        self.steps += 1
        self.latest = point
        if self.callback is not None:
            self.callback(point.theta, point.value, point.norm)
        if self.progress is not None and self.first_norm > self.tol:
            total = math.ceil(10 * math.log10(self.first_norm / self.tol))
            left = 10 * math.log10(max(point.norm, self.tol) / self.tol)
            self.progress("search", min(max(total - math.ceil(left), 0), total), total)

    def _newton(self, point: Point, *, definite: bool) -> Point:
        """Newton steps with one factor to the last digits, while each halves ‖∇f‖.

        With `definite` none is taken where the Hessian is not positive definite: they would lead
        to a saddle. The last digits are what a proof needs.
        """
        if not regime(self.f.dim).dense or point is self.refined:
            return point
        solve = self.problem.hessian_at(point.theta).factor()
        if solve is None or (definite and not solve.definite):
            return point
        for _ in range(_REFINEMENTS):
            step = solve(-point.gradient)
            following = Point.at(self.problem, point.theta + step)
            if point.norm == 0 or not following.norm <= 0.5 * point.norm:
                break
            point = following
            self._after_step(point)
        self.refined = point = self._sharpened(point, solve)
        return point

    def _sharpened(self, point: Point, solve: Solver) -> Point:
        """A last step by the gradient of twice the precision.

        The float64 gradient is off by more than its value here; what is left after this step is
        the rounding of θ.
        """
        if point.norm > self.tol or not self.f.source.of_samples:
            return point
        sharp = sharp_gradient(self.f.source, point.theta, self.f.l2)
        if sharp is None:
            return point
        following = Point.at(self.problem, point.theta - solve(sharp[0]))
        if not following.norm <= max(self.tol, 2 * point.norm):
            return point
        self._after_step(following)
        return following

    def _judge(self, point: Point) -> tuple[Inertia | None, Certificate]:
        """The signs of the curvatures, and the certificate; what cannot be judged is said there."""
        try:
            return self._judged(point)
        except Exception as error:
            why = self.calls.caught(error)
        self.reason = self.reason or why
        undecided = CertificateStatus.UNDECIDED
        return None, Certificate.unknown(undecided, self.f.dim, point.norm, why)

    def _judged(self, point: Point) -> tuple[Inertia | None, Certificate]:
        """Both from one enclosed Hessian, of which a second opinion is heard."""
        hessian = self.problem.hessian_at(point.theta, bounded=True)
        certificate = certify(hessian, tol=self.tol, seed=self.seed)
        if not (math.isfinite(point.value) and hessian.finite) or hessian.doubt:
            return None, certificate
        return signs_at(hessian, self.progress), certificate

    def _directions(self, point: Point, signs: Inertia, round_: int) -> Directions:
        return negative_directions(
            self.problem, point.theta, signs.radius, self.seed + round_, share=_NEGATIVE
        )

    def failed(self) -> CriticalPoint:
        """What is known where something could not be computed."""
        self.signs, self.certificate = self._judge(self.latest)
        return self.result(self.latest, self.FAILED)

    def result(self, point: Point, status: SearchStatus) -> CriticalPoint:
        """Everything in one value."""
        return CriticalPoint(
            theta=point.theta,
            value=point.value,
            grad_norm=point.norm,
            inertia=self.signs,
            certificate=self.certificate,
            status=status,
            evaluations=self.problem.evaluations,
            steps=self.steps,
            seconds=self.seconds,
            method=self.method,
            target=self.target,
            seed=self.seed,
            reason=self.reason or self.problem.failure,
        )


def _vanishes(problem: Counted, point: Point) -> bool:
    return point.norm == 0 and problem.hessian_at(point.theta).norm == 0


def check_method(target: str, method: str) -> None:
    """Refuse a target and a method that do not go together.

    Raises:
        ArgumentError: as it says.
    """
    if (target == "nearest") != (method == "levenberg") and method != "auto":
        raise ArgumentError(
            "method",
            expected="levenberg for target 'nearest', another one for 'minimum'",
            got=f"{method!r} for {target!r}",
            cure="leave the method at 'auto'",
        )
