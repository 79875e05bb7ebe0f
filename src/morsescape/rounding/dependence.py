"""Which of a recorded program's values depend on which sample, and which are sums over samples.

One more machine for recorded programs: every number carries, beside its value, the set of samples
that it may depend on. It answers what may not be guessed from sizes: whether row n of a tensor is
sample n's alone, and whether a loss is a sum of terms of one sample each, or such a sum over a
divisor that no output moves. Sets are upper bounds: what it calls independent is so. Where an
operation is not known, everything it gives depends on all that it takes, and its name is noted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, no_type_check

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from morsescape.rounding.ball_rules import on_any_layout
from morsescape.rounding.nests import leaves_of, mapped
from morsescape.rounding.operations import Kind, Operation, Reach, operation
from morsescape.rounding.program import Program

aten = torch.ops.aten


@dataclass(frozen=True, eq=False)
class Shadow:
    """A value, and for each of B samples where it may depend on it: `sets` is (B, *shape).

    `summed`: every entry is a sum over samples of terms of one sample each (`sets` then says which
    samples enter). `over`: all is divided by this one number; `sets` speaks of the numerator.
    `moved`: it depends on what was marked as moving (the outputs, for a loss).
    """

    value: Tensor
    sets: Tensor
    summed: bool = False
    over: Shadow | None = None
    moved: bool = False
    step: int = -1  # the step of the program that made it

    @property
    def single(self) -> bool:
        """Whether no entry of the numerator depends on two samples."""
        return bool((self.sets.sum(0) <= 1).all())

    @property
    def additive(self) -> bool:
        """Whether every entry of the numerator is a sum of terms of one sample each."""
        return self.summed or self.single

    @property
    def all_sets(self) -> Tensor:
        """With what the divisor depends on."""
        return self.sets if self.over is None else self.sets | _anywhere(self.over.all_sets, self)


def _anywhere(sets: Tensor, like: Shadow) -> Tensor:
    """Any sample of `sets`, in every entry of `like`."""
    some = sets.reshape(len(sets), -1).any(1)
    return some.view(-1, *[1] * like.value.ndim).expand(-1, *like.value.shape)


def rows_of_samples(tensor: Any, samples: int, *, moved: bool = False) -> Any:
    """The tensors of a chunk, row n depending on sample n."""

    def shadow(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        own = torch.eye(samples, dtype=torch.bool).view(samples, samples, *[1] * (leaf.ndim - 1))
        return Shadow(leaf, own.expand(samples, *leaf.shape).clone(), moved=moved)

    return tree_map(shadow, tensor)


def is_row_by_row(value: Any, samples: int) -> bool:
    """Whether dimension 0 counts the samples, and row n depends on sample n at most."""
    if not isinstance(value, Shadow):
        return isinstance(value, Tensor) and value.ndim > 0 and len(value) == samples
    if value.value.ndim == 0 or len(value.value) != samples:
        return False
    found = value.all_sets.reshape(samples, samples, -1).any(2)  # (sample, row)
    return not bool((found & ~torch.eye(samples, dtype=torch.bool)).any())


class Dependence:
    """Runs a program on shadows; `unknown` are operations for which all is taken to meet all."""

    bounded = False
    kinks = 0

    def __init__(self, samples: int) -> None:
        self.samples = samples
        self.unknown: set[str] = set()
        self.steps = -1

    def run(self, program: Program, *inputs: Any) -> Any:
        """The program's outputs, as shadows where they depend on a sample."""
        with torch.no_grad():
            return program.run(self, *inputs)

    def __call__(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The operation, and where its results come from."""
        self.steps += 1
        shadows = _shadows((args, kwargs))
        entry = operation(target.overloadpacket.__name__)
        if target is aten.view.dtype or _shadows(kwargs):
            entry = Operation(entry.name)  # nothing of what holds of the others
        else:
            target = on_any_layout(target)
        out = target(*_plain(args), **_plain(kwargs))
        if not shadows:
            return out
        moved = any(s.moved for s in shadows)
        over, summed = _structure(entry, args, shadows)
        inner = args if over is not None or summed else _tainted(args)
        if entry.kind is Kind.MOVES:
            sets = self._moved(entry, target, inner, kwargs, out)
        else:
            sets = tree_map(lambda o: self._sets(entry, target, inner, kwargs, o), out)

        def shadow(o: Any, s: Any) -> Any:
            return Shadow(o, s, summed, over, moved, self.steps) if isinstance(o, Tensor) else o

        return tree_map(shadow, out, sets)

    def _sets(self, entry: Operation, target: Any, args: Any, kwargs: Any, out: Any) -> Any:
        """(B, *out.shape)."""
        if not isinstance(out, Tensor):
            return out
        if entry.kind in (Kind.FILLS, Kind.UNSET):
            return torch.zeros(self.samples, *out.shape, dtype=torch.bool)
        if entry.kind is Kind.SPREADS:  # of the first argument, the shape
            return self._broadcast(args[-1:], out)
        if entry.name == "where" and not isinstance(args[0], Shadow):
            return self._selected(args, out)
        if entry.kind is Kind.CHOOSES:
            return self._chosen(entry.name, target, args, out)
        pointwise = torch.Tag.pointwise in target.tags
        if (entry.kind is not Kind.OTHER and entry.reach is Reach.ENTRY) or pointwise:
            return self._broadcast(args, out)
        if entry.reach is Reach.ALONG:
            place = 2 if entry.name in ("topk", "kthvalue") else 1
            return self._along(args, kwargs.get("dim", args[place] if args[place:] else -1), out)
        way = self._WAYS.get(entry.reach)
        if way is not None:
            return way(self, args, out)
        self.unknown.add(entry.name)
        return self._mixed((args, kwargs), out)

    # -- one way for each kind of operation -------------------------------------------------------

    def _mixed(self, args: Any, out: Tensor) -> Tensor:
        """Everything depends on whatever came in."""
        some = torch.zeros(self.samples, dtype=torch.bool)
        for s in _shadows(args):
            some |= s.all_sets.reshape(self.samples, -1).any(1)
        return some.view(-1, *[1] * out.ndim).expand(-1, *out.shape)

    def _moved(self, entry: Operation, target: Any, args: Any, kwargs: Any, out: Any) -> Any:
        args = args[:2] if entry.name == "constant_pad_nd" else args
        options = {k: v for k, v in kwargs.items() if k == "dim"}
        moved = []
        for n in range(self.samples):
            sets = tree_map(lambda a, n=n: _set_of(a, n), args)
            moved.append(target(*sets, **options))
        return tree_map(lambda *parts: torch.stack(parts), *moved)

    def _broadcast(self, args: Any, out: Tensor) -> Tensor:
        sets = torch.zeros(self.samples, *out.shape, dtype=torch.bool)
        for s in _shadows(args):
            own = s.sets.view(self.samples, *[1] * (out.ndim - s.value.ndim), *s.value.shape)
            sets |= own
        return sets

    def _selected(self, args: Any, out: Tensor) -> Tensor:
        """By a condition that is the same for all samples: each entry is one or the other."""
        first, second = (self._broadcast((a,), out) for a in args[1:3])
        return torch.where(args[0], first, second)

    def _product(self, args: Any, out: Tensor) -> Tensor:
        a, b = args[0], args[1]
        sets = torch.zeros(self.samples, *out.shape, dtype=torch.bool)
        if isinstance(a, Shadow):
            sets |= a.sets.any(-1, keepdim=True)
        if isinstance(b, Shadow):
            sets |= b.sets.any(-2, keepdim=True)
        return sets

    def _reduced(self, args: Any, out: Tensor) -> Tensor:
        s = args[0]
        if not isinstance(s, Shadow) or len(_shadows(args)) > 1:
            return self._mixed(args, out)
        dims = args[1] if len(args) > 1 and args[1] not in (None, []) else None
        dims = [dims] if isinstance(dims, int) and not isinstance(dims, bool) else dims
        dims = list(range(s.value.ndim)) if not isinstance(dims, list | tuple) else list(dims)
        sets = s.sets
        for d in sorted({d % max(s.value.ndim, 1) for d in dims}):
            sets = sets.any(d + 1, keepdim=True) if s.value.ndim else sets
        if sets[0].numel() != out.numel():
            return self._mixed(args, out)
        return sets.reshape(self.samples, *out.shape)

    def _along(self, args: Any, dim: int, out: Tensor) -> Tensor:
        """Each entry depends on all entries along one dimension."""
        s = args[0]
        if not isinstance(s, Shadow) or out.ndim != s.value.ndim or out.ndim == 0:
            return self._mixed(args, out)
        return s.sets.any(dim % out.ndim + 1, keepdim=True).expand(-1, *out.shape)

    def _chosen(self, name: str, target: Any, args: Any, out: Tensor) -> Tensor:
        """Entries at places: those of the source that may be chosen, and whoever chooses."""
        if name in ("gather", "index_select"):
            source, places, dims = args[0], [args[2]], [args[1]]
        else:
            source, places = args[0], [p for p in args[1] if p is not None]
            dims = [d for d, p in enumerate(args[1]) if p is not None]
        sets = torch.zeros(self.samples, *out.shape, dtype=torch.bool)
        if isinstance(source, Shadow):
            reach = source.sets
            for d, p in zip(dims, places, strict=True):
                if isinstance(p, Shadow):  # which entry is taken depends on a sample
                    dim = d % source.value.ndim + 1
                    reach = reach.any(dim, keepdim=True).expand_as(reach)
            rest = _plain(args[1:])
            sets |= torch.stack([target(r, *rest) for r in reach.unbind(0)]).bool()
        if any(isinstance(p, Shadow) for p in places):
            sets |= self._choosers(name, args, places, dims, out)
        return sets

    def _choosers(self, name: str, args: Any, places: Any, dims: Any, out: Tensor) -> Tensor:
        if name == "gather":
            own: Tensor = places[0].sets
            return own
        shadows = [p for p in places if isinstance(p, Shadow)]
        block = torch.broadcast_shapes(*(_plain(p).shape for p in places))
        neighbours = dims == list(range(dims[0], dims[0] + len(dims)))
        if name == "index_select" or not (neighbours or dims[0] == 0):
            return self._mixed(tuple(shadows), out)
        start = dims[0] if neighbours else 0
        sets = torch.zeros(self.samples, *block, dtype=torch.bool)
        for s in shadows:
            sets |= s.sets.view(self.samples, *[1] * (len(block) - s.value.ndim), *s.value.shape)
        after = out.ndim - start - len(block)
        shape = (self.samples, *[1] * start, *block, *[1] * after)
        return sets.view(shape).expand(-1, *out.shape)

    def _scattered(self, args: Any, out: Tensor) -> Tensor:
        dim = args[1] % max(out.ndim, 1)
        sets = torch.zeros(self.samples, *out.shape, dtype=torch.bool)
        if isinstance(args[0], Shadow):
            sets |= args[0].sets
        for s in _shadows(args[2:]):
            if s.value.ndim != out.ndim or out.ndim == 0:
                return self._mixed(args, out)
            reach = s.sets.any(dim + 1, keepdim=True)
            shape = [self.samples, *(k if d != dim else 1 for d, k in enumerate(out.shape))]
            wide = torch.zeros(shape, dtype=torch.bool)
            wide[tuple(slice(0, k) for k in reach.shape)] = reach
            sets |= wide
        return sets

    def _per_item(self, args: Any, out: Tensor) -> Tensor:
        """Each leading entry of the result comes from that of the first argument alone."""
        first = args[0]
        rest = _shadows(args[1:])
        length = len(_plain(first)) if _plain(first).ndim else 0
        fits = isinstance(first, Shadow) and out.ndim > 0 and len(out) == length
        if not fits or any(len(s.value) != length or s.value.ndim == 0 for s in rest):
            return self._mixed(args, out)
        sets = torch.zeros(self.samples, *out.shape, dtype=torch.bool)
        for s in (first, *rest):
            rows = s.sets.flatten(2).any(2) if s.value.ndim > 1 else s.sets
            sets |= rows.view(self.samples, -1, *[1] * (out.ndim - 1))
        return sets

    _WAYS: ClassVar = {
        Reach.PRODUCT: _product,
        Reach.REDUCED: _reduced,
        Reach.ITEM: _per_item,
        Reach.SCATTERED: _scattered,
    }


# -- sums and divisors ----------------------------------------------------------------------------


def _structure(entry: Operation, args: Any, shadows: list[Shadow]) -> tuple[Shadow | None, bool]:
    """The divisor of the result, and whether its numerator is a sum of terms of one sample each.

    (None, False) where nothing is known: then the sets of all divisors count.
    """
    overs = {id(s.over): s.over for s in shadows if s.over is not None}
    sums = all(s.additive for s in shadows)
    if entry.name == "div" and len(args) > 1 and isinstance(args[1], Shadow):
        top, below = args[0], args[1]
        fits = below.value.numel() == 1 and not below.moved and below.over is None
        plain = not isinstance(top, Shadow) or (top.additive and top.over is None)
        return (below, True) if fits and plain else (None, False)
    if len(overs) > 1:
        return None, False
    over = next(iter(overs.values()), None)
    if entry.kind in (Kind.MOVES, Kind.CONVERTS) or entry.name in ("neg", "sum", "add", "sub"):
        # What has another divisor, or none, must not depend on samples.
        alike = all(s.over is over for s in shadows)
        return (over, sums) if alike else (None, False)
    if entry.name in ("mul", "div"):
        if len(shadows) == 1:
            return over, sums
        return _product_structure(shadows, over)
    return None, False


def _product_structure(shadows: list[Shadow], over: Shadow | None) -> tuple[Shadow | None, bool]:
    """A product is a sum of terms of one sample each if each entry has one sample in all."""
    shape = torch.broadcast_shapes(*(s.value.shape for s in shadows))
    together = torch.zeros(len(shadows[0].sets), *shape, dtype=torch.bool)
    for s in shadows:
        together |= s.sets.view(-1, *[1] * (len(shape) - s.value.ndim), *s.value.shape)
    if bool((together.sum(0) <= 1).all()) and sum(s.over is not None for s in shadows) <= 1:
        return over, True
    return None, False


# -- arguments ------------------------------------------------------------------------------------


def _shadows(part: Any) -> list[Shadow]:
    return [leaf for leaf in leaves_of(part) if isinstance(leaf, Shadow)]


@no_type_check
def _plain(part: Any) -> Any:
    return mapped(lambda a: a.value if isinstance(a, Shadow) else a, part)


def _tainted(args: Any) -> Any:
    """What a divisor depends on counts like what is divided."""

    def whole(s: Any) -> Any:
        return Shadow(s.value, s.all_sets) if isinstance(s, Shadow) and s.over is not None else s

    return tree_map(whole, args)


@no_type_check
def _set_of(part: Any, n: int) -> Any:
    """Where an argument depends on sample n: nowhere, if it is a plain tensor."""
    if isinstance(part, Shadow):
        return part.sets[n]
    return torch.zeros(part.shape, dtype=torch.bool) if isinstance(part, Tensor) else part
