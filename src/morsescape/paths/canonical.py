"""One representative for all copies of a point under the symmetries of its network."""

from __future__ import annotations

import torch
from jaxtyping import Float64
from torch import Tensor

from morsescape.boundary import checked, instance
from morsescape.critical.result import CriticalPoint, a_point
from morsescape.errors import ArgumentError
from morsescape.objective import Objective
from morsescape.paths.moves import Group, Move
from morsescape.paths.symmetry import Symmetries, symmetries

_SWEEPS = 10_000
_STILL = 1e-15
Named = dict[str, Tensor]


@checked(
    f=instance(Objective, "build one with ms.Objective(model, loss, data)"),
    theta=a_point("f"),
)  # fmt: skip
def canonical(f: Objective, theta: Float64[Tensor, "D"] | CriticalPoint) -> Float64[Tensor, "D"]:
    """The representative of θ among its copies g θ, the same for all of them up to rounding.

    Where λ = 0, positive factors are chosen first so that |θ| is smallest, which is a convex
    problem in their logarithms; for λ > 0 they are no symmetry of f and stay. Then the units of
    each group are put in descending order of a weighted sum of the norms of their slices, which
    neither signs nor other groups change; then each unit is flipped so that its largest weight,
    among those whose other axes are settled, is positive.

    Two units that differ, but with equal norms in all places, have no order, and one whose two
    largest weights are ±w no sign: there the representative is not unique.

    Args:
        f: the objective.
        theta: the point, shape (D,), or a result of `find_critical_point`.

    Returns:
        A point with the same outputs, shape (D,).

    Raises:
        ArgumentError: a point of another shape, or not finite; a network in which every weight of
            some units is flipped by two of them (attention heads and their entries).

    Source:
        The smallest norm: Stock, Graham, Gribonval & Jégou, Equi-normalization of neural networks
        (ICLR 2019). Order and signs: Chen, Lu & Hecht-Nielsen (1993).

    Example:
        >>> import torch, morsescape as ms
        >>> from morsescape.paths.canonical import canonical
        >>> from morsescape.paths.symmetry import symmetries
        >>> net = torch.nn.Sequential(
        ...     torch.nn.Linear(3, 5), torch.nn.ReLU(), torch.nn.Linear(5, 1)
        ... )
        >>> f = ms.Objective(net, "mse", (torch.randn(9, 3), torch.randn(9, 1)))
        >>> known = symmetries(f)
        >>> copy = known.apply(f.theta, known.random(seed=1, scales=True))
        >>> bool((canonical(f, copy) - canonical(f, f.theta)).norm() < 1e-12)
        True
    """
    assert isinstance(theta, Tensor)
    known = symmetries(f)
    parameters = f.source.unflatten(balanced(known, theta) if f.l2 == 0 else theta)
    for group in known.groups:
        order = Move({group.name: _key(group, parameters).argsort(descending=True)})
        parameters = order.on(group, parameters)
    return known.flatten(_signed(known, parameters))


# -- positive factors -----------------------------------------------------------------------------


def balanced(known: Symmetries, theta: Float64[Tensor, "D"]) -> Float64[Tensor, "D"]:
    """The point of smallest norm among those that differ from θ by positive factors.

    Round after round, each unit takes the best factor with all others as they are. A unit with
    weights on one side only has no best factor, and keeps its own.
    """
    parameters = known.source.unflatten(theta)
    ways = [(group, k) for group in known.groups for k in range(len(group.scales))]
    for _ in range(_SWEEPS if ways else 0):
        farthest = 0.0
        for group, k in ways:
            factors = _best(group, k, parameters)
            farthest = max(farthest, float((factors - 1).abs().max()))
            rows = torch.ones(len(group.scales), group.size, dtype=torch.float64)
            rows[k] = factors
            parameters = Move(scales={group.name: rows}).on(group, parameters)
        if farthest <= _STILL * 4:
            break
    return known.flatten(parameters)


def _best(group: Group, k: int, parameters: Named) -> Tensor:
    """The c > 0 with c²P + Q/c² smallest: c⁴ = Q/P."""
    sums = {1: torch.zeros(group.size).double(), -1: torch.zeros(group.size).double()}
    for place, exponent in zip(group.places, group.scales[k], strict=True):
        if exponent:
            sums[exponent] = sums[exponent] + place.slices(parameters[place.name]).square().sum(1)
    factors = (sums[-1] / sums[1]) ** 0.25
    return torch.where((factors > 0) & factors.isfinite(), factors, 1.0)


# -- order and signs ------------------------------------------------------------------------------


def _key(group: Group, parameters: Named) -> Tensor:
    """What orders the units: norms with weights that have no simple ratio."""
    norms = [place.slices(parameters[place.name]).norm(dim=1) for place in group.places]
    return sum((n / (k + 1) ** 0.5 for k, n in enumerate(norms)), torch.zeros(group.size).double())


def _signed(known: Symmetries, parameters: Named) -> Named:
    """Each unit's largest settled weight made positive, from the data on."""
    left = [(group, k) for group in known.groups for k in range(len(group.signs))]
    while left:
        chosen = next((way for way in left if _settled(way, left)), None)
        if chosen is None:
            raise ArgumentError(
                "f", expected="units each of which has a weight that no other unit flips",
                got=f"none in {', '.join(dict.fromkeys(group.name for group, _ in left))}",
                cure="compare points by same_solution, which needs no representative",
            )  # fmt: skip
        left.remove(chosen)
        group, k = chosen
        weights = torch.cat([group.places[j].slices(parameters[group.places[j].name])
                             for j in _settled(chosen, [*left, chosen])], 1)  # fmt: skip
        largest = weights.gather(1, weights.abs().argmax(1, keepdim=True))[:, 0]
        flips = torch.ones(len(group.signs), group.size, dtype=torch.float64)
        flips[k] = torch.where(largest < 0, -1.0, 1.0)
        parameters = Move(signs={group.name: flips}).on(group, parameters)
    return parameters


_Way = tuple[Group, int]


def _settled(way: _Way, left: list[_Way]) -> list[int]:
    """The places that it flips, and that no other way that is left flips as well."""
    group, k = way
    touched = {
        place.name
        for other, j in left
        if (other, j) != way
        for place, exponent in zip(other.places, other.signs[j], strict=True)
        if exponent
    }
    return [j for j in group.single if group.signs[k][j] and group.places[j].name not in touched]
