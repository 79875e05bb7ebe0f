"""What draws random numbers is no function: it is refused, however rarely it draws."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import morsescape as ms
from strangers.truth import agrees, clear, labels, normal, plain, right_or_refused, seeded, truth

N = 40
NOISE = ("noise", "random", "same output", "training mode", "differ", "draw", "Dropout", "RReLU")


class Noisy(nn.Module):
    def __init__(self, noise: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.a, self.b, self.noise = nn.Linear(3, 3), nn.Linear(3, 2), noise

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.noise(torch.tanh(self.a(x))))


OWN = torch.Generator().manual_seed(5)


def drop_path(h: Tensor, rate: float) -> Tensor:
    keep = (torch.rand(len(h), 1) >= rate).to(h.dtype)
    return h * keep / (1 - rate)


def drop_batch(h: Tensor, rate: float) -> Tensor:
    """The whole layer is left out now and then."""
    return torch.zeros_like(h) if torch.rand(()) < rate else h


NOISES: dict[str, Callable[[Tensor], Tensor]] = {
    "stochastic depth, rare": lambda h: drop_path(h, 0.002),
    "stochastic depth of the whole batch, rare": lambda h: drop_batch(h, 0.01),
    "bernoulli": lambda h: h * torch.bernoulli(torch.full_like(h, 0.999)),
    "bernoulli in place": lambda h: h * torch.empty_like(h).bernoulli_(0.999),
    "dropout by function": lambda h: F.dropout(h, 0.001, training=True),
    "dropout by name": lambda h: torch.dropout(h, 0.001, True),
    "feature dropout": lambda h: F.dropout1d(h[None], 0.01, training=True)[0],
    "alpha dropout": lambda h: F.alpha_dropout(h, 0.01, training=True),
    "rrelu": lambda h: F.rrelu(h, training=True),
    "a trace of noise": lambda h: h + 1e-9 * torch.randn_like(h),
    "normal": lambda h: torch.normal(h, 0.01),
    "uniform in place": lambda h: h + torch.empty_like(h).uniform_(-1e-3, 1e-3),
    "gumbel": lambda h: F.gumbel_softmax(h, 0.5),
    "permuted": lambda h: h[:, torch.randperm(h.shape[1])],
    "multinomial": lambda h: h[:, torch.multinomial(torch.ones(3), 1)] + h,
    "random integers": lambda h: h * torch.randint(1, 3, (3,)),
    "Poisson": lambda h: h * (1 + torch.poisson(torch.full_like(h, 0.01))),
    "exponential": lambda h: h * torch.empty_like(h).exponential_(),
    "a generator of its own": lambda h: h + 0.1 * torch.rand(3, generator=OWN),
    "Python's random": lambda h: h * random.choice([1.0, 0.9]),
    "NumPy's random": lambda h: h * (1 + 0.1 * np.random.rand()),  # noqa: NPY002
    "NumPy's new generator": lambda h: h + torch.from_numpy(np.random.default_rng().random(3)),
    "fractional max-pooling": lambda h: (
        h
        + F.fractional_max_pool2d(h[:, None, :, None] * torch.arange(3), 1, 2).sum((1, 2, 3))[
            :, None
        ]
    ),
    "distributions": lambda h: torch.distributions.Normal(h, 1e-3).rsample(),
    "the clock": lambda h: h * (1 + time.perf_counter() % 1.0),
}


@pytest.mark.parametrize("name", NOISES)
def test_noise_is_refused_every_time(name: str) -> None:
    model = seeded(lambda: Noisy(NOISES[name]))
    for seed in range(3):
        torch.manual_seed(seed)
        with pytest.raises(ms.MorsescapeError) as refusal:
            ms.Objective(model, "cross_entropy", (normal(N, 3), labels(N)))
        clear(refusal.value, *NOISE, name)


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "dropout": lambda: nn.Dropout(0.001),
    "alpha dropout": lambda: nn.AlphaDropout(0.001),
    "rrelu": lambda: nn.RReLU(),
    "transformer layer": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 3)), nn.TransformerEncoderLayer(3, 1, 2, 0.01, batch_first=True),
        nn.Flatten(),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_layers_in_training_mode(name: str) -> None:
    model = nn.Sequential(nn.Linear(3, 3), LAYERS[name](), nn.Linear(3, 2)).train()
    with pytest.raises(ms.MorsescapeError) as refusal:
        ms.Objective(model, "cross_entropy", (normal(N, 3), labels(N)))
    clear(refusal.value, *NOISE, name)


class Attention(nn.Module):
    """Its dropout has no layer of its own."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.m, self.o = nn.MultiheadAttention(3, 1, dropout, batch_first=True), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        t = x[:, None]
        return self.o(self.m(torch.cat([t, t * 2], 1), t, t)[0].mean(1))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.r, self.o = nn.LSTM(3, 2, 2, dropout=0.05, batch_first=True), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.o(self.r(x[:, None].expand(-1, 3, -1))[0][:, -1])


@pytest.mark.filterwarnings("ignore:.*does not have any effect.*:UserWarning")
@pytest.mark.parametrize("make", [lambda: Attention(0.05), Recurrent], ids=["attention", "lstm"])
def test_dropout_inside_a_layer(make: Callable[[], nn.Module]) -> None:
    for seed in range(3):
        torch.manual_seed(seed)
        with pytest.raises(ms.MorsescapeError) as refusal:
            ms.Objective(make().train(), "cross_entropy", (normal(N, 3), labels(N)))
        clear(refusal.value, *NOISE)


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_what_does_not_draw_is_taken(rate: float) -> None:
    """Dropout of nothing in training mode, and any dropout in evaluation mode."""

    def make() -> nn.Module:
        model = nn.Sequential(nn.Linear(3, 2), nn.Dropout(rate), nn.Tanh(), nn.Linear(2, 2))
        return model.train(rate == 0)

    data = normal(N, 3), labels(N)
    agrees(ms.Objective(seeded(make), "cross_entropy", data),
           truth(make, plain("cross_entropy", data)))  # fmt: skip


def test_a_fixed_draw_is_a_constant() -> None:
    """Random features, drawn anew from the same seed in each call, or kept in a buffer."""

    class Features(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.l = nn.Linear(4, 2)
            self.register_buffer("w", torch.randn(3, 4))

        def forward(self, x: Tensor) -> Tensor:
            b = torch.rand(4, generator=torch.Generator().manual_seed(1), dtype=x.dtype)
            return self.l(torch.cos(x @ self.w + b))

    data = normal(N, 3), labels(N)
    right_or_refused(lambda: ms.Objective(seeded(Features), "cross_entropy", data),
                     truth(Features, plain("cross_entropy", data)), *NOISE)  # fmt: skip


LOSSES: dict[str, Any] = {
    "label noise": lambda o, y: F.cross_entropy(o + 1e-6 * torch.randn_like(o), y),
    "dropped samples": lambda o, y: (
        F.cross_entropy(o, y, reduction="none") * (torch.rand(len(y)) > 0.01)
    ).mean(),
    "a random shift": lambda o, y: F.cross_entropy(o * (1 + 1e-3 * random.random()), y),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_that_draws(name: str) -> None:
    model = seeded(lambda: nn.Linear(3, 2))
    with pytest.raises(ms.MorsescapeError) as refusal:
        ms.Objective(model, LOSSES[name], (normal(N, 3), labels(N)))
    clear(refusal.value, *NOISE, "loss")


@pytest.mark.parametrize(
    "fn",
    [
        lambda t: (t.square() * (1 + 1e-6 * torch.rand(2))).sum(),
        lambda t: t.square().sum() * (1 + random.random()),
        lambda t: F.dropout(t, 0.3).square().sum(),
    ],
    ids=["rand", "python", "dropout"],
)
def test_a_function_that_draws(fn: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(ms.MorsescapeError) as refusal:
        ms.inertia(ms.Objective.from_function(fn, 2), torch.ones(2).double())
    clear(refusal.value, *NOISE, "product")


def test_the_generators_of_the_process_are_not_moved() -> None:
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    state = torch.get_rng_state()
    data = normal(N, 3), labels(N)
    f = ms.Objective(seeded(lambda: nn.Linear(3, 2)), "cross_entropy", data, l2=0.1)
    ms.inertia(f)
    ms.find_critical_point(f)
    assert torch.equal(torch.get_rng_state(), state)
    assert random.getstate() == python
    after: Any = np.random.get_state()  # noqa: NPY002
    assert all(np.array_equal(a, b) for a, b in zip(after, numpy, strict=True))
