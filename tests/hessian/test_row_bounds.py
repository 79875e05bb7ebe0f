"""Bounds of a Hessian's error for each row, as an order of symmetric matrices."""

import pytest
import torch
from torch import nn

from morsescape import Objective
from morsescape.hessian.dense import exact_hessian, hessian_on_box

WIDTH = 1e-5


def data(*shape, classes=3):
    x = torch.rand(*shape, generator=torch.Generator().manual_seed(0)).double()
    return x, torch.arange(len(x)) % classes


MODELS = {
    "deep": (lambda: nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4), nn.Tanh(),
                                   nn.Linear(4, 3)), (40, 6)),
    "without a bias": (lambda: nn.Sequential(nn.Linear(6, 5, bias=False), nn.Tanh(),
                                             nn.Linear(5, 3)), (40, 6)),
    "relu": (lambda: nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)), (40, 6)),
    "parameters one by one": (lambda: nn.Sequential(nn.Linear(6, 5), nn.LayerNorm(5), nn.Tanh(),
                                                    nn.Linear(5, 3)), (40, 6)),
    "convolutions": (lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.AvgPool2d(2),
                                           nn.Conv2d(2, 3, 2), nn.Tanh(), nn.Flatten(),
                                           nn.Linear(3, 3)), (20, 1, 6, 6)),
    "several positions": (lambda: nn.Sequential(nn.Linear(4, 20), nn.Tanh(), nn.Linear(20, 3),
                                                nn.Flatten(), nn.Tanh(), nn.Linear(9, 3)),
                          (20, 3, 4)),
}  # fmt: skip


def landscape(name):
    torch.manual_seed(0)
    make, shape = MODELS[name]
    x, y = data(*shape)
    if x.ndim == 2:
        x[:, -1] *= torch.arange(len(x)) == 3  # nonzero on one sample
    return Objective(make().double().eval(), "cross_entropy", (x, y))


def share(error, spread):
    """The largest |eigenvalue| of diag(s)^(-1/2) error diag(s)^(-1/2): at most 1, if s is right."""
    scale = spread.rsqrt()
    return float(torch.linalg.eigvalsh(error * scale[:, None] * scale).abs().max())


@pytest.mark.parametrize("name", MODELS)
def test_holds_on_a_box_and_is_no_empty_claim(name):
    """On a box the error is large enough to be seen: corners of it are within the bound."""
    f = landscape(name)
    middle = hessian_on_box(f.source, f.theta, WIDTH)
    largest = by_norm = 0.0
    for seed in range(4):
        corner = torch.randn(f.dim, generator=torch.Generator().manual_seed(seed)).double().sign()
        there = exact_hessian(f.source, f.theta + WIDTH * corner).matrix
        error = there - middle.matrix
        largest = max(largest, share(error, middle.spread))
        by_norm = max(by_norm, float(torch.linalg.matrix_norm(error, 2)) / middle.radius)
    assert by_norm / 2 < largest <= 1  # as good a bound as the norm's, and a bound


@pytest.mark.parametrize("name", MODELS)
def test_rounding_is_bounded_for_each_row(name):
    """It is there and finite, and nowhere better than the rounding of the diagonal."""
    f = landscape(name)
    found = exact_hessian(f.source, f.theta)
    assert found.estimate is None
    assert bool((found.spread >= 0).all())
    assert bool(found.spread.isfinite().all())
    assert bool((found.spread >= 2.0**-53 * found.matrix.diagonal().abs()).all())


def test_rare_inputs_have_small_bounds():
    f = landscape("deep")
    spread = exact_hessian(f.source, f.theta).spread
    weights = spread[:30].view(5, 6)
    assert float(weights[:, -1].max()) < 0.2 * float(weights[:, :-1].max())


def test_a_divisor_that_is_rounded_counts():
    """Shares of a weighted mean: the relative error of the sum of weights is in the bound."""
    torch.manual_seed(0)
    x, y = data(30, 4)
    loss = nn.CrossEntropyLoss(weight=torch.tensor([0.1, 0.2, 0.3]).double())
    f = Objective(nn.Linear(4, 3).double(), loss, (x, y))
    scale = f.source.loss.scale_error
    assert scale > 0
    found = exact_hessian(f.source, f.theta)
    assert bool((found.spread >= scale * found.matrix.diagonal().abs()).all())


def test_of_a_function_by_entries():
    f = Objective.from_function(lambda t: (t[0] ** 2 + 1e-8 * t[1] ** 3) ** 2, 2)
    theta = torch.tensor([1.0, 2.0]).double()
    found = hessian_on_box(f.source, theta, 1e-3)
    for corner in ([1.001, 2.001], [0.999, 2.001], [1.001, 1.999]):
        there = exact_hessian(f.source, torch.tensor(corner).double()).matrix
        assert share(there - found.matrix, found.spread) <= 1
    assert found.spread[1] < 1e-4 * found.spread[0]
