"""Balls that are one rounding wide: as true as the others, and far smaller."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from morsescape.hessian import dense
from morsescape.nets import build
from morsescape.objective import Objective
from morsescape.rounding.balls import NoErrorRule
from morsescape.rounding.double import Double, log_from_1
from morsescape.rounding.double_machine import DoubleMachine
from morsescape.rounding.enclose import Enclosure
from morsescape.rounding.one_rounding import Sharp

aten = torch.ops.aten
U = 2.0**-53


def large(net: str, activation: str = "relu", pool: str = "max", scale: float = 4.0) -> Objective:
    """A network with weights as large as those of a trained one."""
    g = torch.Generator().manual_seed(0)
    x = torch.rand(60, 1, 8, 8, generator=g).double()
    x[:, :, 0] = 0
    model = build(net, image_shape=(8, 8), activation=activation, pool=pool).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(scale)
    return Objective(model, "cross_entropy", (x, torch.arange(60) % 10))


def both(f: Objective, monkeypatch) -> tuple[dense.Hessian, dense.Hessian]:
    sharp = f.enclosed_hessian(f.theta)
    monkeypatch.setattr(dense, "Sharp", Enclosure)
    return sharp, f.enclosed_hessian(f.theta)


@pytest.mark.parametrize(
    ("net", "activation", "pool", "gain"),
    [
        ("mlp2", "relu", "max", 50), ("mlp3", "relu", "max", 100), ("mlp2", "tanh", "max", 50),
        ("cnn", "relu", "max", 3), ("cnn", "tanh", "avg", 3), ("cnn", "gelu", "avg", 3),
    ],
)  # fmt: skip
def test_the_radius_is_far_smaller_and_the_balls_meet(net, activation, pool, gain, monkeypatch):
    sharp, plain = both(large(net, activation, pool), monkeypatch)
    assert gain * sharp.radius_parts["samples"] < plain.radius_parts["samples"]
    off = float(torch.linalg.matrix_norm(sharp.matrix - plain.matrix, 2))
    assert 0 < off <= sharp.radius + plain.radius
    assert (sharp.kinks, sharp.estimate) == (plain.kinks, plain.estimate)
    assert torch.equal(sharp.untouched, plain.untouched)


def test_an_operation_without_a_rule_goes_on_with_balls(monkeypatch):
    g = torch.Generator().manual_seed(0)
    x = torch.randn(30, 5, generator=g).double()
    layers = nn.Linear(5, 6), nn.Tanh(), nn.LayerNorm(6), nn.Linear(6, 3)
    f = Objective(nn.Sequential(*layers).eval(), "cross_entropy", (x, torch.arange(30) % 3))
    sharp, plain = both(f, monkeypatch)
    assert sharp.estimate is None
    assert sharp.radius <= plain.radius
    assert float((sharp.matrix - plain.matrix).norm()) <= sharp.radius + plain.radius


def test_decisions_in_doubt_are_counted():
    machine, zero = Sharp(), torch.zeros(3, dtype=torch.float64)
    machine(aten.relu.default, (zero,), {})
    assert machine.kinks == 3
    third = machine(aten.div.Tensor, (torch.ones(1).double(), torch.tensor(3.0).double()), {})
    less = machine(aten.sub.Tensor, (third, torch.tensor([1 / 3], dtype=torch.float64)), {})
    assert 0 < abs(float(less.mid)) < U  # what float64 would call 0
    assert bool(machine(aten.gt.Scalar, (less, 0.0), {})) == (float(third.mid) + U > 1 / 3)
    assert machine.kinks == 3


def near(values: list[float], off: float, seed: int) -> Double:
    g = torch.Generator().manual_seed(seed)
    hi = torch.tensor(values, dtype=torch.float64)
    lo = (torch.rand(hi.shape, generator=g, dtype=torch.float64) - 0.5) * U * hi.abs()
    return Double(hi, lo, torch.full_like(hi, off))


def corners(x: Double) -> torch.Tensor:
    """Low, middle and high end of every entry, all combinations, in units that show them."""
    ends = [
        (float(lo) - float(r), float(lo), float(lo) + float(r))
        for lo, r in zip(x.lo, x.rad, strict=True)
    ]
    return torch.tensor(list(itertools.product(*ends)), dtype=torch.float64)


@pytest.mark.parametrize("off", [0.0, 1e-18, 1e-15])
@pytest.mark.parametrize(
    "values", [[1.0, 1.0, 1.0, 1.0], [1.0, 1 + 2 * U, 1 - U, 0.5], [-1.0, 0.0, -2.0, -1.0]]
)
def test_the_maximum_of_what_is_nearly_equal(values, off):
    """The radius holds the maximum over all numbers that the entries may stand for."""
    x = near(values, off, 0)
    window = x.each(lambda t: t.view(1, 1, 2, 2))
    machine = DoubleMachine()
    top, places = machine(aten.max_pool2d_with_indices.default, (window, [2, 2]), {})
    most = machine(aten.amax.default, (x, [0]), {})
    # Differences of hi are exact: maxima are taken of what is above the largest hi.
    true = ((x.hi - top.hi.flatten()[0]) + corners(x)).max(1).values
    for found in (top, most):
        assert bool(((true - found.lo.flatten()).abs() <= found.rad.flatten() * (1 + 1e-9)).all())
    assert int(places) == int(x.hi.argmax())


@pytest.mark.parametrize("off", [0.0, 1e-18, 1e-15])
def test_relu_of_what_is_nearly_zero(off):
    x = near([1e-15, -1e-15, 1e-17, -1e-17, 0.0, 1.0, -1.0], off, 1)
    found = DoubleMachine()(aten.relu.default, (x,), {})
    for end in (-1, 0, 1):
        true = (x.hi + (x.lo + end * x.rad)).clamp_min(0)
        assert bool(((true - found.hi - found.lo).abs() <= found.rad + 4 * U * x.hi.abs()).all())
    assert float(found.rad[6]) == 0


def test_what_is_exactly_zero_stays_so():
    x = Double.exact(torch.tensor([[0.0, 0.0], [1.0, 2.0]]))
    third = Double.exact(torch.full((2, 2), 1.0)) / Double.exact(torch.full((2, 2), 3.0))
    machine = DoubleMachine()
    for found in (
        x * third, x / third, machine(aten.mm.default, (x, third), {}),
        machine(aten.tanh.default, (x,), {}), machine(aten.erf.default, (x,), {}),
    ):  # fmt: skip
        assert bool((found.upper[0] == 0).all())
        assert bool((found.rad[1] > 0).all())


def test_pooling_backward_undoes_the_choice():
    g = torch.Generator().manual_seed(0)
    x, grad = torch.randn(2, 3, 4, 6, generator=g).double(), torch.randn(2, 3, 2, 3).double()
    machine = DoubleMachine()
    _, places = machine(aten.max_pool2d_with_indices.default, (Double.exact(x), [2, 2]), {})
    arguments = [2, 2], [2, 2], [0, 0], [1, 1], False, places
    backward = aten.max_pool2d_with_indices_backward.default
    found = machine(backward, (Double.exact(grad), x, *arguments), {})
    assert torch.equal(found.hi, backward(grad, x, *arguments))


class Joined(nn.Module):
    """A hidden layer beside numbers of another type."""

    def __init__(self, beside) -> None:
        super().__init__()
        self.hidden, self.out, self.beside = nn.Linear(3, 4), nn.Linear(5, 2), beside

    def forward(self, x):
        """Logits."""
        h = torch.tanh(self.hidden(x))
        return self.out(torch.cat([h, self.beside(h)], 1))


@pytest.mark.parametrize(
    "beside",
    [
        lambda h: -torch.ones(len(h), 1, dtype=torch.long),
        lambda h: torch.full((len(h), 1), 3),
        lambda h: h[:, :1] > 0,
        lambda h: -torch.ones(len(h), 1, dtype=torch.float64),
        lambda h: torch.full((len(h), 1), 0.1, dtype=torch.float32),
    ],
)
def test_integers_and_float32_beside_values(beside, monkeypatch):
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(7, 3, generator=g).double(), torch.randn(7, 2, generator=g).double()
    sharp, plain = both(Objective(Joined(beside).eval(), "mse", (x, y)), monkeypatch)
    assert 0 < sharp.radius < 1e-11
    assert float((sharp.matrix - plain.matrix).norm()) <= sharp.radius + plain.radius


class Truncated(nn.Module):
    """Writes into integers: a step that no bound can follow."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(3, 2)

    def forward(self, x):
        """Outputs times what is left of them."""
        h = self.hidden(x)
        return torch.zeros(h.shape, dtype=torch.long).copy_(3 * h.exp()) * h**3


def test_writing_into_integers_is_an_estimate():
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(5, 3, generator=g).double(), torch.randn(5, 2, generator=g).double()
    f = Objective(Truncated().eval(), "mse", (x, y))
    assert "rounding to integers" in f.enclosed_hessian(f.theta).estimate


@pytest.mark.parametrize("kind", [DoubleMachine, Enclosure])
def test_integers_that_float64_cannot_hold_are_refused(kind):
    whole = torch.tensor([2**53 + 1])
    with pytest.raises(NoErrorRule, match=r"beyond|not float64"):
        kind()(aten._to_copy.default, (whole,), {"dtype": torch.float64})


def test_products_with_numbers_of_other_types_are_refused():
    machine, ones = DoubleMachine(), torch.ones(1, dtype=torch.float64)
    for other in (torch.ones(1, dtype=torch.float32), torch.tensor([2**60 + 127])):
        with pytest.raises(NoErrorRule, match="not float64"):
            machine(aten.mul.Tensor, (ones, other), {})
    empty = torch.ones(2, 0, dtype=torch.float64)
    with pytest.raises(NoErrorRule, match="no terms"):
        machine(aten.mm.default, (empty, empty.t()), {})


def test_the_logarithm_of_a_large_number_is_flat():
    x = Double.exact(torch.tensor([1e8], dtype=torch.float64))
    found = log_from_1(Double(x.hi, x.lo, torch.full_like(x.hi, 1e-8)))
    assert 0.9e-16 < float(found.rad) < 1.1e-16
