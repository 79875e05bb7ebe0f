"""Training: it learns, it repeats bit for bit, and it says when it went wrong."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from morsescape.data import load
from morsescape.errors import ArgumentError
from morsescape.nets import NAMES, Recipe, TrainingStatus, build, default_recipe, train

SHORT = Recipe("sgd", lr=0.1, epochs=3)


@pytest.fixture(scope="module")
def digits():
    return load("digits")


def theta(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_repeats_bit_for_bit_and_differs_with_the_seed(digits, name, optimizer):
    recipe = Recipe(optimizer, lr=0.01, epochs=2)
    models = [build(name, image_shape=(8, 8), seed=1) for _ in range(3)]
    results = [
        train(m, digits, seed=s, recipe=recipe) for m, s in zip(models, (5, 5, 6), strict=True)
    ]
    assert torch.equal(theta(models[0]), theta(models[1]))
    assert (results[0].loss, results[0].accuracy) == (results[1].loss, results[1].accuracy)
    assert not torch.equal(theta(models[0]), theta(models[2]))


def gradient_norm(model: nn.Module, data) -> float:
    loss = nn.functional.cross_entropy(model(data.x.to(next(model.parameters()))), data.y)
    grads = torch.autograd.grad(loss, list(model.parameters()))
    return float(torch.cat([g.flatten() for g in grads]).norm())


def test_lbfgs_goes_further_down_than_sgd_and_takes_no_seed(digits, monkeypatch):
    data, recipe = digits.first(300), Recipe("lbfgs", lr=1.0, epochs=60)
    models = [build("mlp2", image_shape=(8, 8), activation="tanh").double() for _ in range(3)]
    a = train(models[0], data, seed=0, recipe=recipe)
    monkeypatch.setattr("morsescape.nets.training._CHUNK", 128)  # the sum over chunks is the mean
    train(models[1], data, seed=1, recipe=replace(recipe, batch_size=7))
    torch.testing.assert_close(theta(models[0]), theta(models[1]), rtol=0, atol=1e-4)
    sgd = train(models[2], data, seed=0, recipe=Recipe("sgd", lr=0.1, epochs=60))
    assert (a.status, a.accuracy) == (TrainingStatus.DONE, 1.0)
    assert a.loss < 1e-3 * sgd.loss
    assert gradient_norm(models[0], data) < 1e-2 * gradient_norm(models[2], data)


def test_lbfgs_says_how_it_ended(digits):
    data, calls = digits.first(50), []
    model = build("mlp2", image_shape=(8, 8))
    recipe = default_recipe(model, len(data), "lbfgs")
    assert str(recipe) == "lbfgs, first length 1, 200 steps on all samples"
    result = train(model, data, seed=0, recipe=recipe, progress=lambda *c: calls.append(c))
    assert result.status is TrainingStatus.DONE
    assert calls[0] == (10, 200)
    assert len(calls) < 20  # no step lowers the loss in float32 any more
    with torch.no_grad():
        model[3].bias.fill_(math.inf)
    assert train(model, data, seed=0, recipe=recipe).status is TrainingStatus.DIVERGED


def test_the_callers_random_state_is_neither_used_nor_changed(digits):
    models = [build("mlp2", image_shape=(8, 8)) for _ in range(2)]
    for seed, model in enumerate(models):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        train(model, digits, seed=0, recipe=SHORT)
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(theta(models[0]), theta(models[1]))


def test_one_step_of_sgd_is_what_the_formula_says(digits):
    data, model = digits.first(32), build("mlp2", image_shape=(8, 8))
    twin = build("mlp2", image_shape=(8, 8))
    nn.functional.cross_entropy(twin(data.x.float()), data.y).backward()
    train(model, data, seed=0, recipe=Recipe("sgd", lr=0.1, epochs=1, batch_size=32))
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        # The order of the sum over samples differs, hence not bit for bit.
        torch.testing.assert_close(p, q - 0.1 * q.grad, rtol=0, atol=1e-7)


def test_a_smaller_last_batch_counts_by_its_size(digits):
    # Five samples alike, so that their order does not matter: steps of 4/4 and then of 1/4.
    data = replace(digits, x=digits.x[:1].repeat(5, 1, 1, 1), y=digits.y[:1].repeat(5))
    model, twin = (build("mlp2", image_shape=(8, 8)) for _ in range(2))
    train(model, data, seed=0, recipe=Recipe("sgd", lr=0.1, epochs=1, batch_size=4))
    for weight in (1, 1 / 4):
        twin.zero_grad()
        loss = nn.functional.cross_entropy(twin(data.x[:1].float()), data.y[:1])
        (weight * loss).backward()
        with torch.no_grad():
            for q in twin.parameters():
                q -= 0.1 * q.grad
    torch.testing.assert_close(theta(model), theta(twin), rtol=0, atol=1e-6)


def test_loss_and_accuracy_are_over_all_samples(digits):
    model = build("mlp2", image_shape=(8, 8))
    result = train(model, digits, seed=0, recipe=SHORT)
    logits = model(digits.x.float()).detach()
    loss = nn.functional.cross_entropy(logits.double(), digits.y).item()
    assert result.loss == pytest.approx(loss, rel=1e-6)
    assert result.accuracy == (logits.argmax(1) == digits.y).double().mean().item()
    assert (result.recipe, result.seed, model.training) == (SHORT, 0, False)
    assert result.seconds > 0


def test_a_double_model_is_trained_in_double(digits):
    model = build("mlp2", image_shape=(8, 8)).double()
    assert train(model, digits, seed=0, recipe=SHORT).status is TrainingStatus.DONE
    assert {p.dtype for p in model.parameters()} == {torch.float64}


def test_progress_counts_the_epochs(digits):
    calls = []
    train(
        build("mlp2", image_shape=(8, 8)),
        digits,
        seed=0,
        recipe=SHORT,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert calls == [(1, 3), (2, 3), (3, 3)]


def test_divergence_is_an_outcome_and_not_an_error(digits):
    calls = []
    result = train(
        build("mlp2", image_shape=(8, 8)),
        digits,
        seed=0,
        recipe=Recipe("sgd", lr=1e30, epochs=50),
        progress=lambda done, _: calls.append(done),
    )
    assert result.status is TrainingStatus.DIVERGED
    assert not math.isfinite(result.loss)
    assert "smaller learning rate" in str(result)
    assert len(calls) < 50


def test_a_network_that_died_is_named(digits):
    model = build("cnn", image_shape=(8, 8))
    with torch.no_grad():
        model[3].bias.fill_(-100.0)
    result = train(model, digits, seed=0, recipe=SHORT)
    assert result.status is TrainingStatus.CONSTANT
    assert result.loss == pytest.approx(math.log(10), abs=0.05)


def test_small_data_gets_more_epochs_and_the_cnn_gets_adam():
    mlp, cnn = build("mlp2"), build("cnn")
    assert default_recipe(mlp, 60_000) == Recipe("sgd", lr=0.1, epochs=20)
    assert default_recipe(cnn, 60_000) == Recipe("adam", lr=0.003, epochs=15)
    assert default_recipe(mlp, 64).epochs == 5000
    with pytest.raises(ArgumentError, match="samples: expected 1 or more; got 0"):
        default_recipe(mlp, 0)


@pytest.mark.parametrize(("name", "least"), [("mlp2", 0.98), ("mlp3", 0.97), ("cnn", 0.7)])
def test_the_default_recipe_learns_digits(digits, name, least):
    result = train(build(name, image_shape=(8, 8)), digits, seed=0)
    assert result.status is TrainingStatus.DONE
    assert result.accuracy > least


def test_a_model_without_parameters_is_refused(digits):
    with pytest.raises(ArgumentError, match="parameters to train; got none"):
        train(nn.Sequential(nn.Flatten()), digits, seed=0, recipe=SHORT)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": "bfgs"}, r"optimizer: expected sgd \| adam \| lbfgs; got 'bfgs'"),
        ({"optimizer": "lbfgs", "momentum": 0.9}, "momentum: expected 0 for lbfgs"),
        ({"lr": 0.0}, "lr: expected a positive number; got 0.0"),
        ({"lr": math.nan}, "lr: expected a positive number; got nan"),
        ({"lr": math.inf}, "lr: expected a positive number; got inf"),
        ({"epochs": -1}, "epochs: expected 0 or more; got -1"),
        ({"batch_size": 0}, "batch_size: expected 1 or more; got 0"),
        ({"momentum": 1.5}, "momentum: expected 0 to 1; got 1.5"),
        ({"optimizer": "adam", "momentum": 0.9}, "momentum: expected 0 for adam; got 0.9"),
    ],
)
def test_bad_recipes_are_refused(changes, message):
    with pytest.raises(ArgumentError, match=message):
        Recipe(**({"optimizer": "sgd", "lr": 0.1, "epochs": 1} | changes))
