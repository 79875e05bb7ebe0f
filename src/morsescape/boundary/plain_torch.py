"""Torch as this package needs it, whatever the caller has switched on around a call."""

from __future__ import annotations

import contextlib
import functools
import traceback
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from torch.overrides import _pop_mode, _push_mode
from torch.utils._python_dispatch import _disable_current_modes

from morsescape.errors import ArgumentError, is_out_of_memory

_TORCH = Path(torch.__file__).parent
_DEVICES = ("cpu", "cuda")  # those that autocast is looked at for


@contextmanager
def plain_torch() -> Iterator[None]:
    """Gradients on, inference mode and autocast off, no modes of the caller, factories on the CPU.

    Under `torch.no_grad()` or `torch.inference_mode()` derivatives cannot be taken, under autocast
    another function is evaluated, under `torch.device("meta")` new tensors have no values. All of
    it is as it was afterwards. The default dtype is left alone: what a model creates in it is part
    of the model.

    Example:
        >>> with torch.inference_mode(), plain_torch():
        ...     torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        (True, False)
    """
    if _is_plain():
        _first_jvp()
        yield
        return
    with ExitStack() as stack:
        stack.enter_context(_no_function_modes())
        stack.enter_context(_disable_current_modes())
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for device in _DEVICES:
            stack.enter_context(torch.autocast(device, enabled=False))
        _first_jvp()
        yield


@contextmanager
def fitting(what: str, *, expected: str, cure: str) -> Iterator[None]:
    """Say in our words what torch says of shapes and types that do not go together.

    What the user's own code raises passes through, and so does a lack of memory.

    Raises:
        ArgumentError: torch refused what was computed inside.

    Example:
        >>> with fitting("model", expected="a network that takes 3 features", cure="build it so"):
        ...     torch.nn.Linear(2, 1)(torch.ones(4, 3))
        Traceback (most recent call last):
            ...
        morsescape.errors.ArgumentError: model: expected a network that takes 3 features; got
        RuntimeError: mat1 and mat2 shapes cannot be multiplied (4x3 and 2x1); cure: build it so
    """
    try:
        yield
    except (RuntimeError, IndexError, TypeError, ValueError) as error:
        if isinstance(error, ArgumentError) or is_out_of_memory(error) or not _by_torch(error):
            raise
        first = str(error).splitlines()[0] if str(error) else ""
        got = f"{type(error).__name__}: {first}"
        raise ArgumentError(what, expected=expected, got=got, cure=cure) from error


def _by_torch(error: Exception) -> bool:
    """Whether it was raised within torch, and in no code of the user's."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return Path(last.filename).is_relative_to(_TORCH)


@functools.cache
def _first_jvp() -> None:
    """In silence: torch compiles rules of its own for it by what it has deprecated itself."""
    one = torch.ones(())
    # Where it fails, say because sources cannot be read, that is told where a jvp is needed.
    with warnings.catch_warnings(), contextlib.suppress(Exception):
        warnings.simplefilter("ignore")
        torch.func.jvp(torch.sin, (one,), (one,))


def _is_plain() -> bool:
    return (
        torch.is_grad_enabled()
        and not torch.is_inference_mode_enabled()
        and not any(torch.is_autocast_enabled(device) for device in _DEVICES)
        and torch._C._len_torch_function_stack() == 0
        and torch._C._len_torch_dispatch_stack() == 0
    )


@contextmanager
def _no_function_modes() -> Iterator[None]:
    """Without those of the caller, a default device among them: taken off, put back in order."""
    taken = [_pop_mode() for _ in range(torch._C._len_torch_function_stack())]
    try:
        yield
    finally:
        for mode in reversed(taken):
            _push_mode(mode)
