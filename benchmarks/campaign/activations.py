"""What torch's activations are, as formulas: `ACTIVATIONS[type](module, weights)` maps a number.

A literal in torch's documentation is that binary64 number; √2, π and e are the real ones. So GELU
is x·Φ(x), and its tanh form has √(2/π) and the float 0.044715.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from flint import arb
from torch import nn

from . import exact as X

Pointwise = Callable[[Any], Any]
SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


def gelu(x: Any) -> Any:
    """x·Φ(x), with Φ from erfc, so that the tails keep their digits."""
    return x * X.erfc(-x / arb(2).sqrt()) / 2


def gelu_tanh(x: Any) -> Any:
    inner = (2 / arb.pi()).sqrt() * (x + 0.044715 * x * x * x)
    return x * X.sigmoid(2 * inner)


def softplus(beta: float, threshold: float) -> Pointwise:
    b = X.number(beta)
    return lambda x: X.pieces(
        x * b, "softplus", lambda t: X.softplus(t) / b, threshold, lambda t: t / b
    )


def elu(alpha: float, scale: float = 1.0, inner: float = 1.0) -> Pointwise:
    a, s, i = map(X.number, (alpha, scale, inner))
    return lambda x: X.pieces(x, "elu", lambda x: s * a * X.expm1(x * i), 0, lambda x: s * x)


def _hard(low: float, high: float) -> Pointwise:
    return lambda x: X.pieces(
        x, "hardtanh", lambda x: X.jet(low), low, lambda x: x, high, lambda x: X.jet(high)
    )


def _hardsigmoid(x: Any) -> Any:
    return X.pieces(
        x, "hardsigmoid", lambda x: X.jet(0), -3, lambda x: (x + 3) / 6, 3, lambda x: X.jet(1)
    )


def _shrink(value: float, hard: bool) -> Pointwise:
    v = X.number(0.0 if hard else value)
    return lambda x: X.pieces(
        x, "shrink", lambda x: x + v, -value, lambda x: X.jet(0), value, lambda x: x - v
    )


def leaky(slope: Any) -> Pointwise:
    return lambda x: X.pieces(x, "leaky_relu", lambda x: x * slope, 0, lambda x: x)


def relu(x: Any) -> Any:
    return X.pieces(x, "relu", lambda x: X.jet(0), 0, lambda x: x)


def mish(x: Any) -> Any:
    """x tanh(log(1 + e^x)) = x (1 - 2 / (1 + (1 + e^x)²))."""
    e = X.exp(X.jet(x)) if not X.jet(x).v > 0 else None
    if e is not None:
        return x * (e * e + 2 * e) / (e * e + 2 * e + 2)
    e = X.exp(-x)
    return x * (1 + 2 * e) / (1 + 2 * e + 2 * e * e)


POINTWISE: dict[type[nn.Module], Callable[[Any], Pointwise]] = {
    nn.Identity: lambda m: lambda x: x,
    nn.ReLU: lambda m: relu,
    nn.LeakyReLU: lambda m: leaky(X.number(m.negative_slope)),
    nn.RReLU: lambda m: leaky((X.number(m.lower) + X.number(m.upper)) / 2),
    nn.ReLU6: lambda m: _hard(0.0, 6.0),
    nn.Hardtanh: lambda m: _hard(m.min_val, m.max_val),
    nn.Threshold: lambda m: (
        lambda x: X.pieces(x, "threshold", lambda x: X.jet(m.value), m.threshold, lambda x: x)
    ),
    nn.Hardshrink: lambda m: _shrink(m.lambd, hard=True),
    nn.Softshrink: lambda m: _shrink(m.lambd, hard=False),
    nn.Tanhshrink: lambda m: lambda x: x - X.tanh(x),
    nn.Softsign: lambda m: (
        lambda x: X.pieces(x, "abs", lambda x: x / (1 - x), 0, lambda x: x / (1 + x))
    ),
    nn.Tanh: lambda m: X.tanh,
    nn.Sigmoid: lambda m: X.sigmoid,
    nn.LogSigmoid: lambda m: lambda x: -X.softplus(-X.jet(x)),
    nn.SiLU: lambda m: lambda x: x * X.sigmoid(x),
    nn.Mish: lambda m: mish,
    nn.GELU: lambda m: gelu if m.approximate == "none" else gelu_tanh,
    nn.Softplus: lambda m: softplus(m.beta, m.threshold),
    nn.ELU: lambda m: elu(m.alpha),
    nn.SELU: lambda m: elu(SELU_ALPHA, SELU_SCALE),
    nn.CELU: lambda m: _celu(m.alpha),
    nn.Hardsigmoid: lambda m: _hardsigmoid,
    nn.Hardswish: lambda m: lambda x: x * _hardsigmoid(x),
}


def _celu(alpha: float) -> Pointwise:
    a = X.number(alpha)
    return lambda x: X.pieces(x, "celu", lambda x: a * X.expm1(x / a), 0, lambda x: x)


def along_axis(module: nn.Module, x: np.ndarray) -> np.ndarray | None:
    """Softmax and its kin, None for others."""
    if isinstance(module, nn.GLU):
        left, right = np.split(x, 2, axis=module.dim)
        return left * X.elementwise(X.sigmoid)(right)
    if isinstance(module, nn.Softmax):
        return X.along(X.softmax, x, module.dim)
    if isinstance(module, nn.Softmin):
        return X.along(X.softmax, -x, module.dim)
    if isinstance(module, nn.LogSoftmax):
        return X.along(log_softmax, x, module.dim)
    return None


def log_softmax(parts: Any) -> list[Any]:
    scale = X.logsumexp(parts)
    return [X.jet(p) - scale for p in parts]
