"""Every second derivative with a bound of its own, from one program: for plain functions."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.func import grad, jacfwd

from morsescape.hessian.enclosed_matrix import EnclosedMatrix, symmetric_part
from morsescape.hessian.error_bound import LOST, in_order
from morsescape.model.source import Source
from morsescape.rounding.balls import Ball, as_ball
from morsescape.rounding.enclose import Enclosure
from morsescape.rounding.floats import INFLATION, unit_roundoff
from morsescape.rounding.program import OtherBranch, record

_SAME = 1e-9  # of the value: more is not the rounding of the same operations


def entrywise_hessian(source: Source, theta: Tensor, width: float = 0.0) -> EnclosedMatrix:
    """Hess L(theta), forward over reverse, for all x with |x - theta|_oo <= width.

    The Frobenius norm of the entries' bounds bounds the spectral norm of the error, B v / v the
    error in the order of symmetric matrices.

    Raises:
        NoErrorRule, NotTraceable: nothing can be proved about this function.
        OtherBranch: the program that was kept is that of another function.
    """
    # The value is followed too: its operations must be known, or what has no derivative in torch
    # would pass for a constant.
    ((x, y),) = source.chunks(source.samples)
    fn = source.on(x, y)
    program = source.programs.get(
        "entries", None, lambda: record(lambda v: (fn(v), jacfwd(grad(fn))(v)), theta)
    )
    machine = Enclosure(ties=width > 0)
    point = Ball(theta, torch.full_like(theta, width)) if width else theta
    value, ball = map(as_ball, program.run(machine, point))
    off = (fn(theta).detach() - value.mid).abs()
    if bool(off > value.radius() + _SAME * value.mag):  # what fn reads beside θ has changed
        raise OtherBranch("one with another value at every call: it reads more than θ")
    matrix = symmetric_part(ball.mid, ball.radius(), source.what)
    unit = unit_roundoff(matrix.dtype)
    averaging = 2 * unit * float(matrix.norm())
    lost = LOST * len(matrix)  # squares that underflow within the norms
    radius = (float(ball.radius().norm()) + averaging + lost) * INFLATION
    radius = radius if math.isfinite(radius) else math.inf
    spread = _spread((ball.radius() + ball.radius().t()) / 2 + 2 * unit * matrix.abs())
    return EnclosedMatrix(matrix, radius, {"entries": radius}, None, machine.kinks, None, spread)


def _spread(errors: Tensor) -> Tensor:
    """B v / v for v = (B 1)^(-1/2), as in `row_bounds`."""
    sums = errors.sum(1)
    v = torch.where((sums > 0) & sums.isfinite(), sums, torch.ones_like(sums)).rsqrt()
    return in_order(errors @ v, v)
