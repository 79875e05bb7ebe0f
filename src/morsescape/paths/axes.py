"""Axes of tensors as terms, and which of them must be permuted together.

An axis is a leaf, a product of axes (what flattening makes of several, row by row) or a sum of axes
(what concatenation makes of them). Axes that an operation takes entry by entry, or sums over
together, are unified: afterwards a permutation of one is a permutation of the other. A leaf whose
entries are told apart (by data, by an output, by an operation that looks at places) is fixed, and
knows why.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

# Reasons that need no telling: every network has them.
INPUTS, OUTPUTS, PLACES = "the data", "the output", "a kernel"
EXPECTED = frozenset((INPUTS, OUTPUTS, PLACES))


@dataclass(eq=False)
class Axis:
    """One axis of a tensor.

    Attributes:
        size: how many entries.
        parts: of a product or sum; none for a leaf.
        product: which of both.
        why: reasons for which its entries cannot be permuted.
        bound: the axis that it has turned out to be.
    """

    size: int
    parts: tuple[Axis, ...] = ()
    product: bool = False
    why: set[str] = field(default_factory=set)
    bound: Axis | None = None

    @property
    def root(self) -> Axis:
        """The axis that it is, as far as is known."""
        axis = self
        while axis.bound is not None:
            axis = axis.bound
        return axis

    @property
    def leaves(self) -> list[Axis]:
        """Its leaves in order, each as often as it occurs."""
        axis = self.root
        return [leaf for part in axis.parts for leaf in part.leaves] if axis.parts else [axis]

    def fix(self, *why: str) -> None:
        """Its entries cannot be permuted."""
        for leaf in self.leaves:
            leaf.why.update(why)


def fixed(size: int, why: str) -> Axis:
    """A new axis whose entries cannot be permuted."""
    return Axis(size, why={why})


def told_apart(axis: Axis, why: str, size: int) -> Axis:
    """An operation looks at the places of its entries: so are those of the result, of a size."""
    for leaf in axis.leaves:
        leaf.why.update(() if leaf.why else (why,))
    return Axis(size, why={w for leaf in axis.leaves for w in leaf.why})


def product_of(axes: Sequence[Axis]) -> Axis:
    """What flattening makes of them."""
    parts = tuple(a for a in axes if a.size != 1)
    if len(parts) == 1:
        return parts[0]
    return Axis(math.prod(a.size for a in parts), parts, product=True) if parts else Axis(1)


def sum_of(axes: Sequence[Axis]) -> Axis:
    """What concatenation makes of them."""
    parts = tuple(a for a in axes if a.size)
    return parts[0] if len(parts) == 1 else Axis(sum(a.size for a in parts), parts)


def unify(a: Axis, b: Axis) -> None:
    """From now on a permutation of one is a permutation of the other."""
    a, b = a.root, b.root
    if a is b or a.size == 1:
        return
    if not a.parts or not b.parts:
        leaf, other = (a, b) if not a.parts else (b, a)
        if leaf in other.leaves:
            _part(leaf, other)
        else:
            leaf.bound = other
            other.fix(*leaf.why)
    elif a.product != b.product:
        _part(a, b)
    else:
        _unify_parts(a, b)


def _part(*axes: Axis) -> None:
    """What is laid out in two ways is left alone."""
    for axis in axes:
        axis.fix("it is laid out in two ways")


def _unify_parts(a: Axis, b: Axis) -> None:
    expand = factors if a.product else terms
    first, second = expand(a), expand(b)
    while first and second:
        f, g = first.pop(0), second.pop(0)
        if f.size == g.size:
            unify(f, g)
            continue
        (large, rest), small = ((f, first), g) if f.size > g.size else ((g, second), f)
        halves = split(large, small.size, product=a.product)
        if halves is None:
            _part(f, g, *first, *second)
            return
        unify(halves[0], small)
        rest.insert(0, halves[1])


def factors(axis: Axis) -> list[Axis]:
    """Of a product; what is none is its own."""
    axis = axis.root
    if axis.size == 1:
        return []
    if axis.parts and axis.product:
        return [f for part in axis.parts for f in factors(part)]
    return [axis]


def terms(axis: Axis) -> list[Axis]:
    """Of a sum; what is none is its own."""
    axis = axis.root
    if axis.parts and not axis.product:
        return [t for part in axis.parts for t in terms(part)]
    return [axis]


def split(axis: Axis, size: int, *, product: bool) -> tuple[Axis, Axis] | None:
    """A leaf as a product, or sum, whose first part has that size; None where it is no such.

    A sum of so many equal parts is a product too: what one tensor after another is joined to.
    """
    axis = axis.root
    parts = [] if not axis.parts or axis.product else terms(axis)
    if product and len(parts) == size and len({part.size for part in parts}) == 1:
        for part in parts[1:]:
            unify(parts[0], part)
        return fixed(size, PLACES), parts[0]
    if axis.parts or (product and axis.size % size):
        return None
    other = axis.size // size if product else axis.size - size
    halves = Axis(size, why=set(axis.why)), Axis(other, why=set(axis.why))
    axis.bound = Axis(axis.size, halves, product=product)
    return halves


def regrouped(axes: Iterable[Axis], shape: Sequence[int]) -> list[Axis]:
    """The axes of a tensor that is viewed in another shape."""
    rest = [f for axis in axes for f in factors(axis)]
    found: list[Axis] = []
    for size in shape:
        taken = _taken(rest, size)
        if taken is None:
            _part(*rest)
            rest = []
            found.append(fixed(size, "it is laid out in two ways"))
        else:
            found.append(product_of(taken))
    return found


def _taken(rest: list[Axis], size: int) -> list[Axis] | None:
    """The first factors, off the list, as many as make up the size."""
    taken: list[Axis] = []
    while size > 1:
        if not rest:
            return None
        if size % rest[0].size == 0:
            axis = rest.pop(0)
        else:
            halves = split(rest[0], size, product=True) if rest[0].size % size == 0 else None
            if halves is None:
                _part(*taken)
                return None
            axis, rest[0] = halves
        taken.append(axis)
        size //= axis.size
    return taken


def sliced(axis: Axis, start: int, end: int) -> Axis | None:
    """Its entries from start to end, where that is a sum of parts; None where it is not."""
    found, low = [], 0
    rest = terms(axis)
    while rest:
        part = rest.pop(0)
        for cut in (start, end):
            if low < cut < low + part.size:
                halves = split(part, cut - low, product=False)
                if halves is None:
                    return None
                part, rest = halves[0], [halves[1], *rest]
        if start <= low and low + part.size <= end:
            found.append(part)
        low += part.size
    return sum_of(found) if found else None


def positions(axis: Axis) -> list[tuple[Axis, Tensor]]:
    """For every leaf in order: where its entries stand, shape (size of the leaf, copies)."""
    axis = axis.root
    if not axis.parts:
        return [(axis, torch.arange(axis.size)[:, None])]
    found, before = [], 0 if not axis.product else 1
    for part in axis.parts:
        after = axis.size // (before * part.size) if axis.product else 1
        for leaf, own in positions(part):
            if axis.product:
                outer = torch.arange(before)[None, :, None, None] * part.size * after
                places = outer + own[:, None, :, None] * after + torch.arange(after)
                found.append((leaf, places.reshape(leaf.size, -1)))
            else:
                found.append((leaf, own + before))
        before = before * part.size if axis.product else before + part.size
    return found


# -- tensors ---------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Tag:
    """What is known of a tensor.

    Attributes:
        axes: its axes.
        data: whether data enter.
        zero: whether it is a constant zero.
        counts: whether it is the constant 0, 1, 2, ...
    """

    axes: tuple[Axis, ...]
    data: bool = False
    zero: bool = False
    counts: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the tensor."""
        return tuple(axis.size for axis in self.axes)


@dataclass(frozen=True, eq=False)
class Tagged:
    """A tensor with what is known of it."""

    value: Tensor
    tag: Tag
