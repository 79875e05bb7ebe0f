"""f, ∇f and Hess f, enclosed on many boxes at once by one recorded program.

The program is that of a batch of points, recorded below `vmap`; on a batch of balls, with a radius
for each coordinate of each box, its enclosures hold for every point of the box.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.func import grad, jacfwd, jvp, vmap

from morsescape.complete.intervals import Interval
from morsescape.complete.wide import Wide
from morsescape.objective import Objective
from morsescape.rounding.balls import Ball, NoErrorRule, as_ball
from morsescape.rounding.enclose import Values
from morsescape.rounding.program import NotTraceable, Program, record

_SIZES = (16, 128, 1024, 4096)  # boxes in one run; fewer are filled up


class Enclosures:
    """What f is on boxes."""

    def __init__(self, f: Objective) -> None:
        self.f, self.dim = f, f.dim
        self._programs: dict[tuple[str, int], Program] = {}

    def first(self, box: Interval) -> tuple[Interval, Interval]:
        """F (B,) and ∇f (B, D) on boxes (B, D), or at points."""
        value, gradient = self._enclosed("first", *_balls(box))
        return value, gradient

    def hessian(self, box: Interval) -> Interval:
        """Hess f on boxes, (B, D, D)."""
        (found,) = self._enclosed("second", *_balls(box))
        return found

    def slopes(self, box: Interval, mid: Tensor) -> Interval:
        """Matrices (B, D, D) with ∇f(x) - ∇f(m) ∈ S (x - m) for all x in the box.

        From m to x one variable after the other: column j is that of Hess f where the variables up
        to j are anywhere in the box and those after j as in m, by the mean value theorem.
        """
        d = self.dim
        ends = box.each(lambda x: x[:, None, :])
        free = torch.ones(d, d).tril().bool()  # row j: up to j
        part = Interval(*(torch.where(free, x, mid[:, None, :]) for x in (ends.low, ends.high)))
        flat = part.each(lambda x: x.reshape(-1, d))
        units = torch.eye(d, dtype=torch.float64).repeat(len(mid), 1)
        (found,) = self._enclosed("column", *_balls(flat), units)
        return found.each(lambda x: x.reshape(-1, d, d).mT)

    def computed(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """∇f (B, D) and Hess f (B, D, D) as float64 has them."""
        found = []
        for (p,) in _filled(points):
            _, gradient = self._program("first", p).run(Values(), p)
            (hessian,) = self._program("second", p).run(Values(), p)
            found.append((gradient, hessian))
        gradient, hessian = (torch.cat(parts)[: len(points)] for parts in zip(*found, strict=True))
        return gradient, hessian

    def _enclosed(self, kind: str, *inputs: Tensor) -> list[Interval]:
        runs = [self._run(kind, *part) for part in _filled(*inputs)]
        n = len(inputs[0])
        return [
            Interval(torch.cat([x.low for x in parts]), torch.cat([x.high for x in parts]))[:n]
            for parts in zip(*runs, strict=True)
        ]

    def _run(self, kind: str, mid: Tensor, rad: Tensor, *units: Tensor) -> list[Interval]:
        machine, program = Wide(ties=True), self._program(kind, mid, *units)
        balls = [as_ball(x) for x in program.run(machine, Ball(mid, rad), *units)]
        if machine.kinks:
            raise NoErrorRule(f"a kink or a branch in the box, of {', '.join(program.branches)}")
        if scale := self.f.source.loss.scale_error:
            size = (1 + mid.abs() + rad).square().sum(-1)  # of the ridge and its derivatives
            balls = [
                Ball(b.mid, b.radius() + scale * (b.upper + 2 * self.f.l2 * _as_rows(size, b.mid)))
                for b in balls
            ]
        return [Interval.of(ball) for ball in balls]

    def _program(self, kind: str, points: Tensor, *units: Tensor) -> Program:
        key = kind, len(points)
        if key not in self._programs:
            self._programs[key] = self._recorded(kind, points, *units)
        return self._programs[key]

    def _recorded(self, kind: str, *example: Tensor) -> Program:
        source = self.f.source
        ((x, y),) = source.chunks(source.samples)
        share, ridge = source.on(x, y), torch.tensor(self.f.l2, dtype=torch.float64)

        def fn(v: Tensor) -> Tensor:
            return share(v) + ridge * (v * v).sum() if self.f.l2 else share(v)

        # The value too: an operation without a derivative in torch would pass for a constant.
        programs: dict[str, Callable[..., tuple[Tensor, ...]]] = {
            "first": lambda v: (fn(v), grad(fn)(v)),
            "second": lambda v: (jacfwd(grad(fn))(v),),
            "column": lambda v, unit: (jvp(grad(fn), (v,), (unit,))[1],),
        }
        try:
            return record(vmap(programs[kind]), *example)
        except RuntimeError as error:  # what torch.func cannot transform
            raise NotTraceable(str(error).strip().split("\n")[0][:120]) from error


def _filled(*inputs: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Batches of the sizes that there are programs for."""
    for parts in zip(*(x.split(_SIZES[-1]) for x in inputs), strict=True):
        n = len(parts[0])
        more = next(size for size in _SIZES if size >= n) - n
        yield tuple(torch.cat([x, x[:1].expand(more, *x.shape[1:])]) for x in parts)


def _balls(box: Interval) -> tuple[Tensor, Tensor]:
    mid = middle(box)
    # A difference is rounded; the next number is above it.
    rad = torch.maximum(box.high - mid, mid - box.low)
    return mid, torch.where(rad > 0, torch.nextafter(rad, torch.full_like(rad, torch.inf)), 0.0)


def _as_rows(x: Tensor, like: Tensor) -> Tensor:
    return x.reshape(-1, *[1] * (like.ndim - 1))


def middle(box: Interval) -> Tensor:
    """Points of the boxes, about in the middle."""
    mid = box.low + (box.high - box.low) / 2
    return torch.minimum(torch.maximum(mid, box.low), box.high)
