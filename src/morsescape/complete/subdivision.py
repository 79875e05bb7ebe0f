"""Branch and bound over boxes until every critical point is proved, and all else is thrown away."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from morsescape.complete.contract import contracted, regular
from morsescape.complete.intervals import Interval, above, below, joined_boxes
from morsescape.complete.on_boxes import Enclosures, middle
from morsescape.complete.points import Found, joined, newton, proved

_BATCH = 4096
_GAP = 0.1  # of a side: from which on a box is split at a gap
_NEAR = 0.5  # of its size: how far from a box Newton's method may end


@dataclass(frozen=True)
class Limits:
    """What a search is bound by.

    Attributes:
        level: points above it do not count; infinity is none.
        ridge: λ where f ≥ λ‖θ‖² is proved, else 0.
        width: boxes as narrow as this in every variable stay undecided.
        most: boxes looked at.
    """

    level: float
    ridge: float
    width: float
    most: int


class Search:
    """The boxes that are left, the points found, and what stayed undecided."""

    def __init__(self, f: Enclosures, box: Interval, limits: Limits) -> None:
        self.f, self.limits = f, limits
        self.todo = Interval(box.low[None], box.high[None])
        self.found: Found | None = None
        self.undecided: list[Interval] = []
        self.boxes = 0  # looked at

    def run(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Until nothing is left, or as many boxes as there may be were looked at."""
        while len(self.todo.low) and self.boxes < self.limits.most:
            if progress is not None:
                progress(self.boxes, self.boxes + len(self.todo.low))
            taken, self.todo = self.todo[-_BATCH:], self.todo[:-_BATCH]
            self.todo = joined_boxes([self.todo, self._rest_of(taken)])
        if len(self.todo.low):
            self.undecided.append(self.todo)

    def _rest_of(self, boxes: Interval) -> Interval:
        """What is left to do of some boxes, in smaller ones."""
        self.boxes += len(boxes.low)
        boxes = boxes[self._may_hold(boxes)]
        if not len(boxes.low):
            return boxes
        mid = middle(boxes)
        steps = from_middle(boxes, mid)
        slopes = self.f.slopes(boxes, mid)
        new = contracted(slopes, self.f.first(Interval(mid, mid))[1], steps)
        rest = Interval(
            torch.maximum(boxes.low, below(mid + new.rest.low)),
            torch.minimum(boxes.high, above(mid + new.rest.high)),
        )
        left = ((new.rest.low <= new.rest.high) & (rest.low <= rest.high)).all(1)
        single = (left & (new.share < 1)).nonzero()[:, 0]
        if len(single):
            left[single[self.settled(boxes[single], mid[single])]] = False
        narrow = left & ((rest.high - rest.low) <= self.limits.width).all(1)
        if bool(narrow.any()):
            self.undecided.append(rest[narrow])
        more = left & ~narrow
        gap = Interval(above(mid + new.gap.low[:, None]), below(mid + new.gap.high[:, None]))
        return self._split(rest[more], slopes[more], gap[more], new.axis[more])

    def _may_hold(self, boxes: Interval) -> Tensor:
        """Where there may be critical points that count."""
        value, gradient = self.f.first(boxes)
        alive: Tensor = gradient.has_zero.all(1)
        level = self.limits.level
        if level == math.inf:
            return alive
        high = value.low > level
        if self.limits.ridge:
            nearest = torch.where(boxes.has_zero, 0.0, torch.minimum(*map(torch.abs, boxes.ends)))
            size = nearest.square().sum(1) * (1 - 1e-12)
            high |= self.limits.ridge * size * (1 - 1e-12) > level
        return alive & ~high

    # -- points -----------------------------------------------------------------------------------

    def settled(self, boxes: Interval, mid: Tensor) -> Tensor:
        """Which boxes are proved to hold no critical point but perhaps one that is known."""
        ends = newton(self.f, mid)
        reach = _NEAR * (boxes.high - boxes.low).amax(1, keepdim=True)
        near = ((boxes.low - reach <= ends) & (ends <= boxes.high + reach)).all(1)
        places = near.nonzero()[:, 0]
        known = self._known(ends[places])
        places, known = places[known >= 0], known[known >= 0]
        done = torch.zeros(len(mid), dtype=torch.bool)
        if len(places) and self.found is not None:
            # With the point that is known, so that it is the one that there may be.
            hull = boxes[places].hull(self.found.place[known])
            done[places] = regular(self.f.hessian(hull), (hull.high - hull.low) / 2)
        return done

    def _known(self, theta: Tensor) -> Tensor:
        """The number of the proved point at each place; -1 where nothing is proved."""
        number = torch.tensor([self._number(Interval(x, x)) for x in theta], dtype=torch.long)
        new = (number < 0).nonzero()[:, 0]
        if not len(new):
            return number
        good, found = proved(self.f, theta[new])
        for k, place in enumerate(new[good].tolist()):
            number[place] = self._add(found[k : k + 1])
        return number

    def _number(self, x: Interval) -> int:
        """The point in whose box of its own this is; -1 if there is none."""
        if self.found is None:
            return -1
        inside = x.within(self.found.only).all(1).nonzero()
        return int(inside[0]) if len(inside) else -1

    def _add(self, one: Found) -> int:
        if self.found is None:
            self.found = one
            return 0
        number = self._number(one.place[0])
        if number >= 0:
            return number
        if bool(one.place.meets(self.found.place).all(1).any()):
            return -1  # the same or another: not decided
        self.found = joined([self.found, one])
        return len(self.found) - 1

    # -- splitting --------------------------------------------------------------------------------

    def _split(self, boxes: Interval, slopes: Interval, gap: Interval, axis: Tensor) -> Interval:
        """Each box in two, at a gap or in the middle of the variable that matters most."""
        width, rows = boxes.high - boxes.low, torch.arange(len(axis))
        # By how much each variable widens what is known of the gradient.
        weight = ((slopes.high - slopes.low) * width[:, None, :]).sum(1)
        known = weight.isfinite().all(1, keepdim=True)
        weight = torch.where(known, weight, width)
        weight = torch.where(width > self.limits.width, weight, -1.0)
        low = torch.maximum(gap.low, boxes.low)[rows, axis]
        high = torch.minimum(gap.high, boxes.high)[rows, axis]
        at_gap = high - low > _GAP * width[rows, axis]
        axis = torch.where(at_gap, axis, weight.argmax(1))
        centre = middle(boxes)[rows, axis]
        left, right = boxes.high.clone(), boxes.low.clone()
        left[rows, axis] = torch.where(at_gap, low, centre)
        right[rows, axis] = torch.where(at_gap, high, centre)
        return joined_boxes([Interval(boxes.low, left), Interval(right, boxes.high)])


def from_middle(boxes: Interval, mid: Tensor) -> Interval:
    """X - m."""
    return Interval(below(boxes.low - mid), above(boxes.high - mid))
