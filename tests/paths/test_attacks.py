"""Attacks against the closed form of a linear model: the worst perturbation is ε sign(w)."""

import copy

import pytest
import torch
from torch import nn

import morsescape as ms
from morsescape.errors import ArgumentError
from morsescape.paths.attacks import ATTACKS, fgsm, pgd, robustness
from morsescape.paths.curve import Curve
from networks import classifier

EPS = 0.1


def logistic(samples=200, low=0.2, high=0.8, seed=0):
    """Two classes with the margin w·x + c; the images stay in [0, 1] when moved by EPS."""
    g = torch.Generator().manual_seed(seed)
    x = low + (high - low) * torch.rand(samples, 6, generator=g, dtype=torch.float64)
    y = (x.sum(1) > 3).long()
    flipped = torch.rand(samples, generator=g) < 0.1
    f = ms.Objective(nn.Linear(6, 2), "cross_entropy", (x, torch.where(flipped, 1 - y, y)))
    weights = torch.randn(2, 6, generator=g, dtype=torch.float64) + torch.tensor([[-2.0], [2.0]])
    bias = torch.tensor([6.0, -6.0], dtype=torch.float64)
    return f, torch.cat([weights.reshape(-1), bias])


def worst(f, theta, eps):
    """The images moved against their labels, by the closed form."""
    weights = theta[:12].view(2, 6)
    towards = 1 - 2 * f.network.y.double()  # +1: class 1 is wrong
    return f.network.x + eps * towards[:, None] * (weights[1] - weights[0]).sign()


@pytest.mark.parametrize("attack", [fgsm, pgd])
def test_a_linear_model_is_attacked_as_well_as_can_be(attack):
    f, theta = logistic()
    assert torch.allclose(attack(f, theta, EPS), worst(f, theta, EPS), rtol=0, atol=1e-15)


@pytest.mark.parametrize("attack", ATTACKS)
def test_accuracy_under_attack_is_the_closed_form(attack):
    f, theta = logistic()
    found = robustness(
        f, Curve.chain(torch.stack([theta, theta / 2])), eps=EPS, points=3, attack=attack
    )
    moved, y = worst(f, theta, EPS), f.network.y
    logits = nn.functional.linear(moved, theta[:12].view(2, 6), theta[12:])
    expected = float((logits.argmax(1) == y).double().mean())
    clean = nn.functional.linear(f.network.x, theta[:12].view(2, 6), theta[12:])
    assert found.attacked.tolist() == pytest.approx([expected] * 3)  # scaling moves no decision
    assert found.clean.tolist() == pytest.approx(
        [float((clean.argmax(1) == y).double().mean())] * 3
    )
    assert found.attacked[0] < found.clean[0]
    loss = nn.functional.cross_entropy(logits, y).item()
    assert float(found.loss_attacked[0]) == pytest.approx(loss, rel=1e-12)


@pytest.mark.parametrize("attack", [fgsm, pgd])
def test_images_stay_in_the_ball_and_in_the_unit_interval(attack):
    f = classifier(sizes=(5, 8, 3), samples=60)
    moved = attack(f, 3 * f.theta, 0.3)
    x = f.network.x
    assert moved.shape == x.shape
    assert float((moved - x).abs().max()) <= 0.3 + 1e-15
    assert float(moved.min()) >= 0
    assert float(moved.max()) <= 1
    assert float(((moved == 0) | (moved == 1)).double().mean()) > 0.1


def test_steps_help_on_a_bent_model():
    f = classifier(sizes=(5, 8, 3), samples=60)
    theta, net = 6 * f.theta, f.network

    def loss(x):
        return float(net.chunk_loss(net.unflatten(theta), x, net.y))

    one, many = loss(fgsm(f, theta, 0.3)), loss(pgd(f, theta, 0.3, steps=40))
    assert loss(net.x) < one < many


def test_the_seed_decides_the_start_and_torchs_own_state_is_left_alone():
    f = classifier(sizes=(5, 8, 3), samples=30)
    state = torch.get_rng_state()
    first, again = (pgd(f, 6 * f.theta, 0.2, steps=1, step=0.05, seed=1) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, pgd(f, 6 * f.theta, 0.2, steps=1, step=0.05, seed=2))
    assert torch.equal(state, torch.get_rng_state())


def test_nothing_of_the_objective_moves_and_no_radius_no_attack():
    f, theta = logistic()
    before = copy.deepcopy((f.network.x, f.theta, f.network.model.state_dict()))
    assert torch.equal(pgd(f, theta, 0.0), f.network.x)
    found = robustness(f, Curve.chain(torch.stack([theta, -theta])), eps=0.0, points=3)
    assert torch.equal(found.clean, found.attacked)
    assert torch.equal(before[0], f.network.x)
    assert torch.equal(before[1], f.theta)
    after = f.network.model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before[2].items())
    assert all(p.grad is None for p in f.network.model.parameters())


def test_test_images_are_attacked_where_there_are_some():
    f, theta = logistic()
    g, _ = logistic(samples=50, seed=3)
    curve = Curve.chain(torch.stack([theta, -theta]))
    found = robustness(f, curve, eps=EPS, points=2, test=(g.network.x, g.network.y))
    assert torch.equal(found.attacked, robustness(g, curve, eps=EPS, points=2).attacked)


def test_what_is_no_classifier_of_images_is_refused():
    f, theta = logistic(low=-1.0, high=1.0)
    with pytest.raises(ArgumentError, match=r"f: expected images in \[0, 1\]; got -0.99"):
        fgsm(f, theta, EPS)
    plain = ms.Objective.from_function(lambda t: t @ t, 14)
    with pytest.raises(ArgumentError, match="f: expected a network on images"):
        pgd(plain, theta, EPS)
    x = torch.rand(4, 2, generator=torch.Generator().manual_seed(0))
    squares = ms.Objective(nn.Linear(2, 2), "mse", (x, x))
    with pytest.raises(ArgumentError, match="cross-entropy of class labels"):
        robustness(squares, Curve.chain(torch.eye(6)[:2].double()), eps=EPS)
