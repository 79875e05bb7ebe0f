"""A loss is what it is on all samples, whatever it looks like on the first few."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import morsescape as ms
from strangers.truth import (
    agrees,
    clear,
    labels,
    normal,
    plain,
    right_or_refused,
    seeded,
    truth,
)

N = 30
SORTED = (torch.arange(N) >= 24).long()  # the second class comes last
LATE = torch.cat([labels(20), torch.full((10,), -100)])  # no label at the end
EARLY = torch.cat([torch.full((8,), -100), labels(22)])  # none at the beginning
KEPT = (torch.arange(N) % 7 != 6) & (torch.arange(N) > 4)


def small() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2))


class Weighted(nn.Module):
    """A mean weighted by class, with the weights in a buffer, as float32."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weights", torch.tensor([0.3, 4.0]))

    def forward(self, output: Tensor, y: Tensor) -> Tensor:
        w = self.weights[y].to(output.dtype)
        return (w * F.cross_entropy(output, y, reduction="none")).sum() / w.sum()


def each(output: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(output, y, reduction="none")


def masked(output: Tensor, y: Tensor) -> Tensor:
    keep = (y >= 0).to(output.dtype)
    return (each(output, y.clamp(min=0)) * keep).sum() / keep.sum().clamp(min=1)


def focal(output: Tensor, y: Tensor) -> Tensor:
    loss = each(output, y)
    w = (1 - torch.exp(-loss)) ** 2
    return (w * loss).sum() / w.sum()


def contrastive(output: Tensor, y: Tensor) -> Tensor:
    z = output / (1 + output.square().sum(1, keepdim=True)).sqrt()
    same = (y[:, None] == y[None]).to(z.dtype)
    return -((z @ z.t()).log_softmax(1) * same).sum() / same.sum()


def dice(output: Tensor, y: Tensor) -> Tensor:
    p = output.softmax(1)[:, 1]
    return 1 - (2 * (p * y).sum() + 1) / (p.sum() + y.sum() + 1)


def correlation(output: Tensor, y: Tensor) -> Tensor:
    a, b = output[:, 0] - output[:, 0].mean(), y[:, 0] - y[:, 0].mean()
    return 1 - (a * b).sum() / (a.square().sum() * b.square().sum()).sqrt()


def cox(output: Tensor, y: Tensor) -> Tensor:
    return -(output[:, 0] - output[:, 0].logcumsumexp(0)).mean()


WEIGHTS = torch.tensor([1.0, 12.0])
CLASSES = {
    "class weights": (nn.CrossEntropyLoss(weight=WEIGHTS.double()), SORTED),
    "class weights and smoothing": (
        nn.CrossEntropyLoss(weight=WEIGHTS.double(), label_smoothing=0.1), SORTED,
    ),
    "ignored late": (nn.CrossEntropyLoss(), LATE),
    "ignored early": (nn.CrossEntropyLoss(), EARLY),
    "ignored, another index": (nn.CrossEntropyLoss(ignore_index=1), SORTED),
    "ignored by name": (F.cross_entropy, EARLY),
    "weights in a buffer": (Weighted(), SORTED),
    "nll with weights": (
        lambda o, y: F.nll_loss(o.log_softmax(1), y, WEIGHTS.to(o.dtype)), SORTED,
    ),
    "masked mean": (masked, EARLY),
    "masked mean, sorted": (masked, LATE),
    "focal, normalised": (focal, SORTED),
    "contrastive": (contrastive, labels(N, 3)),
    "dice": (dice, SORTED),
    "root of the mean": (lambda o, y: (1 + each(o, y).mean()).sqrt(), SORTED),
    "variance over samples": (lambda o, y: each(o, y).mean() + each(o, y).var(), SORTED),
    "per class, then the mean": (
        lambda o, y: (each(o, y)[y == 0].mean() + each(o, y)[y == 1].mean()) / 2, SORTED,
    ),
    "softmax over samples": (lambda o, y: torch.logsumexp(each(o, y) * 3, 0) / 3, SORTED),
}  # fmt: skip
NUMBERS = {
    "pos_weight": lambda o, y: F.binary_cross_entropy_with_logits(
        o, (y > 0).to(o.dtype), pos_weight=torch.tensor([1.0, 9.0]).to(o.dtype)
    ),
    "pos_weight by module": lambda o, y: nn.BCEWithLogitsLoss(
        pos_weight=torch.tensor([2.0, 9.0]).to(o.dtype)
    )(o, (y > 1).to(o.dtype)),
    "missing targets": lambda o, y: (
        (o - y).square()[(y[:, 0] > -0.5)].sum() / ((y[:, 0] > -0.5).sum() * 2)
    ),
    "relative error": lambda o, y: (o - y).square().sum() / y.square().sum(),
    "root mean square": lambda o, y: (o - y).square().mean().sqrt(),
    "correlation": correlation,
    "partial likelihood": cox,
    "mean and sum over outputs": lambda o, y: (o - y).square().sum(1).mean(),
    "mean twice": lambda o, y: (o - y).square().mean(0).mean(),
}


@pytest.mark.parametrize("name", CLASSES)
def test_losses_of_labels(name: str) -> None:
    loss, y = CLASSES[name]
    data = normal(N, 3), y
    agrees(ms.Objective(seeded(small), loss, data), truth(small, plain(loss, data)))


@pytest.mark.parametrize("name", NUMBERS)
def test_losses_of_numbers(name: str) -> None:
    loss = NUMBERS[name]
    y = torch.cat([normal(20, 2, seed=1).abs(), normal(10, 2, seed=2)])  # the signs come late
    data = normal(N, 3), y
    agrees(ms.Objective(seeded(small), loss, data), truth(small, plain(loss, data)))


SUMS = [
    nn.MSELoss(reduction="sum"),
    lambda o, y: (o - y).square().sum(),
    lambda o, y: (o - y).square().sum() / 100,
]


@pytest.mark.parametrize("loss", SUMS)
def test_a_sum_is_not_taken_for_a_mean(loss: Any) -> None:
    with pytest.raises(ms.ArgumentError, match="expected the mean over the samples") as refusal:
        ms.Objective(seeded(small), loss, (normal(N, 3), normal(N, 2)))
    clear(refusal.value, "mean")


@pytest.mark.parametrize("name", ["class weights", "ignored", "masked", "contrastive"])
def test_ratios_over_many_chunks(name: str) -> None:
    """So many images that they do not pass through a convolution at once."""

    def make() -> nn.Module:
        return nn.Sequential(nn.AvgPool2d(4), nn.Conv2d(1, 1, 4), nn.Flatten(), nn.Linear(1, 2))

    x, y = normal(1100, 1, 16, 16), (torch.arange(1100) >= 1000).long()
    losses = {
        "class weights": nn.CrossEntropyLoss(weight=WEIGHTS.double()),
        "ignored": nn.CrossEntropyLoss(),
        "masked": masked,
        "contrastive": lambda o, y: (o - o.mean(0)).square().mean() + each(o, y).mean(),
    }
    loss = losses[name]
    if name in ("ignored", "masked"):
        y[200:700] = -100
    expected = truth(make, plain(loss, (x, y)))
    f = ms.Objective(seeded(make), loss, (x, y))
    v = normal(f.dim, seed=3).double()
    assert f.value(f.theta) == pytest.approx(expected.value, rel=1e-12)
    assert (f.gradient(f.theta) - expected.gradient).abs().max() < 1e-12
    assert (f.hvp(f.theta, v) - expected.hessian @ v).abs().max() < 1e-11
    assert (f.hessian(f.theta) - expected.hessian).abs().max() < 1e-11


class Mixing(nn.Module):
    """Its samples look at each other, but only where one of them is large."""

    def __init__(self) -> None:
        super().__init__()
        self.l = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.l(x))
        return torch.where(x[:, :1] > 5, h - h.mean(0), h)


class Unit(nn.Module):
    """Divides by the largest output of its batch."""

    def __init__(self) -> None:
        super().__init__()
        self.l = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.l(x)
        return h / (1 + h.detach().abs().max() * (h.abs().max() > 4))


def batch_statistics() -> nn.Module:
    norm = nn.BatchNorm1d(3, track_running_stats=False)
    return nn.Sequential(nn.Linear(3, 3), norm, nn.Linear(3, 2)).eval()


MIXING = {"late mixing": Mixing, "largest of the batch": Unit, "batch statistics": batch_statistics}


@pytest.mark.parametrize("name", MIXING)
def test_a_model_whose_samples_see_each_other(name: str) -> None:
    make, x = MIXING[name], normal(N, 3)
    x[-1] = 9.0
    data = x, labels(N)
    right_or_refused(
        lambda: ms.Objective(seeded(make), "cross_entropy", data),
        truth(make, plain("cross_entropy", data)),
        "sample", "batch", "detach", "gradient",
    )  # fmt: skip


def test_a_bad_label_far_down_is_found() -> None:
    y = labels(N)
    y[-2] = 5
    with pytest.raises(ms.MorsescapeError, match="labels"):
        ms.Objective(seeded(small), nn.CrossEntropyLoss(), (normal(N, 3), y))
