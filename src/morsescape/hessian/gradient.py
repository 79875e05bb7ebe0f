"""Proved bounds on the error of a gradient, from its recorded program."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.func import grad

from morsescape.errors import is_out_of_memory
from morsescape.hessian.error_bound import LOST as _LOST
from morsescape.hessian.layers import linear_layers
from morsescape.hessian.tangents import Plan, Responses, choose
from morsescape.model.samples import count
from morsescape.model.source import Source
from morsescape.rounding.balls import NoErrorRule, as_ball
from morsescape.rounding.double import Double
from morsescape.rounding.double_machine import DoubleMachine
from morsescape.rounding.enclose import Enclosure
from morsescape.rounding.floats import INFLATION, gamma
from morsescape.rounding.program import Machine, NotTraceable, record_chunk

LOST = 1e7 * _LOST  # of the norms of up to 10^14 entries
_CHUNK = 512  # samples in one run of a network's gradient on balls
# The same in twice the precision, in numbers of the widest inputs or outputs: in larger runs the
# cache rules, in smaller ones Python does.
_SHARP_NUMBERS = 2**20
_DIGITS = 104  # of products in twice the precision; fewer show in the bound, more cost as much
UP = INFLATION * (1 + 1e-9)


def gradient_error(source: Source, theta: Tensor, l2: float, gradient: Tensor) -> float | None:
    """A bound on ‖gradient - true ∇f(θ)‖, however it was computed; None if none can be proved."""
    parts = _loss_gradients(source, theta, Enclosure, lambda _: _CHUNK)
    if parts is None:
        return None
    balls = [as_ball(x) for x in parts]
    middle = torch.stack([ball.mid for ball in balls]).sum(0)
    radius = torch.stack([ball.radius() for ball in balls]).sum(0)
    absolute = torch.stack([ball.mag for ball in balls]).sum(0)
    ridge = 2 * l2 * theta
    sums = gamma(len(balls) + 4, torch.float64) * (absolute + ridge.abs() + gradient.abs())
    scale = source.loss.scale_error * absolute
    off = (gradient - middle - ridge).abs() + radius + sums + scale
    bound = (float(off.norm()) + LOST) * UP
    return bound if bound < float("inf") else None


def sharp_gradient(source: Source, theta: Tensor, l2: float) -> tuple[Tensor, float] | None:
    """∇f(θ) in twice the precision, rounded, and a bound on the distance from the true one.

    None where the gradient has an operation that is not known in that precision.
    """
    parts = _loss_gradients(source, theta, partial(DoubleMachine, _DIGITS), _sharp_chunk)
    if parts is None:
        return None
    gradient = Double.exact(torch.tensor(2 * l2, dtype=torch.float64)) * Double.exact(theta)
    for part in parts:
        gradient = gradient + (part if isinstance(part, Double) else Double.exact(part))
    off = gradient.lo.abs() + gradient.rad
    if source.loss.scale_error:
        off = off + source.loss.scale_error * (gradient.hi.abs() + 2 * l2 * theta.abs())
    bound = (float(off.norm()) + LOST) * UP
    return (gradient.hi, bound) if bound < float("inf") else None


def _sharp_chunk(plan: Plan) -> int:
    """Samples in one run in twice the precision."""
    widest = max((x.positions * max(x.features, x.units) for x in plan.layers), default=2**15)
    return max(1, _SHARP_NUMBERS // widest)


def _loss_gradients(
    source: Source, theta: Tensor, machine: Callable[[], Machine], chunk: Callable[[Plan], int]
) -> list[Any] | None:
    """∇L as the machine has it, in parts that sum to it; None if it does not have it."""

    def parts() -> list[Any]:
        plan = choose(source, linear_layers(source, theta))
        loss = grad(Responses(source, plan).loss)
        run, found = machine(), []
        start = Double.exact(theta) if isinstance(run, DoubleMachine) else theta
        for x, y in source.chunks(chunk(plan)):
            recorded = partial(record_chunk, loss, theta, x, y)
            program = source.programs.get(("gradient", count(x)), None, recorded, (x, y))
            found.append(program.run(run, start, x, y))
        return found

    try:
        return source.programs.where_it_branches(parts)
    except (NoErrorRule, NotTraceable, ValueError):
        return None
    except RuntimeError as error:  # torch.func cannot transform it
        if is_out_of_memory(error):
            raise
        return None
