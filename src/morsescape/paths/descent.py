"""Steps along drawn gradients: Adam, and gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_BETAS, _EPS = (0.9, 0.999), 1e-8
_MOMENTUM = 0.9


def adam(rate: float) -> Callable[[Tensor], Tensor]:
    """Steps by Kingma & Ba, ICLR (2015)."""
    first = second = torch.zeros(())
    count = 0

    def move(gradient: Tensor) -> Tensor:
        nonlocal first, second, count
        count += 1
        first = _BETAS[0] * first + (1 - _BETAS[0]) * gradient
        second = _BETAS[1] * second + (1 - _BETAS[1]) * gradient.square()
        size = (second / (1 - _BETAS[1] ** count)).sqrt() + _EPS
        return -rate * first / (1 - _BETAS[0] ** count) / size

    return move


def momentum(rate: float) -> Callable[[Tensor], Tensor]:
    """Steps by Polyak's heavy ball."""
    velocity = torch.zeros(())

    def move(gradient: Tensor) -> Tensor:
        nonlocal velocity
        velocity = _MOMENTUM * velocity - rate * gradient
        return velocity

    return move
