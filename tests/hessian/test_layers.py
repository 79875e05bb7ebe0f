"""What people's networks are made of: proved, and within the radius of double backward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hessian.oracle import network, oracle
from morsescape.hessian.dense import exact_hessian
from morsescape.rounding.written_out import written_out

Seq = nn.Sequential


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3))


class Read(nn.Module):
    """A linear layer on all outputs of a recurrent one."""

    def __init__(self, inner: nn.Module, features: int) -> None:
        super().__init__()
        self.inner, self.out = inner, nn.Linear(features, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.inner(x)[0].flatten(1))


class Language(nn.Module):
    """A transformer with a causal mask whose last layer is the embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(3, 4), nn.Parameter(torch.zeros(2, 4))
        self.layer = nn.TransformerEncoderLayer(4, 2, 3, batch_first=True, activation="gelu")

    def forward(self, x: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(2).double()
        h = self.layer(self.words(x) + self.places, src_mask=mask, is_causal=True)
        return h.mean(1) @ self.words.weight.t()


class Vision(nn.Module):
    """Patches, a class token, positions and attention."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.token = nn.Conv2d(1, 2, 2, stride=2), nn.Parameter(torch.zeros(1, 1, 2))
        self.attention, self.norm = nn.MultiheadAttention(2, 1, batch_first=True), nn.LayerNorm(2)
        self.out = nn.Linear(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.patch(x).flatten(2).transpose(1, 2)
        h = torch.cat([self.token.expand(len(x), -1, -1), h], 1)
        q = self.norm(h)
        return self.out((h + self.attention(q, q, q, need_weights=False)[0])[:, 0])


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.norm = nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2)
        self.b, self.c = nn.Conv2d(2, 2, 3, padding=1, groups=2), nn.Conv2d(2, 2, 1)
        self.out = nn.Linear(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.norm(self.a(x)))
        h = F.relu(h + self.c(self.b(h)))
        return self.out(F.adaptive_avg_pool2d(h, 1).flatten(1))


def flat(*layers: nn.Module, features: int) -> nn.Module:
    return Seq(*layers, nn.Flatten(), nn.Linear(features, 3))


MODELS: dict[str, tuple[Callable[[], nn.Module], Tensor | None]] = {
    "conv1d": (
        lambda: flat(nn.Conv1d(2, 2, 2, stride=2, dilation=2, padding=1), nn.Tanh(), features=6),
        noise(4, 2, 6),
    ),
    "conv3d": (
        lambda: flat(nn.Conv3d(1, 2, 2), nn.GELU("tanh"), nn.AvgPool3d(2), features=2),
        noise(4, 1, 3, 3, 3),
    ),
    "transposed": (
        lambda: flat(
            nn.Conv2d(1, 2, 2),
            nn.SiLU(),
            nn.ConvTranspose2d(2, 2, 2, stride=2, groups=2, output_padding=1),
            nn.AdaptiveAvgPool2d(2),
            features=8,
        ),
        noise(4, 1, 3, 3),
    ),
    "same": (
        lambda: flat(nn.Conv2d(1, 2, 2, padding="same"), nn.Tanh(), nn.MaxPool2d(2), features=8),
        noise(4, 1, 4, 4),
    ),
    "circular": (
        lambda: flat(nn.Conv2d(1, 2, 3, padding=1, padding_mode="circular"), nn.ELU(), features=18),
        noise(4, 1, 3, 3),
    ),
    "circular, of what moves": (
        lambda: flat(
            nn.GroupNorm(1, 1),
            nn.Conv2d(1, 1, 2, padding="same", padding_mode="circular"),
            nn.Tanh(),
            features=9,
        ),
        noise(4, 1, 3, 3),
    ),
    "reflect": (
        lambda: flat(nn.Conv1d(1, 2, 3, padding=1, padding_mode="reflect"), nn.Mish(), features=8),
        noise(4, 1, 4),
    ),
    "lstm": (lambda: Read(nn.LSTM(2, 2, batch_first=True), 6), noise(4, 3, 2)),
    "gru": (lambda: Read(nn.GRU(2, 2, batch_first=True), 4), noise(4, 2, 2)),
    "language": (Language, torch.tensor([[0, 1], [2, 1], [1, 1], [0, 2]])),
    "vision": (Vision, noise(4, 1, 4, 4)),
    "residual": (Residual, noise(4, 1, 3, 3)),
    "group norm": (
        lambda: flat(nn.Conv2d(1, 2, 2), nn.GroupNorm(1, 2), nn.Hardswish(), features=8),
        noise(4, 1, 3, 3),
    ),
    "instance norm": (
        lambda: flat(
            nn.Conv2d(1, 2, 2),
            nn.InstanceNorm2d(2, affine=True),
            nn.PReLU(),
            nn.AdaptiveMaxPool2d(1),
            features=2,
        ),
        noise(4, 1, 4, 4),
    ),
    "rms norm": (lambda: Seq(nn.Linear(5, 3), nn.RMSNorm(3), nn.Linear(3, 3)), None),
    "upsample": (
        lambda: flat(
            nn.Conv2d(1, 1, 2), nn.Upsample(scale_factor=2, mode="bilinear"), nn.CELU(), features=16
        ),
        noise(4, 1, 3, 3),
    ),
    "weight norm": (
        lambda: Seq(
            nn.utils.parametrizations.weight_norm(nn.Linear(5, 3)), nn.Softsign(), nn.Linear(3, 3)
        ),
        None,
    ),
}


def check(net: Any) -> None:
    h = exact_hessian(net, net.theta)
    with written_out():  # or torch has no double backward, or a wrong one
        truth = oracle(net)
    assert h.estimate is None
    assert h.kinks == 0
    assert h.radius < 1e-6 * max(1.0, float(truth.norm()))
    error = torch.linalg.matrix_norm(h.matrix - truth, 2)
    assert error <= 1e-11 * float(truth.norm())
    assert error <= 2 * h.radius + 1e-13


@pytest.mark.filterwarnings("ignore:Using padding='same' with even")
@pytest.mark.parametrize("name", MODELS)
def test_networks(name: str) -> None:
    make, x = MODELS[name]
    torch.manual_seed(0)
    check(network(make(), x=x))


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "smoothing": lambda o, y: F.cross_entropy(o, y.softmax(1), label_smoothing=0.1),
    "weights": lambda o, y: F.cross_entropy(o, y.argmax(1), torch.tensor([0.5, 1, 2]).double()),
    "ignored": lambda o, y: F.cross_entropy(o, y.argmax(1), ignore_index=9),
    "huber": F.huber_loss,
    "smooth l1": F.smooth_l1_loss,
    "bce": lambda o, y: F.binary_cross_entropy(o.sigmoid(), y.sigmoid()),
    "bce with logits": lambda o, y: F.binary_cross_entropy_with_logits(o, y.sigmoid()),
    "gaussian": lambda o, y: F.gaussian_nll_loss(o, y, F.softplus(o.flip(1)), full=True),
    "poisson": lambda o, y: F.poisson_nll_loss(o, y.abs()),
    "kl": lambda o, y: F.kl_div(F.log_softmax(o, 1), y.softmax(1), reduction="batchmean"),
    "cosine": lambda o, y: -F.cosine_similarity(o, y).mean(),
    "soft margin": lambda o, y: F.soft_margin_loss(o, y.sign()),
    "hinge": lambda o, y: F.multi_margin_loss(o, y.argmax(1), p=2),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses(name: str) -> None:
    model = Seq(nn.Linear(5, 3), nn.Tanh(), nn.Linear(3, 3))
    loss = LOSSES[name]
    check(network(model, loss))
