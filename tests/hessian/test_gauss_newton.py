"""Products with G against a dense G made from the Jacobian, and G + R against double backward."""

import pytest
import torch
from torch import nn
from torch.func import hessian as second_derivative
from torch.func import jacrev

from hessian.oracle import network, oracle
from morsescape.hessian.gauss_newton import gauss_newton_curvatures, gauss_newton_products
from morsescape.nets import build
from networks import mlp

MODELS = {
    "mlp, tanh": lambda: mlp((5, 4, 3)),
    "mlp, relu": lambda: mlp((5, 4, 4, 3), nn.ReLU),
    "no bias": lambda: nn.Sequential(nn.Linear(5, 4, bias=False), nn.SiLU(), nn.Linear(4, 3)),
    "one layer": lambda: nn.Sequential(nn.Linear(5, 3)),
    "not a layer": lambda: Scaled(),
}


class Scaled(nn.Module):
    """A parameter that is neither in a linear layer nor in a convolution."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(5))
        self.last = nn.Linear(5, 3)

    def forward(self, x):
        return self.last((x * self.scale).sin())


def cubic(output, target):
    """A loss that is not convex in the output."""
    return (output - target).pow(3).mean()


def small(name="mlp, tanh", loss="cross_entropy"):
    return network(MODELS[name](), loss)


def convolution(samples=4, **options):
    generator = torch.Generator().manual_seed(1)
    model = build("cnn", image_shape=(8, 8), classes=3, seed=0, **options)
    return network(model, x=torch.rand(samples, 1, 8, 8, generator=generator))


def dense(net):
    """J by jacrev, the Hessian of each sample's loss at its output by autograd."""
    jacobian = jacrev(lambda t: net.output(net.unflatten(t), net.x))(net.theta)
    with torch.no_grad():
        z = net.output(net.unflatten(net.theta), net.x)
    bend = second_derivative(lambda z: net.share(z, net.y))(z)
    return torch.einsum("ncd,ncmk,mke->de", jacobian, bend, jacobian)


def rest(net):
    """R by its own formula: the model's curvature weighted by the loss's slope, held fixed."""
    z = net.output(net.unflatten(net.theta), net.x).detach()
    slope = torch.func.grad(lambda z: net.share(z, net.y))(z)
    return second_derivative(lambda t: (net.output(net.unflatten(t), net.x) * slope).sum())(
        net.theta
    )


@pytest.mark.parametrize("loss", ["cross_entropy", "mse", cubic])
@pytest.mark.parametrize("name", MODELS)
def test_products_are_those_of_the_dense_matrix(name, loss):
    net = small(name, loss)
    eye = torch.eye(net.dim, dtype=torch.float64)
    true = dense(net)
    scale = float(true.abs().max())
    assert float((gauss_newton_products(net, net.theta, eye) - true).abs().max()) < 1e-14 * scale
    curved = gauss_newton_curvatures(net, net.theta, eye)
    assert float((curved - true.diagonal()).abs().max()) < 1e-14 * scale


@pytest.mark.parametrize("options", [{}, {"activation": "tanh", "pool": "avg"}])
def test_convolutions_as_matrices_give_the_same(options):
    net = convolution(**options)
    eye = torch.eye(net.dim, dtype=torch.float64)
    true = dense(net)
    assert torch.allclose(gauss_newton_products(net, net.theta, eye), true, rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", ["mlp, tanh", "mlp, relu", "not a layer"])
def test_the_two_parts_sum_to_the_hessian(name):
    net = small(name)
    eye = torch.eye(net.dim, dtype=torch.float64)
    whole = gauss_newton_products(net, net.theta, eye) + rest(net)
    assert torch.allclose(whole, oracle(net), rtol=0, atol=1e-14)


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_it_is_positive_semidefinite_where_the_loss_is_convex(loss):
    net = small("mlp, tanh", loss)
    form = gauss_newton_products(net, net.theta, torch.eye(net.dim, dtype=torch.float64))
    assert float(torch.linalg.eigvalsh((form + form.t()) / 2)[0]) > -1e-15
    assert float(torch.linalg.eigvalsh(oracle(net))[0]) < -1e-3  # which H is not


def test_it_is_not_where_the_loss_is_not():
    net = small("mlp, tanh", cubic)
    form = gauss_newton_products(net, net.theta, torch.eye(net.dim, dtype=torch.float64))
    assert float(torch.linalg.eigvalsh((form + form.t()) / 2)[0]) < -1e-3


def test_the_budget_cuts_the_samples_and_nothing_else():
    net = network(mlp((5, 4, 3)), samples=23)
    vectors = torch.randn(6, net.dim, generator=torch.Generator().manual_seed(2)).double()
    done = []
    few = gauss_newton_products(
        net, net.theta, vectors, budget=8 * 6 * 4 * 5, progress=lambda *step: done.append(step)
    )
    assert done == [(5, 23), (10, 23), (15, 23), (20, 23), (23, 23)]
    assert torch.allclose(few, gauss_newton_products(net, net.theta, vectors), rtol=1e-13)
    assert torch.allclose(
        gauss_newton_curvatures(net, net.theta, vectors, budget=1), (few * vectors).sum(1)
    )


def test_no_vectors():
    net = small()
    none = torch.zeros(0, net.dim, dtype=torch.float64)
    assert gauss_newton_products(net, net.theta, none).shape == (0, net.dim)
    assert gauss_newton_curvatures(net, net.theta, none).shape == (0,)
