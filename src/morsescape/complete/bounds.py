"""Where M_ε = {f ≤ ε} must lie: by the ridge, where L is known to be nonnegative."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from morsescape.errors import ArgumentError
from morsescape.model.loss import CrossEntropy, MeanSquare
from morsescape.objective import Objective
from morsescape.rounding.floats import up


def nonnegative(f: Objective) -> bool:
    """Whether L ≥ 0 is known: of mean squares, and of cross-entropy, with nonnegative weights."""
    network = f.network
    if network is None:
        return False
    loss = network.loss
    if isinstance(loss, MeanSquare | CrossEntropy) and loss.convex:
        return _weights_are(f)
    return False


def _weights_are(f: Objective) -> bool:
    """Whether no weight of a sample and no class probability is negative."""
    loss = f.source.loss
    assert isinstance(loss, MeanSquare | CrossEntropy)
    for _, y in f.source.chunks(f.source.samples):
        labels, weights = y if loss.weighted else (y, None)
        if weights is not None and bool((weights < 0).any()):
            return False
        if isinstance(loss, CrossEntropy) and loss.probabilities and bool((labels < 0).any()):
            return False
    return True


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
