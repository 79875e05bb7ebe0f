"""What a chunk's tangents moved: values to contract, bounds on them, and what nothing touches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from morsescape.hessian.layers import LinearLayer
from morsescape.rounding.balls import Ball, as_ball
from morsescape.rounding.directions import Family


@dataclass(frozen=True)
class Moved:
    """A response: values per direction, and balls per direction or one for all (t or 1, ...)."""

    mid: Tensor
    bound: Ball

    @classmethod
    def of(cls, value: Any) -> Moved:
        """Of a machine's result in which the directions lead."""
        ball = as_ball(value)
        return cls(ball.mid, ball)


def moved(value: Any, directions: int) -> Moved:
    """A machine's result as `Moved`; what no direction reaches is repeated."""
    if isinstance(value, Family):
        ball = value.ball()
        return Moved(value.mid, Ball(ball.mid[None], None if ball.rad is None else ball.rad[None]))
    ball = as_ball(value)
    return Moved(ball.mid.expand(directions, *ball.mid.shape), ball.get(None))


class Chunk:
    """The primal errors and inputs of one chunk, and where anything at all is nonzero."""

    def __init__(self, deltas: dict[str, Any], inputs: dict[str, Any]) -> None:
        self.deltas = {k: as_ball(d) for k, d in deltas.items()}
        self.inputs = {k: as_ball(u) for k, u in inputs.items()}
        self.units = {k: d.upper != 0 for k, d in self.deltas.items()}  # (n, b, j)
        self.features = {k: u.upper != 0 for k, u in self.inputs.items()}  # (n, b, q)

    def note(
        self, source: LinearLayer | None, deltas: dict[str, Moved], changes: dict[str, Moved]
    ) -> None:
        """Mark the units and features that are not certainly zero.

        A unit is marked on a sample for its error, and any response to or of it; a feature for
        its value and any response of it.
        """
        for name, d in deltas.items():
            self.units[name] |= (d.bound.upper != 0).any(0)
        for name, v in changes.items():
            self.features[name] |= (v.bound.upper != 0).any(0)
        if source is None:
            return
        for part in (*deltas.values(), *changes.values()):  # (a i, n, b, j)
            answers = (part.bound.upper != 0).flatten(2).any(2)
            answers = answers.view(source.positions, source.units, -1).permute(2, 0, 1)
            self.units[source.weight] |= answers

    def meetings(self, name: str, width: int) -> Tensor:
        """(j, q): on how many samples and positions unit j is active and feature q not zero."""
        features = self.features[name].float().flatten(0, 1)
        bias = features.new_ones(len(features), width - features.shape[1])
        units = self.units[name].float().flatten(0, 1)
        return units.t() @ torch.cat([features, bias], 1)
