"""Layers and losses of torch's: right, or refused by their own name."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import morsescape as ms
from strangers.truth import (
    Make,
    agrees,
    labels,
    normal,
    plain,
    right_or_refused,
    seeded,
    truth,
)  # fmt: skip

N = 5
REALS, STEPS = normal(N, 3), normal(3, 2, 2)


class Last(nn.Module):
    """The last step of a recurrent layer."""

    def __init__(self, layer: nn.Module, width: int = 2) -> None:
        super().__init__()
        self.r, self.o = layer, nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.o(self.r(x)[0][:, -1])


class CellByCell(nn.Module):
    def __init__(self, kind: type[nn.Module]) -> None:
        super().__init__()
        self.c, self.o = kind(2, 2), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        state = None
        for step in x.unbind(1):
            state = self.c(step, state)
        return self.o(state[0] if isinstance(state, tuple) else state)


class Turned(nn.Module):
    """A spatial transformer."""

    def __init__(self, mode: str, padding: str) -> None:
        super().__init__()
        self.t, self.o, self.mode, self.padding = nn.Linear(9, 6), nn.Linear(9, 2), mode, padding

    def forward(self, x: Tensor) -> Tensor:
        grid = F.affine_grid(torch.tanh(self.t(x.flatten(1))).view(-1, 2, 3), x.shape,
                             align_corners=False)  # fmt: skip
        h = F.grid_sample(x, grid, self.mode, self.padding, align_corners=False)
        return self.o(h.flatten(1))


def convolved(layer: nn.Module, width: int) -> Make:
    return lambda: nn.Sequential(layer, nn.Tanh(), nn.Flatten(), nn.Linear(width, 2))


def padded_by(mode: str) -> Make:
    return lambda: nn.Sequential(
        nn.Conv2d(1, 1, 3, padding=1, padding_mode=mode), nn.Tanh(), nn.Flatten(), nn.Linear(9, 2)
    )


PICTURES = normal(4, 1, 3, 3)
LAYERS: dict[str, tuple[Make, Tensor]] = {
    # One way: real_models has an LSTM and a GRU as they are used, test_batch_dimension a GRU.
    "lstm, both ways": (lambda: Last(nn.LSTM(2, 1, batch_first=True, bidirectional=True)), STEPS),
    "rnn": (lambda: Last(nn.RNN(2, 2, batch_first=True)), STEPS),
    "rnn, rectified": (lambda: Last(nn.RNN(2, 2, nonlinearity="relu", batch_first=True)), STEPS),
    "lstm cell": (lambda: CellByCell(nn.LSTMCell), STEPS),
    "gru cell": (lambda: CellByCell(nn.GRUCell), STEPS),
    "rnn cell": (lambda: CellByCell(nn.RNNCell), STEPS),
    "circular padding": (padded_by("circular"), PICTURES),
    "reflected padding": (padded_by("reflect"), PICTURES),
    "replicated padding": (padded_by("replicate"), PICTURES),
    "circular padding by function": (
        lambda: nn.Sequential(
            nn.CircularPad2d(1), nn.Conv2d(1, 1, 4), nn.Flatten(), nn.Linear(4, 2)
        ),
        PICTURES,
    ),
    "grid_sample": (lambda: Turned("bilinear", "zeros"), PICTURES),
    "grid_sample, border": (lambda: Turned("bilinear", "border"), PICTURES),
    "grid_sample, bicubic": (lambda: Turned("bicubic", "zeros"), PICTURES),
    "bilinear upsampling": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 1, 2),
            nn.Upsample(scale_factor=2, mode="bilinear"),
            nn.Tanh(),
            nn.Flatten(),
            nn.Linear(16, 2),
        ),
        PICTURES,
    ),
    "adaptive average": (
        convolved(nn.Sequential(nn.Conv2d(1, 2, 2), nn.AdaptiveAvgPool2d(1)), 2),
        PICTURES,
    ),
    "lp pooling": (convolved(nn.Sequential(nn.Conv2d(1, 1, 2), nn.LPPool2d(2, 2)), 1), PICTURES),
    "local response": (
        convolved(nn.Sequential(nn.Conv2d(1, 2, 2), nn.LocalResponseNorm(2)), 8),
        PICTURES,
    ),
    "instance norm": (
        convolved(nn.Sequential(nn.Conv2d(1, 2, 2), nn.InstanceNorm2d(2)), 8),
        PICTURES,
    ),
    "unfold": (convolved(nn.Sequential(nn.Unfold(2), nn.Linear(4, 2)), 8), PICTURES),
    "pixel shuffle": (
        convolved(nn.Sequential(nn.Conv2d(1, 4, 2), nn.PixelShuffle(2)), 16),
        PICTURES,
    ),
    "glu": (convolved(nn.Sequential(nn.Flatten(), nn.Linear(9, 4), nn.GLU()), 2), PICTURES),
    "softmin": (
        convolved(nn.Sequential(nn.Flatten(), nn.Linear(9, 3), nn.Softmin(1)), 3),
        PICTURES,
    ),
    "tanhshrink": (
        convolved(nn.Sequential(nn.Flatten(), nn.Linear(9, 3), nn.Tanhshrink()), 3),
        PICTURES,
    ),
    "fft": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(9, 4), Spectrum(), nn.Linear(3, 2)),
        PICTURES,
    ),
    "encoder layer": (
        lambda: nn.Sequential(
            nn.TransformerEncoderLayer(2, 1, 3, 0.0, batch_first=True),
            nn.Flatten(),
            nn.Linear(4, 2),
        ).eval(),
        STEPS,
    ),
    "multihead attention": (lambda: SelfAttention(), STEPS),
}
KNOWN = {"encoder layer", "multihead attention"}  # their kernels may have no second derivative


class Spectrum(nn.Module):
    def forward(self, h: Tensor) -> Tensor:
        return torch.fft.rfft(h).abs().square()


class SelfAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.m, self.o = nn.MultiheadAttention(2, 1, batch_first=True), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.o(self.m(x, x, x)[0].mean(1))


@pytest.mark.parametrize("name", LAYERS)
def test_layers_are_counted(name: str) -> None:
    """Right; only attention may instead be refused, in words about attention."""
    make, x = LAYERS[name]
    data = x, labels(len(x))
    expected = truth(make, plain("cross_entropy", data))

    def make_f() -> ms.Objective:
        return ms.Objective(seeded(make), "cross_entropy", data)

    if name in KNOWN:
        right_or_refused(make_f, expected, "attention")
    else:
        result = agrees(make_f(), expected)
        if result.status is ms.InertiaStatus.ESTIMATE:
            assert result.estimate


# -- losses ---------------------------------------------------------------------------------------

D = torch.distributions
PLUS = normal(N, 2, seed=8).abs() + 0.1
BINARY = (normal(N, 2, seed=8) > 0).float()
Y = normal(N, 2, seed=8)


def gaussian(o: Tensor, y: Tensor) -> Tensor:
    return F.gaussian_nll_loss(o[:, :1], y[:, :1], F.softplus(o[:, 1:]) + 0.1)


def evidence(o: Tensor, y: Tensor) -> Tensor:
    """Of a variational family: the distance to a standard normal, and the fit."""
    q = D.Normal(o[:, :1], F.softplus(o[:, 1:]))
    return (
        D.kl_divergence(q, D.Normal(torch.zeros_like(y[:, :1]), 1.0)).mean()
        + (o - y).square().mean()
    )


LOSSES: dict[str, tuple[Any, Tensor]] = {
    "huber": (F.huber_loss, Y),
    "huber by module": (nn.HuberLoss(delta=0.4), Y),
    "smooth l1": (nn.SmoothL1Loss(beta=0.5), Y),
    "soft margin": (F.soft_margin_loss, BINARY * 2 - 1),
    "multilabel soft margin": (F.multilabel_soft_margin_loss, BINARY),
    "gaussian nll": (gaussian, Y),
    "gaussian nll by module": (lambda o, y: nn.GaussianNLLLoss()(o, y, o.square() + 0.5), Y),
    "gaussian nll, fixed": (
        lambda o, y: F.gaussian_nll_loss(o, y, torch.ones_like(o), full=True),
        Y,
    ),
    "poisson nll": (nn.PoissonNLLLoss(), PLUS),
    "poisson nll, full": (nn.PoissonNLLLoss(full=True), PLUS * 3),
    "kl": (lambda o, y: F.kl_div(o.log_softmax(1), y.softmax(1), reduction="batchmean"), Y),
    "bce": (lambda o, y: F.binary_cross_entropy(torch.sigmoid(o), y), BINARY),
    "bce with logits": (nn.BCEWithLogitsLoss(), BINARY),
    "cosine embedding": (lambda o, y: F.cosine_embedding_loss(o, y, y[:, 0].sign()), Y),
    "log cosh": (lambda o, y: torch.log(torch.cosh(o - y)).mean(), Y),
    "student": (lambda o, y: torch.log1p((o - y).square()).mean(), Y),
    "Normal": (lambda o, y: -D.Normal(o[:, :1], F.softplus(o[:, 1:])).log_prob(y[:, :1]).mean(), Y),
    "Laplace": (lambda o, y: -D.Laplace(o, 1.0).log_prob(y).mean(), Y),
    "Categorical": (lambda o, y: -D.Categorical(logits=o).log_prob((y[:, 0] > 0).long()).mean(), Y),
    "Bernoulli": (lambda o, y: -D.Bernoulli(logits=o).log_prob(y).mean(), BINARY),
    "Poisson": (lambda o, y: -D.Poisson(o.exp()).log_prob(y.round()).mean(), PLUS * 3),
    "Beta": (lambda o, y: -D.Beta(*F.softplus(o).unbind(1)).log_prob(y[:, 0].sigmoid()).mean(), Y),
    "StudentT": (lambda o, y: -D.StudentT(4.0, o, 1.0).log_prob(y).mean(), Y),
    "MultivariateNormal": (
        lambda o, y: -D.MultivariateNormal(o, torch.eye(2, dtype=o.dtype)).log_prob(y).mean(),
        Y,
    ),
    "evidence": (evidence, Y),
    "mixture": (
        lambda o, y: (
            -torch.logsumexp(
                torch.stack([-(o[:, :1] - y).square(), -(o[:, 1:] + y).square()]), 0
            ).mean()
        ),
        Y,
    ),
}


def small() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 2))


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_counted(name: str) -> None:
    loss, y = LOSSES[name]
    data = normal(N, 3), y
    result = agrees(ms.Objective(seeded(small), loss, data), truth(small, plain(loss, data)))
    if result.status is ms.InertiaStatus.ESTIMATE:
        assert result.estimate


def test_what_nobody_can_differentiate_twice_is_named() -> None:
    """Connectionist temporal classification has no second derivative in torch."""

    def make() -> nn.Module:
        return nn.Sequential(nn.Linear(3, 12), nn.Unflatten(1, (4, 3)), nn.LogSoftmax(2))

    def loss(o: Tensor, y: Tensor) -> Tensor:
        lengths = torch.full((len(y),), 4), torch.full((len(y),), 2)
        return F.ctc_loss(o.transpose(0, 1), y, *lengths, reduction="none").mean()

    y = torch.tensor([[1, 2], [2, 1], [1, 2], [2, 1], [1, 2]])
    with pytest.raises(ms.MorsescapeError) as refusal:
        ms.inertia(ms.Objective(seeded(make), loss, (REALS, y)))
    text = str(refusal.value)
    assert "ctc" in text, text
    assert "attention" not in text


def test_no_warning_of_a_fallback_comes_out() -> None:
    """Warnings are for what the user can change."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = normal(N, 3), Y
        for activation in (nn.Mish(), nn.Softplus(), nn.LogSigmoid(), nn.CELU()):
            model = nn.Sequential(nn.Linear(3, 2), activation, nn.Linear(2, 2))
            ms.inertia(ms.Objective(model, "mse", data))
