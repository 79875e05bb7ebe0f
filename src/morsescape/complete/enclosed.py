"""f, ∇f and Hess f, enclosed on many boxes at once by one recorded program.

The program is that of a batch of points, recorded below `vmap`; on a batch of balls, with a radius
for each coordinate of each box, its enclosures hold for every point of the box.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.func import grad, jacfwd, vmap

from morsescape.complete.intervals import Interval
from morsescape.complete.wide import Wide
from morsescape.objective import Objective
from morsescape.rounding.balls import Ball, NoErrorRule, as_ball
from morsescape.rounding.enclose import Values
from morsescape.rounding.program import NotTraceable, Program, record

_SIZES = (16, 128, 1024, 4096)  # boxes in one run; fewer are filled up


@dataclass(frozen=True, eq=False)
class OnBoxes:
    """Enclosures of f (B,), ∇f (B, D) and Hess f (B, D, D)."""

    value: Interval
    gradient: Interval
    hessian: Interval

    def __getitem__(self, index: Any) -> OnBoxes:
        return OnBoxes(self.value[index], self.gradient[index], self.hessian[index])


class Enclosures:
    """What f is on boxes."""

    def __init__(self, f: Objective) -> None:
        self.f, self.dim = f, f.dim
        self._programs: dict[tuple[int, bool], Program] = {}

    def on(self, low: Tensor, high: Tensor) -> OnBoxes:
        """On boxes with corners (B, D)."""
        mid = middle(low, high)
        # Their difference is rounded; the next number is above it.
        rad = torch.maximum(high - mid, mid - low)
        rad = torch.where(rad > 0, torch.nextafter(rad, torch.full_like(rad, torch.inf)), 0.0)
        return OnBoxes(*self._enclosed(mid, rad, second=True))

    def at(self, points: Tensor) -> tuple[Interval, Interval]:
        """F and ∇f at points (B, D)."""
        value, gradient = self._enclosed(points, torch.zeros_like(points), second=False)
        return value, gradient

    def computed(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """∇f (B, D) and Hess f (B, D, D) as float64 has them."""
        found = [
            self._program(len(p), True).run(Values(), p)[1:]
            for p, _ in _filled(points, torch.zeros_like(points))
        ]
        gradient, hessian = (torch.cat(parts)[: len(points)] for parts in zip(*found, strict=True))
        return gradient, hessian

    def _enclosed(self, mid: Tensor, rad: Tensor, second: bool) -> list[Interval]:
        runs = [self._run(m, r, second) for m, r in _filled(mid, rad)]
        return [
            Interval(torch.cat([x.low for x in parts]), torch.cat([x.high for x in parts]))[
                : len(mid)
            ]
            for parts in zip(*runs, strict=True)
        ]

    def _run(self, mid: Tensor, rad: Tensor, second: bool) -> list[Interval]:
        machine = Wide(ties=True)
        found = self._program(len(mid), second).run(machine, Ball(mid, rad))
        balls = [as_ball(x) for x in found]
        if machine.kinks:
            raise NoErrorRule("a branch on the values of a tensor")
        if scale := self.f.source.loss.scale_error:
            size, l2 = mid.abs() + rad, self.f.l2
            ridge = (l2 * size.square().sum(-1), 2 * l2 * size, torch.tensor(2 * l2))
            balls = [
                Ball(b.mid, b.radius() + scale * (b.upper + r))
                for b, r in zip(balls, ridge, strict=False)
            ]
        return [Interval.of(ball) for ball in balls]

    def _program(self, size: int, second: bool) -> Program:
        if (size, second) not in self._programs:
            self._programs[size, second] = self._recorded(size, second)
        return self._programs[size, second]

    def _recorded(self, size: int, second: bool) -> Program:
        source = self.f.source
        ((x, y),) = source.chunks(source.samples)
        share, ridge = source.on(x, y), torch.tensor(self.f.l2, dtype=torch.float64)

        def fn(v: Tensor) -> Tensor:
            return share(v) + ridge * (v * v).sum() if self.f.l2 else share(v)

        def derivatives(v: Tensor) -> tuple[Tensor, ...]:
            # The value too: an operation without a derivative in torch would pass for a constant.
            both = fn(v), grad(fn)(v)
            return (*both, jacfwd(grad(fn))(v)) if second else both

        points = source.theta.detach().expand(size, -1).clone()
        try:
            return record(vmap(derivatives), points)
        except RuntimeError as error:  # what torch.func cannot transform
            raise NotTraceable(str(error).strip().split("\n")[0][:120]) from error


def _filled(mid: Tensor, rad: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Batches of the sizes that there are programs for."""
    found = []
    for m, r in zip(mid.split(_SIZES[-1]), rad.split(_SIZES[-1]), strict=True):
        more = next(size for size in _SIZES if size >= len(m)) - len(m)
        found.append(
            (torch.cat([m, m[:1].expand(more, -1)]), torch.cat([r, r[:1].expand(more, -1)]))
        )
    return found


def middle(low: Tensor, high: Tensor) -> Tensor:
    """Points of the boxes, about in the middle."""
    mid = low + (high - low) / 2
    return torch.minimum(torch.maximum(mid, low), high)
