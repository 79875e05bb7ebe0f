"""What torch's convolutions, poolings, paddings and upsamplings are, as formulas."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from flint import arb
from torch import nn

from . import exact as X
from .definitions import Array, Weights, layer, mean


def places(size: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """All multi-indices below `size`."""
    return itertools.product(*map(range, size))


def each(value: Any, n: int) -> tuple[int, ...]:
    """A number per dimension."""
    return (value,) * n if isinstance(value, int) else tuple(value)


def _padding(m: Any, n: int) -> tuple[list[tuple[int, int]], str]:
    """Numbers of entries before and after, per dimension."""
    if m.padding == "same":
        spans = [d * (k - 1) for d, k in zip(m.dilation, m.kernel_size, strict=True)]
        return [(s // 2, s - s // 2) for s in spans], m.padding_mode
    if m.padding == "valid":
        return [(0, 0)] * n, m.padding_mode
    return [(p, p) for p in each(m.padding, n)], m.padding_mode


_MODES = {"zeros": "constant", "circular": "wrap", "reflect": "reflect", "replicate": "edge"}


def padded(x: Array, widths: list[tuple[int, int]], mode: str, value: float = 0.0) -> Array:
    """Entries added around the last dimensions."""
    full = [(0, 0)] * (x.ndim - len(widths)) + widths
    index = np.pad(
        np.arange(x.size).reshape(x.shape),
        full,
        mode=_MODES[mode],  # type: ignore[call-overload]
        **({"constant_values": -1} if mode == "zeros" else {}),
    )
    flat = np.append(x.reshape(-1), X.number(value))
    return flat[index]  # type: ignore[no-any-return]


@layer(nn.Conv1d, nn.Conv2d, nn.Conv3d)
def _conv(m: Any, x: Array, w: Weights) -> Array:
    """y[n, c, o] = b[c] + Σ_q Σ_k x[n, q, s o + d k - p] W[c, q, k], by groups."""
    n = len(m.kernel_size)
    x = padded(x, *_padding(m, n))
    size = tuple(
        (x.shape[2 + k] - m.dilation[k] * (m.kernel_size[k] - 1) - 1) // m.stride[k] + 1
        for k in range(n)
    )
    out = np.empty((len(x), m.out_channels, *size), dtype=object)
    weight, inner, outer = w(m.weight), m.in_channels // m.groups, m.out_channels // m.groups
    for g in range(m.groups):
        part = x[:, g * inner : (g + 1) * inner]
        flat = weight[g * outer : (g + 1) * outer].reshape(outer, -1)
        for o in places(size):
            window = tuple(
                slice(s * i, s * i + d * (k - 1) + 1, d)
                for s, i, d, k in zip(m.stride, o, m.dilation, m.kernel_size, strict=True)
            )
            patch = part[(slice(None), slice(None), *window)].reshape(len(x), -1)
            out[(slice(None), slice(g * outer, (g + 1) * outer), *o)] = patch.dot(flat.T)
    return out if m.bias is None else out + w(m.bias).reshape(-1, *[1] * n)


@layer(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
def _conv_transposed(m: Any, x: Array, w: Weights) -> Array:
    """y[n, c, s i + d k - p] += x[n, q, i] W[q, c, k], by groups."""
    n, size = len(m.kernel_size), x.shape[2:]
    length = tuple(
        (size[k] - 1) * m.stride[k] - 2 * m.padding[k] + m.dilation[k] * (m.kernel_size[k] - 1)
        + m.output_padding[k] + 1
        for k in range(n)
    )  # fmt: skip
    out = np.full((len(x), m.out_channels, *length), X.jet(0), dtype=object)
    weight, inner, outer = w(m.weight), m.in_channels // m.groups, m.out_channels // m.groups
    for i, k in itertools.product(places(size), places(m.kernel_size)):
        at = tuple(m.stride[d] * i[d] + m.dilation[d] * k[d] - m.padding[d] for d in range(n))
        if not all(0 <= a < b for a, b in zip(at, length, strict=True)):
            continue
        for g in range(m.groups):
            there = (slice(None), slice(g * outer, (g + 1) * outer), *at)
            here = x[(slice(None), slice(g * inner, (g + 1) * inner), *i)]
            part = weight[(slice(g * inner, (g + 1) * inner), slice(None), *k)]
            out[there] = out[there] + here.dot(part)
    return out if m.bias is None else out + w(m.bias).reshape(-1, *[1] * n)


def _windows(m: Any, x: Array, n: int) -> tuple[tuple[int, ...], list[Any]]:
    """Sizes of the result, and per dimension the list of (start, stop) in the padded input."""
    kernel = each(m.kernel_size, n)
    stride = each(m.stride if m.stride is not None else m.kernel_size, n)
    pad, dilation = each(m.padding, n), each(getattr(m, "dilation", 1), n)
    ranges = []
    for d in range(n):
        reach = dilation[d] * (kernel[d] - 1) + 1
        room = x.shape[2 + d] + 2 * pad[d] - reach
        count = (-(-room // stride[d]) if m.ceil_mode else room // stride[d]) + 1
        if m.ceil_mode and (count - 1) * stride[d] >= x.shape[2 + d] + pad[d]:
            count -= 1
        starts = [stride[d] * o - pad[d] for o in range(count)]
        ranges.append([range(s, s + reach, dilation[d]) for s in starts])
    return tuple(len(r) for r in ranges), ranges


def _pooled(
    x: Array, size: tuple[int, ...], pick: Callable[[tuple[int, ...], Array], Any]
) -> Array:
    out = np.empty((*x.shape[:2], *size), dtype=object)
    for o in places(size):
        out[(slice(None), slice(None), *o)] = pick(o, x)
    return out


def _inside(ranges: list[Any], o: tuple[int, ...], x: Array) -> Any:
    """The places of a window that are not padding."""
    kept = [
        [p for p in r[i] if 0 <= p < x.shape[2 + d]]
        for d, (r, i) in enumerate(zip(ranges, o, strict=True))
    ]
    return np.ix_(range(x.shape[0]), range(x.shape[1]), *kept)


@layer(nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
def _average_pool(m: Any, x: Array, w: Weights) -> Array:
    n = x.ndim - 2
    size, ranges = _windows(m, x, n)
    pad = each(m.padding, n)

    def pick(o: tuple[int, ...], x: Array) -> Any:
        window = x[_inside(ranges, o, x)].reshape(*x.shape[:2], -1)
        whole = math.prod(
            min(r[i].stop, x.shape[2 + d] + pad[d]) - r[i].start
            for d, (r, i) in enumerate(zip(ranges, o, strict=True))
        )
        count = whole if m.count_include_pad else window.shape[-1]
        count = getattr(m, "divisor_override", None) or count
        return X.along(X.total, window, -1) * (X.number(1) / count)

    return _pooled(x, size, pick)


@layer(nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
def _max_pool(m: Any, x: Array, w: Weights) -> Array:
    size, ranges = _windows(m, x, x.ndim - 2)
    return _pooled(
        x,
        size,
        lambda o, x: X.along(
            lambda line: X.largest(line, "max_pool"),
            x[_inside(ranges, o, x)].reshape(*x.shape[:2], -1),
            -1,
        ),
    )


def _adaptive(m: Any, x: Array, n: int, reduce: Callable[[Any], Any]) -> Array:
    asked = each(m.output_size, n)
    size = tuple(x.shape[2 + d] if s is None else s for d, s in enumerate(asked))
    ranges = [
        [range(i * x.shape[2 + d] // s, -(-(i + 1) * x.shape[2 + d] // s)) for i in range(s)]
        for d, s in enumerate(size)
    ]
    return _pooled(
        x, size,
        lambda o, x: X.along(reduce, x[_inside(ranges, o, x)].reshape(*x.shape[:2], -1), -1),
    )  # fmt: skip


@layer(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)
def _adaptive_average(m: Any, x: Array, w: Weights) -> Array:
    return _adaptive(m, x, x.ndim - 2, mean)


@layer(nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d)
def _adaptive_max(m: Any, x: Array, w: Weights) -> Array:
    return _adaptive(m, x, x.ndim - 2, lambda line: X.largest(line, "adaptive_max_pool"))


@layer(nn.LPPool1d, nn.LPPool2d)
def _power_pool(m: Any, x: Array, w: Weights) -> Array:
    m.padding = 0
    size, ranges = _windows(m, x, x.ndim - 2)
    p = X.number(m.norm_type)

    def norm(line: Any) -> Any:
        return X.power(X.total([X.power(v, m.norm_type) for v in line]), 1 / p)

    return _pooled(
        x, size, lambda o, x: X.along(norm, x[_inside(ranges, o, x)].reshape(*x.shape[:2], -1), -1)
    )


@layer(
    nn.ZeroPad1d, nn.ZeroPad2d, nn.ConstantPad1d, nn.ConstantPad2d, nn.ReflectionPad1d,
    nn.ReflectionPad2d, nn.ReplicationPad1d, nn.ReplicationPad2d, nn.CircularPad1d,
    nn.CircularPad2d,
)  # fmt: skip
def _pad(m: Any, x: Array, w: Weights) -> Array:
    p = list(m.padding)
    widths = [(p[k], p[k + 1]) for k in range(0, len(p), 2)][::-1]
    kind = type(m).__name__
    names = {"Refl": "reflect", "Repl": "replicate", "Circ": "circular"}
    return padded(x, widths, names.get(kind[:4], "zeros"), getattr(m, "value", 0.0))


@layer(nn.PixelShuffle)
def _pixel_shuffle(m: Any, x: Array, w: Weights) -> Array:
    n, c, h, v = x.shape
    r = m.upscale_factor
    x = x.reshape(n, c // r**2, r, r, h, v).transpose(0, 1, 4, 2, 5, 3)
    return x.reshape(n, c // r**2, h * r, v * r)


@layer(nn.Upsample)
def _upsample(m: Any, x: Array, w: Weights) -> Array:
    """Nearest, or bilinear with corners not aligned, by a whole factor."""
    s = int(m.scale_factor)
    if m.mode == "nearest":
        for axis in range(2, x.ndim):
            x = x.repeat(s, axis)
        return x
    for axis in range(2, x.ndim):
        x = np.stack([_between(x, axis, i, s) for i in range(s * x.shape[axis])], axis)
    return x


def _between(x: Array, axis: int, i: int, s: int) -> Array:
    at = max((X.number(i) + X.number(0.5)) / s - X.number(0.5), arb(0))
    low = math.floor(float(at))
    high = min(low + 1, x.shape[axis] - 1)
    return x.take(low, axis) * (1 - (at - low)) + x.take(high, axis) * (at - low)
