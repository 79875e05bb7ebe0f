"""Bounds by structure: claimed where they hold, and nowhere else."""

import pytest
import torch
from torch import nn

from morsescape.model.network import Network
from morsescape.nets import build
from morsescape.objective import Objective
from morsescape.spectrum.index_bound import structure_of
from networks import classifier, double_backward, labelled, mlp

IMAGES = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0)), torch.arange(3)


def of(model, data=IMAGES, loss="cross_entropy"):
    return structure_of(Network(model.eval(), loss, data, torch.float64))


@pytest.mark.parametrize(
    ("net", "activation", "pool", "bound", "rough"),
    [
        ("mlp2", "relu", "max", 110, ("relu",)),
        ("mlp3", "relu", "max", 220, ("relu",)),
        ("cnn", "relu", "max", 52, ("max_pool2d", "relu")),
        ("mlp2", "tanh", "max", 7850, ()),  # the last layer alone: the ReLU bound must not appear
        ("mlp3", "gelu", "max", 7960, ()),
        ("cnn", "tanh", "avg", 52, ()),
        ("cnn", "softplus", "max", 52, ("max_pool2d",)),
    ],
)
def test_the_papers_networks(net, activation, pool, bound, rough):
    structure = of(build(net, activation=activation, pool=pool))
    assert structure.upper_bound == bound
    assert structure.not_smooth == rough


class HandMade(nn.Module):
    """A ReLU, leaky or not, written out."""

    def __init__(self, act):
        super().__init__()
        self.first, self.last, self.act = nn.Linear(4, 5), nn.Linear(5, 3), act

    def forward(self, x):
        return self.last(self.act(self.first(x)))


@pytest.mark.parametrize(
    ("act", "rough"),
    [
        (lambda h: torch.where(h > 0, h, 0.1 * h), ("gt",)),
        (lambda h: h * (h >= 0), ("ge",)),
        (lambda h: torch.where(torch.arange(5) > 2, h, 0.1 * h), ()),  # a mask that is given
        (torch.nn.functional.softplus, ()),
        (torch.nn.functional.gelu, ()),
        (torch.nn.functional.logsigmoid, ()),
        (lambda h: torch.softmax(h, 1), ()),
    ],
)
def test_a_kink_that_is_written_out_is_one(act, rough):
    assert of(HandMade(act), labelled(5, 4, 3)).not_smooth == rough


def test_weight_and_bias_of_a_bare_layer_are_one_layer():
    structure = of(nn.Linear(4, 3), labelled(5, 4, 3))
    assert structure.upper_bound == 0


class Squared(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(784, 10), nn.Linear(10, 10)

    def forward(self, x):
        h = self.a(x.flatten(1))
        return self.b(h * h)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.q, self.o = nn.Linear(28, 6), nn.Linear(6, 6), nn.Linear(6, 10)

    def forward(self, x):
        h = self.first(x[:, 0])
        return self.o((self.q(h) @ h.transpose(1, 2) @ h).mean(1))


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(784, 5), nn.Linear(5, 5)

    def forward(self, x):
        return self.b(torch.relu(self.b(torch.relu(self.a(x.flatten(1))))))


class Hidden(torch.autograd.Function):
    """A square that a look at module names would miss."""

    @staticmethod
    def forward(x):
        return x * x

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, g):
        return 2 * ctx.saved_tensors[0] * g


class Custom(Squared):
    def forward(self, x):
        return self.b(Hidden.apply(self.a(x.flatten(1))))


@pytest.mark.parametrize(
    ("model", "layer", "size"),
    [(Squared, "b", 110), (Attention, "o", 70), (Tied, "a", 3925)],
)
def test_a_layer_that_meets_itself_is_not_claimed(model, layer, size):
    structure = of(model())
    dim = sum(p.numel() for p in model().parameters())
    assert structure.upper_bound == dim - size
    assert f"layer {layer} " in structure.reason


def test_a_model_that_cannot_be_traced_gets_no_bound():
    structure = of(Custom())
    assert structure.upper_bound == 7960
    assert "cannot be traced" in structure.reason


def test_nothing_is_claimed_for_a_loss_that_may_not_be_convex():
    def softmax_twice(z, y):
        return nn.functional.cross_entropy(torch.softmax(z, 1), y)

    structure = of(build("cnn"), loss=softmax_twice)
    assert structure.upper_bound == 552
    assert "not known to be convex" in structure.reason


def test_an_output_that_is_not_affine_in_any_layer_has_no_bound():
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10), nn.Tanh())
    assert of(model).upper_bound == 7850


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh])
@pytest.mark.parametrize("seed", range(5))
def test_the_bound_holds(activation, seed):
    f = classifier((4, 5, 3), activation, seed=seed)
    f.theta *= 3
    index = int((torch.linalg.eigvalsh(double_backward(f)) < -1e-12).sum())
    assert index <= structure_of(f.network).upper_bound


def test_softmax_before_cross_entropy_breaks_the_bound_that_is_not_claimed_for_it():
    """Softmax regression is convex; with softmax applied twice it is not."""
    data = labelled(60, 6, 5)

    def softmax_twice(z, y):
        return nn.functional.cross_entropy(torch.softmax(z, 1), y)

    model = mlp((6, 5))
    spoiled = Objective(model, softmax_twice, data)
    plain = Objective(model, "cross_entropy", data)
    assert structure_of(plain.network).upper_bound == 0
    assert structure_of(spoiled.network).upper_bound == spoiled.dim
    assert float(torch.linalg.eigvalsh(double_backward(plain)).min()) > -1e-15
    assert float(torch.linalg.eigvalsh(double_backward(spoiled)).min()) < -1e-3
