r"""Along the floors of valleys: from a minimum to where f stops rising.

A point is on the floor of a valley with direction r, a unit eigenvector of Hess f there, where f is
stationary across it, so that ∇f = μ r (a gradient extremal). From a minimum, where μ is 0, the
floor is followed by its arc length: a step along r and its turn, then Newton's in the plane across
r, then the eigenvector that overlaps most with r. Where μ is 0 again there is another critical
point; where the floor was followed along a soft mode, generically a pass. What f is stiff in is
solved at every step: a climb by the quadratic model, which sees the curvature of a narrow bent
valley only from its floor, would take steps as short as the floor is wide.

Several floors are followed at once, always that on which f is lowest, as water rises: which of two
ways out of a minimum ends at a pass is not known before, and the other may rise for ever.

Source: Crippen & Scheraga, Arch. Biochem. Biophys. 144 (1971) 462 (uphill along a mode, least
across it); Hoffman, Nord & Ruedenberg, Theor. Chim. Acta 69 (1986) 265 (gradient extremals);
Quapp, Hirsch, Imig & Heidrich, J. Comput. Chem. 19 (1998) 1087 (the direction follows the curve).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from morsescape.critical.climb import FAR, span
from morsescape.critical.evaluations import Counted

_STEPS = 240  # on all floors, accepted or not
_NEWTON = 3  # corrections of a step
_CHORDS = 2  # more, without another Hessian
_ON = 0.05  # length of a correction against that of the step, before the last
_PARABOLAS = 3  # through three points of a floor, for its top
_TURN = 0.7  # least cosine between the directions of two points
_SHORTEST = 1e-3  # step, against the longest before, with which a floor is left
_GROW, _SHRINK, _QUICK = 1.6, 2.5, 1  # step factors, and corrections after which it grows


def passes_along(
    problem: Counted, theta: Float64[Tensor, "D"], modes: Sequence[Float64[Tensor, "D"]],
    first: Sequence[float],
) -> Iterator[tuple[Tensor, Tensor]]:  # fmt: skip
    """Near the critical points that the floors of valleys lead to, and their directions there.

    Args:
        problem: the landscape.
        theta: a minimum.
        modes: unit eigenvectors of Hess f(θ), turned outwards.
        first: lengths of the first steps.
    """
    floors = [_Floor(problem, theta, *way) for way in zip(modes, first, strict=True)]
    for _ in range(_STEPS):
        if not floors:
            return
        lowest = min(floors, key=lambda floor: floor.here.value)
        end = lowest.step()
        if end is not None:
            yield end.theta, end.r
        if lowest.left:
            floors.remove(lowest)


@dataclass(frozen=True, eq=False)
class _At:
    """A point of a floor: θ, its unit direction there, f, and the corrections that led to it."""

    theta: Tensor
    r: Tensor
    value: float
    corrections: int = 0


class _Floor:
    """One of them, followed so far.

    Attributes:
        here: the last point of it, and `before` the one before, as far off as `back`.
        turn: dr/ds, by the difference of the last two directions.
        rank: of r's eigenvalue at the minimum: it may fall below others, none may fall below it.
        longest: of the steps so far.
        left: whether it is followed no farther.
    """

    def __init__(self, problem: Counted, theta: Tensor, mode: Tensor, length: float) -> None:
        self.problem, self.start, self.length, self.longest = problem, theta, length, length
        self.here = self.before = _At(theta, mode, problem.value(theta))
        self.back, self.turn, self.left = 0.0, torch.zeros_like(mode), False
        self.rank = _most_like(problem.hessian_at(theta).eigh()[1], mode)[0]

    def step(self) -> _At | None:
        """One farther, if it can be; where f falls, the top of the floor between."""
        end = self._next(self.length)
        if end is None:
            self.length /= _SHRINK
            self.left = self.length < _SHORTEST * self.longest
            return None
        # f, not μ: a point δ beside the floor, where f is stiff by k, has a slope wrong by k δ and
        # an f by k δ²/2; and f has to have risen, as the start may be beside the minimum
        if end.value < self.here.value and self.before.value < self.here.value:
            self.left = True
            return self._top(end)
        self.turn = (end.r - self.here.r) / self.length
        self.before, self.here, self.back = self.here, end, self.length
        self.longest = max(self.longest, self.length)
        self.length *= _GROW if end.corrections <= _QUICK else 1.0
        self.left = not float((end.theta - self.start).norm()) <= FAR * span(self.start)
        return None

    def _top(self, end: _At) -> _At:
        """Where f is highest, by parabolas: through the last point, one before and one behind."""
        found = [(-self.back, self.before), (0.0, self.here), (self.length, end)]
        for _ in range(_PARABOLAS):
            found.sort(key=lambda at: at[0])
            best = max(range(len(found)), key=lambda k: found[k][1].value)
            if not 0 < best < len(found) - 1:
                break
            (s, a), (t, b), (u, c) = found[best - 1 : best + 2]
            left, right = (b.value - a.value) / (t - s), (c.value - b.value) / (u - t)
            at = (s + t) / 2 + left * (u - s) / 2 / max(left - right, 1e-300)
            nearer = self._next(at) if s < at < u and at != 0 else None
            if nearer is None:
                break
            found.append((at, nearer))
        return max((at for _, at in found), key=lambda at: at.value)

    def _next(self, length: float) -> _At | None:
        """The point of the floor about this far on.

        None where Newton's steps do not lead to it, where it turned too much, and where it is no
        longer as soft as it was.
        """
        here, reach = self.here, abs(length)
        theta = here.theta + length * here.r + length**2 / 2 * self.turn
        for done in range(_NEWTON + 1):
            gradient = self.problem.value_and_gradient(theta)[1]
            hessian = self.problem.hessian_at(theta)
            if not (bool(gradient.isfinite().all()) and hessian.finite):
                return None
            step = _across(hessian.dense(), gradient, here.r)
            size = float(step.norm())
            if not size <= reach:
                return None
            theta = theta + step
            if size <= _ON * reach:
                rank, r = _most_like(hessian.eigh()[1], here.r)
                if rank > self.rank or float(r @ here.r) < _TURN:
                    return None
                return self._settled(theta, r, hessian.dense(), done)
        return None

    def _settled(self, theta: Tensor, r: Tensor, hessian: Tensor, corrections: int) -> _At:
        """The point brought nearer to the floor; f there by its model, as beside it f is stiff."""
        for _ in range(_CHORDS):
            value, gradient = self.problem.value_and_gradient(theta)
            step = _across(hessian, gradient, self.here.r)
            theta = theta + step
        return _At(theta, r, value + 0.5 * float(gradient @ step), corrections)


def _most_like(vectors: Float64[Tensor, "D D"], r: Tensor) -> tuple[int, Tensor]:
    """The place of the eigenvector that overlaps most with r, and it, turned like r."""
    overlaps = vectors.t() @ r
    place = int(overlaps.abs().argmax())
    return place, vectors[:, place] * (1.0 if float(overlaps[place]) > 0 else -1.0)


def _across(hessian: Tensor, gradient: Tensor, r: Tensor) -> Tensor:
    """Newton's step to where f is stationary in the plane through θ across r."""
    bordered = torch.cat(
        [torch.cat([hessian, -r[:, None]], 1), torch.cat([r, r.new_zeros(1)])[None]]
    )
    off = gradient - (gradient @ r) * r
    return torch.linalg.solve_ex(bordered, -torch.cat([off, off.new_zeros(1)]))[0][:-1]
