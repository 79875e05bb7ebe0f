"""How a narrower network lies in a wider one: units that are added, and their parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from morsescape.errors import ArgumentError
from morsescape.objective import Objective
from morsescape.paths.moves import Group
from morsescape.paths.symmetry import TOLERANCE, agree, outputs_of, symmetries

_POINTS = 2  # at which what a zero unit does is tried out
_MOST_PLACES = 8  # of a group, all partitions of which are tried


@dataclass(frozen=True, eq=False)
class Widening:
    """How the narrower network lies in the wider one.

    Attributes:
        group, units: the zero units.
        kept: places in θ of the wider network, in the order of the narrower one's, shape (d,).
        dim: D.
        own: by place of the group, the places in θ of each zero unit's parameters, (k, n) each.
    """

    group: Group
    units: tuple[int, ...]
    kept: Tensor
    dim: int
    own: tuple[Tensor, ...]

    @classmethod
    def of(cls, narrow: Objective, wide: Objective, units: Sequence[int] | None) -> Widening:
        """The one group that has more units in the wider network."""
        small, large = narrow.source.shapes, wide.source.shapes
        index = wide.source.unflatten(torch.arange(wide.dim, dtype=torch.float64))
        alike = [(n, len(s)) for n, s in small.items()] == [(n, len(s)) for n, s in large.items()]
        groups = symmetries(wide).groups if alike else ()
        for group in groups:
            place = group.places[0]
            more = large[place.name][place.dim] - small[place.name][place.dim]
            k, rest = divmod(more, place.positions.shape[1])
            if rest or not 0 < k <= group.size:
                continue
            zero = tuple(units) if units is not None else tuple(range(group.size - k, group.size))
            if len(zero) != k or max(zero) >= group.size:
                raise ArgumentError(
                    "units", expected=f"{k} of the {group.size} units of {group.name}",
                    got=str(zero), cure="leave it out to take the last ones",
                )  # fmt: skip
            kept = {name: _without(group, zero, name, x) for name, x in index.items()}
            if all(kept[name].shape == tuple(small[name]) for name in small):
                own = tuple(p.slices(index[p.name])[list(zero)].long() for p in group.places)
                flat = torch.cat([x.reshape(-1).long() for x in kept.values()])
                return cls(group, zero, flat, wide.dim, own)
        raise ArgumentError(
            "wide", expected="the same network with more units in one group",
            got=f"groups {', '.join(map(str, groups)) or 'none'} of {wide}, beside {narrow}",
            cure="build both by one function of the width",
        )  # fmt: skip

    def widened(self, theta: Tensor) -> Tensor:
        """The narrower network's parameters in the wider one, zeros elsewhere."""
        point = torch.zeros(self.dim, dtype=torch.float64)
        point[self.kept] = theta
        return point

    def halves(self, narrow: Objective, wide: Objective, seed: int) -> tuple[Tensor, Tensor]:
        """The places in θ of incoming and outgoing parameters, one row for each zero unit.

        They are the two halves of a unit's parameters of which each, where it is zero, makes the
        outputs independent of the other; at random parameters.

        Raises:
            ArgumentError: no partition of the unit's parameters for which both hold.
        """
        generator = torch.Generator().manual_seed(seed)
        size = max(float(wide.theta.abs().mean()), 0.1)
        noise = torch.randn(_POINTS, wide.dim, generator=generator, dtype=torch.float64)
        points = list(size * noise)
        self._same_landscape(narrow, wide, points)
        n = len(self.own)
        splits = (s for m in range(1, n) for s in combinations(range(n), m))
        for split in splits if n <= _MOST_PLACES else ():
            parts = [torch.cat([x for k, x in enumerate(self.own) if (k in split) == here], 1)
                     for here in (False, True)]  # fmt: skip
            apart = parts[0].numel() + parts[1].numel() == len(torch.cat(parts, 1).unique())
            if apart and all(_vanishes(wide, p, *(x[0] for x in parts)) for p in points):
                return parts[0], parts[1]
        raise ArgumentError(
            "wide", expected="units that do nothing where their incoming or their outgoing "
            "parameters are zero", got=f"units {self.group.name}, for which no such two halves "
            "were found", cure="take an activation with σ(0) = 0, such as tanh or GELU",
        )  # fmt: skip

    def _same_landscape(self, narrow: Objective, wide: Objective, points: list[Tensor]) -> None:
        for p in points:
            theta = p[self.kept]
            a, b = narrow.value(theta), wide.value(self.widened(theta))
            if not abs(a - b) <= TOLERANCE * max(1.0, abs(a)):
                raise ArgumentError(
                    "wide", expected="the value of the narrower network where its added units are "
                    "zero", got=f"{b:.12g} instead of {a:.12g}",
                    cure="take the same data, loss and λ, and an activation with σ(0) = 0",
                )  # fmt: skip


def _without(group: Group, units: tuple[int, ...], name: str, x: Tensor) -> Tensor:
    """A parameter without all that belongs to these units."""
    for dim in range(x.ndim):
        left = torch.ones(x.shape[dim], dtype=torch.bool)
        for place in group.places:
            if (place.name, place.dim) == (name, dim):
                left[place.positions[list(units)]] = False
        x = x.index_select(dim, left.nonzero()[:, 0])
    return x


def _vanishes(wide: Objective, point: Tensor, incoming: Tensor, outgoing: Tensor) -> bool:
    """Whether the outputs at (r, w, 0) and (r, 0, v) are those at (r, 0, 0)."""

    def outputs(*zero: Tensor) -> list[Tensor]:
        theta = point.clone()
        theta[torch.cat(zero)] = 0.0
        return outputs_of(wide.source, wide.source.unflatten(theta))

    base = outputs(incoming, outgoing)
    return agree(base, outputs(incoming)) and agree(base, outputs(outgoing))
