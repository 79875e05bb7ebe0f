r"""What a pass joins: from a saddle of index 1 down on both sides, proved.

From the saddle θ̂, with v the direction of negative curvature, one step along ±v, then the accepted
points of a search for the minimum. All of these are vertices of a polygon from θ̂ to the minimum;
vertices that a straight piece may pass by, f lower on it than at the first step, are left out. The
highest f on what is left is proved by intervals (`paths.height`): so both minima lie in one
component of M_ε for every ε from there on. Where it is above f(θ̂), a step of the search went over
a ridge: then down the flow of a fixed metric first, which goes over none. Neither is a line of
steepest descent, which that does not need.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from morsescape.critical.climb import lowest_modes, span
from morsescape.critical.curvature import metric_at
from morsescape.critical.evaluations import Counted
from morsescape.critical.find import find_critical_point
from morsescape.critical.quadratic_model import Euclidean
from morsescape.critical.result import CriticalPoint
from morsescape.hessian.regime import regime
from morsescape.morse.flow import descent_in_metrics
from morsescape.objective import Objective
from morsescape.paths.curve import Curve
from morsescape.paths.height import Height, height_of
from morsescape.store.codec import Saved

_OFF = 0.02  # of 1 + a tenth of the size of θ: the first step off a saddle
_SHORTER = 12  # times that it may be halved until f falls
_TIME = 60.0  # of the flow
_RTOL = 1e-5  # of its steps: what strays by 1e-2 may cross the ridge back
_LOOKS = (8, 64, 512)  # samples of a straight piece that leaves vertices out; more where f rose
_TOL = 1e-9  # of f: how wide the proved interval may be, against 1 + |f|


@dataclass(frozen=True, eq=False)
class Side(Saved):
    """One side of a pass.

    Attributes:
        chain: vertices of the polygon from the saddle to the minimum, shape (n, D).
        height: of the polygon; `high` is proved unless it is an estimate.
        minimum: its end, with its certificate.
    """

    chain: Tensor
    height: Height
    minimum: CriticalPoint

    @property
    def proved(self) -> bool:
        """Whether the height is, and that the end is at a strict local minimum."""
        return self.height.estimate is None and self.minimum.certificate.proves(0)


@dataclass(frozen=True, eq=False)
class Pass(Saved):
    """A saddle of index 1 with both sides.

    Attributes:
        saddle: the critical point.
        sides: along v and along -v.
    """

    saddle: CriticalPoint
    sides: tuple[Side, Side]

    @property
    def height(self) -> tuple[float, float]:
        """The ends of both sides are in one component of M_ε for every ε ≥ height[1].

        The lower number is f at the saddle, less its rounding.
        """
        return min(s.height.low for s in self.sides), max(s.height.high for s in self.sides)

    @property
    def proved(self) -> bool:
        """Whether all of it is: the saddle with index 1, both minima, the height."""
        return self.saddle.certificate.proves(1) and all(side.proved for side in self.sides)

    def plot(self, ax: Any = None) -> Any:
        """Draw f down both sides, with what is proved of it as bands."""
        from morsescape.figures import heights_figure

        names = (f"down to {side.minimum.value:.4g}" for side in self.sides)
        return heights_figure([(n, s.height) for n, s in zip(names, self.sides, strict=True)], ax)

    def __str__(self) -> str:
        low, high = self.height
        ends = " and ".join(f"{side.minimum.value:.8g}" for side in self.sides)
        certain = "proved" if self.proved else "not certified"
        return f"pass at f = {low:.10g} (+{high - low:.1g}), down to {ends}: {certain}"


def pass_over(f: Objective, saddle: CriticalPoint, *, seed: int = 0) -> Pass:
    """Both sides of a saddle, down to minima, with the height proved.

    Args:
        f: the landscape.
        saddle: of index 1, as `find_saddle` gives it.
        seed: of the searches for the minima.

    Example:
        >>> import torch, morsescape as ms
        >>> from morsescape.morse.sides import pass_over
        >>> f = ms.Objective.from_function(lambda t: (t[0] ** 2 - 1) ** 2 + t[1] ** 2, 2)
        >>> over = pass_over(f, ms.find_saddle(f, torch.tensor([0.1, 0.2]).double()))
        >>> over.proved, [round(float(s.minimum.theta[0])) for s in over.sides]
        (True, [1, -1])
    """
    problem = Counted(f)
    mode = lowest_modes(problem, saddle.theta, 1)[1][:, 0]
    mode = mode * (1.0 if float(mode[mode.abs().argmax()]) > 0 else -1.0)
    first, second = (_side(problem, saddle, way, seed) for way in (mode, -mode))
    return Pass(saddle, (first, second))


def _side(problem: Counted, saddle: CriticalPoint, mode: Tensor, seed: int) -> Side:
    f, top = problem.f, saddle.theta
    length = _OFF * span(top)
    for _ in range(_SHORTER):
        first = top + length * mode
        if problem.value(first) < saddle.value:
            break
        length /= 2
    sides = []
    for flowing in (False, True):
        line = [first]
        if flowing:
            metric = (metric_at(problem, top) if regime(f.dim).dense else None) or Euclidean()
            flow = descent_in_metrics(problem, first, metric, time=_TIME, rtol=_RTOL)
            line = list(flow.points.unbind())
        end = _searched(f, line, seed)
        for looks in _LOOKS:  # the proved height tells of a rise between the samples
            chain = torch.stack([top, *shortened(problem, line, looks)])
            side = Side(chain, height_below(f, chain, saddle.value), end)
            sides.append(side)
            low_enough = side.height.high <= saddle.value + 2 * _TOL * (1 + abs(saddle.value))
            if low_enough or side.height.estimate is not None:
                return side
    return min(sides, key=lambda side: side.height.high)


def _searched(f: Objective, line: list[Tensor], seed: int) -> CriticalPoint:
    """The minimum that a search finds from the end of a line, which it leads on."""
    end = find_critical_point(
        f, line[-1].clone(), seed=seed, callback=lambda theta, *_: line.append(theta.clone())
    )
    line.append(end.theta)
    return end


def height_below(f: Objective, chain: Float64[Tensor, "n D"], top: float) -> Height:
    """The height of a polygon that leads down from f = top, as narrow as sides are proved."""
    return height_of(f, Curve.chain(chain), tol=1e-12, least=_TOL * (1 + abs(top)))


def shortened(
    problem: Counted, vertices: list[Float64[Tensor, "D"]], looks: int = _LOOKS[0]
) -> list[Tensor]:
    """The first, the last, and as few between as keep f, sampled, at most what it is at the first.

    From each vertex straight to the farthest that can be reached so, found by bisection.
    """
    limit = problem.value(vertices[0])
    kept, here = [vertices[0]], 0
    while here < len(vertices) - 1:
        good, bad = here + 1, len(vertices)
        trial = bad - 1  # the last first
        while good < bad - 1:
            if _below(problem, vertices[here], vertices[trial], limit, looks):
                good = trial
            else:
                bad = trial
            trial = (good + bad) // 2
        here = good
        kept.append(vertices[here])
    return kept


def _below(problem: Counted, a: Tensor, b: Tensor, limit: float, looks: int) -> bool:
    inner = (k / (looks + 1) for k in range(1, looks + 1))
    return all(problem.value(a + t * (b - a)) <= limit for t in inner)
