r"""Proved bounds on the gradient at a point and on how the Hessian varies around it.

The gradient and Hessian are recorded as programs and run on balls: at the point itself, for the
rounding; on the box |x - θ|_∞ ≤ r, for all values that the Hessian takes there. A box holds the
Euclidean ball of the same radius, and the Frobenius norm is at least the spectral one. The Hessian
of a network on a box costs as much as the one at a point, with its proof.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.func import grad, jacfwd

from morsescape.hessian.dense import Hessian, hessian_on_box
from morsescape.hessian.error_bound import LOST as _LOST
from morsescape.hessian.layers import linear_layers
from morsescape.hessian.tangents import Plan, Responses, choose
from morsescape.model.network import Network
from morsescape.model.samples import count
from morsescape.objective import Objective
from morsescape.rounding.balls import INFLATION, Ball, NoErrorRule, as_ball, gamma
from morsescape.rounding.double import Double
from morsescape.rounding.double_machine import DoubleMachine
from morsescape.rounding.enclose import Enclosure
from morsescape.rounding.program import Machine, NotTraceable, Program, record, record_chunk

LOST = 1e7 * _LOST  # of the norms of up to 10^14 entries
_CHUNK = 512  # samples in one run of a network's gradient on balls
# The same in twice the precision, in numbers of the widest inputs or outputs: in larger runs
# the cache rules, in smaller ones Python does.
_SHARP_NUMBERS = 2**20
_DIGITS = 104  # of products in twice the precision; fewer show in the bound, more cost as much
_UP = INFLATION * (1 + 1e-9)


def gradient_error(f: Objective, theta: Tensor, gradient: Tensor) -> float | None:
    """A bound on ‖gradient - true ∇f(θ)‖, however it was computed; None if none can be proved."""
    try:
        balls = [as_ball(x) for x in _loss_gradients(f, theta, Enclosure(), lambda _: _CHUNK)]
    except (NoErrorRule, NotTraceable, ValueError):
        return None
    middle = torch.stack([ball.mid for ball in balls]).sum(0)
    radius = torch.stack([ball.radius() for ball in balls]).sum(0)
    absolute = torch.stack([ball.mag for ball in balls]).sum(0)
    ridge = 2 * f.l2 * theta
    sums = gamma(len(balls) + 4, torch.float64) * (absolute + ridge.abs() + gradient.abs())
    off = (gradient - middle - ridge).abs() + radius + sums + _scale(f) * absolute
    bound = (float(off.norm()) + LOST) * _UP
    return bound if bound < float("inf") else None


def sharp_gradient(f: Objective, theta: Tensor) -> tuple[Tensor, float] | None:
    """∇f(θ) in twice the precision, rounded, and a bound on the distance from the true one.

    None where the gradient has an operation that is not known in that precision.
    """
    try:
        parts = list(_loss_gradients(f, theta, DoubleMachine(_DIGITS), _sharp_chunk))
    except (NoErrorRule, NotTraceable, ValueError):
        return None
    gradient = Double.exact(torch.tensor(2 * f.l2, dtype=torch.float64)) * Double.exact(theta)
    for part in parts:
        gradient = gradient + (part if isinstance(part, Double) else Double.exact(part))
    off = gradient.lo.abs() + gradient.rad
    if _scale(f):
        off = off + _scale(f) * (gradient.hi.abs() + 2 * f.l2 * theta.abs())
    bound = (float(off.norm()) + LOST) * _UP
    return (gradient.hi, bound) if bound < float("inf") else None


def hessian_variation(f: Objective, theta: Tensor, radius: float, hessian: Hessian) -> float | None:
    """A bound on ‖Hess L(x) - hessian.matrix‖ for ‖x - θ‖ ≤ radius; None if none can be proved.

    None also where f branches (ReLU, max) within the box: it need not be smooth there.

    Args:
        f: the landscape.
        theta: the point.
        radius: of the ball.
        hessian: the computed Hess L(θ).
    """
    if hessian.estimate is not None:
        return None
    try:
        if f.network is not None:
            bound = _network_variation(f.network, theta, radius, hessian)
        else:
            assert f._function is not None
            bound = _function_variation(f._function, theta, radius, hessian)
    except (NoErrorRule, NotTraceable, ValueError):
        return None
    return bound if bound is not None and bound < float("inf") else None


def _network_variation(
    net: Network, theta: Tensor, radius: float, hessian: Hessian
) -> float | None:
    box = hessian_on_box(net, theta, radius * _UP)
    if box.kinks:
        return None
    off = float(torch.linalg.matrix_norm(box.matrix - hessian.matrix))
    return (box.radius + off + LOST) * _UP


def _function_variation(
    fn: Callable[[Tensor], Tensor], theta: Tensor, radius: float, hessian: Hessian
) -> float | None:
    # The value is followed too: a step that has no derivative in torch shows there alone.
    program = record(lambda v: (jacfwd(grad(fn))(v), fn(v)), theta)
    box = Enclosure(ties=True)
    on_box = as_ball(program.run(box, Ball(theta, torch.full_like(theta, radius * _UP)))[0])
    if box.kinks:
        return None
    off = (on_box.mid - hessian.matrix).abs()
    return (float((on_box.radius() + off).norm()) + LOST) * _UP


def _scale(f: Objective) -> float:
    """The relative error of the divisor of all shares of L, which is not in their programs."""
    return 0.0 if f.network is None else f.network.loss.scale_error


def _sharp_chunk(plan: Plan) -> int:
    """Samples in one run in twice the precision."""
    widest = max((x.positions * max(x.features, x.units) for x in plan.layers), default=2**15)
    return max(1, _SHARP_NUMBERS // widest)


def _loss_gradients(
    f: Objective, theta: Tensor, machine: Machine, chunk: Callable[[Plan], int]
) -> Iterator[Any]:
    """∇L as the machine has it, in parts that sum to it."""
    if f.network is None:
        assert f._function is not None
        start = Double.exact(theta) if isinstance(machine, DoubleMachine) else theta
        yield record(grad(f._function), theta).run(machine, start)
        return
    net, programs = f.network, dict[int, Program]()
    plan = choose(net, linear_layers(net, theta))
    responses = Responses(net, plan)
    for x, y in net.chunks(chunk(plan)):
        program = programs.get(count(x)) or record_chunk(grad(responses.loss), theta, x, y)
        if isinstance(program, Program):  # of all chunks of this size
            programs[count(x)] = program
        yield program.run(machine, theta, x, y)
