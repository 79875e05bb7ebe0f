"""f along one Bézier piece: value and derivatives by t, enclosed on intervals of t.

Only t is a ball (see `rounding.jets`). What depends on t polynomially (the parameters, and what is
linear in them) is computed once for the piece, the rest for each interval and chunk of samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from morsescape.hessian.layers import linear_layers
from morsescape.model.samples import count
from morsescape.model.source import Source
from morsescape.objective import Objective
from morsescape.rounding.along import Along
from morsescape.rounding.balls import Ball
from morsescape.rounding.floats import down, tiny, up
from morsescape.rounding.jets import Jet, Undecided, aten, carried, ends
from morsescape.rounding.program import OfOneChunk, record, record_chunk

_LEAST = tiny(torch.float64)
_NUMBERS = 2**22  # of the widest layer in one run: beyond it memory rules
Interval = tuple[float, float]


@dataclass(frozen=True)
class Piece:
    """What is known of φ(t) = f(γ(t)) on [c - r, c + r], every interval proved.

    Attributes:
        c, r: the interval of t, within [0, 1].
        value, slope: φ(c) and φ′(c).
        slopes, bends: φ′ and φ″ on the whole interval; φ″ is unbounded where there are kinks.
        why: all are, for this reason: a decision or a formula on an interval that is too wide.
    """

    c: float
    r: float
    value: Interval
    slope: Interval
    slopes: Interval
    bends: Interval
    why: str = ""

    @property
    def upper(self) -> float:
        """A bound on φ over the interval, by Taylor's formula or the mean value.

        φ(c + s) ≤ φ(c) + |φ′(c)| |s| + M s²/2, M ≥ φ″; and φ(c) + max(0, ±φ′) |s|.
        """
        v, r, (low, high) = self.value[1], self.r, self.slopes
        mean = up(v + up(max(0.0, high, -low) * r))
        g, m = max(map(abs, self.slope)), self.bends[1]
        if not math.isfinite(m):
            return mean
        # Of g s + m s²/2 on [0, r] the top is at r, or, where m < 0, perhaps at s = g/|m| before.
        rise = g * (g / (-2 * m)) if m < 0 and g < -m * r else g * r + m * r * r / 2
        own = (
            2.0**-48 * (abs(v) + g * r + abs(m) * r * r) + _LEAST
        )  # its own rounding, and underflow
        taylor = v + rise + own
        return min(mean, up(taylor))

    @property
    def lower(self) -> float:
        """φ(c) is at least this."""
        return self.value[0]


_ANYTHING = (-math.inf, math.inf)
UNKNOWN = Piece(0.0, 0.0, _ANYTHING, _ANYTHING, _ANYTHING, _ANYTHING)


def pieces_on(
    f: Objective, points: Tensor, intervals: Sequence[tuple[float, float]]
) -> list[Piece]:
    """φ on some intervals (c, r) of one Bézier piece with control points (k + 1, D).

    Raises:
        NoErrorRule, NotTraceable: nothing can be proved of this f, and by what operation.
    """
    polynomial = coefficients(points)
    sums: list[list[Jet]] = [[] for _ in intervals]
    why = [""] * len(intervals)
    for along in _programs(f, polynomial):
        for k, (c, r) in enumerate(intervals):
            try:
                sums[k].append(along.on(c, r))
            except Undecided as reason:
                why[k] = str(reason)
    scale = f.source.loss.scale_error
    return [
        replace(UNKNOWN, c=c, r=r, why=why[k]) if why[k] else _joined(c, r, sums[k], scale)
        for k, (c, r) in enumerate(intervals)
    ]


def coefficients(points: Tensor) -> list[Ball | None]:
    """Of the Bézier piece as a polynomial in t: C(k, j) Δʲ p₀, as balls around them."""
    out: list[Ball | None] = []
    k = len(points) - 1
    differences = [Ball(p) for p in points]
    for j in range(k + 1):
        factor = float(math.comb(k, j))
        out.append(carried(aten.mul.Tensor, differences[0], factor) if factor != 1
                   else differences[0])  # fmt: skip
        differences = [carried(aten.sub.Tensor, b, a) for a, b in pairwise(differences)]
    return out


def _programs(f: Objective, polynomial: list[Ball | None]) -> Iterator[Along]:
    """The shares of all chunks, and the ridge."""
    source = f.source
    for x, y in source.chunks(_chunk(source)):
        if not source.of_samples:
            yield Along(record(source.on(x, y), source.theta), polynomial)
            continue
        key, recorded = ("value", count(x)), partial(_recorded, source, x, y)
        program = source.programs.get(key, None, recorded, (x, y))
        if isinstance(program, OfOneChunk):
            yield Along(program.program, polynomial)
        else:
            yield Along(program, polynomial, x, y)
    if f.l2:
        ridge = torch.tensor(f.l2, dtype=torch.float64)
        known = partial(record, lambda t: ridge * (t * t).sum(), source.theta)
        yield Along(source.programs.get(("ridge", f.l2), None, known), polynomial)


def _recorded(source: Source, x: Any, y: Any) -> Any:
    def share(theta: Tensor, x: Any, y: Any) -> Tensor:
        return source.share(source.output(source.unflatten(theta), x), y)

    return record_chunk(share, source.theta, x, y)


def _chunk(source: Source) -> int:
    """Samples in one run."""
    if not source.of_samples:
        return 1
    layers = linear_layers(source, source.theta)
    widest = max((x.positions * max(x.features, x.units) for x in layers), default=2**12)
    return max(1, _NUMBERS // max(widest, 1))


def _joined(c: float, r: float, parts: list[Any], scale: float) -> Piece:
    """The sum of all shares. What does not move is a ball."""
    fields: dict[str, list[Ball]] = {"value": [], "slope": [], "slopes": [], "bends": []}
    for part in parts:
        if isinstance(part, Ball):
            fields["value"].append(part)
            continue
        for name, found in fields.items():
            if (ball := getattr(part, name)) is not None:
                found.append(ball)
    value, slope, slopes, bends = (_interval(found, scale) for found in fields.values())
    return Piece(c, r, value, slope, slopes, bends)


def _interval(balls: list[Ball], scale: float) -> Interval:
    """The sum, with what the divisor of all shares may be off."""
    low = high = 0.0
    for ball in balls:
        a, b = (float(x) for x in ends(ball))
        low, high = down(low + a), up(high + b)
    if scale:
        off = up(scale * max(abs(low), abs(high)))
        low, high = down(low - off), up(high + off)
    return (low if low == low else -math.inf), (high if high == high else math.inf)
