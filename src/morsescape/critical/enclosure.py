r"""Proved bounds on the gradient at a point and on how the Hessian varies around it.

The gradient and Hessian are recorded as programs and run on balls: at the point itself, for the
rounding; on the box |x - θ|_∞ ≤ r, for all values that the Hessian takes there. A box holds the
Euclidean ball of the same radius, and the Frobenius norm is at least the spectral one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.func import grad, jacfwd

from morsescape.hessian.balls import INFLATION, Ball, NoErrorRule, as_ball, gamma
from morsescape.hessian.enclose import Enclosure
from morsescape.hessian.program import NotTraceable, Program, record
from morsescape.objective import Objective

_CHUNK = 512  # samples in one run of a network's gradient on balls
_LARGEST = 2_000_000  # D² N up to which the Hessian on a box costs seconds
_UP = INFLATION * (1 + 1e-9)


def gradient_error(f: Objective, theta: Tensor, gradient: Tensor) -> float | None:
    """A bound on ‖gradient - true ∇f(θ)‖, however it was computed; None if none can be proved."""
    try:
        balls = list(_loss_gradients(f, theta))
    except (NoErrorRule, NotTraceable, ValueError):
        return None
    middle = torch.stack([ball.mid for ball in balls]).sum(0)
    radius = torch.stack([ball.radius() for ball in balls]).sum(0)
    absolute = torch.stack([ball.mag for ball in balls]).sum(0)
    ridge = 2 * f.l2 * theta
    sums = gamma(len(balls) + 4, torch.float64) * (absolute + ridge.abs() + gradient.abs())
    off = (gradient - middle - ridge).abs() + radius + sums
    bound = float(off.norm()) * _UP
    return bound if bound < float("inf") else None


def hessian_variation(f: Objective, theta: Tensor, radius: float) -> float | None:
    """A bound on ‖Hess f(x) - Hess f(θ)‖ for ‖x - θ‖ ≤ radius; None where none can be proved.

    None also where f branches (ReLU, max) within the box: it need not be smooth there.
    """
    fn = _whole(f)
    if fn is None:
        return None
    try:
        program = record(jacfwd(grad(fn)), theta)
        box = Enclosure()
        on_box = as_ball(program.run(box, Ball(theta, torch.full_like(theta, radius * _UP))))
        at_point = as_ball(program.run(Enclosure(), theta))
    except (NoErrorRule, NotTraceable, ValueError):
        return None
    if box.kinks:
        return None
    parts = (on_box.radius(), at_point.radius(), (on_box.mid - at_point.mid).abs())
    bound = sum(float(part.norm()) for part in parts) * _UP
    return bound if bound < float("inf") else None


def _loss_gradients(f: Objective, theta: Tensor) -> Iterator[Ball]:
    """∇L on balls, in parts that sum to it."""
    if f.network is None:
        assert f._function is not None
        yield as_ball(record(grad(f._function), theta).run(Enclosure(), theta))
        return
    net, programs = f.network, dict[int, Program]()

    def share(t: Tensor, x: Tensor, y: Tensor) -> Any:
        return grad(lambda t: net.chunk_loss(net.unflatten(t), x, y))(t)

    for x, y in net.chunks(_CHUNK):
        if len(x) not in programs:
            programs[len(x)] = record(share, theta, x, y)
        yield as_ball(programs[len(x)].run(Enclosure(), theta, x, y))


def _whole(f: Objective) -> Callable[[Tensor], Tensor] | None:
    """L as one function of θ, if that is small enough to be run on balls at once."""
    if f.network is None:
        return f._function
    net = f.network
    if net.dim**2 * net.samples > _LARGEST:
        return None
    return lambda t: net.chunk_loss(net.unflatten(t), net.x, net.y)
