"""How units may be flipped or rescaled: exponents, read off the same operations.

Multiply the slice of unit u of every parameter p by s_u^(e_p), with s_u = -1 or s_u > 0. Every
tensor then has exponents as well, linear in the e_p: a product adds them, a sum wants them equal, a
contraction over the units wants them opposite, and a function of one variable says by its values
what it makes of them (odd, even, homogeneous of a degree). What is asked of the e_p is a system
of linear equations, modulo 2 for signs, over the rationals for positive factors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from itertools import chain
from math import lcm

import torch
from torch import Tensor

from morsescape.paths.axes import Axis, Tag, positions
from morsescape.paths.axis_rules import Noted, order_of, reduced_dims, slice_of
from morsescape.rounding.nests import mapped
from morsescape.rounding.operations import Kind, Reach, operation

Exponent = tuple[Fraction, ...]  # a linear function of the e_p
Exponents = list[list[Exponent]]  # by axis, one for every occurrence of the units in it
_DEGREES = tuple(Fraction(k, 2) for k in (0, 2, 4, 6, 8, -2, -4, 1, -1))
_TOLERANCE = 1e-12


class Exponentiated:
    """The exponents of all tensors of a program, for the units of one leaf.

    Args:
        unit: the leaf.
        parameters: their tags; the variables are their occurrences of the leaf, in order.
        signs: whether the factors are signs, or else positive.
    """

    def __init__(self, unit: Axis, parameters: Sequence[Tag], *, signs: bool) -> None:
        self.unit, self.signs = unit.root, signs
        self.conditions: dict[Exponent, None] = {}
        self._of: dict[int, Exponents] = {}
        counts = [self.counts(tag) for tag in parameters]
        self.variables = sum(map(sum, counts))
        self._null: Exponent = (Fraction(0),) * self.variables
        k = 0
        for tag, numbers in zip(parameters, counts, strict=True):
            own: Exponents = []
            for number in numbers:
                own.append([self._variable(k + i) for i in range(number)])
                k += number
            self._of[id(tag)] = own

    def _variable(self, k: int) -> Exponent:
        return tuple(Fraction(int(i == k)) for i in range(self.variables))

    def counts(self, tag: Tag) -> list[int]:
        """How often the leaf occurs in each axis."""
        return [sum(leaf is self.unit for leaf in axis.leaves) for axis in tag.axes]

    def of(self, tag: Tag) -> Exponents:
        """Of a tensor; none of a constant."""
        found = self._of.get(id(tag))
        return [[self._null] * n for n in self.counts(tag)] if found is None else found

    def follow(self, noted: Iterable[Noted]) -> None:
        """Through all operations, in order."""
        for step in noted:
            if any(map(any, map(self.counts, (*step.tensors, *step.results)))):
                self._step(step)

    def _step(self, step: Noted) -> None:
        found = self._known(step)
        if found is None:
            self._none(*step.tensors)
            return
        for tag, own in zip(step.results, found, strict=True):
            if [len(part) for part in own] == self.counts(tag):
                self._of[id(tag)] = own
            else:
                self._none(*step.tensors)

    def _known(self, step: Noted) -> list[Exponents] | None:
        entry = operation(step.name)
        if step.name in _RULES:
            return _RULES[step.name](self, step)
        if entry.kind is Kind.FILLS:
            return []
        if entry.reach is Reach.ITEM and len(step.tensors) == 1:
            linear = entry.kind is Kind.LINEAR
            passes = linear or (not self.signs and entry.kind is Kind.PIECES)
            return [self.of(step.args[0]) for _ in step.results] if passes else None
        if len(step.tensors) != 1:
            return None
        pointwise = torch.Tag.pointwise in step.target.tags
        if (entry.reach is Reach.ENTRY or pointwise) and len(step.results) == 1:
            return self._scaled(step, self.of(step.args[0]))
        if entry.reach is Reach.REDUCED and len(step.results) == 1:
            return self._reduced(step)
        return None

    # -- conditions -------------------------------------------------------------------------------

    def _want(self, exponent: Exponent) -> None:
        if self.signs:
            exponent = tuple(e % 2 for e in exponent)
        if any(exponent):
            self.conditions[exponent] = None

    def _none(self, *tags: Tag) -> None:
        for tag in tags:
            for own in self.of(tag):
                for exponent in own:
                    self._want(exponent)

    def _equal(self, first: Exponents, second: Exponents) -> None:
        for p, q in zip(_flat(first), _flat(second), strict=True):
            self._want(_plus(p, q, -1))

    # -- operations -------------------------------------------------------------------------------

    def _scaled(self, step: Noted, own: Exponents) -> list[Exponents] | None:
        """Times the degree of the operation, if it has one."""
        degree = self._degree(step)
        if degree is None:
            return None
        return [[[tuple(degree * e for e in x) for x in part] for part in own]]

    def _degree(self, step: Noted) -> Fraction | None:
        """The k with op(c v) = c^k op(v), by its values; of signs whether it is odd or even."""
        generator = torch.Generator().manual_seed(0)
        v = 2 * torch.randn((3,) * len(step.args[0].axes), generator=generator).double()

        def op(x: Tensor) -> Tensor:
            args, kwargs = mapped(
                lambda a: x if isinstance(a, Tag) else a, (step.args, step.kwargs)
            )
            out: Tensor = step.target(*args, **kwargs)
            return out.double()

        factors = (-1.0,) if self.signs else (0.25, 3.0, 17.0)
        candidates = _DEGREES[:2] if self.signs else _DEGREES
        try:
            base = op(v)
            moved = [op(c * v) for c in factors]
        except (RuntimeError, IndexError, TypeError):
            return None  # it wants another shape, or another type
        for k in candidates:
            if all(_close(m, c ** float(k) * base) for c, m in zip(factors, moved, strict=True)):
                return k
        return None

    def _reduced(self, step: Noted) -> list[Exponents] | None:
        own, dims = self.of(step.args[0]), reduced_dims(step.args, step.kwargs)
        for d in dims:
            for exponent in own[d]:
                self._want(exponent)
        kept = [part for d, part in enumerate(own) if d not in dims]
        scaled = self._scaled(step, kept)
        return None if scaled is None else [self._regrouped(scaled[0], step.results[0])]

    def _regrouped(self, own: Exponents, tag: Tag) -> Exponents:
        """Flattening and its inverse keep the order of the occurrences."""
        rest, counts = _flat(own), self.counts(tag)
        if len(rest) != sum(counts):
            return own  # which does not fit
        return [[rest.pop(0) for _ in range(n)] for n in counts]

    def _spread(self, tag: Tag, shape: Sequence[int], counts: list[int]) -> list[Exponent]:
        """Over the shape that it is broadcast to; nothing depends on units that it has not."""
        found = [[self._null] * n for n in counts]
        pairs = zip(reversed(tag.axes), reversed(self.of(tag)), reversed(shape), strict=False)
        for k, (axis, part, size) in enumerate(pairs, start=1):
            if axis.size == size:
                found[-k] = part
        return _flat(found)

    def _operands(self, step: Noted, tags: Sequence[Tag]) -> list[list[Exponent]]:
        out = step.results[0]
        return [self._spread(tag, out.shape, self.counts(out)) for tag in tags]

    def _back(self, flat: list[Exponent], step: Noted) -> list[Exponents]:
        return [self._regrouped([flat], step.results[0])]


_Rule = Callable[[Exponentiated, Noted], "list[Exponents] | None"]
_RULES: dict[str, _Rule] = {}


def _rule(names: str) -> Callable[[_Rule], _Rule]:
    def register(function: _Rule) -> _Rule:
        _RULES.update(dict.fromkeys(names.split(), function))
        return function

    return register


@_rule("""alias detach contiguous clone lift_fresh view _unsafe_view _reshape_alias reshape
    view_copy unsqueeze squeeze unsqueeze_copy squeeze_copy""")
def _view(self: Exponentiated, step: Noted) -> list[Exponents]:
    return [self._regrouped(self.of(step.args[0]), step.results[0])]


@_rule("gather")
def _gather(self: Exponentiated, step: Noted) -> list[Exponents] | None:
    same = step.args[2].counts and step.args[2].shape == step.args[0].shape
    return [self.of(step.args[0])] if same else None


@_rule("permute permute_copy transpose transpose_copy t t_copy")
def _permute(self: Exponentiated, step: Noted) -> list[Exponents]:
    own = self.of(step.args[0])
    return [[own[d] for d in order_of(step.name, step.args)]]


@_rule("expand expand_copy")
def _expand(self: Exponentiated, step: Noted) -> list[Exponents]:
    return self._back(self._operands(step, [step.args[0]])[0], step)


@_rule("select select_copy unbind unbind_copy")
def _select(self: Exponentiated, step: Noted) -> list[Exponents]:
    own = list(self.of(step.args[0]))
    own.pop(step.args[1] if len(step.args) > 1 else step.kwargs.get("dim", 0))
    return [own for _ in step.results]


@_rule("slice slice_copy")
def _slice(self: Exponentiated, step: Noted) -> list[Exponents]:
    dim, start, end, _ = slice_of(step.args)
    own = list(self.of(step.args[0]))
    own[dim] = _within(self, step.args[0].axes[dim], own[dim], start, end)
    return [own]


@_rule("unfold unfold_copy")
def _unfold(self: Exponentiated, step: Noted) -> list[Exponents] | None:
    dim, size, stride = step.args[1:4]
    own = list(self.of(step.args[0]))
    return [[*own, []]] if not own[dim] or (size, stride) == (1, 1) else None


@_rule("split_with_sizes")
def _split(self: Exponentiated, step: Noted) -> list[Exponents]:
    own, low, found = self.of(step.args[0]), 0, []
    dim = (step.args[2] if len(step.args) > 2 else step.kwargs.get("dim", 0)) % len(own)
    for tag in step.results:
        part, high = list(own), low + tag.shape[dim]
        part[dim] = _within(self, step.args[0].axes[dim], own[dim], low, high)
        found.append(part)
        low = high
    return found


def _within(
    self: Exponentiated, axis: Axis, own: list[Exponent], start: int, end: int
) -> list[Exponent]:
    places = [p for leaf, p in positions(axis) if leaf is self.unit]
    return [
        exponent
        for p, exponent in zip(places, own, strict=True)
        if start <= int(p.min()) and int(p.max()) < end
    ]


@_rule("cat")
def _cat(self: Exponentiated, step: Noted) -> list[Exponents]:
    tags = [tag for tag in step.args[0] if tag.shape != (0,)]
    ndim = len(tags[0].axes)
    dim = (step.args[1] if len(step.args) > 1 else step.kwargs.get("dim", 0)) % ndim
    own = [list(self.of(tag)) for tag in tags]
    joined = [exponent for part in own for exponent in part[dim]]
    for part in own:
        part[dim] = []
    for part in own[1:]:
        self._equal(own[0], part)
    own[0][dim] = joined
    return [own[0]]


@_rule("constant_pad_nd")
def _pad(self: Exponentiated, step: Noted) -> list[Exponents] | None:
    filled = step.args[2] if len(step.args) > 2 else 0
    return [self.of(step.args[0])] if filled == 0 else None


@_rule("add sub")
def _add(self: Exponentiated, step: Noted) -> list[Exponents] | None:
    tags = [tag for tag in step.args[:2] if isinstance(tag, Tag)]
    if len(tags) != 2:
        return self._scaled(step, self.of(tags[0])) if isinstance(step.args[0], Tag) else None
    return _alike(self, step, tags)


def _alike(self: Exponentiated, step: Noted, tags: Sequence[Tag]) -> list[Exponents]:
    first, *rest = self._operands(step, [tag for tag in tags if not tag.zero] or tags[:1])
    for other in rest:
        self._equal([first], [other])
    return self._back(first, step)


@_rule("mul")
def _mul(self: Exponentiated, step: Noted) -> list[Exponents] | None:
    if len(step.tensors) != 2:
        return self._scaled(step, self.of(step.tensors[0]))
    first, second = self._operands(step, step.tensors)
    return self._back([_plus(p, q) for p, q in zip(first, second, strict=True)], step)


@_rule("div")
def _div(self: Exponentiated, step: Noted) -> list[Exponents] | None:
    if len(step.tensors) != 2:
        return self._scaled(step, self.of(step.args[0])) if isinstance(step.args[0], Tag) else None
    if step.kwargs.get("rounding_mode"):
        return None
    first, second = self._operands(step, step.tensors)
    return self._back([_plus(p, q, -1) for p, q in zip(first, second, strict=True)], step)


@_rule("maximum minimum")
def _extreme(self: Exponentiated, step: Noted) -> list[Exponents] | None:
    return None if self.signs else _alike(self, step, step.tensors)


@_rule("where")
def _where(self: Exponentiated, step: Noted) -> list[Exponents] | None:
    if not all(isinstance(part, Tag) for part in step.args):
        return None
    self._none(step.args[0])
    return _alike(self, step, step.args[1:])


@_rule("mm bmm")
def _product(self: Exponentiated, step: Noted) -> list[Exponents]:
    a, b = self.of(step.args[0]), self.of(step.args[1])
    for p, q in zip(a[-1], b[-2], strict=True):
        self._want(_plus(p, q))
    if step.name == "mm":
        return [[a[0], b[1]]]
    batch = [_plus(p, q) for p, q in zip(a[0], b[0], strict=True)]
    return [[batch, a[1], b[2]]]


def _flat(own: Exponents) -> list[Exponent]:
    return list(chain.from_iterable(own))


def _plus(p: Exponent, q: Exponent, times: int = 1) -> Exponent:
    return tuple(x + times * y for x, y in zip(p, q, strict=True))


def _close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=_TOLERANCE, atol=0.0, equal_nan=True)


def value_at(exponent: Exponent, solution: Sequence[int]) -> int:
    """An exponent where the e_p are known."""
    return int(sum(x * e for x, e in zip(exponent, solution, strict=True)))


def solutions(found: Exponentiated) -> list[tuple[int, ...]]:
    """A basis of the e_p that meet all conditions, in whole numbers; modulo 2 for signs."""
    rows, pivots = _reduced_rows([list(row) for row in found.conditions], mod2=found.signs)
    basis = []
    for free in (k for k in range(found.variables) if k not in pivots):
        vector = [Fraction(int(k == free)) for k in range(found.variables)]
        for row, pivot in zip(rows, pivots, strict=True):
            vector[pivot] = row[free] % 2 if found.signs else -row[free]
        scale = lcm(*(entry.denominator for entry in vector))
        basis.append(tuple(int(entry * scale) for entry in vector))
    return basis


def _reduced_rows(
    rows: list[list[Fraction]], *, mod2: bool
) -> tuple[list[list[Fraction]], list[int]]:
    """The reduced echelon form, and the columns of its pivots."""
    found: list[list[Fraction]] = []
    pivots: list[int] = []
    for row in rows:
        for other, pivot in zip(found, pivots, strict=True):
            row = _less(row, other, row[pivot], mod2)
        pivot = next((k for k, x in enumerate(row) if x), -1)
        if pivot < 0:
            continue
        row = [x / row[pivot] for x in row]
        found = [_less(other, row, other[pivot], mod2) for other in found] + [row]
        pivots.append(pivot)
    return found, pivots


def _less(
    row: list[Fraction], other: list[Fraction], times: Fraction, mod2: bool
) -> list[Fraction]:
    fresh = [x - times * y for x, y in zip(row, other, strict=True)]
    return [x % 2 for x in fresh] if mod2 else fresh
