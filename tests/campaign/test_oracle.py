"""The oracle of the campaign by itself: jets, signs, and definitions against torch."""

import copy
import math
import random
from fractions import Fraction

import pytest
import torch
from campaign.checks import newton, truth
from campaign.definitions import forward
from campaign.signs import exact_signs, rows_of, settled
from torch import nn
from torch.func import functional_call

from campaign import exact as X
from campaign import (
    images,  # noqa: F401
    models,
)


def hessian_of(formula, point):
    return [[float(x) for x in row] for row in truth(formula, point).hessian.tolist()]


def test_product_and_quotient_rules():
    found = hessian_of(lambda t: t[0] * t[0] * t[1] / t[2], [2.0, 3.0, 4.0])
    expected = [[1.5, 1.0, -0.75], [1.0, 0.0, -0.25], [-0.75, -0.25, 0.375]]
    assert [x for row in found for x in row] == pytest.approx([x for r in expected for x in r])


@pytest.mark.parametrize(
    "name",
    "exp log sin cos tan tanh sinh cosh atan asinh asin acos atanh erf erfc sigmoid sqrt log1p "
    "expm1 reciprocal lgamma softplus".split(),
)
def test_functions_of_one_variable_have_their_own_derivatives(name):
    function = getattr(X, name)
    at = truth(lambda t: function(t[0]), [0.3])
    step = 2.0**-20
    values = [truth(lambda t: function(t[0]), [0.3 + k * step]) for k in (-1, 0, 1)]
    low, mid, high = (v.value for v in values)
    with X.precision(192):
        slope, bend = float((high - low) / (2 * step)), float((high - 2 * mid + low) / step**2)
    assert float(at.gradient[0]) == pytest.approx(slope, rel=1e-9)
    assert float(at.hessian[0, 0]) == pytest.approx(bend, rel=1e-9)


def test_a_moving_number_on_its_threshold_has_no_hessian():
    with pytest.raises(X.AtKink, match="relu"):
        truth(lambda t: X.pieces(t[0] - 1.0, "relu", lambda x: 0 * x, 0, lambda x: x), [1.0])
    flat = truth(lambda t: X.pieces(1.0, "relu", lambda x: 0 * x, 1, lambda x: x) + t[0], [1.0])
    assert float(flat.gradient[0]) == 1.0


def test_rounding_does_not_decide_a_branch():
    formula = lambda t: X.pieces((t[0] + 1) - 1, "relu", lambda x: 0 * x, 0, lambda x: x * x)  # noqa: E731
    assert hessian_of(formula, [1e-20]) == [[2.0]]
    assert hessian_of(formula, [-1e-20]) == [[0.0]]


def test_the_smallest_probability_keeps_its_digits():
    at = truth(lambda t: X.softmax(list(t))[1], [800.0, 0.0])
    with X.precision(192):
        assert float(at.gradient[1] * X.number(800).exp()) == pytest.approx(1.0, rel=1e-15)


def test_exact_signs_of_integer_matrices():
    assert exact_signs([[0.0, 1.0], [1.0, 0.0]]) == (1, 0, 1)
    assert exact_signs([[1.0, 1.0], [1.0, 1.0]]) == (0, 1, 1)
    assert exact_signs([[1.0, 1.0], [1.0, 1.0]], Fraction(2)) == (1, 1, 0)
    assert exact_signs([[0.0, 0.0], [0.0, 0.0]]) == (0, 2, 0)
    assert exact_signs([[1.0, 1.0], [1.0, math.nextafter(1.0, 0.0)]]) == (1, 0, 1)


def test_signs_settle_at_the_precision_they_need():
    at = truth(lambda t: t[0] * t[0] + X.exp(-t[1] * 400) * t[1], [1.0, 2.0])
    assert at.signs() == ((0, 0, 2), True)
    null = truth(lambda t: X.softplus(t[0] - t[1]), [0.3, 0.3])
    assert null.signs()[0] == (0, 1, 1)
    assert settled(lambda: rows_of(null.again()))[0] == (0, 1, 1)


def test_newton_finds_a_critical_point_to_thirty_digits():
    point = newton(lambda t: X.cosh(t[0] - 0.5) + t[1] * t[1] * t[0], [0.45, 0.01], 0.0)
    with X.precision(192):
        assert abs(float(point[0] - 0.5)) < 1e-30
        assert abs(float(point[1])) < 1e-30


def by_torch(drawn, theta):
    """Value, gradient and Hessian by torch's double backward."""
    model = copy.deepcopy(drawn.model).double()
    x, y = (t.double() if t.is_floating_point() else t for t in (drawn.x, drawn.y))
    loss = {"cross_entropy": nn.CrossEntropyLoss(), "mse": nn.MSELoss()}.get(drawn.loss, drawn.loss)
    loss = copy.deepcopy(loss).double() if isinstance(loss, nn.Module) else loss
    names = {n: p.shape for n, p in model.named_parameters()}

    def f(t):
        parts = t.split([s.numel() for s in names.values()])
        weights = {n: p.view(s) for (n, s), p in zip(names.items(), parts, strict=True)}
        return loss(functional_call(model, weights, (x,)), y)

    with nn.attention.sdpa_kernel(nn.attention.SDPBackend.MATH):
        return f(theta), torch.autograd.functional.hessian(f, theta)


# Torch's derivative is not that of f there, or it has none.
NOT_THEIRS = {
    "Embedding", "EmbeddingBag", "Hardsigmoid", "MultiMarginLoss", "GaussianNLLLoss", "Exponent",
    "CELU",
}  # fmt: skip


@pytest.mark.parametrize("start", range(0, 80, 20))
def test_definitions_agree_with_torch(start):
    compared = 0
    for seed in range(start, start + 20):
        drawn = models.draw(random.Random(f"models {seed}"))
        if drawn.ruined or drawn.model.extreme or NOT_THEIRS & set(drawn.parts):
            continue
        theta = torch.cat([p.detach().reshape(-1) for p in drawn.model.parameters()]).double()
        try:
            true = truth(drawn.formula(), theta.tolist())
        except (X.AtKink, X.NoTruth):
            continue
        value, matrix = by_torch(drawn, theta)
        exact = torch.tensor([float(e) for e in true.hessian.entries()]).double()
        assert float(value) == pytest.approx(float(true.value), rel=1e-8, abs=1e-9), seed
        off = float((matrix.reshape(-1) - exact).abs().max())
        assert off <= 1e-6 * (1 + float(exact.abs().max())), (seed, drawn.parts)
        compared += 1
    assert compared >= 8


def test_a_layer_without_a_definition_is_said_so():
    with pytest.raises(X.NoTruth, match="no definition of Fold"):
        forward(nn.Fold(2, 2), None, lambda p: X.array(p))
