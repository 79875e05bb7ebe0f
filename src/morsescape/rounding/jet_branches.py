"""How jets move through what decides: comparisons, pieces, maxima (see `jets`).

A decision is taken where it is certain on the whole interval. Where it is not, the result lies in
the hull of what either side gives, and so do its slopes; of its second derivative nothing is known.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from morsescape.rounding.ball_branches import two
from morsescape.rounding.balls import Ball, NoErrorRule, as_ball
from morsescape.rounding.jet_rules import Run, expanded, linear
from morsescape.rounding.jets import (
    Decision,
    Jet,
    Undecided,
    aten,
    between,
    carried,
    ends,
    moving,
    on_jets,
    select,
    shape_of,
    zeros_of,
)  # fmt: skip
from morsescape.rounding.operations import JET, rule

# Softmax is the same whatever is subtracted before exp: its largest entry may stay where it was.
_SHIFTED = frozenset("_softmax _log_softmax _safe_softmax".split())
# Of these the pieces meet: what they choose among is continuous where the choice turns.
_CONTINUOUS = frozenset(
    """leaky_relu elu hardswish hardtanh hardsigmoid relu6 celu smooth_l1_loss huber_loss
    _prelu_kernel""".split()
)


@rule(JET, "gt", "ge", "lt", "le", "eq", "ne")
def _compared(run: Run, target: Any, a: Any, b: Any) -> Any:
    on_jets(a, b)
    left, right = (_range(x) for x in (a, b))
    low, high = ends(carried(aten.sub.Tensor, left, right))
    # Nothing that is bounded reaches an infinity, as masks have it.
    beyond = right.mid.isinf() & (left.mid.isfinite() & left.radius().isfinite())
    low, high = (torch.where(beyond, -right.mid, x) for x in (low, high))
    apart = (low > 0) | (high < 0)
    if target.overloadpacket.__name__ in ("gt", "le"):
        apart = apart | (high <= 0)  # equality has the answer of one side
    if target.overloadpacket.__name__ in ("ge", "lt"):
        apart = apart | (low >= 0)
    sign = torch.where(low > 0, 1.0, torch.where(high < 0, -1.0, 0.0))
    return Decision(target(sign, 0.0), ~apart)


def _range(x: Any) -> Ball:
    return x.range if isinstance(x, Jet) else as_ball(x)


@rule(JET, "sign", "sgn")
def _sign(run: Run, target: Any, x: Any) -> Ball:
    """A constant, where it does not jump."""
    on_jets(x)
    low, high = ends(x.range)
    if bool(((low <= 0) & (high >= 0)).any()):
        raise Undecided(f"{target.overloadpacket.__name__}, which jumps on the way")
    return Ball(torch.where(low > 0, 1.0, -1.0).double())


@rule(JET, "logical_and", "logical_or", "logical_not", "bitwise_and", "bitwise_or", "bitwise_not")
def _logic(run: Run, target: Any, *args: Any) -> Any:
    values = [x.value if isinstance(x, Decision) else x for x in args]
    doubt = torch.zeros((), dtype=torch.bool)
    for x in moving(args):
        if not isinstance(x, Decision):
            return NotImplemented
        doubt = doubt | x.doubt
    out = target(*values)
    return Decision(out, doubt.expand(out.shape))


@rule(JET, "all", "any")
def _of_several(run: Run, target: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    """Certain where doubts, be they resolved to False or to True, do not matter."""
    if not isinstance(x, Decision):
        return NotImplemented
    least = target(x.value & ~x.doubt, *args, **kwargs)  # every doubt resolved to False
    most = target(x.value | x.doubt, *args, **kwargs)  # and to True
    return Decision(least, least != most)


@rule(JET, "where")
def _where(run: Run, target: Any, condition: Any, a: Any, b: Any) -> Any:
    if not isinstance(condition, Decision):
        return linear(run, target, condition, a, b)
    on_jets(a, b)
    if bool(condition.doubt.any()) and not _CONTINUOUS.intersection(run.inside):
        raise Undecided("where, whose condition changes on the way")
    shape = torch.broadcast_shapes(condition.value.shape, *(shape_of(x) for x in (a, b)))
    first, second = (_as_jet(run, x, shape) for x in (a, b))
    return chosen(condition.value, condition.doubt, first, second)


def _as_jet(run: Run, x: Any, shape: torch.Size) -> Jet:
    if isinstance(x, Jet):
        out: Jet = expanded(run, x, shape)
        return out
    ball = as_ball(x, torch.float64)  # whole numbers beyond 2^53 are rounded
    return Jet(Ball(ball.mid.expand(shape), ball.radius().expand(shape)), None, None, None, run.r)


def chosen(first: Tensor, doubt: Tensor, a: Jet, b: Jet) -> Jet:
    """Entries of a where `first`, else of b; in doubt both, which meet where the choice turns."""

    def of(x: Ball | None) -> Ball:
        return zeros_of(a) if x is None else x

    def pick(x: Ball | None, y: Ball | None) -> Ball:
        return select(first, of(x), of(y))

    if not bool(doubt.any()):
        parts = [pick(getattr(a, n), getattr(b, n)) for n in ("value", "slope", "slopes", "bends")]
        straight = a.bends is None and b.bends is None
        return Jet(parts[0], parts[1], parts[1] if straight else parts[2],
                   None if straight else parts[3], a.r, pick(a.range, b.range))  # fmt: skip

    def either(x: Ball | None, y: Ball | None) -> Ball:
        return select(doubt, hull(of(x), of(y)), pick(x, y))

    bends = pick(a.bends, b.bends)
    bends = Ball(bends.mid, bends.radius().masked_fill(doubt, torch.inf))
    return Jet(
        either(a.value, b.value), either(a.slope, b.slope), either(a.slopes, b.slopes), bends,
        a.r, either(a.range, b.range),
    )  # fmt: skip


def hull(a: Ball, b: Ball) -> Ball:
    """The smallest ball that holds both."""
    (low, high), (small, large) = ends(a), ends(b)
    return between(torch.minimum(low, small), torch.maximum(high, large))


@rule(JET, "relu", "abs", "clamp_min", "clamp_max", "clamp", "maximum", "minimum", "fmax", "fmin")
def _pieces(run: Run, target: Any, x: Any, *more: Any, **named: Any) -> Any:
    on_jets(x, *more)
    name = target.overloadpacket.__name__
    if name == "relu":
        return _greatest(run, x, 0.0)
    if name == "abs":
        return _greatest(run, x, linear(run, aten.neg.default, x))
    if name in ("maximum", "fmax"):
        return _greatest(run, x, more[0])
    if name in ("minimum", "fmin"):
        return _least(run, x, more[0])
    low, high = _bounds(name, more, named)
    out = x if low is None else _greatest(run, x, low)
    return out if high is None else _least(run, out, high)


def _bounds(name: str, more: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, Any]:
    given = (*more, None, None)
    if name == "clamp_max":
        return None, named.get("max", given[0])
    low = named.get("min", given[0])
    return low, (named.get("max", given[1]) if name == "clamp" else None)


def _greatest(run: Run, a: Any, b: Any) -> Jet:
    shape = torch.broadcast_shapes(shape_of(a), shape_of(b))
    a, b = _as_jet(run, a, shape), _as_jet(run, b, shape)
    low, high = ends(carried(aten.sub.Tensor, a.range, b.range))
    out = chosen(low >= 0, (low < 0) & (high > 0), a, b)
    # The larger of two numbers errs by no more than both.
    rad = torch.maximum(a.value.radius(), b.value.radius())
    exact = Ball(torch.maximum(a.value.mid, b.value.mid), rad)
    return Jet(exact, out.slope, out.slopes, out.bends, a.r, out.known)


def _least(run: Run, a: Any, b: Any) -> Any:
    def negated(x: Any) -> Any:
        return (
            linear(run, aten.neg.default, x) if moving(x) else carried(aten.neg.default, as_ball(x))
        )

    return negated(_greatest(run, negated(a), negated(b)))


@rule(JET, "amax", "amin", "max", "min")
def _extreme(run: Run, target: Any, x: Any, dims: Any = (), keepdim: bool = False) -> Any:
    """Over dimensions; within softmax a constant."""
    on_jets(x)
    if _SHIFTED.intersection(run.inside):
        return Ball(target(x.value.mid, dims, keepdim))
    if target.overloadpacket.__name__ in ("amax", "max"):
        out: Any = largest(x, dims, keepdim)
    else:
        out = largest(linear(run, aten.neg.default, x), dims, keepdim)
        out = linear(run, aten.neg.default, out)
    return [out, _somewhere(out.value.mid.shape)] if target._overloadname == "dim" else out


def _somewhere(shape: torch.Size) -> Decision:
    """Where an extreme was found: whoever reads it is refused."""
    places, doubt = torch.zeros((), dtype=torch.int64), torch.ones((), dtype=torch.bool)
    return Decision(places.expand(shape), doubt.expand(shape))


def largest(x: Jet, dims: Any, keepdim: bool) -> Jet:
    """The greatest entry: of those that may be it, slopes lie in the hull of theirs."""
    low, high = ends(x.range)
    rivals = high >= low.amax(dims, True)
    # One entry, or several that are the same constant: no kink between them.
    still = torch.where(rivals, high - low, 0.0).amax(dims, keepdim) == 0
    sure = still | (rivals.sum(dims, keepdim) == 1)

    def over(part: Ball | None) -> Ball:
        below, above = ends(Ball(torch.zeros_like(low)) if part is None else part)
        top = torch.where(rivals, above, -torch.inf).amax(dims, keepdim)
        return between(torch.where(rivals, below, torch.inf).amin(dims, keepdim), top)

    value = Ball(x.value.mid.amax(dims, keepdim), x.value.radius().amax(dims, keepdim))
    bends = over(x.bends)
    bends = Ball(bends.mid, bends.radius().masked_fill(~sure, torch.inf))
    known = between(low.amax(dims, keepdim), high.amax(dims, keepdim))
    return Jet(value, over(x.slope), over(x.slopes), bends, x.r, known)


@rule(JET, "max_pool2d_with_indices")
def _pooled(run: Run, target: Any, x: Any, kernel: Any, stride: Any = (), padding: Any = 0,
            dilation: Any = 1, ceil_mode: bool = False) -> Any:  # fmt: skip
    """By windows, each its greatest entry; what is padded is -inf, and no window is all of that."""
    on_jets(x)
    kernel, stride, padding, dilation = map(two, (kernel, stride or kernel, padding, dilation))
    if ceil_mode or dilation != (1, 1):
        raise NoErrorRule("max_pool2d with dilation or ceil_mode")
    if any(padding):
        (ph, pw), pad = padding, aten.constant_pad_nd.default
        x = linear(run, pad, x, [pw, pw, ph, ph], -math.inf)
    rows = linear(run, aten.unfold.default, x, -2, kernel[0], stride[0])
    windows = linear(run, aten.unfold.default, rows, -2, kernel[1], stride[1])
    out = largest(windows, (-2, -1), False)
    return [out, _somewhere(out.value.mid.shape)]
