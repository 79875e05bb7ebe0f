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

_SIZES = (16, 128, 1024)  # boxes in one run; fewer are filled up


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
        self.boxes = 0  # that were looked at
        self._programs: dict[int, Program] = {}

    def on(self, low: Tensor, high: Tensor) -> OnBoxes:
        """On boxes with corners (B, D)."""
        self.boxes += len(low)
        mid = middle(low, high)
        # Their difference is rounded; the next number is above it.
        rad = torch.maximum(high - mid, mid - low)
        rad = torch.where(rad > 0, torch.nextafter(rad, torch.full_like(rad, torch.inf)), 0.0)
        parts = [self._on(m, r) for m, r in self._filled(mid, rad)]
        joined = [
            Interval(torch.cat([p[k].low for p in parts]), torch.cat([p[k].high for p in parts]))
            for k in range(3)
        ]
        n = len(low)
        return OnBoxes(*(part[:n] for part in joined))

    def at(self, points: Tensor) -> OnBoxes:
        """At points (B, D): boxes of width 0, which are not counted."""
        found = self.on(points, points)
        self.boxes -= len(points)
        return found

    def computed(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """∇f (B, D) and Hess f (B, D, D) as float64 has them."""
        found = [
            self._program(len(p)).run(Values(), p)[1:]
            for p, _ in self._filled(points, torch.zeros_like(points))
        ]
        gradient, hessian = (torch.cat(parts)[: len(points)] for parts in zip(*found, strict=True))
        return gradient, hessian

    def _filled(self, mid: Tensor, rad: Tensor) -> list[tuple[Tensor, Tensor]]:
        found = []
        for m, r in zip(mid.split(_SIZES[-1]), rad.split(_SIZES[-1]), strict=True):
            size = next(s for s in _SIZES if s >= len(m))
            more = size - len(m)
            found.append(
                (torch.cat([m, m[:1].expand(more, -1)]), torch.cat([r, r[:1].expand(more, -1)]))
            )
        return found

    def _on(self, mid: Tensor, rad: Tensor) -> tuple[Interval, Interval, Interval]:
        machine = Wide(ties=True)
        balls = [as_ball(x) for x in self._program(len(mid)).run(machine, Ball(mid, rad))]
        if machine.kinks:
            raise NoErrorRule("a branch on the values of a tensor")
        scale = self.f.source.loss.scale_error
        if scale:
            size = mid.abs() + rad
            l2 = self.f.l2
            own = (l2 * size.square().sum(-1), 2 * l2 * size, torch.full_like(balls[2].mid, 2 * l2))
            balls = [
                Ball(b.mid, b.radius() + scale * (b.upper + o))
                for b, o in zip(balls, own, strict=True)
            ]
        value, gradient, hessian = map(Interval.of, balls)
        return value, gradient, hessian

    def _program(self, size: int) -> Program:
        if size not in self._programs:
            self._programs[size] = self._recorded(size)
        return self._programs[size]

    def _recorded(self, size: int) -> Program:
        source = self.f.source
        ((x, y),) = source.chunks(source.samples)
        share, ridge = source.on(x, y), torch.tensor(self.f.l2, dtype=torch.float64)

        def fn(v: Tensor) -> Tensor:
            return share(v) + ridge * (v * v).sum() if self.f.l2 else share(v)

        def all_three(v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            # The value too: an operation without a derivative in torch would pass for a constant.
            return fn(v), grad(fn)(v), jacfwd(grad(fn))(v)

        points = source.theta.detach().expand(size, -1).clone()
        try:
            return record(vmap(all_three), points)
        except RuntimeError as error:  # what torch.func cannot transform
            raise NotTraceable(str(error).strip().split("\n")[0][:120]) from error


def middle(low: Tensor, high: Tensor) -> Tensor:
    """Points of the boxes, about in the middle."""
    mid = low + (high - low) / 2
    return torch.minimum(torch.maximum(mid, low), high)
