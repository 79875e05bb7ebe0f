"""Inputs at which a bound that looks right is too small: each once passed for a proof."""

import math

import pytest
import torch
from torch import nn

import morsescape as ms
from hessian.oracle import network, oracle
from morsescape.critical.certificate import CertificateStatus
from morsescape.hessian.dense import exact_hessian, hessian_on_box
from morsescape.hessian.error_bound import ErrorBound, Norms
from morsescape.hessian.layers import linear_layers
from morsescape.rounding.ball_rules import RULES
from morsescape.rounding.balls import Ball
from morsescape.rounding.enclose import Enclosure
from morsescape.rounding.program import record
from morsescape.rounding.sums import longest_run, longest_up_to
from morsescape.spectrum.index_bound import structure_of
from planted_hessian import planted

aten = torch.ops.aten


def at(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def function(fn, dim=1):
    return ms.Objective.from_function(fn, dim)


# --- what holds for some samples only


@pytest.mark.parametrize("end", [nn.ReLU(), nn.ReLU(inplace=True), nn.Hardtanh(-50, 50)])
def test_a_layer_before_a_clamp_is_not_the_last(end):
    model = nn.Sequential(nn.Linear(2, 3), end)
    x = torch.tensor([[5.0, 5.0], [6.0, 5.0], [-40.0, 3.0], [2.0, -60.0], [-3.0, -3.0]])
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, 0.5], [0.3, 1.0], [1.0, 1.0]]))
        model[0].bias.zero_()
    net = network(model, x=x.double())
    with torch.no_grad():
        net.theta.copy_(torch.tensor([1.0, 0.5, 0.3, 1.0, 1.0, 1.0, 0, 0, 0]))
    assert not any(layer.last for layer in linear_layers(net, net.theta))
    assert linear_layers(network(nn.Linear(5, 3)), torch.ones(18).double())[0].last


def test_batch_statistics_are_not_affine():
    class Normed(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(2, 20), nn.Linear(20, 2)

        def forward(self, x):
            h = self.a(x).view(len(x), 2, 10)
            return self.b(nn.functional.instance_norm(h).flatten(1))

    net = network(Normed(), "mse", x=torch.randn(6, 2).double())
    structure = structure_of(net)
    negative = int((torch.linalg.eigvalsh(oracle(net)) < -1e-10).sum())
    assert negative <= structure.upper_bound
    assert "in layer b" in structure.reason


# --- majorants


class Weighed(nn.Module):
    """sin of two copies that add up, one multiplied by an integer."""

    def __init__(self, number):
        super().__init__()
        self.w, self.number = nn.Parameter(torch.ones(1)), number

    def forward(self, x):
        a = self.w * x
        return torch.sin(a * self.number + a * (-1.0))


@pytest.mark.parametrize("number", [-1, -1.0])
def test_the_sign_of_an_integer_does_not_cancel_a_bound(number):
    net = network(Weighed(number), "mse", x=torch.full((3, 1), 0.5).double())
    theta, width = at(0.8), 0.3
    box = hessian_on_box(net, theta, width)
    for shift in torch.linspace(-width, width, 9):
        off = exact_hessian(net, theta + shift).matrix - box.matrix
        assert float(off.abs().max()) <= box.radius


# --- branches


def test_pooling_that_may_take_another_entry_is_no_proof():
    def pooled(t):
        two = torch.stack([(t[0] - 1) ** 2 / 2, (t[0] + 1) ** 2 / 2]).view(1, 1, 1, 2)
        return nn.functional.max_pool2d(two, (1, 2)).sum()

    f = function(pooled)
    assert ms.certify(f, at(0.1)).status is not CertificateStatus.PROVED
    assert ms.inertia(f, at(0.1)).negative == (0, 0)


@pytest.mark.parametrize(
    "step",
    [lambda t: t.long().double(), lambda t: torch.div(t, 1.0, rounding_mode="floor")],
    ids=["long", "floor"],
)
def test_steps_are_no_proof(step):
    f = function(lambda t: ((t - 2 + 4 * step(t)) ** 2 / 2).sum())
    assert ms.certify(f, at(0.5)).status is not CertificateStatus.PROVED


@pytest.mark.parametrize(
    "branch",
    [
        lambda t: t.sum() if torch.equal(t < 1, torch.ones_like(t, dtype=torch.bool)) else -t.sum(),
        lambda t: t.sum() * len(torch.nonzero(t > 1)),
        lambda t: t[t < 1].sum(),
    ],
    ids=["equal", "nonzero", "mask"],
)
def test_python_branches_on_values_are_an_estimate(branch):
    f = function(lambda t: branch(t.detach()) * 0 + branch(t) + (t**2).sum())
    result = ms.inertia(f, at(0.5))
    assert result.status is ms.InertiaStatus.ESTIMATE


# --- underflow and overflow


def test_slopes_of_exponentials_far_below_zero():
    f = function(lambda t: t[0] ** 2 / 2 - 2e299 * torch.exp(-750 - 5 * (t[0] - 50)))
    assert (
        ms.certify(f, at(50.0)).status is not CertificateStatus.PROVED
    )  # it has no critical point
    x = Ball(at(-60.0), at(30.0))
    result = RULES["expm1"](Enclosure(), aten.expm1.default, x)
    assert result.rad >= math.expm1(-30.0) - math.expm1(-60.0)


def test_sums_that_overflow_have_no_radius():
    big = at(1e308, 1e308)
    for operation, args in (
        ("sum", (aten.sum.default, big)),
        ("mm", (aten.mm.default, big[None], at(1.0, 1.0)[:, None])),
    ):
        result = RULES[operation](Enclosure(), *args)
        assert result.radius().isinf().all(), operation
    f = function(lambda t: t[0] ** 2 * (torch.rsqrt(big.sum()) * 1e153) - 1e-3 * t[0] ** 2)
    assert ms.inertia(f, at(0.3)).negative != (1, 1)  # Hess f is about 0.14


def test_numbers_that_vanish_in_float32_keep_a_radius():
    f = function(lambda t: 0.5e-50 * t[0].float().double() ** 2 - 0.5e-52 * t[0] ** 2)
    result = ms.inertia(f, at(1e-48))
    assert result.negative[0] == 0
    cast = RULES["_to_copy"](Enclosure(), aten._to_copy.default, at(1e-48), dtype=torch.float32)
    assert float(cast.radius()) >= 1e-48


def test_radii_whose_squares_vanish():
    f = function(lambda t: 1e-200 * t[0] ** 2 / 2 * (((1e16 + t[1]) - 1e16) - 0.5), 2)
    assert ms.inertia(f, at(0.0, 0.4)).negative[0] == 0


def test_rules_of_one_operation():
    run = Enclosure()
    padded = RULES["constant_pad_nd"](
        run, aten.constant_pad_nd.default, Ball(at(1.0), at(0.5)), [1, 1], -1.0
    )
    assert padded.rad.tolist() == [0.0, 0.5, 0.0]
    filled = RULES["fill"](run, aten.fill.Tensor, at(0.0, 0.0), Ball(at(1.0)[0], at(0.25)[0]))
    assert filled.radius().tolist() == [0.25, 0.25]
    scaled = RULES["add"](run, aten.add.Tensor, at(0.0), at(1e-200), alpha=1e-200)
    assert float(scaled.rad) > 0


def test_pooling_windows_that_meet_by_dilation():
    x = at(*[0.0] * 25).view(1, 1, 5, 5)
    x[..., 2, 2] = 1.0
    size = ([2, 2], [1, 1], [0, 0], [2, 2])
    _, index = aten.max_pool2d_with_indices.default(x, *size)
    grad = torch.full(index.shape, 0.1).double()
    back = RULES["max_pool2d_with_indices_backward"](
        Enclosure(), aten.max_pool2d_with_indices_backward.default, grad, x, *size, False, index
    )
    assert float(back.rad[..., 2, 2]) > 0


# --- counts


def test_no_shorter_sum_rounds_more_than_is_counted():
    lengths = [*range(1, 6000), *range(6000, 300_000, 997)]
    most = 0
    for k in lengths:
        most = max(most, longest_run(k))
        assert longest_up_to(k) >= most, k


def test_nothing_known_is_still_an_interval():
    net = network(nn.Sequential(nn.Linear(5, 3), nn.Tanh(), nn.Linear(3, 3)))
    f = ms.Objective(net.model, "cross_entropy", (net.x, net.y))
    h = f.enclosed_hessian(f.theta)
    unknown = type(h)(h.matrix, math.inf, h.radius_parts, None, 0, h.untouched)
    result = ms.inertia(planted(f, f.theta, unknown))
    for low, high in (result.negative, result.null, result.positive):
        assert 0 <= low <= high <= f.dim


def test_the_bound_takes_a_single_parameter():
    bound = ErrorBound(1, torch.float64)
    bound.add_rows(slice(0, 1), slice(0, 1), Norms(at(2.0)[None], at(0.5)[None]))
    assert bound.error.item() >= 0.5

    class Temperature(nn.Module):
        def __init__(self):
            super().__init__()
            self.t, self.linear = nn.Parameter(torch.ones(())), nn.Linear(5, 3)

        def forward(self, x):
            return self.linear(x) * self.t

    net = network(Temperature())
    h = exact_hessian(net, net.theta)
    assert torch.linalg.matrix_norm(h.matrix - oracle(net), 2) <= h.radius + 1e-13


def test_a_write_through_a_view_reaches_what_shares_its_memory():
    def written(x):
        alone = x.clone()
        alone.mul_(at(3.0, 3.0))
        shared = x.clone()
        shared.view(2, 1).mul_(at(3.0, 5.0)[:, None])
        return alone, shared

    alone, shared = record(written, at(1.0, 2.0)).run(Enclosure(), at(-1.0, 4.0))
    assert alone.mid.tolist() == [-3.0, 12.0]
    assert shared.mid.tolist() == [-3.0, 20.0]
