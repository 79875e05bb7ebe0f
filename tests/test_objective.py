"""f, its gradient, its Hessian and its products, against autograd and closed forms."""

import pytest
import torch
from torch import nn

from morsescape.errors import ArgumentError
from morsescape.objective import Objective
from networks import classifier, double_backward, labelled, mlp


def flat_gradient(f):
    net, theta = f.network, f.theta.clone().requires_grad_()
    loss = net.chunk_loss(net.unflatten(theta), net.x, net.y) + f.l2 * theta @ theta
    return loss.item(), torch.autograd.grad(loss, theta)[0]


@pytest.mark.parametrize("l2", [0.0, 0.3])
def test_value_gradient_and_products_agree_with_autograd(l2):
    f = classifier(l2=l2)
    value, gradient = flat_gradient(f)
    hessian = double_backward(f)
    v = torch.linspace(-1, 1, f.dim, dtype=torch.float64)
    assert f.value(f.theta) == pytest.approx(value, rel=1e-14)
    torch.testing.assert_close(f.gradient(f.theta), gradient, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(f.hvp(f.theta, v), hessian @ v, rtol=1e-11, atol=1e-13)
    torch.testing.assert_close(f.hessian(f.theta), hessian, rtol=1e-11, atol=1e-13)


def test_chunks_of_unequal_size_weigh_every_sample_alike(monkeypatch):
    f = classifier(samples=41)
    whole = f.value_and_gradient(f.theta)
    f._chunk = 8
    value, gradient = f.value_and_gradient(f.theta)
    assert value == pytest.approx(whole[0], rel=1e-14)
    torch.testing.assert_close(gradient, whole[1], rtol=1e-12, atol=1e-15)


def test_theta_is_in_the_order_of_the_parameters_and_the_model_is_left_alone():
    model = mlp((3, 2, 2))
    before = [p.clone() for p in model.parameters()]
    f = Objective(model, "cross_entropy", labelled(5, 3, 2))
    f.gradient(f.theta + 1)
    expected = torch.cat([p.detach().reshape(-1) for p in model.parameters()]).double()
    assert torch.equal(f.theta, expected)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert all(p.dtype == torch.float32 for p in model.parameters())


def test_linear_regression_has_the_hessian_of_the_papers_example_1():
    """Example 1: L = |X w - y|^2 / N is a quadratic; Hess L = 2 X^T X / N, whatever w."""
    x, _ = labelled(30, 4, 2)
    y = x @ torch.arange(4.0).double()[:, None] + 1
    f = Objective(nn.Linear(4, 1), "mse", (x, y))
    ones = torch.cat([x, x.new_ones(30, 1)], 1)
    for theta in (f.theta, torch.zeros(5).double(), 100 * torch.ones(5).double()):
        torch.testing.assert_close(f.hessian(theta), 2 * ones.t() @ ones / 30, rtol=1e-13, atol=0)


def test_softmax_regression_has_its_closed_form():
    x, y = labelled(25, 3, 4)
    f = Objective(nn.Linear(3, 4, bias=False), "cross_entropy", (x, y))
    p = torch.softmax(x @ f.theta.view(4, 3).t(), 1)
    middle = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    expected = torch.einsum("ncd,np,nq->cpdq", middle, x, x).reshape(12, 12) / 25
    torch.testing.assert_close(f.hessian(f.theta), expected, rtol=1e-12, atol=1e-15)


def test_a_function_has_its_own_hessian():
    f = Objective.from_function(lambda t: (t**4).sum() / 12 + t[0] * t[1], 2, l2=0.5)
    theta = torch.tensor([1.0, 2.0]).double()
    expected = torch.tensor([[2.0, 1.0], [1.0, 5.0]]).double()
    torch.testing.assert_close(f.hessian(theta), expected)
    assert f.value(theta) == pytest.approx(17 / 12 + 2 + 2.5)


def test_another_l2_shares_everything_else():
    f = classifier()
    g = f.at_l2(0.25)
    assert g.network is f.network
    assert f.l2 == 0
    expected = f.value(f.theta) + 0.25 * float(f.theta @ f.theta)
    assert g.value(g.theta) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: classifier(l2=-1.0), "l2: expected a finite number, 0 or more; got -1.0"),
        (lambda: classifier(l2=float("nan")), "l2: expected a finite number, 0 or more; got nan"),
        (
            lambda: Objective.from_function(lambda t: t, 2),
            "fn: expected a scalar tensor; got shape (2,)",
        ),
        (lambda: Objective.from_function(lambda t: t.sum(), 0), "dim: expected 1 or more; got 0"),
    ],
)
def test_bad_arguments_are_refused(make, message):
    with pytest.raises(ArgumentError) as error:
        make()
    assert str(error.value).startswith(message)
    assert "cure:" in str(error.value)


@pytest.mark.usefixtures("unchecked")
def test_a_point_of_another_shape_dtype_or_place_is_refused():
    f = classifier()
    for theta in (f.theta[1:], f.theta.float(), f.theta.to("meta")):
        with pytest.raises(ArgumentError, match="theta: expected a float64 vector of shape"):
            f.value(theta)
