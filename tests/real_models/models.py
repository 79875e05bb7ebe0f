"""Small versions of what people train, written as theirs are: hundreds or thousands of parameters.

What a model costs here grows with its tensors times its depth, hardly with their sizes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Attention(nn.Module):
    """Two heads, and a mask where it is causal."""

    def __init__(self, width: int, heads: int, causal: bool, bias: bool) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.qkv = nn.Linear(width, 3 * width, bias)
        self.out = nn.Linear(width, width, bias)

    def forward(self, x: Tensor) -> Tensor:
        n, steps, width = x.shape
        qkv = self.qkv(x).view(n, steps, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-2, -1) / (width // self.heads) ** 0.5
        if self.causal:
            mask = torch.ones(steps, steps, dtype=torch.bool).triu(1)
            scores = scores.masked_fill(mask, float("-inf"))
        mixed = scores.softmax(-1) @ v
        return self.out(mixed.transpose(1, 2).reshape(n, steps, width))


class Block(nn.Module):
    """Normalise, attend, add; normalise, think, add."""

    def __init__(self, width: int, causal: bool, hidden: int, bias: bool) -> None:
        super().__init__()
        self.n1, self.n2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, 2, causal, bias)
        self.mlp = nn.Sequential(
            nn.Linear(width, hidden, bias), nn.GELU(), nn.Linear(hidden, width, bias)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.n1(x))
        return x + self.mlp(self.n2(x))


class Language(nn.Module):
    """Two blocks without biases; the embedding is the output too; each step says what is next."""

    def __init__(self, vocabulary: int = 6, width: int = 4, context: int = 4) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(Block(width, True, 6, bias=False) for _ in range(2)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, ids: Tensor) -> Tensor:
        h = self.tokens(ids) + self.positions(torch.arange(ids.shape[1]))
        return self.head(self.norm(self.blocks(h))).transpose(1, 2)  # (N, vocabulary, T)


class Vision(nn.Module):
    """Patches by a convolution, a class token in front, learned positions, one block."""

    def __init__(self, width: int = 16, classes: int = 3) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, width, 2, stride=2)
        self.token = nn.Parameter(torch.randn(1, 1, width) * 0.5)
        self.positions = nn.Parameter(torch.randn(1, 5, width) * 0.5)
        self.block = Block(width, False, 24, bias=True)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        h = self.patches(x).flatten(2).transpose(1, 2)
        h = torch.cat([self.token.expand(len(x), -1, -1), h], 1) + self.positions
        return self.head(self.norm(self.block(h))[:, 0])


class Recurrent(nn.Module):
    """A classifier on the last state of an LSTM or a GRU."""

    def __init__(self, kind: type[nn.Module]) -> None:
        super().__init__()
        self.embed, self.r, self.head = (
            nn.Embedding(5, 3),
            kind(3, 4, batch_first=True),
            nn.Linear(4, 3),
        )

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.r(self.embed(ids))[0][:, -1])


class Residual(nn.Module):
    """Convolution and batch norm twice, and the way around them."""

    def __init__(self, inside: int, out: int, stride: int) -> None:
        super().__init__()
        self.c1 = nn.Conv2d(inside, out, 3, stride, 1, bias=False)
        self.c2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.b1, self.b2 = nn.BatchNorm2d(out), nn.BatchNorm2d(out)
        self.around: nn.Module = nn.Identity()
        if stride > 1 or inside != out:
            around = nn.Conv2d(inside, out, 1, stride, bias=False)
            self.around = nn.Sequential(around, nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.b1(self.c1(x)))
        return F.relu(self.b2(self.c2(h)) + self.around(x))


def settled(model: nn.Module, *shape: int) -> nn.Module:
    """With batch statistics of some batches, and scales that are not all one."""
    model.train()
    for _ in range(3):
        model(torch.randn(8, *shape))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def residual_network() -> nn.Module:
    """One block that halves the picture and one that keeps it."""
    body = nn.Sequential(Residual(1, 2, 2), Residual(2, 2, 1))
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3))
    return settled(nn.Sequential(body, head), 1, 4, 4)


class Physics(nn.Module):
    """The residual of u'' + sin u = 0 and u(0) = 1, of a small network u."""

    def __init__(self) -> None:
        super().__init__()
        self.u = nn.Sequential(
            nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 1)
        )

    def forward(self, t: Tensor) -> Tensor:
        with torch.enable_grad():
            t = t.detach().clone().requires_grad_()
            u = self.u(t)
            (du,) = torch.autograd.grad(u.sum(), t, create_graph=True)
            (ddu,) = torch.autograd.grad(du.sum(), t, create_graph=True)
        start = self.u(torch.zeros_like(t)) - 1
        return torch.cat([ddu + torch.sin(u), start], 1)


class Autoencoder(nn.Module):
    """Variational: its noise is an input, as many numbers as it hides."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(6, 105), nn.Tanh(), nn.Linear(105, 4))
        self.decode = nn.Sequential(nn.Linear(2, 105), nn.Tanh(), nn.Linear(105, 6))

    def forward(self, x: Tensor, noise: Tensor) -> dict[str, Tensor]:
        mean, log_variance = self.encode(x).chunk(2, 1)
        z = mean + torch.exp(log_variance / 2) * noise
        return {"x": self.decode(z), "mean": mean, "log_variance": log_variance}


def evidence(out: dict[str, Tensor], y: Tensor) -> Tensor:
    """Minus the lower bound: how badly it is rebuilt, and how far it hides from a normal."""
    rebuilt = F.binary_cross_entropy_with_logits(out["x"], y, reduction="none").sum(1).mean()
    mean, log_variance = out["mean"], out["log_variance"]
    far = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(1).mean()
    return rebuilt + far


class UNet(nn.Module):
    """Down, up by a transposed convolution, and a bridge across."""

    def __init__(self) -> None:
        super().__init__()
        self.d1 = nn.Sequential(
            nn.Conv2d(1, 2, 3, padding=1, bias=False), nn.GroupNorm(1, 2), nn.SiLU()
        )
        self.d2 = nn.Sequential(
            nn.Conv2d(2, 3, 3, padding=1, bias=False), nn.GroupNorm(1, 3), nn.SiLU()
        )
        self.up = nn.ConvTranspose2d(3, 2, 2, stride=2)
        self.out = nn.Conv2d(4, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.d1(x)
        b = self.d2(F.avg_pool2d(a, 2))
        return self.out(torch.cat([a, self.up(b)], 1))


class Experts(nn.Module):
    """A softmax gate over small networks, and their weighted sum."""

    def __init__(self, experts: int = 3) -> None:
        super().__init__()
        self.gate = nn.Linear(4, experts)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(4, 5), nn.Softplus(), nn.Linear(5, 3)) for _ in range(experts)
        )

    def forward(self, x: Tensor) -> Tensor:
        said = torch.stack([expert(x) for expert in self.experts], 1)
        return (self.gate(x).softmax(1)[:, :, None] * said).sum(1)


class Mixer(nn.Module):
    """Over the patches, then over the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.n1, self.n2 = nn.LayerNorm(3), nn.LayerNorm(3)
        self.steps, self.channels = nn.Linear(4, 4), nn.Linear(3, 3)
        self.head = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = x + F.gelu(self.steps(self.n1(x).transpose(1, 2)), approximate="tanh").transpose(1, 2)
        x = x + F.gelu(self.channels(self.n2(x)), approximate="tanh")
        return self.head(x.mean(1))


class Graph(nn.Module):
    """Two rounds of messages over a fixed ring, the nodes in the second dimension."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = nn.Linear(3, 42), nn.Linear(42, 42), nn.Linear(42, 3)
        self.register_buffer("ring", (torch.eye(5).roll(1, 0) + torch.eye(5).roll(-1, 0)) / 2)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.a(self.ring @ x))
        h = torch.tanh(self.b(self.ring @ h))
        return self.head(h.mean(1))


class DeepSet(nn.Module):
    """A sum over a set, whose weights are learned."""

    def __init__(self) -> None:
        super().__init__()
        self.phi, self.weight, self.rho = nn.Linear(3, 8), nn.Linear(3, 1), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        w = self.weight(x).softmax(1)
        return self.rho(F.elu((w * F.softplus(self.phi(x))).sum(1)))
