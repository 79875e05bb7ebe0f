"""Landscapes for Morse graphs: sums of double wells, and a trap on a plane of symmetry."""

from __future__ import annotations

import itertools

from morsescape.zoo.landscape import Landscape


def double_wells(dim: int) -> Landscape:
    """The sum over i of (1 + i/4)(t_i² − 1)²/4: 2^dim minima and 3^dim critical points.

    These are {−1, 0, 1}^dim, and the index counts the zeros; the passes have the
    heights (1 + i/4)/4.

    Example:
        >>> len(double_wells(6).critical), double_wells(2).passes
        (729, (0.3125, 0.25, 0.25, 0.3125))
    """
    points = tuple(itertools.product((-1.0, 0.0, 1.0), repeat=dim))
    return Landscape(
        f"{dim} double wells",
        lambda t, m: sum((1 + i / 4) * (t[i] ** 2 - 1) ** 2 / 4 for i in range(dim)),
        dim,
        tuple((point, (point.count(0.0), 0)) for point in points),
        "by hand: the Hessian is diagonal, with (1 + i/4)(3 t_i² − 1)",
        True,
        passes=tuple((1 + p.index(0.0) / 4) / 4 for p in points if p.count(0.0) == 1),
    )


plane_trap = Landscape(
    "trap on a plane of symmetry",
    lambda t, m: (t[0] ** 2 - 1) ** 2 + t[1] ** 2 * (t[0] ** 2 - 0.5) + t[1] ** 4 / 4,
    2,
    (
        ((-1.0, 0.0), (0, 0)),
        ((1.0, 0.0), (0, 0)),
        ((0.0, 1.0), (1, 0)),
        ((0.0, -1.0), (1, 0)),
        ((0.0, 0.0), (2, 0)),
    ),
    "by hand: on t₁ = 0, where gradients stay, the point of index 2 between the minima looks like "
    "a saddle, f = 1; the passes, f = 3/4, lie off it",
    True,
    passes=(0.75, 0.75),
)
