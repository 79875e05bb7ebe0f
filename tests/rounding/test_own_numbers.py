"""Numbers that torch computes within its functions are not what they are rounded to."""

from __future__ import annotations

import flint
import pytest
import torch
import torch.nn.functional as F
from flint import arb
from torch import Tensor, nn

from morsescape.hessian.gradient import sharp_gradient
from morsescape.objective import Objective
from morsescape.rounding.balls import Rounded
from morsescape.rounding.program import record
from morsescape.rounding.written_out import written_out

GOAL = [0.25, 0.3125, 0.4375]  # their sum is exactly 1


def numbers(function, x: Tensor) -> dict[float, bool]:
    """The numbers in a function's program, and whether they are marked."""
    found = {}
    for step in record(function, x).steps:
        found.update({abs(float(a)): isinstance(a, Rounded) for a in step.args if type(a) in KINDS})
    return found


KINDS = (float, Rounded)


@pytest.mark.parametrize(
    ("function", "number", "marked"),
    [
        (lambda x: (x * 0.3).sum(), 0.3, False),
        (lambda x: torch.func.grad(lambda t: (t * 0.3).exp().sum())(x), 0.3, False),
        (lambda x: F.cross_entropy(x, x.new_ones(3, 3), label_smoothing=0.2), 0.8, True),
        (lambda x: F.lp_pool1d(x[None].exp(), 3.0, 2).sum(), 1 / 3, True),
        (lambda x: F.gaussian_nll_loss(x, x, x.exp(), full=True), 0.9189385332046727, True),
        (lambda x: F.rrelu(x).sum(), (1 / 8 + 1 / 3) / 2, True),
    ],
    ids=["own", "own, differentiated", "smoothing", "power", "density", "slope"],
)
def test_a_number_that_nobody_handed_over_is_marked(function, number, marked):
    x = torch.randn(3, 3, generator=torch.Generator().manual_seed(0)).double()
    assert numbers(function, x)[number] is marked
    with written_out():  # as within a model
        assert numbers(function, x)[number] is marked


def logits(t: list[arb]) -> list[arb]:
    """∂/∂z of the smoothed cross-entropy: softmax(z) - q, q = (1 - ε) p + ε/3, Σq = 1."""
    epsilon, total = arb(0.2), sum((v.exp() for v in t), arb(0))
    return [
        v.exp() / total - ((1 - epsilon) * arb(p) + epsilon / 3)
        for v, p in zip(t, GOAL, strict=True)
    ]


BEST = (
    torch.tensor(GOAL, dtype=torch.float64) * 0.8 + 0.2 / 3
).log()  # there the gradient is rounding


def constant_model() -> Objective:
    """The logits themselves are the parameters: the bias of a layer whose input is 0."""
    model = nn.Linear(1, 3).double().eval()
    with torch.no_grad():
        model.weight.zero_()
        model.bias.copy_(BEST)
    data = torch.zeros(1, 1).double(), torch.tensor([GOAL], dtype=torch.float64)
    return Objective(model, nn.CrossEntropyLoss(label_smoothing=0.2), data)


START = [0.7, 1.3]


def attention(t: list[arb]) -> list[arb]:
    """∇ of σ(a c / √3) - p·(a, c), p what float64 has of the first term's gradient at START."""
    a, c = t
    s = 1 / (1 + (-(a * c) / arb(3).sqrt()).exp())
    slope = s * (1 - s) / arb(3).sqrt()
    return [slope * c - arb(SLOPE[0]), slope * a - arb(SLOPE[1])]


def slopes() -> list[float]:
    s = torch.sigmoid(torch.tensor(START[0] * START[1], dtype=torch.float64) / 3**0.5)
    slope = float(s * (1 - s)) / 3**0.5
    return [slope * START[1], slope * START[0]]


SLOPE = slopes()


def attend(t: Tensor) -> Tensor:
    """One query a e₁, keys c e₁ and 0, of which the first has value 1."""
    e = torch.eye(3, dtype=torch.float64)
    keys = torch.stack([t[1] * e[0], 0 * e[0]])
    values = torch.tensor([[1.0, 0, 0], [0, 0, 0]], dtype=torch.float64)
    query = (t[0] * e[0])[None, None]
    seen = F.scaled_dot_product_attention(query, keys[None], values[None]).sum()
    return seen - (t * torch.tensor(SLOPE, dtype=torch.float64)).sum()


def by_function(function, point: list[float]) -> Objective:
    f = Objective.from_function(function, len(point))
    f.theta = torch.tensor(point, dtype=torch.float64)
    return f


@pytest.mark.parametrize(
    ("f", "exact", "digits"),
    [
        (constant_model(), logits, 1e-23),
        (by_function(attend, START), attention, 1e-23),
    ],
    ids=["smoothing", "attention"],
)
def test_the_gradient_is_within_its_radius(f, exact, digits):
    """Where it is all rounding: 1 - ε was once taken for what float64 has of it, and a distance
    of 7.5e-17 proved that was 9.4e-17."""
    before, flint.ctx.prec = flint.ctx.prec, 300
    try:
        sharp, bound = sharp_gradient(f.source, f.theta, 0.0)
        point = [arb(x) for x in f.theta.tolist()]
        true = exact(point[-3:] if len(point) > 3 else point)
        off = [arb(c) - t for c, t in zip(sharp.tolist()[-len(true) :], true, strict=True)]
        assert 0 < float(sum((x * x for x in off), arb(0)).sqrt()) <= bound < digits
    finally:
        flint.ctx.prec = before
