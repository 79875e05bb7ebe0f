"""Twice the precision: never off by more than it says, against 300 bits of Arb."""

from __future__ import annotations

import mpmath
import pytest
import torch
from torch import nn

from morsescape.critical import CertificateStatus, certify, find_critical_point
from morsescape.hessian.gradient import gradient_error, sharp_gradient
from morsescape.nets import build
from morsescape.objective import Objective
from morsescape.rounding import double
from morsescape.rounding.balls import NoErrorRule
from morsescape.rounding.double import Double, erf, exp, log_from_1, logsumexp, sigmoid, sqrt, tanh
from morsescape.rounding.double_machine import DoubleMachine

flint = pytest.importorskip("flint")
arb = flint.arb
ONE = torch.ones(1, dtype=torch.float64)


@pytest.fixture(autouse=True)
def _precision():
    before, flint.ctx.prec = flint.ctx.prec, 300
    yield
    flint.ctx.prec = before


def drawn(*shape: int, scale: float, seed: int) -> Double:
    """Pairs whose low half matters, and which are exact."""
    g = torch.Generator().manual_seed(seed)
    high, low = (torch.randn(*shape, generator=g, dtype=torch.float64) for _ in range(2))
    hi, lo = double._two_sum(scale * high, 2e-17 * scale * low * high)
    return Double(hi, lo, torch.zeros_like(hi))


def exactly(x: Double) -> list[arb]:
    pairs = zip(x.hi.reshape(-1).tolist(), x.lo.reshape(-1).tolist(), strict=True)
    return [arb(hi) + arb(lo) for hi, lo in pairs]


def check(got: Double, true: list[arb]) -> None:
    """Within the radius, and the radius is small."""
    radii = got.rad.reshape(-1).tolist()
    for value, target, radius in zip(exactly(got), true, radii, strict=True):
        assert float(abs(value - target).upper()) <= radius
        assert radius <= 1e-22 * (1 + abs(float(target)))


SCALES = (1e-8, 1e-3, 1.0, 20.0)


@pytest.mark.parametrize("scale", SCALES)
def test_operations_are_within_their_radius(scale):
    x, y = drawn(60, scale=scale, seed=1), drawn(60, scale=1.0, seed=2)
    a, b = exactly(x), exactly(y)
    check(x + y, [p + q for p, q in zip(a, b, strict=True)])
    check(x - y, [p - q for p, q in zip(a, b, strict=True)])
    check(x * y, [p * q for p, q in zip(a, b, strict=True)])
    check(y * y / (Double.exact(torch.ones(60)) + y * y), [q * q / (1 + q * q) for q in b])
    check(x.sum(0), [sum(a, arb(0))])


@pytest.mark.parametrize("scale", SCALES)
def test_functions_are_within_their_radius(scale):
    x = drawn(60, scale=scale, seed=3)
    a = exactly(x)
    check(tanh(x), [p.tanh() for p in a])
    check(sigmoid(x), [1 / (1 + (-p).exp()) for p in a])
    check(erf(x), [p.erf() for p in a])
    negative = Double(-x.hi.abs(), -x.hi.sign() * x.lo, x.rad)
    check(exp(negative), [p.exp() for p in exactly(negative)])
    above = Double.exact(torch.ones(60)) + x * x * x * x
    above = Double(above.hi, above.lo, torch.zeros_like(above.hi))
    check(log_from_1(above), [p.log() for p in exactly(above)])
    rows = x.each(lambda t: t.view(6, 10))
    check(
        logsumexp(rows, 1),
        [sum((p.exp() for p in a[10 * i : 10 * i + 10]), arb(0)).log() for i in range(6)],
    )


@pytest.mark.parametrize("scale", SCALES)
def test_products_of_matrices(scale):
    x, y = drawn(4, 90, scale=scale, seed=4), drawn(90, 3, scale=1.0, seed=5)
    a, b = exactly(x), exactly(y)
    true = [
        sum((a[90 * i + k] * b[3 * k + j] for k in range(90)), arb(0))
        for i in range(4)
        for j in range(3)
    ]
    check(x @ y, true)


def test_data_of_few_bits_needs_few_slices():
    x = Double.exact(torch.arange(256).view(4, 64).double() / 255)
    assert len(double._slices(Double.exact(torch.arange(256).double()), 20)[0]) == 1
    assert len(double._slices(x, 20)[0]) == 3


def test_radii_are_carried_along():
    one = Double(torch.ones(3).double(), torch.zeros(3).double(), torch.full((3,), 1e-3).double())
    big = Double.exact(torch.full((3,), 10.0))
    for got, slope in ((one * big, 10), (one / big, 0.1), (one + big, 1), (exp(one), 2.7)):
        assert bool((got.rad >= 0.99 * slope * 1e-3).all())
    for function, slope in ((tanh, 0.41), (sigmoid, 0.19), (erf, 0.41)):
        assert bool((function(one).rad >= slope * 1e-3).all())
    assert float((big / Double(one.hi, one.lo, 2 * one.hi)).rad.min()) == float("inf")


@pytest.mark.parametrize("largest", [1e-4, 0.3, 2.0, 8.59, 8.7, 30.0])
def test_erf_in_every_range(largest):
    x = Double.exact(torch.linspace(-largest, largest, 41).double())
    check(erf(x), [p.erf() for p in exactly(x)])


def test_a_comparison_that_rounding_could_turn_is_refused():
    machine, near = DoubleMachine(), Double(ONE, 0 * ONE, 1e-9 * ONE)
    ops = torch.ops.aten
    assert bool(machine(ops.gt.Scalar, (near, 0.5), {}))
    assert not bool(machine(ops.lt.Scalar, (near, 0.5), {}))
    with pytest.raises(NoErrorRule, match="nearly equal"):
        machine(ops.gt.Scalar, (near, 1.0), {})
    with pytest.raises(NoErrorRule, match="log1p of negative"):
        machine(ops.log1p.default, (-near,), {})
    with pytest.raises(NoErrorRule, match=r"pow 0\.5"):
        machine(ops.pow.Tensor_Scalar, (near, 0.5), {})


def network(net: str, activation: str = "tanh", seed: int = 0) -> Objective:
    g = torch.Generator().manual_seed(seed)
    x, y = torch.rand(40, 1, 8, 8, generator=g).double(), torch.arange(40) % 10
    model = build(net, image_shape=(8, 8), activation=activation, pool="avg").eval()
    return Objective(model, "cross_entropy", (x, y), l2=1e-3)


CASES = [("mlp2", "tanh"), ("mlp3", "tanh"), ("cnn", "tanh"), ("mlp2", "softplus"), ("cnn", "gelu")]


@pytest.mark.parametrize(("net", "activation"), CASES)
def test_the_sharp_gradient_is_that_of_real_arithmetic(net, activation):
    f = network(net, activation)
    check_sharp(f)


@pytest.mark.parametrize("activation", [nn.GELU("tanh"), nn.SiLU(), nn.Sigmoid(), nn.Mish()])
def test_activations_of_other_models_and_the_squared_error(activation):
    g = torch.Generator().manual_seed(3)
    x, y = torch.randn(20, 4, generator=g), torch.randn(20, 2, generator=g)
    model = nn.Sequential(nn.Linear(4, 5), activation, nn.Linear(5, 2)).eval()
    check_sharp(Objective(model, "mse", (x.double(), y.double())))


def check_sharp(f):
    plain = f.gradient(f.theta)
    found = sharp_gradient(f.source, f.theta, f.l2)
    assert found is not None
    gradient, error = found
    rough = gradient_error(f.source, f.theta, f.l2, plain)
    assert rough is not None
    assert error <= 2.0**-52 * float(gradient.norm())  # no more than that of rounding the result
    assert error < 0.1 * rough
    assert float((gradient - plain).norm()) <= rough + error
    # A difference quotient of the value, whose own error is of the order of h².
    v = torch.randn(f.dim, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    h = 1e-5
    slope = (f.value(f.theta + h * v) - f.value(f.theta - h * v)) / (2 * h)
    assert slope == pytest.approx(float(gradient @ v), abs=1e-7)


def test_what_has_no_rule_is_left_to_float64():
    layers = nn.Linear(4, 5), nn.Softsign(), nn.ELU(), nn.Linear(5, 2)
    x = torch.randn(9, 4, generator=torch.Generator().manual_seed(0)).double()
    f = Objective(nn.Sequential(*layers).eval(), "mse", (x, x[:, :2]))
    assert sharp_gradient(f.source, f.theta, f.l2) is None


def test_a_normalisation_is_sharp():
    layers = nn.Linear(4, 5), nn.LayerNorm(5), nn.Tanh(), nn.Linear(5, 2)
    x = torch.randn(9, 4, generator=torch.Generator().manual_seed(0)).double()
    f = Objective(nn.Sequential(*layers).eval(), "mse", (x, x[:, :2]))
    gradient, bound = sharp_gradient(f.source, f.theta, f.l2)
    torch.testing.assert_close(gradient, f.gradient(f.theta), rtol=1e-12, atol=1e-14)
    assert bound < 1e-15


def test_a_root_is_within_its_radius_of_sixty_digits():
    generator = torch.Generator().manual_seed(0)
    size = 10.0 ** torch.randint(-200, 200, (60,), generator=generator).double()
    high = torch.rand(60, generator=generator, dtype=torch.float64) * size
    x = Double(high, high * 2.0**-55, high * 1e-25)
    root = sqrt(x)
    with mpmath.workdps(60):
        for k in range(60):
            centre = mpmath.mpf(float(x.hi[k])) + mpmath.mpf(float(x.lo[k]))
            found = mpmath.mpf(float(root.hi[k])) + mpmath.mpf(float(root.lo[k]))
            for off in (-1, 0, 1):
                true = mpmath.sqrt(centre + off * mpmath.mpf(float(x.rad[k])))
                assert abs(found - true) <= float(root.rad[k])
    assert bool((root.rad < 1e-24 * root.hi).all())


@pytest.mark.parametrize("case", [("mlp2", "tanh"), ("cnn", "tanh"), ("mlp2", "gelu")])
def test_a_minimum_of_a_network_is_proved(case):
    f = network(*case)
    found = find_critical_point(f, f.theta)
    certificate = found.certificate
    assert certificate.status is CertificateStatus.PROVED
    assert certificate.index == (0, 0)
    assert certificate.distance < 1e-12


@pytest.mark.parametrize("ceil", [False, True])
def test_pooling_that_cuts_windows_is_refused(ceil):
    g = torch.Generator().manual_seed(0)
    x, y = torch.rand(6, 1, 5, 5, generator=g).double(), torch.rand(6, 18, generator=g).double()
    layers = nn.Conv2d(1, 2, 1), nn.Tanh(), nn.AvgPool2d(2, ceil_mode=ceil), nn.Flatten()
    f = Objective(nn.Sequential(*layers).eval(), "mse", (x, y if ceil else y[:, :8]))
    assert (sharp_gradient(f.source, f.theta, f.l2) is None) == ceil


def in_two(fn, *at):
    """The gradient in twice the precision, and its bound."""
    f = Objective.from_function(fn, len(at))
    return sharp_gradient(f.source, torch.tensor(at).double(), f.l2)


NAN = torch.full((1,), torch.nan, dtype=torch.float64)
ROWS = torch.tensor([[torch.inf, 0.0], [1e8 / 7, 1e8 / 9]], dtype=torch.float64)
WHOLE = torch.arange(2)
HUGE = torch.tensor([1e200], dtype=torch.float64)
REFUSED = {
    "a comparison with NaN": (
        lambda t: torch.where(1e305 * t > 20, t - 1, t - 2).square().sum(),
        2.0,
    ),
    "a product with infinity": (lambda t: (ROWS @ (t[:, None] / 3))[1:].square().sum(), 1.0, 2.0),
    "a fill with a number that is rounded": (
        lambda t: (torch.zeros_like(t).fill_(t[0] / 3) * 3 * t[1] - t[0] * t[1]).sum(),
        1.0,
        2.0,
    ),
    "floats of integers": (lambda t: (t * (WHOLE / 3) + t.square()).sum(), 1.0, 2.0),
    "an exponent that is a tensor": (lambda t: (t ** torch.tensor([2.0, 3.0])).sum(), 1.0, 2.0),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_be_wrong_is_refused(name):
    fn, *at = REFUSED[name]
    found = in_two(fn, *at)
    assert found is None or found[1] == float("inf")


def test_a_branch_that_nan_decides_is_no_proof():
    fn, start = REFUSED["a comparison with NaN"]
    f = Objective.from_function(fn, 1)
    at = torch.tensor([start]).double()
    assert float(f.gradient(at)) == 2.0
    assert certify(f, at).status is not CertificateStatus.PROVED


def test_erf_beside_nan():
    found = in_two(lambda t: torch.erf(torch.cat([NAN, t]))[1:].square().sum(), 0.5)
    assert found is not None
    p = arb(0.5)
    true = 4 * p.erf() * (-p * p).exp() / arb.pi().sqrt()
    assert abs(float(found[0]) - float(true)) <= found[1]


def test_rounded_fractions_of_integers_are_an_estimate():
    f = Objective.from_function(REFUSED["floats of integers"][0], 2)
    assert (
        gradient_error(f.source, torch.ones(2).double(), f.l2, f.gradient(torch.ones(2).double()))
        is None
    )
    whole = Objective.from_function(lambda t: (t * WHOLE + t.square() * WHOLE.double()).sum(), 2)
    assert (
        gradient_error(whole.source, torch.ones(2).double(), whole.l2, torch.ones(2).double())
        is not None
    )


def test_division_carries_its_own_underflow():
    tiny, huge = Double.exact(HUGE.reciprocal()), Double.exact(HUGE)
    assert float((tiny / huge).rad) > 0


@pytest.mark.parametrize(
    ("fn", "at", "gradient"),
    [
        (lambda t: t.sum(), (1.0, 2.0), (1.0, 1.0)),
        (lambda t: (t[0] ** 2).sum(0), (1.5, 2.0), (3.0, 0.0)),
        (lambda t: t[:0].sum() + t.square().sum(), (1.0, 2.0), (2.0, 4.0)),
    ],
)
def test_constant_and_empty_parts(fn, at, gradient):
    found = in_two(fn, *at)
    assert found is not None
    assert found[0].tolist() == list(gradient)


def test_a_sum_that_comes_out_below_one_has_a_logarithm():
    hi, lo = torch.tensor([[0.0, -40.0]]).double(), torch.tensor([[-1e-17, 0.0]]).double()
    assert float(logsumexp(Double(hi, lo, torch.zeros_like(hi)), 1).rad) < 1e-20
