"""Value, gradient and Hessian of a number, in 50 digits: the truth that the radius must reach."""

from __future__ import annotations

from collections.abc import Callable

import mpmath as mp
import numpy as np
from torch import Tensor, nn

mp.mp.dps = 50
Number = mp.mpf


class Jet:
    def __init__(self, value: Number, grad: np.ndarray, hess: np.ndarray) -> None:
        self.value, self.grad, self.hess = value, grad, hess

    def __add__(self, other: Jet) -> Jet:
        return Jet(self.value + other.value, self.grad + other.grad, self.hess + other.hess)

    def __mul__(self, other: Jet | float) -> Jet:
        if not isinstance(other, Jet):
            c = mp.mpf(other)
            return Jet(self.value * c, self.grad * c, self.hess * c)
        cross = np.outer(self.grad, other.grad)
        hess = self.hess * other.value + other.hess * self.value + cross + cross.T
        grad = self.grad * other.value + other.grad * self.value
        return Jet(self.value * other.value, grad, hess)

    def map(self, f: Number, df: Number, ddf: Number) -> Jet:
        """The chain rule, from a function's value and two derivatives at this value."""
        hess = self.hess * df + np.outer(self.grad, self.grad) * ddf
        return Jet(f, self.grad * df, hess)


def parameters(theta: Tensor) -> list[Jet]:
    d = len(theta)
    unit = lambda i: np.array([mp.mpf(int(i == j)) for j in range(d)])  # noqa: E731
    zero = np.full((d, d), mp.mpf(0))
    return [Jet(mp.mpf(float(t)), unit(i), zero) for i, t in enumerate(theta)]


def relu(x: Jet) -> Jet:
    on = mp.mpf(int(x.value > 0))
    return x.map(x.value * on, on, mp.mpf(0))


def tanh(x: Jet) -> Jet:
    t = mp.tanh(x.value)
    return x.map(t, 1 - t**2, -2 * t * (1 - t**2))


def softplus(x: Jet) -> Jet:
    s = 1 / (1 + mp.exp(-x.value))
    return x.map(mp.log(1 + mp.exp(x.value)), s, s * (1 - s))


def gelu(x: Jet) -> Jet:
    v = x.value
    phi, density = mp.ncdf(v), mp.npdf(v)
    return x.map(v * phi, phi + v * density, density * (2 - v**2))


ACTIVATIONS: dict[str, tuple[type[nn.Module], Callable[[Jet], Jet]]] = {
    "relu": (nn.ReLU, relu),
    "tanh": (nn.Tanh, tanh),
    "softplus": (nn.Softplus, softplus),
    "gelu": (nn.GELU, gelu),
}


def total(terms: list[Jet]) -> Jet:
    out = terms[0]
    for term in terms[1:]:
        out = out + term
    return out


def linear(x: list[Jet] | list[float], w: list[Jet], b: list[Jet]) -> list[Jet]:
    n = len(x)
    rows = [w[i * n : (i + 1) * n] for i in range(len(b))]
    return [
        total([a * v for a, v in zip(row, x, strict=True)]) + c
        for row, c in zip(rows, b, strict=True)
    ]


def convolve(x: list[list[float]], w: list[Jet], b: Jet) -> list[list[Jet]]:
    """2 by 2, no padding."""
    n = len(x) - 1
    return [
        [total([w[2 * k + m] * x[i + k][j + m] for k in (0, 1) for m in (0, 1)]) + b
         for j in range(n)]
        for i in range(n)
    ]  # fmt: skip


def pool(x: list[list[Jet]], kind: str) -> list[Jet]:
    out = []
    for i in range(0, len(x), 2):
        for j in range(0, len(x), 2):
            window = [x[i + k][j + m] for k in (0, 1) for m in (0, 1)]
            largest = max(window, key=lambda v: v.value)
            out.append(largest if kind == "max" else total(window) * 0.25)
    return out


def cross_entropy(z: list[Jet], label: int) -> Jet:
    size = total([v.map(*[mp.exp(v.value)] * 3) for v in z])
    lse = size.map(mp.log(size.value), 1 / size.value, -1 / size.value**2)
    return lse + z[label] * -1


def square_error(z: list[Jet], target: list[float]) -> Jet:
    off = [Jet(v.value - mp.mpf(t), v.grad, v.hess) for v, t in zip(z, target, strict=True)]
    return total([v * v for v in off]) * (mp.mpf(1) / len(z))
