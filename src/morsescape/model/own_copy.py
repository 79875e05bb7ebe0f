"""A model of the caller's as a copy of our own: unwrapped, on the CPU, in one precision.

Only the copy is ever run. A cast must not drop what it cannot hold: complex buffers stay complex,
complex parameters are refused.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from morsescape.errors import ArgumentError, first_line

_WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel)


def own_copy(model: nn.Module, dtype: torch.dtype, name: str = "model") -> nn.Module:
    """A copy that shares nothing with `model`.

    Raises:
        ArgumentError: no module, one that torch cannot run with other parameters, or that holds
            what has no place in a landscape over real vectors.
    """
    model = unwrapped(model, name)
    if isinstance(model, torch.jit.ScriptModule):
        raise ArgumentError(
            name, expected="a module whose parameters can be replaced",
            got="a scripted or traced one (torch.jit)",
            cure="pass the module that was given to torch.jit.script",
        )  # fmt: skip
    for where, tensor in _tensors(model):
        _check_tensor(name, where, tensor)
    # deepcopy refuses what autograd computed.
    computed = (getattr(model.get_submodule(m), k) for m, k in computed_attributes(model))
    stale = {id(t): t.detach().clone() for t in computed}
    try:
        with torch.random.fork_rng(devices=[]):
            own: nn.Module = copy.deepcopy(model, memo=dict(stale))
    except Exception as error:  # whatever __deepcopy__ of the caller's parts raises
        raise ArgumentError(
            name, expected="a module that copy.deepcopy can copy",
            got=f"{type(error).__name__}: {first_line(error)}",
            cure="keep generators, locks and open files out of its attributes",
        ) from error  # fmt: skip
    _uncompile(own)
    own.apply(lambda module: _cast(module, dtype))
    return own


def _uncompile(model: nn.Module) -> None:
    """Put back what torch.compile wrapped.

    Traced anew here, it would be again and again; a compiled `forward` runs the caller's module.
    """
    for module in model.modules():
        for name, child in module._modules.items():
            if child is not None and "_orig_mod" in child._modules:
                module._modules[name] = child._modules["_orig_mod"]
        module._compiled_call_impl = None
        if hasattr(vars(module).get("forward"), "_torchdynamo_orig_callable"):
            del module.__dict__["forward"]


def computed_attributes(model: nn.Module) -> set[tuple[str, str]]:
    """Places (module, attribute) of tensors that autograd computed, as of a pruned module."""
    return {
        (name, key)
        for name, module in model.named_modules()
        for key, value in vars(module).items()
        if isinstance(value, Tensor) and not value.is_leaf
    }


def unwrapped(model: object, name: str = "model") -> nn.Module:
    """The module inside wrappers that only say where or how it runs."""
    while True:
        if isinstance(model, _WRAPPERS):
            model = model.module
        elif isinstance(model, nn.Module) and "_orig_mod" in model._modules:
            model = model._modules["_orig_mod"]  # torch.compile: traced anew here, again and again
        else:
            break
    if not isinstance(model, nn.Module):
        raise ArgumentError(
            name, expected="a torch.nn.Module", got=type(model).__name__,
            cure="for a function of a vector use Objective.from_function",
        )  # fmt: skip
    return model


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()


def _check_tensor(name: str, where: str, tensor: Tensor) -> None:
    if is_lazy(tensor):
        got, cure = "not initialised", "call the model once, so that lazy layers learn their shapes"
    elif tensor.device.type == "meta":
        got, cure = "on the meta device, without numbers", "load or initialise the parameters"
    elif isinstance(tensor, nn.Parameter) and tensor.is_complex() and tensor.requires_grad:
        got = "complex"
        cure = "keep real and imaginary part as two real parameters (torch.view_as_complex)"
    elif tensor.is_quantized or tensor.layout is not torch.strided:
        got, cure = "sparse or quantized", "make it dense"
    else:
        return
    raise ArgumentError(
        f"{name} tensor {where!r}", expected="real numbers in a dense tensor", got=got, cure=cure
    )


def _cast(module: nn.Module, dtype: torch.dtype) -> None:
    """On the CPU, then cast: some accelerators have no float64."""
    for parameter in module._parameters.values():
        if parameter is not None:
            parameter.data = _in_precision(parameter.data, dtype)
            parameter.grad = None
    held: tuple[dict[str, Any], ...] = (module._buffers, vars(module))
    for tensors in held:
        for name, value in tensors.items():
            if isinstance(value, Tensor):
                tensors[name] = _in_precision(value, dtype)


def _in_precision(value: Tensor, dtype: torch.dtype) -> Tensor:
    here = value.to("cpu")
    if here.is_complex():
        return here.to(torch.complex128 if dtype == torch.float64 else torch.complex64)
    return here.to(dtype) if here.is_floating_point() else here
