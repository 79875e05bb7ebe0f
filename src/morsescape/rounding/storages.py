"""What a tensor shares with others, its memory, and which operations write there."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from morsescape.rounding.steps import NotTraceable

aten = torch.ops.aten


def memory_of(x: Tensor) -> int:
    """Which memory the tensor lies in."""
    return x.untyped_storage()._cdata


def geometry_of(x: Tensor) -> Any:
    """How the tensor lies there."""
    return x.dtype, x.shape, x.stride(), x.storage_offset()


def places_of(x: Tensor, size: int) -> Tensor:
    """Where in its memory the entries of x lie, in their order."""
    places = torch.arange(size).as_strided(x.shape, x.stride(), x.storage_offset())
    return places.reshape(-1)


def inverse_of(places: Tensor, size: int) -> Tensor:
    """For each place in the memory, which entry lies there."""
    inverse = torch.zeros(size, dtype=torch.long)
    inverse[places] = torch.arange(len(places))
    return inverse


def arguments_written(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    """The arguments that an operation changes."""
    places, names = _writes(func)
    found = [args[k] for k in places if k < len(args)]
    found += [kwargs[name] for name in names if name in kwargs]
    return [x for x in found if isinstance(x, Tensor)]


@cache
def _writes(func: Any) -> tuple[tuple[int, ...], tuple[str, ...]]:
    arguments = func._schema.arguments
    marked = [k for k, a in enumerate(arguments) if a.alias_info and a.alias_info.is_write]
    places = tuple(k for k in marked if not arguments[k].kwarg_only)
    return places, tuple(arguments[k].name for k in marked)


@cache
def out_of_place(func: Any) -> Any:
    """The operation that returns what this one writes: the one that takes the same arguments."""
    name = func.overloadpacket.__name__
    if name == "zero_":
        return aten.zeros_like.default
    packet = getattr(aten, name.removesuffix("_"), None)
    for variant in packet.overloads() if packet is not None else ():
        pure = getattr(packet, variant)
        writes_nothing = not _writes(pure)[1]  # the order of overloads is not the same everywhere
        if writes_nothing and _takes(pure) == _takes(func):
            return pure
    raise NotTraceable(f"one with {name}, which works in place only")


def _takes(func: Any) -> list[tuple[str, str]]:
    arguments = func._schema.arguments
    written = [a.alias_info is not None and a.alias_info.is_write for a in arguments]
    kept = [a for a, w in zip(arguments, written, strict=True) if not (w and a.kwarg_only)]
    return [(a.name, str(a.type)) for a in kept]
