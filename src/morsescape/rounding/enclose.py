"""Machines that run a recorded program (see `program`) on plain tensors and on balls."""

from __future__ import annotations

from typing import Any, no_type_check

import torch

from morsescape.errors import is_out_of_memory
from morsescape.rounding import (  # noqa: F401  register their rules
    ball_branches,
    ball_functions,
    ball_writes,
)
from morsescape.rounding.balls import Ball, NoErrorRule, has_float, of_integers
from morsescape.rounding.operations import BALL, Column
from morsescape.rounding.sums import product, total

aten = torch.ops.aten


class Values:
    """Runs a program on plain tensors, without bounds."""

    bounded = False
    kinks = 0
    moving = True

    def __call__(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The operation, with long sums split."""
        if target in (aten.view.default, aten._unsafe_view.default):
            return args[0].reshape(args[1])
        if target in (aten.mm.default, aten.bmm.default):
            return product(*args)
        if target in (aten.sum.default, aten.sum.dim_IntList):
            return total(*args, **kwargs)
        return target(*args, **kwargs)


class Enclosure:
    """Runs a program on balls. Integers and booleans pass through as plain tensors.

    `kinks` counts the branch decisions (ReLU, maximum, comparison) that rounding could have
    turned: values whose ball touches the threshold. With `ties` it also counts windows of pooling
    in which another entry may be the largest: always in a box, where entries that are equal at its
    centre part; at a point the index that was taken is kept, and equal entries are the rule.
    `moving` says whether the operation depends on the point; a decision that does not is none.
    """

    bounded = True
    family = False  # whether magnitudes are majorants: then the smallest product is unknown

    def __init__(self, ties: bool = False) -> None:
        self.kinks, self.ties, self.moving = 0, ties, True

    def __call__(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The operation's rule."""
        name = target.overloadpacket.__name__
        if name in BALL:
            return of_integers(target, carry_out(BALL, self, target, args, kwargs), args)
        if has_float((args, kwargs)):
            raise NoErrorRule(name)
        return of_integers(target, refuse_complex(target(*args, **kwargs), args), args)


def carry_out(column: Column, run: Any, target: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Apply the operation's rule in a number system.

    Raises:
        NoErrorRule: it has none, or not for these arguments.
    """
    name = target.overloadpacket.__name__
    if name not in column:
        raise NoErrorRule(name)
    if kwargs and getattr(kwargs.get("dtype"), "is_complex", False):
        raise NoErrorRule("complex numbers")
    try:
        return refuse_complex(column[name](run, target, *args, **kwargs), args)
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as e:
        if is_out_of_memory(e):
            raise
        raise NoErrorRule(name) from e


@no_type_check
def refuse_complex(result: Any, args: Any) -> Any:
    """The result, if there are no complex numbers: those would pass for integers.

    Raises:
        NoErrorRule: there are.
    """
    for part in (result, *args):
        x = part.mid if isinstance(part, Ball) else part
        if isinstance(x, torch.Tensor) and x.is_complex():
            raise NoErrorRule("complex numbers")
    return result
