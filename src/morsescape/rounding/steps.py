"""A straight-line program of elementary aten operations, and what it takes to run it.

A program can be run on any inputs of the shapes that it was recorded with (see `program`), by a
machine that decides what a number is: a plain tensor, a ball, a family.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Protocol, no_type_check, runtime_checkable

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_structure, tree_unflatten

from morsescape.rounding.balls import Ball, once
from morsescape.rounding.constants import constant_ball
from morsescape.rounding.nests import leaves_of
from morsescape.rounding.operations import operation


@runtime_checkable
class Machine(Protocol):
    """Carries out one operation; `bounded` says whether it works on balls."""

    bounded: bool

    def __call__(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The operation's result."""


@runtime_checkable
class Judge(Machine, Protocol):
    """A machine that counts decisions: it is told whether an operation depends on input 0."""

    moving: bool


class NotTraceable(Exception):
    """No program describes the function.

    `reads_numbers`: it takes numbers, shapes or branches from the values of tensors.
    """

    def __init__(self, what: str, *, reads_numbers: bool = False) -> None:
        super().__init__(what)
        self.reads_numbers = reads_numbers


class OtherBranch(NotTraceable):
    """A program was run where its function takes another branch than where it was recorded."""

    def __init__(self, what: str = "one that branches on the values of a tensor") -> None:
        super().__init__(what, reads_numbers=True)


@dataclass(frozen=True)
class Slot:
    """Stands in a step's arguments for a value computed before."""

    number: int


@dataclass
class Constant:
    """A tensor of floating-point numbers that is no input; wrapped for the machine once."""

    tensor: Tensor

    @cached_property
    def ball(self) -> Ball:
        """The tensor as a ball, exact but for named constants, which keeps its magnitudes."""
        return constant_ball(self.tensor)


def plain(x: Tensor) -> Tensor:
    """What a constant holds of a tensor: zeros and ones take no memory."""
    small = once(x)
    for number in (0, 1):
        if bool((small == number).all()):
            return _filled(number, x.shape, x.dtype)
    return x


@cache
def _filled(number: int, shape: torch.Size, dtype: torch.dtype) -> Tensor:
    """The same object for the same shape, so that programs share what they compute with it."""
    return torch.full((), number, dtype=dtype).expand(shape)


@dataclass(eq=False)  # not frozen: thousands are made
class Step:
    """One operation: what it reads, where its results go and which slots nobody reads again.

    `moves` says whether it depends on input 0, the point at which a function is studied; `inside`
    names the operations that it was written out from, the outermost first.
    """

    target: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    results: tuple[int, ...]
    many: bool
    last_read: tuple[int, ...] = ()
    moves: bool = True
    inside: tuple[str, ...] = ()

    @cached_property
    def reads(self) -> frozenset[int]:
        """The slots among its arguments."""
        return frozenset(
            part.number for part in leaves_of((self.args, self.kwargs)) if isinstance(part, Slot)
        )


@dataclass(frozen=True)
class Program:
    """Inputs are slots 0, 1, ...; `outputs` are slots or constants, in the layout of `spec`.

    The program is the function only where the booleans in the slots of `assumed` have the values
    that they had when it was recorded: the function has branched on them.
    """

    inputs: int
    steps: tuple[Step, ...]
    outputs: tuple[Any, ...]
    spec: Any
    assumed: tuple[tuple[int, bool], ...] = ()

    def run(self, machine: Machine, *inputs: Any) -> Any:
        """The function's value, each operation carried out as machine(target, args, kwargs).

        Raises:
            OtherBranch: the function branches, and does so otherwise on these inputs.
        """
        values: dict[int, Any] = dict(enumerate(tree_leaves(inputs)))
        bounded = machine.bounded
        judge = machine if isinstance(machine, Judge) else None
        for step in self.steps:
            kwargs = read(step.kwargs, values, bounded) if step.kwargs else {}
            if judge is not None:
                judge.moving = step.moves
            result = machine(step.target, read(step.args, values, bounded), kwargs)
            if step.many:
                values.update(zip(step.results, result, strict=True))
            else:
                values[step.results[0]] = result
            for slot in step.last_read:
                del values[slot]
        if any(bool(values[slot]) != taken for slot, taken in self.assumed):
            raise OtherBranch()
        return tree_unflatten([read(o, values, bounded) for o in self.outputs], self.spec)

    def up_to(self, step: int) -> Program:
        """The program that ends with the result of one step."""
        outputs = (Slot(self.steps[step].results[0]),)
        steps = tidy(list(self.steps[: step + 1]), outputs, [])
        return Program(self.inputs, steps, outputs, tree_structure(0))

    @property
    def operations(self) -> tuple[str, ...]:
        """The names of its aten operations, sorted, each once.

        Example:
            >>> import torch
            >>> from morsescape.rounding.program import record
            >>> record(lambda v: (v.sin() * 2).sum(), torch.ones(3)).operations
            ('mul', 'sin', 'sum')
        """
        return tuple(sorted({step.target.overloadpacket.__name__ for step in self.steps}))

    @property
    def branches(self) -> tuple[str, ...]:
        """Those with kinks, or what was written out with them, and its gradient, by one name."""
        found = set()
        for step in self.steps:
            name = step.target.overloadpacket.__name__
            if operation(name).kinks:
                found.add((*step.inside, name)[0].removesuffix("_backward"))
        return tuple(sorted(found))


@no_type_check  # called for every argument of every operation
def read(part: Any, values: Mapping[int, Any], bounded: bool = False) -> Any:
    """A step's argument, with values in place of slots and constants."""
    if isinstance(part, Slot):
        return values[part.number]
    if isinstance(part, Constant):
        return part.ball if bounded else part.tensor
    if isinstance(part, list | tuple):
        return type(part)([read(p, values, bounded) for p in part])
    if isinstance(part, dict):
        return {k: read(p, values, bounded) for k, p in part.items()}
    return part


def tidy(
    steps: list[Step], outputs: tuple[Any, ...], assumed: list[tuple[int, bool]]
) -> tuple[Step, ...]:
    """Without steps that nothing needs; every step told what moves and what may be forgotten."""
    moving = {0}
    for step in steps:
        if not moving.isdisjoint(step.reads):
            moving.update(step.results)
    wanted = {o.number for o in outputs if isinstance(o, Slot)} | {slot for slot, _ in assumed}
    kept: list[Step] = []
    for step in reversed(steps):
        if wanted.isdisjoint(step.results):
            continue
        last = tuple((step.reads - wanted) | (set(step.results) - wanted))
        moves = not moving.isdisjoint(step.reads)
        what = step.target, step.args, step.kwargs, step.results, step.many
        kept.append(Step(*what, last, moves, step.inside))
        wanted |= step.reads
    return tuple(reversed(kept))
