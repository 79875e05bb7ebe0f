"""Steps that only heights are asked about: whole numbers, masks, places, kinks, large numbers."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from . import activations as A
from . import exact as X
from .operations import Step

T, E = torch.Tensor, np.ndarray


def draw(rng: random.Random) -> Step:
    """One of them, its constants from `rng`."""
    return rng.choice(_KINDS)(rng)


def _objects(parts: Any) -> E:
    out = np.empty(len(parts), dtype=object)
    for k, part in enumerate(parts):
        out[k] = X.jet(part)
    return out


def _by_place(function: Callable[[Any, int], Any]) -> Callable[[E], E]:
    """Entry k of the result from entry k."""
    return lambda x: _objects([function(v, k) for k, v in enumerate(x)])


def _count(t: T) -> T:
    return torch.arange(len(t))


def _whole(rng: random.Random) -> Step:
    """Integers and booleans beside numbers that move."""
    ways: dict[str, tuple[Any, Any]] = {
        "integers added": (lambda t: t + _count(t), lambda v, k: v + k),
        "integers less": (lambda t: 2 - t - _count(t), lambda v, k: 2 - X.jet(v) - k),
        "times booleans": (lambda t: t * (_count(t) % 2 == 0), lambda v, k: v * (1 - k % 2)),
        "divided by integers": (lambda t: t / (_count(t) + 1), lambda v, k: v / (k + 1)),
        "integers divided": (lambda t: (_count(t) + 1) / t, lambda v, k: (k + 1) / X.jet(v)),
        "where of integers": (
            lambda t: torch.where(_count(t) > 0, t, _count(t) + 3), lambda v, k: v if k else 3
        ),
        "where of large integers": (
            lambda t: torch.where(_count(t) > 0, t.relu(), _count(t) + 2**53 + 1) - 2.0**53,
            lambda v, k: (A.relu(v) if k else X.jet(2**53 + 1)) - 2**53,
        ),
        "largest of integers": (
            lambda t: torch.maximum(t, _count(t) - 1), lambda v, k: X.largest([v, k - 1])
        ),
        "clamp between tensors": (
            lambda t: t.clamp(-0.1 * _count(t), 0.3 + _count(t)),
            lambda v, k: X.smallest([X.largest([v, -X.number(0.1) * k]), X.number(0.3) + k]),
        ),
        "whole powers": (lambda t: t ** (_count(t) % 4), lambda v, k: X.power(v, k % 4)),
        "powers of a number": (lambda t: 1.5**t, lambda v, k: X.power(X.jet(1.5), X.jet(v))),
        "masked": (
            lambda t: t.masked_fill(_count(t) == 1, 0.25),
            lambda v, k: 0.25 if k == 1 else v,
        ),
    }  # fmt: skip
    name = rng.choice(list(ways))
    return Step(name, ways[name][0], _by_place(ways[name][1]))


def _bent(rng: random.Random) -> Step:
    """Functions with kinks, or with jumps, of every slope and place."""
    c, d = rng.choice((0.5, 0.3, 2.0)), rng.choice((-0.2, 0.0, 0.7, -3.0))
    one, nn = X.number, torch.nn
    ways: dict[str, tuple[Any, Any]] = {
        "leaky_relu": (lambda t: F.leaky_relu(t, d), A.leaky(one(d))),
        "celu": (lambda t: F.celu(t, c), A.POINTWISE[nn.CELU](nn.CELU(c))),
        "elu, alpha": (lambda t: F.elu(t, c), A.elu(c)),
        "softshrink": (lambda t: F.softshrink(t, c), A.POINTWISE[nn.Softshrink](nn.Softshrink(c))),
        "hardshrink": (lambda t: F.hardshrink(t, c), A.POINTWISE[nn.Hardshrink](nn.Hardshrink(c))),
        "threshold": (
            lambda t: F.threshold(t, c, d), A.POINTWISE[nn.Threshold](nn.Threshold(c, d))
        ),
        "hardtanh": (lambda t: F.hardtanh(t, -c, c), A.POINTWISE[nn.Hardtanh](nn.Hardtanh(-c, c))),
        "hardsigmoid": (F.hardsigmoid, A.POINTWISE[nn.Hardsigmoid](None)),
        "softsign": (F.softsign, A.POINTWISE[nn.Softsign](None)),
        "softplus, threshold": (lambda t: F.softplus(t, 2.0, c), A.softplus(2.0, c)),
        "huber": (
            lambda t: F.huber_loss(t, torch.full_like(t, d), reduction="none", delta=c),
            lambda x: X.pieces(
                x - one(d), "huber", lambda x: one(c) * (-x - one(c) / 2), -c,
                lambda x: x * x / 2, c, lambda x: one(c) * (x - one(c) / 2),
            ),
        ),
        "smooth_l1": (
            lambda t: F.smooth_l1_loss(t, torch.zeros_like(t), reduction="none", beta=c),
            lambda x: X.pieces(
                x, "smooth_l1", lambda x: -x - one(c) / 2, -c,
                lambda x: x * x / (2 * one(c)), c, lambda x: x - one(c) / 2,
            ),
        ),
        "distance to a square": (
            lambda t: (t.abs() - c).abs(), lambda x: X.absolute(X.absolute(x) - one(c))
        ),
    }  # fmt: skip
    name = rng.choice(list(ways))
    return Step(name, ways[name][0], X.elementwise(ways[name][1]))


def _windows(x: E, size: int, stride: int, pad: int) -> list[Any]:
    starts = range(-pad, len(x) + pad - size + 1, stride)
    return [X.largest([x[k] for k in range(s, s + size) if 0 <= k < len(x)]) for s in starts]


def _pooled(rng: random.Random) -> Step:
    size, stride = rng.choice((2, 3)), rng.choice((1, 2))

    def by_torch(t: T) -> T:
        return F.max_pool1d(t.view(1, -1), size, stride, padding=1)[0]

    return Step("padded maxima", by_torch, lambda x: _objects(_windows(x, size, stride, 1)))


def _pool_back(rng: random.Random) -> Step:
    """What a gradient through pooling of constants brings back, times what moves."""
    data = torch.tensor([rng.gauss(0, 1) for _ in range(12)], dtype=torch.float64)

    def by_torch(t: T) -> T:
        def pooled(x: T) -> T:
            return (F.max_pool1d(x.view(1, -1), 2)[0, : len(t)] * t[:6]).sum()

        back: T = torch.func.grad(pooled)(data)
        return back[:6]

    def by_definition(x: E) -> E:
        out: list[Any] = [0.0] * 12
        for k, v in enumerate(x[:6]):
            out[2 * k + int(data[2 * k + 1] > data[2 * k])] = v
        return _objects(out[:6])

    return Step("gradient of pooling", by_torch, by_definition)


def _found(rng: random.Random) -> Step:
    """Entries that are read where the largest of others was found."""
    way = rng.choice(("index", "gather", "rows"))

    def by_torch(t: T) -> T:
        rows = torch.stack([t, t.sin()])
        at, table = rows.max(0).indices, torch.stack([t * t, 2 * t, t])
        if way == "gather":
            return table.gather(0, at[None])[0]
        return table[at, torch.arange(len(t))] if way == "index" else table[at].sum((0, 1))

    def by_definition(x: E) -> E:
        table = [[v * v for v in x], [2 * v for v in x], list(x)]
        at = [int(not X.above(v - X.sin(v), 0, "max")) for v in x]
        if way == "rows":
            return _objects([X.total([X.total(table[a]) for a in at])])
        return _objects([table[a][k] for k, a in enumerate(at)])

    def summed(t: T) -> T:
        out = by_torch(t)
        return out.reshape(1) if out.ndim == 0 else out

    return Step(f"places of maxima, {way}", summed, by_definition)


def _written(rng: random.Random) -> Step:
    """Writes in place, into constants of other types too."""
    way = rng.choice(("stride", "mask", "added", "integers", "copy"))

    def by_torch(t: T) -> T:
        out = torch.ones(len(t), dtype=torch.float64)
        if way == "stride":
            out[::2] = t[::2] * 2
        elif way == "mask":
            out[_count(t) % 2 == 1] = t[1::2]
        elif way == "added":
            out[: max(1, len(t) - 1)] += t[: max(1, len(t) - 1)]
            out.mul_(t)
        elif way == "integers":
            out = t * 1
            out[0] = 3
        else:
            out.copy_(t).sub_(_count(t))
        return out

    def entry(v: Any, k: int, n: int) -> Any:
        if way == "stride":
            return v * 2 if k % 2 == 0 else 1
        if way == "mask":
            return v if k % 2 == 1 else 1
        if way == "added":
            return (v + 1) * v if k < max(1, n - 1) else v
        return v - k if way == "copy" else 3 if k == 0 else v

    return Step(
        f"written, {way}", by_torch,
        lambda x: _objects([entry(v, k, len(x)) for k, v in enumerate(x)]),
    )  # fmt: skip


def _steep(rng: random.Random) -> Step:
    """Softmax and its kin of large numbers, norms through 0, variances that vanish."""
    c = rng.choice((30.0, 300.0, 3000.0))
    ways: dict[str, tuple[Any, Any]] = {
        "cross-entropy of large logits": (
            lambda t: F.cross_entropy(torch.cat([c * t, -c * t[:1]])[None], torch.tensor([0])),
            lambda x: X.logsumexp([c * v for v in x] + [-c * X.jet(x[0])]) - c * X.jet(x[0]),
        ),
        "masked softmax of large logits": (
            lambda t: (torch.cat([c * t, t[:1] - torch.inf]).softmax(0)[:-1] * t).sum(),
            lambda x: X.total(p * v for p, v in zip(X.softmax([c * v for v in x]), x, strict=True)),
        ),
        "norm of a difference": (
            lambda t: (t - 0.5).norm(),
            lambda x: X.sqrt(X.total([(v - X.number(0.5)) * (v - X.number(0.5)) for v in x])),
        ),
        "largest of all": (
            lambda t: t.abs().max() - t.min(),
            lambda x: X.largest([X.absolute(v) for v in x]) - X.smallest(list(x)),
        ),
        "an empty sum": (lambda t: t[:0].sum() + t.sum(), X.total),
        "quotient of squares": (
            lambda t: (t[0] ** 2 + 1) / (t[-1] ** 2 + 1e-3),
            lambda x: (x[0] * x[0] + 1) / (x[-1] * x[-1] + X.number(1e-3)),
        ),
    }  # fmt: skip
    name = rng.choice(list(ways))
    t, e = ways[name]
    return Step(name, lambda v: t(v).reshape(1), lambda v: _objects([e(v)]))


_KINDS = (
    _whole,
    _whole,
    _whole,
    _bent,
    _bent,
    _bent,
    _pooled,
    _pool_back,
    _found,
    _written,
    _steep,
)
