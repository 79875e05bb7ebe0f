"""Linear maps that act on each spatial dimension alone: pooling by means, interpolation, padding.

Each is a product with one matrix per dimension, whose entries are whole numbers over one whole
number; its gradient is a product with the transposed ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from math import floor, lcm, prod
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

aten = torch.ops.aten
Sizes = Sequence[int]
Row = list[tuple[int, Fraction]]  # what one output takes: places and their weights


def apply(x: Tensor, rows: list[list[Row]], sizes: Sizes, adjoint: bool = False) -> Tensor:
    """Each of the last dimensions of x through its matrix; `sizes` are those of the inputs."""
    for k, (matrix, size) in enumerate(zip(rows, sizes, strict=True)):
        dim = x.ndim - len(sizes) + k
        denominator = lcm(*(w.denominator for row in matrix for _, w in row))
        entries = [[0.0] * len(matrix) for _ in range(size)]
        for j, row in enumerate(matrix):
            for i, w in row:
                entries[i][j] += float(w * denominator)
        table = torch.tensor(entries, dtype=x.dtype)
        moved = x.movedim(dim, -1)
        out = moved.reshape(-1, moved.shape[-1]) @ (table.t() if adjoint else table)
        out = out if denominator == 1 else out / denominator
        x = out.reshape(*moved.shape[:-1], out.shape[-1]).movedim(-1, dim)
    return x.contiguous()  # as torch's own results are


# -- windows ------------------------------------------------------------------------------------


def adaptive_rows(size: int, outputs: int) -> list[Row]:
    """Means over windows that cover the input as evenly as whole numbers allow."""
    edges = [(j * size // outputs, -(-(j + 1) * size // outputs)) for j in range(outputs)]
    return [[(i, Fraction(1, b - a)) for i in range(a, b)] for a, b in edges]


def _windows(size: int, kernel: int, stride: int, pad: int, up: bool) -> list[tuple[int, int, int]]:
    """First and last place of each window, and its length with the padding."""
    rest = size + 2 * pad - kernel
    outputs = (-(-rest // stride) if up else rest // stride) + 1
    if up and (outputs - 1) * stride >= size + pad:
        outputs -= 1  # a window must begin within the input
    found = []
    for j in range(outputs):
        a, b = j * stride - pad, min(j * stride - pad + kernel, size + pad)
        found.append((max(a, 0), min(b, size), b - a))
    return found


def _average_rows(
    sizes: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, ceil_mode: bool, with_pad: bool,
    divisor: int | None,
) -> list[list[Row]]:  # fmt: skip
    dims, rows = len(sizes), []
    each = [list(part) * (dims // len(part)) for part in (kernel, stride or kernel, padding)]
    for k, (size, wide, step, pad) in enumerate(zip(sizes, *each, strict=True)):
        spans = _windows(size, wide, step, pad, ceil_mode)
        count = [long if with_pad else b - a for a, b, long in spans]
        if divisor is not None:
            count = [divisor if k == 0 else 1] * len(spans)
        rows.append([[(i, Fraction(1, n)) for i in range(a, b)]
                     for (a, b, _), n in zip(spans, count, strict=True)])  # fmt: skip
    return rows


def average(
    x: Tensor, kernel: Sizes, stride: Sizes = (), padding: Sizes = (0,), ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """Like aten.avg_pool3d."""
    sizes = x.shape[-3:]
    options = kernel, stride, padding, ceil_mode, count_include_pad, divisor_override
    return apply(x, _average_rows(sizes, *options), sizes)


def average_back(grad: Tensor, x: Tensor, *options: Any) -> Tensor:
    """Like aten.avg_pool3d_backward."""
    sizes = x.shape[-3:]
    return apply(grad, _average_rows(sizes, *options), sizes, adjoint=True)


def adaptive(x: Tensor, outputs: Sizes) -> Tensor:
    """Like aten._adaptive_avg_pool2d and 3d."""
    sizes = x.shape[-len(outputs) :]
    rows = [adaptive_rows(n, m) for n, m in zip(sizes, outputs, strict=True)]
    return apply(x, rows, sizes)


def adaptive_back(dims: int) -> Callable[[Tensor, Tensor], Tensor]:
    """Like aten._adaptive_avg_pool2d_backward and 3d."""

    def back(grad: Tensor, x: Tensor) -> Tensor:
        sizes, outputs = x.shape[-dims:], grad.shape[-dims:]
        rows = [adaptive_rows(n, m) for n, m in zip(sizes, outputs, strict=True)]
        return apply(grad, rows, sizes, adjoint=True)

    return back


# -- interpolation ------------------------------------------------------------------------------


def _step(size: int, outputs: int, scale: float | None) -> Fraction:
    return Fraction(size, outputs) if not scale else 1 / Fraction(scale)


def nearest_rows(size: int, outputs: int, align: bool, scale: float | None) -> list[Row]:
    """The entry at or before j * size / outputs."""
    with _disable_current_modes():  # torch rounds in its own way: ask it
        places = aten.upsample_nearest1d(torch.arange(float(size)).view(1, 1, -1), [outputs], scale)
    return [[(int(i), Fraction(1))] for i in places.flatten().tolist()]


def linear_rows(size: int, outputs: int, align: bool, scale: float | None) -> list[Row]:
    """Two neighbours, by their distance."""
    step = _step(size, outputs, scale)
    if align:
        step = Fraction(size - 1, outputs - 1) if outputs > 1 else Fraction(0)
    rows = []
    for j in range(outputs):
        at = j * step if align else max(step * (j + Fraction(1, 2)) - Fraction(1, 2), Fraction(0))
        i = min(floor(at), size - 1)
        rows.append([(i, 1 - (at - i)), (min(i + 1, size - 1), at - i)])
    return rows


def interpolation(dims: int, rows_of: Callable[..., list[Row]], aligns: bool) -> tuple[Any, Any]:
    """The maps of aten.upsample_* and aten.upsample_*_backward."""

    def rows(sizes: Sizes, outputs: Sizes, more: tuple[Any, ...]) -> list[list[Row]]:
        align = bool(more[0]) if aligns else False
        scales = list(more[1:] if aligns else more) + [None] * dims
        return [rows_of(n, m, align, s) for n, m, s in zip(sizes, outputs, scales, strict=False)]

    def forward(x: Tensor, outputs: Sizes, *more: Any) -> Tensor:
        sizes = x.shape[-dims:]
        return apply(x, rows(sizes, outputs, more), sizes)

    def backward(grad: Tensor, outputs: Sizes, whole: Sizes, *more: Any) -> Tensor:
        sizes = whole[-dims:]
        return apply(grad, rows(sizes, outputs, more), sizes, adjoint=True)

    return forward, backward


# -- padding by what is there -------------------------------------------------------------------


def padding(dims: int, place: Callable[[int, int], int]) -> tuple[Any, Any]:
    """The maps of aten.reflection_pad* and aten.replication_pad*, and of their gradients."""

    def rows(sizes: Sizes, pad: Sizes) -> list[list[Row]]:
        around = list(zip(pad[::2], pad[1::2], strict=True))[::-1]
        return [[[(place(i, n), Fraction(1))] for i in range(-a, n + b)]
                for n, (a, b) in zip(sizes, around, strict=True)]  # fmt: skip

    def forward(x: Tensor, pad: Sizes) -> Tensor:
        for k, matrix in enumerate(rows(x.shape[-dims:], pad)):
            places = torch.tensor([row[0][0] for row in matrix])
            x = x.index_select(x.ndim - dims + k, places)
        return x

    def backward(grad: Tensor, x: Tensor, pad: Sizes) -> Tensor:
        sizes = x.shape[-dims:]
        return apply(grad, rows(sizes, pad), sizes, adjoint=True)

    return forward, backward


def reflected(i: int, size: int) -> int:
    """Where the mirror image of place i lies."""
    i = abs(i)
    return i if i < size else 2 * (size - 1) - i


def nearest_inside(i: int, size: int) -> int:
    """The edge, for places beyond it."""
    return min(max(i, 0), size - 1)


def scatter_back(dims: int) -> Callable[..., Tensor]:
    """The gradient of maxima over windows: what came from a place goes back there."""

    def back(grad: Tensor, x: Tensor, *more: Any) -> Tensor:
        places = more[-1]
        size = prod(x.shape[-dims:])
        flat = grad.reshape(*x.shape[:-dims], -1)
        zero = flat.new_zeros(*x.shape[:-dims], size)
        out = zero.scatter_add(-1, places.reshape(flat.shape), flat)
        return out.reshape(x.shape)

    return back
