"""What a model returns: one tensor, or a structure of which a loss takes a part."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_leaves

from morsescape.errors import ArgumentError
from morsescape.model.loss import LossFunction, name_of
from morsescape.model.samples import Record

Choice = str | int | Callable[[Any], Any] | None  # of what a structured output holds


def packed(part: Any) -> Any:
    """Dataclasses among what a model returns as `Record`, so that their tensors are seen."""
    if isinstance(part, Tensor):
        return part
    if dataclasses.is_dataclass(part) and not isinstance(part, type | Record):
        names = [f.name for f in dataclasses.fields(part)]
        return Record(type(part), {k: packed(getattr(part, k)) for k in names})
    if isinstance(part, Mapping):
        return {k: packed(v) for k, v in part.items()}
    if isinstance(part, list | tuple) and not hasattr(part, "_fields"):
        return type(part)(packed(p) for p in part)
    return part


def opened(part: Any) -> Any:
    """The other way round."""
    if isinstance(part, Record):
        return Record(part.kind, {k: opened(v) for k, v in part.fields.items()}).rebuilt()
    if isinstance(part, dict):
        return {k: opened(v) for k, v in part.items()}
    if isinstance(part, list | tuple) and not hasattr(part, "_fields"):
        return type(part)(opened(p) for p in part)
    return part


def opening_records(loss: Any) -> LossFunction:
    """The caller's loss, on what it expects instead of our records."""

    def opening(output: Any, y: Any) -> Any:
        return loss(opened(output), opened(y))

    opening.__name__ = name_of(loss)
    return opening


def choice_of(output: Any) -> Choice:
    """Which part of the output a named loss takes, where nobody says; None for all of it."""
    if isinstance(output, Tensor):
        return None
    names = output.fields if isinstance(output, Record) else output
    if isinstance(names, dict) and isinstance(names.get("logits"), Tensor):
        return "logits"
    tensors = [k for k, v in _entries(output) if isinstance(v, Tensor)]
    if len(tensors) == 1 and len(tree_leaves(output)) == 1:
        return tensors[0]
    kind = output.kind.__name__ if isinstance(output, Record) else type(output).__name__
    parts = ", ".join(repr(k) for k, _ in _entries(output)) or "nothing"
    raise ArgumentError(
        "model",
        expected="an output that is one tensor, for a loss by name",
        got=f"a {kind} with {parts}",
        cure="say which one with output=: a key, a place, or a function of the output",
    )


def _entries(output: Any) -> list[tuple[Any, Any]]:
    if isinstance(output, Record):
        return list(output.fields.items())
    if isinstance(output, dict):
        return list(output.items())
    return list(enumerate(output)) if isinstance(output, list | tuple) else []


def chosen(output: Any, choice: Choice) -> Any:
    """The part of the output that was chosen.

    Raises:
        ArgumentError: there is none.
    """
    if callable(choice):
        return packed(choice(output))
    output = packed(output)
    if choice is None:
        return output
    try:
        parts: Any = output.fields if isinstance(output, Record) else output
        named = isinstance(choice, str) and hasattr(parts, "_fields")
        found = getattr(parts, choice) if named else parts[choice]  # type: ignore[arg-type]
    except (KeyError, IndexError, TypeError, AttributeError):
        names = [repr(k) for k, _ in _entries(output)] or [type(output).__name__]
        raise ArgumentError(
            "output", expected=f"one of {', '.join(names)}", got=repr(choice),
            cure="choose a part that the model returns",
        ) from None  # fmt: skip
    return found
