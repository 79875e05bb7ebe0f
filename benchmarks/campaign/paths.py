"""Heights of random curves: nothing on them is higher than proved, and something as high."""

from __future__ import annotations

import math
import random
from typing import Any

import torch
from flint import arb

import morsescape as ms
from morsescape.paths import height_of

from .checks import Formula, Outcome, crashed, refused, truth
from .exact import BITS, AtKink, NoTruth, precision
from .functions import Function
from .models import draw

LOOKS = 8  # points of each curve that are computed exactly


def case(seed: int) -> Outcome:
    rng = random.Random(f"paths {seed}")
    outcome = Outcome("paths", seed)
    try:
        f, formula, outcome.parts = _landscape(rng)
        curve = _curve(rng, f)
        height = height_of(f, curve, tol=rng.choice((0.3, 0.05)))
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
        drawn: Any = Function(rng)
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


def _exactly(curve: ms.Curve, t: float) -> list[arb]:
    """γ(t) in real arithmetic, for a curve of one piece."""
    with precision(BITS[0]):
        s, k = arb(t), curve.degree
        weights = [arb(math.comb(k, j)) * s**j * (1 - s) ** (k - j) for j in range(k + 1)]
        columns = curve.pieces[0].t().tolist()
        return [sum((w * p for w, p in zip(weights, c, strict=True)), arb(0)) for c in columns]
