"""Models that use their parameters in every way the assembly must cope with."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(5, 4), nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.a(x))
        return self.c(h + torch.tanh(self.b(h)))


class Tied(nn.Module):
    """The same weight used twice, once transposed."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.out = nn.Linear(5, 4), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.tanh(torch.tanh(self.a(x)) @ self.a.weight))


class Attention(nn.Module):
    """Projections that act at several positions."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(3, 2) for _ in range(3))
        self.out = nn.Linear(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.q(x), self.k(x), self.v(x)
        weights = (q @ k.transpose(1, 2)).softmax(-1)
        return self.out(weights @ v).mean(1)


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.out = nn.Embedding(6, 3), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.tanh(self.words(x)).sum(1))


class Scaled(nn.Module):
    """A parameter that is no layer's, entering after a linear layer and again at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(5, 4), nn.Linear(4, 3)
        self.scale = nn.Parameter(torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.tanh(self.a(x)) * self.scale) * self.scale.sum()


def frozen() -> nn.Module:
    model = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3))
    model[0].weight.requires_grad_(False)
    model[2].bias.requires_grad_(False)
    return model


def batch_norm() -> nn.Module:
    norm = nn.BatchNorm1d(4)
    norm.running_mean.fill_(0.3)
    norm.running_var.fill_(2.0)
    return nn.Sequential(nn.Linear(5, 4), norm, nn.Tanh(), nn.Linear(4, 3))


def images(channels: int = 1) -> Tensor:
    return torch.randn(7, channels, 6, 6, generator=torch.Generator().manual_seed(9))


def _conv(first: nn.Module, *rest: nn.Module) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(first, *rest)


def _cnn(act: type[nn.Module], pool: type[nn.Module]) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1), act(), pool(2), nn.Conv2d(2, 2, 3, padding=1, stride=1),
        act(), nn.Flatten(), nn.Linear(18, 3),
    )  # fmt: skip


MODELS: dict[str, tuple[Callable[[], nn.Module], Tensor | None]] = {
    "linear": (lambda: nn.Linear(5, 3), None),
    "relu": (lambda: nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3)), None),
    "tanh, three layers": (
        lambda: nn.Sequential(
            nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 4, bias=False), nn.Tanh(), nn.Linear(4, 3)
        ),
        None,
    ),
    "gelu": (lambda: nn.Sequential(nn.Linear(5, 4), nn.GELU(), nn.Linear(4, 3)), None),
    "softplus": (lambda: nn.Sequential(nn.Linear(5, 4), nn.Softplus(), nn.Linear(4, 3)), None),
    "elu": (lambda: nn.Sequential(nn.Linear(5, 4), nn.ELU(), nn.Linear(4, 3)), None),
    "selu": (lambda: nn.Sequential(nn.Linear(5, 4), nn.SELU(), nn.Linear(4, 3)), None),
    "silu": (lambda: nn.Sequential(nn.Linear(5, 4), nn.SiLU(), nn.Linear(4, 3)), None),
    "layer norm": (
        lambda: nn.Sequential(nn.Linear(5, 4), nn.LayerNorm(4), nn.Tanh(), nn.Linear(4, 3)),
        None,
    ),
    "batch norm": (batch_norm, None),
    "residual": (Residual, None),
    "tied": (Tied, None),
    "scaled": (Scaled, None),
    "frozen": (frozen, None),
    "attention": (
        Attention, torch.randn(6, 4, 3, generator=torch.Generator().manual_seed(3))
    ),
    "embedding": (Words, torch.arange(12).reshape(6, 2) % 5),
    "cnn, tanh, average": (lambda: _cnn(nn.Tanh, nn.AvgPool2d), images()),
    "cnn, relu, max": (lambda: _cnn(nn.ReLU, nn.MaxPool2d), images()),
    "strided": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 2, 3, stride=2, dilation=2), nn.Tanh(), nn.Flatten(), nn.Linear(2, 3)
        ),
        images(),
    ),
    "grouped": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 2, 3, groups=2), nn.Tanh(), nn.Flatten(), nn.Linear(32, 3)
        ),
        images(2),
    ),
}  # fmt: skip


def smooth_l1(output: Tensor, y: Tensor) -> Tensor:
    return F.huber_loss(output, y, delta=0.7)


def log_cosh(output: Tensor, y: Tensor) -> Tensor:
    return (output - y).cosh().log().mean()


LOSSES = {"cross_entropy": "cross_entropy", "mse": "mse", "log cosh": log_cosh}
