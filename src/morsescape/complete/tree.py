"""The merge tree of complete lists: what every pass joins, and so how components of M_ε merge."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from morsescape.complete.points import ProvedPoint
from morsescape.critical.find import find_critical_point
from morsescape.errors import ArgumentError
from morsescape.morse.merge_tree import Interval, Join, MergeTree
from morsescape.morse.sides import Side, height_below, pass_over
from morsescape.objective import Objective


def joins_of(f: Objective, points: Sequence[ProvedPoint]) -> tuple[Join, ...]:
    """What the points of index 1 join, each followed down on both sides, of the minima among them.

    A side ends in the list: its polygon is led on straight to the nearest minimum there, and the
    highest f on all of it is enclosed. Where that fails, the join is not proved.

    Raises:
        ArgumentError: a side that ends at no minimum of the list.
    """
    minima = [p for p in points if p.index == 0]
    joins = []
    for point in points:
        if point.index != 1:
            continue
        saddle = find_critical_point(f, point.theta, target="nearest")
        over = pass_over(f, saddle)
        ends, heights = zip(
            *(_end(f, side, minima, saddle.theta, point) for side in over.sides), strict=True
        )
        proved = all(height is not None for height in heights)
        top = max([point.value[1], *(h for h in heights if h is not None)])
        joins.append(Join(ends[0], ends[1], (point.value[0], top), "saddle", proved))
    return tuple(joins)


def lower_end(values: Sequence[Interval], joins: Sequence[Join]) -> float:
    """The ε below which the minima are in several components, if no point of index 1 is missing.

    The minimax pass is monotone in the heights of all passes, so it is at least that of their lower
    ends.
    """
    low = [replace(j, height=(j.height[0], j.height[0]), proved=True) for j in joins]
    threshold = MergeTree.of(values, low).threshold
    return -math.inf if threshold is None else threshold[0]


def _end(
    f: Objective, side: Side, minima: Sequence[ProvedPoint], start: Tensor, saddle: ProvedPoint
) -> tuple[int, float | None]:
    """The minimum at which a side ends, and the height of the way there; None if not proved."""
    off = [float((side.minimum.theta - m.theta).norm()) for m in minima]
    k = min(range(len(minima)), key=off.__getitem__, default=-1)
    if k < 0 or off[k] > 1e-4 * (1 + float(side.minimum.theta.norm())):
        raise ArgumentError(
            "f", expected="sides of passes that end at minima of the list",
            got=f"one that ends at f = {side.minimum.value:.8g}, θ = {side.minimum.theta.tolist()}",
            cure="take a larger box: it lies outside",
        )  # fmt: skip
    legs = torch.stack([saddle.theta, start]), torch.stack([side.minimum.theta, minima[k].theta])
    moved = [leg for leg in legs if bool((leg[0] != leg[1]).any())]
    heights = [side.height, *(height_below(f, leg, saddle.value[1]) for leg in moved)]
    if any(h.estimate is not None for h in heights):
        return k, None
    return k, max(h.high for h in heights)
