"""What a forward pass does besides giving an output: draws, writes, remembers.

The landscape is a function only if every pass gives the same: no random number is drawn, nothing
that lasts is written, nothing computed from the parameters is kept for the next call, and nothing
asks whether autograd records.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from morsescape.errors import ArgumentError
from morsescape.model.independence import farthest, tensors_of
from morsescape.model.samples import spread_places, take

_LARGE = 1e8
_REPEATS = 8  # forward passes that must agree to the last bit


def check_passes(net: Any, fresh: nn.Module, computed: set[tuple[str, str]]) -> None:
    """Refuse a forward pass that draws numbers, writes, or depends on those before it.

    Args:
        net: the network under construction: its model, inputs and parameters.
        fresh: a copy of the model that was never run.
        computed: its attributes that autograd once computed.

    Raises:
        ArgumentError: it does.
    """
    x = take(net.x, spread_places(net.samples, 4))
    parameters = net.unflatten(net.theta.clone())
    kept = dict(_held(net.model))
    watch = Watch(_protected(net.model, parameters, x))
    before = random_states()
    try:
        with torch.enable_grad(), watch:
            net.output(parameters, x)
    except RuntimeError:
        return  # `_learn_inputs` tries again with other inputs, and says what is wrong
    refuse_noise(watch.random, before)
    refuse_writes(watch.written)
    _refuse_kept(net.model, kept, computed)
    _check_recording(net, x)
    _check_history(net, fresh, x)


# -- what a pass does -----------------------------------------------------------------------------


def check_loss(loss: Any, output: Any, y: Any) -> None:
    """Refuse a loss that draws random numbers, or writes into outputs or targets.

    Raises:
        ArgumentError: it does.
    """
    leaves = [leaf for leaf in tree_leaves((output, y)) if isinstance(leaf, Tensor)]
    watch = Watch({leaf.untyped_storage()._cdata: "outputs or targets" for leaf in leaves})
    before = random_states()
    with torch.enable_grad(), watch:
        loss(output, y)
    refuse_noise(watch.random, before, "loss")
    refuse_writes(watch.written, "loss")


class Watch(TorchDispatchMode):
    """Notes operations that draw random numbers, and writes into what is protected.

    `rough`: some number was large, or of a lower precision, so that rounding may rule.
    """

    def __init__(self, protected: dict[int, str]) -> None:
        super().__init__()
        self.protected, self.random, self.written = protected, set[str](), set[str]()
        self.rough = False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded in func.tags and not _is_idle(func, args, kwargs):
            self.random.add(f"aten.{func.overloadpacket.__name__}")
        for argument, value in zip(func._schema.arguments, args, strict=False):
            writes = argument.alias_info is not None and argument.alias_info.is_write
            if writes and isinstance(value, Tensor):
                name = self.protected.get(value.untyped_storage()._cdata)
                if name is not None:
                    self.written.add(f"{name} (by {func.overloadpacket.__name__})")
        out = func(*args, **kwargs)
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor) and leaf.is_floating_point():
                cast = func.overloadpacket.__name__ == "_to_copy"  # a 0 may have been a number
                low = leaf.dtype != torch.float64 and (cast or bool(leaf.any()))
                self.rough |= low or bool((leaf.abs() > _LARGE).any())
        return out


def _is_idle(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """An operation that draws only in training mode, outside of it."""
    names = [a.name for a in func._schema.arguments]
    given = dict(zip(names, args, strict=False)) | kwargs
    training = given.get("train", given.get("training"))
    return training is False or given.get("p", given.get("dropout_p", 1.0)) == 0.0


def _protected(model: nn.Module, parameters: dict[str, Tensor], x: Any) -> dict[int, str]:
    named = [(f"the parameter {k!r}", v) for k, v in parameters.items()]
    named += [(f"the buffer {k!r}", v) for k, v in model.named_buffers()]
    named += [(f"the parameter {k!r}", v) for k, v in model.named_parameters()]
    named += [("its input", v) for v in tree_leaves(x) if isinstance(v, Tensor)]
    return {v.untyped_storage()._cdata: k for k, v in reversed(named) if v.numel()}


def random_states() -> tuple[Any, ...]:
    """Of Python's, NumPy's and torch's generators."""
    numbers = np.random.get_state()  # noqa: NPY002  # the caller's, to see it move
    return random.getstate(), (numbers[1].tobytes(), numbers[2]), torch.get_rng_state()  # type: ignore[index]


def refuse_noise(drawn: set[str], before: tuple[Any, ...], what: str = "model") -> None:
    """Refuse what drew random numbers: by torch's operations, or from any generator."""
    after = random_states()
    sources = sorted(drawn)
    sources += ["Python's random"] if before[0] != after[0] else []
    sources += ["numpy.random"] if before[1] != after[1] else []
    if not sources and not torch.equal(before[2], after[2]):
        sources = ["torch's generator"]
    if sources:
        raise ArgumentError(
            what,
            expected="the same output for the same input",
            got=f"random numbers drawn in forward by {', '.join(sources)}",
            cure="switch off the model's noise (model.eval() where forward asks for it), or fix "
            "its random draws before the call",
        )


def refuse_writes(written: set[str], what: str = "model") -> None:
    """Refuse what wrote into parameters, buffers or inputs."""
    if written:
        raise ArgumentError(
            what,
            expected="a forward pass that leaves its parameters, buffers and inputs as they are",
            got=f"one that writes into {', '.join(sorted(written))}",
            cure="compute a new tensor instead (without max_norm, clamp_ and the like)",
        )


def _held(model: nn.Module) -> Iterator[tuple[tuple[str, str], Tensor]]:
    """Tensors that are attributes, but neither parameters nor buffers."""
    for name, module in model.named_modules():
        for key, value in vars(module).items():
            if isinstance(value, Tensor):
                yield (name, key), value


def _refuse_kept(model: nn.Module, before: dict[Any, Tensor], stale: set[Any]) -> None:
    """A tensor that autograd once computed from parameters, and that forward does not renew."""
    for place, value in _held(model):
        if place in stale and before.get(place) is value:
            name = ".".join(part for part in place if part)
            raise ArgumentError(
                "model",
                expected="an output computed from the parameters at every call",
                got=f"the attribute {name!r}, computed from parameters once and kept",
                cure="compute it in forward, or detach it if it is meant to be a constant",
            )


def _check_recording(net: Any, x: Any) -> None:
    """The same whether or not autograd records, and whether or not θ requires a gradient."""
    outputs = []
    for records, wanted in ((True, True), (True, False), (False, False)):
        theta = net.theta.clone().requires_grad_(wanted)
        try:
            with torch.set_grad_enabled(records):
                outputs.append(tensors_of(net.output(net.unflatten(theta), x)))
        except RuntimeError:
            continue  # one that differentiates inside: `_learn_inputs` sees to it
    if any(farthest(outputs[0], other) > 0 for other in outputs[1:]):
        raise ArgumentError(
            "model",
            expected="the same output whether or not autograd records",
            got="one that changes with torch.is_grad_enabled() or with Tensor.requires_grad",
            cure="do not ask for them in forward",
        )


def _check_history(net: Any, fresh: nn.Module, x: Any) -> None:
    """The same at another theta, whatever was computed before, and however often."""
    generator = torch.Generator().manual_seed(0)
    size = max(float(net.theta.abs().mean()), 0.1)
    step = torch.randn(net.dim, generator=generator, dtype=torch.float64).to(net.dtype)
    parameters = net.unflatten(net.theta + 0.1 * size * step)
    used = net.model
    with torch.enable_grad():
        first = tensors_of(net.output(parameters, x))
        again = [tensors_of(net.output(parameters, x)) for _ in range(_REPEATS)]
        try:
            net.model = copy.deepcopy(fresh)
            new = tensors_of(net.output(parameters, x))
        finally:
            net.model = used
    if not all(_same(first, other) for other in again):
        raise ArgumentError(
            "model",
            expected="the same output for the same input",
            got=f"outputs that differ in {_REPEATS + 1} calls",
            cure="switch off the model's noise, or fix its random draws",
        )
    if not _same(first, new):
        raise ArgumentError(
            "model",
            expected="an output computed from the parameters at every call",
            got="one that depends on calls before it: a cache or another state is kept",
            cure="compute it anew in forward",
        )


def _same(a: list[Tensor], b: list[Tensor]) -> bool:
    return len(a) == len(b) and all(
        torch.equal(p.nan_to_num(nan=0.5), q.nan_to_num(nan=0.5)) if p.is_floating_point()
        else torch.equal(p, q)
        for p, q in zip(a, b, strict=True)
    )  # fmt: skip
