"""Certificates: proofs that agree with interval arithmetic, and refusals that have to come."""

from __future__ import annotations

import math
import warnings

import flint
import pytest
import torch

from morsescape.critical import CertificateStatus, ProofStatus, certify, krawczyk
from morsescape.critical.enclosure import gradient_error, hessian_variation
from morsescape.errors import ArgumentError
from morsescape.objective import Objective
from zoo import ZOO

ISOLATED = [z for z in ZOO if z.morse and z.dim <= 4]


def by_name(name: str):
    return next(z for z in ZOO if z.name == name)


@pytest.mark.parametrize("z", ISOLATED, ids=lambda z: z.name)
def test_both_proofs_agree_and_are_right(z):
    f = z.objective()
    for point, (index, _) in z.critical[-2:]:
        theta = torch.tensor(point).double()
        theta = theta - torch.linalg.solve(f.hessian(theta), f.gradient(theta))
        newton, interval = certify(f, theta), krawczyk(f, theta)
        assert newton.status is CertificateStatus.PROVED
        assert interval.status is ProofStatus.PROVED
        assert newton.index == (index, index)
        assert interval.index == index
        # Both enclose the same point.
        assert math.dist(point, theta.tolist()) <= 3e-6
        assert newton.distance <= 1e-6
        assert interval.distance <= 1e-6


@pytest.mark.parametrize("name", ["quartic", "monkey saddle", "inflection"])
def test_degenerate_points_are_called_so(name):
    f = by_name(name).objective()
    proof = certify(f, torch.zeros(2).double())
    assert proof.status is CertificateStatus.DEGENERATE
    assert proof.index == (0, 2)
    assert krawczyk(f, torch.zeros(2).double()).status is ProofStatus.SINGULAR


def test_no_point_is_proved_where_there_is_none():
    f = Objective.from_function(lambda t: torch.exp(-t[0]) + t[1] ** 2, 2)
    for x in (0.0, 5.0, 21.0, 30.0):
        theta = torch.tensor([x, 0.0]).double()
        assert not certify(f, theta).holds
        assert krawczyk(f, theta).status is not ProofStatus.PROVED


def test_gradient_flat_is_named():
    f = Objective.from_function(lambda t: t[0] + t[1] ** 2, 2)
    proof = certify(f, torch.zeros(2).double())
    assert proof.status is CertificateStatus.GRADIENT_FLAT
    assert proof.flatness == 0


def test_far_from_the_point_it_is_undecided():
    f = by_name("double well").objective()
    proof = certify(f, torch.tensor([0.75, 0.1]).double())
    assert proof.status is CertificateStatus.UNDECIDED
    assert not proof.h <= 0.25


def test_a_sampled_constant_is_an_estimate_and_says_so():
    a = torch.linspace(0.5, 2, 30).double()
    f = Objective.from_function(lambda t: (torch.special.i0(t) * a).sum(), 30)  # no error rule
    proof = certify(f, 1e-9 * torch.ones(30).double())
    assert proof.status is CertificateStatus.ESTIMATE
    assert "sampled" in proof.reason
    assert not proof.lipschitz_bounded


def test_what_would_be_far_away_is_not_estimated():
    def fn(t):  # nearly flat, and with an operation that has no error rule
        return (1e-5 * t + 5e-12 * t * t + 1e-30 * torch.special.i0(1e-9 * t)).sum()

    f = Objective.from_function(fn, 2)
    proof = certify(f, torch.zeros(2).double())
    assert proof.eta > 1e5
    assert proof.status not in (CertificateStatus.ESTIMATE, CertificateStatus.PROVED)


def test_a_small_network_is_proved():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(8, 2, generator=generator, dtype=torch.float64)
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Tanh(), torch.nn.Linear(2, 1))
    f = Objective(model, "mse", (x, x[:, :1] * x[:, 1:]), l2=0.5)
    theta = torch.zeros(f.dim).double()
    for _ in range(5):
        theta = theta - torch.linalg.solve(f.hessian(theta), f.gradient(theta))
    proof = certify(f, theta)
    assert proof.status is CertificateStatus.PROVED
    assert proof.index == (0, 0)


def test_relu_is_not_certified():
    x = torch.linspace(-1, 1, 8).double()[:, None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = torch.nn.Sequential(torch.nn.Linear(1, 2), torch.nn.ReLU(), torch.nn.Linear(2, 1))
    proof = certify(Objective(model, "mse", (x, x), l2=0.1), torch.ones(7).double())
    assert proof.status is CertificateStatus.NOT_SMOOTH
    assert "relu" in proof.reason


def test_gradient_error_covers_the_true_error():
    """Against 200-bit arithmetic, at points where much cancels."""
    z = by_name("Müller–Brown")
    f = z.objective()
    for start in z.starts(4, seed=2):
        gradient = f.gradient(start)
        bound = gradient_error(f, start, gradient)
        assert bound is not None
        assert bound < 1e-10
        with flint.ctx.workprec(200):
            from torch.func import grad

            from morsescape.critical.arb import ArbMachine, balls
            from morsescape.hessian.program import record

            exact = record(grad(f._function), start).run(ArbMachine(), balls(start))
            off = [
                float(abs(e - flint.arb(float(g)))) for e, g in zip(exact, gradient, strict=True)
            ]
        assert math.hypot(*off) <= bound


def small_network(activation):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(8, 1, 4, 4, generator=generator, dtype=torch.float64)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = torch.nn.Sequential(
            torch.nn.Conv2d(1, 1, 3), activation, torch.nn.Flatten(), torch.nn.Linear(4, 3)
        )
    return Objective(model, "cross_entropy", (x, torch.arange(8) % 3), l2=0.05)


@pytest.mark.parametrize(
    ("f", "theta", "radius", "loose"),
    [
        (by_name("Himmelblau").objective(), torch.tensor([3.0, 2.0]).double(), 0.05, 5),
        # Boxes, sums of absolute values and one bound for all tangents: far too large, but a bound.
        (small_network(torch.nn.Tanh()), None, 1e-3, 1000),
        (small_network(torch.nn.Softplus()), None, 1e-3, 1000),
    ],
)
def test_hessian_variation_covers_what_happens_in_the_ball(f, theta, radius, loose):
    theta = f.theta if theta is None else theta
    bound = hessian_variation(f, theta, radius, f.enclosed_hessian(theta))
    assert bound is not None
    generator = torch.Generator().manual_seed(0)
    largest = 0.0
    for _ in range(50):
        v = torch.randn(f.dim, generator=generator, dtype=torch.float64)
        change = f.hessian(theta + radius * v / v.norm()) - f.hessian(theta)
        largest = max(largest, float(torch.linalg.matrix_norm(change, 2)))
    assert largest <= bound <= loose * largest


def test_a_network_that_may_branch_in_the_box_has_no_variation():
    f = small_network(torch.nn.ReLU())
    assert hessian_variation(f, f.theta, 0.5, f.enclosed_hessian(f.theta)) is None


def test_krawczyk_refuses_what_branches():
    f = Objective.from_function(lambda t: torch.relu(t).sum() + t @ t, 2)
    proof = krawczyk(f, torch.ones(2).double())
    assert proof.status in (ProofStatus.NO_RULE, ProofStatus.NOT_PROVED)


def test_krawczyk_takes_functions_only(unchecked):
    f = Objective.from_function(lambda t: t @ t, 61)
    with pytest.raises(ArgumentError, match="60 variables"):
        krawczyk(f, torch.zeros(61).double())
    with pytest.raises(ArgumentError, match="shape"):
        krawczyk(by_name("bowl").objective(), torch.zeros(2).double())


def test_krawczyk_leaves_the_precision_alone():
    before = flint.ctx.prec
    krawczyk(by_name("double well").objective(), torch.tensor([1.0, 0.0]).double())
    assert flint.ctx.prec == before
