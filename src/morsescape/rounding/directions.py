"""Many tangents at once, with one error bound for all of them.

A forward-over-reverse pass is linear in its tangent: every value that depends on the direction t
is obtained from others by sums, by products with values that do not depend on t, and by moving
entries. So one pass of the single-tangent program carries, for each such value z,

    mid[t]   what torch computes for direction t, the directions stacked in front,
    mag      >= max_t |mid[t]|, entrywise: the majorant,
    rad      >= max_t |mid[t] - true[t]|, entrywise.

For each operation the rule for balls is applied once, to the ball (mag, rad) in place of
(mid[t], rad[t]), with |c| in place of every shared factor c and addition in place of
subtraction. Each radius formula in `ball_rules` is non-decreasing in the magnitudes and radii of
its operands, so its value at the majorants bounds every direction; and the majorant that comes
out, |z| <= sum |c| mag, bounds every |mid[t]| up to its own rounding (see INFLATION). After
a matrix product or a sum, where terms cancel, mag is measured again as max_t |mid[t]|.

The bound costs one direction instead of all; it is larger by what max_t loses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, no_type_check  # what runs for every argument is not checked

import torch
from torch import Tensor

from morsescape.errors import is_out_of_memory
from morsescape.rounding.balls import Ball, NoErrorRule
from morsescape.rounding.common_values import Shared
from morsescape.rounding.enclose import Enclosure, Values, carry_out
from morsescape.rounding.nests import leaves_of, mapped
from morsescape.rounding.operations import BALL, Kind, operation
from morsescape.rounding.sums import product, total

aten = torch.ops.aten


@dataclass
class Family:
    """Values of all directions (t, ...), and bounds (...) for all of them."""

    mid: Tensor
    mag: Tensor | None = None
    rad: Tensor | None = None
    majorant: Ball | None = None

    def ball(self) -> Ball:
        """The majorant as a ball."""
        if self.majorant is None:
            if self.mag is None:
                self.mag = _largest(self.mid)
            self.majorant = Ball(self.mag, self.rad)
            self.majorant.__dict__["mag"] = self.mag  # not negative
        return self.majorant


def _largest(x: Tensor) -> Tensor:
    """max_t |x[t]| in float64; two passes that leave no temporary are far faster than the norm."""
    return torch.maximum(x.amax(0), x.amin(0).neg()).double()


class Families:
    """Runs a single-tangent program on all directions; `machine` runs what all share."""

    def __init__(self, machine: Values | Enclosure | Shared) -> None:
        self.machine, self.moving = machine, True
        self.bounded = machine.bounded
        self.majorants = Enclosure()
        self.majorants.family = True

    def __call__(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The operation for all directions."""
        if not _holds_family((args, kwargs)):
            self.machine.moving = self.moving
            return self.machine(target, args, kwargs)
        mid = _batched(target, mapped(_middle, args), kwargs, mapped(_is_family, args))
        bound = self._bound(target, args, kwargs) if self.bounded else None
        if isinstance(mid, list | tuple):
            bounds = bound or [None] * len(mid)
            return [_family(target, m, b) for m, b in zip(mid, bounds, strict=True)]
        return _family(target, mid, bound)

    def _bound(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        name = target.overloadpacket.__name__
        if operation(name).kind not in _LINEAR:
            raise NoErrorRule(name)
        if name == "div" and isinstance(args[1], Family):  # not linear in the tangent
            raise NoErrorRule("division by a tangent")
        if name == "neg":
            return args[0].ball()
        if name == "sub":
            name, target = "add", aten.add.Tensor
        raw = 1 if name == "max_pool2d_with_indices_backward" else None  # where the maxima were
        size = _size if name in _VALUES else _absolute  # elsewhere integers are shapes and places
        balls = [_as_is(a) if k == raw else mapped(size, a) for k, a in enumerate(args)]
        kwargs = {k: abs(v) if k == "alpha" else v for k, v in kwargs.items()}
        return carry_out(BALL, self.majorants, target, balls, kwargs)


_LINEAR = (
    Kind.MOVES, Kind.CHOOSES, Kind.SELECTS, Kind.FILLS, Kind.SPREADS, Kind.CONVERTS, Kind.LINEAR,
    Kind.BILINEAR, Kind.QUOTIENT,
)  # fmt: skip
_CANCEL = {"mm", "bmm", "sum"}
_VALUES = {"mul", "div", "add", "sub", "where", "masked_fill"}  # all their arguments are values


@no_type_check
def _holds_family(part: Any) -> bool:
    return any(isinstance(x, Family) for x in leaves_of(part))


@no_type_check
def _as_is(x: Any) -> Any:
    return x.ball() if isinstance(x, Family) else x


@no_type_check
def _absolute(x: Any) -> Any:
    if isinstance(x, Family):
        return x.ball()
    if isinstance(x, Ball):
        return x.absolute
    if isinstance(x, Tensor) and x.is_floating_point():
        return x.abs()
    return abs(x) if isinstance(x, float) else x


@no_type_check
def _size(x: Any) -> Any:
    """Like `_absolute`, of integers too."""
    if isinstance(x, bool) or (isinstance(x, Tensor) and x.dtype == torch.bool):
        return x
    return abs(x) if isinstance(x, Tensor | int) else _absolute(x)


@no_type_check
def _middle(x: Any) -> Any:
    return x.mid if isinstance(x, Ball | Family) else x


@no_type_check
def _is_family(x: Any) -> bool:
    return isinstance(x, Family)


def _family(target: Any, mid: Tensor | None, bound: Any) -> Any:
    if mid is None or bound is None:
        return None if mid is None else Family(mid)
    if isinstance(bound, Tensor):  # new_zeros and the like: exact
        bound = Ball(bound)
    measure = target.overloadpacket.__name__ in _CANCEL
    return Family(mid, None if measure else bound.mid, bound.rad)


def _batched(target: Any, args: tuple[Any, ...], kwargs: Any, family: tuple[Any, ...]) -> Any:
    """The operation on every direction."""
    if target in (aten.mm.default, aten.bmm.default):
        return _products(args[0], args[1], family[0], family[1])
    if target in (aten.view.default, aten._unsafe_view.default):
        return args[0].reshape(len(args[0]), *_shape(args[0], args[1]))
    if target is aten.clone.default:
        return args[0]
    if target is aten.copy.default and family[1]:
        like = args[0].shape[1:] if family[0] else args[0].shape
        return _aligned((args[1], args[0]), (True, family[0]))[0].expand(len(args[1]), *like)
    if target in (aten.sum.default, aten.sum.dim_IntList):
        dims = args[1] if len(args) > 1 and args[1] else range(args[0].ndim - 1)
        dims = [d + 1 if d >= 0 else d for d in dims]  # t stays
        return total(args[0], dims, *args[2:], **kwargs) if dims else args[0]
    if target in _ELEMENTWISE and all(isinstance(a, Tensor) for a in args):
        return target(*_aligned(args, family), **kwargs)
    return _vmapped(target, args, kwargs, family)


def _vmapped(target: Any, args: tuple[Any, ...], kwargs: Any, family: tuple[Any, ...]) -> Any:
    flat = [(a, 0 if f is True else None) for a, f in _tensors(args, family)]
    missing: list[int] = []  # results that were not asked for

    def one(*tensors: Tensor) -> Any:
        out = target(*_rebuild(args, iter(tensors)), **kwargs)
        if isinstance(out, Tensor):
            return out
        missing[:] = [k for k, part in enumerate(out) if part is None]
        return [part for part in out if part is not None]

    try:
        out = torch.vmap(one, in_dims=tuple(d for _, d in flat))(*(a for a, _ in flat))
    except RuntimeError as unknown:  # torch cannot do this for many at once
        if is_out_of_memory(unknown):
            raise
        return _one_by_one(target, args, kwargs, family)
    for k in missing:
        out.insert(k, None)
    return out


def _one_by_one(target: Any, args: tuple[Any, ...], kwargs: Any, family: tuple[Any, ...]) -> Any:
    flat = _tensors(args, family)
    many = next(len(a) for a, f in flat if f is True)
    outs = [target(*_rebuild(args, (a[t] if f is True else a for a, f in flat)), **kwargs)
            for t in range(many)]  # fmt: skip
    if isinstance(outs[0], Tensor):
        return torch.stack(outs)
    return [None if parts[0] is None else torch.stack(parts) for parts in zip(*outs, strict=True)]


_ELEMENTWISE = {aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.div.Tensor}


def _shape(x: Tensor, shape: list[int]) -> list[int]:
    known = -torch.Size(shape).numel() if -1 in shape else 1
    return [x[0].numel() // max(known, 1) if s == -1 else s for s in shape]


def _aligned(args: tuple[Any, ...], family: tuple[Any, ...]) -> list[Tensor]:
    """Insert dimensions after t, so that operands of different rank broadcast."""
    rank = max(a.ndim - f for a, f in zip(args, family[:2], strict=True))
    return [
        a.reshape(len(a), *[1] * (rank + 1 - a.ndim), *a.shape[1:]) if f else a
        for a, f in zip(args, family[:2], strict=True)
    ]


@no_type_check
def _tensors(args: Any, family: Any) -> list[tuple[Tensor, bool]]:
    if isinstance(args, list | tuple):
        return [pair for a, f in zip(args, family, strict=True) for pair in _tensors(a, f)]
    return [(args, family)] if isinstance(args, Tensor) else []


@no_type_check
def _rebuild(args: Any, tensors: Any) -> Any:
    if isinstance(args, list | tuple):
        return type(args)(_rebuild(a, tensors) for a in args)
    return next(tensors) if isinstance(args, Tensor) else args


def _products(a: Tensor, b: Tensor, many_a: bool, many_b: bool) -> Tensor:
    """Matrix products for all directions; what is shared enters one product, not many."""
    if a.ndim - many_a == 3:  # a batch of matrices: the directions become rows or columns
        return _batched_products(a, b, many_a, many_b)
    if many_a and many_b:
        return product(a, b)
    if many_a:
        return product(a.reshape(-1, a.shape[-1]), b).view(*a.shape[:-1], b.shape[-1])
    wide = product(a, b.permute(1, 0, 2).reshape(b.shape[1], -1))
    return wide.view(len(a), *b.shape[::2]).permute(1, 0, 2)


def _batched_products(a: Tensor, b: Tensor, many_a: bool, many_b: bool) -> Tensor:
    t = len(a) if many_a else len(b)
    if not many_b:
        rows = a.transpose(0, 1).flatten(1, 2)  # (batch, t n, k)
        return product(rows, b).unflatten(1, (t, -1)).transpose(0, 1)
    if not many_a:
        columns = b.permute(1, 2, 0, 3).flatten(2, 3)  # (batch, k, t m)
        return product(a, columns).unflatten(2, (t, -1)).permute(2, 0, 1, 3)
    return product(a.flatten(0, 1), b.flatten(0, 1)).unflatten(0, (t, -1))
