"""The symmetries of a network's parameters: units that may be permuted, flipped or rescaled.

They are read off the recorded program of the network, whatever its modules are called: which axes
belong together (`axis_rules`), which exponents agree (`exponents`). Every one is then tried out: at
random parameters the outputs must stay what they are. What is not understood, or fails, is left
out and named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from morsescape.boundary import a_seed, checked, instance
from morsescape.errors import first_line
from morsescape.model.samples import spread_places
from morsescape.model.source import Parameters, Source
from morsescape.objective import Objective
from morsescape.paths.axes import EXPECTED, OUTPUTS, Axis, Tag, Tagged, positions
from morsescape.paths.axis_rules import Axes, of_data, of_parameter
from morsescape.paths.exponents import Exponentiated, solutions, value_at
from morsescape.paths.moves import Group, Move, Place, components, random_move
from morsescape.rounding.program import NotTraceable, Program, record

_SAMPLES = 32  # with which the program is recorded, at most
_NUMBERS = 2**14  # of all their inputs, roughly
TOLERANCE = 1e-12  # of outputs, against the largest of them
_POINTS = 2  # at which every symmetry is tried out
_MOST_WAYS = 6  # to flip one entry of a unit, all combinations of which are compared


@dataclass(frozen=True, eq=False)
class Tap:
    """Where a group's activations appear in the program.

    Attributes:
        step: which operation.
        result: which of its results.
        dim, positions: as of a `Place`.
        signs: exponents of the group's ways to flip.
    """

    step: int
    result: int
    dim: int
    positions: Tensor
    signs: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Symmetries:
    """The symmetry group of f, as far as it is known.

    Attributes:
        groups: units that may be permuted, group by group.
        unknown: what was left out, and why: a sentence each.
        program: the outputs on a few samples; None where it could not be recorded.
        taps: by group, where its activations can be read in the program.
        source: the network.
    """

    groups: tuple[Group, ...]
    unknown: tuple[str, ...]
    program: Program | None
    taps: Mapping[str, tuple[Tap, ...]]
    source: Source

    def __str__(self) -> str:
        lines = [f"{group.name}: {group}" for group in self.groups] or ["no symmetry found"]
        return "\n".join([*lines, *(f"left out: {reason}" for reason in self.unknown)])

    def apply(self, theta: Float64[Tensor, "D"], move: Move) -> Float64[Tensor, "D"]:
        """θ moved by a symmetry."""
        parameters = self.source.unflatten(theta)
        for group in self.groups:
            parameters = move.on(group, parameters)
        return self.flatten(parameters)

    def flatten(self, parameters: Parameters) -> Float64[Tensor, "D"]:
        """The inverse of `source.unflatten`."""
        return torch.cat([parameters[name].reshape(-1) for name in self.source.slices])

    @checked(seed=a_seed())
    def random(self, *, seed: int = 0, scales: bool = False) -> Move:
        """A random symmetry: a permutation and signs in every group, and factors on demand."""
        generator = torch.Generator().manual_seed(seed)
        moves = [random_move(group, generator, scales=scales) for group in self.groups]
        return Move(*(
            {k: v for move in moves for k, v in part(move).items()}
            for part in (lambda m: m.permutations, lambda m: m.signs, lambda m: m.scales)
        ))  # fmt: skip


@checked(f=instance(Objective, "build one with ms.Objective(model, loss, data)"), seed=a_seed())
def symmetries(f: Objective, *, seed: int = 0) -> Symmetries:
    """The symmetries of a network's outputs, for every input: read off, then tried out.

    A group is a set of hidden units (or channels, attention heads, entries of a residual stream)
    that may be permuted, wherever they occur in θ, without changing any output. In a group with
    `signs` each unit may be flipped, in one with `scales` multiplied by a positive factor, as its
    exponents say. Rescaling leaves L what it is but not λ‖θ‖², so that it is none of f for λ > 0.

    Buffers of the model are constants of f, and no part of θ: where those of a group differ from
    unit to unit (the statistics of a batch normalisation), permuting the units would need them to
    be permuted as well. So it is no symmetry, and the group is named in `unknown`. What is not
    looked for: symmetries of the loss alone, as the shift of all logits under a softmax, rotations
    of linear subspaces, and the flip of a layer that has one unit or channel only.

    Args:
        f: an objective. One made from a function has the symmetries that its program shows.
        seed: of the random parameters at which each one is tried out.

    Returns:
        The groups. Each has passed: at two random points its outputs changed by at most 1e-12 of
        the largest. That is evidence, not a theorem.

    Raises:
        ArgumentError: f is no objective.

    Source:
        Hecht-Nielsen (1990); Chen, Lu & Hecht-Nielsen, On the geometry of feedforward neural
        network error surfaces (1993), for permutations and signs; Neyshabur, Salakhutdinov &
        Srebro, Path-SGD (2015), section 2, for rescaling.

    Example:
        >>> import torch, morsescape as ms
        >>> from morsescape.paths.symmetry import symmetries
        >>> net = torch.nn.Sequential(
        ...     torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 1)
        ... )
        >>> f = ms.Objective(net, "mse", (torch.randn(9, 3), torch.randn(9, 1)))
        >>> print(symmetries(f))
        0.weight[0]: 5 units that may be permuted or flipped: 0.weight[0], 0.bias[0], 2.weight[1]
    """
    found: Symmetries = f.source.programs.get(
        "symmetries", seed, lambda: _tried(_read_off(f.source), seed)
    )
    return found


# -- reading -------------------------------------------------------------------------------------


def traced(source: Source) -> Callable[[Sequence[Tensor], Any], Any]:
    """What a symmetry must leave as it is, as a function of parameters and inputs."""
    names = list(source.slices)

    def outputs(parameters: Sequence[Tensor], x: Any) -> Any:
        found = source.output(dict(zip(names, parameters, strict=True)), x)
        return found if source.of_samples else source.share(found, None)

    return outputs


def samples_of(source: Source, block: int = 0) -> Any:
    """The inputs on which the program is recorded, or as many others."""
    places = spread_places(source.samples, block_size(source))
    return source.some((places + block) % source.samples)[0]


def block_size(source: Source) -> int:
    """How many samples the program is recorded with."""
    few = max(4, min(_SAMPLES, _NUMBERS // source.sample_numbers))
    return min(few, source.samples)


def _read_off(source: Source) -> Symmetries:
    x = samples_of(source)
    parameters = [p.clone() for p in source.unflatten(source.theta).values()]
    try:
        program = record(traced(source), parameters, x)
        axes = Axes(_names(source))
        tagged = [of_parameter(p) for p in parameters]
        data = tree_map(lambda leaf: of_data(leaf) if isinstance(leaf, Tensor) else leaf, x)
        with torch.no_grad():
            out = program.run(axes, tagged, data)
    except (NotTraceable, RuntimeError, TypeError, ValueError, IndexError, KeyError) as error:
        reason = f"all parameters: the network cannot be recorded: {first_line(error)}"
        return Symmetries((), (reason,), None, {}, source)
    for leaf in tree_leaves(out):
        if isinstance(leaf, Tagged):
            for axis in leaf.tag.axes:
                axis.fix(OUTPUTS)
    return _grouped(source, program, axes, [t.tag for t in tagged])


def _names(source: Source) -> dict[int, str]:
    """Of the model's own constants, by where they lie."""
    model = source.model
    frozen = [(n, p) for n, p in model.named_parameters() if n not in source.shapes]
    return {t.data_ptr(): name for name, t in [*model.named_buffers(), *frozen] if t.numel()}


def _grouped(
    source: Source, program: Program, axes: Axes, tags: Sequence[Tag]
) -> Symmetries:  # fmt: skip
    places: dict[int, list[Place]] = {}
    leaves: dict[int, Axis] = {}
    for name, tag in zip(source.slices, tags, strict=True):
        for dim, axis in enumerate(tag.axes):
            for leaf, where in positions(axis):
                if leaf.size > 1:
                    leaves[id(leaf)] = leaf
                    places.setdefault(id(leaf), []).append(Place(name, dim, where))
    groups: list[Group] = []
    unknown: list[str] = []
    taps: dict[str, tuple[Tap, ...]] = {}
    for key, leaf in leaves.items():
        own, first = tuple(places[key]), places[key][0]
        name = f"{first.name}[{first.dim}]"
        while any(group.name == name for group in groups):
            name += "'"  # several groups along one axis, as of attention in one matrix
        if not leaf.why:
            group, signed, less = _with_factors(Group(name, leaf.size, own), leaf, axes, tags)
            groups.append(group)
            if less:
                unknown.append(f"{name}, {leaf.size} units: some of their signs or factors")
            taps[name] = _taps(group, leaf, axes, signed)
        elif not leaf.why & EXPECTED:
            unknown.append(f"{name}, {leaf.size} units: {', '.join(sorted(leaf.why))}")
    return Symmetries(tuple(groups), tuple(dict.fromkeys(unknown)), program, taps, source)


def _with_factors(
    group: Group, leaf: Axis, axes: Axes, tags: Sequence[Tag]
) -> tuple[Group, Exponentiated, bool]:
    """With its signs and scales; whether there are others, of which nothing is made here."""
    found = []
    for signed in (True, False):
        exponents = Exponentiated(leaf, tags, signs=signed)
        exponents.follow(axes.noted)
        found.append(exponents)
    signs, scales = map(solutions, found)
    parts = components(zip(*signs, strict=True), len(signs))
    kept = sorted(w for part in parts for w in part[:_MOST_WAYS])
    simple = [way for way in scales if set(way) <= {-1, 0, 1} and {-1, 1} <= set(way)]
    less = len(kept) < len(signs) or len(simple) < len(scales)
    ways = tuple(signs[w] for w in kept)
    return replace(group, signs=ways, scales=tuple(simple)), found[0], less


def _taps(
    group: Group, leaf: Axis, axes: Axes, signed: Exponentiated
) -> tuple[Tap, ...]:  # fmt: skip
    """Where data give the units a value: first, last, and for each way first where it flips it."""
    found = []
    for k, step in enumerate(axes.noted):
        for r, tag in enumerate(step.results):
            counts = signed.counts(tag)
            if not (tag.data and sum(counts) == 1 and step.args):
                continue
            dim = counts.index(1)
            (where,) = (p for own, p in positions(tag.axes[dim]) if own is leaf.root)
            exponent = signed.of(tag)[dim][0]
            signs = tuple(value_at(exponent, way) % 2 for way in group.signs)
            found.append(Tap(k, r, dim, where, signs))
    shown = [next((tap for tap in found if tap.signs[w]), None) for w in range(len(group.signs))]
    chosen = [*found[:1], *(tap for tap in shown if tap is not None), *found[-1:]]
    return tuple(dict.fromkeys(chosen))


# -- trying out -----------------------------------------------------------------------------------


def _tried(found: Symmetries, seed: int) -> Symmetries:
    """Without what changes an output."""
    generator = torch.Generator().manual_seed(seed)
    groups, unknown, taps = [], list(found.unknown), {}
    for group in found.groups:
        bare = replace(group, signs=(), scales=())
        if not _holds(found, bare, _permutations(bare, generator), generator):
            unknown.append(f"{group.name}, {group.size} units: permuting them changes an output")
            continue
        signs = tuple(way for way in group.signs
                      if _holds_way(found, replace(bare, signs=(way,)), generator))  # fmt: skip
        scales = tuple(way for way in group.scales
                       if _holds_way(found, replace(bare, scales=(way,)), generator))  # fmt: skip
        if (len(signs), len(scales)) != (len(group.signs), len(group.scales)):
            unknown.append(f"{group.name}, {group.size} units: factors that change an output")
        groups.append(replace(group, signs=signs, scales=scales))
        kept = [k for k, way in enumerate(group.signs) if way in signs]
        taps[group.name] = tuple(
            replace(tap, signs=tuple(tap.signs[k] for k in kept)) for tap in found.taps[group.name]
        )
    return replace(found, groups=tuple(groups), unknown=tuple(unknown), taps=taps)


def _permutations(group: Group, generator: torch.Generator) -> list[Move]:
    """All of them are products of a cycle and one exchange; a random one besides."""
    cycle = torch.arange(group.size).roll(1)
    exchange = torch.arange(group.size)
    exchange[:2] = torch.tensor([1, 0])
    orders = (cycle, exchange, torch.randperm(group.size, generator=generator))
    return [Move({group.name: order}) for order in orders]


def _holds_way(found: Symmetries, group: Group, generator: torch.Generator) -> bool:
    """One unit alone, of which permutations make every one, and random factors for all."""
    moves = []
    for only in (group.size, 1):
        move = random_move(group, generator, scales=True)
        parts = []
        for kind in (move.signs, move.scales):
            factors = {name: rows.clone() for name, rows in kind.items()}
            for rows in factors.values():
                rows[:, only:] = 1.0
                rows[:, 0] = torch.where(rows[:, 0] == 1.0, -1.0, rows[:, 0])
            parts.append(factors)
        moves.append(Move({}, *parts))
    return _holds(found, group, moves, generator)


def _holds(
    found: Symmetries, group: Group, moves: Sequence[Move], generator: torch.Generator
) -> bool:
    """Whether moves of a group leave the outputs as they are, at random parameters."""
    source = found.source
    size = max(float(source.theta.abs().mean()), 0.1)
    for _ in range(_POINTS):
        noise = torch.randn(source.dim, generator=generator, dtype=torch.float64)
        parameters = source.unflatten(source.theta + 0.5 * size * noise)
        before = outputs_of(source, parameters)
        for move in moves:
            if not agree(before, outputs_of(source, move.on(group, parameters))):
                return False
    return True


def outputs_of(source: Source, parameters: Parameters) -> list[Tensor]:
    """What a symmetry must leave as it is, on the samples of the program."""
    with torch.set_grad_enabled(source.needs_graph):
        out = traced(source)([parameters[name] for name in source.slices], samples_of(source))
    return [leaf.detach().double() for leaf in tree_leaves(out) if isinstance(leaf, Tensor)]


def agree(before: Sequence[Tensor], after: Sequence[Tensor]) -> bool:
    """Whether outputs are the same, up to 1e-12 of the largest."""
    return all(
        not p.numel() or bool((p - q).abs().max() <= TOLERANCE * p.abs().max())
        for p, q in zip(before, after, strict=True)
    )
