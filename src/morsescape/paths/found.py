"""What a search for a low curve gives, and what all of them check and count."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from morsescape.boundary import (
    Rule,
    a_count,
    a_function,
    a_number,
    a_seed,
    instance,
)
from morsescape.critical.result import a_point
from morsescape.errors import ArgumentError
from morsescape.objective import Objective
from morsescape.paths.curve import Curve

# What every method takes.
COMMON: dict[str, Rule] = {
    "f": instance(Objective, "ms.Objective(model, loss, data) makes one"),
    "a": a_point("f"), "b": a_point("f"), "seed": a_seed(),
    "progress": a_function(2), "max_steps": a_count(1), "tol": a_number(above=0),
}  # fmt: skip


@dataclass(frozen=True)
class Found:
    """A curve between two points and what it cost.

    Attributes:
        curve: its ends are the two points to the last bit.
        gradients: the cost in gradients of f, each with its value: a product with the Hessian
            counts as two, a dense Hessian as two for each of its tangents, a product with the
            Jacobian of the outputs, or its transpose, as one.
        note: how it ended, in words.
    """

    curve: Curve
    gradients: int
    note: str


def check_ends(f: Objective, a: Tensor, b: Tensor) -> None:
    """Refuse ends that are no points of f, or the same."""
    f.check(a, "a", finite=True)
    f.check(b, "b", finite=True)
    if torch.equal(a, b):
        raise ArgumentError(
            "b", expected="another point than a", got="the same numbers",
            cure="a path needs two ends: search for a second minimum from another seed",
        )  # fmt: skip


def line(a: Tensor, b: Tensor, count: int) -> Tensor:
    """So many equally spaced points from a to b, both included and exact, shape (count, D)."""
    t = torch.linspace(0, 1, count, dtype=torch.float64)[:, None]
    points = (1 - t) * a + t * b
    points[0], points[-1] = a, b
    return points


def hessian_cost(f: Objective) -> int:
    """What a dense Hessian costs in gradients: two for each tangent that it is computed from."""
    return 2 * sum(layer.tangents for layer in f.hessian_plan().layers)
