"""What a program is broken into before rules apply to it."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from morsescape.rounding import separable
from morsescape.rounding.convolutions import convolution, convolution_backward

aten = torch.ops.aten


@cache
def decompositions() -> dict[Any, Any]:
    """By operation, functions that do the same by simpler ones."""
    packets = [getattr(aten, name) for name in _COMPOUND if hasattr(aten, name)]
    table = dict(torch._decomp.get_decompositions(packets))
    for name, function in _OWN.items():
        packet = getattr(aten, name, None)
        if packet is not None and "default" in packet.overloads():
            table[packet.default] = function
    for name, function in _PRIMS.items():
        table[getattr(torch.ops.prims, name).default] = function
    return table


def compound() -> set[str]:
    """Names of the operations that are broken up, also of those that the installed torch lacks."""
    return {*_COMPOUND, *_OWN}


_COMPOUND = """addmm addmv addbmm baddbmm addcmul addcdiv mean threshold_backward threshold
    tanh_backward sigmoid_backward gelu gelu_backward softplus softplus_backward silu
    silu_backward elu elu_backward leaky_relu leaky_relu_backward hardtanh hardtanh_backward
    _log_softmax _log_softmax_backward_data _softmax _softmax_backward_data nll_loss_forward
    nll_loss_backward nll_loss2d_forward nll_loss2d_backward mse_loss mse_loss_backward
    select_backward slice_backward native_layer_norm native_layer_norm_backward native_batch_norm
    _native_batch_norm_legit_no_training _native_batch_norm_legit native_batch_norm_backward
    native_group_norm native_group_norm_backward _fused_rms_norm _fused_rms_norm_backward
    rsub log_sigmoid_forward
    log_sigmoid_backward var var_mean std std_mean im2col col2im embedding embedding_dense_backward
    masked_fill index_select dot vdot mv outer trace diag_embed diagonal_backward
    smooth_l1_loss smooth_l1_loss_backward huber_loss huber_loss_backward
    binary_cross_entropy binary_cross_entropy_backward logaddexp norm linalg_vector_norm
    unfold_backward narrow_copy sinc frac mish mish_backward hardswish hardswish_backward celu
    index_add select_scatter glu glu_backward lerp hardshrink softshrink hardsigmoid
    hardsigmoid_backward _prelu_kernel _prelu_kernel_backward logit logit_backward deg2rad rad2deg
    special_entr special_log_ndtr pixel_shuffle pixel_unshuffle channel_shuffle unsafe_split
    unsafe_split_with_sizes unsafe_chunk take affine_grid_generator logaddexp2
    _unsafe_masked_index _unsafe_masked_index_put_accumulate nansum
    square softmax log_softmax stack addr split""".split()


def _broadcast_in_dim(x: Tensor, shape: list[int], places: list[int]) -> Tensor:
    for dim in range(len(shape)):
        if dim not in places:
            x = x.unsqueeze(dim)
    return x.expand(shape)


def _sum(x: Tensor, dims: Any = None, *, output_dtype: Any = None) -> Tensor:
    return x.sum(list(range(x.ndim)) if dims is None else list(dims), dtype=output_dtype)


# Some of torch's decompositions end in operations of another set, which vmap does not know.
_PRIMS: dict[str, Any] = {
    "broadcast_in_dim": _broadcast_in_dim,
    "convert_element_type": lambda x, dtype: x.to(dtype),
    "sum": _sum,
    "transpose": lambda x, order: x.permute(order),
    "view_of": lambda x: x.view(x.shape),
    "where": torch.where,
    **{name: getattr(torch, name) for name in """add sub mul div neg exp expm1 log log1p sqrt rsqrt
        sin cos tan tanh erf abs sign reciprocal pow eq ne lt le gt ge maximum minimum isfinite
        floor ceil trunc round amax amin""".split()},
}  # fmt: skip


def _max_pool1d(
    x: Tensor, kernel: list[int], stride: Any = (), padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False,
) -> Tensor:  # fmt: skip
    """As torch does where it needs a gradient."""
    stride, padding, dilation = (
        [1, *(part if isinstance(part, list | tuple) else [part])]
        for part in (stride or kernel, padding, dilation)
    )
    out = aten.max_pool2d_with_indices(
        x.unsqueeze(-2), [1, *kernel], stride, [0, *padding[1:]], dilation, ceil_mode
    )[0]
    return out.squeeze(-2)


def _safe_softmax(x: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """A row of -inf alone is zero."""
    dead = (x == -torch.inf).all(dim, keepdim=True)
    return torch.where(dead, 0.0, torch.where(dead, 0.0, x).softmax(dim))


def _in_three() -> dict[str, Any]:
    """Interpolation and padding in one, two and three dimensions."""
    table = {}
    kinds = ("linear1d", "bilinear2d", "trilinear3d")
    for dims, kind in enumerate(kinds, start=1):
        for name, rows, aligns in (
            (f"upsample_{kind}", separable.linear_rows, True),
            (f"upsample_nearest{dims}d", separable.nearest_rows, False),
        ):
            table[name], table[f"{name}_backward"] = separable.interpolation(dims, rows, aligns)
        for name, place in (
            (f"reflection_pad{dims}d", separable.reflected),
            (f"replication_pad{dims}d", separable.nearest_inside),
        ):
            table[name], table[f"{name}_backward"] = separable.padding(dims, place)
    return table


_OWN = {
    "convolution": convolution,
    "convolution_backward": convolution_backward,
    "avg_pool3d": separable.average,
    "avg_pool3d_backward": separable.average_back,
    "_adaptive_avg_pool2d": separable.adaptive,
    "_adaptive_avg_pool2d_backward": separable.adaptive_back(2),
    "_adaptive_avg_pool3d": separable.adaptive,
    "_adaptive_avg_pool3d_backward": separable.adaptive_back(3),
    "max_pool3d_with_indices_backward": separable.scatter_back(3),
    "adaptive_max_pool2d_backward": separable.scatter_back(2),
    "adaptive_max_pool3d_backward": separable.scatter_back(3),
    "fractional_max_pool2d_backward": separable.scatter_back(2),
    "fractional_max_pool3d_backward": separable.scatter_back(3),
    "max_pool1d": _max_pool1d,
    "_safe_softmax": _safe_softmax,
    **_in_three(),
}
