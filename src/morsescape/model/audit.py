"""Is what autograd differentiates f? Read off the model's calls, and probed by differences.

A contradiction between differences and derivatives is refused, with what was seen in the model that
may be its cause. What was seen without a contradiction leaves a doubt, with which nothing is
proved.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils._pytree import tree_leaves

from morsescape.errors import ArgumentError
from morsescape.model.passes import Watch, random_states, refuse_noise, refuse_writes
from morsescape.model.probe import contradiction
from morsescape.model.samples import spread_places
from morsescape.model.source import Source

_MANY = 32  # samples that are probed by numbers


def check_derivatives(source: Source) -> tuple[str, ...]:
    """Refuse an L of which autograd has another gradient or Hessian, that is noisy or writes in θ.

    Returns:
        What was seen that cuts the graph, or replaces a derivative, without a trace in the numbers;
        and of a plain function, whose numbers may be of any size and precision, a contradiction
        that rounding may explain as well.

    Raises:
        ArgumentError: differences contradict autograd, it draws random numbers, or writes into θ.
    """
    what = source.what
    point = source.theta.clone()
    loss = source.on(*source.some(spread_places(source.samples, 4)))
    watch, before = Watch({point.untyped_storage()._cdata: "theta"}), random_states()
    with _named(what):
        with torch.enable_grad(), watch, _Calls() as calls:
            value = loss(point.requires_grad_())
        if not source.of_samples:  # the passes of a model were watched before
            refuse_noise(watch.random, before, what)
            refuse_writes(watch.written, what)
        doubts = tuple(sorted(calls.found | set(_own_functions(value))))
        sentence = contradiction(source, spread_places(source.samples, _MANY))
    if sentence is None:
        return doubts
    if watch.rough and not doubts and not source.of_samples:
        return (sentence,)
    raise _contradicted(what, sentence, doubts)


def check_derivatives_at(source: Source, theta: Tensor) -> None:
    """The same at one point, for what already is in doubt.

    Raises:
        ArgumentError: differences contradict autograd there.
    """
    sentence = contradiction(source, spread_places(source.samples, _MANY), theta)
    if sentence is not None:
        raise _contradicted(source.what, sentence, source.doubts)


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
