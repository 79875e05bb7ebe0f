"""An ensemble is what its members are when trained one after another."""

import math

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from morsescape.data import Dataset, load
from morsescape.errors import ArgumentError
from morsescape.nets import ACTIVATIONS, Recipe, TrainingStatus, build, default_recipe, train
from morsescape.nets.ensemble import evaluate, train_ensemble
from morsescape.nets.stacked_cnn import StackedCnn

FORMS = [("cnn", a, p) for a in ACTIVATIONS for p in ("max", "avg")] + [
    ("mlp2", a, "max") for a in ACTIVATIONS
]
RECIPES = [Recipe("adam", 3e-3, 2, batch_size=32), Recipe("sgd", 0.1, 2, 32, momentum=0.9)]


@pytest.fixture(scope="module")
def digits():
    return load("digits", samples=150)  # five batches, the last of 22


def images(shape, count=40, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(count, 1, *shape, generator=generator).double()
    return Dataset("random", x, torch.randint(0, 7, (count,), generator=generator), 7)


def alone(name, data, seed, recipe, activation="relu", pool="max", order=0, dtype=torch.float64):
    """One member by `train`, its θ and its `Training`."""
    model = build(
        name, image_shape=data.image_shape, classes=data.classes, activation=activation,
        pool=pool, seed=seed,
    ).to(dtype)  # fmt: skip
    result = train(model, data, seed=order, recipe=recipe)
    return nn.utils.parameters_to_vector(model.parameters()).detach().double(), result


@pytest.mark.parametrize("recipe", RECIPES, ids=["adam", "sgd"])
@pytest.mark.parametrize(("name", "activation", "pool"), FORMS)
def test_members_are_what_they_are_alone(digits, name, activation, pool, recipe):
    seeds = (4, 0, 9)
    result = train_ensemble(
        name, digits, seeds=seeds, recipe=recipe, activation=activation, pool=pool, order_seed=3,
        dtype=torch.float64,
    )  # fmt: skip
    for k, seed in enumerate(seeds):
        theta, training = alone(name, digits, seed, recipe, activation, pool, order=3)
        torch.testing.assert_close(result.theta[k], theta, rtol=0, atol=1e-9)
        assert float(result.loss[k]) == pytest.approx(training.loss, abs=1e-9)
        assert float(result.accuracy[k]) == training.accuracy
        assert result.statuses[k] is training.status


@pytest.mark.parametrize("name", ["cnn", "mlp2"])
def test_in_float32_members_agree_until_rounding_grows(digits, name):
    recipe = Recipe("adam", 3e-3, 4)
    result = train_ensemble(name, digits, seeds=range(8), recipe=recipe)
    for k in range(8):
        theta, training = alone(name, digits, k, recipe, dtype=torch.float32)
        torch.testing.assert_close(result.theta[k], theta, rtol=0, atol=1e-4)
        assert float(result.loss[k]) == pytest.approx(training.loss, abs=1e-5)


@pytest.mark.parametrize("shape", [(4, 4), (5, 7), (9, 6), (10, 11), (13, 12)])
@pytest.mark.parametrize("pool", ["max", "avg"])
def test_rows_and_columns_that_the_pooling_drops(shape, pool):
    data, recipe = images(shape), Recipe("sgd", 0.1, 1, batch_size=15)
    result = train_ensemble(
        "cnn", data, seeds=(1, 2), recipe=recipe, pool=pool, dtype=torch.float64
    )
    for k, seed in enumerate((1, 2)):
        theta, _ = alone("cnn", data, seed, recipe, pool=pool)
        torch.testing.assert_close(result.theta[k], theta, rtol=0, atol=1e-12)


def test_ties_go_to_the_first_as_in_pytorch():
    # Pixels of few levels: equal values in a window that come from different patches.
    generator = torch.Generator().manual_seed(3)
    x = torch.randint(0, 2, (30, 1, 8, 8), generator=generator).double()
    data = Dataset("levels", x, torch.randint(0, 3, (30,), generator=generator), 3)
    model = build("cnn", image_shape=(8, 8), classes=3, seed=1).double()
    with torch.no_grad():
        model[0].weight.copy_(model[0].weight.sign() / 8)  # sums without rounding
        model[0].bias.fill_(0.5)
        model[3].weight.copy_(model[3].weight.sign() / 8)
        model[3].bias.fill_(0.5)
    cross_entropy(model(x), data.y).backward()
    expected = torch.cat([p.grad.flatten() for p in model.parameters()])
    theta = nn.utils.parameters_to_vector(model.parameters()).detach()
    stack = StackedCnn(theta[None], image_shape=(8, 8), classes=3, activation="relu", pool="max")
    ends = torch.tensor([1.0, 0.0]).double().expand(30, 2)
    targets = torch.eye(3).double()[data.y] / 30
    stack.accumulate(torch.cat([x.flatten(1), ends], 1), targets, 30)
    # For one member the vector of all parameters is in the order of the model.
    torch.testing.assert_close(stack.flat.grad, expected, rtol=0, atol=1e-14)


def test_blocks_and_parts_of_a_batch_change_rounding_alone(digits, monkeypatch):
    recipe = Recipe("adam", 3e-3, 1)
    whole = train_ensemble("cnn", digits, seeds=range(7), recipe=recipe, dtype=torch.float64)
    monkeypatch.setattr("morsescape.nets.ensemble._BLOCK", 3)
    monkeypatch.setattr("morsescape.nets.stacked_cnn._BUFFER", 64 * 3 * 5)  # five images at a time
    calls = []
    pieces = train_ensemble(
        "cnn", digits, seeds=range(7), recipe=recipe, dtype=torch.float64,
        progress=lambda done, total: calls.append((done, total)),
    )  # fmt: skip
    torch.testing.assert_close(pieces.theta, whole.theta, rtol=0, atol=1e-12)
    assert calls == [(1, 3), (2, 3), (3, 3)]


def test_it_repeats_bit_for_bit_and_leaves_the_random_state_alone(digits):
    recipe = Recipe("adam", 3e-3, 1)
    before = torch.get_rng_state()
    first, second = (train_ensemble("cnn", digits, seeds=(1, 2), recipe=recipe) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.theta, second.theta)
    other = train_ensemble("cnn", digits, seeds=(1, 2), recipe=recipe, order_seed=1)
    assert not torch.equal(first.theta, other.theta)


def test_no_epochs_are_the_initialisations(digits):
    result = train_ensemble("cnn", digits, seeds=(5,), recipe=Recipe("adam", 1.0, 0))
    model = build("cnn", image_shape=(8, 8), seed=5)
    start = nn.utils.parameters_to_vector(model.parameters()).detach().double()
    assert torch.equal(result.theta[0], start)


def test_a_member_that_diverges_or_dies_does_not_touch_the_others(digits):
    model = build("cnn", image_shape=(8, 8), seed=1)
    good = nn.utils.parameters_to_vector(model.parameters()).detach().double()
    dead, wild = good.clone(), good.clone()
    dead[51] = -100.0
    wild[:26] = math.nan
    loss, _, constant = evaluate("cnn", torch.stack([good, dead, wild]), digits)
    (loss_alone,), _, _ = evaluate("cnn", good[None], digits)
    assert float(loss[0]) == pytest.approx(float(loss_alone), rel=1e-14)
    assert constant.tolist() == [False, True, False]
    assert not loss[2].isfinite()
    stack = StackedCnn(
        torch.stack([good, wild]), image_shape=(8, 8), classes=10, activation="relu", pool="max"
    )
    ends = torch.tensor([1.0, 0.0]).double().expand(150, 2)
    targets = torch.eye(10).double()[digits.y] / 150
    stack.accumulate(torch.cat([digits.x.flatten(1), ends], 1), targets, 150)
    assert [bool(g.isfinite().all()) for g in stack.gradients.first.t()] == [True, False]
    assert [bool(g.isfinite().all()) for g in stack.gradients.weight] == [True, False]


def test_how_each_ended_is_a_value(digits):
    wild = train_ensemble("mlp2", digits, seeds=(1, 2), recipe=Recipe("sgd", 1e30, 20))
    assert wild.statuses == (TrainingStatus.DIVERGED,) * 2
    # Without training: the units of seed 3 are dead from the start on these images.
    still = train_ensemble("cnn", digits, seeds=(1, 3), recipe=Recipe("sgd", 0.1, 0))
    assert still.statuses == (TrainingStatus.DONE, TrainingStatus.CONSTANT)
    assert str(still).startswith("2 networks in ")


def test_the_loss_is_over_all_samples_in_float64(digits):
    model = build("cnn", image_shape=(8, 8), seed=2).double()
    theta = nn.utils.parameters_to_vector(model.parameters()).detach()
    loss, accuracy, _ = evaluate("cnn", theta[None], digits)
    logits = model(digits.x).detach()
    assert float(loss[0]) == pytest.approx(float(cross_entropy(logits, digits.y)), rel=1e-14)
    assert float(accuracy[0]) == float((logits.argmax(1) == digits.y).double().mean())


def test_the_default_recipe_is_that_of_the_network(digits, monkeypatch):
    monkeypatch.setattr("morsescape.nets.training._LEAST_STEPS", 20)
    few = digits.first(20)
    result = train_ensemble("cnn", few, seeds=(0,), recipe=None)
    assert result.recipe == default_recipe(build("cnn", image_shape=(8, 8)), 20)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "mlp3"}, r"net: expected cnn \| mlp2; got 'mlp3'"),
        ({"seeds": ()}, "seeds: expected at least one; got none"),
        ({"dtype": torch.float16}, r"dtype: expected float32 \| float64; got torch.float16"),
        ({"recipe": Recipe("lbfgs", 1.0, 1)}, r"recipe.optimizer: expected sgd \| adam; got 'lbf"),
        ({"activation": "sin"}, "activation: expected relu"),
    ],
)
def test_what_cannot_be_trained_is_refused(digits, changes, message):
    arguments = {"name": "cnn", "seeds": (0,)} | changes
    with pytest.raises(ArgumentError, match=message):
        train_ensemble(arguments.pop("name"), digits, **arguments)


@pytest.mark.real_data("mnist")
def test_members_on_mnist():
    data, recipe = load("mnist", samples=160), Recipe("adam", 3e-3, 2)
    result = train_ensemble("cnn", data, seeds=range(2), recipe=recipe, dtype=torch.float64)
    for k in range(2):
        theta, _ = alone("cnn", data, k, recipe)
        torch.testing.assert_close(result.theta[k], theta, rtol=0, atol=1e-9)
