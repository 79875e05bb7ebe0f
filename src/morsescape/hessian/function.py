"""The Hessian of any twice differentiable torch function of a flat vector, with its radius."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import grad, jacfwd

from morsescape.errors import first_line
from morsescape.hessian.dense import Hessian, symmetric_part
from morsescape.hessian.error_bound import LOST
from morsescape.model.reverse import add_hessian_backward
from morsescape.rounding.balls import Ball, NoErrorRule, as_ball
from morsescape.rounding.enclose import Enclosure
from morsescape.rounding.floats import INFLATION, unit_roundoff
from morsescape.rounding.program import NotTraceable, record
from morsescape.rounding.ties import pooling_ties
from morsescape.rounding.written_out import written_out

Function = Callable[[Tensor], Tensor]


def function_hessian(fn: Function, theta: Float[Tensor, " d"], *, bounded: bool = True) -> Hessian:
    """Hess fn(theta), forward over reverse, with a radius proved by ball arithmetic.

    Every entry comes with a bound on its rounding; their Frobenius norm bounds the spectral norm
    of the error. Where an operation has no rule, or fn reads numbers out of tensors, the radius
    is an estimate and `estimate` says why. Entries that are not finite are returned as they are,
    with an infinite radius.

    Example:
        >>> import torch
        >>> from morsescape.hessian.function import function_hessian
        >>> h = function_hessian(lambda v: v[0] ** 2 * v[1], torch.tensor([1.0, 3.0]).double())
        >>> h.matrix.tolist(), h.radius < 1e-14, h.estimate
        ([[6.0, 2.0], [2.0, 0.0]], True, None)
    """
    theta = theta.detach()
    if not bounded:
        return _estimated(fn, theta, "rounding was not followed")
    machine = Enclosure()
    try:
        # The value is followed too: its operations must be known, or what has no derivative in
        # torch would pass for a constant.
        both = record(lambda v: (fn(v), jacfwd(grad(fn))(v)), theta).run(machine, theta)
        ball = as_ball(both[1])
    except NoErrorRule as missing:
        return _estimated(fn, theta, missing.sentence)
    except (NotTraceable, RuntimeError) as reason:
        return _estimated(fn, theta, f"its program cannot be recorded: {first_line(reason)}")
    return _proved(ball, machine.kinks + pooling_ties([fn], theta))


def _proved(ball: Ball, kinks: int) -> Hessian:
    matrix = symmetric_part(ball.mid, ball.radius(), "fn")
    averaging = 2 * unit_roundoff(matrix.dtype) * float(matrix.norm())
    lost = LOST * len(matrix)  # squares that underflow within the norms
    radius = (float(ball.radius().norm()) + averaging + lost) * INFLATION
    radius = radius if math.isfinite(radius) else math.inf
    return Hessian(matrix, radius, {"function": radius}, None, kinks)


def _estimated(fn: Function, theta: Tensor, why: str) -> Hessian:
    """Row by row in reverse mode: as fast as anything, in the memory of one gradient."""
    matrix = theta.new_zeros(len(theta), len(theta))
    with written_out():
        add_hessian_backward(fn, theta, matrix)
    matrix = symmetric_part(matrix, None, "fn")
    radius = 64 * len(theta) * torch.finfo(matrix.dtype).eps * float(matrix.norm())
    radius = radius if math.isfinite(radius) else math.inf
    return Hessian(matrix, radius, {"function": radius}, why)
