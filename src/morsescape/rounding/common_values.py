"""What several programs on the same inputs have in common, computed once.

The programs of one chunk (the primal one, one for each source of tangents) all begin with the same
forward and backward pass. An operation is known again by what it reads: the very same objects, or
equal numbers. Values are never written to (see `program`), so an object stands for its value.
"""

from __future__ import annotations

from typing import Any, no_type_check  # what runs for every argument is not checked

import torch
from torch import Tensor

from morsescape.rounding.balls import Ball
from morsescape.rounding.enclose import Enclosure, Values

aten = torch.ops.aten
_SAME = frozenset((aten.alias.default, aten.detach.default))  # nothing is written to: one object
Known = dict[Any, tuple[Any, Any, int]]  # by key: what was read, the result, the kinks


class Shared:
    """Runs `machine` where nothing is known yet; with `keep` all results become known."""

    def __init__(self, machine: Values | Enclosure, known: Known, *, keep: bool = False) -> None:
        self.machine, self.known, self.keep = machine, known, keep
        self.bounded = machine.bounded
        self.kinks, self.moving = 0, True

    def __call__(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The operation's result, known or new."""
        if target in _SAME:
            return args[0]
        key = _key(target, args, kwargs)
        if key in self.known:
            _, result, kinks = self.known[key]
        else:
            before, self.machine.moving = self.machine.kinks, self.moving
            result = self.machine(target, args, kwargs)
            kinks = self.machine.kinks - before
            if self.keep:  # what was read too, or another object could get its id
                self.known[key] = (args, kwargs), result, kinks
        self.kinks += kinks
        return result


@no_type_check
def _key(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return target, _part(args), tuple((name, _part(kwargs[name])) for name in sorted(kwargs))


@no_type_check
def _part(part: Any) -> Any:
    if isinstance(part, Ball):
        return id(part.mid) if part.rad is None else id(part)
    if isinstance(part, Tensor):
        return id(part)
    if isinstance(part, list | tuple):
        return tuple([_part(p) for p in part])
    return type(part), part  # 1, 1.0 and True are equal
