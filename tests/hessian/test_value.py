"""The Hessian at a point as one value: what it gives agrees, and is the caller's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import eigsh
from torch import nn

import morsescape as ms
from morsescape.hessian.solver import eigenpairs
from networks import classifier, double_backward


@pytest.fixture
def hessian() -> ms.Hessian:
    f = classifier((5, 4, 3)).at_l2(0.3)
    f.network.x[:, 2] = 0  # rows that are exactly zero in Hess L
    return f.hessian_at(f.theta)


def test_all_its_forms_are_one_matrix(hessian: ms.Hessian) -> None:
    f = hessian.f
    dense, v = hessian.dense(), torch.linspace(-1, 1, f.dim).double()
    torch.testing.assert_close(dense, double_backward(f), rtol=0, atol=1e-12)
    torch.testing.assert_close(hessian.mv(v), f.hvp(hessian.theta, v), rtol=0, atol=1e-12)
    torch.testing.assert_close(hessian.mm(torch.eye(f.dim).double()), dense)
    values, vectors = hessian.eigh()
    torch.testing.assert_close(dense @ vectors, vectors * values, rtol=0, atol=1e-12)
    assert bool((values.diff() >= 0).all())
    assert abs(hessian.norm - float(dense.norm())) < 1e-12
    solve = hessian.factor()
    assert solve is not None
    torch.testing.assert_close(dense @ solve(v), v, rtol=0, atol=1e-10)
    (largest,) = eigsh(hessian.to_scipy(), k=1, which="LA", return_eigenvectors=False)
    assert abs(largest - float(values[-1])) < 1e-10
    operator = hessian.to_scipy()
    columns = np.stack([v.numpy(), v.numpy() ** 2], 1)
    np.testing.assert_allclose(operator @ columns, dense.numpy() @ columns, atol=1e-12)
    np.testing.assert_allclose(operator.T @ v.numpy(), dense.numpy() @ v.numpy(), atol=1e-12)


def test_nobody_alters_it(hessian: ms.Hessian) -> None:
    before, theta = hessian.dense(), hessian.f.theta.clone()
    again = hessian.f.hessian_at(theta)
    theta.zero_()
    hessian.dense().zero_()
    ms.inertia(hessian), ms.certify(hessian), hessian.factor(), hessian.eigh()
    ms.inertia(hessian, method="eigh", raw=True)
    assert torch.equal(hessian.dense(), before)
    assert torch.equal(again.dense(), before)


@pytest.mark.parametrize("l2", [0.0, 0.1, 1e10])
def test_the_radius_holds_the_ridge(l2: float) -> None:
    f = ms.Objective.from_function(lambda t: t[0] ** 2 / 3 + t[0] * t[1], 2, l2=l2)
    hessian = f.hessian_at([0.3, 0.7])
    assert hessian.enclose().radius <= hessian.radius
    ridge = torch.finfo(torch.float64).eps / 2 * 2 * l2
    assert hessian.radius >= hessian.enclose().radius + 0.99 * ridge


def test_it_says_why_it_is_no_proof() -> None:
    f = ms.Objective.from_function(lambda t: torch.special.i0(t).sum(), 2)
    assert "i0" in f.hessian_at([0.1, 0.2]).estimate
    g = ms.Objective.from_function(lambda t: t @ t, 2)
    assert g.hessian_at([0.1, 0.2]).estimate is None
    assert g.hessian_at([0.1, 0.2], bounded=False).estimate == "rounding was not followed"


def test_value_and_gradient_are_those_of_f(hessian: ms.Hessian) -> None:
    f = hessian.f
    assert hessian.value == f.value_and_gradient(hessian.theta)[0]
    gradient, error = hessian.enclosed_gradient()
    assert error is not None
    assert error < 1e-15
    assert torch.equal(gradient, hessian.gradient)
    assert float((gradient - f.gradient(hessian.theta)).norm()) < 1e-12


def test_signs_that_are_all_decided_are_not_counted_again(hessian: ms.Hessian) -> None:
    fresh, by_ldl = hessian.f.hessian_at(hessian.theta), ms.inertia(hessian)
    assert ms.certify(fresh).min_abs_eigenvalue > 0
    known = ms.inertia(fresh)
    assert (by_ldl.method, known.method) == ("ldl", "eigh")
    assert (known.negative, known.null, known.positive) == (
        by_ldl.negative, by_ldl.null, by_ldl.positive,
    )  # fmt: skip
    assert known.radius < 1e-10


def test_models_with_no_layers_have_one_too() -> None:
    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Parameter(torch.tensor([0.5, 0.3]))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.sin(self.a * x)

    x = torch.linspace(-1, 1, 10).reshape(5, 2)
    f = ms.Objective(Scale(), "mse", (x, x))
    torch.testing.assert_close(
        f.hessian_at(f.theta).dense(), double_backward(f), rtol=0, atol=1e-13
    )


GRADED = (  # upper triangle of an 11 by 11 matrix on which divide and conquer does not converge
    (1, 6, "0x1.2ee2030db65acp+493"), (1, 7, "-0x1.2e3b46042dc6bp+493"),
    (1, 8, "0x1.2e3b46042dc6bp+493"), (6, 7, "-0x1.f19f3c1409f30p-338"),
    (6, 8, "0x1.f19f3c1409f30p-338"), (9, 9, "0x1.34e32cd229fc8p-56"),
    (9, 10, "-0x1.34e32cd229fc8p-56"),
)  # fmt: skip


def test_a_matrix_graded_over_hundreds_of_orders_has_eigenpairs():
    matrix = torch.zeros(11, 11, dtype=torch.float64)
    for i, j, digits in GRADED:
        matrix[i, j] = matrix[j, i] = float.fromhex(digits)
    with pytest.raises(torch.linalg.LinAlgError):
        torch.linalg.eigh(matrix)
    values, vectors = eigenpairs(matrix)
    residual = matrix @ vectors - vectors * values
    assert float(residual.abs().max()) < 1e-14 * float(matrix.abs().max())
    assert torch.allclose(vectors.t() @ vectors, torch.eye(11).double(), atol=1e-13)
