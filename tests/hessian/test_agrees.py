"""Every model, and every loss on each way to end a model, agrees with double backward."""

from __future__ import annotations

import pytest
import torch

from hessian.oracle import network, oracle
from hessian.zoo_models import LOSSES, MODELS
from morsescape.hessian.dense import exact_hessian

# What has no error rule, so that the radius is an estimate and says so.
UNRULED: set[str] = set()


# How parameters meet the loss; what is inside a model does not depend on it.
ENDS = (
    "linear", "tanh, three layers", "residual", "tied", "scaled", "frozen", "attention",
    "embedding", "cnn, tanh, average",
)  # fmt: skip
CASES = [(m, loss) for m in MODELS for loss in LOSSES if loss == "cross_entropy" or m in ENDS]


@pytest.mark.parametrize(("name", "loss"), CASES)
def test_agrees_with_double_backward(name: str, loss: str) -> None:
    make, x = MODELS[name]
    net = network(make(), LOSSES[loss], x)
    truth = oracle(net)
    for bounded in (True, False) if loss == "cross_entropy" else (True,):
        h = exact_hessian(net, net.theta, bounded=bounded)
        error = (h.matrix - truth).abs().max()
        assert error <= 1e-10 * truth.abs().max(), (bounded, float(error))
        assert torch.equal(h.matrix, h.matrix.t())
        if bounded:
            assert (h.estimate is not None) == (name in UNRULED), h.estimate
            if h.estimate is None:  # the oracle rounds as well, by about as much
                assert torch.linalg.matrix_norm(h.matrix - truth, 2) <= 2 * h.radius + 1e-13
