"""What is in a nest of lists, tuples and dictionaries, as an operation's arguments are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, no_type_check  # what runs for every argument is not checked

from torch import Tensor


@no_type_check
def leaves_of(part: Any) -> list[Any]:
    """All that is no list, tuple or dictionary, in order."""
    found: list[Any] = []
    _gather(part, found)
    return found


@no_type_check
def _gather(part: Any, found: list[Any]) -> None:
    if isinstance(part, list | tuple):
        for p in part:
            _gather(p, found)
    elif isinstance(part, dict):
        for p in part.values():
            _gather(p, found)
    else:
        found.append(part)


@no_type_check
def tensors_in(part: Any) -> list[Tensor]:
    """All tensors in it."""
    return [leaf for leaf in leaves_of(part) if isinstance(leaf, Tensor)]


@no_type_check
def mapped(function: Callable[[Any], Any], part: Any) -> Any:
    """The same nest of function(leaf)."""
    if isinstance(part, list | tuple):
        return type(part)([mapped(function, p) for p in part])
    if isinstance(part, dict):
        return {k: mapped(function, p) for k, p in part.items()}
    return function(part)
