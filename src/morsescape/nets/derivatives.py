"""The activations and their derivatives on buffers, for gradients that are written by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

_ops = torch.ops.aten


class Activation(NamedTuple):
    """An activation a, elementwise.

    Attributes:
        forward: (z, y) writes y = a(z); z and y may be the same.
        backward: (g, z, y, out) writes out = g a'(z), given y = a(z); out may be g or z.
        monotone: whether a is nondecreasing, so that max pooling may be done before it.
    """

    forward: Callable[[Tensor, Tensor], Tensor]
    backward: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
    monotone: bool


DERIVATIVES: dict[str, Activation] = {
    "relu": Activation(
        lambda z, y: torch.clamp(z, min=0, out=y),
        lambda g, z, y, out: _ops.threshold_backward.grad_input(g, z, 0, grad_input=out),
        True,
    ),
    "tanh": Activation(
        lambda z, y: torch.tanh(z, out=y),
        lambda g, z, y, out: _ops.tanh_backward.grad_input(g, y, grad_input=out),
        True,
    ),
    "softplus": Activation(
        lambda z, y: _ops.softplus.out(z, 1, 20, out=y),
        lambda g, z, y, out: _ops.softplus_backward.grad_input(g, z, 1, 20, grad_input=out),
        True,
    ),
    "gelu": Activation(
        lambda z, y: _ops.gelu.out(z, approximate="none", out=y),
        lambda g, z, y, out: _ops.gelu_backward.grad_input(
            g, z, approximate="none", grad_input=out
        ),
        False,
    ),
}
