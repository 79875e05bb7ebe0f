r"""A proved bound on how the Hessian varies around a point.

Its program is run on the box |x - θ|_∞ ≤ r, for all values that it takes there. A box holds the
Euclidean ball of the same radius, and the Frobenius norm is at least the spectral one. It costs as
much as the Hessian at a point, with its proof.
"""

from __future__ import annotations

import torch
from torch import Tensor

from morsescape.hessian.dense import hessian_on_box
from morsescape.hessian.enclosed_matrix import EnclosedMatrix
from morsescape.hessian.gradient import LOST, UP
from morsescape.model.source import Source
from morsescape.rounding.balls import NoErrorRule
from morsescape.rounding.program import NotTraceable


def hessian_variation(
    source: Source, theta: Tensor, radius: float, hessian: EnclosedMatrix
) -> float | None:
    """A bound on ‖Hess L(x) - hessian.matrix‖ for ‖x - θ‖ ≤ radius; None if none can be proved.

    None also where L branches (ReLU, max) within the box: it need not be smooth there.
    """
    if hessian.estimate is not None:
        return None
    try:
        box = hessian_on_box(source, theta, radius * UP)
    except (NoErrorRule, NotTraceable, ValueError):
        return None
    if box.kinks:
        return None
    off = float(torch.linalg.matrix_norm(box.matrix - hessian.matrix))
    bound = (box.radius + off + LOST) * UP
    return bound if bound < float("inf") else None
