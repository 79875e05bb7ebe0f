"""Models and step rules against their definitions."""

from __future__ import annotations

import pytest
import torch

from morsescape.critical.quadratic_model import Factored, dense_model, krylov_model
from morsescape.critical.step_rules import cubic, levenberg, saddle_free, trust_region


def model_of(hessian, gradient):
    return dense_model(*torch.linalg.eigh(hessian), gradient)


def problem(n: int, lowest: float, seed: int):
    generator = torch.Generator().manual_seed(seed)
    q, _ = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64))
    w = torch.linspace(lowest, 5.0, n, dtype=torch.float64)
    return q @ torch.diag(w) @ q.t(), torch.randn(n, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("lowest", [-2.0, 0.0, 0.5])
@pytest.mark.parametrize("radius", [1e-3, 0.5, 100.0])
def test_trust_region_is_not_beaten_by_any_sample(lowest, radius):
    h, g = problem(6, lowest, 0)
    model = model_of(h, g)
    y = trust_region(model, radius)
    assert float(y.norm()) <= radius * (1 + 1e-9)
    generator = torch.Generator().manual_seed(1)
    best = model.decrease(y)
    for scale in (1.0, 0.5):
        for _ in range(300):
            z = torch.randn(6, generator=generator, dtype=torch.float64)
            assert model.decrease(scale * radius * z / z.norm()) <= best * 1.03 + 1e-15


def test_trust_region_hard_case():
    model = dense_model(
        *torch.linalg.eigh(torch.diag(torch.tensor([-1.0, 2.0]).double())), torch.zeros(2).double()
    )
    y = trust_region(model, 3.0)
    assert abs(abs(float(y[0])) - 3) < 1e-9
    assert model.decrease(y) == pytest.approx(4.5)


@pytest.mark.parametrize("slope", [0.0, 0.8e-10, -0.8e-10])
def test_in_the_hard_case_the_step_is_as_long_as_the_radius(slope):
    """Also where the slope along the lowest curvature is not quite zero."""
    hessian = torch.diag(torch.tensor([-1.0, 2.0]).double())
    model = model_of(hessian, torch.tensor([slope, 0.0]).double())
    y = trust_region(model, 1.0)
    assert float(y.norm()) == pytest.approx(1.0)
    assert model.decrease(y) == pytest.approx(0.5)


def test_rules_are_newton_near_a_minimum():
    h, g = problem(5, 0.5, 2)
    model, newton = model_of(h, g), -torch.linalg.solve(*problem(5, 0.5, 2))
    for rule in (trust_region, saddle_free, levenberg):
        assert torch.allclose(model.step(rule(model, 1e3)), newton, atol=1e-12)
    assert torch.allclose(model.step(cubic(model, 1e12)), newton, atol=1e-6)


def test_saddle_free_flips_and_levenberg_does_not():
    h, g = torch.diag(torch.tensor([-2.0, 4.0]).double()), torch.ones(2).double()
    model = model_of(h, g)
    assert torch.allclose(model.step(saddle_free(model, 9.0)), torch.tensor([-0.5, -0.25]).double())
    assert torch.allclose(model.step(levenberg(model, 9.0)), torch.tensor([0.5, -0.25]).double())


@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
def test_cubic_is_stationary(scale):
    h, g = problem(6, -1.0, 3)
    s = model_of(h, g).step(cubic(model_of(h, g), scale))
    assert float((g + h @ s + s.norm() / scale * s).norm()) < 1e-8 * float(g.norm()) + 1e-10


@pytest.mark.parametrize("preconditioned", [False, True])
def test_krylov_models_agree_with_the_dense_one(preconditioned):
    h, g = problem(40, 0.01, 4)
    metric = Factored(h.clone() + 0.1 * torch.eye(40).double(), 0.0) if preconditioned else None
    model = krylov_model(lambda v: h @ v, g, size=40, tolerance=1e-13, metric=metric)
    newton = -torch.linalg.solve(h, g)
    assert torch.allclose(model.step(trust_region(model, 1e9)), newton, rtol=1e-7)
    assert len(model.values) <= 40


def test_a_good_factor_saves_products():
    h, g = problem(60, 1e-4, 5)
    products = []
    for metric in (None, Factored(h.clone() * 1.1, 0.0)):
        count = [0]

        def product(v, count=count):
            count[0] += 1
            return h @ v

        krylov_model(product, g, size=60, tolerance=1e-8, metric=metric)
        products.append(count[0])
    assert products[1] <= 4 < products[0]


def test_factor_of_an_indefinite_matrix_is_shifted():
    h, _ = problem(20, -3.0, 6)
    factored = Factored(h.clone(), 1e-4)
    assert factored.shift > 3.0
    v = torch.ones(20).double()
    shifted = h + factored.shift * torch.eye(20).double()
    assert torch.allclose(
        factored.solve_transposed(factored.solve(v)), torch.linalg.solve(shifted, v)
    )
