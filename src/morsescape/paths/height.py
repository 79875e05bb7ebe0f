r"""The height of a curve: a proved interval for the largest f on it.

From below f at the best of the points that were looked at, less its rounding. From above by
intervals: φ(t) = f(γ(t)) is a function of one variable, and on [c - r, c + r]

    φ(c + s) ≤ φ(c) + |φ′(c)| |s| + s²/2 sup φ″       where φ is twice differentiable,
    φ(c + s) ≤ φ(c) + |s| sup |φ′|                    with Clarke's derivative, anywhere,

with φ(c), φ′(c) and the two suprema enclosed (`enclosed`). Intervals whose bound is too high are
halved until none is above the largest value found by more than a tolerance. A peak between two
samples, however narrow, keeps the bound above it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from morsescape.boundary import a_number, checked, instance
from morsescape.errors import ArgumentError
from morsescape.objective import Objective
from morsescape.paths.curve import Curve
from morsescape.paths.enclosed import Interval, Piece, pieces_on
from morsescape.progress import StageProgress
from morsescape.rounding.balls import NoErrorRule
from morsescape.rounding.floats import down, up
from morsescape.rounding.program import NotTraceable
from morsescape.spectrum.index_bound import structure_of
from morsescape.store.codec import Saved

_START = 4  # intervals of each piece
_HALVINGS = 48
_MOST = 2_000  # intervals of one piece: beyond it, what is too high stays so
_TINY, _JUMPS = 2.0**-9, 64  # so many short intervals of which nothing is known are too many
_SAMPLES = 61  # where nothing can be proved
_SAME = 1e-6  # of f: what its program and f itself may differ by beyond the radius
_FLOOR = 1e-6  # of the height: no tolerance is smaller
_ROUNDINGS = 1e3  # nor than so many times what f at the ends is known to


@dataclass(frozen=True)
class Height(Saved):
    """How high f rises on a curve.

    Attributes:
        low, high: the largest f on the curve is between them; proved unless `estimate` is set.
        ends: f at both ends, as intervals.
        at: where on the curve f is at least `low`, t in [0, 1].
        tolerance: what high - low was asked to be at most.
        bounds: (t0, t1, upper bound on f between) for all intervals, in order of t.
        samples: (t, lower bound on f there).
        evaluations: passes over all samples, each on one interval.
        kinked: intervals on which f may have a kink.
        estimate: why it is none: the operation of which nothing is known. Then both numbers are
            the largest of samples.
    """

    low: float
    high: float
    ends: tuple[Interval, Interval]
    at: float
    tolerance: float
    bounds: tuple[tuple[float, float, float], ...] = ()
    samples: tuple[tuple[float, float], ...] = ()
    evaluations: int = 0
    kinked: int = 0
    estimate: str | None = None

    @property
    def barrier(self) -> Interval:
        """The rise above the higher end, max f - max(f(a), f(b)): an interval, at least 0."""
        low = self.low - max(end[1] for end in self.ends)
        high = self.high - max(end[0] for end in self.ends)
        return (down(low) if low > 0 else 0.0), (up(high) if high > 0 else 0.0)

    @property
    def reached(self) -> bool:
        """Whether the interval is as narrow as was asked."""
        return self.high - self.low <= self.tolerance

    def plot(self, ax: Any = None) -> Any:
        """Draw f along the curve, with what is proved of it as a band."""
        from morsescape.figures import heights_figure

        return heights_figure([("f", self)], ax)

    def __str__(self) -> str:
        if self.estimate:
            return f"about {self.low:.6g} (estimate: the largest of samples; {self.estimate})"
        short = "" if self.reached else ", wider than asked"
        return f"between {self.low:.8g} and {self.high:.8g}, proved{short}"


@checked(
    f=instance(Objective, "ms.Objective(model, loss, data) makes a landscape"),
    curve=instance(Curve, "Curve.chain(points) makes one, ms.connect finds one"),
    tol=a_number(above=0), least=a_number(above=0),
)  # fmt: skip
def height_of(
    f: Objective,
    curve: Curve,
    *,
    tol: float = 0.01,
    least: float | None = None,
    smooth: bool = False,
    progress: StageProgress | None = None,
) -> Height:
    """Prove how high f rises on a curve.

    Args:
        f: the landscape, any objective: `f.at_l2(0.0)` for the loss without its ridge, one with
            test data for the height of the test loss.
        curve: of the same number of variables.
        tol: how wide the interval may be, as a share of the barrier (the rise above the higher
            end); never below `least`.
        least: the narrowest that is asked for, in units of f; None is a millionth of the height, or
            1,000 times the width to which f is known at the ends where that is more.
        smooth: refuse an f with kinks, instead of bounding it by its slopes.
        progress: told how many pieces are done.

    Raises:
        ArgumentError: another number of variables; kinks where a smooth proof was asked for.

    Source:
        Second-order bounds along a segment: Taylor's formula in intervals (Rump, Acta Numerica 19
        (2010), section 11); Clarke, Optimization and Nonsmooth Analysis (1983), for kinks.

    Example:
        >>> import torch, morsescape as ms
        >>> needle = lambda t: 1e-3 * t[0] + torch.exp(-((t[0] - 0.508) / 1e-3) ** 2)
        >>> f = ms.Objective.from_function(needle, 1)
        >>> line = Curve.chain(torch.tensor([[0.0], [1.0]]).double())
        >>> max(f.value(line(k / 60)) for k in range(61)) < 0.01  # 61 samples miss it
        True
        >>> height = height_of(f, line)
        >>> height.low > 0.99, height.high < 1.02
        (True, True)
    """
    if curve.dim != f.dim:
        raise ArgumentError(
            "curve", expected=f"points of {f.dim} variables, as f has", got=f"{curve.dim}",
            cure="take the objective that the curve was made for",
        )  # fmt: skip
    rough = structure_of(f.source).not_smooth if smooth else ()
    if rough:
        raise ArgumentError(
            "smooth", expected="an f without kinks for a proof by second derivatives",
            got=f"one that uses {', '.join(rough)}", cure="leave it out: slopes bound kinks too",
        )  # fmt: skip
    try:
        return _Proof(f, curve, tol, least, progress).run()
    except (NoErrorRule, NotTraceable) as missing:
        return _sampled(f, curve, tol, f"nothing is known of {missing} along a curve")


class _Proof:
    """Intervals halved until none is too high."""

    def __init__(
        self, f: Objective, curve: Curve, tol: float, least: float | None,
        progress: StageProgress | None,
    ) -> None:  # fmt: skip
        self.f, self.curve, self.tol, self.least = f, curve, tol, least
        self.progress = progress
        self.low, self.at, self.evaluations = -math.inf, 0.0, 0
        self.done: list[tuple[int, Piece]] = []

    def run(self) -> Height:
        n = len(self.curve.pieces)
        first = [self._look(k, _split(_START)) for k in range(n)]
        left, right = self._look(0, [(0.0, 0.0)])[0], self._look(n - 1, [(1.0, 0.0)])[0]
        ends = left.value, right.value
        self._compare([(0, left), (n - 1, right), *((k, parts[_START // 2]) for k, parts in
                                                    enumerate(first))])  # fmt: skip
        top = max(end[1] for end in ends)
        self.rounding = max(end[1] - end[0] for end in ends)
        # The highest first: what they find spares the others.
        order = sorted(range(n), key=lambda k: -max(p.lower for p in first[k]))
        for done, k in enumerate(order):
            self._refine(k, first[k], top)
            if self.progress is not None:
                self.progress(done + 1, n)
        return self._height(ends, top)

    def _look(self, piece: int, intervals: list[tuple[float, float]]) -> list[Piece]:
        found = pieces_on(self.f, self.curve.pieces[piece], intervals)
        self.evaluations += len(found)
        for p in found:
            if p.lower > self.low:
                self.low, self.at = p.lower, (piece + p.c) / len(self.curve.pieces)
        return found

    def _compare(self, some: list[tuple[int, Piece]]) -> None:
        """Ask f itself: what it does past torch is not in its program, and would pass unseen.

        Raises:
            NoErrorRule: f is not what its program says.
        """
        for k, p in some:
            t, (low, high) = (k + p.c) / len(self.curve.pieces), p.value
            point = self.curve(t)
            value = self.f.value(point)
            off, size = max(low - value, value - high), max(abs(value), abs(low), abs(high))
            if not (math.isfinite(size) and off > _SAME * size):
                continue
            nearby = abs(self.f.value(point * (1 + 2.0**-50)) - value)  # the point is rounded
            if off > _SAME * size + 100 * nearby:
                raise NoErrorRule(f"what f does past torch (at t = {t:.4g} it is {value:.6g})")

    def _tolerance(self, top: float) -> float:
        floor = max(_FLOOR * abs(self.low), _ROUNDINGS * self.rounding)  # where f is 0, the latter
        least = floor if self.least is None else self.least
        return max(self.tol * max(0.0, self.low - top), least, 1e-300)

    def _refine(self, piece: int, todo: list[Piece], top: float) -> None:
        count = len(todo)
        for _ in range(_HALVINGS):
            limit = self.low + self._tolerance(top)
            high = [p for p in todo if not p.upper <= limit]
            self.done += [(piece, p) for p in todo if p.upper <= limit]
            unknown = [p.why for p in high if p.why and p.r < _TINY]
            if len(unknown) > _JUMPS:
                raise NoErrorRule(f"{unknown[0]} (at many t)")
            room = max(0, (_MOST - count) // 2)  # the highest first, where there is not enough
            high.sort(key=lambda p: -p.upper)
            self.done += [(piece, p) for p in high[room:]]
            high = high[:room]
            if not high:
                return
            halves = [(p.c + side * p.r / 2, p.r / 2) for p in high for side in (-1, 1)]
            todo, count = self._look(piece, halves), count + len(halves)
        self.done += [(piece, p) for p in todo]

    def _height(self, ends: tuple[Interval, Interval], top: float) -> Height:
        n = len(self.curve.pieces)
        every = sorted(self.done, key=lambda kp: (kp[0], kp[1].c))
        for k, p in every:
            if not math.isfinite(p.upper):
                why = p.why or "how steep f is"
                raise NoErrorRule(f"{why} (near t = {(k + p.c) / n:.4g})")
        high = max(max(p.upper for _, p in every), *(end[1] for end in ends))
        return Height(
            low=self.low, high=high, ends=ends, at=self.at, tolerance=self._tolerance(top),
            bounds=tuple(((k + p.c - p.r) / n, (k + p.c + p.r) / n, p.upper) for k, p in every),
            samples=tuple(((k + p.c) / n, p.lower) for k, p in every),
            evaluations=self.evaluations,
            kinked=sum(not math.isfinite(p.bends[1]) for _, p in every),
        )  # fmt: skip


def _split(n: int) -> list[tuple[float, float]]:
    """[0, 1] in n intervals (c, r), n a power of 2, so that all are exact."""
    return [((2 * k + 1) / (2 * n), 1 / (2 * n)) for k in range(n)]


def unproved(f: Objective, curve: Curve) -> Height:
    """The largest of samples, where no proof was asked for."""
    return _sampled(f, curve, 0.0, "no proof was asked for")


def _sampled(f: Objective, curve: Curve, tol: float, why: str) -> Height:
    times = sample_times(curve)
    values = [f.value(curve(t)) for t in times]
    best = max(range(len(times)), key=lambda k: values[k])
    ends = (values[0], values[0]), (values[-1], values[-1])
    return Height(
        values[best], values[best], ends, times[best], tol,
        samples=tuple(zip(times, values, strict=True)), evaluations=len(times), estimate=why,
    )  # fmt: skip


def sample_times(curve: Curve, least: int = _SAMPLES) -> Sequence[float]:
    """At least so many equal steps, with all joints among them."""
    n = len(curve.pieces)
    each = max(1, math.ceil((least - 1) / n))
    return [float(t) for t in torch.linspace(0, 1, n * each + 1, dtype=torch.float64)]
