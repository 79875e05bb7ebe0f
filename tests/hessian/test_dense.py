"""Closed forms, rows that are exactly zero, and honest failure."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from hessian.oracle import network, oracle
from morsescape.errors import ArgumentError
from morsescape.hessian.assembly import chunk_size
from morsescape.hessian.dense import exact_hessian
from morsescape.hessian.layers import linear_layers
from morsescape.hessian.plan import OUTPUTS, PARAMETERS, hessian_plan
from morsescape.hessian.tangents import choose
from morsescape.model.network import Network


def mlp(act: type[nn.Module] = nn.Tanh, sizes: tuple[int, int, int] = (5, 4, 3)) -> nn.Module:
    a, b, c = sizes
    return nn.Sequential(nn.Linear(a, b), act(), nn.Linear(b, c))


def with_bias(x: Tensor) -> Tensor:
    return torch.cat([x, torch.ones(len(x), 1)], 1).double()


def by_unit(matrix: Tensor, units: int, features: int) -> Tensor:
    """Reordered from (weights, biases) to one group of features + 1 per unit."""
    weight = torch.arange(units * features).view(units, features)
    bias = units * features + torch.arange(units)
    order = torch.cat([weight, bias[:, None]], 1).reshape(-1)
    return matrix[order][:, order]


def test_linear_regression_in_closed_form() -> None:
    net = network(nn.Linear(5, 3), "mse", samples=40)
    x = with_bias(net.x)
    true = torch.block_diag(*[2 * x.t() @ x / (40 * 3)] * 3)
    h = exact_hessian(net, net.theta)
    assert torch.linalg.matrix_norm(by_unit(h.matrix, 3, 5) - true, 2) <= 1e-13
    assert h.radius < 1e-12


def test_softmax_regression_in_closed_form() -> None:
    net = network(nn.Linear(5, 3), samples=40)
    x, p = with_bias(net.x), net.output(net.unflatten(net.theta), net.x).softmax(1)
    weights = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    true = torch.einsum("nij,np,nq->ipjq", weights, x, x).reshape(18, 18) / 40
    h = exact_hessian(net, net.theta)
    assert torch.linalg.matrix_norm(by_unit(h.matrix, 3, 5) - true, 2) <= 1e-13
    assert h.radius < 1e-12


def test_chunk_size_changes_nothing_beyond_the_radius() -> None:
    conv = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(32, 3))
    images = torch.randn(6, 1, 6, 6)
    for model, x, budgets in ((mlp(), None, (1, 8_000)), (conv, images, (40_000, 200_000))):
        net = network(model, x=x, samples=6)
        whole = exact_hessian(net, net.theta)
        for budget in budgets:
            plan = choose(net, linear_layers(net, net.theta))
            assert chunk_size(net, plan, budget) < 6
            parts = exact_hessian(net, net.theta, budget=budget)
            off = torch.linalg.matrix_norm(parts.matrix - whole.matrix, 2)
            assert off <= parts.radius + whole.radius


def test_progress_and_the_budget() -> None:
    net = network(mlp(), samples=30)
    plan = choose(net, linear_layers(net, net.theta))
    assert chunk_size(net, plan, 1) == 1
    assert chunk_size(net, plan, 2**30) == 30
    seen: list[tuple[int, int]] = []
    exact_hessian(net, net.theta, budget=60_000, progress=lambda a, b: seen.append((a, b)))
    assert len(seen) > 1
    assert seen[-1] == (30, 30)


# -- rows that are exactly zero -----------------------------------------------------------------


def weight_rows(untouched: Tensor, units: int, features: int) -> Tensor:
    return untouched[: units * features].view(units, features)


def dead_pixel_net(act: type[nn.Module]) -> Network:
    """Pixel 2 is zero everywhere; pixel 4 wherever unit 1 is active; unit 3 is dead."""
    x = torch.rand(12, 5) + 0.1
    x[:, 2] = 0
    model = mlp(act)
    net = network(model, x=x)
    w, b = torch.zeros(4, 5), torch.zeros(4)
    w[0], w[1, 0], w[2] = torch.rand(5) - 0.2, 1.0, torch.rand(5) - 0.2
    b[0] = b[2] = 0.5
    b[1] = -0.6
    w[3], b[3] = -1.0, -1.0
    net.theta[:20], net.theta[20:24] = w.reshape(-1), b
    net.x[net.x[:, 0] > 0.6, 4] = 0
    assert (net.x[:, 0] > 0.6).any()
    assert (net.x[:, 0] < 0.6).any()
    return net


def test_untouched_rows_of_a_relu_network() -> None:
    torch.manual_seed(0)
    net = dead_pixel_net(nn.ReLU)
    h = exact_hessian(net, net.theta)
    assert h.untouched is not None
    rows = weight_rows(h.untouched, 4, 5)
    expected = torch.zeros(4, 5, dtype=torch.bool)
    expected[:, 2] = True  # the dead pixel
    expected[1, 4] = True  # dead where unit 1 is active
    expected[3] = True  # the dead unit
    assert torch.equal(rows, expected)
    assert h.untouched[20:24].tolist() == [False, False, False, True]
    # The dead unit's outgoing weights meet its zero activation.
    assert h.untouched[24:36].view(3, 4).all(0).tolist() == [False, False, False, True]
    assert not h.untouched[36:].any()
    assert not h.matrix[h.untouched].any()
    assert not oracle(net)[h.untouched].any()


def test_untouched_rows_of_a_tanh_network_are_its_dead_pixels() -> None:
    torch.manual_seed(0)
    net = dead_pixel_net(nn.Tanh)
    h = exact_hessian(net, net.theta)
    assert h.untouched is not None
    rows = weight_rows(h.untouched, 4, 5)
    assert rows[:, 2].all()
    assert int(h.untouched.sum()) == 4


def test_what_underflows_is_not_called_zero() -> None:
    """The rows' true entries are about 1e-320 and are computed as 0."""
    x = torch.rand(6, 5)
    x[:, 1] = 1e-170
    net = network(mlp(), x=x.double())
    net.x[:, 1] = 1e-170
    h = exact_hessian(net, net.theta)
    assert h.untouched is not None
    assert not h.untouched.any()
    # Two underflows in a row: the error 1e-200 * 1e-200 of the last layer is computed as 0.
    net.theta[24:] *= 0
    net.theta[24] = 1e-200
    h = exact_hessian(net, net.theta)
    assert h.untouched is not None
    assert not h.untouched[:5].any()


def test_a_unit_without_outgoing_weights_is_not_untouched() -> None:
    """Its error is exactly zero, but its parameters still answer to those weights."""
    net = network(mlp())
    net.theta[24:36] = 0
    h = exact_hessian(net, net.theta)
    truth = oracle(net)
    assert h.untouched is not None
    assert truth[:24, 24:36].any()
    assert not truth[h.untouched].any()
    assert not h.untouched[truth.any(1)].any()


# -- honest failure -----------------------------------------------------------------------------


class Bessel(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.special.i0e(x)


def test_an_operation_without_rule_gives_an_estimate_that_names_it() -> None:
    net = network(mlp(Bessel))
    h = exact_hessian(net, net.theta)
    assert h.estimate == "the operation special_i0e has no error rule"
    assert h.untouched is None


class ReadsANumber(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.detach().abs().sum().item() > 0 else x


def test_a_model_that_reads_numbers_is_refused_with_the_cure() -> None:
    net = network(mlp(ReadsANumber))
    with pytest.raises(ArgumentError, match=r"reads a number out of a tensor; cure: .*where"):
        exact_hessian(net, net.theta)


class WritesIntoAPart(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        x = x.clone()
        x[:, 0].mul_(3.0)
        return torch.tanh(x)


def test_a_model_that_writes_into_a_part_is_right() -> None:
    net = network(mlp(WritesIntoAPart))
    off = torch.linalg.matrix_norm(exact_hessian(net, net.theta).matrix - oracle(net), 2)
    assert off < 1e-13


def test_unbounded_says_so() -> None:
    net = network(mlp())
    assert exact_hessian(net, net.theta, bounded=False).estimate == "rounding was not followed"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_model_without_forward_derivatives_gets_its_rows(dtype: torch.dtype) -> None:
    class Sampled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.places, self.out = nn.Linear(4, 4), nn.Linear(2, 3)

        def forward(self, x: Tensor) -> Tensor:
            grid = torch.tanh(self.places(x.flatten(1))).view(-1, 1, 2, 2)
            return self.out(nn.functional.grid_sample(x, grid, align_corners=False).flatten(1))

    net = network(Sampled(), x=torch.randn(9, 1, 2, 2, dtype=dtype), dtype=dtype)
    model = Sampled()
    double = network(model, x=net.x.double())
    try:
        oracle(double, double.theta)
    except RuntimeError as error:  # torch before it had that second derivative: refused by name
        if "grid_sampler_2d_backward is not implemented" not in str(error):
            raise
        with pytest.raises(ArgumentError, match="grid_sampler_2d_backward is not implemented"):
            exact_hessian(net, net.theta)
        return
    h = exact_hessian(net, net.theta)
    off = torch.linalg.matrix_norm(h.matrix.double() - oracle(double, net.theta.double()), 2)
    assert off <= 100 * torch.finfo(dtype).eps
    assert h.estimate is not None


def test_a_model_that_overflows_returns_what_it_computed() -> None:
    net = network(mlp(nn.Softplus))
    net.theta *= 1e200
    for bounded in (True, False):
        h = exact_hessian(net, net.theta, bounded=bounded)
        assert h.matrix.shape == (net.dim, net.dim)
        assert bool(h.matrix.isfinite().all()) or math.isinf(h.radius)


def test_the_caller_keeps_theta_and_the_random_state() -> None:
    net = network(mlp())
    theta = net.theta.clone().requires_grad_()
    state = torch.random.get_rng_state()
    h = exact_hessian(net, theta)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(theta, net.theta)
    assert not h.matrix.requires_grad


# -- the plan -----------------------------------------------------------------------------------


def test_plan_says_how_each_layer_is_studied() -> None:
    conv = nn.Sequential(nn.Conv2d(1, 1, 3), nn.Tanh(), nn.Flatten(), nn.Linear(16, 3))
    plan = hessian_plan(network(conv, x=torch.rand(4, 1, 6, 6)))
    assert [(x.kind, x.tangents) for x in plan.layers] == [(OUTPUTS, 3), (PARAMETERS, 10)]
    assert plan.dim == 61
    assert plan.flops > 0
    assert plan.bytes >= 8 * 61**2
    assert "10 parameter tangents (fewer than its 16 outputs)" in str(plan)
