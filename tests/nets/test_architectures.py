"""The paper's networks: shapes, counts, variants, and the random state left alone."""

import pytest
import torch
from torch import nn

from morsescape.errors import ArgumentError
from morsescape.nets import ACTIVATIONS, NAMES, POOLS, build

# (net, image shape) -> number of parameters; the first three are the paper's.
COUNTS = {
    ("mlp2", (28, 28)): 7960,
    ("mlp3", (28, 28)): 8070,
    ("cnn", (28, 28)): 552,
    ("mlp2", (8, 8)): 760,
    ("mlp3", (8, 8)): 870,
    ("cnn", (8, 8)): 102,
}


@pytest.mark.parametrize(("case", "count"), COUNTS.items())
def test_parameter_counts(case, count):
    name, shape = case
    model = build(name, image_shape=shape)
    assert sum(p.numel() for p in model.parameters()) == count
    assert model(torch.zeros(3, 1, *shape)).shape == (3, 10)
    assert {p.dtype for p in model.parameters()} == {torch.float32}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("pool", POOLS)
def test_every_variant_has_the_modules_it_names(name, activation, pool):
    kinds = [type(layer) for layer in build(name, activation=activation, pool=pool)]
    named = {"relu": nn.ReLU, "tanh": nn.Tanh, "softplus": nn.Softplus, "gelu": nn.GELU}
    pools = {"max": nn.MaxPool2d, "avg": nn.AvgPool2d}
    hidden = {"mlp2": 1, "mlp3": 2, "cnn": 2}[name]
    assert kinds.count(named[activation]) == hidden
    assert kinds.count(pools[pool]) == (2 if name == "cnn" else 0)
    assert kinds[-1] is nn.Linear


def test_the_paper_uses_relu_and_max_pooling():
    assert str(build("cnn")) == str(build("cnn", activation="relu", pool="max"))


@pytest.mark.parametrize("name", NAMES)
def test_initialisation_is_that_of_pytorch(name):
    model = build(name, seed=7)
    torch.manual_seed(7)
    for layer in model:
        if isinstance(layer, nn.Linear | nn.Conv2d):
            sizes = (
                (layer.in_features, layer.out_features)
                if isinstance(layer, nn.Linear)
                else (layer.in_channels, layer.out_channels, 5)
            )
            assert torch.equal(layer.weight, type(layer)(*sizes).weight)


def test_seeds_repeat_and_differ():
    a, b, c = (build("mlp2", seed=s)[1].weight for s in (3, 3, 4))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_the_callers_random_state_and_defaults_are_left_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    torch.set_default_dtype(torch.float64)
    try:
        model = build("mlp2")
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(torch.get_rng_state(), before)
    assert model[1].weight.dtype == torch.float32
    assert torch.equal(model[1].weight, build("mlp2")[1].weight)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mlp4", {}, r"net: expected mlp2 \| mlp3 \| cnn; got 'mlp4'"),
        ("cnn", {"activation": "sin"}, r"activation: expected relu \| tanh .*; got 'sin'"),
        ("cnn", {"pool": "min"}, r"pool: expected max \| avg; got 'min'"),
        ("cnn", {"image_shape": (3, 28)}, "at least 4×4 pixels for cnn.*got 3×28 pixels"),
        ("mlp2", {"image_shape": (0, 28)}, "at least 1×1 pixels for mlp2.*got 0×28 pixels"),
        ("mlp2", {"classes": 1}, "and 2 classes; got 28×28 pixels and 1 classes"),
    ],
)
def test_bad_options_are_refused_with_the_known_ones(name, options, message):
    with pytest.raises(ArgumentError, match=message):
        build(name, **options)
