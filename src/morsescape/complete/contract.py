r"""The critical points of f in a box X satisfy linear interval equations, which narrow the box.

With m in X and slopes S, ∇f(x) - ∇f(m) ∈ S (x - m) (Hess f(X), or narrower: see `enclosed`), every
critical point x in X has

    0 ∈ ∇f(m) + S (x - m),      0 ∈ C ∇f(m) + C S (x - m)

for any matrix C. Solving each equation for each variable in turn, with what is known of the others,
is the Gauss–Seidel form of the interval Newton method. Where the coefficient of a variable holds 0,
the quotient may be two rays, and the gap between them is where to split the box.

If the weighted norm max_i Σ_j |I - C Hess f(X)|_ij w_j / w_i, w > 0, is below 1, then every matrix
in Hess f(X) is regular, row by row, and X holds at most one critical point.

Source:
    Krawczyk, Computing 4 (1969); Moore, SIAM J. Numer. Anal. 14 (1977); Hansen & Sengupta, BIT 21
    (1981); Neumaier, Interval Methods for Systems of Equations (1990), chapter 5.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from morsescape.complete.intervals import Interval, above, below, product

_PASSES = 3  # through all equations


@dataclass(frozen=True, eq=False)
class Contracted:
    """What is left of boxes (B, D), with ends from the middle.

    Attributes:
        rest: of each box, empty where it holds no critical point.
        gap: a part of it, in one variable, that holds none; of width 0 where there is none.
        axis: that variable, (B,).
        share: the norm of I - C S in which the box is the unit ball, (B,).
    """

    rest: Interval
    gap: Interval
    axis: Tensor
    share: Tensor


def contracted(slopes: Interval, gradient: Interval, steps: Interval) -> Contracted:
    """Narrow boxes.

    Args:
        slopes: matrices S with ∇f(x) - ∇f(m) ∈ S (x - m) on the boxes, (B, D, D).
        gradient: ∇f(m), (B, D).
        steps: X - m, (B, D).
    """
    inverse = inverses(slopes)
    system = product(inverse, slopes)
    right = product(inverse, gradient[..., None])[..., 0]
    known = slopes.finite.flatten(1).all(1) & gradient.finite.all(1)
    rest = steps
    for _ in range(_PASSES):
        rest, gap, axis = _solved(_stacked(slopes, system), _stacked(gradient, right), rest)
    low = torch.where(known[:, None], rest.low, steps.low)
    high = torch.where(known[:, None], rest.high, steps.high)
    axis = torch.where(known, axis, 0)
    gap = gap.each(lambda x: torch.where(known, x, 0.0))
    share = torch.where(known, contraction(system, steps.mag), torch.inf)
    return Contracted(Interval(low, high), gap, axis, share)


def regular(hessian: Interval, radii: Tensor) -> Tensor:
    """Where every matrix in Hess f(X) is proved to be, so that X holds one critical point or none.

    Args:
        hessian: on boxes, (B, D, D).
        radii: weights of the norm, (B, D).
    """
    return (contraction(product(inverses(hessian), hessian), radii) < 1) & (
        hessian.finite.flatten(1).all(1)
    )


def inverses(hessian: Interval) -> Tensor:
    """Approximate inverses of the middles; the identity where there are none."""
    mid = (hessian.low / 2 + hessian.high / 2).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
    found, failed = torch.linalg.inv_ex(mid)
    good = (failed == 0) & found.isfinite().flatten(1).all(1) & (found.abs().amax((1, 2)) < 1e15)
    return torch.where(good[:, None, None], found, torch.eye(mid.shape[-1], dtype=mid.dtype))


def contraction(system: Interval, radii: Tensor) -> Tensor:
    """The norm of I - C S in which the box, or the cube, is the unit ball: the less, from above."""
    eye = torch.eye(system.low.shape[-1], dtype=torch.float64)
    off = (Interval(eye, eye) - system).mag
    scale = radii.amax(1, keepdim=True).clamp_min(1e-300)
    weights = (radii / scale).clamp_min(1e-6)
    by_box = ((off * weights[:, None, :]).sum(2) / weights).amax(1)
    least = torch.fmin(by_box, off.sum(2).amax(1))
    return least.nan_to_num(nan=torch.inf, posinf=torch.inf) * (1 + 1e-12)


def _stacked(a: Interval, b: Interval) -> Interval:
    return Interval(torch.cat([a.low, b.low], 1), torch.cat([a.high, b.high], 1))


def _solved(
    matrix: Interval, right: Interval, steps: Interval
) -> tuple[Interval, Interval, Tensor]:
    """Every equation for every variable: what is left, the widest gap and its variable."""
    terms = matrix * steps[:, None, :]  # (B, E, D)
    others = ~torch.eye(matrix.low.shape[-1], dtype=torch.bool)
    left_out = Interval(
        torch.where(others, terms.low[:, :, None, :], 0.0),
        torch.where(others, terms.high[:, :, None, :], 0.0),
    ).sum(-1)
    top = -(right[..., None] + left_out)
    low, high, gap = quotients(top, matrix, steps[:, None, :])
    rest = Interval(torch.maximum(steps.low, low.amax(1)), torch.minimum(steps.high, high.amin(1)))
    width = (gap.high - gap.low).clamp_min(0.0)
    share = width / (steps.high - steps.low).clamp_min(1e-300)[:, None, :]
    best = share.flatten(1).argmax(1, keepdim=True)
    ends = (x.flatten(1).gather(1, best)[:, 0] for x in (gap.low, gap.high))
    return rest, Interval(*ends), best[:, 0] % matrix.low.shape[-1]


def quotients(top: Interval, bottom: Interval, steps: Interval) -> tuple[Tensor, Tensor, Interval]:
    """All x in `steps` with bottom x = top, as bounds and a gap between them."""
    ends = [a / b for a in (top.low, top.high) for b in (bottom.low, bottom.high)]
    corners = torch.stack(ends)
    whole = Interval(below(corners.amin(0)), above(corners.amax(0)))
    # bottom holds 0 and top does not: x ≤ left or x ≥ right.
    positive, negative = top.low > 0, top.high < 0
    near = torch.where(positive, top.low, top.high)
    first = torch.where(positive, bottom.low, bottom.high)
    last = torch.where(positive, bottom.high, bottom.low)
    left = torch.where(first != 0, above(near / first), -torch.inf)
    right = torch.where(last != 0, below(near / last), torch.inf)
    no_left, no_right = left < steps.low, right > steps.high
    low = torch.where(no_left, right, -torch.inf)
    high = torch.where(no_right, left, torch.inf)
    between = ~no_left & ~no_right
    two = bottom.has_zero & (positive | negative)
    one = ~bottom.has_zero
    low = torch.where(one, whole.low, torch.where(two, low, -torch.inf))
    high = torch.where(one, whole.high, torch.where(two, high, torch.inf))
    split = two & between & (left < right)
    gap = Interval(torch.where(split, left, 0.0), torch.where(split, right, 0.0))
    return low, high, gap
