"""All images at once give what each gives by itself."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from morsescape import zoo
from morsescape.objective import Objective
from morsescape.paths import images as module
from morsescape.paths.images import Images, values_and_gradients
from networks import classifier, labelled, mlp


def around(f: Objective, count: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, f.dim, generator=generator, dtype=torch.float64)
    return f.theta + 0.3 * noise


def one_by_one(f: Objective, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    found = [f.value_and_gradient(point) for point in points]
    return torch.tensor([v for v, _ in found], dtype=torch.float64), torch.stack(
        [g for _, g in found]
    )


def check(f: Objective, points: torch.Tensor) -> None:
    values, gradients = values_and_gradients(f, points)
    true_values, true_gradients = one_by_one(f, points)
    assert torch.allclose(values, true_values, rtol=1e-13, atol=1e-14)
    assert torch.allclose(gradients, true_gradients, rtol=1e-11, atol=1e-13)


def convolution() -> Objective:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(8, 3)).eval()
    x, y = labelled(20, 16, 3)
    return Objective(model, "cross_entropy", (x.view(-1, 1, 4, 4), y), l2=0.01)


def without_bias() -> Objective:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(5, 4, bias=False), nn.Softplus(), nn.Linear(4, 3)).eval()
    return Objective(model, "mse", (labelled(20, 5, 3)[0], torch.zeros(20, 3)), l2=0.1)


def sequence() -> Objective:
    """A linear layer on inputs with a dimension between samples and features."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Flatten(), nn.Linear(8, 2)).eval()
    x = labelled(12, 6, 2)[0].view(12, 2, 3)
    return Objective(model, "cross_entropy", (x, labelled(12, 6, 2)[1]))


def whole_batch() -> Objective:
    def loss(output, target):
        return (output - target).square().mean().sqrt()

    x, _ = labelled(30, 5, 3)
    return Objective(mlp((5, 4, 3)), loss, (x, torch.ones(30, 3)))


class Viewed(nn.Module):
    """Asks for a view of what a linear layer gives on several places of a sample."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(3, 4), nn.Linear(8, 2)

    def forward(self, x):
        return self.last(self.first(x).tanh().view(len(x), -1))


def viewed() -> Objective:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Viewed()
    x, y = labelled(12, 6, 2)
    return Objective(model, "cross_entropy", (x.view(12, 2, 3), y))


def labels_of_places() -> Objective:
    """Classes in dimension 1 of the output, a label for each place."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Unflatten(1, (3, 4)))
    x, _ = labelled(15, 6, 2)
    return Objective(model, "cross_entropy", (x, torch.arange(60).view(15, 4) % 3))


def smoothed() -> Objective:
    loss = nn.CrossEntropyLoss(label_smoothing=0.1, ignore_index=1)
    return Objective(mlp((5, 4, 3)), loss, labelled(30, 5, 3))


LANDSCAPES = (
    classifier, convolution, without_bias, sequence, viewed, labels_of_places, smoothed, whole_batch
)  # fmt: skip


@pytest.mark.parametrize("make", LANDSCAPES, ids=lambda m: m.__name__)
def test_batched_is_one_by_one(make):
    f = make()
    images = Images(f)
    check(f, around(f, 7))
    images(around(f, 3))
    assert images.batched


def test_a_function_and_its_ridge():
    f = zoo.mueller_brown.objective().at_l2(0.7)
    check(f, torch.stack(zoo.mueller_brown.starts(5, seed=1)))


def test_chunks_of_samples_and_groups_of_images(monkeypatch):
    f = classifier(samples=50, l2=0.1)
    points = around(f, 9)
    monkeypatch.setattr(type(f.source), "chunk", property(lambda _: 8))
    monkeypatch.setattr(module, "_BYTES", 1)
    monkeypatch.setattr(module, "_IMAGES", 4)
    check(f, points)


class Branching(nn.Module):
    """Asks for a value, which a transform has not."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, -0.5]))

    def forward(self, x):
        scale = 1.0 if bool((self.weight**2).sum() > 0) else 2.0
        return (x @ self.weight * scale)[:, None]


def test_what_cannot_be_transformed_is_evaluated_one_by_one():
    f = Objective(Branching(), "mse", (torch.eye(2), torch.ones(2, 1)))
    images = Images(f)
    values, gradients = images(around(f, 4))
    true_values, true_gradients = one_by_one(f, around(f, 4))
    assert images.batched is False
    assert torch.equal(values, true_values)
    assert torch.equal(gradients, true_gradients)


def test_a_wrong_transform_is_noticed(monkeypatch):
    f = classifier()
    right = Images._at_once

    def wrong(self, points):
        values, gradients = right(self, points)
        return values, 1.001 * gradients

    monkeypatch.setattr(Images, "_at_once", wrong)
    images = Images(f)
    _, gradients = images(around(f, 5))
    assert images.batched is False
    assert torch.equal(gradients, one_by_one(f, around(f, 5))[1])


def test_what_is_not_finite_is_infinite():
    f = Objective.from_function(lambda t: torch.log(t[0]) + t[1], 2)
    values, _ = values_and_gradients(f, torch.tensor([[1.0, 2], [-1, 2]]).double())
    assert values.tolist() == [2.0, float("inf")]


def test_gradients_are_counted():
    images = Images(classifier())
    images(around(images.f, 5))
    first = images.gradients
    images(around(images.f, 5))
    assert first == 6  # one more, to compare with
    assert images.gradients == 11


def test_no_state_of_torch_is_left():
    f = classifier()
    points = around(f, 3).requires_grad_()
    with torch.no_grad():
        values_and_gradients(f, points)
        assert not torch.is_grad_enabled()
    assert points.grad is None
    assert torch._C._len_torch_function_stack() == 0
