"""Solutions compared after the symmetries of the network are taken out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float64
from torch import Tensor

from morsescape.boundary import a_count, a_number, a_seed, checked, choice, instance
from morsescape.critical.result import CriticalPoint, a_point
from morsescape.errors import ArgumentError
from morsescape.notebook import Shown
from morsescape.objective import Objective
from morsescape.paths.canonical import balanced
from morsescape.paths.matching import (
    Matched,
    Named,
    apart,
    by_activations,
    by_slices,
    descend,
    from_known,
    from_signatures,
    scrambled,
)
from morsescape.paths.moves import Group, Move
from morsescape.paths.symmetry import TOLERANCE, Symmetries, agree, outputs_of, symmetries

Way = Literal["weights", "activations"]
WAYS = get_args(Way)
_OBJECTIVE = instance(Objective, "build one with ms.Objective(model, loss, data)")


@dataclass(frozen=True, eq=False)
class Alignment(Shown):
    """b moved by a symmetry g of f to be near a.

    Attributes:
        theta: g b, shape (D,).
        distance_before, distance_after: |a - b| and |a - g b|.
        least: no permutation and no signs come closer than this: a lower bound on the distance, up
            to rounding. It is the least distance itself where there is one hidden layer.
        permutations: by group, π of shape (units,): unit u of g b is unit π[u] of b.
        signs: by group, of ±1, shape (ways to flip, units): what that unit is multiplied by.
        start: from where the best descent began.
        left_out: what may be symmetries, but was not understood or failed, and why.
    """

    theta: Float64[Tensor, "D"]
    distance_before: float
    distance_after: float
    least: float
    permutations: Mapping[str, Tensor]
    signs: Mapping[str, Tensor]
    start: str
    left_out: tuple[str, ...] = ()

    @property
    def gap(self) -> float:
        """How much closer the best symmetry could be at most; above 0 this one may be the best too.

        Rounds over the groups end in a local optimum. It is known to be the global one where the
        gap is zero, up to rounding: for copies, and for one hidden layer.
        """
        return max(0.0, self.distance_after - self.least)

    def __str__(self) -> str:
        return (
            f"distance {self.distance_before:.6g} -> {self.distance_after:.6g} by {self.start}; "
            f"no permutation comes below {self.least:.6g}"
        )


@checked(
    f=_OBJECTIVE, a=a_point("f"), b=a_point("f"), by=choice(WAYS),
    seed=a_seed(), restarts=a_count(0, most=10_000),
)  # fmt: skip
def align(
    f: Objective,
    a: Float64[Tensor, "D"] | CriticalPoint,
    b: Float64[Tensor, "D"] | CriticalPoint,
    *,
    by: Way = "weights",
    seed: int = 0,
    restarts: int = 4,
) -> Alignment:
    """The copy g b of b under the permutations and signs of f that is near a.

    It makes |a - g b| small over the groups that `symmetries` finds. By weights: rounds of linear
    assignment problems, one a group, from several starts (b as it is, units matched by the weights
    that are known from the data on, by the sorted sizes of their weights, by their activations on
    the data, and random ones); the nearest end counts. So it is a local optimum, with a lower bound
    beside it. By activations: each group by one assignment of its activations, and no more.

    Positive factors are left as they are: no isometry of θ, they have no place in a distance. For
    λ = 0, `same_solution` and `canonical` take them out first.

    Args:
        f: the objective.
        a: the point that stays, shape (D,), or a result of `find_critical_point`.
        b: the point that is moved, the same.
        by: "weights" or "activations".
        seed: of the order of groups, random starts, and the points at which symmetries are tried.
        restarts: random starts, besides the others.

    Returns:
        With f(g b) = f(b) and the same outputs, up to rounding.

    Raises:
        ArgumentError: points of another shape, or g changes an output at b, with the group's name;
            by activations, a network whose activations cannot be read.

    Source:
        Ainsworth, Hayase & Srinivasa, Git Re-Basin (ICLR 2023), algorithm 1 and section 3.1; with
        signs as in Chen, Lu & Hecht-Nielsen (1993).

    Example:
        >>> import torch, morsescape as ms
        >>> from morsescape.paths.alignment import align
        >>> from morsescape.paths.symmetry import symmetries
        >>> net = torch.nn.Sequential(
        ...     torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 1)
        ... )
        >>> f = ms.Objective(net, "mse", (torch.randn(9, 3), torch.randn(9, 1)))
        >>> known = symmetries(f)
        >>> copy = known.apply(f.theta, known.random(seed=1))
        >>> found = align(f, f.theta, copy)
        >>> found.distance_before > 0, found.distance_after, found.gap
        (True, 0.0, 0.0)
    """
    assert isinstance(a, Tensor)
    assert isinstance(b, Tensor)
    known = symmetries(f)
    first, start = f.source.unflatten(a), Matched(f.source.unflatten(b))
    generator = torch.Generator().manual_seed(seed)
    if by == "activations":
        best, name = by_activations(known, first, start), "activations"
    else:
        best, name = _nearest(known, first, start, generator, restarts)
    theta = known.apply(b, best.move)
    _check(f, known, b, theta, best.move)
    least = _least(known.groups, first, start.parameters)
    after = float((a - theta).norm())
    return Alignment(
        theta, float((a - b).norm()), after, least,
        best.move.permutations, best.move.signs, name, known.unknown,
    )  # fmt: skip


def _nearest(
    known: Symmetries, a: Named, b: Matched, generator: torch.Generator, restarts: int
) -> tuple[Matched, str]:
    best, square, name = b, apart(a, b.parameters), "itself"
    for label, start in _starts(known, a, b, generator, restarts):
        if square == 0:
            break
        found, reached = descend(known.groups, a, start, generator)
        if reached < square:
            best, square, name = found, reached, label
    return best, name


def _starts(
    known: Symmetries, a: Named, b: Matched, generator: torch.Generator, restarts: int
) -> Iterator[tuple[str, Matched]]:
    groups = known.groups
    yield "itself", b
    yield "known weights", from_known(groups, a, b)
    yield "sorted weights", from_signatures(groups, a, b)
    if all(known.taps.get(group.name) for group in groups):
        with suppress(ArgumentError):  # only one of several starts
            yield "activations", by_activations(known, a, b)
    for k in range(restarts if groups else 0):
        yield f"random start {k}", scrambled(groups, b, generator)


def _least(groups: Sequence[Group], a: Named, b: Named) -> float:
    """No |a - g b| is below this.

    Parameters that one group alone touches: the best assignment of the group for them, as if there
    were no others. The rest: two sets of numbers are closest when both are sorted.
    """
    total, rest = 0.0, dict(a)
    touched = [{place.name for place in group.places} for group in groups]
    for k, group in enumerate(groups):
        others = set().union(*touched[:k], *touched[k + 1 :])
        known = [j for j in group.single if group.places[j].name not in others]
        moved = by_slices(group, a, b, known).on(group, b)
        for name in (group.places[j].name for j in known):
            total += float((rest.pop(name) - moved[name]).square().sum())
    flipped = {place.name for group in groups if group.signs for place in group.places}
    for name in rest:
        p, q = a[name].reshape(-1), b[name].reshape(-1)
        if name in flipped:
            p, q = p.abs(), q.abs()
        if any(name in names for names in touched):
            p, q = p.sort().values, q.sort().values
        total += float((p - q).square().sum())
    return math.sqrt(total)


def _check(f: Objective, known: Symmetries, b: Tensor, theta: Tensor, move: Move) -> None:
    """Refuse a move that changes f or an output at b, and say which group does."""
    if _same(f, known, b, theta):
        return
    names = [
        group.name for group in known.groups
        if not _same(f, known, b, _flat(known, group, move, b))
    ]  # fmt: skip
    raise ArgumentError(
        "f", expected=f"the same outputs up to {TOLERANCE:g} of the largest at a copy of b",
        got=f"others, by {', '.join(names) or 'all groups together'}",
        cure="look for large numbers in b, whose rounding rules there",
    )  # fmt: skip


def _flat(known: Symmetries, group: Group, move: Move, b: Tensor) -> Tensor:
    return known.flatten(move.on(group, known.source.unflatten(b)))


def _same(f: Objective, known: Symmetries, b: Tensor, theta: Tensor) -> bool:
    source = f.source
    found = [outputs_of(source, source.unflatten(point)) for point in (b, theta)]
    if not agree(*found):
        return False
    before, after = f.value(b), f.value(theta)
    # A loss near 0 is a difference of outputs of order 1, and has their rounding.
    return abs(after - before) <= TOLERANCE * max(abs(before), 1.0)


# -- the same up to symmetry ----------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Comparison(Shown):
    """Whether two points are copies of each other; true in a condition if they are.

    Attributes:
        same: whether distance ≤ tol · max(|a|, |b|).
        distance: |a - g b|, after positive factors are balanced where f has them.
        relative: distance / max(|a|, |b|), of the balanced points.
        alignment: how b was moved.
    """

    same: bool
    distance: float
    relative: float
    alignment: Alignment

    def __bool__(self) -> bool:
        return self.same


@checked(
    f=_OBJECTIVE, a=a_point("f"), b=a_point("f"),
    tol=a_number(least=0), seed=a_seed(),
)  # fmt: skip
def same_solution(
    f: Objective,
    a: Float64[Tensor, "D"] | CriticalPoint,
    b: Float64[Tensor, "D"] | CriticalPoint,
    *,
    tol: float = 1e-6,
    seed: int = 0,
) -> Comparison:
    """Whether b is a copy of a under the symmetries of f that are known.

    Positive factors are taken out first, for λ = 0 (`canonical`); then b is aligned with a. "Same"
    is a fact: the copy is there. "Not the same" is what `align` found from all its starts; it rules
    out a better copy only where `alignment.gap` is 0.

    Args:
        f: the objective.
        a: a point, shape (D,), or a result of `find_critical_point`.
        b: another, the same.
        tol: on the distance, relative to the larger of both norms.
        seed: as in `align`.

    Raises:
        ArgumentError: as in `align`.

    Example:
        >>> import torch, morsescape as ms
        >>> from morsescape.paths.alignment import same_solution
        >>> from morsescape.paths.symmetry import symmetries
        >>> net = torch.nn.Sequential(
        ...     torch.nn.Linear(3, 5), torch.nn.ReLU(), torch.nn.Linear(5, 1)
        ... )
        >>> f = ms.Objective(net, "mse", (torch.randn(9, 3), torch.randn(9, 1)))
        >>> known = symmetries(f)
        >>> copy = known.apply(f.theta, known.random(seed=1, scales=True))
        >>> bool(same_solution(f, f.theta, copy)), bool(same_solution(f, f.theta, 1.1 * copy))
        (True, False)
    """
    assert isinstance(a, Tensor)
    assert isinstance(b, Tensor)
    known = symmetries(f)
    if f.l2 == 0:
        a, b = (balanced(known, point) for point in (a, b))
    found = align(f, a, b, seed=seed)
    size = max(float(a.norm()), float(b.norm()))
    relative = found.distance_after / size if size else 0.0
    return Comparison(relative <= tol, found.distance_after, relative, found)
