"""Functions of one variable on intervals: value, slopes and bends are where they are said to be."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from morsescape.rounding import jet_smooth
from morsescape.rounding.along import Along
from morsescape.rounding.balls import Ball, NoErrorRule
from morsescape.rounding.jet_branches import hull
from morsescape.rounding.jets import Jet, Poly, Undecided, between, ends, narrower
from morsescape.rounding.program import record

X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)).double()
LABELS = torch.tensor([0, 1, 2, 1, 0, 2])
MASK = X > 0


def w(t: Tensor, *shape: int) -> Tensor:
    """Some of the parameters, as a matrix."""
    return t[: math.prod(shape)].view(shape)


SMOOTH = {
    "tanh": lambda t: (X @ w(t, 4, 3)).tanh().sum(),
    "product of two": lambda t: ((X @ w(t, 4, 3)).tanh() @ w(t, 3, 2)).square().mean(),
    "cross-entropy": lambda t: F.cross_entropy(X @ w(t, 4, 3), LABELS),
    "softmax": lambda t: ((X @ w(t, 4, 3)).softmax(1) * X[:, :3]).sum(),
    "log-softmax": lambda t: ((X @ w(t, 4, 3)).log_softmax(1) * X[:, :3]).sum(),
    "attention": lambda t: F.scaled_dot_product_attention(
        w(t, 3, 4)[None], X[None], X[None] * t[0]
    ).sum(),
    "masked attention": lambda t: F.scaled_dot_product_attention(
        w(t, 3, 4)[None], X[:3][None], X[:3][None], attn_mask=torch.ones(3, 3).bool().tril()
    ).square().sum(),
    "heads": lambda t: torch._safe_softmax(X @ w(t, 4, 3), 1).square().sum(),
    "quotient": lambda t: (t[:3] / (2 + t[3:6].square())).sum(),
    "layer norm": lambda t: (F.layer_norm(X @ w(t, 4, 3), (3,)) * X[:, :3]).sum(),
    "gelu": lambda t: F.gelu(X @ w(t, 4, 3)).sum(),
    "silu": lambda t: F.silu(X @ w(t, 4, 3)).sum(),
    "softplus": lambda t: torch.logaddexp(X @ w(t, 4, 3), torch.zeros(6, 3).double()).sum(),
    "powers": lambda t: (t.square() + 1).pow(1.5).sum() + (t.square() + 1).sqrt().prod(),
    "exponentials": lambda t: (t.exp() * t.cos()).sum() + t.sin().expm1().sum(),
    "fixed mask": lambda t: torch.where(MASK, X @ w(t, 4, 4), 0.0).cumsum(0).square().sum(),
    "scatter": lambda t: torch.zeros(9).double().scatter_add(
        0, torch.tensor([1, 1, 3, 8]), t[:4].sin()
    ).square().sum(),
    "convolution": lambda t: (F.conv1d(X[:, None], w(t, 2, 1, 3)).tanh()).sum(),
    "pooled": lambda t: F.avg_pool1d((X @ w(t, 4, 4)).sin()[None], 2).square().sum(),
    "gathered": lambda t: (X @ w(t, 4, 3)).exp().gather(1, LABELS[:, None]).sum(),
    "joined": lambda t: torch.cat([t[:3].sin(), torch.ones(2).double(), t[3:]]).square().sum(),
    "in twos": lambda t: (t.sin().chunk(2)[0] * t.cos().chunk(2)[1]).sum(),
    "a whole number added": lambda t: (3 - t.sin()).square().sum() + (t.cos() + 2).log().sum(),
    "padded with a whole number": lambda t: F.pad(t.sin(), (1, 2), value=3).square().sum(),
    "whole tensors added": lambda t: (t - torch.arange(16)).square().sum() + (
        t.sin() + (torch.arange(16) > 3)
    ).square().sum(),
    "whole tensors joined": lambda t: torch.cat([t.sin(), torch.tensor([1, 2])]).square().sum(),
    "whole tensors chosen": lambda t: torch.where(
        torch.arange(16) > 3, t.sin(), torch.arange(16)
    ).square().sum(),
    "a whole number written": lambda t: t.sin().scatter(
        0, torch.tensor([0, 3]), 2
    ).square().sum(),
    "whole numbers elsewhere": lambda t: torch.where(
        torch.arange(len(t)) % 2 == 0, t.sin(), 2
    ).square().sum(),
    "a gradient through pooling of what is fixed": lambda t: (
        grad(lambda x: (F.max_pool2d(x, 2)[0] * t[:2].sin()).sum())(X[None, 2:]) * X[2:]
    ).sum(),
    "padded": lambda t: F.pad(t.sin(), (1, 2), value=3.0).square().sum(),
}  # fmt: skip

KINKED = {
    "relu": lambda t: (X @ w(t, 4, 3)).relu().square().sum(),
    "abs": lambda t: (X @ w(t, 4, 3)).abs().sum(),
    "leaky": lambda t: F.leaky_relu(X @ w(t, 4, 3), 0.1).sum(),
    "elu": lambda t: F.elu(X @ w(t, 4, 3)).sum(),
    "celu": lambda t: F.celu(X @ w(t, 4, 3), 0.7).sum(),
    "softshrink": lambda t: F.softshrink(X @ w(t, 4, 3), 0.3).square().sum(),
    "huber": lambda t: F.huber_loss(X @ w(t, 4, 3), X[:, :3], delta=0.6),
    "hardtanh": lambda t: F.hardtanh(X @ w(t, 4, 3)).sum(),
    "clamped": lambda t: (X @ w(t, 4, 3)).clamp(-0.5, 0.7).square().sum(),
    "largest": lambda t: (X @ w(t, 4, 3)).amax(1).sum(),
    "least of all": lambda t: (X @ w(t, 4, 3)).min(0).values.sum(),
    "two": lambda t: torch.maximum((X @ w(t, 4, 3)).sin(), X[:, :3]).sum(),
    "smaller": lambda t: torch.minimum(X @ w(t, 4, 3), X[:, :3].cos()).sum(),
    "padded max-pool": lambda t: F.max_pool2d(
        -(X @ w(t, 4, 4)).square()[None, None], 3, 2, padding=1
    ).sum(),
    "max-pool": lambda t: F.max_pool2d((X @ w(t, 4, 4))[None, None].relu(), 2).square().sum(),
}

CURVES = {
    "line": torch.randn(2, 16, generator=torch.Generator().manual_seed(1)).double() * 0.6,
    "parabola": torch.randn(3, 16, generator=torch.Generator().manual_seed(2)).double() * 0.6,
    "quintic": torch.randn(6, 16, generator=torch.Generator().manual_seed(3)).double() * 0.2,
}


def point(coefficients: Tensor, t: Tensor) -> Tensor:
    return sum(c * t**k for k, c in enumerate(coefficients))


def along(function, coefficients: Tensor) -> Along:
    return Along(record(function, coefficients[0]), [Ball(c) for c in coefficients])


def within(numbers: Tensor, ball: Ball | None, slack: float = 1e-12) -> bool:
    low, high = ends(Ball(torch.zeros(()).double()) if ball is None else ball)
    edge = slack * (1 + float(numbers.abs().max()))
    return bool((numbers >= low - edge).all() and (numbers <= high + edge).all())


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("name", SMOOTH)
def test_smooth_functions_and_their_derivatives_are_enclosed(name, curve):
    function, coefficients = SMOOTH[name], CURVES[curve]
    moving = along(function, coefficients)

    def phi(t: Tensor) -> Tensor:
        with sdpa_kernel(SDPBackend.MATH):  # the other kernels have no second derivative
            return function(point(coefficients, t))

    widths = []
    for c, r in ((0.5, 0.25), (0.5, 2.0**-6), (0.5, 2.0**-9)):
        jet = moving.on(c, r)
        assert isinstance(jet, Jet)
        times = torch.linspace(c - r, c + r, 33, dtype=torch.float64)
        assert within(torch.stack([phi(t) for t in times]), jet.range)
        assert within(torch.stack([grad(phi)(t) for t in times]), jet.slopes)
        bends = torch.stack([grad(grad(phi))(t) for t in times])
        assert within(bends, jet.bends, 1e-9)
        centre = torch.tensor(c, dtype=torch.float64)
        assert within(phi(centre)[None], jet.value)
        assert within(grad(phi)(centre)[None], jet.slope)
        widths.append(float(jet.bends.radius()))
    # The radius of what bends shrinks with the interval, here 8 times shorter.
    assert widths[2] <= max(widths[1] / 6, 1e-9 * (1 + float(bends.abs().max())))


@pytest.mark.parametrize("curve", ["line", "parabola"])
@pytest.mark.parametrize("name", KINKED)
def test_kinks_are_enclosed_by_their_slopes(name, curve):
    function, coefficients = KINKED[name], CURVES[curve]
    moving, kinked = along(function, coefficients), 0
    for c, r in ((0.5, 0.5), (0.25, 0.25), (0.75, 0.0625), (0.5, 2.0**-10)):
        jet = moving.on(c, r)
        times = torch.linspace(c - r, c + r, 201, dtype=torch.float64)
        values = torch.stack([function(point(coefficients, t)) for t in times])
        assert within(values, jet.range)
        assert within(values.diff() / times.diff(), jet.slopes, 1e-9)
        kinked += int(not bool(ends(jet.bends)[1].isfinite())) if jet.bends is not None else 0
    assert kinked >= 1  # somewhere on the whole curve


def test_torchs_own_derivative_is_probed(monkeypatch):
    """Of an operation without one, torch says that it is 0."""
    line = torch.tensor([[0.3], [1.0]]).double()
    along(lambda t: t.sin().sum(), line).on(0.5, 0.5)
    monkeypatch.setattr(
        jet_smooth, "jvp", lambda f, x, v: (f(*x), torch.func.jvp(f, x, v)[1] * 1.1)
    )
    with pytest.raises(NoErrorRule, match="sin, of which torch has another derivative"):
        along(lambda t: t.sin().sum(), line).on(0.5, 0.5)


def test_where_kinks_are_apart_second_derivatives_are_known():
    moving = along(
        lambda t: t.relu().square().sum(), torch.tensor([[1.0, -1.0], [0.5, 0.25]]).double()
    )
    jet = moving.on(0.5, 0.25)
    low, high = ends(jet.bends)
    assert float(low) <= 0.5 <= float(high) < 0.5 + 1e-12


def test_a_condition_of_ones_own_that_turns_is_refused_by_name():
    jump = along(
        lambda t: torch.where(t > 0.3, t, 2 * t).sum(), torch.tensor([[0.0], [1.0]]).double()
    )
    jump.on(0.75, 0.25)
    with pytest.raises(Undecided, match="where, whose condition changes"):
        jump.on(0.25, 0.25)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda t: t.floor().sum(), "floor"),
        (lambda t: t.float().sum().double(), "conversion to torch.float32"),
        (lambda t: (t > 0.5).double().sum(), "comparison"),
        (lambda t: t.sort().values[0], "sort"),
        (lambda t: t.view(2, 1)[torch.arange(2), t.view(2, 1).max(1).indices].sum(), "index"),
        (lambda t: F.embedding(t.view(1, 2).min(1).indices, t.view(2, 1)).sum(), "index"),
    ],
)
def test_what_nothing_is_known_of_has_its_name(function, words):
    with pytest.raises(NoErrorRule, match=words):
        along(function, torch.tensor([[0.0, 1.0], [1.0, 2.0]]).double()).on(0.5, 0.5)


def test_numbers_that_are_none_say_nothing():
    nan = torch.tensor(math.nan, dtype=torch.float64)
    assert [float(x) for x in ends(Ball(nan.new_zeros(()), nan))] == [-math.inf, math.inf]
    assert float(between(torch.tensor(-math.inf), torch.tensor(math.inf)).rad) == math.inf


def test_the_rounding_of_radii_is_counted():
    """All products of the slopes' radius with these numbers are rounded down."""
    factors, radius = [], 1 + 2.0**-48
    for _ in range(200):
        some = [1 + k * 2.0**-30 for k in range(1, 9)]
        lost = {c: Fraction(radius * c) / Fraction(radius) / Fraction(c) for c in some}
        factors.append(min(some, key=lost.__getitem__))
        radius *= factors[-1]

    def scaled(t: Tensor) -> Tensor:
        x = t.abs()
        for c in factors:
            x = x * c
        return x.sum()

    jet = along(scaled, torch.tensor([[-0.5], [1.0]]).double()).on(0.5, 0.5)
    assert Fraction(float(ends(jet.slopes)[1])) >= math.prod(map(Fraction, factors))


@pytest.mark.filterwarnings("ignore:var")
def test_a_variance_of_fewer_numbers_than_its_correction_is_none():
    few = along(lambda t: t.var(correction=2.5), torch.tensor([[0.0, 1.0], [1.0, 3.0]]).double())
    assert float(few.on(0.5, 0.5).value.radius()) == math.inf


def test_a_sign_is_known_where_it_does_not_jump():
    moving = along(lambda t: (t.sign() * t).sum(), torch.tensor([[-0.5], [1.0]]).double())
    assert within(torch.tensor([0.125, 0.375]).double(), moving.on(0.75, 0.125).range)
    with pytest.raises(Undecided, match="sign, which jumps"):
        moving.on(0.5, 0.5)


def test_whole_numbers_beyond_what_float64_holds_are_enclosed():
    big = torch.tensor(2**53 + 1)
    line = torch.tensor([0.0, 1.0]).double()
    low, high = ends(along(lambda t: torch.where(t > 5, t, big), line).on(0.5, 0.5).value)
    assert low.item() <= 2**53 + 1 <= high.item()


def test_hull_and_narrower():
    a, b = (
        Ball(torch.tensor(x).double(), torch.tensor(r).double())
        for x, r in ((1.0, 0.5), (3.0, 0.1))
    )
    low, high = ends(hull(a, b))
    assert float(low) <= 0.5
    assert float(high) >= 3.1
    assert narrower(a, b).mid == 3.0


def test_a_polynomial_is_the_same_on_every_interval():
    poly = Poly(
        [Ball(torch.tensor(float(k)).double()) for k in (1, 2, 3, 4)], torch.zeros(()).double()
    )

    def value(t: float) -> float:
        return 1 + 2 * t + 3 * t**2 + 4 * t**3

    jet = poly.at(0.5, 0.25)
    assert within(torch.tensor([value(0.25 + k / 40) for k in range(21)]).double(), jet.range)
    low, high = ends(jet.bends)  # 6 + 24 t
    assert float(low) <= 12
    assert 24 <= float(high) < 24 + 1e-9
    assert within(
        vmap(lambda t: 2 + 6 * t + 12 * t * t)(torch.linspace(0.25, 0.75, 9).double()), jet.slopes
    )
