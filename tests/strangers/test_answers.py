"""What an answer says is so: masks are finite, kinks are named, and no context changes it."""

from __future__ import annotations

from collections.abc import Callable
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
    no_false_sign,
    normal,
    plain,
    right_or_refused,
    seeded,
    truth,
)  # fmt: skip

T = 3
CAUSAL = torch.ones(T, T, dtype=torch.bool).triu(1)


class Masked(nn.Module):
    """Attention whose scores are put to minus infinity where it must not look."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.q, self.k, self.v, self.o = (nn.Linear(2, 2) for _ in range(4))
        self.register_buffer("bias", torch.zeros(T, T).masked_fill(CAUSAL, -torch.inf))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.q(x), self.k(x), self.v(x)
        if self.how == "is_causal":
            return self.o(F.scaled_dot_product_attention(q, k, v, is_causal=True)).mean(1)
        if self.how == "attn_mask":
            return self.o(F.scaled_dot_product_attention(q, k, v, attn_mask=~CAUSAL)).mean(1)
        scores = q @ k.transpose(1, 2)
        if self.how == "masked_fill":
            scores = scores.masked_fill(CAUSAL, -torch.inf)
        elif self.how == "masked_fill_":
            scores.masked_fill_(CAUSAL, -torch.inf)
        elif self.how == "where":
            scores = torch.where(CAUSAL, torch.full_like(scores, -torch.inf), scores)
        elif self.how == "where a number":
            scores = torch.where(CAUSAL, -float("inf"), scores)
        elif self.how == "added":
            scores = scores + self.bias
        elif self.how == "padding":  # by the data: a sample's last step is empty
            scores = scores.masked_fill((x[:, :, 0] < -0.8)[:, None] & CAUSAL, -torch.inf)
        elif self.how == "large":
            scores = scores.masked_fill(CAUSAL, torch.finfo(scores.dtype).min)
        elif self.how == "tril":
            scores = torch.tril(scores) + self.bias
        if self.how == "log_softmax":
            return self.o((scores + self.bias).log_softmax(-1).exp() @ v).mean(1)
        return self.o(scores.softmax(-1) @ v).mean(1)


MASKS = (
    "masked_fill", "masked_fill_", "where", "where a number", "added", "padding", "large", "tril",
    "log_softmax",
)  # fmt: skip


@pytest.mark.parametrize("how", MASKS)
def test_a_mask_is_not_infinite(how: str) -> None:
    def make() -> nn.Module:
        return Masked(how)

    data = normal(5, T, 2), labels(5)
    result = agrees(ms.Objective(seeded(make), "cross_entropy", data),
                    truth(make, plain("cross_entropy", data)))  # fmt: skip
    assert result.negative[0] > 0
    assert result.radius < 1e-6


@pytest.mark.parametrize("how", ["is_causal", "attn_mask"])
def test_masks_of_scaled_dot_product_attention(how: str) -> None:
    def make() -> nn.Module:
        return Masked(how)

    data = normal(5, T, 2), labels(5)
    right_or_refused(lambda: ms.Objective(seeded(make), "cross_entropy", data),
                     truth(make, plain("cross_entropy", data)), "attention")  # fmt: skip


class Choice(nn.Module):
    """Classes that a sample cannot have are masked in the logits."""

    def __init__(self) -> None:
        super().__init__()
        self.l = nn.Linear(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.l(x).masked_fill(torch.tensor([False, False, True]), -torch.inf)


def test_masked_logits() -> None:
    data = normal(6, 2), labels(6)
    agrees(ms.Objective(seeded(Choice), lambda o, y: F.cross_entropy(o, y), data),
           truth(Choice, plain(F.cross_entropy, data)))  # fmt: skip


def test_a_loss_that_is_infinite_is_said_to_be() -> None:
    f = ms.Objective.from_function(lambda t: torch.log(t[0]) + t[1] ** 2, 2)
    assert ms.inertia(f, torch.zeros(2).double()).status is ms.InertiaStatus.NOT_FINITE


# -- null directions ------------------------------------------------------------------------------

NULL: dict[str, tuple[Make, Tensor]] = {
    "two rectified layers": (
        lambda: nn.Sequential(
            nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 2)
        ),
        normal(5, 4),
    ),
    "dead inputs": (
        lambda: nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)),
        normal(5, 4) * torch.tensor([1.0, 0.0, 1.0, 0.0]),
    ),
}


@pytest.mark.parametrize("name", NULL)
def test_null_directions_do_not_depend_on_the_context(name: str) -> None:
    make, x = NULL[name]
    data = x, labels(5)
    f = ms.Objective(seeded(make), "cross_entropy", data)
    expected = ms.inertia(f)
    w = truth(make, plain("cross_entropy", data)).eigenvalues
    assert sum(expected.null_explained.values()) <= int((w.abs() < 1e-9).sum())
    for context in (torch.no_grad, torch.inference_mode):
        with context():
            result = ms.inertia(f)
        assert result.null_explained == expected.null_explained
        assert max(result.null_residuals.values()) < 1e-12
        assert result.negative == expected.negative
        assert result.null == expected.null
        assert result.status is expected.status


def test_what_a_ridge_makes_of_the_shift() -> None:
    """With λ > 0 no direction is null, and none is said to be."""
    make, x = NULL["dead inputs"]
    f = ms.Objective(seeded(make), "cross_entropy", (x, labels(5)), l2=0.01)
    result = ms.inertia(f)
    assert result.null == (0, 0)
    assert result.negative[0] + result.positive[0] == f.dim
    assert result.status is ms.InertiaStatus.PROVED
    assert "up to the null directions" not in str(result)


# -- what is not twice differentiable -------------------------------------------------------------


def features() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 2))


def hinge(o: Tensor, y: Tensor) -> Tensor:
    return (1 - o * y.sign()).clamp(min=0).mean()


KINKED: dict[str, Any] = {
    "l1": F.l1_loss,
    "l1 by module": nn.L1Loss(),
    "absolute value": lambda o, y: (o - y).abs().mean(),
    "hinge": hinge,
    "hinge by relu": lambda o, y: torch.relu(1 - o * y.sign()).mean(),
    "pinball": lambda o, y: torch.maximum(0.2 * (y - o), 0.8 * (o - y)).mean(),
    "pinball by where": lambda o, y: torch.where(y > o, 0.2 * (y - o), 0.8 * (o - y)).mean(),
    "huber": nn.HuberLoss(),
    "smooth l1": F.smooth_l1_loss,
    "margin": lambda o, y: F.margin_ranking_loss(o[:, 0], o[:, 1], y[:, 0].sign(), 0.5),
    "hinge embedding": lambda o, y: F.hinge_embedding_loss(o, y.sign()),
    "triplet": lambda o, y: F.triplet_margin_loss(o, y, -y),
    "largest": lambda o, y: (o - y).square().amax(1).mean(),
    "largest, by max": lambda o, y: (o - y).square().max(1).values.mean(),
    "norm": lambda o, y: (o - y).norm(dim=1).mean(),
    "topk": lambda o, y: (o - y).square().topk(1, 1).values.mean(),
    "sort": lambda o, y: (o.sort(1).values - y).square().mean(),
    "clipped": lambda o, y: (o - y).clamp(-1, 1).square().mean(),
    "minimum": lambda o, y: torch.minimum(o.square(), (o - y).square()).mean(),
    "sign": lambda o, y: (o * o.sign() - y).square().mean(),
}


@pytest.mark.parametrize("name", KINKED)
def test_kinks_of_losses_are_named(name: str) -> None:
    data = normal(7, 3), normal(7, 2, seed=5)
    f = ms.Objective(seeded(features), KINKED[name], data)
    result = ms.inertia(f)
    no_false_sign(result, truth(features, plain(KINKED[name], data)))
    assert result.not_smooth, result
    assert "not twice differentiable" in str(result)


def after(layer: nn.Module, width: int = 4) -> Make:
    return lambda: nn.Sequential(nn.Linear(3, 4), layer, nn.Flatten(), nn.Linear(width, 2))


def pooled(layer: nn.Module, width: int) -> Make:
    unflatten = nn.Unflatten(1, (1, 4))
    return lambda: nn.Sequential(
        nn.Linear(3, 4), unflatten, layer, nn.Flatten(), nn.Linear(width, 2)
    )


class Maxout(nn.Module):
    def forward(self, h: Tensor) -> Tensor:
        return h.view(len(h), 2, 2).max(2).values


class Own(nn.Module):
    def __init__(self, op: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.op = op

    def forward(self, h: Tensor) -> Tensor:
        return self.op(h)


KINKED_LAYERS: dict[str, Make] = {
    "relu": after(nn.ReLU()),
    "relu6": after(nn.ReLU6()),
    "leaky relu": after(nn.LeakyReLU()),
    "prelu": after(nn.PReLU()),
    "rrelu": lambda: after(nn.RReLU())().eval(),
    "elu": after(nn.ELU()),
    "celu": after(nn.CELU(2.0)),
    "selu": after(nn.SELU()),
    "hardtanh": after(nn.Hardtanh()),
    "hardswish": after(nn.Hardswish()),
    "hardsigmoid": after(nn.Hardsigmoid()),
    "hardshrink": after(nn.Hardshrink()),
    "softshrink": after(nn.Softshrink()),
    "softsign": after(nn.Softsign()),
    "threshold": after(nn.Threshold(0.1, 0.0)),
    "max-pooling": pooled(nn.MaxPool1d(2), 2),
    "adaptive max-pooling": pooled(nn.AdaptiveMaxPool1d(2), 2),
    "maxout": after(Maxout(), 2),
    "abs": after(Own(torch.abs)),
    "sorted": after(Own(lambda h: h.sort(1).values)),
    "median": after(Own(lambda h: h - h.median(1, keepdim=True).values)),
    "comparison": after(Own(lambda h: torch.where(h > 0.2, h * h, h))),
    "indexing by a mask": after(Own(lambda h: h * (h > h.mean(1, keepdim=True)))),
    "cummax": after(Own(lambda h: h.cummax(1).values)),
}
SMOOTH_LAYERS: dict[str, Make] = {
    "tanh": after(nn.Tanh()),
    "softplus": after(nn.Softplus()),
    "gelu": after(nn.GELU()),
    "gelu, tanh": after(nn.GELU("tanh")),
    "silu": after(nn.SiLU()),
    "mish": after(nn.Mish()),
    "logsigmoid": after(nn.LogSigmoid()),
    "layer norm": after(nn.LayerNorm(4)),
    "softmax": after(nn.Softmax(1)),
    "group norm": pooled(nn.GroupNorm(1, 1), 4),
    "average pooling": pooled(nn.AvgPool1d(2), 2),
    "mask of the data": after(Own(lambda h: h.tanh() * (torch.arange(4) < 2))),
    "silu by hand": after(Own(lambda h: torch.sigmoid(h) * h)),
}


@pytest.mark.parametrize("name", KINKED_LAYERS)
def test_kinks_of_layers_are_named(name: str) -> None:
    result = ms.inertia(ms.Objective(seeded(KINKED_LAYERS[name]), "mse",
                                     (normal(7, 3), normal(7, 2, seed=5))))  # fmt: skip
    assert result.not_smooth, result


@pytest.mark.parametrize("name", SMOOTH_LAYERS)
def test_smooth_layers_are_not(name: str) -> None:
    result = ms.inertia(ms.Objective(seeded(SMOOTH_LAYERS[name]), "mse",
                                     (normal(7, 3), normal(7, 2, seed=5))))  # fmt: skip
    assert result.not_smooth == ()
    assert result.kinks == 0


@pytest.mark.parametrize("loss", [nn.MSELoss(), nn.BCEWithLogitsLoss(), nn.SoftMarginLoss()])
def test_smooth_losses_are_not(loss: nn.Module) -> None:
    y = (normal(7, 2, seed=5) > 0).float()
    f = ms.Objective(seeded(features), loss, (normal(7, 3), y))
    assert ms.inertia(f).not_smooth == ()
