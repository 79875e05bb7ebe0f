"""Searches for critical points: none raises, and what is certified is there."""

from __future__ import annotations

import random
from typing import Any

import torch

import morsescape as ms

from .checks import Look, Outcome, crashed, refused
from .functions import Function
from .models import draw

STEPS = 150


def case(seed: int) -> Outcome:
    rng = random.Random(f"searches {seed}")
    outcome = Outcome("searches", seed)
    l2 = rng.choice((0.0, 1e-3, 0.1))
    target = rng.choice(("minimum", "nearest"))
    if rng.random() < 0.5:
        drawn: Any = Function(rng)
        outcome.parts = tuple(dict.fromkeys(step.name for step, _ in drawn.steps))
        formula = drawn.exact

        def build() -> ms.Objective:
            f = ms.Objective.from_function(drawn.by_torch, drawn.dim, l2=l2)
            f.theta = torch.tensor(drawn.theta, dtype=torch.float64)
            return f
    else:
        drawn = draw(rng)
        outcome.parts, formula = drawn.parts, drawn.formula()

        def build() -> ms.Objective:
            return ms.Objective(drawn.model, drawn.loss, (drawn.x, drawn.y), l2=l2)

    try:
        f = build()
        found = ms.find_critical_point(f, target=target, max_steps=STEPS, seed=seed)
    except ms.MorsescapeError as refusal:
        return refused(outcome, refusal)
    except Exception as error:
        return crashed(outcome, error)
    return _judged(outcome, f, found, formula, rng)


def _judged(outcome: Outcome, f: ms.Objective, found: Any, formula: Any, rng: Any) -> Outcome:
    proof = found.certificate
    outcome.dim, outcome.note = f.dim, f"{found.status.name}, {proof.status.name}"
    words = {"PROVED": "proved", "ESTIMATE": "estimate", "NOT_FINITE": "not finite"}
    outcome.answer = words.get(proof.status.name, "interval")
    outcome.why = proof.reason if outcome.answer == "estimate" else ""
    if proof.status.name == "PROVED":
        look = Look(outcome, f, found.theta, None, "", rng, True, False, formula)
        look.judge_point("find_critical_point", proof.distance, proof.index, 2)
    return outcome
