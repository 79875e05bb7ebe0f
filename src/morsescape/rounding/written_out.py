"""Functions of torch's that it cannot differentiate twice, or not as what they are, written out.

torch has no second derivative of some losses and activations, or none in forward mode. Of others
it differentiates something else than it computes: a variance is clamped where no gradient looks,
a maximum shares its gradient among equal entries. Under this mode a call of theirs, from Python,
becomes one of the same value by operations that can be differentiated and followed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from morsescape.rounding import repeated_writes


@contextmanager
def written_out() -> Iterator[None]:
    """Within it, calls of the functions below are written out, and attention by its formula.

    Example:
        >>> import torch
        >>> target = torch.zeros(2, dtype=torch.float64)
        >>> f = lambda t: torch.nn.functional.huber_loss(t, target)
        >>> with written_out():
        ...     torch.func.hessian(f)(torch.tensor([0.5, 2.0]).double()).tolist()
        [[0.5, 0.0], [0.0, 0.0]]
    """
    with sdpa_kernel(SDPBackend.MATH), WrittenOut():
        yield


class WrittenOut(TorchFunctionMode):
    """Replaces the calls in `WRITTEN_OUT`; one that is not like torch's goes on as it is."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        written = WRITTEN_OUT.get(func)
        if written is not None:
            with self:  # what it is made of may have to be written out as well
                result = written(*args, **(kwargs or {}))
            if result is not NotImplemented:
                return result
        return func(*args, **(kwargs or {}))


WRITTEN_OUT: dict[Any, Callable[..., Any]] = {}


def _for(*functions: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def register(written: Callable[..., Any]) -> Callable[..., Any]:
        for function in functions:
            WRITTEN_OUT[function] = written
        return written

    return register


def _reduced(loss: Tensor, reduction: str) -> Any:
    if reduction == "mean":
        return loss.mean()
    if reduction == "sum":
        return loss.sum()
    return loss if reduction == "none" else NotImplemented


# -- losses -------------------------------------------------------------------------------------


@_for(F.huber_loss)
def _huber(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Any = None
) -> Any:
    if weight is not None or not delta > 0 or input.shape != target.shape:
        return NotImplemented
    off = input - target
    far = off.abs()
    loss = torch.where(far <= delta, 0.5 * off * off, delta * (far - 0.5 * delta))
    return _reduced(loss, reduction)


@_for(F.soft_margin_loss)
def _soft_margin(
    input: Tensor, target: Tensor, size_average: Any = None, reduce: Any = None,
    reduction: str = "mean",
) -> Any:  # fmt: skip
    if size_average is not None or reduce is not None:
        return NotImplemented
    return _reduced(F.softplus(-target * input, threshold=math.inf), reduction)


@_for(F.multi_margin_loss)
def _multi_margin(
    input: Tensor, target: Tensor, p: int = 1, margin: float = 1.0, weight: Any = None,
    size_average: Any = None, reduce: Any = None, reduction: str = "mean",
) -> Any:  # fmt: skip
    if size_average is not None or reduce is not None or input.ndim != 2 or p not in (1, 2):
        return NotImplemented
    off = (margin - input.gather(1, target[:, None]) + input).clamp_min(0.0)
    loss = off if p == 1 else off * off
    if weight is not None:
        loss = loss * weight[target][:, None]
    others = torch.ones_like(loss).scatter(1, target[:, None], 0.0)
    return _reduced((loss * others).sum(1) / input.shape[1], reduction)


@_for(F.gaussian_nll_loss)
def _gaussian_nll(
    input: Tensor, target: Tensor, var: Any, full: bool = False, eps: float = 1e-6,
    reduction: str = "mean",
) -> Any:  # fmt: skip
    """With the variance clamped where gradients see it; its sign is looked at by torch itself."""
    if not isinstance(var, Tensor) or var.ndim not in (input.ndim, input.ndim - 1):
        return NotImplemented
    if var.ndim < input.ndim:
        var = var.unsqueeze(-1)
    if any(v not in (1, n) for v, n in zip(var.shape, input.shape, strict=True)):
        return NotImplemented
    var = var.clamp_min(eps)
    loss = 0.5 * (var.log() + (input - target) ** 2 / var)
    return _reduced(loss + 0.5 * math.log(2 * math.pi) if full else loss, reduction)


@_for(F.binary_cross_entropy)
def _binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Any = None, size_average: Any = None, reduce: Any = None,
    reduction: str = "mean",
) -> Any:  # fmt: skip
    """By logarithms; torch adds 1e-12 in its second derivative."""
    if size_average is not None or reduce is not None or input.shape != target.shape:
        return NotImplemented
    loss = -target * input.log().clamp_min(-100.0)
    loss = loss - (1 - target) * torch.log1p(-input).clamp_min(-100.0)
    return _reduced(loss if weight is None else loss * weight, reduction)


@_for(F.binary_cross_entropy_with_logits)
def _bce_with_logits(
    input: Tensor, target: Tensor, weight: Any = None, size_average: Any = None, reduce: Any = None,
    reduction: str = "mean", pos_weight: Any = None,
) -> Any:  # fmt: skip
    """By softplus, which has no kink; torch's formula has one at 0 that cancels."""
    if size_average is not None or reduce is not None or input.shape != target.shape:
        return NotImplemented
    soft = F.softplus(-input, threshold=math.inf)
    factor = 1.0 if pos_weight is None else 1 + (pos_weight - 1) * target
    loss = (1 - target) * input + factor * soft
    return _reduced(loss if weight is None else loss * weight, reduction)


@_for(F.embedding)
def _embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: Any = None,
    max_norm: Any = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Any:
    """Of all rows: torch leaves out the gradient of one, or scales it, and the value does not."""
    if max_norm is not None or (padding_idx is None and not scale_grad_by_freq and not sparse):
        return NotImplemented
    return F.embedding(input, weight)


_for(torch.scatter, Tensor.scatter)(repeated_writes.scatter)
_for(torch.index_put, Tensor.index_put)(repeated_writes.index_put)
_for(torch.index_copy, Tensor.index_copy)(repeated_writes.index_copy)
_for(torch.put, Tensor.put)(repeated_writes.put)
_for(Tensor.scatter_)(repeated_writes.scatter_)
_for(torch.index_put_, Tensor.index_put_)(repeated_writes.index_put_)
_for(Tensor.__setitem__)(repeated_writes.set_item)

# -- activations --------------------------------------------------------------------------------


@_for(F.hardsigmoid)
def _hardsigmoid(input: Tensor, inplace: bool = False) -> Any:
    return NotImplemented if inplace else (input + 3).clamp(0.0, 6.0) / 6


@_for(F.glu)
def _glu(input: Tensor, dim: int = -1) -> Any:
    a, b = input.chunk(2, dim)
    return a * b.sigmoid()


@_for(F.rrelu, torch.rrelu)
def _rrelu(
    input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False,
    inplace: bool = False,
) -> Any:  # fmt: skip
    if training or inplace:
        return NotImplemented
    return F.leaky_relu(input, (lower + upper) / 2)


@_for(F.softshrink)
def _softshrink(input: Tensor, lambd: float = 0.5) -> Any:
    return torch.where(
        input > lambd, input - lambd, torch.where(input < -lambd, input + lambd, 0.0 * input)
    )


@_for(F.hardshrink, torch.hardshrink)
def _hardshrink(input: Tensor, lambd: float = 0.5) -> Any:
    return torch.where(input.abs() > lambd, input, 0.0 * input)


# -- attention ----------------------------------------------------------------------------------


@_for(F.scaled_dot_product_attention)
def _attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Any = None, dropout_p: float = 0.0,
    is_causal: bool = False, scale: Any = None, enable_gqa: bool = False,
) -> Any:  # fmt: skip
    """softmax(q k^T / sqrt(d) + mask) v; a query that may look nowhere gives 0."""
    if dropout_p > 0 or enable_gqa:
        return NotImplemented
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = (query * factor) @ key.transpose(-2, -1)
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


_for(torch.amax, Tensor.amax)(_extreme(True))
_for(torch.amin, Tensor.amin)(_extreme(False))


def _of_all(largest: bool) -> Callable[..., Any]:
    def written(input: Tensor, *args: Any, **kwargs: Any) -> Any:
        if args or kwargs or not input.is_floating_point():
            return NotImplemented
        return _extreme(largest)(input)

    return written


_for(torch.max, Tensor.max)(_of_all(True))
_for(torch.min, Tensor.min)(_of_all(False))


@_for(torch.aminmax, Tensor.aminmax)
def _aminmax(input: Tensor, *, dim: Any = None, keepdim: bool = False, out: Any = None) -> Any:
    if out is not None or not input.is_floating_point():
        return NotImplemented
    dims = () if dim is None else (dim,)
    low, high = _extreme(False)(input, dims, keepdim), _extreme(True)(input, dims, keepdim)
    return torch.return_types.aminmax((low, high))


# -- functions ----------------------------------------------------------------------------------


@_for(torch.linalg.vector_norm, torch.norm, Tensor.norm)
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


@_for(torch.logaddexp, Tensor.logaddexp)
def _logaddexp(input: Tensor, other: Tensor, *, out: Any = None) -> Any:
    if out is not None:
        return NotImplemented
    return torch.stack(torch.broadcast_tensors(input, other)).logsumexp(0)


@_for(torch.hypot, Tensor.hypot)
def _hypot(input: Tensor, other: Tensor, *, out: Any = None) -> Any:
    return NotImplemented if out is not None else (input * input + other * other).sqrt()


@_for(torch.prod, Tensor.prod)
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


@_for(torch.cumprod, Tensor.cumprod)
def _cumprod(input: Tensor, dim: int, *, dtype: Any = None, out: Any = None) -> Any:
    if dtype is not None or out is not None or not input.is_floating_point() or input.ndim == 0:
        return NotImplemented
    parts = list(input.unbind(dim))
    for k in range(1, len(parts)):
        parts[k] = parts[k - 1] * parts[k]
    return torch.stack(parts, dim)


@_for(torch._weight_norm)
def _weight_norm(v: Tensor, g: Tensor, dim: int = 0) -> Any:
    """Torch's own second derivative of this is wrong."""
    rest = [d for d in range(v.ndim) if dim == -1 or d != dim]
    return v * (g / (v * v).sum(rest, keepdim=True).sqrt())


@_for(F.bilinear)
def _bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Any = None) -> Any:
    out = torch.einsum("...i,kij,...j->...k", input1, weight, input2)
    return out if bias is None else out + bias


@_for(torch.cdist)
def _cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: Any = None) -> Any:
    """Torch has no second derivative of it. Where two points are one, the distance is 0."""
    if p != 2:
        return NotImplemented
    square = (x1.unsqueeze(-2) - x2.unsqueeze(-3)).square().sum(-1)
    apart = square > 0
    return torch.where(apart, torch.where(apart, square, 1.0).sqrt(), 0.0)


@_for(F.pdist, torch.pdist)
def _pdist(input: Tensor, p: float = 2.0) -> Any:
    if p != 2:
        return NotImplemented
    rows, columns = torch.triu_indices(len(input), len(input), 1)
    return (input[rows] - input[columns]).square().sum(-1).sqrt()


@_for(torch.rot90, Tensor.rot90)
def _rot90(input: Tensor, k: int = 1, dims: Any = (0, 1)) -> Any:
    a, b = dims
    for _ in range(k % 4):
        input = input.flip(b).transpose(a, b)
    return input


@_for(torch.quantile, Tensor.quantile)
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
