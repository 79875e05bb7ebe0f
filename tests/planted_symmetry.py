"""Networks with symmetries to plant."""

import torch
from torch import nn

from morsescape.objective import Objective


class Block(nn.Module):
    """A residual block: x + B relu(A norm(x))."""

    def __init__(self, width, hidden):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x):
        return x + self.down(torch.relu(self.up(self.norm(x))))


def residual(blocks=3, width=32, hidden=64):
    return nn.Sequential(
        nn.Linear(8, width), *[Block(width, hidden) for _ in range(blocks)], nn.Linear(width, 3)
    )


class ConvBlock(nn.Module):
    """A residual block of convolutions with batch normalisation."""

    def __init__(self, channels):
        super().__init__()
        self.first, self.second = (
            nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(2)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(2))

    def forward(self, x):
        inner = torch.relu(self.norms[0](self.first(x)))
        return torch.relu(x + self.norms[1](self.second(inner)))


def residual_cnn(channels=5):
    return nn.Sequential(
        nn.Conv2d(2, channels, 3, padding=1), ConvBlock(channels), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(4 * channels, 3),
    ).eval()  # fmt: skip


def objective(model, shape, *, samples=40, l2=0.0, seed=0):
    """A regression on random data."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(samples, *shape, generator=generator)
    with torch.no_grad():
        targets = torch.randn(model(x).shape, generator=generator)
    return Objective(model, "mse", (x, targets), l2=l2)


def point(f, seed=0, scale=0.3):
    """Random parameters."""
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(f.dim, generator=generator, dtype=torch.float64)


def outputs(f, theta):
    net = f.network
    return net.output(net.unflatten(theta), net.x)
