"""One symmetry as a value: units permuted and flipped, in integers, kept and composed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float64
from torch import Tensor

from morsescape.objective import Objective
from morsescape.paths.moves import Group, Move
from morsescape.paths.symmetry import symmetries
from morsescape.store.codec import Saved


@dataclass(frozen=True)
class Element(Saved):
    """An element g of the group of permutations and flips of hidden units.

    Unit u of g θ is unit π(u) of θ, times its signs. Groups of units that stay as they are are left
    out, so that equal elements are equal values.

    Attributes:
        orders: by group of units, π.
        signs: by group, for each way to flip a row of ±1, one for each unit.

    Example:
        >>> g = Element({"w": (1, 2, 0)}, {"w": ((-1, 1, 1),)})
        >>> g @ g.inverse == Element(), (g @ g).orders, (g @ g).signs
        (True, {'w': (2, 0, 1)}, {'w': ((-1, 1, -1),)})
    """

    orders: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    signs: Mapping[str, tuple[tuple[int, ...], ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, move: Move) -> Element:
        """That of a move without factors."""
        orders = {name: tuple(map(int, order)) for name, order in move.permutations.items()}
        signs = {
            name: tuple(tuple(map(int, row)) for row in rows) for name, rows in move.signs.items()
        }
        return cls._least(orders, signs)

    @classmethod
    def _least(
        cls, orders: dict[str, tuple[int, ...]], signs: dict[str, tuple[tuple[int, ...], ...]]
    ) -> Element:
        return cls(
            {k: order for k, order in sorted(orders.items()) if order != (*range(len(order)),)},
            {k: rows for k, rows in sorted(signs.items()) if any(-1 in row for row in rows)},
        )

    @property
    def move(self) -> Move:
        """What it does, as tensors."""
        return Move(
            {name: torch.tensor(order) for name, order in self.orders.items()},
            {name: torch.tensor(rows).double() for name, rows in self.signs.items()},
        )

    def apply(self, f: Objective, theta: Float64[Tensor, "D"]) -> Float64[Tensor, "D"]:
        """The point g θ, by the symmetries of f."""
        return symmetries(f).apply(theta, self.move) if self != Element() else theta

    def __matmul__(self, first: Element) -> Element:
        """The product: (g @ h) θ = g (h θ)."""
        orders, signs = dict(first.orders), dict(first.signs)
        for name, own in self.orders.items():
            order = orders.get(name)
            orders[name] = own if order is None else tuple(order[u] for u in own)
            if name in signs:
                signs[name] = tuple(tuple(row[u] for u in own) for row in signs[name])
        for name, rows in self.signs.items():
            there = signs.get(name)
            signs[name] = rows if there is None else tuple(
                tuple(p * q for p, q in zip(*pair, strict=True))
                for pair in zip(rows, there, strict=True)
            )  # fmt: skip
        return self._least(orders, signs)

    @property
    def inverse(self) -> Element:
        """The element that undoes it."""
        orders = {
            name: tuple(sorted(range(len(own)), key=own.__getitem__))
            for name, own in self.orders.items()
        }
        signs = {
            name: tuple(tuple(row[u] for u in orders.get(name, range(len(row)))) for row in rows)
            for name, rows in self.signs.items()
        }
        return self._least(orders, signs)

    def on_points(self, groups: tuple[Group, ...]) -> list[int]:
        """As a permutation of points: each unit of each group, for every way to flip it with ±.

        It reverses products, which no order of a subgroup feels.
        """
        points: list[int] = []
        for group in groups:
            n, first = group.size, len(points)
            order = self.orders.get(group.name, range(n))
            rows = self.signs.get(group.name, ((1,) * n,) * len(group.signs))
            if not group.signs:
                points += [first + order[u] for u in range(n)]
            for way, row in enumerate(rows):
                at = first + 2 * n * way
                points += [at + order[u] + n * (row[u] < 0) for u in range(n)]
                points += [at + order[u] + n * (row[u] > 0) for u in range(n)]
        return points
