"""Writes that hit one entry twice, with the derivative of what they leave there.

Of two writes to one entry one lasts, and torch's derivative takes each for that one: it is not
the derivative of the value. Here what does not last is taken out before the write. Which one lasts
torch leaves open; it is asked, by writing the numbers of the writes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from morsescape.rounding.formulas import formula_for


@formula_for(torch.scatter, Tensor.scatter)
def scatter(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Any = None,
    *,
    value: Any = None,
    reduce: Any = None,
) -> Any:
    """`torch.scatter`; NotImplemented where no entry is written twice."""
    if not isinstance(src, Tensor) or reduce is not None or _hidden(index) or _whole(input):
        return NotImplemented
    lasting = _lasting(
        index.shape,
        lambda order: torch.scatter(_nothing(input), dim, index, order).gather(dim, index),
    )
    if lasting is None:
        return NotImplemented
    src = torch.where(lasting, src[tuple(map(slice, index.shape))], 0)
    return torch.scatter(input, dim, index, 0).scatter_add(dim, index, src)


@formula_for(torch.index_put, Tensor.index_put)
def index_put(input: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Any:
    """`torch.index_put`; NotImplemented where no entry is written twice."""
    if accumulate or _whole(input) or not all(_of_places(i) for i in indices):
        return NotImplemented
    places = tuple(indices)
    lasting = _lasting(
        _nothing(input)[places].shape,
        lambda order: torch.index_put(_nothing(input), places, order)[places],
    )
    if lasting is None:
        return NotImplemented
    kept = torch.ones(input.shape, dtype=torch.bool).index_put(places, torch.tensor(False))
    start, values = torch.where(kept, input, 0), torch.where(lasting, values, 0)
    return start.index_put(places, values, accumulate=True)


@formula_for(torch.index_copy, Tensor.index_copy)
def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Any:
    """`torch.index_copy`; NotImplemented where no entry is written twice."""
    if input.ndim == 0:
        return NotImplemented
    out = index_put(input.movedim(dim, 0), (index,), source.movedim(dim, 0))
    return out if out is NotImplemented else out.movedim(0, dim)


@formula_for(torch.put, Tensor.put)
def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Any:
    """`torch.Tensor.put`; NotImplemented where no entry is written twice."""
    out = index_put(input.flatten(), (index.flatten(),), source.flatten(), accumulate)
    return out if out is NotImplemented else out.view(input.shape)


@formula_for(Tensor.scatter_)
def scatter_(input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """The same in place."""
    out = scatter(input, *args, **kwargs)
    return out if out is NotImplemented else input.copy_(out)


@formula_for(torch.index_put_, Tensor.index_put_)
def index_put_(input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """The same in place."""
    out = index_put(input, *args, **kwargs)
    return out if out is NotImplemented else input.copy_(out)


@formula_for(Tensor.__setitem__)
def set_item(input: Tensor, key: Any, value: Any) -> Any:
    """`input[key] = value` where `key` is tensors of places."""
    places = key if isinstance(key, tuple) else (key,)
    if not isinstance(value, Tensor) or not all(map(_of_places, places)):
        return NotImplemented
    out = index_put(input, places, value.to(input.dtype))
    return out if out is NotImplemented else input.copy_(out)


def _lasting(shape: torch.Size, read_back: Callable[[Tensor], Tensor]) -> Tensor | None:
    """Which writes are still there afterwards; None if all are."""
    order = torch.arange(shape.numel()).view(shape)
    lasting = read_back(order) == order
    return None if bool(lasting.all()) else lasting


def _whole(input: Tensor) -> bool:
    """Of integers, which have no derivative."""
    return not input.is_floating_point()


def _nothing(input: Tensor) -> Tensor:
    return torch.full(input.shape, -1)


def _of_places(index: Any) -> bool:
    places = isinstance(index, Tensor) and index.dtype in (torch.int64, torch.int32)
    return places and not _hidden(index)


def _hidden(index: Tensor) -> bool:
    """One of many at once, inside vmap, where nothing can be decided by its numbers."""
    inside = torch._C._functorch
    while inside.is_gradtrackingtensor(index):
        index = inside.get_unwrapped(index)
    return inside.is_batchedtensor(index)
