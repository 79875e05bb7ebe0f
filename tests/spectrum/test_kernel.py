"""Null spaces made on purpose: found, named, counted, and verified by an independent Hessian."""

import pytest
import torch
from torch import nn

from morsescape.objective import Objective
from morsescape.spectrum.null_space import null_causes
from networks import double_backward, labelled, mlp


def causes_of(f, theta=None):
    theta = f.theta if theta is None else theta
    found = null_causes(f.network, theta, f.enclosed_hessian(theta))
    return {cause.name: cause for cause in found}


def check(f, causes, theta=None):
    """All vectors are null for the Hessian by double backward, and linearly independent."""
    hessian = double_backward(f, theta)
    vectors = torch.cat([c.vectors(f.dim) for c in causes.values()], 1)
    scale = float(hessian.abs().max())
    assert float((hessian @ vectors).norm(dim=0).max()) < 1e-12 * max(scale, 1)
    assert int(torch.linalg.matrix_rank(vectors)) == vectors.shape[1]
    return int((torch.linalg.eigvalsh(hessian).abs() < 1e-13 * scale).sum())


def with_dead_pixels(x, *pixels):
    x = x.clone()
    x[:, list(pixels)] = 0
    return x


@pytest.mark.parametrize("activation", [nn.Tanh, nn.ReLU, nn.Softplus])
def test_dead_pixels_and_the_softmax_shift(activation):
    x, y = labelled(60, 6, 3)
    model = mlp((6, 4, 3), activation)
    with torch.no_grad():
        model[0].bias += torch.tensor([0.5, 0.2, 0.1, 0.3])  # no ReLU unit is dead
    f = Objective(model, "cross_entropy", (with_dead_pixels(x, 1, 4), y))
    causes = causes_of(f)
    assert causes["dead inputs"].dimension == 2 * 4
    assert causes["softmax shift"].dimension == 4 + 1
    assert causes["dead inputs"].exact
    assert causes["softmax shift"].exact
    assert check(f, causes) == 13


def test_nothing_is_explained_where_there_is_nothing_to_explain():
    x, _ = labelled(60, 4, 3)
    f = Objective(mlp((4, 3, 2)), "mse", (x, x[:, :2].sin()))
    assert causes_of(f) == {}


def test_a_dead_unit_takes_its_weights_on_both_sides():
    x, y = labelled(60, 5, 3)
    model = mlp((5, 4, 3), nn.ReLU)
    with torch.no_grad():
        model[0].bias[2] = -100.0
    f = Objective(model, "cross_entropy", (x, y))
    causes = causes_of(f)
    assert causes["dead units"].dimension == (5 + 1) + 3
    assert causes["softmax shift"].dimension == 3 + 1  # that of the dead feature is counted above
    check(f, causes)


def test_a_pixel_that_is_dead_where_the_unit_is_active():
    x, y = labelled(60, 5, 3)
    model = mlp((5, 4, 3), nn.ReLU)
    with torch.no_grad():
        model[0].weight[1] = torch.tensor([-1000.0, 1.0, 1.0, 1.0, 1.0])
        x[::2, 0] = 0  # half of the samples keep unit 1 alive
    f = Objective(model, "cross_entropy", (x, y))
    causes = causes_of(f)
    assert causes["inputs dead where the unit is active"].dimension == 1
    place = causes["inputs dead where the unit is active"].blocks[0].places
    assert place.tolist() == [1 * 5 + 0]
    check(f, causes)


def test_duplicated_and_constant_pixels_are_dependent_inputs():
    x, y = labelled(60, 5, 3)
    x[:, 3] = x[:, 0]
    x[:, 2] = 0.5  # a multiple of the bias
    f = Objective(mlp((5, 4, 3)), "cross_entropy", (x, y))
    causes = causes_of(f)
    assert causes["dependent inputs"].dimension == 2 * 4
    assert not causes["dependent inputs"].exact
    check(f, causes)


def test_fewer_samples_than_pixels():
    x, y = labelled(3, 6, 2)
    f = Objective(mlp((6, 2, 2)), "cross_entropy", (x, y))
    causes = causes_of(f)
    assert causes["inputs on too few samples"].dimension == 2 * (7 - 3)
    assert causes["inputs on too few samples"].exact
    assert "dependent inputs" not in causes
    check(f, causes)


def test_a_duplicated_neuron_is_no_null_direction_by_itself():
    """Two equal units give equal rows up to their outgoing weights; H is not singular for that."""
    x, _ = labelled(80, 3, 2)
    model = mlp((3, 4, 2))
    with torch.no_grad():
        model[0].weight[1], model[0].bias[1] = model[0].weight[0], model[0].bias[0]
        model[2].weight[:, 1] = model[2].weight[:, 0]
    f = Objective(model, "mse", (x, x[:, :2].sin()))
    causes = causes_of(f)
    assert causes == {}


def test_rescaling_is_null_at_a_critical_point_only():
    """L = (a relu(b x) - 1)^2 at a b = 1 is zero along the hyperbola."""
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU(), nn.Linear(1, 1, bias=False))
    data = torch.ones(1, 1).double(), torch.ones(1, 1).double()
    f = Objective(model.eval(), "mse", data)
    critical = torch.tensor([2.0, 0.5]).double()
    elsewhere = torch.tensor([2.0, 0.75]).double()
    assert causes_of(f, critical)["ReLU rescaling"].dimension == 1
    assert "ReLU rescaling" not in causes_of(f, elsewhere)
    check(f, causes_of(f, critical), critical)


def test_class_probabilities_get_no_exact_shift():
    x, _ = labelled(60, 4, 3)
    y = torch.softmax(x[:, :3], 1)
    f = Objective(mlp((4, 3)), "cross_entropy", (x, y))
    assert "softmax shift" not in causes_of(f)
