"""Convolutions of any dimension, and their gradients, as windows and products of matrices.

A convolution is a product of its weights with patches, the windows of the padded input. A
transposed one, which is also the gradient on the input, is the same with the input spread by the
stride and the kernel turned round; the gradient on the weights is a product of patches with what
comes back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch.nn.functional as F
from torch import Tensor

Sizes = Sequence[int]


class Kernel(NamedTuple):
    """The shape of a convolution: one number per spatial dimension."""

    stride: Sizes
    padding: Sizes
    dilation: Sizes
    groups: int


def convolution(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: Sizes, padding: Sizes, dilation: Sizes,
    transposed: bool, output_padding: Sizes, groups: int,
) -> Tensor:  # fmt: skip
    """Like aten.convolution: x (n, c, ...), weight (units, c / groups, ...)."""
    kernel = _kernel(x.ndim - 2, stride, padding, dilation, groups)
    if transposed:
        extra = _each(output_padding, x.ndim - 2)
        sizes = [
            (n - 1) * s - 2 * p + d * (k - 1) + e + 1
            for n, s, p, d, k, e in zip(
                x.shape[2:], *kernel[:3], weight.shape[2:], extra, strict=True
            )
        ]
        out = _spread(x, weight, kernel, sizes)
    else:
        out = _correlate(F.pad(x, _around(kernel.padding)), weight, kernel)
    return out if bias is None else out + bias.reshape(-1, *[1] * (x.ndim - 2))


def convolution_backward(
    grad: Tensor, x: Tensor, weight: Tensor, bias_sizes: Any, stride: Sizes, padding: Sizes,
    dilation: Sizes, transposed: bool, output_padding: Sizes, groups: int, wanted: Sequence[bool],
) -> tuple[Tensor | None, ...]:  # fmt: skip
    """Like aten.convolution_backward: the gradients on input, weight and bias."""
    kernel = _kernel(x.ndim - 2, stride, padding, dilation, groups)
    on_x = on_weight = on_bias = None
    if wanted[0] and transposed:
        on_x = _correlate(F.pad(grad, _around(kernel.padding)), weight, kernel)
    elif wanted[0]:
        on_x = _spread(grad, weight, kernel, x.shape[2:])
    if wanted[1]:
        image, answer = (grad, x) if transposed else (x, grad)
        on_weight = _on_weight(F.pad(image, _around(kernel.padding)), answer, weight.shape, kernel)
    if wanted[2]:
        on_bias = grad.sum([0, *range(2, grad.ndim)])
    return on_x, on_weight, on_bias


def _each(sizes: Sizes, dims: int) -> list[int]:
    return list(sizes) * (dims // len(sizes))


def _kernel(dims: int, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int) -> Kernel:
    return Kernel(_each(stride, dims), _each(padding, dims), _each(dilation, dims), groups)


def _around(padding: Sizes) -> list[int]:
    return [p for size in reversed(padding) for p in (size, size)]


def _patches(x: Tensor, shape: Sizes, kernel: Kernel) -> tuple[Tensor, list[int]]:
    """(groups, channels * entries, n * positions) and the numbers of positions."""
    sizes = [
        (n - d * (k - 1) - 1) // s + 1
        for n, k, s, d in zip(x.shape[2:], shape, kernel.stride, kernel.dilation, strict=True)
    ]
    windows, dims = x, len(sizes)
    for dim, (k, s, d) in enumerate(zip(shape, kernel.stride, kernel.dilation, strict=True), 2):
        windows = windows.unfold(dim, d * (k - 1) + 1, s)
        if d > 1:
            windows = windows[..., ::d]
    places, entries = range(2, 2 + dims), range(2 + dims, 2 + 2 * dims)
    windows = windows.permute(1, *entries, 0, *places)
    return windows.reshape(kernel.groups, -1, x.shape[0] * math.prod(sizes)), sizes


def _correlate(x: Tensor, weight: Tensor, kernel: Kernel) -> Tensor:
    """Sum over kernel entries of weight times the shifted input, which is padded already."""
    patches, sizes = _patches(x, weight.shape[2:], kernel)
    units = weight.shape[0]
    flat = weight.reshape(kernel.groups, units // kernel.groups, -1)
    out = flat.bmm(patches).reshape(units, x.shape[0], *sizes)
    return out.transpose(0, 1).contiguous()  # as torch's own is


def _spread(x: Tensor, weight: Tensor, kernel: Kernel, sizes: Sizes) -> Tensor:
    """The adjoint of `_correlate` for inputs of these sizes; weight (channels of x, ...)."""
    groups, dims = kernel.groups, len(sizes)
    turned = weight.reshape(groups, -1, *weight.shape[1:]).transpose(1, 2)
    turned = turned.reshape(-1, turned.shape[2], *weight.shape[2:])
    turned = turned.flip(list(range(2, 2 + dims)))
    pads: list[int] = []
    for dim, (size, s, p, d, k) in enumerate(
        zip(sizes, *kernel[:3], weight.shape[2:], strict=True), start=2
    ):
        x = _insert_zeros(x, dim, s)
        low = d * (k - 1) - p
        pads = [low, size + d * (k - 1) - x.shape[dim] - low, *pads]
    plain = kernel._replace(stride=[1] * dims, padding=[0] * dims)
    return _correlate(F.pad(x, pads), turned, plain)


def _insert_zeros(x: Tensor, dim: int, stride: int) -> Tensor:
    if stride == 1 or x.shape[dim] == 1:
        return x
    wide = x.unsqueeze(dim + 1)
    wide = F.pad(wide, [0, 0] * (x.ndim - 1 - dim) + [0, stride - 1])
    wide = wide.flatten(dim, dim + 1)
    return wide.narrow(dim, 0, wide.shape[dim] - stride + 1)


def _on_weight(image: Tensor, answer: Tensor, shape: Sizes, kernel: Kernel) -> Tensor:
    """Sum over samples and positions of answer times patch."""
    patches, sizes = _patches(image, shape[2:], kernel)
    for dim, size in enumerate(sizes, start=2):  # the stride may leave a rest of the image
        answer = answer.narrow(dim, 0, size)
    units = answer.shape[1]
    flat = answer.flatten(2).transpose(0, 1).reshape(kernel.groups, units // kernel.groups, -1)
    return flat.bmm(patches.transpose(1, 2)).reshape(shape)
