"""Is what autograd differentiates f? Read off the model's calls, and probed by differences.

A contradiction between differences and derivatives is refused, with what was seen in the model that
may be its cause. What was seen without a contradiction leaves a doubt, with which nothing is
proved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils._pytree import tree_leaves

from morsescape.errors import ArgumentError
from morsescape.model.passes import Watch, random_states, refuse_noise, refuse_writes
from morsescape.model.probe import contradiction, function_contradiction
from morsescape.model.samples import spread_places
from morsescape.rounding.written_out import written_out

_MANY = 32  # samples that are probed by numbers


def check_derivatives(net: Any) -> tuple[str, ...]:
    """Refuse a loss of which autograd has another gradient or Hessian than f has.

    Returns:
        What was seen in the model that cuts the graph, or replaces a derivative, without a trace
        in the numbers.

    Raises:
        ArgumentError: differences contradict autograd.
    """
    with _named("model"):
        doubts = _suspects(net)
        sentence = contradiction(net, spread_places(net.samples, _MANY))
    if sentence is None:
        return doubts
    raise _contradicted("model", sentence, doubts)


@contextmanager
def _named(what: str) -> Iterator[None]:
    """Say which operation torch cannot differentiate, where it cannot."""
    try:
        yield
    except RuntimeError as missing:  # NotImplementedError is one too
        if "derivative for" not in str(missing):
            raise
        raise ArgumentError(
            what, expected="operations that torch can differentiate",
            got=str(missing).splitlines()[0], cure="write that operation out in others",
        ) from missing  # fmt: skip


def _contradicted(what: str, sentence: str, doubts: tuple[str, ...]) -> ArgumentError:
    names = f" (it uses {', '.join(doubts)})" if doubts else ""
    return ArgumentError(
        what,
        expected="a gradient and a Hessian of autograd that are those of f",
        got=sentence + names,
        cure="take out what cuts the graph (detach, no_grad, .data, casts to integers) or has "
        "derivatives of its own, or let the frozen part not require a gradient",
    )


def check_function(function: Callable[[Tensor], Tensor], theta: Tensor) -> tuple[str, ...]:
    """Refuse a function of a vector of which autograd has another gradient or Hessian.

    Returns:
        The same as `check_derivatives`, and a contradiction that nothing in the calls explains.

    Raises:
        ArgumentError: differences contradict autograd where the graph is cut or replaced, it draws
            random numbers, or writes into θ.
    """
    point = theta.clone()
    watch = Watch({point.untyped_storage()._cdata: "theta"})
    before = random_states()
    with torch.enable_grad(), watch, _Calls() as calls:
        value = function(point.requires_grad_())
    refuse_noise(watch.random, before, "fn")
    refuse_writes(watch.written, "fn")
    doubts = tuple(sorted(calls.found | set(_own_functions(value))))
    with _named("fn"), written_out():  # as it is evaluated ever after
        sentence = function_contradiction(function, theta, spreads=(0.5, 1e-2, 1e-5, 0.0))
    if sentence is None:
        return doubts
    if watch.rough and not doubts:  # then rounding may do it too
        return (sentence,)
    raise _contradicted("fn", sentence, doubts)


# -- what autograd does not see -------------------------------------------------------------------


class _Calls(TorchFunctionMode):
    """Notes calls that cut the graph between parameters and the loss."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        moving = any(isinstance(a, Tensor) and a.requires_grad for a in tree_leaves((args, kwargs)))
        if moving and func in _CUTS:
            self.found.add(_CUTS[func])
        elif moving and not torch.is_grad_enabled() and func not in _GETTERS:
            mode = "inference_mode" if torch.is_inference_mode_enabled() else "no_grad"
            self.found.add(f"torch.{mode}")
        if torch.is_autocast_enabled("cpu"):
            raise ArgumentError(
                "model", expected="arithmetic in float64, as the landscape is computed",
                got=f"torch.autocast switched on inside forward (at {resolve_name(func) or func})",
                cure="leave autocast out, or enabled=False",
            )  # fmt: skip
        return func(*args, **kwargs)


_CUTS = {
    Tensor.detach: "Tensor.detach",
    Tensor.detach_: "Tensor.detach_",
    torch.detach: "torch.detach",
    Tensor.data.__get__: "Tensor.data",  # type: ignore[attr-defined]
    Tensor.item: "Tensor.item",
    Tensor.tolist: "Tensor.tolist",
}
_GETTERS = {
    getattr(Tensor, name).__get__
    for name in ("shape", "dtype", "device", "requires_grad", "ndim", "is_leaf", "grad_fn")
} | {Tensor.size, Tensor.dim, Tensor.numel}


def _suspects(net: Any) -> tuple[str, ...]:
    """Calls that cut the graph, and derivatives that are the caller's own."""
    theta = net.theta.clone().requires_grad_()
    x, y = net.some(spread_places(net.samples, 4))
    with torch.enable_grad(), _Calls() as calls:
        loss = net.chunk_loss(net.unflatten(theta), x, y)
    return tuple(sorted(calls.found | set(_own_functions(loss))))


def _own_functions(loss: Tensor) -> Iterator[str]:
    """Nodes of the graph whose backward is Python: functions of the caller's own."""
    seen, waiting = set(), [loss.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if isinstance(node, torch.autograd.function.BackwardCFunction):
            name = type(node).__name__.removesuffix("Backward")
            yield f"the autograd.Function {name}"
        waiting += [following for following, _ in node.next_functions]
