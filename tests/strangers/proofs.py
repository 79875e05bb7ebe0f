"""Points, and what may be asked of a proof."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

import morsescape as ms
from strangers.truth import clear


def point(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def proved(answer: object) -> bool:
    return answer.status.name == "PROVED"  # type: ignore[attr-defined]


def built(fn: Callable[[Tensor], Tensor], dim: int) -> ms.Objective | None:
    """The landscape of a function, if it is not refused in a clear sentence."""
    try:
        return ms.Objective.from_function(fn, dim)
    except ms.MorsescapeError as error:
        clear(error)
        return None


def answers(f: ms.Objective, theta: Tensor) -> list[ms.Inertia]:
    """By both ways of counting; a clear refusal is no answer."""
    given = []
    for method in ("ldl", "eigh"):
        try:
            given.append(ms.inertia(f, theta, method=method))
        except ms.MorsescapeError as error:
            clear(error)
    return given
