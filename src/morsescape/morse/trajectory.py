r"""Newton trajectories: from a minimum along the curve on which ∇f keeps its direction.

The solutions of

    ∇f(θ) = μ r

form a curve through a minimum, wherever [Hess f, -r] has full rank: its tangent (θ', μ') spans the
null space of that matrix, and at the minimum it leaves along H⁻¹ r. Where μ is 0 again there is
another critical point, generically of an index that differs by one. The curve is followed by its
arc length: a step along the tangent, then Newton's for ∇f - μ r and the tangent's plane. What
f is stiff in is solved at every step; a climb by the quadratic model, which sees the curvature of a
narrow bent valley only from its floor, would take steps as short as the floor is wide.

Source: Branin, IBM J. Res. Dev. 16 (1972) 504; Quapp, Hirsch, Imig & Heidrich, J. Comput. Chem. 19
(1998) 1087 (chemistry's reduced gradient following).
"""

from __future__ import annotations

import torch
from jaxtyping import Float64
from torch import Tensor

from morsescape.critical.climb import FAR, span
from morsescape.critical.evaluations import Counted

_STEPS = 150  # accepted or not
_NEWTON = 4  # corrections of a step
_ON = 0.1  # ‖∇f - μ r‖ against |μ|, on the curve
_TURN = 0.7  # least cosine between the tangents of two steps
_GROW, _SHRINK, _QUICK = 1.6, 2.5, 2  # step factors, and corrections after which it grows


def to_the_next(
    problem: Counted, theta: Float64[Tensor, "D"], mode: Float64[Tensor, "D"], first: float
) -> tuple[Tensor, Tensor] | None:
    """Near the next critical point on the trajectory that leaves θ along a mode.

    Args:
        problem: the landscape.
        theta: a minimum.
        mode: unit eigenvector of Hess f(θ): r, and the first tangent.
        first: length of the first step.

    Returns:
        The point before μ = 0 or after it, which is nearer, and the tangent there; None if the
        curve was not followed so far.
    """
    here, mu, length = theta, 0.0, first
    curve = _Curve(problem.hessian_at(theta).dense(), mode, torch.cat([mode, mode.new_zeros(1)]))
    for _ in range(_STEPS):
        found = curve.next(problem, here, mu, length)
        if found is None:
            length /= _SHRINK
            continue
        end, end_mu, following, corrections = found
        if mu > 0 >= end_mu or mu < 0 <= end_mu:
            nearer = (here, curve) if abs(mu) < abs(end_mu) else (end, following)
            return nearer[0], nearer[1].tangent[:-1]
        here, mu, curve = end, end_mu, following
        length *= _GROW if corrections <= _QUICK else 1.0
        if not float((here - theta).norm()) <= FAR * span(theta):
            return None
    return None


class _Curve:
    """The trajectory at one of its points.

    Attributes:
        tangent: (θ', μ'), ‖θ'‖ = 1, turned like the one before.
    """

    def __init__(self, hessian: Tensor, r: Tensor, before: Tensor) -> None:
        self.r = r
        last = torch.zeros_like(before)
        last[-1] = 1.0
        tangent = _solved(hessian, r, before, last)
        self.tangent = tangent / tangent[:-1].norm()

    def next(
        self, problem: Counted, here: Tensor, mu: float, length: float
    ) -> tuple[Tensor, float, _Curve, int] | None:
        """The point about this far on: θ, μ, the curve there, and the corrections it took.

        None where Newton's steps, in the plane across the tangent, do not lead to the curve, and
        where that turned too much.
        """
        theta, mu = here + length * self.tangent[:-1], mu + length * float(self.tangent[-1])
        across = torch.cat([self.tangent[:-1], self.tangent.new_zeros(1)])
        for done in range(_NEWTON + 1):
            off = problem.value_and_gradient(theta)[1] - mu * self.r
            hessian = problem.hessian_at(theta)
            if not (bool(off.isfinite().all()) and hessian.finite):
                return None
            if float(off.norm()) <= _ON * abs(mu):
                after = _Curve(hessian.dense(), self.r, self.tangent)
                turned = float(after.tangent[:-1] @ self.tangent[:-1])
                return (theta, mu, after, done) if turned >= _TURN else None
            right = -torch.cat([off, off.new_zeros(1)])
            step = _solved(hessian.dense(), self.r, across, right)
            if not float(step[:-1].norm()) <= length:
                return None
            theta, mu = theta + step[:-1], mu + float(step[-1])
        return None


def _solved(hessian: Tensor, r: Tensor, row: Tensor, right: Tensor) -> Tensor:
    """What [H, -r; row] takes to the right side."""
    bordered = torch.cat([torch.cat([hessian, -r[:, None]], 1), row[None]])
    return torch.linalg.solve_ex(bordered, right)[0]
