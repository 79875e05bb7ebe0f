"""Which unit of b is which of a: assignment problems, one group at a time.

For isometries g (permutations and signs) |a - g b| is smallest where ⟨a, g b⟩ is largest. For one
group, the others as they are, that is a linear assignment problem: the gain of putting unit v of b
in the place of unit u of a is the inner product of their slices, the larger of those of all ways to
flip v. Going round the groups until nothing gains ends in a local optimum; the problem for all
groups together is NP-hard. What the starts are for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from morsescape.errors import ArgumentError
from morsescape.paths.moves import Group, Move, components, random_move
from morsescape.paths.symmetry import Symmetries, Tap, block_size, samples_of
from morsescape.rounding.ball_rules import on_any_layout
from morsescape.rounding.program import OtherBranch

_SWEEPS = 100
_GAIN = 1e-12  # less is rounding
_SAMPLES = 256  # on which activations are compared, at most
Named = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Matched:
    """Parameters, and by what symmetry they have come from where they were."""

    parameters: Named
    move: Move = field(default_factory=Move)

    def then(self, group: Group, move: Move) -> Matched:
        """After a move of one group."""
        return Matched(move.on(group, self.parameters), self.move.then(move))


def apart(a: Named, b: Named) -> float:
    """The squared distance; near 0 it is more exact than inner products."""
    return sum(float((a[name] - b[name]).square().sum()) for name in a)


# -- one group ------------------------------------------------------------------------------------


Term = tuple[tuple[int, ...], Tensor]  # exponents of the ways to flip, and gains [u, v]


def assigned(group: Group, terms: Sequence[Term]) -> Move:
    """The assignment, with signs, of the largest total gain.

    Unit v of b, flipped by some ways, gains the sum of terms[...][u, v] in the place of u, each
    times its sign. Ways without a common term are chosen one by one.
    """
    total = torch.zeros(group.size, group.size, dtype=torch.float64)
    for exponents, gains in terms:
        total += gains if not any(exponents) else 0.0
    flips = torch.ones(len(group.signs), group.size, group.size, dtype=torch.float64)
    for ways in components([exponents for exponents, _ in terms], len(group.signs)):
        best, flips[ways] = _best_flips(ways, terms)
        total += best
    rows, columns = linear_sum_assignment(total.numpy(), maximize=True)
    order = torch.from_numpy(columns[np.argsort(rows)])
    if not group.signs:
        return Move({group.name: order})
    return Move({group.name: order}, {group.name: flips[:, torch.arange(group.size), order]})


def _best_flips(ways: list[int], terms: Sequence[Term]) -> tuple[Tensor, Tensor]:
    """For each pair [u, v], of these ways: the largest gain, and the signs that have it."""
    own = [term for term in terms if any(term[0][w] for w in ways)]
    choices = torch.tensor(list(product((1.0, -1.0), repeat=len(ways))), dtype=torch.float64)
    gains = []
    for choice in choices:
        signs = [math.prod(float(s) for s, w in zip(choice, ways, strict=True) if e[w] % 2)
                 for e, _ in own]  # fmt: skip
        gains.append(torch.stack([s * g for s, (_, g) in zip(signs, own, strict=True)]).sum(0))
    best, which = torch.stack(gains).max(0)
    return best, choices[which].movedim(2, 0)


def by_slices(group: Group, a: Named, b: Named, known: Sequence[int] | None = None) -> Move:
    """The best move of one group, by its slices in some places (all, if none are named)."""
    terms: list[Term] = []
    for k in range(len(group.places)) if known is None else known:
        place = group.places[k]
        gains = place.slices(a[place.name]) @ place.slices(b[place.name]).T
        terms.append((tuple(way[k] for way in group.signs), gains))
    return assigned(group, terms)


# -- all groups -----------------------------------------------------------------------------------


def descend(
    groups: Sequence[Group], a: Named, b: Matched, generator: torch.Generator
) -> tuple[Matched, float]:
    """Rounds over the groups in random order until none comes nearer; with |a - g b|².

    Source:
        Ainsworth, Hayase & Srinivasa, Git Re-Basin (ICLR 2023), algorithm 1.
    """
    square = apart(a, b.parameters)
    for _ in range(_SWEEPS):
        before = square
        for k in torch.randperm(len(groups), generator=generator).tolist():
            moved = b.then(groups[k], by_slices(groups[k], a, b.parameters))
            reached = apart(a, moved.parameters)
            if reached < square * (1 - _GAIN):  # two places in one parameter: no linear problem
                b, square = moved, reached
        if square == before:
            break
    return b, square


def by_signature(group: Group, a: Named, b: Named) -> Move:
    """By what no other group changes: the absolute values in each slice, sorted."""

    def sketch(parameters: Named) -> Tensor:
        return torch.cat([place.slices(parameters[place.name]).abs().sort(1).values
                          for place in group.places], 1)  # fmt: skip

    p, q = sketch(a), sketch(b)
    return assigned(group, [((0,) * len(group.signs), -torch.cdist(p, q).square())])


def from_known(groups: Sequence[Group], a: Named, b: Matched) -> Matched:
    """From the data on: each time the group with most weights that no open group touches.

    Where no group has any, the next one is matched by signature.
    """
    left = list(groups)
    while left:
        touched = [{place.name for place in group.places} for group in left]
        shares = []
        for k, group in enumerate(left):
            others = set().union(*(touched[:k] + touched[k + 1 :]))
            known = [j for j in group.single if group.places[j].name not in others]
            size = sum(a[group.places[j].name].square().sum().item() for j in known)
            shares.append((size, known))
        k = max(range(len(left)), key=lambda k: shares[k][0])
        group, (size, known) = left.pop(k), shares[k]
        now = b.parameters
        move = by_slices(group, a, now, known) if size > 0 else by_signature(group, a, now)
        b = b.then(group, move)
    return b


def from_signatures(groups: Sequence[Group], a: Named, b: Matched) -> Matched:
    """All groups matched by signature, which needs no order."""
    for group in groups:
        b = b.then(group, by_signature(group, a, b.parameters))
    return b


def scrambled(groups: Sequence[Group], b: Matched, generator: torch.Generator) -> Matched:
    """A random start."""
    for group in groups:
        b = b.then(group, random_move(group, generator))
    return b


# -- by activations -------------------------------------------------------------------------------


class _Listening:
    """Runs a program and keeps what the taps read."""

    bounded = False

    def __init__(self, taps: Sequence[Tap]) -> None:
        self.steps = -1
        self.wanted: dict[int, list[Tap]] = {}
        for tap in taps:
            self.wanted.setdefault(tap.step, []).append(tap)
        self.heard: dict[int, Tensor] = {}

    def __call__(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self.steps += 1
        out = on_any_layout(target)(*args, **kwargs)
        for tap in self.wanted.get(self.steps, ()):
            found = out[tap.result] if isinstance(out, list | tuple) else out
            rows = found.movedim(tap.dim, 0)[tap.positions]
            self.heard[id(tap)] = rows.reshape(len(tap.positions), -1).double()
        return out


def by_activations(found: Symmetries, a: Named, b: Matched) -> Matched:
    """The units of b where their activations on the data are closest to those of a.

    No other group changes a unit's activations, so that one assignment for each group is enough.

    Raises:
        ArgumentError: the network could not be recorded, or takes other branches there.

    Source:
        Ainsworth, Hayase & Srinivasa, Git Re-Basin (ICLR 2023), section 3.1.
    """
    source, taps = found.source, [tap for own in found.taps.values() for tap in own]
    size = block_size(source)
    products: dict[int, Tensor] = {}
    for block in range(-(-min(_SAMPLES, source.samples) // size)):
        x = samples_of(source, block)
        heard = [_heard(found, taps, p, x) for p in (a, b.parameters)]
        for tap in taps:
            p, q = (h[id(tap)] for h in heard)
            scale = float(p.norm() * q.norm()) or 1.0
            products[id(tap)] = products.get(id(tap), 0.0) + p @ q.T / scale
    for group in found.groups:
        own = found.taps.get(group.name, ())
        if not own:
            raise _no_activations(f"no activations of {group.name}")
        move = assigned(group, [(tap.signs, products[id(tap)]) for tap in own])
        b = b.then(group, move)
    return b


def _heard(found: Symmetries, taps: Sequence[Tap], parameters: Named, x: Any) -> dict[int, Tensor]:
    if found.program is None:
        raise _no_activations("a network that cannot be recorded")
    listening = _Listening(taps)
    inputs = [parameters[name] for name in found.source.slices]
    try:
        with torch.no_grad():
            found.program.run(listening, inputs, x)
    except OtherBranch as error:
        raise _no_activations("a network that branches otherwise here") from error
    return listening.heard


def _no_activations(got: str) -> ArgumentError:
    return ArgumentError(
        "by", expected="a network whose activations can be read", got=got,
        cure='match by="weights"',
    )  # fmt: skip
