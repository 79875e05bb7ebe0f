"""How jets move through operations (see `jets`): by kind, as the table of operations has them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from morsescape.rounding.balls import Ball, NoErrorRule
from morsescape.rounding.jets import (
    Decision,
    Jet,
    Poly,
    aten,
    between,
    carried,
    ends,
    middle,
    moving,
    narrower,
    on_jets,
    plus,
    scaled,
    shape_of,
    wider,
    zeros_of,
)  # fmt: skip
from morsescape.rounding.nests import mapped
from morsescape.rounding.operations import JET, Kind, derive, operation, rule

Parts = list[Any]
Make = Callable[[Callable[[Any], Any], bool], Any]


class Run(NamedTuple):
    """What a rule is told of where it is used."""

    r: float  # half the length of the interval; 0 for polynomials
    inside: tuple[str, ...]  # the operations that this one was written out from


def is_constant(x: Any) -> bool:
    """Entries that do not move: they count for the value, and not for its derivatives."""
    return isinstance(x, Ball) or (isinstance(x, Tensor) and x.is_floating_point())


def _of_parts(make: Make, numbers: list[Any], r: float, *, moves: bool = False) -> Any:
    """Carry a linear operation out on each part of its moving numbers.

    `make(take, first)` carries it out on what `take` picks of each; `first` is for the value, to
    which constants are added. What only `moves` entries leaves nothing to narrow.
    """
    if all(isinstance(x, Poly) for x in numbers):
        found: Parts = []
        for k in range(max(len(x.parts) for x in numbers)):
            if k and not any(k < len(x.parts) and x.parts[k] is not None for x in numbers):
                found.append(None)
                continue
            found.append(make(_kth(k), k == 0))
        return _gathered(found, lambda parts: Poly(parts, parts[0].mid))
    value = make(lambda x: x.value, True)
    slope = _if_any(make, numbers, lambda x: x.slope)
    bends = _if_any(make, numbers, lambda x: x.bends)
    slopes = slope if bends is None else _if_any(make, numbers, lambda x: x.slopes)
    parts = [value, slope, slopes, bends]
    return _gathered(parts, lambda p: Jet(p[0], p[1], p[2], p[3], r, narrowed=moves))


def _kth(k: int) -> Callable[[Poly], Ball | None]:
    return lambda x: x.parts[k] if k < len(x.parts) else None


def _if_any(make: Any, numbers: list[Any], take: Callable[[Any], Any]) -> Any:
    return None if all(take(x) is None for x in numbers) else make(take, False)


def _gathered(found: Parts, join: Callable[[Parts], Any]) -> Any:
    """One jet, or one for each result of an operation with several."""
    if not isinstance(found[0], list | tuple):
        return join(found)
    width = len(found[0])
    return [join([None if p is None else p[k] for p in found]) for k in range(width)]


# -- what is linear in all that moves -----------------------------------------------------------


# Tensors that name places or choose; any other one beside what moves holds entries of the result.
_PLACES = {
    "where": (0,), "scatter": (2,), "scatter_add": (2,), "index_put": (1,),
    "_unsafe_index_put": (1,), "max_unpool2d": (1,), "max_unpool3d": (1,),
    "max_pool2d_with_indices_backward": (7,),
}  # fmt: skip
# Where Python's numbers are entries of the result; anywhere else they are sizes or factors.
_ENTRIES = {"add": (0, 1), "sub": (0, 1), "where": (1, 2), "constant_pad_nd": (2,), "scatter": (3,)}


def linear(run: Run, target: Any, *args: Any, **kwargs: Any) -> Any:
    """An operation that is affine in all its moving numbers together."""
    name, numbers = target.overloadpacket.__name__, moving((args, kwargs))
    if "reduce" in kwargs or "reduce" in target._overloadname:
        return NotImplemented  # it may multiply
    if any(isinstance(x, Decision) for x in numbers):
        moves = operation(name).kind is Kind.MOVES
        return _moved_decision(target, args, kwargs) if moves else NotImplemented
    chooses = operation(name).kind is Kind.CHOOSES

    def make(take: Callable[[Any], Any], first: bool) -> Any:
        def part(x: Any) -> Any:
            if isinstance(x, Jet | Poly):
                found = take(x)
                return zeros_of(x) if found is None else found
            if first or not isinstance(x, Ball | Tensor):
                return x
            zero = torch.zeros_like(middle(x))
            return Ball(zero) if is_constant(x) else zero

        places = range(1, len(args)) if chooses else _PLACES.get(name, ())
        parts = [x if k in places and not moving(x) else mapped(part, x)
                 for k, x in enumerate(args)]  # fmt: skip
        named = {k: mapped(part, v) for k, v in kwargs.items()}
        if not first:
            entries = [k for k in _ENTRIES.get(name, ()) if k < len(parts)]
            parts = [0.0 if k in entries and _is_python(x) else x for k, x in enumerate(parts)]
            if "value" in named and _is_python(named["value"]):
                named["value"] = 0.0
        return carried(target, *parts, **named)

    return _of_parts(make, numbers, run.r, moves=operation(name).kind is Kind.MOVES)


def _is_python(x: Any) -> bool:
    return isinstance(x, int | float)


def _moved_decision(target: Any, args: Any, kwargs: Any) -> Any:
    def part(field: str) -> Any:
        return mapped(lambda x: getattr(x, field) if isinstance(x, Decision) else x, args)

    if not all(isinstance(x, Decision) for x in moving((args, kwargs))):
        return NotImplemented
    value, doubt = target(*part("value"), **kwargs), target(*part("doubt"), **kwargs)
    if isinstance(value, list | tuple):
        return [Decision(v, d) for v, d in zip(value, doubt, strict=True)]
    return Decision(value, doubt)


derive(JET, linear, Kind.MOVES, Kind.CHOOSES, Kind.LINEAR)


@rule(JET, "add", "sub")
def _sum(run: Run, target: Any, a: Any, b: Any, **kwargs: Any) -> Any:
    """Parts may be 0 where the other's are not, so both take the shape of the sum."""
    shape = torch.broadcast_shapes(*(shape_of(x) for x in (a, b)))
    a, b = (expanded(run, x, shape) for x in (a, b))
    return linear(run, target, a, b, **kwargs)


def expanded(run: Run, x: Any, shape: torch.Size) -> Any:
    """A moving number in a larger shape."""
    if not moving(x) or shape_of(x) == shape:
        return x
    return linear(run, aten.expand.default, x, list(shape))


@rule(JET, "_to_copy", "convert_element_type")
def _converted(run: Run, target: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    if isinstance(x, Decision):
        raise NoErrorRule("a number made of a comparison")
    dtype = kwargs.get("dtype", args[0] if args else None)
    if dtype not in (None, torch.float64):
        raise NoErrorRule(f"conversion to {dtype}")
    return x


_SHAPES = "zeros_like ones_like new_zeros new_ones full_like new_full empty_like new_empty"


@rule(JET, *_SHAPES.split())
def _shapes(run: Run, target: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    if moving((args, kwargs)):
        return NotImplemented
    return carried(target, zeros_of(x), *args, **kwargs)


# -- products -----------------------------------------------------------------------------------


@rule(JET, "mul", "mm", "bmm", "div")
def _product(run: Run, target: Any, a: Any, b: Any, **kwargs: Any) -> Any:
    """Leibniz' rule; of a quotient only where the divisor is fixed."""
    if any(isinstance(x, Decision) for x in (a, b)) or kwargs:
        raise NoErrorRule(f"{target.overloadpacket.__name__} of a comparison")
    both = bool(moving(a)) and bool(moving(b))
    if not both:
        if target.overloadpacket.__name__ == "div" and moving(b):
            return NotImplemented
        numbers = moving((a, b))

        def make(take: Callable[[Any], Any], first: bool) -> Any:
            def part(x: Any) -> Any:
                if not moving(x):
                    return x
                found = take(x)
                return zeros_of(x) if found is None else found

            return carried(target, part(a), part(b))

        return _of_parts(make, numbers, run.r)
    if target.overloadpacket.__name__ == "div":
        return NotImplemented
    on_jets(a, b)

    def times(x: Ball | None, y: Ball | None) -> Ball | None:
        return None if x is None or y is None else carried(target, x, y)

    value = times(a.value, b.value)
    assert value is not None
    slope = plus(times(a.slope, b.value), times(a.value, b.slope))
    slopes = plus(times(a.slopes, b.range), times(a.range, b.slopes))
    mixed = times(a.slopes, b.slopes)
    bends = plus(times(a.bends, b.range), times(a.range, b.bends))
    bends = plus(bends, None if mixed is None else scaled(mixed, 2.0))
    return Jet(value, slope, slopes, bends, run.r)


@rule(JET, "var")
def _variance(
    run: Run, target: Any, x: Any, dims: Any = None, correction: Any = None, **more: Any
) -> Any:
    """Σ (x - mean)² / max(0, n - correction); torch has no forward derivative of its record."""
    if more:
        return NotImplemented
    every = list(range(len(shape_of(x)))) if dims is None else list(dims)
    n = math.prod(shape_of(x)[d] for d in every)
    total = linear(run, aten.sum.dim_IntList, x, every, True)
    off = _sum(run, aten.sub.Tensor, x, _product(run, aten.div.Tensor, total, n))
    square = linear(run, aten.sum.dim_IntList, _product(run, aten.mul.Tensor, off, off), every)
    rest = max(0, n - (1 if correction is None else correction))
    return _product(run, aten.div.Tensor, square, rest)


# -- the logarithm of a sum of exponentials -----------------------------------------------------


@rule(JET, "logsumexp")
def _logsumexp(run: Run, target: Any, x: Any, dims: Any, keepdim: bool = False) -> Any:
    """By y' = Σ p x', y'' = Σ p x'' + Σ p (x' - y')², p = exp(x - y) the softmax of x.

    p is enclosed twice: from the ranges of x, and then from (log p)' = x' - y', which is small
    where all entries move together.
    """
    on_jets(x)
    value, wide = (carried(target, z, dims, True) for z in (x.value, x.range))
    centre, on_all = (_minus(z, y) for z, y in ((x.value, value), (x.range, wide)))

    def mean(p: Ball, z: Ball) -> Ball:
        out: Ball = carried(aten.sum.dim_IntList, _times(p, z), dims, True)
        return out

    out = Jet(value, None, None, None, x.r)
    if x.slope is not None and x.slopes is not None:
        off = _minus(x.slopes, mean(_share(on_all), x.slopes))
        p = _share(narrower(wider(centre, off.upper * x.r), on_all))
        slopes = mean(p, x.slopes)
        # With a fixed m in place of y' it is Σ p (x' - m)² - (y' - m)².
        off = _minus(x.slopes, Ball(slopes.mid))
        low, high = ends(mean(p, _times(off, off)))
        low = (low - slopes.radius() ** 2 * (1 + 2.0**-50)).clamp_min(0.0)
        bends = plus(None if x.bends is None else mean(p, x.bends), between(low, high))
        out = Jet(value, mean(_share(centre), x.slope), slopes, bends, x.r, wide)
    return out if keepdim else linear(run, aten.squeeze.dims, out, dims)


def _minus(a: Ball, b: Ball) -> Ball:
    out: Ball = carried(aten.sub.Tensor, a, b)
    return out


def _times(a: Ball, b: Ball) -> Ball:
    out: Ball = carried(aten.mul.Tensor, a, b)
    return out


def _share(log: Ball) -> Ball:
    """Exp of what is at most 0."""
    out: Ball = carried(aten.exp.default, log)
    low, high = ends(out)
    return narrower(out, between(low.clamp(0.0, 1.0), high.clamp(0.0, 1.0)))
