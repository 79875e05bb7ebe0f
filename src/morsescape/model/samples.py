"""What people have as data, read into tensors: pairs, dictionaries, Dataset, DataLoader.

Inside, inputs and targets are nested tuples, lists and dictionaries whose tensors all have the
samples in front. They are copies: nothing here shares memory with the caller's.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, SequentialSampler

from morsescape.errors import ArgumentError, first_line

_TARGETS = ("labels", "label", "targets", "target", "y")  # of a batch that is a dictionary
_FORMS = (
    "(inputs, targets), (inputs, targets, weights), a DataLoader, a Dataset or a list of batches"
)


@dataclasses.dataclass(frozen=True)
class Samples:
    """Inputs, targets and perhaps a weight for each of the N samples."""

    x: Any
    y: Any
    weights: Tensor | None
    size: int


@dataclasses.dataclass(frozen=True)
class Record:
    """A dataclass of the caller's, as the dictionary of its fields."""

    kind: type
    fields: dict[str, Any]

    def rebuilt(self) -> Any:
        """The caller's dataclass."""
        return self.kind(**self.fields)


torch.utils._pytree.register_pytree_node(
    Record,
    lambda r: ([r.fields[k] for k in sorted(r.fields)], (r.kind, tuple(sorted(r.fields)))),
    lambda parts, context: Record(context[0], dict(zip(context[1], parts, strict=True))),
)


def read_samples(data: Any, dtype: torch.dtype) -> Samples:
    """The data as float64 (or `dtype`) tensors on the CPU, batches put together in their order.

    Raises:
        ArgumentError: something else, no samples, parts of different lengths, NaN or infinity.
    """
    x, y, weights = _parts(data)
    x, y = _tensors(x, "inputs"), _tensors(y, "targets")
    size = _common_size(x, y)
    x, y = (tree_map(lambda part: _own(part, dtype), whole) for whole in (x, y))
    for name, whole in (("inputs", x), ("targets", y)):
        _check_finite(whole, name)
    return Samples(x, y, None if weights is None else _checked_weights(weights, size, dtype), size)


def count(part: Any) -> int:
    """The number of samples in a chunk."""
    return len(next(leaf for leaf in tree_leaves(part) if isinstance(leaf, Tensor)))


def take(part: Any, places: Tensor | slice) -> Any:
    """Some of the samples."""
    return tree_map(lambda leaf: leaf[places] if isinstance(leaf, Tensor) else leaf, part)


def split(part: Any, sizes: list[int]) -> Iterator[Any]:
    """The samples in order, so many at a time."""
    leaves, spec = tree_flatten(part)
    pieces = [leaf.split(sizes) if isinstance(leaf, Tensor) else None for leaf in leaves]
    for k in range(len(sizes)):
        chosen = [
            leaf if piece is None else piece[k] for leaf, piece in zip(leaves, pieces, strict=True)
        ]
        yield tree_unflatten(chosen, spec)


def spread_places(samples: int, most: int) -> Tensor:
    """Some samples, from the first to the last."""
    return torch.linspace(0, samples - 1, min(samples, most)).round().long()


def numbers_per_sample(part: Any) -> int:
    """How many numbers one sample has."""
    leaves = [leaf for leaf in tree_leaves(part) if isinstance(leaf, Tensor)]
    return sum(leaf[0].numel() for leaf in leaves)


# -- forms of data --------------------------------------------------------------------------------


def _parts(data: Any) -> tuple[Any, Any, Any]:
    """Inputs, targets and weights (or None), of all samples."""
    if isinstance(data, DataLoader | Dataset) or _is_batches(data):
        return _joined(list(_batches(data)))
    return _pair(data)


def _pair(data: Any) -> tuple[Any, Any, Any]:
    if isinstance(data, Mapping):
        names = [name for name in _TARGETS if name in data]
        if len(names) == 1 and len(data) > 1:
            rest = {k: v for k, v in data.items() if k != names[0]}
            whole = len(rest) == 1 and "x" in rest
            return (rest["x"] if whole else rest), data[names[0]], None
    elif isinstance(data, list | tuple) and len(data) in (2, 3):
        return data[0], data[1], data[2] if len(data) == 3 else None
    got = f"{type(data).__name__}" + (f" of {len(data)}" if hasattr(data, "__len__") else "")
    raise ArgumentError(
        "data", expected=_FORMS, got=got,
        cure="several inputs go into a tuple or dictionary of their own: ((a, b), targets)",
    )  # fmt: skip


def _is_batches(data: Any) -> bool:
    """A list or iterator of batches, as opposed to one pair of tensors."""
    if isinstance(data, Iterator) or (isinstance(data, list) and data and _is_pair(data[0])):
        return True
    plain = isinstance(data, list | tuple | Mapping | str | bytes | Tensor | np.ndarray)
    return isinstance(data, Iterable) and not plain


def _is_pair(part: Any) -> bool:
    if isinstance(part, Mapping):
        return any(name in part for name in _TARGETS)
    return isinstance(part, list | tuple) and len(part) in (2, 3) and not _is_numbers(part)


def _is_numbers(part: Any) -> bool:
    return all(isinstance(p, int | float) for p in part)


def _batches(data: Any) -> Iterator[Any]:
    """Batches in a fixed order, without a trace in anybody's random state."""
    with _random_state_kept():
        if isinstance(data, DataLoader):
            yield from _in_order(data)
        elif isinstance(data, Dataset) and not isinstance(data, torch.utils.data.IterableDataset):
            yield torch.utils.data.default_collate([data[k] for k in range(_length(data))])
        elif isinstance(data, torch.utils.data.IterableDataset):
            yield torch.utils.data.default_collate(list(data))
        else:
            yield from data


def _in_order(loader: DataLoader[Any]) -> Iterator[Any]:
    """What the loader gives, each sample once; a shuffled one in the order of its data set."""
    sampler = loader.batch_sampler
    plain = type(sampler) is BatchSampler and not loader.drop_last
    whole = type(loader.sampler) is SequentialSampler or (
        type(loader.sampler) is RandomSampler
        and not loader.sampler.replacement
        and len(loader.sampler) == len(loader.dataset)  # type: ignore[arg-type]
    )
    if not (plain and whole and loader.batch_size):
        yield from loader
        return
    total = _length(loader.dataset)
    for start in range(0, total, loader.batch_size):
        places = range(start, min(start + loader.batch_size, total))
        yield loader.collate_fn([loader.dataset[k] for k in places])


def _length(dataset: Any) -> int:
    if not hasattr(dataset, "__len__"):
        raise ArgumentError(
            "data", expected="a Dataset that knows its length", got=type(dataset).__name__,
            cure="give it __len__, or pass a list of its batches",
        )  # fmt: skip
    return len(dataset)


@contextmanager
def _random_state_kept() -> Iterator[None]:
    own, numbers = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(own)
        np.random.set_state(numbers)  # noqa: NPY002


def _joined(batches: list[Any]) -> tuple[Any, Any, Any]:
    if not batches:
        raise ArgumentError(
            "data", expected="at least one sample", got="no batch",
            cure="an iterator that was read already is empty: make a new one",
        )  # fmt: skip
    parts = [_pair(batch) for batch in batches]
    return tuple(  # type: ignore[return-value]
        None if parts[0][k] is None else _concatenated([part[k] for part in parts])
        for k in range(3)
    )


def _concatenated(parts: list[Any]) -> Any:
    if len(parts) == 1:
        return parts[0]
    flat = [tree_flatten(_tensors(part, "batch")) for part in parts]
    leaves = list(zip(*(leaves for leaves, _ in flat), strict=True))
    if any(spec != flat[0][1] for _, spec in flat):
        raise ArgumentError(
            "data", expected="batches of one form", got="batches that differ in theirs",
            cure="let every batch hold the same parts",
        )  # fmt: skip
    try:
        joined = [
            torch.cat(list(same)) if isinstance(same[0], Tensor) else same[0] for same in leaves
        ]
    except RuntimeError as error:
        raise ArgumentError(
            "data", expected="samples of one shape in every batch", got=first_line(error),
            cure="pad them to one shape, for example in collate_fn",
        ) from None  # fmt: skip
    return tree_unflatten(joined, flat[0][1])


# -- parts ----------------------------------------------------------------------------------------


def _tensors(part: Any, name: str) -> Any:
    """Arrays and lists of numbers as tensors; dataclasses as `Record`."""
    if isinstance(part, Tensor):
        return _checked_tensor(part, name)
    if isinstance(part, np.ndarray | np.generic):
        return _converted(part, name)
    if isinstance(part, Mapping):
        return {str(k): _tensors(v, name) for k, v in part.items()}
    if dataclasses.is_dataclass(part) and not isinstance(part, type):
        fields = {f.name: getattr(part, f.name) for f in dataclasses.fields(part)}
        return Record(type(part), {k: _tensors(v, name) for k, v in fields.items()})
    if isinstance(part, list | tuple) and part:
        if any(isinstance(p, Tensor | np.ndarray | Mapping) for p in part):
            items = [_tensors(p, name) for p in part]
            return type(part)(*items) if hasattr(part, "_fields") else type(part)(items)
        return _converted(part, name)
    if part is None or isinstance(part, bool | int | float):
        return part  # a switch that goes along with the tensors
    raise ArgumentError(
        f"data {name}", expected="tensors, or tuples and dictionaries of tensors",
        got=type(part).__name__, cure="turn them into tensors, one row a sample",
    )  # fmt: skip


def _checked_tensor(part: Tensor, name: str) -> Tensor:
    if part.layout is not torch.strided or part.is_quantized or part.is_nested:
        kind = "nested" if part.is_nested else "quantized" if part.is_quantized else "sparse"
        raise ArgumentError(
            f"data {name}", expected="dense tensors", got=f"a {kind} one",
            cure={"sparse": "call .to_dense()", "quantized": "call .dequantize()"}.get(
                kind, "pad them to one shape"
            ),
        )  # fmt: skip
    if part.device.type == "meta":
        raise ArgumentError(
            f"data {name}", expected="tensors that hold numbers", got="one on the meta device",
            cure="make it on the CPU",
        )  # fmt: skip
    return part


def _converted(part: Any, name: str) -> Tensor:
    try:
        return torch.as_tensor(np.asarray(part))
    except (TypeError, ValueError, RuntimeError) as error:
        raise ArgumentError(
            f"data {name}", expected="numbers in rows of one length", got=first_line(error),
            cure="turn them into one tensor",
        ) from None  # fmt: skip


def _common_size(x: Any, y: Any) -> int:
    leaves = [leaf for leaf in tree_leaves((x, y)) if isinstance(leaf, Tensor)]
    sizes = {len(leaf) if leaf.ndim else None for leaf in leaves}
    inputs = [leaf for leaf in tree_leaves(x) if isinstance(leaf, Tensor)]
    if len(sizes) != 1 or None in sizes or 0 in sizes or not inputs:
        shapes = " and ".join(str(tuple(leaf.shape)) for leaf in leaves) or "no tensor"
        raise ArgumentError(
            "data",
            expected="inputs and targets for the same number of samples, at least one",
            got=f"shapes {shapes}",
            cure="pass (x, y) with len(x) == len(y) > 0; dimension 0 of every tensor counts the "
            "samples",
        )
    return int(next(iter(sizes)))  # type: ignore[arg-type]


def _own(part: Any, dtype: torch.dtype) -> Any:
    """A copy on the CPU: floats as `dtype`, complex numbers in the same precision."""
    if not isinstance(part, Tensor):
        return part
    here = part.detach().to("cpu", copy=True).resolve_conj().resolve_neg().contiguous()
    if here.is_complex():
        return here.to(torch.complex128 if dtype == torch.float64 else torch.complex64)
    return here.to(dtype) if here.is_floating_point() else here


def _check_finite(whole: Any, name: str) -> None:
    for part in tree_leaves(whole):
        floating = isinstance(part, Tensor) and (part.is_floating_point() or part.is_complex())
        if floating and not bool(part.isfinite().all()):
            bad = int((~part.isfinite()).reshape(len(part), -1).any(1).nonzero()[0])
            raise ArgumentError(
                f"data {name}",
                expected="finite numbers",
                got=f"nan or inf, first in sample {bad}",
                cure="remove or repair that sample",
            )


def _checked_weights(weights: Any, size: int, dtype: torch.dtype) -> Tensor:
    own: Tensor = _own(_tensors(weights, "weights"), dtype)
    fits = isinstance(own, Tensor) and own.shape == (size,) and not own.is_complex()
    own = own.to(dtype) if fits else own
    if not (fits and bool((own.isfinite() & (own >= 0)).all()) and float(own.sum()) > 0):
        raise ArgumentError(
            "data weights",
            expected=f"{size} numbers, 0 or more, not all 0",
            got=f"shape {tuple(own.shape)}" if isinstance(own, Tensor) else type(own).__name__,
            cure="one weight for each sample",
        )
    return own
