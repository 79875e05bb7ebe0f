"""Rules for objects, functions and devices."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch

from morsescape.boundary.checked import Argument, Lasting, Rule
from morsescape.errors import ArgumentError, shown, with_article


def instance(kind: type | tuple[type, ...], cure: str) -> Rule:
    """An object of a class, or of one of several."""
    kinds = kind if isinstance(kind, tuple) else (kind,)

    def rule(argument: Argument) -> Any:
        if not isinstance(argument.value, kinds):
            raise argument.refused(" or ".join(with_article(k.__name__) for k in kinds), cure)
        return argument.value

    return rule


def a_function(arguments: int | None = None) -> Rule:
    """Something to be called, with so many arguments; what it raises then is its own affair."""

    def rule(argument: Argument) -> Any:
        value = argument.value
        what = "a function" if arguments is None else f"a function of {_arguments(arguments)}"
        if not callable(value) or (arguments is not None and not _takes(value, arguments)):
            raise argument.refused(what, None if callable(value) else "pass a function")
        return value

    return rule


def a_progress(stage: str = "") -> Rule:
    """A function progress(stage, done, total), or True for bars on standard error during the call.

    Args:
        stage: the only one, where the function is called as progress(done, total).
    """
    function = a_function(2 if stage else 3)

    def rule(argument: Argument) -> Any:
        if argument.value is not True:
            return function(argument)
        from morsescape.bars import own_bars

        return Lasting(own_bars(stage))

    return rule


def _takes(called: Callable[..., Any], arguments: int) -> bool:
    try:
        signature = inspect.signature(called)
    except (TypeError, ValueError):  # of built-in functions it is not always known
        return True
    try:
        signature.bind(*[None] * arguments)
    except TypeError:
        return False
    return True


def _arguments(number: int) -> str:
    return "1 argument" if number == 1 else f"{number} arguments"


def a_device() -> Rule:
    """The name of a device that this machine has, as a string."""

    def rule(argument: Argument) -> str:
        value = argument.value
        reason = ""
        if isinstance(value, str | torch.device):
            try:
                torch.empty(0, device=value)
                return str(value)
            except (RuntimeError, AssertionError) as error:
                reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        got = f"{shown(value)}: {reason}" if reason else shown(value)
        raise ArgumentError(
            argument.name, expected="a device of this machine", got=got, cure="cpu always works"
        )

    return rule
