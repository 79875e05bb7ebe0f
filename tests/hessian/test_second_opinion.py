"""A second opinion: it finds what is wrong, whichever way, and is silent about what is right."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from morsescape.hessian import second_opinion as module
from morsescape.hessian.second_opinion import second_opinion
from morsescape.objective import Objective
from morsescape.zoo import ZOO

BY_AUTOGRAD = "automatic differentiation give products"
BY_GRADIENT = "differences of the gradient"
BY_VALUE = "differences of f"


def about(fn, point) -> str:
    f = Objective.from_function(fn, len(point))
    theta = torch.tensor(point, dtype=torch.float64)
    return second_opinion(f, theta, f.enclosed_hessian(theta))


WRONG = {
    "a factor that is detached": (lambda t: t[0].detach() * t[0], [1.0], BY_GRADIENT),
    "the same where all gradients vanish": (lambda t: t[0].detach() * t[0], [0.0], BY_GRADIENT),
    "a term that is detached": (lambda t: t[0] ** 2 - 3 * t[0].detach() ** 2, [0.0], BY_VALUE),
    "one term of many": (lambda t: (t**2).sum() + t[3].detach() ** 2, [0.1] * 30, BY_VALUE),
}
RIGHT = {
    "linear": (lambda t: t.sum(), [1.0, 2.0]),
    "flat": (lambda t: 0 * t.sum(), [1.0, 2.0]),
    "at a kink": (lambda t: t.abs().sum() + (t**2).sum(), [0.0, 0.0]),
    "beside a kink": (lambda t: t.abs().sum() + (t**2).sum(), [1e-7, 1e-3]),
    "degenerate": (lambda t: (t**4).sum(), [0.0, 0.0]),
    "far from 0": (lambda t: ((t + 1e10) ** 2).sum(), [1.0]),
    "below rounding": (lambda t: torch.log(t + 1e20).sum(), [1.0]),
    "beside the edge of the domain": (lambda t: torch.log(t).sum(), [1e-12, 2e-12]),
    "too fast to be followed": (lambda t: (1e12 * t).cos().sum(), [1.0, 1.0]),
    "curvature beneath the slope": (lambda t: (1e-8 * (1e3 * t).cos() + 1e8 * t).sum(), [1.0]),
    "large": (lambda t: (1e100 * t**2 + t**3).sum(), [1.0, -3.0]),
    "small": (lambda t: (1e-100 * t**2).sum(), [1e-50, -1.0]),
}


@pytest.mark.usefixtures("unprobed")
@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_found(what):
    fn, point, expected = WRONG[what]
    assert expected in about(fn, point)


def test_an_altered_matrix_is_found():
    f, theta = Objective.from_function(lambda t: (t**3).sum(), 3), torch.ones(3).double()
    own = f.enclosed_hessian(theta)
    off = torch.diag(torch.tensor([0.0, 1e-3, 0.0]).double())
    assert BY_AUTOGRAD in second_opinion(f, theta, replace(own, matrix=own.matrix + off))
    assert second_opinion(f, theta, own) == ""


@pytest.mark.parametrize("what", RIGHT)
def test_what_is_right_is_not_doubted(what):
    assert about(*RIGHT[what]) == ""


@pytest.mark.parametrize("z", ZOO, ids=lambda z: z.name)
def test_the_zoo_is_not_doubted(z):
    f = z.objective()
    points = [torch.tensor(p, dtype=torch.float64) for p, _ in z.critical[:2]]
    for theta in [*points, *z.starts(1, seed=1)]:
        assert second_opinion(f, theta, f.enclosed_hessian(theta)) == ""


def network(activation, cut=0.0):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(500, 4, generator=generator)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.act = nn.Linear(4, 8), nn.Linear(8, 3), activation

        def forward(self, x):
            h = self.act(self.a(x))
            return self.b(h) + cut * h.detach()[:, :3]

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Objective(Net(), "cross_entropy", (x, torch.arange(500) % 3), l2=0.1)


@pytest.mark.usefixtures("unprobed")
@pytest.mark.parametrize("activation", [nn.Tanh(), nn.ReLU(), nn.LeakyReLU(), nn.Hardswish()])
def test_a_network_is_doubted_only_where_part_of_it_is_detached(activation):
    f, wrong = network(activation), network(activation, cut=0.01)
    assert second_opinion(f, f.theta, f.enclosed_hessian(f.theta)) == ""
    hessian = wrong.enclosed_hessian(wrong.theta)
    assert BY_GRADIENT in second_opinion(wrong, wrong.theta, hessian)


def test_an_altered_matrix_is_found_by_the_product_and_by_differences(monkeypatch):
    f = network(nn.Tanh())
    hessian = f.enclosed_hessian(f.theta)
    altered = replace(hessian, matrix=hessian.matrix + 1e-4 * torch.eye(f.dim).double())
    assert BY_AUTOGRAD in second_opinion(f, f.theta, altered)
    monkeypatch.setattr(module, "_PRODUCT", math.inf)
    assert BY_GRADIENT in second_opinion(f, f.theta, altered)


def test_without_any_second_way_nothing_is_proved(monkeypatch):
    f = Objective.from_function(lambda t: (t**2).sum(), 2)
    theta = torch.ones(2).double()
    hessian = f.enclosed_hessian(theta)

    def lacking(*_):
        raise RuntimeError("no forward derivative")

    monkeypatch.setattr(Objective, "hvp", lacking)
    assert second_opinion(f, theta, hessian) == ""  # differences agree
    monkeypatch.setattr(Objective, "gradient", lacking)
    assert "nothing to compare" in second_opinion(f, theta, hessian)
    assert second_opinion(f, theta, replace(hessian, estimate="rounding was not followed")) == ""
