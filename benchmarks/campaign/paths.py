"""Heights of random curves: nothing on them is higher than proved, and something as high.

Besides, on intervals of any width: value, slopes and second derivatives lie where they are said to.
"""

from __future__ import annotations

import math
import random
from itertools import pairwise
from typing import Any

import torch
from flint import arb

import morsescape as ms
from morsescape.paths import height_of
from morsescape.paths.enclosed import Piece, pieces_on
from morsescape.rounding.balls import NoErrorRule
from morsescape.rounding.program import NotTraceable

from . import path_steps
from .checks import Formula, Outcome, Truth, crashed, refused, truth
from .exact import BITS, AtKink, NoTruth, precision
from .functions import Function
from .models import draw
from .operations import Step

LOOKS = 8  # points of each curve that are computed exactly


class Mixed(Function):
    """With steps that are drawn for paths alone."""

    def _draw(self) -> Step:
        return path_steps.draw(self.rng) if self.rng.random() < 0.4 else super()._draw()


def case(seed: int) -> Outcome:
    rng = random.Random(f"paths, {seed}")
    outcome = Outcome("paths", seed)
    try:
        f, formula, outcome.parts = _landscape(rng)
        curve = _curve(rng, f)
        _enclosures(outcome, f, formula, _wide(rng, curve), rng)
        least = 1e-2 * (1 + abs(f.value(f.theta)))  # or 2,000 intervals, where f falls all the way
        height = height_of(f, curve, tol=rng.choice((0.3, 0.05)), least=least)
    except ms.MorsescapeError as refusal:
        return refused(outcome, refusal)
    except Exception as error:
        return crashed(outcome, error)
    outcome.dim, outcome.note = f.dim, f"{curve.degree}, {height.evaluations} evaluations"
    if height.estimate is not None:
        outcome.answer, outcome.why = "estimate", height.estimate
        return outcome
    outcome.answer = "proved" if height.reached else "interval"
    if not math.isfinite(height.high):
        outcome.answer = "not finite"
    _judge(outcome, f, formula, curve, height, rng)
    return outcome


def _landscape(rng: random.Random) -> tuple[ms.Objective, Formula, tuple[str, ...]]:
    l2 = rng.choice((0.0, 0.0, 0.1))
    if rng.random() < 0.6:
        drawn: Any = Mixed(rng)
        f = ms.Objective.from_function(drawn.by_torch, drawn.dim, l2=l2)
        f.theta = torch.tensor(drawn.theta, dtype=torch.float64)
        return f, drawn.exact, tuple(dict.fromkeys(step.name for step, _ in drawn.steps))
    drawn = draw(rng)
    f = ms.Objective(drawn.model, drawn.loss, (drawn.x, drawn.y), l2=l2)
    return f, drawn.formula(), drawn.parts


def _curve(rng: random.Random, f: ms.Objective) -> ms.Curve:
    degree, scale = rng.choice((1, 1, 2, 3)), rng.choice((1e-6, 0.1, 1.0))
    points = [f.theta]
    for _ in range(degree):
        step = torch.tensor([rng.gauss(0, scale) for _ in range(f.dim)], dtype=torch.float64)
        points.append(points[-1] + step)
    return ms.Curve(torch.stack(points)[None])


def _wide(rng: random.Random, curve: ms.Curve) -> ms.Curve:
    """The curve, a longer one, or a line through kinks exactly where an interval ends or begins."""
    kind, start = rng.random(), curve.pieces[0, 0]
    if kind < 0.6:
        return curve
    if kind < 0.8:
        return ms.Curve(start + 10 * (curve.pieces - start))
    across = rng.choice((1.0, 2.0, 4.0, 4 / 3))  # all that moves is 0 at t = 1/across
    return ms.Curve(torch.stack([start, start * (1 - across)])[None])


def _enclosures(
    outcome: Outcome, f: ms.Objective, formula: Formula, curve: ms.Curve, rng: random.Random
) -> None:
    """Of φ, φ′ and φ″ on intervals (c, r), at points of theirs."""
    intervals = [(0.5, 0.5), (0.25, 0.25), (0.5, 0.125), (0.8125, 2.0**-4), (0.5, 2.0**-12)]
    try:
        found = pieces_on(f, curve.pieces[0], intervals)
    except (NoErrorRule, NotTraceable):
        return
    for piece in found:
        for s in (0.0, rng.choice((-1.0, 1.0)), rng.uniform(-1, 1)):
            t = piece.c + s * piece.r
            if piece.why:
                continue
            try:
                true = truth(formula, _exactly(curve, t), f.l2)
            except (AtKink, NoTruth):
                continue
            with precision(BITS[0]):
                outcome.wrong += _outside(piece, s, t, curve, true)


def _outside(piece: Piece, s: float, t: float, curve: ms.Curve, true: Truth) -> list[str]:
    """What is true at t = c + s r and not within the piece."""
    first, second = (_exactly(curve, t, k) for k in (1, 2))
    slope = sum((g * v for g, v in zip(true.gradient, first, strict=True)), arb(0))
    bend = sum((g * v for g, v in zip(true.gradient, second, strict=True)), arb(0))
    rows = zip(first, true.hessian.tolist(), strict=True)
    bend = bend + sum(
        (a * b * h for a, row in rows for b, h in zip(first, row, strict=True)), arb(0)
    )
    looks = [("slopes", slope, piece.slopes), ("bends", bend, piece.bends)]
    looks.append(("upper", true.value, (-math.inf, piece.upper)))
    if s == 0:
        looks += [("value", true.value, piece.value), ("slope", slope, piece.slope)]
    return [
        f"claim: {name} {float(value)} at {t}, not in {interval} around {piece.c, piece.r}"
        for name, value, interval in looks
        if value < interval[0] or value > interval[1]
    ]


def _judge(
    outcome: Outcome, f: ms.Objective, formula: Formula, curve: ms.Curve, height: ms.Height,
    rng: random.Random,
) -> None:  # fmt: skip
    highest = max(height.bounds, key=lambda b: b[2])
    places = [height.at, (highest[0] + highest[1]) / 2, highest[0]]
    places += [rng.random() for _ in range(LOOKS - len(places))]
    for t in places:
        try:
            value = truth(formula, _exactly(curve, t), f.l2).value
        except (AtKink, NoTruth):
            continue
        with precision(BITS[0]):
            bounds = [b[2] for b in height.bounds if b[0] <= t <= b[1]]
            if value > height.high:
                outcome.wrong.append(f"claim: f is {float(value)} at {t}, at most {height.high}")
            elif bounds and value > max(bounds):
                outcome.wrong.append(f"claim: f is {float(value)} at {t}, bound {max(bounds)}")
            if t == height.at and value < height.low:
                outcome.wrong.append(f"claim: f is {float(value)} at {t}, at least {height.low}")


def _exactly(curve: ms.Curve, t: float, derivative: int = 0) -> list[arb]:
    """γ(t) or a derivative in real arithmetic, for a curve of one piece."""
    with precision(BITS[0]):
        s, columns = arb(t), [[arb(p) for p in c] for c in curve.pieces[0].t().tolist()]
        for _ in range(derivative):
            k = len(columns[0]) - 1
            columns = [[k * (b - a) for a, b in pairwise(c)] or [arb(0)] for c in columns]
        k = len(columns[0]) - 1
        weights = [arb(math.comb(k, j)) * s**j * (1 - s) ** (k - j) for j in range(k + 1)]
        return [sum((w * p for w, p in zip(weights, c, strict=True)), arb(0)) for c in columns]
