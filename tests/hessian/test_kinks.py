"""Decisions in doubt: those that move with the point are counted, equality included; no others."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from function_hessian import function_hessian
from hessian.oracle import network
from morsescape.hessian.dense import exact_hessian
from morsescape.nets import build
from morsescape.objective import Objective

DATA = torch.tensor([0.0, 1.0, -2.0], dtype=torch.float64)
ZERO = torch.zeros(3, dtype=torch.float64)
AWAY = torch.tensor([0.3, 0.9, -0.4], dtype=torch.float64)

AT_THE_KINK = {
    "where": lambda v: torch.where(v > 0, v**2, v**3).sum(),
    "elu": lambda v: F.elu(v).sum(),
    "relu": lambda v: (F.relu(v) ** 2).sum(),
    "leaky": lambda v: (F.leaky_relu(v) ** 2).sum(),
    "abs": lambda v: (v.abs() * v).sum(),
    "sign": lambda v: (v.sign() * v**2).sum(),
    "clamp": lambda v: (v.clamp(0.0, 1.0) ** 2).sum(),
    "hardtanh": lambda v: (F.hardtanh(v - 1) ** 2).sum(),
    "hardswish": lambda v: F.hardswish(v - 3).sum(),
    "maximum": lambda v: (torch.maximum(v, v**2) ** 2).sum(),
    "max": lambda v: v.max() ** 2,
    "amax": lambda v: (v + torch.zeros(3).double()).amax(0) ** 2,
    "sort": lambda v: (v.sort()[0] * DATA).sum() ** 2,
    "huber": lambda v: F.huber_loss(v + 1, ZERO),
    "l1": lambda v: F.smooth_l1_loss(v + 1, ZERO),
    "floor": lambda v: (v.floor() * v**2).sum(),
    "prelu": lambda v: (F.prelu(v, v[:1] + 0.25) ** 2).sum(),
    "norm": lambda v: v.norm(),
}


@pytest.mark.parametrize("name", AT_THE_KINK)
def test_exactly_at_a_kink_and_away_from_it(name: str) -> None:
    assert function_hessian(AT_THE_KINK[name], ZERO).kinks > 0
    away = function_hessian(AT_THE_KINK[name], AWAY)
    assert away.kinks == 0
    assert away.estimate is None


@pytest.mark.parametrize(
    "function",
    [
        lambda v: (torch.where(DATA == 0, v, v**2) * F.relu(DATA)).sum(),
        lambda v: (v**2).softmax(0)[0] + (v - v).logsumexp(0) + (0 * v).softmax(0)[1] ** 2,
        lambda v: F.relu(v + 1).square().sum() + F.relu(v - 1).square().sum(),
        lambda v: (v * (DATA * 0.1).clamp(0.0, 0.2)).sum() ** 2,
        lambda v: torch.where(torch.tensor([True, False, True]), v, -torch.inf).softmax(0)[0],
        lambda v: torch.logaddexp(v, v).sum(),
        lambda v: F.binary_cross_entropy_with_logits(v, ZERO),
        lambda v: F.cross_entropy(v.expand(2, 3) * 1.0, torch.tensor([1, 2])),
    ],
    ids=["data", "softmax", "relu", "clamp of data", "mask", "logaddexp", "bce", "cross-entropy"],
)
def test_what_does_not_decide_is_not_counted(function) -> None:  # type: ignore[no-untyped-def]
    h = function_hessian(function, ZERO)
    assert (h.kinks, h.estimate) == (0, None)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("name", ["mlp2", "mlp3", "cnn"])
def test_the_papers_networks_have_none(name: str, activation: str) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(6, 1, 8, 8, generator=generator).relu()  # dark pixels
    model = build(name, image_shape=(8, 8), activation=activation)
    f = Objective(model, "cross_entropy", (x, torch.arange(6) % 10))
    assert f.enclosed_hessian(f.theta).kinks == 0


@pytest.mark.parametrize("activation", [nn.ReLU, nn.LeakyReLU, nn.ELU, nn.PReLU, nn.Hardtanh])
def test_dead_and_undecided_units_of_a_network(activation: type[nn.Module]) -> None:
    net = network(nn.Sequential(nn.Linear(5, 3), activation(), nn.Linear(3, 3)))
    assert exact_hessian(net, net.theta).kinks == 0
    theta = net.theta.clone()
    edge = -1.0 if activation is nn.Hardtanh else 0.0
    theta[:5], theta[15] = 0.0, edge  # the first unit is at its threshold on every sample
    assert exact_hessian(net, theta).kinks >= 7
