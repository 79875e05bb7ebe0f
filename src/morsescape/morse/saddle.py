"""`ms.find_saddle`: critical points of index exactly 1, proved, or why there is none."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from morsescape.boundary import a_count, a_number, a_progress, a_seed, a_vector, checked, instance
from morsescape.critical.climb import FAR, Climb, lowest_modes, span
from morsescape.critical.diagnose import diagnose
from morsescape.critical.find import Find
from morsescape.critical.loop import Point, Stop
from morsescape.critical.result import CriticalPoint, SearchStatus
from morsescape.errors import ArgumentError
from morsescape.hessian.regime import regime
from morsescape.morse.bisection import Bisection, bottom
from morsescape.morse.valley_floor import passes_along
from morsescape.morse.ways_out import Valley, valleys
from morsescape.objective import Objective
from morsescape.paths.connect import aligned, coincide
from morsescape.paths.path import Path
from morsescape.progress import Asked, Progress, stage

_GAP = 1.0  # four first trust radii, against 1 + a tenth of the size of θ
_KEEP = 8  # steps with one Hessian at first, where another start costs little
_KICK = 0.05  # the same for a step off a critical point
_LEAVES = 4  # critical points of another index left on the way from one start
_TRIES = 6  # ways out of a minimum that are climbed
_FIRST = 1  # of them before the floor of the softest valley is followed, which costs as some do
_ROOM = 1.0  # f may rise so many times as far above the start as that is above the lower end


@dataclass(frozen=True)
class Start:
    """Where eigenvector-following begins.

    Attributes:
        theta: near the pass.
        mode: to go up, where no curvature is negative.
        floor: f at the bottom, from which a ceiling is reckoned; None for no ceiling.
        keep: steps with one Hessian.
    """

    theta: Tensor
    mode: Tensor
    floor: float | None
    keep: int = 0


def _a_start(argument: Any) -> Any:
    value = argument.value
    if isinstance(value, (CriticalPoint, Path)):
        return value
    if isinstance(value, (tuple, list)) and len(value) == 2:
        points = [v.theta if isinstance(v, CriticalPoint) else torch.as_tensor(v) for v in value]
        for k, point in enumerate(points):
            argument.others["f"].check(point, f"start[{k}]", finite=True)
        return tuple(points)
    return a_vector("f", finite=True)(argument)


@checked(
    f=instance(Objective, "ms.Objective(model, loss, data) makes one"), start=_a_start,
    tol=a_number(above=0), max_steps=a_count(1, words="a positive number"), seed=a_seed(),
    progress=a_progress(),
)  # fmt: skip
def find_saddle(
    f: Objective,
    start: Float64[Tensor, "D"] | CriticalPoint | Path | tuple[Any, Any],
    *,
    tol: float = 1e-9,
    max_steps: int = 80,
    seed: int = 0,
    progress: Asked = None,
) -> CriticalPoint:
    """A critical point of index exactly 1, a pass of f, with its certificate.

    ================== ========================================================================
    start              where eigenvector-following begins
    ================== ========================================================================
    two minima         near the boundary of a basin: the segment between them (the second moved
                       next to the first by a symmetry of f) is bisected by the minimum in which
                       a descent ends, and the descent is left where it lingers
    a path             its highest point
    a minimum          a little off it, or farther, along the valleys with the lowest passes by a
                       quartic model (`morse.ways_out`, `morse.valley_floor`)
    a saddle of higher a little off it along its second negative direction (the midpoint of a
    index              network and its permuted copy lies on a plane of symmetry, where gradients
                       stay: such points attract there)
    any other point    itself; then where f falls to from it, as from a critical point
    ================== ========================================================================

    From there steps go up along the lowest mode and down along all others, by the exact Hessian
    (up to 12,000 variables; products above), until ‖∇f‖ ≤ tol; then Newton's, then the certificate.
    A critical point of another index on the way is left.

    Args:
        f: the landscape, twice differentiable.
        start: see above.
        tol: on ‖∇f‖.
        max_steps: of each climb.
        seed: of random directions.
        progress: True for bars, or called as progress(stage, done, total).

    Returns:
        The point; a pass if its `index` is 1, with the certainty that the certificate states.
        Otherwise the status and the reason say what was in the way.

    Raises:
        ArgumentError: a start of the wrong shape; two ends that are one network up to symmetry.

    Source:
        Skufca, Yorke & Eckhardt, Phys. Rev. Lett. 96 (2006) 174101 (the boundary of a basin leads
        to a point of index 1); Cerjan & Miller (1981), Baker (1986) (eigenvector-following); Yin,
        Zhang & Zhang, SIAM J. Sci. Comput. 41 (2019) (downward from higher index).

    Example:
        >>> import torch, morsescape as ms
        >>> f = ms.zoo.himmelblau.objective()
        >>> a, b = torch.tensor([3.0, 2.0]).double(), torch.tensor([3.58, -1.85]).double()
        >>> saddle = ms.find_saddle(f, (a, b))
        >>> saddle.index, round(saddle.value, 6), saddle.certificate.status.name
        (1, 13.311926, 'PROVED')
    """
    assert progress is not True
    if isinstance(start, tuple):
        start = _next_to_each_other(f, *start, seed)
    search = SaddleSearch(f, start, seed, progress, tol, max_steps)
    return search.run(_first(start).detach().clone())


def _next_to_each_other(f: Objective, a: Tensor, b: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    copy, _ = aligned(f, a, b, seed)
    if coincide(a, copy):
        raise ArgumentError(
            "start", expected="two minima that no symmetry of f makes one",
            got="one network, twice", cure="search for another minimum from another seed",
        )  # fmt: skip
    return a, copy


def _first(start: Any) -> Tensor:
    if isinstance(start, tuple):
        return start[0]
    if isinstance(start, Path):
        return start(start.height.at)
    return start.theta if isinstance(start, CriticalPoint) else start


class SaddleSearch(Find):
    """A search for a point of index 1: starts are tried until one leads to it."""

    def __init__(
        self, f: Objective, start: Any, seed: int, progress: Progress | None, tol: float,
        max_steps: int,
    ) -> None:  # fmt: skip
        super().__init__(f, seed, progress, None, "saddle", "eigenvector-following", tol, max_steps)
        self.start = start
        self.climb = Climb(self.problem)

    def rounds(self) -> tuple[Point, SearchStatus]:
        """The starts in turn, until one is good."""
        whys = []
        for start in self._starts():
            point, why = self._from(start)
            if not why:
                status = self._judged_pass(point)
                if status is SearchStatus.SADDLE and self.certificate.index == (1, 1):
                    return point, status
                why = status.value if status is not SearchStatus.SADDLE else "of another index"
            whys.append(why)
            self.latest = point
        point = self.latest
        self._judged_pass(point)
        self.reason = "; ".join(dict.fromkeys(whys))
        return point, SearchStatus.NO_PASS

    def _judged_pass(self, point: Point) -> SearchStatus:
        self.signs, self.certificate = self._judge(point)
        return diagnose(self.problem, point, Stop.CONVERGED, self.certificate, self.seed)

    def _from(self, start: Start) -> tuple[Point, str]:
        """Climb, leave what is of another index, and climb again."""
        theta, mode = start.theta, start.mode
        size = span(theta)
        ceiling = math.inf
        if start.floor is not None:
            value = self.problem.value(theta)
            ceiling = value + _ROOM * max(value - start.floor, 1e-6 * (1 + abs(value)))
        for _ in range(_LEAVES):
            climbed = self.climb(
                theta, mode, gap=_GAP * size, ceiling=ceiling, tol=self.tol,
                max_steps=self.max_steps, keep=start.keep,
                reach=FAR * size if start.keep else math.inf,
            )  # fmt: skip
            self.steps += 1
            point = climbed.point
            if not climbed.why:
                return self._newton(point, definite=False), ""
            if point.norm > self.tol:
                return point, climbed.why
            values, vectors = self._two_lowest(point.theta)
            across = int((values < 0).sum() == 2)  # at a minimum there is none to go down along
            theta, mode = point.theta + _KICK * size * vectors[:, across], vectors[:, 0]
        return point, climbed.why

    def _two_lowest(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        return lowest_modes(self.problem, theta, 2, self.seed, self.climb.anchor)

    # -- where to begin ---------------------------------------------------------------------------

    def _starts(self) -> Iterator[Start]:
        start = self.start
        if isinstance(start, tuple):
            yield from self._between(*start)
        elif isinstance(start, Path):
            t, h = start.height.at, 0.5 / len(start.pieces)
            tangent = start(min(1.0, t + h)) - start(max(0.0, t - h))
            yield Start(start(t), tangent, min(end[0] for end in start.height.ends))
        else:
            theta = start.theta if isinstance(start, CriticalPoint) else start
            starts = []
            for around in self._around(theta):
                if around.keep:
                    starts.append(replace(around, keep=0))
                yield around
            yield from starts  # what fails costs little, and is tried again with more care

    def _between(self, a: Tensor, b: Tensor) -> Iterator[Start]:
        floor = min(self.problem.value(a), self.problem.value(b))
        for theta in Bisection(self.problem, a, b, stage(self.progress, "bisection")).starts():
            yield Start(theta, b - a, floor)

    def _around(self, theta: Tensor) -> Iterator[Start]:
        point = Point.at(self.problem, theta)
        values, vectors = self._two_lowest(theta)
        size = span(theta)
        if point.norm > 1e-6 * size * max(float(values.abs().max()), 1e-300):
            yield Start(theta, vectors[:, 0], None, keep=_KEEP)
            theta = bottom(self.problem, point, self.tol)
            size = span(theta)
            values, vectors = self._two_lowest(theta)
        negative = int((values < 0).sum())
        if negative >= 2:
            for sign in (1, -1):
                off = theta + sign * _KICK * size * vectors[:, 1]
                yield Start(off, vectors[:, 0], None, keep=_KEEP)
        elif negative == 1:
            yield Start(theta, vectors[:, 0], None, keep=_KEEP)
        else:
            yield from self._out_of(theta)

    def _out_of(self, theta: Tensor) -> Iterator[Start]:
        """A little up the likeliest valleys; along the softest's floor; at their models' passes."""
        found = valleys(self.problem, theta, self.climb.anchor, self.seed)
        ways = found[:_TRIES]
        starts = [Start(way.at(_near(way)), way.mode, None, keep=_KEEP) for way in ways]
        yield from starts[:_FIRST]
        yield from self._on_floors(theta, found)
        yield from starts[_FIRST:]
        for way in ways:
            if _near(way) < way.distance < math.inf:
                yield Start(way.at(way.distance), way.mode, None, keep=_KEEP)

    def _on_floors(self, theta: Tensor, ways: list[Valley]) -> Iterator[Start]:
        """Where the floor of the softest valley leads, both ways."""
        softest = min(ways, key=lambda way: way.curvature)
        if regime(self.problem.dim).eigenpairs and softest.curvature < math.inf:
            both = [way for way in ways if way.curvature == softest.curvature]
            modes, first = [way.mode for way in both], [_near(way) for way in both]
            for end in passes_along(self.problem, theta, modes, first):
                yield Start(*end, None)


def _near(way: Valley) -> float:
    """How far up a valley is a little, and no farther than its model's pass."""
    return min(_KICK * span(way.minimum), way.distance)
