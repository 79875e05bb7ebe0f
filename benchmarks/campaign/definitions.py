"""What torch's layers are, as formulas on object arrays: `forward(module, x, weights)`.

`weights` maps a parameter or buffer of the module to its numbers: jets where it is a variable. A
module that brings its own method `exact(x, weights)` is asked; nothing here calls torch's forward.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from flint import arb
from torch import nn

from . import exact as X
from .activations import POINTWISE, along_axis

Array = np.ndarray
Weights = Callable[[torch.Tensor], Array]
LAYERS: dict[type[nn.Module], Callable[[Any, Any, Weights], Any]] = {}


def forward(module: nn.Module, x: Any, w: Weights) -> Any:
    """The module's output by definition.

    Raises:
        NoTruth: it has no definition here.
    """
    if hasattr(module, "exact"):
        return module.exact(x, w)
    kind = type(module)
    if kind in LAYERS:
        return LAYERS[kind](module, x, w)
    if kind in POINTWISE:
        return X.elementwise(POINTWISE[kind](module))(x)
    out = along_axis(module, x)
    if out is None:
        raise X.NoTruth(f"no definition of {kind.__name__}")
    return out


def layer(*kinds: type[nn.Module]) -> Callable[[Any], Any]:
    def register(function: Any) -> Any:
        for kind in kinds:
            LAYERS[kind] = function
        return function

    return register


@layer(nn.Sequential)
def _sequential(m: nn.Sequential, x: Array, w: Weights) -> Array:
    for part in m:
        x = forward(part, x, w)
    return x


@layer(nn.Flatten)
def _flatten(m: nn.Flatten, x: Array, w: Weights) -> Array:
    stop = m.end_dim % x.ndim
    return x.reshape(*x.shape[: m.start_dim], -1, *x.shape[stop + 1 :])


@layer(nn.Unflatten)
def _unflatten(m: nn.Unflatten, x: Array, w: Weights) -> Array:
    return x.reshape(*x.shape[: m.dim], *m.unflattened_size, *x.shape[m.dim + 1 :])


@layer(nn.Dropout, nn.Dropout2d, nn.AlphaDropout)
def _dropout(m: nn.Module, x: Array, w: Weights) -> Array:
    return x  # in evaluation mode


@layer(nn.Linear)
def _linear(m: nn.Linear, x: Array, w: Weights) -> Array:
    return affine(x, w(m.weight), None if m.bias is None else w(m.bias))


def affine(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """X Wᵀ + b."""
    out = X.wrapped(x.dot(weight.T))
    return out if bias is None else out + bias


@layer(nn.Bilinear)
def _bilinear(m: nn.Bilinear, x: Array, w: Weights) -> Array:
    a, b = x if isinstance(x, tuple) else (x, x)
    weight = w(m.weight)
    out = np.stack([(a.dot(weight[k]) * b).sum(-1) for k in range(m.out_features)], -1)
    return out if m.bias is None else out + w(m.bias)


@layer(nn.PReLU)
def _prelu(m: nn.PReLU, x: Array, w: Weights) -> Array:
    slope = w(m.weight)
    shape = [1] * x.ndim
    shape[1 if x.ndim > 1 else 0] = len(slope)

    def one(v: Any, s: Any) -> Any:
        return X.pieces(v, "prelu", lambda v: v * s, 0, lambda v: v)

    return X.elementwise(one)(x, slope.reshape(shape) if len(slope) > 1 else slope[0])


# -- normalisation ------------------------------------------------------------------------------


def mean(parts: Any) -> Any:
    return X.total(parts) * (X.number(1) / len(parts))


def standardised(line: Any, eps: float) -> list[Any]:
    """(x - mean) / √(var + eps), var with divisor n."""
    centre = mean(line)
    off = [v - centre for v in line]
    scale = 1 / X.sqrt(mean([v * v for v in off]) + eps)
    return [v * scale for v in off]


@layer(nn.LayerNorm)
def _layer_norm(m: Any, x: Array, w: Weights) -> Array:
    kept = x.ndim - len(m.normalized_shape)
    flat = x.reshape(*x.shape[:kept], -1)
    out = X.along(lambda line: standardised(line, m.eps), flat, -1).reshape(x.shape)
    out = out if m.weight is None else out * w(m.weight)
    return out if m.bias is None else out + w(m.bias)


@layer(nn.RMSNorm)
def _rms_norm(m: Any, x: Array, w: Weights) -> Array:
    kept = x.ndim - len(m.normalized_shape)
    eps = torch.finfo(torch.float64).eps if m.eps is None else m.eps

    def scaled(line: Any) -> list[Any]:
        scale = 1 / X.sqrt(mean([v * v for v in line]) + eps)
        return [v * scale for v in line]

    out = X.along(scaled, x.reshape(*x.shape[:kept], -1), -1).reshape(x.shape)
    return out if m.weight is None else out * w(m.weight)


@layer(nn.GroupNorm)
def _group_norm(m: Any, x: Array, w: Weights) -> Array:
    flat = x.reshape(len(x), m.num_groups, -1)
    out = X.along(lambda line: standardised(line, m.eps), flat, -1).reshape(x.shape)
    shape = (-1, *[1] * (x.ndim - 2))
    return out * w(m.weight).reshape(shape) + w(m.bias).reshape(shape) if m.affine else out


@layer(nn.InstanceNorm1d, nn.InstanceNorm2d)
def _instance_norm(m: Any, x: Array, w: Weights) -> Array:
    flat = x.reshape(*x.shape[:2], -1)
    out = X.along(lambda line: standardised(line, m.eps), flat, -1).reshape(x.shape)
    shape = (-1, *[1] * (x.ndim - 2))
    return out * w(m.weight).reshape(shape) + w(m.bias).reshape(shape) if m.affine else out


@layer(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
def _batch_norm(m: Any, x: Array, w: Weights) -> Array:
    shape = (-1, *[1] * (x.ndim - 2))
    centre, var = (w(b).reshape(shape) for b in (m.running_mean, m.running_var))
    scale = X.elementwise(lambda v: 1 / X.sqrt(v + X.number(m.eps)))(var)
    out = (x - centre) * scale
    return out * w(m.weight).reshape(shape) + w(m.bias).reshape(shape) if m.affine else out


# -- words, attention, recurrence ---------------------------------------------------------------


@layer(nn.Embedding)
def _embedding(m: nn.Embedding, x: Array, w: Weights) -> Array:
    return w(m.weight)[x.astype(int)]


@layer(nn.EmbeddingBag)
def _embedding_bag(m: nn.EmbeddingBag, x: Array, w: Weights) -> Array:
    rows = w(m.weight)[x.astype(int)]
    return X.along({"sum": X.total, "mean": mean, "max": X.largest}[m.mode], rows, 1)


def attention(q: Array, k: Array, v: Array, mask: Array | None = None) -> Array:
    """softmax(q kᵀ / √d + mask) v for arrays (..., T, d); mask False or -inf leaves out."""
    scale = 1 / arb(q.shape[-1]).sqrt()
    out = np.empty((*q.shape[:-1], v.shape[-1]), dtype=object)
    for at in np.ndindex(*q.shape[:-2]):
        scores = q[at].dot(k[at].T) * scale
        if mask is not None:
            for i, j in np.ndindex(*scores.shape):
                scores[i, j] = -np.inf if mask[i, j] == -np.inf else scores[i, j] + mask[i, j]
        out[at] = X.along(X.softmax, scores, -1).dot(v[at])
    return out


def causal(length: int) -> Array:
    """0 at and below the diagonal, -inf above."""
    return np.array(
        [[-np.inf if j > i else 0 for j in range(length)] for i in range(length)], object
    )


@layer(nn.MultiheadAttention)
def multihead(m: Any, x: Array, w: Weights, mask: Array | None = None) -> Array:
    """Self-attention, batch first."""
    n, t, e = x.shape
    bias = w(m.in_proj_bias) if m.in_proj_bias is not None else None
    q, k, v = np.split(affine(x, w(m.in_proj_weight), bias), 3, axis=-1)

    def heads(a: Array) -> Array:
        return a.reshape(n, t, m.num_heads, e // m.num_heads).transpose(0, 2, 1, 3)

    mixed = attention(heads(q), heads(k), heads(v), mask).transpose(0, 2, 1, 3).reshape(n, t, e)
    return forward(m.out_proj, mixed, w)


LAYERS[nn.modules.linear.NonDynamicallyQuantizableLinear] = _linear


@layer(nn.TransformerEncoderLayer)
def _encoder_layer(m: Any, x: Array, w: Weights, mask: Array | None = None) -> Array:
    bend = {torch.nn.functional.relu: nn.ReLU(), torch.nn.functional.gelu: nn.GELU()}[m.activation]

    def feed(a: Array) -> Array:
        return forward(m.linear2, forward(bend, forward(m.linear1, a, w), w), w)

    if m.norm_first:
        x = x + multihead(m.self_attn, forward(m.norm1, x, w), w, mask)
        return x + feed(forward(m.norm2, x, w))
    x = forward(m.norm1, x + multihead(m.self_attn, x, w, mask), w)
    return forward(m.norm2, x + feed(x), w)


@layer(nn.LSTM, nn.GRU, nn.RNN)
def _recurrent(m: Any, x: Array, w: Weights) -> Array:
    """The outputs of the last layer, batch first or time first as the module has it."""
    x = x if m.batch_first else x.swapaxes(0, 1)
    for k in range(m.num_layers):
        ways = [_one_way(m, k, "", x, w)]
        if m.bidirectional:
            ways.append(_one_way(m, k, "_reverse", x[:, ::-1], w)[:, ::-1])
        x = np.concatenate(ways, -1)
    return x if m.batch_first else x.swapaxes(0, 1)


def _one_way(m: Any, k: int, end: str, x: Array, w: Weights) -> Array:
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    w_x, w_h, b_x, b_h = (
        w(getattr(m, f"{name}_l{k}{end}")) if m.bias or name[0] == "w" else None for name in names
    )
    h = np.full((len(x), m.hidden_size), X.jet(0), dtype=object)
    c, out = h, []
    for t in range(x.shape[1]):
        a, b = affine(x[:, t], w_x, b_x), affine(h, w_h, b_h)
        h, c = cell(m, a, b, h, c)
        out.append(h)
    return np.stack(out, 1)


def cell(m: Any, a: Array, b: Array, h: Array, c: Array) -> tuple[Array, Array]:
    """One step from the two affine maps of input and state."""
    s, t = X.elementwise(X.sigmoid), X.elementwise(X.tanh)
    if "LSTM" in type(m).__name__:
        i, f, g, o = np.split(a + b, 4, axis=-1)
        c = s(f) * c + s(i) * t(g)
        return s(o) * t(c), c
    if "GRU" in type(m).__name__:
        (r, z, n), (r2, z2, n2) = np.split(a, 3, axis=-1), np.split(b, 3, axis=-1)
        r, z = s(r + r2), s(z + z2)
        n = t(n + r * n2)
        return n + z * (h - n), c
    bend = POINTWISE[nn.ReLU](m) if m.nonlinearity == "relu" else X.tanh
    return X.elementwise(bend)(a + b), c
