r"""Steepest descent, followed: ẋ = -P⁻¹∇f(x), in the Euclidean metric or in that of a Hessian.

The Morse complex is defined by P = I. That flow is stiff (condition 1e5 and more near trained
networks): an implicit integrator with the exact Jacobian -Hess f follows it, SciPy's BDF. In a
fixed metric P = |Hess f(x₀)| the flow has other lines but the same critical points with the same
indices, and the boundaries of its basins are again stable manifolds, generically of points of index
1; it is not stiff where Hess f is near P, and an explicit method follows it without any Hessian.

Source: Hairer & Wanner, Solving Ordinary Differential Equations II (1996), chapter V.3; metrics:
Smale, Ann. of Math. 74 (1961), gradient-like fields.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float64
from scipy.integrate import BDF, RK23, OdeSolver
from torch import Tensor

from morsescape.boundary import a_count, a_number, a_vector, checked, instance
from morsescape.critical.curvature import metric_at
from morsescape.critical.evaluations import Counted, Evaluations
from morsescape.critical.quadratic_model import Euclidean, Metric
from morsescape.hessian.regime import regime
from morsescape.objective import Objective
from morsescape.store.codec import Saved

_RTOL, _LOOSE = 1e-4, 1e-2  # of the integrator: of a line that is drawn, of one that labels
_ATOL = 1e-7  # of the size of θ
_FIRST = 1e-3
_STIFF, _METRICS = 100, 12  # explicit steps in one metric, and metrics of a line, at most
_SMOOTH, _IMPLICIT = 20, 500  # explicit steps before BDF's, and steps of those, at most


@dataclass(frozen=True, eq=False)
class Flow(Saved):
    """A line of steepest descent, as computed: numerical, without proof.

    Attributes:
        times: shape (n,).
        points: shape (n, D); the first is the start.
        values: f there, shape (n,).
        norms: ‖∇f‖ there, in the metric's dual norm √(∇fᵀP⁻¹∇f), shape (n,).
        metric: "Euclidean", or "Hessian" for a fixed P.
        reached: whether the last norm is at most what was asked.
        evaluations: the cost.
    """

    times: Tensor
    points: Tensor
    values: Tensor
    norms: Tensor
    metric: str
    reached: bool
    evaluations: Evaluations

    @property
    def end(self) -> Float64[Tensor, "D"]:
        """The last point."""
        return self.points[-1]

    @property
    def closest(self) -> int:
        """Where the line lingered near a critical point that is not its end.

        Of the dips of ‖∇f‖ the one where ‖∇f‖² is least against the fall of f still to come: near
        the minimum at the end, in the metric of its Hessian, that share is 2, and near a saddle 0.
        A line that starts nearest the saddle, as on its unstable manifold, dips at its start.
        """
        fall = (self.values - self.values[-1]).clamp_min(1e-300)
        share, n = (self.norms.square() / fall).tolist(), self.norms.tolist()
        dips = [k for k in range(len(n) - 1) if (k == 0 or n[k - 1] > n[k]) and n[k] <= n[k + 1]]
        return min(dips or range(len(n) - 1), key=lambda k: share[k], default=0)

    def __str__(self) -> str:
        end = "reached" if self.reached else "not reached"
        return (
            f"{self.metric} flow, {len(self.times)} points: f {float(self.values[0]):.8g} to "
            f"{float(self.values[-1]):.8g}, |grad f| = {float(self.norms[-1]):.2g} ({end}); "
            f"{self.evaluations}"
        )


@checked(
    f=instance(Objective, "ms.Objective(model, loss, data) makes one"),
    theta=a_vector("f", finite=True), tol=a_number(above=0), rtol=a_number(above=0),
    max_steps=a_count(1, words="a positive number"),
)  # fmt: skip
def steepest_descent(
    f: Objective, theta: Float64[Tensor, "D"], *, tol: float = 1e-6, rtol: float = _RTOL,
    max_steps: int = 2000,
) -> Flow:  # fmt: skip
    """The line ẋ = -∇f(x) from θ on, to ‖∇f‖ ≤ tol.

    Up to 12,000 variables by BDF of order 1 to 5 with the Jacobian -Hess f; above by an explicit
    method, which a stiff flow makes slow.

    Args:
        f: the landscape.
        theta: where it starts; not a critical point.
        tol: on ‖∇f‖ at the end.
        rtol: relative error of a step.
        max_steps: of the integrator.

    Returns:
        The line; `reached` says whether it came to its end.

    Raises:
        ArgumentError: as it says.

    Example:
        >>> import torch, morsescape as ms
        >>> from morsescape.morse.flow import steepest_descent
        >>> f = ms.Objective.from_function(lambda t: (t[0] ** 2 - 1) ** 2 + 1e4 * t[1] ** 2, 2)
        >>> line = steepest_descent(f, torch.tensor([0.01, 0.5]).double())
        >>> line.reached, round(float(line.end[0]), 4), len(line.times) < 200
        (True, 1.0, True)
    """
    problem = Counted(f)

    def jacobian(_: float, x: np.ndarray) -> np.ndarray:
        return -problem.hessian_at(torch.from_numpy(x.copy())).dense().numpy()

    size = _ATOL * (1.0 + float(theta.norm()))
    right = _Right(problem, Euclidean())
    start = theta.detach().numpy().copy()
    solver: OdeSolver
    if regime(f.dim).dense:
        solver = BDF(right, 0.0, start, np.inf, rtol=rtol, atol=size, jac=jacobian)
    else:
        solver = RK23(right, 0.0, start, np.inf, rtol=rtol, atol=size)
    return _followed(solver, right, tol, max_steps, np.inf)


def descent_in(
    problem: Counted, theta: Float64[Tensor, "D"], metric: Metric, *, time: float, tol: float = 0.0,
    rtol: float = _LOOSE, max_steps: int = 2000,
) -> Flow:  # fmt: skip
    """The flow in a fixed metric, for some time; two digits by default, for a line to label by.

    Close to a saddle two digits are not enough: an error across the ridge changes the side.
    """
    right = _Right(problem, metric)
    solver = RK23(
        right, 0.0, theta.numpy().copy(), time, rtol=rtol, atol=0.1 * rtol, first_step=_FIRST
    )
    return _followed(solver, right, tol, max_steps, time)


def descent_in_metrics(
    problem: Counted, theta: Float64[Tensor, "D"], metric: Metric, *, time: float,
    rtol: float = _LOOSE,
) -> Flow:  # fmt: skip
    """The same, by other means where it is stiff in this metric: where it ends is a matter of cost.

    Far from where its metric was made an explicit method takes thousands of steps. Up to 1,500
    variables it is followed on by BDF with the Jacobian -P⁻¹Hess f (cnn, digits: 200 gradients and
    8 Hessians a line, against 1,000 gradients); up to 12,000, where a Hessian costs more than that,
    in a metric made anew at the point reached. Above, no other metric is worth its price.
    """
    route = regime(problem.dim)
    if not route.dense:
        return descent_in(problem, theta, metric, time=time, rtol=rtol)
    first = _SMOOTH if route.eigenpairs else _STIFF
    lines = [descent_in(problem, theta, metric, time=time, rtol=rtol, max_steps=first)]
    left = time - float(lines[0].times[-1])
    while left > _FIRST and len(lines) < _METRICS:
        here = lines[-1].end
        if route.eigenpairs:
            line = _implicit_descent(problem, here, metric, time=left, rtol=rtol)
        else:
            metric = metric_at(problem, here) or metric
            line = descent_in(problem, here, metric, time=left, rtol=rtol, max_steps=_STIFF)
        if len(line.times) < 2:
            break
        lines.append(replace(line, times=line.times + (time - left)))
        left = time - float(lines[-1].times[-1])
    times, points, values, norms = (
        torch.cat(parts)
        for parts in zip(*(_from(x, k > 0) for k, x in enumerate(lines)), strict=True)
    )
    return replace(lines[-1], times=times, points=points, values=values, norms=norms)


def _implicit_descent(
    problem: Counted, theta: Float64[Tensor, "D"], metric: Metric, *, time: float, rtol: float
) -> Flow:
    """The flow in a fixed metric, by BDF."""

    def jacobian(_: float, x: np.ndarray) -> np.ndarray:
        hessian = problem.hessian_at(torch.from_numpy(x.copy())).dense()
        return -metric.solve_transposed(metric.solve(hessian)).numpy()

    right, start = _Right(problem, metric), theta.numpy().copy()
    solver = BDF(
        right, 0.0, start, time, rtol=rtol, atol=0.1 * rtol, first_step=_FIRST, jac=jacobian
    )
    return _followed(solver, right, 0.0, _IMPLICIT, time)


def _from(line: Flow, first: int) -> tuple[Tensor, ...]:
    """From its point number `first` on."""
    return line.times[first:], line.points[first:], line.values[first:], line.norms[first:]


class _Right:
    """The right-hand side -P⁻¹∇f, which remembers what it saw last."""

    def __init__(self, problem: Counted, metric: Metric) -> None:
        self.problem, self.metric = problem, metric
        self.seen: tuple[np.ndarray, float, float] | None = None

    def __call__(self, _: float, x: np.ndarray) -> np.ndarray:
        value, gradient = self.problem.value_and_gradient(torch.from_numpy(x.copy()))
        dual = self.metric.solve(gradient)
        self.seen = (x.copy(), value, float(dual.norm()))
        return -self.metric.solve_transposed(dual).numpy()

    def at(self, x: np.ndarray) -> tuple[float, float]:
        """The value and the norm at an accepted point."""
        if self.seen is None or not np.array_equal(self.seen[0], x):
            self(0.0, x)
        assert self.seen is not None
        return self.seen[1:]


def _followed(solver: OdeSolver, right: _Right, tol: float, max_steps: int, time: float) -> Flow:
    times, points, seen = [solver.t], [solver.y.copy()], [right.at(solver.y)]
    for _ in range(max_steps):
        if solver.status != "running" or seen[-1][1] <= tol:
            break
        with np.errstate(all="ignore"):
            solver.step()
        if solver.status == "failed" or not np.isfinite(solver.y).all():
            break
        times.append(solver.t)
        points.append(solver.y.copy())
        seen.append(right.at(solver.y))
    values, norms = torch.tensor(seen, dtype=torch.float64).unbind(1)
    euclidean = isinstance(right.metric, Euclidean)
    return Flow(
        torch.tensor(times, dtype=torch.float64), torch.from_numpy(np.stack(points)), values, norms,
        "Euclidean" if euclidean else "Hessian",
        bool(norms[-1] <= tol or times[-1] >= time), right.problem.evaluations,
    )  # fmt: skip
