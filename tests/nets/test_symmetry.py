"""Symmetries change no output; canonical forms of symmetric copies coincide and are least."""

import math
from itertools import pairwise, permutations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import nn

from morsescape.errors import ArgumentError
from morsescape.nets import build
from morsescape.nets.orbit import Symmetries

SHAPE, PIXELS = (8, 8), 64
OPTIONS = [
    ("cnn", "relu", "max"),
    ("cnn", "relu", "avg"),
    ("cnn", "tanh", "avg"),
    ("cnn", "tanh", "max"),
    ("cnn", "gelu", "max"),
    ("mlp2", "relu", "max"),
    ("mlp2", "tanh", "max"),
    ("mlp2", "softplus", "max"),
]


def symmetries(net, activation, pool, classes=10):
    return Symmetries(net, PIXELS, classes, activation, pool)


def model_of(net, activation, pool, theta=None, seed=0):
    model = build(net, image_shape=SHAPE, activation=activation, pool=pool, seed=seed).double()
    if theta is not None:
        nn.utils.vector_to_parameters(theta, model.parameters())
    return model


def point(net, activation, pool, seed=0):
    model = model_of(net, activation, pool, seed=seed)
    return nn.utils.parameters_to_vector(model.parameters()).detach()


def outputs(net, activation, pool, theta):
    """Logits of random images, without what is added to all classes."""
    images = torch.rand(20, 1, *SHAPE, generator=torch.Generator().manual_seed(1)).double()
    logits = model_of(net, activation, pool, theta)(images).detach()
    return logits - logits.mean(1, keepdim=True)


def copy_of(net, activation, pool, theta, seed=0):
    """Another point of the same function, by a random symmetry, written without the package."""
    generator = torch.Generator().manual_seed(seed)
    model = model_of(net, activation, pool, theta.clone())
    layers = [layer for layer in model if isinstance(layer, nn.Linear | nn.Conv2d)]

    def factors(count):
        values = torch.rand(count, generator=generator).double()
        if activation == "relu":
            return (4 * values - 2).exp()
        odd = activation == "tanh" and (net == "mlp2" or pool == "avg")
        return torch.where(values < 0.5, -1.0, 1.0).double() if odd else torch.ones(count).double()

    with torch.no_grad():
        for layer, after in pairwise(layers):
            s = factors(len(layer.bias))
            if net == "mlp2":
                order = torch.randperm(len(s), generator=generator)
                layer.weight.copy_((layer.weight * s[:, None])[order])
                layer.bias.copy_((layer.bias * s)[order])
                after.weight.copy_((after.weight / s)[:, order])
            else:
                layer.weight.mul_(s)
                layer.bias.mul_(s)
                after.weight.div_(s)
        layers[-1].weight.add_(torch.randn(layers[-1].weight.shape[1], generator=generator))
        layers[-1].bias.add_(5.0)
    return nn.utils.parameters_to_vector(model.parameters()).detach()


@pytest.mark.parametrize("option", OPTIONS)
def test_the_canonical_form_is_the_same_function(option):
    theta = point(*option)
    (form,) = symmetries(*option).canonical(theta[None])
    torch.testing.assert_close(outputs(*option, form), outputs(*option, theta), rtol=0, atol=1e-12)
    assert form.norm() <= theta.norm()
    assert not torch.equal(form, theta)


@pytest.mark.parametrize("option", OPTIONS)
def test_symmetric_copies_coincide_and_other_points_do_not(option):
    theta = point(*option)
    copies = torch.stack([theta, *(copy_of(*option, theta, seed) for seed in range(5))])
    for copy in copies:
        torch.testing.assert_close(
            outputs(*option, copy), outputs(*option, theta), rtol=0, atol=1e-9
        )
    forms = symmetries(*option).canonical(copies)
    torch.testing.assert_close(forms, forms[:1].expand_as(forms), rtol=0, atol=1e-10)
    other = point(*option, seed=1)
    far = symmetries(*option).distances(torch.stack([copies[1], copies[2], other]))
    assert far[0] < 1e-9
    assert min(far[1:]) > 0.1


def test_what_is_no_symmetry_is_not_removed():
    # The maximum of -z is not minus the maximum, and softplus is neither odd nor homogeneous.
    for activation, pool in (("tanh", "max"), ("softplus", "avg")):
        names = symmetries("cnn", activation, pool).names
        assert names == ("softmax shift",)
        theta = point("cnn", activation, pool)
        moved = theta.clone()
        moved[:26] *= -1
        moved[26:51] *= -1
        far = symmetries("cnn", activation, pool).distances(torch.stack([theta, moved]))
        assert far[0] > 0.1


def test_the_canonical_form_of_a_cnn_is_the_least_of_its_orbit():
    theta = point("cnn", "relu", "max") * 3
    (form,) = symmetries("cnn", "relu", "max").canonical(theta[None])
    parts = theta[:26], theta[26:51], theta[51:52], theta[52:92].view(10, 4), theta[92:]

    def norm(x):  # logarithms of the scales, the shift of the features, that of the biases
        s, t = math.exp(x[0]), math.exp(x[1])
        first, kernel, bias, weight, shift = (part.numpy() for part in parts)
        moved = (first * s, kernel * t / s, bias * t, weight / t + x[2:6], shift + x[6])
        return sum(float(np.sum(part**2)) for part in moved)

    found = minimize(norm, np.zeros(7), method="BFGS", options={"gtol": 1e-9})
    assert float(form.norm() ** 2) == pytest.approx(found.fun, rel=1e-9)


def test_extreme_scales_are_undone():
    theta = point("cnn", "relu", "max")
    moved = theta.clone()
    moved[:26] *= 1e12
    moved[26:51] *= 1e-9 / 1e12
    moved[51] *= 1e-9
    moved[52:92] *= 1e9
    forms = symmetries("cnn", "relu", "max").canonical(torch.stack([theta, moved]))
    torch.testing.assert_close(forms[0], forms[1], rtol=1e-9, atol=1e-9)


def test_a_layer_of_zeros_has_no_least_point_and_keeps_its_scale():
    theta = point("cnn", "relu", "max")
    theta[26:51] = 0
    (form,) = symmetries("cnn", "relu", "max").canonical(theta[None])
    assert torch.equal(form[:26], theta[:26])
    dead = point("mlp2", "relu", "max")
    dead[:64] = 0
    dead[640] = 0
    assert symmetries("mlp2", "relu", "max").canonical(dead[None]).isfinite().all()


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
def test_units_are_matched_in_the_best_order(activation):
    # Three hidden units, two classes: all orders, and signs where they are free, one by one.
    pixels, hidden, classes = 4, 3, 2
    size = hidden * (pixels + 1 + classes) + classes
    theta = torch.randn(4, size, generator=torch.Generator().manual_seed(2)).double()
    f = Symmetries("mlp2", pixels, classes, activation)
    forms = f.canonical(theta)
    into = torch.cat([forms[:, :12].view(4, 3, 4), forms[:, 12:15, None]], 2)
    units = torch.cat([into, forms[:, 15:21].view(4, 2, 3).mT], 2)
    signs = (1, -1) if activation == "tanh" else (1,)
    expected = []
    for i in range(4):
        for j in range(i + 1, 4):
            best = min(
                sum(
                    min(float((units[i, k] - s * units[j, p]).square().sum()) for s in signs)
                    for k, p in enumerate(order)
                )
                for order in permutations(range(3))
            )
            expected.append(math.sqrt(best + float((forms[i, 21:] - forms[j, 21:]).square().sum())))
    np.testing.assert_allclose(f.distances(theta), expected, rtol=1e-12)


def test_another_network_is_refused():
    with pytest.raises(ArgumentError, match=r"net: expected cnn \| mlp2; got 'mlp3'"):
        Symmetries("mlp3")
