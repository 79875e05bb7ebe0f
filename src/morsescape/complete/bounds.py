"""Where M_ε = {f ≤ ε} must lie: by the ridge, where L is known to be nonnegative."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from morsescape.complete.intervals import Interval, above, below, joined_boxes
from morsescape.complete.on_boxes import Enclosures, middle
from morsescape.errors import ArgumentError
from morsescape.model.loss import CrossEntropy, MeanSquare
from morsescape.objective import Objective
from morsescape.rounding.floats import up

_FACES = 100_000  # parts of the boundary that are looked at


def nonnegative(f: Objective) -> bool:
    """Whether L ≥ 0 is known: of mean squares, and of cross-entropy without negative weights.

    Weights of samples and class probabilities below 0 are refused where data come in.
    """
    loss = f.source.loss
    return isinstance(loss, MeanSquare | CrossEntropy) and loss.convex


def box_of_level(f: Objective, level: float | None) -> Tensor:
    """A box that holds M_ε: ‖θ‖² ≤ ε/λ, as λ‖θ‖² ≤ f.

    Raises:
        ArgumentError: none is known.
    """
    if level is None:
        why = "no level, and so no bound"
    elif not f.l2:
        why = "no ridge: sublevel sets may be unbounded"
    elif not nonnegative(f):
        why = f"a loss that is not known to be nonnegative: {f.source.loss}"
    elif level <= 0:
        why = f"the level {level:g}, below which there is nothing: f ≥ 0"
    else:
        radius = up(math.sqrt(up(level / f.l2)))
        return torch.tensor([-radius, radius], dtype=torch.float64)[:, None].repeat(1, f.dim)
    raise ArgumentError(
        "box", expected="a box, or a level, l2 > 0 and a loss that is nonnegative", got=why,
        cure="pass box=r for [-r, r]^D",
    )  # fmt: skip


def is_above(f: Enclosures, box: Interval, level: float) -> bool:
    """Whether f > ε is proved on the whole boundary of a box (D,): on its faces, halved in turn."""
    d, looked = f.dim, 0
    low, high = (x.expand(2 * d, d).clone() for x in box.ends)
    rows = torch.arange(d)
    high[rows, rows], low[d + rows, rows] = box.low, box.high
    todo = Interval(low, high)
    while n := len(todo.low):
        looked += n
        if looked > _FACES:
            return False
        mid = middle(todo)
        value, gradient = f.first(todo)
        at_middle, _ = f.first(Interval(mid, mid))
        if bool((at_middle.high <= level).any()):
            return False
        steps = Interval(below(todo.low - mid), above(todo.high - mid))
        mean = at_middle + (gradient * steps).sum(1)
        rest = todo[~(torch.maximum(value.low, mean.low) > level)]
        width = rest.high - rest.low
        rows, widest = torch.arange(len(width)), width.argmax(1)
        left, right = rest.high.clone(), rest.low.clone()
        left[rows, widest] = right[rows, widest] = middle(rest)[rows, widest]
        todo = joined_boxes([Interval(rest.low, left), Interval(right, rest.high)])
    return True
