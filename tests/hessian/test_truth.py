"""The computed Hessian never leaves its radius around the 50-digit one."""

from __future__ import annotations

from collections.abc import Callable

import mpmath as mp
import numpy as np
import pytest
import torch
from torch import nn

from hessian import jets
from hessian.jets import ACTIVATIONS, Jet
from hessian.oracle import network
from morsescape.hessian.dense import exact_hessian
from morsescape.model.network import Network


def mlp_truth(net: Network, activation: str) -> np.ndarray:
    act = ACTIVATIONS[activation][1]

    def output(p: list[Jet], x: torch.Tensor) -> list[Jet]:
        h = [act(s) for s in jets.linear(x.tolist(), p[:9], p[9:12])]
        return jets.linear(h, p[12:18], p[18:20])

    return truth(net, output)


def cnn_truth(net: Network, activation: str, pool: str) -> np.ndarray:
    act = ACTIVATIONS[activation][1]

    def output(p: list[Jet], x: torch.Tensor) -> list[Jet]:
        h = jets.convolve(x[0].tolist(), p[:4], p[4])
        h = jets.pool([[act(s) for s in row] for row in h], pool)
        return jets.linear(h, p[5:13], p[13:15])

    return truth(net, output)


def truth(net: Network, output: Callable[[list[Jet], torch.Tensor], list[Jet]]) -> np.ndarray:
    p = jets.parameters(net.theta)
    losses = []
    for x, y in zip(net.x, net.y, strict=True):
        z = output(p, x)
        losses.append(
            jets.cross_entropy(z, int(y)) if y.ndim == 0 else jets.square_error(z, y.tolist())
        )
    return jets.total(losses).hess / mp.mpf(len(net.x))


def error(net: Network, true: np.ndarray, matrix: torch.Tensor) -> float:
    """Spectral norm of computed minus true; the subtraction in 50 digits."""
    off = [[float(mp.mpf(float(a)) - b) for a, b in zip(r, s, strict=True)]
           for r, s in zip(matrix.tolist(), true, strict=True)]  # fmt: skip
    return float(torch.linalg.matrix_norm(torch.tensor(off, dtype=torch.float64), 2))


def mlp(activation: str, loss: str, seed: int, dtype: torch.dtype = torch.float64) -> Network:
    model = nn.Sequential(nn.Linear(3, 3), ACTIVATIONS[activation][0](), nn.Linear(3, 2))
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(seed))
    return network(model, loss, x, classes=2, dtype=dtype, seed=seed)


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_radius_of_an_mlp_holds_the_truth(activation: str, seed: int, loss: str) -> None:
    net = mlp(activation, loss, seed)
    h = exact_hessian(net, net.theta)
    off = error(net, mlp_truth(net, activation), h.matrix)
    assert h.estimate is None
    assert off <= h.radius <= 1e5 * max(off, 1e-17)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("pool", ["avg", "max"])
def test_radius_of_a_cnn_holds_the_truth(pool: str, activation: str) -> None:
    kind = {"avg": nn.AvgPool2d, "max": nn.MaxPool2d}[pool]
    act = ACTIVATIONS[activation][0]
    model = nn.Sequential(nn.Conv2d(1, 1, 2), act(), kind(2), nn.Flatten(), nn.Linear(4, 2))
    x = torch.randn(3, 1, 5, 5, generator=torch.Generator().manual_seed(4))
    net = network(model, "cross_entropy", x, classes=2)
    h = exact_hessian(net, net.theta)
    off = error(net, cnn_truth(net, activation, pool), h.matrix)
    assert h.estimate is None
    assert off <= h.radius <= 1e5 * max(off, 1e-17)


@pytest.mark.parametrize("activation", ["tanh", "gelu"])
def test_radius_in_single_precision_is_wide_and_holds_the_truth(activation: str) -> None:
    net = mlp(activation, "cross_entropy", 5, torch.float32)
    h = exact_hessian(net, net.theta)
    off = error(net, mlp_truth(net, activation), h.matrix)
    assert h.estimate is None
    assert 1e-9 < off <= h.radius < 1e-3


def test_parameters_far_from_one() -> None:
    """Large weights saturate tanh and softmax; small ones reach subnormal numbers."""
    net = mlp("tanh", "cross_entropy", 6)
    for scale in (1e2, 1e-160):
        net.theta = net.theta * scale
        h = exact_hessian(net, net.theta)
        assert error(net, mlp_truth(net, "tanh"), h.matrix) <= h.radius
