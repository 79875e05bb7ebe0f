"""Branch and bound over boxes until every critical point is proved, and all else is thrown away."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from morsescape.complete.contract import contracted
from morsescape.complete.enclosed import Enclosures, OnBoxes, middle
from morsescape.complete.intervals import Interval, above, below
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
        mid = middle(boxes.low, boxes.high)
        self.boxes += len(mid)
        on_box, (value, gradient) = self.f.on(boxes.low, boxes.high), self.f.at(mid)
        steps = Interval(below(boxes.low - mid), above(boxes.high - mid))
        alive = self._may_hold(boxes, on_box, value, steps)
        boxes, mid, steps = boxes[alive], mid[alive], steps[alive]
        on_box, gradient = on_box[alive], gradient[alive]
        if not len(mid):
            return boxes
        new = contracted(on_box, gradient, steps)
        low = torch.maximum(boxes.low, below(mid + new.rest.low))
        high = torch.minimum(boxes.high, above(mid + new.rest.high))
        left = ((new.rest.low <= new.rest.high) & (low <= high)).all(1)
        regular = (left & new.regular).nonzero()[:, 0]
        if len(regular):
            left[regular[self._finished(boxes[regular], mid[regular])]] = False
        rest = Interval(low, high)
        narrow = left & ((high - low) <= self.limits.width).all(1)
        if bool(narrow.any()):
            self.undecided.append(rest[narrow])
        more = left & ~narrow
        ends = Interval(above(mid + new.gap.low[:, None]), below(mid + new.gap.high[:, None]))
        return self._split(rest[more], on_box[more], ends[more], new.axis[more])

    def _may_hold(
        self, boxes: Interval, on_box: OnBoxes, value: Interval, steps: Interval
    ) -> Tensor:
        """Where there may be critical points that count."""
        alive = on_box.gradient.has_zero.all(1)
        level = self.limits.level
        if level == math.inf:
            return alive
        # f(x) = f(m) - ½ (m - x)ᵀ Hess f(ξ) (m - x) where ∇f(x) = 0.
        bend = (on_box.hessian * steps[:, :, None] * steps[:, None, :]).each(_flat).sum(1)
        above_it = (below(value.low - bend.high / 2) > level) & bend.finite
        above_it |= on_box.value.low > level
        if self.limits.ridge:
            nearest = torch.where(boxes.has_zero, 0.0, torch.minimum(boxes.low.abs(), boxes.high.abs()))
            size = nearest.square().sum(1) * (1 - 1e-12)
            above_it |= self.limits.ridge * size * (1 - 1e-12) > level
        return alive & ~above_it

    # -- points -----------------------------------------------------------------------------------

    def _finished(self, boxes: Interval, mid: Tensor) -> Tensor:
        """Which boxes, with at most one critical point each, hold none but one that is known."""
        ends = newton(self.f, mid)
        reach = _NEAR * (boxes.high - boxes.low).amax(1, keepdim=True)
        near = ((boxes.low - reach <= ends) & (ends <= boxes.high + reach)).all(1)
        places = near.nonzero()[:, 0]
        known = self._known(ends[places])
        places, known = places[known >= 0], known[known >= 0]
        done = torch.zeros(len(mid), dtype=torch.bool)
        if not len(places) or self.found is None:
            return done
        own, point = boxes[places], self.found.place[known]
        inside = point.within(own).all(1)
        done[places[inside]] = True
        rest = ~inside
        if bool(rest.any()):
            hull = own[rest].hull(point[rest])
            at = middle(hull.low, hull.high)
            steps = Interval(below(hull.low - at), above(hull.high - at))
            done[places[rest]] = contracted(
                self.f.on(hull.low, hull.high), self.f.at(at)[1], steps
            ).regular
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

    def _split(self, boxes: Interval, on_box: OnBoxes, gap: Interval, axis: Tensor) -> Interval:
        """Each box in two, at a gap or in the middle of the variable that matters most."""
        width = boxes.high - boxes.low
        rows = torch.arange(len(width))
        # The share of each variable in what the components of the gradient vary by.
        smear = on_box.hessian.mag * width[:, None, :]
        smear = smear / smear.sum(2, keepdim=True).clamp_min(1e-300)
        smear = smear.sum(1).nan_to_num(nan=0.0)
        known = on_box.hessian.finite.flatten(1).all(1)
        weight = torch.where(known[:, None], smear, width)
        weight = torch.where(width > self.limits.width, weight + 1e-9, -1.0)
        chosen = weight.argmax(1)
        low, high = gap.low[rows, axis], gap.high[rows, axis]
        low, high = torch.maximum(low, boxes.low[rows, axis]), torch.minimum(high, boxes.high[rows, axis])
        at_gap = (high - low) > _GAP * width[rows, axis]
        axis = torch.where(at_gap, axis, chosen)
        centre = middle(boxes.low, boxes.high)[rows, axis]
        left, right = boxes.high.clone(), boxes.low.clone()
        left[rows, axis] = torch.where(at_gap, low, centre)
        right[rows, axis] = torch.where(at_gap, high, centre)
        return joined_boxes([Interval(boxes.low, left), Interval(right, boxes.high)])


def joined_boxes(parts: list[Interval]) -> Interval:
    """All of them."""
    return Interval(torch.cat([p.low for p in parts]), torch.cat([p.high for p in parts]))


def _flat(x: Tensor) -> Tensor:
    return x.flatten(1)
