"""Which axes of a network belong together, read off its recorded program.

One more machine for recorded programs: every tensor carries the term of each of its axes (`axes`),
and every operation unifies those that it takes together. An operation that is not known fixes all
axes that it meets, under its name: so what is not understood gives no symmetry, never a wrong one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from morsescape.paths.axes import (
    INPUTS,
    PLACES,
    Axis,
    Tag,
    Tagged,
    fixed,
    regrouped,
    sliced,
    sum_of,
    told_apart,
    unify,
)  # fmt: skip
from morsescape.rounding.ball_rules import on_any_layout
from morsescape.rounding.nests import leaves_of, mapped
from morsescape.rounding.operations import Kind, Reach, operation


@dataclass(frozen=True, eq=False)
class Noted:
    """One operation: its arguments with tags in place of tensors, and the tags of its results."""

    name: str
    target: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    results: tuple[Tag, ...]

    @property
    def tensors(self) -> list[Tag]:
        """The tags among its arguments."""
        return tags_in((self.args, self.kwargs))


def tags_in(part: Any) -> list[Tag]:
    """All tags in a nest."""
    return [leaf for leaf in leaves_of(part) if isinstance(leaf, Tag)]


class Axes:
    """Runs a program on tagged tensors and writes down what it saw.

    Args:
        names: of constants, by where they lie in memory.
    """

    bounded = False

    def __init__(self, names: Mapping[int, str]) -> None:
        self.names = names
        self.noted: list[Noted] = []
        self._constants: dict[int, _Constant] = {}

    def __call__(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The operation, and the axes of its results."""
        name = target.overloadpacket.__name__
        plain = mapped(lambda a: a.value if isinstance(a, Tagged) else a, (args, kwargs))
        out = on_any_layout(target)(*plain[0], **plain[1])
        args, kwargs = mapped(self._tag, (args, kwargs))
        many = isinstance(out, list | tuple)
        outs = [o for o in (out if many else (out,)) if isinstance(o, Tensor)]
        data = any(tag.data for tag in tags_in((args, kwargs)))
        axes = axes_of(name, target, args, kwargs, outs)
        tags = tuple(Tag(tuple(a), data) for a in axes)
        self.noted.append(Noted(name, target, args, kwargs, tags))
        found = iter(tags)
        wrapped = [Tagged(o, next(found)) if isinstance(o, Tensor) else o
                   for o in (out if many else (out,))]  # fmt: skip
        return type(out)(wrapped) if many else wrapped[0]

    def _tag(self, part: Any) -> Any:
        if isinstance(part, Tagged):
            return part.tag
        return self.constant(part) if isinstance(part, Tensor) else part

    def constant(self, value: Tensor) -> Tag:
        """Along an axis on which it does not change, its entries may be permuted."""
        kept = self._constants.get(id(value))
        if kept is None:
            kept = self._constants[id(value)] = _Constant(value)
        name = self.names.get(value.data_ptr())
        why = f"{name!r}, no part of θ, tells them apart" if name else "a constant tells them apart"
        # New axes at each use: one zero may stand for the buffers of many layers.
        axes = (
            Axis(size) if same else fixed(size, why)
            for size, same in zip(value.shape, kept.same, strict=True)
        )
        return Tag(tuple(axes), zero=kept.zero, counts=kept.counts)


class _Constant:
    """What is asked of a constant at every use: along which axes it does not change, and more."""

    def __init__(self, value: Tensor) -> None:
        self.value = value  # kept, so that its id is not used again
        self.same = [
            size > 0 and torch.equal(value, value.narrow(dim, 0, 1).expand_as(value))
            for dim, size in enumerate(value.shape)
        ]
        self.zero = not bool(value.any())
        self.counts = value.ndim == 1 and torch.equal(value, torch.arange(len(value)))


def of_data(value: Tensor) -> Tagged:
    """An input, no axis of which may be permuted."""
    return Tagged(value, Tag(tuple(fixed(size, INPUTS) for size in value.shape), data=True))


def of_parameter(value: Tensor) -> Tagged:
    """A parameter, of whose axes nothing is known yet."""
    return Tagged(value, Tag(tuple(Axis(size) for size in value.shape)))


# -- the axes of a result -------------------------------------------------------------------------

Found = Sequence[Sequence[Axis]]
_Rule = Callable[..., Found | None]  # None where the operation is used in a way not foreseen
_RULES: dict[str, _Rule] = {}


def axes_of(name: str, target: Any, args: Any, kwargs: Any, outs: list[Tensor]) -> Found:
    """The axes of each result; those of the arguments are unified or fixed on the way."""
    if target is not torch.ops.aten.view.dtype:
        try:
            found = _known(name, target, args, kwargs, outs)
        except (IndexError, ValueError, TypeError, AttributeError):
            found = None  # arguments of a form that was not foreseen
        if found is not None:
            return found
    why = f"{name} has no rule"
    for tag in tags_in((args, kwargs)):
        for axis in tag.axes:
            axis.fix(why)
    return [[fixed(size, why) for size in out.shape] for out in outs]


def _known(name: str, target: Any, args: Any, kwargs: Any, outs: list[Tensor]) -> Found | None:
    entry = operation(name)
    if name in _RULES:
        return _RULES[name](name, args, kwargs, outs)
    if entry.kind in (Kind.FILLS, Kind.SPREADS, Kind.UNSET):
        return [[Axis(size) for size in out.shape] for out in outs]
    if entry.reach is Reach.REDUCED:
        return _reduced(name, args, kwargs, outs)
    if entry.reach is Reach.ALONG:
        return _along(name, args, kwargs, outs)
    if entry.reach is Reach.ITEM and not name.endswith("backward"):
        return _item(name, args, outs)
    pointwise = torch.Tag.pointwise in target.tags
    if (entry.reach is Reach.ENTRY and entry.kind is not Kind.MOVES) or pointwise:
        return [_broadcast(tags_in((args, kwargs)), out.shape) for out in outs]
    return None


def _rule(names: str) -> Callable[[_Rule], _Rule]:
    def register(function: _Rule) -> _Rule:
        _RULES.update(dict.fromkeys(names.split(), function))
        return function

    return register


def _broadcast(tags: Sequence[Tag], shape: Sequence[int]) -> list[Axis]:
    axes = [Axis(size) for size in shape]
    for tag in tags:
        for k, axis in enumerate(reversed(tag.axes), start=1):
            if axis.size == shape[-k]:
                unify(axes[-k], axis)
    return axes


@_rule("alias detach contiguous clone lift_fresh alias_copy detach_copy lift_fresh_copy")
def _same(name: str, args: Any, kwargs: Any, outs: list[Tensor]) -> Found:
    return [args[0].axes]


@_rule("""view _unsafe_view _reshape_alias reshape view_copy unsqueeze squeeze unsqueeze_copy
    squeeze_copy""")
def _view(name: str, args: Any, kwargs: Any, outs: list[Tensor]) -> Found:
    return [regrouped(args[0].axes, outs[0].shape)]


@_rule("permute permute_copy transpose transpose_copy t t_copy")
def _permute(name: str, args: Any, kwargs: Any, outs: list[Tensor]) -> Found:
    return [[args[0].axes[d] for d in order_of(name, args)]]


def order_of(name: str, args: Any) -> list[int]:
    """Which axis of the argument each axis of the result is."""
    order = list(range(len(args[0].axes)))
    if name.startswith("permute"):
        return [order[d] for d in args[1]]
    if order:
        p, q = args[1:3] if name.startswith("transpose") else (0, -1)
        order[p], order[q] = order[q], order[p]
    return order


@_rule("expand expand_copy broadcast_in_dim")
def _expand(name: str, args: Any, kwargs: Any, outs: list[Tensor]) -> Found | None:
    return None if name == "broadcast_in_dim" else [_broadcast([args[0]], outs[0].shape)]


@_rule("select select_copy unbind unbind_copy")
def _select(name: str, args: Any, kwargs: Any, outs: list[Tensor]) -> Found:
    axes = list(args[0].axes)
    dim = (args[1] if len(args) > 1 else kwargs.get("dim", 0)) % len(axes)
    axes.pop(dim).fix(f"{name} takes single entries")
    return [axes for _ in outs]


@_rule("slice slice_copy")
def _slice(name: str, args: Any, kwargs: Any, outs: list[Tensor]) -> Found:
    dim, start, end, step = slice_of(args)
    axes = list(args[0].axes)
    if outs[0].shape[dim] < axes[dim].size:
        part = sliced(axes[dim], start, end) if step == 1 and end > start else None
        axes[dim] = part or told_apart(axes[dim], f"{name} cuts it", outs[0].shape[dim])
    return [axes]


def slice_of(args: Any) -> tuple[int, int, int, int]:
    """Dimension, start, end and step."""
    given: list[Any] = [0, None, None, 1]
    given[: len(args) - 1] = args[1:]
    dim = given[0] % len(args[0].axes)
    return (dim, *slice(*given[1:]).indices(args[0].axes[dim].size))


@_rule("split_with_sizes split_with_sizes_copy split split_copy")
def _split(name: str, args: Any, kwargs: Any, outs: list[Tensor]) -> Found:
    axes = args[0].axes
    dim = (args[2] if len(args) > 2 else kwargs.get("dim", 0)) % len(axes)
    found, low = [], 0
    for out in outs:
        own, high = list(axes), low + out.shape[dim]
        part = sliced(axes[dim], low, high)
        own[dim] = part or told_apart(axes[dim], f"{name} cuts it", out.shape[dim])
        low = high
        found.append(own)
    return found


@_rule("cat")
def _cat(name: str, args: Any, kwargs: Any, outs: list[Tensor]) -> Found:
    tags = [tag for tag in args[0] if tag.shape != (0,)]  # which torch allows among any
    dim = (args[1] if len(args) > 1 else kwargs.get("dim", 0)) % outs[0].ndim
    axes = list(tags[0].axes)
    for tag in tags[1:]:
        for d, axis in enumerate(tag.axes):
            if d != dim:
                unify(axes[d], axis)
    ones = all(tag.shape[dim] == 1 for tag in tags)
    axes[dim] = fixed(len(tags), PLACES) if ones else sum_of([tag.axes[dim] for tag in tags])
    return [axes]


@_rule("constant_pad_nd")
def _pad(name: str, args: Any, kwargs: Any, outs: list[Tensor]) -> Found:
    axes = list(args[0].axes)
    for k, size in enumerate(reversed(outs[0].shape), start=1):
        if k <= len(args[1]) // 2 and tuple(args[1][2 * k - 2 : 2 * k]) != (0, 0):
            axes[-k] = told_apart(axes[-k], "padding tells its ends apart", size)
    return [axes]


@_rule("unfold unfold_copy")
def _unfold(name: str, args: Any, kwargs: Any, outs: list[Tensor]) -> Found:
    """Windows, with a last axis for the places in one: so a convolution is written out."""
    (dim, size, step), axes = args[1:4], list(args[0].axes)
    if (size, step) != (1, 1):
        axes[dim] = told_apart(axes[dim], f"{name} cuts it", outs[0].shape[dim])
    return [[*axes, fixed(size, PLACES)]]


@_rule("flip")
def _flip(name: str, args: Any, kwargs: Any, outs: list[Tensor]) -> Found:
    for dim in args[1]:
        args[0].axes[dim].fix("flip turns it round")
    return [args[0].axes]


@_rule("index_select")
def _index_select(name: str, args: Any, kwargs: Any, outs: list[Tensor]) -> Found:
    axes = list(args[0].axes)
    if axes:
        axes[args[1]].fix("index_select takes single entries")
        axes[args[1]] = args[2].axes[0] if args[2].axes else Axis(1)
    return [axes]


@_rule("gather")
def _gather(name: str, args: Any, kwargs: Any, outs: list[Tensor]) -> Found | None:
    same = args[2].counts and args[2].shape == args[0].shape  # as a write in place leaves behind
    return [args[0].axes] if same else None


@_rule("index _unsafe_index")
def _index(name: str, args: Any, kwargs: Any, outs: list[Tensor]) -> Found | None:
    dims = [d for d, place in enumerate(args[1]) if place is not None]
    if dims != list(range(dims[0], dims[0] + len(dims))):
        return None
    axes, tags = list(args[0].axes), tags_in(args[1])
    for d in dims:
        axes[d].fix("index takes single entries")
    inner = outs[0].ndim - len(axes) + len(dims)
    block = _broadcast(tags, outs[0].shape[dims[0] : dims[0] + inner])
    return [[*axes[: dims[0]], *block, *axes[dims[-1] + 1 :]]]


@_rule("mm")
def _mm(name: str, args: Any, kwargs: Any, outs: list[Tensor]) -> Found:
    (n, k), (j, m) = args[0].axes, args[1].axes
    unify(k, j)
    return [[n, m]]


@_rule("bmm")
def _bmm(name: str, args: Any, kwargs: Any, outs: list[Tensor]) -> Found:
    (s, n, k), (r, j, m) = args[0].axes, args[1].axes
    unify(k, j)
    unify(s, r)
    return [[s, n, m]]


def reduced_dims(args: Any, kwargs: Any) -> list[int]:
    """The dimensions over which an operation reduces its first argument."""
    ndim = len(args[0].axes)
    dims = args[1] if len(args) > 1 else kwargs.get("dim")
    dims = [dims] if isinstance(dims, int) and not isinstance(dims, bool) else dims
    if not isinstance(dims, list | tuple) or not len(dims):
        return list(range(ndim))
    return sorted({d % ndim for d in dims}) if ndim else []


_NAME_PLACES = frozenset("argmax argmin max min median".split())  # among what they reduce


def _reduced(name: str, args: Any, kwargs: Any, outs: list[Tensor]) -> Found | None:
    if not isinstance(args[0], Tag) or len(tags_in((args, kwargs))) > 1:
        return None
    dims, axes = reduced_dims(args, kwargs), args[0].axes
    if name in _NAME_PLACES:
        for d in dims:
            axes[d].fix(f"{name} names a place")
    kept = [axis for d, axis in enumerate(axes) if d not in dims]
    return [regrouped(kept, out.shape) for out in outs]


def _along(name: str, args: Any, kwargs: Any, outs: list[Tensor]) -> Found | None:
    if len(tags_in((args, kwargs))) > 1 or name in ("topk", "kthvalue"):
        return None
    axes, dim = args[0].axes, kwargs.get("dim", args[1] if len(args) > 1 else -1)
    if "softmax" not in name and axes:
        if isinstance(dim, bool) or not isinstance(dim, int):
            return None
        axes[dim].fix(f"{name} goes along it")
    return [axes for _ in outs]


def _item(name: str, args: Any, outs: list[Tensor]) -> Found | None:
    if len(tags_in(args)) > 1:
        return None
    inner = 3 if "3d" in name else 2
    axes, why = args[0].axes, f"{name} looks at its places"
    return [
        [*axes[:-inner], *map(told_apart, axes[-inner:], [why] * inner, out.shape[-inner:])]
        for out in outs
    ]
