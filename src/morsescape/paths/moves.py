"""What a symmetry does to θ: units permuted, flipped or rescaled, wherever they occur."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from jaxtyping import Float64
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Place:
    """An axis of a parameter along which the units of a group stand.

    Attributes:
        name: of the parameter.
        dim: the axis.
        positions: of unit u in row u, shape (units, copies): a channel that is flattened has one
            for every pixel.
    """

    name: str
    dim: int
    positions: Tensor

    def slices(self, parameter: Tensor) -> Float64[Tensor, "units n"]:
        """All that belongs to each unit, one row each."""
        moved = parameter.movedim(self.dim, 0)
        return moved[self.positions].reshape(len(self.positions), -1)


@dataclass(frozen=True, eq=False)
class Group:
    """Units that may be permuted, and what else may be done to each.

    Attributes:
        name: that of the first parameter whose axis they are, with the axis.
        size: how many units.
        places: where they occur.
        signs: independent ways to flip a unit, each an exponent of -1 for every place.
        scales: the same for positive factors.
    """

    name: str
    size: int
    places: tuple[Place, ...]
    signs: tuple[tuple[int, ...], ...] = ()
    scales: tuple[tuple[int, ...], ...] = ()

    @cached_property
    def single(self) -> tuple[int, ...]:
        """The places of parameters that have no other place in this group."""
        names = [place.name for place in self.places]
        return tuple(k for k, name in enumerate(names) if names.count(name) == 1)

    def __str__(self) -> str:
        kinds = ["permuted"] + ["flipped"] * bool(self.signs) + ["rescaled"] * bool(self.scales)
        where = ", ".join(f"{place.name}[{place.dim}]" for place in self.places)
        return f"{self.size} units that may be {' or '.join(kinds)}: {where}"


@dataclass(frozen=True, eq=False)
class Move:
    """One symmetry: unit u of the result is unit `permutations[group][u]`, times its factors.

    Attributes:
        permutations: by group, shape (units,); the others stay.
        signs: by group, one row for every way to flip, shape (ways, units), of ±1.
        scales: the same, of positive factors.
    """

    permutations: Mapping[str, Tensor] = field(default_factory=dict)
    signs: Mapping[str, Tensor] = field(default_factory=dict)
    scales: Mapping[str, Tensor] = field(default_factory=dict)

    def on(self, group: Group, parameters: dict[str, Tensor]) -> dict[str, Tensor]:
        """The parameters after what it does to one group; the others are the same tensors."""
        moved = dict(parameters)
        order = self.permutations.get(group.name)
        for k, place in enumerate(group.places):
            x = moved[place.name]
            if order is not None:
                index = torch.arange(x.shape[place.dim])
                index[place.positions] = place.positions[order]
                x = x.index_select(place.dim, index)
            factors = torch.ones(x.shape[place.dim], dtype=x.dtype)
            for ways, known in ((self.signs, group.signs), (self.scales, group.scales)):
                for way, own in zip(known, ways.get(group.name, ()), strict=False):
                    factors[place.positions] *= (own.to(x.dtype) ** way[k])[:, None]
            shape = [-1 if d == place.dim else 1 for d in range(x.ndim)]
            moved[place.name] = x * factors.view(shape)
        return moved

    def then(self, second: Move) -> Move:
        """This one first, the second, of permutations and signs, after it."""
        permutations, signs = dict(self.permutations), dict(self.signs)
        for name, order in second.permutations.items():
            permutations[name] = permutations[name][order] if name in permutations else order
            if name in signs:
                signs[name] = signs[name][:, order]
        for name, flips in second.signs.items():
            signs[name] = signs[name] * flips if name in signs else flips
        return Move(permutations, signs)


def random_move(
    group: Group, generator: torch.Generator, *, signs: bool = True, scales: bool = False
) -> Move:
    """A permutation drawn uniformly, with signs, and factors between ½ and 2."""
    order = torch.randperm(group.size, generator=generator)
    flips = torch.randint(0, 2, (len(group.signs), group.size), generator=generator) * 2 - 1
    powers = torch.rand(len(group.scales), group.size, generator=generator).double() * 2 - 1
    return Move(
        {group.name: order},
        {group.name: flips.double()} if signs and group.signs else {},
        {group.name: 2**powers} if scales and group.scales else {},
    )


def components(supports: Iterable[Sequence[int]], ways: int) -> list[list[int]]:
    """The ways in parts that no support, a list of exponents of all ways, reaches across.

    Example:
        >>> components([(1, 1, 0, 0), (0, 0, 1, 0)], 4)
        [[0, 1], [2]]
    """
    parts: list[set[int]] = []
    for exponents in supports:
        joined = {w for w in range(ways) if exponents[w]}
        for part in [part for part in parts if part & joined]:
            parts.remove(part)
            joined |= part
        parts += [joined] if joined else []
    return sorted(map(sorted, parts))
