"""What functions of torch's are written out by others (see `written_out`)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Formula = Callable[..., Any]  # NotImplemented for a call that it does not take
WRITTEN_OUT: dict[Any, Formula] = {}


def formula_for(*functions: Any) -> Callable[[Formula], Formula]:
    """Write out calls of these functions by the formula that follows."""

    def register(written: Formula) -> Formula:
        for function in functions:
            WRITTEN_OUT[function] = written
        return written

    return register


# -- tables of rows -----------------------------------------------------------------------------


@formula_for(F.embedding)
def _embedding(
    input: Tensor, weight: Tensor, padding_idx: Any = None, max_norm: Any = None,
    norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False,
) -> Any:  # fmt: skip
    """Of all rows: torch leaves out the gradient of one, or scales it, and the value does not."""
    if max_norm is not None:  # it writes into the weights
        return NotImplemented
    return torch.ops.aten.embedding.default(weight, input)


@formula_for(torch.embedding)
def _raw_embedding(weight: Tensor, input: Tensor, *rest: Any, **more: Any) -> Tensor:
    return torch.ops.aten.embedding.default(weight, input)


@formula_for(F.one_hot)
def _one_hot(tensor: Tensor, num_classes: int = -1) -> Any:
    """By a comparison: torch reads the largest and the smallest number to check them."""
    if num_classes < 0:
        return NotImplemented
    return (tensor.unsqueeze(-1) == torch.arange(num_classes)).long()


# -- activations --------------------------------------------------------------------------------


@formula_for(F.hardsigmoid)
def _hardsigmoid(input: Tensor, inplace: bool = False) -> Any:
    return NotImplemented if inplace else (input + 3).clamp(0.0, 6.0) / 6


@formula_for(F.celu, torch.celu)
def _celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Any:
    """max(x, 0) + α (e^(min(x, 0)/α) - 1); torch takes 1/α in float32 for the derivatives."""
    return input.clamp_min(0.0) + alpha * torch.expm1(input.clamp_max(0.0) / alpha)


@formula_for(F.glu)
def _glu(input: Tensor, dim: int = -1) -> Any:
    a, b = input.chunk(2, dim)
    return a * b.sigmoid()


@formula_for(F.rrelu, torch.rrelu)
def _rrelu(
    input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False,
    inplace: bool = False,
) -> Any:  # fmt: skip
    if training or inplace:
        return NotImplemented
    return F.leaky_relu(input, (lower + upper) / 2)


@formula_for(F.softshrink)
def _softshrink(input: Tensor, lambd: float = 0.5) -> Any:
    return (input - lambd).relu() - (-input - lambd).relu()


@formula_for(F.hardshrink, torch.hardshrink)
def _hardshrink(input: Tensor, lambd: float = 0.5) -> Any:
    return torch.where(input.abs() > lambd, input, 0.0 * input)


# -- attention ----------------------------------------------------------------------------------


@formula_for(F.scaled_dot_product_attention)
def _attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Any = None, dropout_p: float = 0.0,
    is_causal: bool = False, scale: Any = None, enable_gqa: bool = False,
) -> Any:  # fmt: skip
    """softmax(q k^T / sqrt(d) + mask) v; a query that may look nowhere gives 0."""
    if dropout_p > 0 or enable_gqa:
        return NotImplemented
    # The root as a tensor: a machine knows it better than Python's number.
    width = query.new_tensor(query.shape[-1])
    scores = (query / width.sqrt() if scale is None else query * scale) @ key.transpose(-2, -1)
    if is_causal:
        rows, columns = scores.shape[-2:]
        causal = torch.ones(rows, columns, dtype=torch.bool).tril()
        attn_mask = causal if attn_mask is None else attn_mask & causal
    if attn_mask is None:
        return scores.softmax(-1) @ value
    if attn_mask.dtype == torch.bool:
        some = attn_mask.any(-1, keepdim=True)
        weights = torch.where(attn_mask | ~some, scores, -math.inf).softmax(-1)
        return torch.where(some, weights, 0.0) @ value
    return (scores + attn_mask).softmax(-1) @ value


# -- extremes, with the entry that is taken -----------------------------------------------------


def _extreme(largest: bool) -> Callable[..., Any]:
    def written(input: Tensor, dim: Any = (), keepdim: bool = False, *, out: Any = None) -> Any:
        if out is not None or not input.is_floating_point():
            return NotImplemented
        dims = [dim] if isinstance(dim, int) else list(dim)
        dims = sorted(d % max(input.ndim, 1) for d in dims) if dims else list(range(input.ndim))
        if input.ndim == 0:
            return input.clone()
        rest = [d for d in range(input.ndim) if d not in dims]
        flat = input.permute(*rest, *dims).flatten(len(rest))
        values = (flat.max(-1) if largest else flat.min(-1)).values
        for d in dims if keepdim else ():
            values = values.unsqueeze(d)
        return values

    return written


formula_for(torch.amax, Tensor.amax)(_extreme(True))
formula_for(torch.amin, Tensor.amin)(_extreme(False))


def _of_all(largest: bool) -> Callable[..., Any]:
    def written(input: Tensor, *args: Any, **kwargs: Any) -> Any:
        if args or kwargs or not input.is_floating_point():
            return NotImplemented
        return _extreme(largest)(input)

    return written


formula_for(torch.max, Tensor.max)(_of_all(True))
formula_for(torch.min, Tensor.min)(_of_all(False))


@formula_for(torch.aminmax, Tensor.aminmax)
def _aminmax(input: Tensor, *, dim: Any = None, keepdim: bool = False, out: Any = None) -> Any:
    if out is not None or not input.is_floating_point():
        return NotImplemented
    dims = () if dim is None else (dim,)
    low, high = _extreme(False)(input, dims, keepdim), _extreme(True)(input, dims, keepdim)
    return torch.return_types.aminmax((low, high))


# -- functions ----------------------------------------------------------------------------------


@formula_for(torch.linalg.vector_norm, torch.norm, Tensor.norm)
def _largest_entry(
    input: Tensor, p: Any = 2, dim: Any = None, keepdim: bool = False, out: Any = None,
    dtype: Any = None, ord: Any = None,
) -> Any:  # fmt: skip
    """The norms that torch has no followable derivative of; the others go on as they are."""
    order = p if ord is None else ord
    plain = not isinstance(order, int | float) or order in (0, 1, 2)
    if plain or out is not None or dtype is not None or not input.is_floating_point():
        return NotImplemented
    dims = () if dim is None else dim
    if math.isinf(order):
        return _extreme(order > 0)(input.abs(), dims, keepdim)
    axes = list(range(input.ndim)) if dims == () else dims
    return input.abs().pow(order).sum(axes, keepdim=keepdim).pow(1 / order)


@formula_for(torch.logaddexp, Tensor.logaddexp)
def _logaddexp(input: Tensor, other: Tensor, *, out: Any = None) -> Any:
    if out is not None:
        return NotImplemented
    return torch.stack(torch.broadcast_tensors(input, other)).logsumexp(0)


@formula_for(torch.hypot, Tensor.hypot)
def _hypot(input: Tensor, other: Tensor, *, out: Any = None) -> Any:
    return NotImplemented if out is not None else (input * input + other * other).sqrt()


@formula_for(torch.prod, Tensor.prod)
def _prod(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """By halves: torch's gradient branches on which entries are 0."""
    if dtype is not None or not input.is_floating_point():
        return NotImplemented
    x, axis = (input.reshape(-1), 0) if dim is None else (input, dim)
    if x.shape[axis] == 0:
        return NotImplemented
    while x.shape[axis] > 1:
        half = x.shape[axis] // 2
        pairs = x.narrow(axis, 0, half) * x.narrow(axis, half, half)
        rest = x.narrow(axis, 2 * half, x.shape[axis] - 2 * half)
        x = torch.cat([pairs, rest], axis) if rest.shape[axis] else pairs
    return x.reshape(()) if dim is None else x if keepdim else x.squeeze(axis)


@formula_for(torch.cumprod, Tensor.cumprod)
def _cumprod(input: Tensor, dim: int, *, dtype: Any = None, out: Any = None) -> Any:
    if dtype is not None or out is not None or not input.is_floating_point() or input.ndim == 0:
        return NotImplemented
    parts = list(input.unbind(dim))
    for k in range(1, len(parts)):
        parts[k] = parts[k - 1] * parts[k]
    return torch.stack(parts, dim)


@formula_for(torch._weight_norm)
def _weight_norm(v: Tensor, g: Tensor, dim: int = 0) -> Any:
    """Torch's own second derivative of this is wrong."""
    rest = [d for d in range(v.ndim) if dim == -1 or d != dim]
    return v * (g / (v * v).sum(rest, keepdim=True).sqrt())


@formula_for(F.bilinear)
def _bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Any = None) -> Any:
    out = torch.einsum("...i,kij,...j->...k", input1, weight, input2)
    return out if bias is None else out + bias


@formula_for(torch.cdist)
def _cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: Any = None) -> Any:
    """Torch has no second derivative of it. Where two points are one, the distance is 0."""
    if p != 2:
        return NotImplemented
    square = (x1.unsqueeze(-2) - x2.unsqueeze(-3)).square().sum(-1)
    apart = square > 0
    return torch.where(apart, torch.where(apart, square, 1.0).sqrt(), 0.0)


@formula_for(F.pdist, torch.pdist)
def _pdist(input: Tensor, p: float = 2.0) -> Any:
    if p != 2:
        return NotImplemented
    rows, columns = torch.triu_indices(len(input), len(input), 1)
    return (input[rows] - input[columns]).square().sum(-1).sqrt()


@formula_for(torch.rot90, Tensor.rot90)
def _rot90(input: Tensor, k: int = 1, dims: Any = (0, 1)) -> Any:
    a, b = dims
    for _ in range(k % 4):
        input = input.flip(b).transpose(a, b)
    return input


@formula_for(torch.quantile, Tensor.quantile)
def _quantile(
    input: Tensor,
    q: Any,
    dim: Any = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
    out: Any = None,
) -> Any:
    """Between two neighbours in order; which, follows from q and the number of entries alone."""
    if not isinstance(q, float) or interpolation != "linear" or out is not None or input.ndim == 0:
        return NotImplemented
    x, axis = (input.reshape(-1), 0) if dim is None else (input, dim)
    x, last = x.sort(axis)[0], x.shape[axis] - 1
    low = min(math.floor(q * last), last)
    part = torch.tensor(q, dtype=x.dtype) * last - low
    below, above = x.narrow(axis, low, 1), x.narrow(axis, min(low + 1, last), 1)
    value = below + part * (above - below)
    if dim is None:
        return value.reshape([1] * input.ndim if keepdim else [])
    return value if keepdim else value.squeeze(axis)
