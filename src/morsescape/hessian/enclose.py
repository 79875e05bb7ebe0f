"""Machines that run a recorded program (see `program`) on plain tensors and on balls."""

from __future__ import annotations

from typing import Any

import torch

from morsescape.hessian import ball_functions  # noqa: F401  registers its rules
from morsescape.hessian.ball_rules import RULES
from morsescape.hessian.balls import NoErrorRule, has_float, of_integers, product, total

aten = torch.ops.aten


class Values:
    """Runs a program on plain tensors, without bounds."""

    bounded = False
    kinks = 0

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
    """

    bounded = True
    family = False  # whether magnitudes are majorants: then the smallest product is unknown

    def __init__(self, ties: bool = False) -> None:
        self.kinks, self.ties = 0, ties

    def __call__(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The operation's rule."""
        name = target.overloadpacket.__name__
        rule = RULES.get(name)
        if rule is not None:
            return of_integers(target, rule(self, target, *args, **kwargs), args)
        if has_float(args) or has_float(list(kwargs.values())):
            raise NoErrorRule(name)
        return of_integers(target, target(*args, **kwargs), args)
