"""The merge tree of complete lists: what every pass joins, and so how components of M_ε merge."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from morsescape.complete.points import ProvedPoint
from morsescape.critical.find import find_critical_point
from morsescape.errors import ArgumentError
from morsescape.morse.merge_tree import Join, MergeTree
from morsescape.morse.sides import Side, height_below, pass_over
from morsescape.objective import Objective


def tree_of(f: Objective, points: Sequence[ProvedPoint]) -> MergeTree:
    """The minima among the points, joined by those of index 1, each followed down on both sides.

    A side ends in the list: its polygon is led on straight to the nearest minimum there, and the
    highest f on all of it is enclosed. What cannot be proved is among the `uncertain` joins.

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
    return MergeTree.of([p.value for p in minima], joins)


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
