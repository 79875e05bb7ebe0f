"""Certificates: proofs that agree with interval arithmetic, and refusals that have to come."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace

import flint
import pytest
import torch

from morsescape.critical import CertificateStatus, ProofStatus, certify, krawczyk
from morsescape.critical.enclosure import hessian_variation
from morsescape.errors import ArgumentError
from morsescape.hessian.gradient import gradient_error
from morsescape.objective import Objective
from morsescape.zoo import ZOO
from planted_hessian import planted

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


def test_a_gradient_hidden_by_its_rounding_is_not_called_too_large():
    def fn(t):  # the logarithms cancel, and have no rule in twice the precision
        return (1e-6 * t**2 + t**3 + 1e6 * t * (torch.log(2 + t) - torch.log(2 + t))).sum()

    f = Objective.from_function(fn, 1)
    proof = certify(f, torch.zeros(1).double())
    assert proof.grad_norm == 0
    assert proof.status is CertificateStatus.UNDECIDED
    assert f"bound on the rounding of the gradient, {proof.grad_error:.1e}," in proof.reason


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
        bound = gradient_error(f.source, start, f.l2, gradient)
        assert bound is not None
        assert bound < 1e-10
        with flint.ctx.workprec(200):
            from torch.func import grad

            from morsescape.rounding.arb import ArbMachine, balls
            from morsescape.rounding.program import record

            exact = record(grad(f.source.on(None, None)), start).run(ArbMachine(), balls(start))
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
    bound = hessian_variation(f.source, theta, radius, f.enclosed_hessian(theta))
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
    assert hessian_variation(f.source, f.theta, 0.5, f.enclosed_hessian(f.theta)) is None


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


# -- a second opinion, and last additions ---------------------------------------------------------


def test_a_hessian_that_is_not_that_of_f_at_the_point_proves_nothing():
    f = Objective.from_function(lambda t: t[0] ** 4 / 4 - t[0] ** 2 / 2, 1)
    at = torch.ones(1).double()
    wrong = planted(f, at, f.enclosed_hessian(torch.zeros(1).double()))
    proof = certify(wrong)
    assert proof.status is CertificateStatus.UNDECIDED
    assert proof.index == (0, 1)
    assert "products with a unit vector" in proof.reason
    assert certify(f.hessian_at(at)).status is CertificateStatus.PROVED


def test_the_variation_is_measured_from_the_matrix_that_is_given():
    f = by_name("double well").objective()
    theta = torch.tensor([1.0, 0.0]).double()
    own = f.enclosed_hessian(theta)
    near = hessian_variation(f.source, theta, 1e-6, own)
    far = hessian_variation(
        f.source, theta, 1e-6, replace(own, matrix=own.matrix + 3 * torch.eye(2))
    )
    assert near is not None
    assert far is not None
    assert near < 1e-4
    assert 3 <= far <= 3 * math.sqrt(2) + 1e-4


UNTRUE = {
    "detached": (lambda t: t @ t - 8 * t[1].detach() ** 2, "differences of f"),
    "detached factor": (lambda t: t @ t - 8 * t[1].detach() * t[1], "differences of the gradient"),
}


@pytest.mark.usefixtures("unprobed")
@pytest.mark.parametrize("what", UNTRUE)
def test_nothing_is_proved_where_the_hessian_is_contradicted(what):
    fn, word = UNTRUE[what]
    proof = certify(Objective.from_function(fn, 2), torch.zeros(2).double())
    assert proof.status is CertificateStatus.UNDECIDED
    assert word in proof.reason
    assert word in str(proof)
    assert proof.index == (0, 2)


@pytest.mark.usefixtures("unprobed")
def test_a_power_whose_exponent_is_zero_is_refused():
    """torch takes the derivative of x^p in x for 0 where p is 0, whatever it does as p moves."""

    def fn(t):
        return (t[0] + 1.5) ** t[1] - math.log(1.5) * t[1] + t @ t

    with pytest.raises(ArgumentError, match="do not depend on their order"):
        certify(Objective.from_function(fn, 2), torch.zeros(2).double())


class TimeFirst(torch.nn.Module):
    """Dimension 0 of a layer's input is time, of the same size as the samples."""

    def __init__(self):
        super().__init__()
        self.a, self.b = torch.nn.Linear(3, 3), torch.nn.Linear(3, 2)

    def forward(self, x):
        h = torch.tanh(self.a(x.transpose(0, 1)))
        return self.b(torch.tanh(h[0] * h[1] + h[0]))


def test_certify_is_right_or_undecided_on_a_model_that_works_time_first():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = TimeFirst()
        x, y = torch.randn(2, 2, 3).double(), torch.randn(2, 2).double()
    f = Objective(model, "mse", (x, y), l2=1e-2)

    def loss(t):
        net = f.network
        return net.chunk_loss(net.unflatten(t), net.x, net.y) + f.l2 * (t * t).sum()

    t = f.theta.clone()
    for _ in range(60):
        g = torch.autograd.functional.jacobian(loss, t)
        hessian = torch.autograd.functional.hessian(loss, t)
        step = -torch.linalg.solve(hessian, g)
        t = t + step / max(1.0, 2 * float(step.norm()))
    index = int((torch.linalg.eigvalsh(hessian) < 0).sum())
    proof = certify(f, t)
    assert proof.status is not CertificateStatus.PROVED or proof.index == (index, index)


def test_a_step_that_only_the_value_shows_is_not_bounded_on_a_box():
    """The cast has no derivative, so that the Hessian knows nothing of it."""
    f = Objective.from_function(lambda t: t @ t - 5 * t[0].long().double(), 2)
    theta = torch.tensor([0.5, 0.0]).double()
    hessian = replace(f.enclosed_hessian(theta), estimate=None)
    assert hessian_variation(f.source, theta, 1e-3, hessian) is None


LAMBDAS = (0.0, 1e-300, 1e-20, 0.1, 1e10, 1e150)


@pytest.mark.parametrize("l2", LAMBDAS)
@pytest.mark.parametrize("scale", [1.0, 1e-100, 1e8])
def test_every_bound_of_a_certificate_is_one_against_300_bits(l2, scale):
    """Separable f = Σ a cos(w t) + b t + λ t²: roots and derivatives in arbitrary precision."""
    generator = torch.Generator().manual_seed(int(math.log10(l2 or 1e-5)) % 97)
    proved = 0
    for _ in range(6):
        a, w, b, start = torch.randn(4, 2, generator=generator, dtype=torch.float64)
        a, b, w = a * scale, 0.3 * b * scale, w.abs() + 0.1
        start = start if l2 < 1 else 0 * start
        f = Objective.from_function(
            lambda t, a=a, b=b, w=w: (a * (w * t).cos() + b * t).sum(), 2, l2=l2
        )
        with flint.ctx.workprec(300):
            proved += _check_bounds(f, (a, w, b), start)
    assert proved or scale != 1.0


def _check_bounds(f, numbers, start) -> bool:
    a, w, b = ([flint.arb(x) for x in part.tolist()] for part in numbers)
    ridge = 2 * flint.arb(f.l2)

    def slope(k, x):
        return -a[k] * w[k] * (w[k] * x).sin() + b[k] + ridge * x

    def curvature(k, x):
        return -a[k] * w[k] * w[k] * (w[k] * x).cos() + ridge

    roots = []
    for k, x in enumerate(start.tolist()):
        root = flint.arb(x)
        for _ in range(60):
            step = (slope(k, root) / curvature(k, root)).mid()
            root = (root - max(min(step, flint.arb(0.5)), flint.arb(-0.5))).mid()
        roots.append(root)
    theta = torch.tensor([float(x) for x in roots], dtype=torch.float64) * (1 + 1e-14)
    proof = certify(f, theta)
    if proof.status is not CertificateStatus.PROVED:
        return False
    at = [flint.arb(x) for x in theta.tolist()]
    true = [curvature(k, x) for k, x in enumerate(at)]
    used = [flint.arb(x) for x in f.hessian(theta).diagonal().tolist()]
    distance = sum(((r - x) ** 2 for r, x in zip(roots, at, strict=True)), flint.arb(0)).sqrt()
    newton = sum(((slope(k, x) / used[k]) ** 2 for k, x in enumerate(at)), flint.arb(0)).sqrt()
    assert distance < proof.distance
    assert newton < proof.eta
    for h, computed in zip(true, used, strict=True):
        assert abs(h - computed) <= proof.hessian_radius
        assert abs(h) >= proof.min_abs_eigenvalue
        assert 1 / abs(computed) <= proof.beta
    assert proof.index == (sum(h < 0 for h in true),) * 2
    return True
