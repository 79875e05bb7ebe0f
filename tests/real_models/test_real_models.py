"""What people train, end to end: derivatives against double backward, inertia with its status."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import morsescape as ms
from real_models import models
from strangers.truth import labels, near, no_false_sign, normal, seeded, truth

Status = ms.InertiaStatus
DECIDED = (Status.PROVED, Status.UNDECIDED)
ANY = (*DECIDED, Status.ESTIMATE)


class Case(NamedTuple):
    """A model, its loss and data; what it is by plain torch; what status may come."""

    make: Callable[[], nn.Module]
    loss: Any
    data: Any
    value: Callable[[nn.Module], Tensor]
    allowed: tuple[Status, ...] = DECIDED


def classified(
    make: Callable[[], nn.Module], x: Tensor, y: Tensor, allowed: tuple[Status, ...] = DECIDED
) -> Case:
    x64 = x.double() if x.is_floating_point() else x
    return Case(make, nn.CrossEntropyLoss(), (x, y), lambda m: F.cross_entropy(m(x64), y), allowed)


def fitted(
    make: Callable[[], nn.Module], x: Tensor, y: Tensor, allowed: tuple[Status, ...] = DECIDED
) -> Case:
    return Case(
        make, nn.MSELoss(), (x, y), lambda m: F.mse_loss(m(x.double()), y.double()), allowed
    )


TEXT = torch.tensor([[0, 3, 1, 2, 5], [2, 2, 4, 0, 1], [5, 1, 0, 3, 3], [4, 0, 5, 1, 2]])
WORDS = torch.arange(18).view(6, 3) * 7 % 5
BITS = (normal(7, 6, seed=4) > 0).float()
NOISE = normal(7, 2, seed=5)

CASES = {
    "language model": classified(models.Language, TEXT[:, :3], TEXT[:, 1:4]),
    "vision transformer": classified(models.Vision, normal(4, 1, 4, 4), labels(4, 3)),
    "residual network": classified(models.residual_network, normal(5, 1, 4, 4), labels(5, 3)),
    "mixer": classified(models.Mixer, normal(6, 4, 3), labels(6, 3)),
    "mixture of experts": classified(models.Experts, normal(9, 4), labels(9, 3)),
    "U-net": fitted(models.UNet, normal(3, 1, 4, 4), normal(3, 1, 4, 4, seed=2)),
    "graph network": classified(models.Graph, normal(6, 5, 3), labels(6, 3)),
    "deep set": classified(models.DeepSet, normal(6, 4, 3), labels(6, 3)),
    "variational autoencoder": Case(
        models.Autoencoder, models.evidence, ({"x": BITS, "noise": NOISE}, BITS),
        lambda m: models.evidence(m(BITS.double(), NOISE.double()), BITS.double()),
    ),
    "LSTM": classified(lambda: models.Recurrent(nn.LSTM), WORDS, labels(6, 3), ANY),
    "GRU": classified(lambda: models.Recurrent(nn.GRU), WORDS, labels(6, 3), ANY),
    "physics": fitted(
        models.Physics, torch.linspace(0, 2, 12)[:, None], torch.zeros(12, 2), ANY
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_end_to_end(name: str, unchecked: None) -> None:
    case = CASES[name]
    model = seeded(case.make, 1)
    kept = {k: v.clone() for k, v in model.state_dict().items()}
    f = ms.Objective(model, case.loss, case.data, l2=1e-3)
    assert 50 <= f.dim <= 4000
    together = 256 if f.dim > 1000 else None  # torch cannot batch every double backward
    expected = truth(lambda: seeded(case.make, 1), case.value, together)
    expected = type(expected)(
        expected.value + 1e-3 * float(f.theta @ f.theta),
        expected.gradient + 2e-3 * f.theta,
        expected.hessian + 2e-3 * torch.eye(f.dim, dtype=torch.float64),
    )
    theta, v = f.theta, normal(f.dim, seed=3).double()
    near(f.value(theta), expected.value)
    near(f.gradient(theta), expected.gradient)
    near(f.hvp(theta, v), expected.hessian @ v)
    enclosed = f.hessian_at(theta)
    near(enclosed.dense(), expected.hessian)
    result = ms.inertia(enclosed)
    no_false_sign(result, expected)
    assert result.status in case.allowed, result
    if result.status in DECIDED:
        off = enclosed.dense() - expected.hessian
        largest = torch.linalg.eigvalsh(off.t() @ off)[-1].clamp(min=0).sqrt()
        assert float(largest) <= enclosed.radius + 1e-10
        # Blocks of attention and normalisation widen what is carried from block to block.
        assert result.radius < 1e-3
    beyond = expected.eigenvalues.abs() > max(2 * result.radius, 1e-9)
    counted = result.negative[0] + result.positive[0]
    assert counted >= int(beyond.sum()), result
    assert all(torch.equal(v, kept[k]) for k, v in model.state_dict().items())


@pytest.mark.parametrize("name", ["mixture of experts", "mixer", "physics"])
def test_a_hundred_steps_and_a_search(name: str, unchecked: None) -> None:
    """After some training the search says honestly what it found."""
    case = CASES[name]
    f = ms.Objective(seeded(case.make, 1), case.loss, case.data, l2=1e-2)
    found = ms.find_critical_point(f, max_steps=60)
    assert f.value(found.theta) <= f.value(f.theta)
    assert found.grad_norm == pytest.approx(float(f.gradient(found.theta).norm()), abs=1e-9)
    if "PROVED" in repr(found.status) and found.certificate is not None:
        assert found.certificate.index[0] <= found.index <= found.certificate.index[1]  # type: ignore[operator]
