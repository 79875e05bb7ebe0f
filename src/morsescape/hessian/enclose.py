"""Trace a tensor function and enclose it: run its program on balls, operation by operation."""

from __future__ import annotations

from collections.abc import Callable
from operator import getitem
from typing import Any

import torch
from torch import Tensor
from torch.func import functionalize
from torch.fx import GraphModule, Interpreter
from torch.fx.experimental.proxy_tensor import make_fx

from morsescape.hessian import ball_functions  # noqa: F401  registers its rules
from morsescape.hessian.ball_rules import RULES, decompositions
from morsescape.hessian.balls import Ball, product


class NoErrorRule(Exception):
    """An operation in the program has no rule, so nothing can be proved about its rounding."""

    def __init__(self, operation: str) -> None:
        super().__init__(operation)
        self.operation = operation


def trace(function: Callable[..., Any], *example: Any) -> GraphModule:
    """The function as a graph of elementary aten operations, for inputs shaped like `example`."""
    pure = functionalize(lambda *inputs: function(*inputs))  # without writes in place
    graph = make_fx(pure, decomposition_table=decompositions())(*example)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph


class Enclosure(Interpreter):
    """Runs a traced program on balls. Integers and booleans pass through as plain tensors.

    `kinks` counts the branch decisions (ReLU, maximum, comparison) that rounding could have
    turned: values whose ball touches the threshold.
    """

    def __init__(self, program: GraphModule) -> None:
        super().__init__(program)
        self.kinks = 0

    def call_function(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if target is getitem:
            return args[0][args[1]]
        name = target.overloadpacket.__name__
        rule = RULES.get(name)
        if rule is not None:
            return rule(self, target, *args, **kwargs)
        if _has_float(args) or _has_float(list(kwargs.values())):
            raise NoErrorRule(name)
        return target(*args, **kwargs)  # constants, integers: no rounding


def _has_float(part: Any) -> bool:
    if isinstance(part, Ball):
        return True
    if isinstance(part, Tensor):
        return part.is_floating_point()
    return isinstance(part, list | tuple) and any(_has_float(p) for p in part)


class Values(Enclosure):
    """Runs a traced program on plain tensors, without bounds."""

    def call_function(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if target in (torch.ops.aten.view.default, torch.ops.aten._unsafe_view.default):
            return args[0].reshape(args[1])
        if target is torch.ops.aten.bmm.default:
            return product(*args)
        return target(*args, **kwargs)
