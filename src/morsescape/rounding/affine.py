"""In which groups of its inputs a recorded program is affine, and which operations have kinks.

One more reader of recorded programs: every number carries, for each group that it depends on, how
it does so while the others are fixed. What it calls affine is so; a step that is constant between
its jumps makes of what is affine something that is so piece by piece. An operation without an
entry in the table may be anything.
"""

from __future__ import annotations

from collections import UserDict
from collections.abc import Iterable
from enum import IntEnum
from typing import Any

import torch

from morsescape.rounding.nests import leaves_of
from morsescape.rounding.operations import Kind, Operation, operation
from morsescape.rounding.steps import Program, Step, read


class Shape(IntEnum):
    """How a value depends on a group of inputs."""

    STEP = 0  # piecewise constant
    AFFINE = 1
    PIECES = 2  # piecewise affine
    BENT = 3  # in any other way


class Flow(UserDict[str, Shape]):
    """The groups that a value depends on, and how; no dictionary, which would be a nest."""


def flows_of(program: Program, *inputs: Flow) -> tuple[list[Flow], frozenset[str]]:
    """Of the program's outputs; and the operations on the way that are not C² everywhere.

    Of operations that were written out by others, the names of the outermost.
    """
    values: dict[int, Any] = dict(enumerate(inputs))
    rough: set[str] = set()
    for step in program.steps:
        entry = operation(step.target.overloadpacket.__name__)
        args, kwargs = read((step.args, step.kwargs), values)
        if any(_flows((args, kwargs))) and _has_kinks(step, entry, args, kwargs):
            outermost = step.inside[0] if step.inside else entry.name
            rough.add(outermost.removesuffix("_with_indices"))
        flow = _flow(step, entry, args, kwargs)
        moves = entry.kind is Kind.MOVES
        for k, slot in enumerate(step.results):  # values, then where they were found
            values[slot] = flow if k == 0 or moves else _lifted(flow, Shape.STEP)
    outputs = read(list(program.outputs), values)
    return [out if isinstance(out, Flow) else Flow() for out in outputs], frozenset(rough)


def _flows(part: Any) -> list[Flow]:
    return [leaf for leaf in leaves_of(part) if isinstance(leaf, Flow)]


def _has_kinks(step: Step, entry: Operation, args: Any, kwargs: Any) -> bool:
    around = [operation(name) for name in step.inside]
    if any(e.kind is Kind.SMOOTH and not e.kinks for e in around):
        return False  # a branch of the formula that the function has not
    return any(e.kinks for e in (*around, entry)) or _rounds_to_whole(entry, kwargs)


def _rounds_to_whole(entry: Operation, kwargs: dict[str, Any]) -> bool:
    if entry.kind is Kind.CONVERTS:
        dtype = kwargs.get("dtype")
        return isinstance(dtype, torch.dtype) and not (dtype.is_floating_point or dtype.is_complex)
    return kwargs.get("rounding_mode") is not None


def _flow(step: Step, entry: Operation, args: Any, kwargs: Any) -> Flow:
    """How the operation's result depends on what its arguments depend on."""
    whole = together(_flows((args, kwargs)))
    if entry.kind in (Kind.FILLS, Kind.UNSET):
        return Flow()
    if entry.kind is Kind.STEP or _rounds_to_whole(entry, kwargs):
        return _lifted(whole, Shape.STEP)
    if entry.kind in (Kind.MOVES, Kind.LINEAR, Kind.CONVERTS):
        return whole
    if entry.kind is Kind.SPREADS:
        return together(_flows(args[1:]))
    if entry.kind is Kind.BILINEAR and not kwargs:
        return _product(*(together(_flows(a)) for a in args[:2]))
    if entry.kind is Kind.QUOTIENT and not kwargs:
        return _product(together(_flows(args[0])), _lifted(together(_flows(args[1])), Shape.BENT))
    if entry.kind is Kind.SELECTS:
        places = 0 if entry.name == "where" else 1
        rest = [a for k, a in enumerate(args) if k != places]
        return _product(together(_flows(args[places])), together(_flows(rest)))
    if entry.kind is Kind.CHOOSES:
        return _product(together(_flows(args[1:])), together(_flows(args[0])))
    return _lifted(whole, Shape.PIECES if entry.kind is Kind.PIECES else Shape.BENT)


def together(flows: Iterable[Flow]) -> Flow:
    """How a sum of such values depends on what they depend on."""
    total = Flow()
    for flow in flows:
        for group, shape in flow.items():
            before = total.get(group, shape)
            apart = {before, shape} == {Shape.STEP, Shape.AFFINE}
            total[group] = Shape.PIECES if apart else max(before, shape)
    return total


def _product(a: Flow, b: Flow) -> Flow:
    """Of values that are affine each: affine where one is constant, bent where they meet."""
    total = Flow({**a, **b})
    for group in a.keys() & b.keys():
        low, high = sorted((a[group], b[group]))
        if low is not Shape.STEP:
            total[group] = Shape.BENT
        else:
            total[group] = Shape.PIECES if high is Shape.AFFINE else high
    return total


def _lifted(flow: Flow, to: Shape) -> Flow:
    """After a function that makes of an affine value one of this shape; constants stay so."""
    if to is Shape.STEP:
        return Flow({g: s if s is Shape.BENT else Shape.STEP for g, s in flow.items()})
    return Flow({g: s if s is Shape.STEP else max(s, to) for g, s in flow.items()})
