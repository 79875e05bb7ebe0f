"""Points of a landscape, back in the parameters of a model."""

import pytest
import torch
from torch import nn

import morsescape as ms


@pytest.fixture
def made():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    model[0].bias.requires_grad_(False)
    x = torch.randn(8, 3)
    return model, ms.Objective(model, "mse", (x, torch.randn(8, 2))), x


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_point_comes_back_rounded_to_the_dtype_of_the_model(made, dtype):
    model, f, x = made
    theta, fixed = f.theta + torch.arange(f.dim) / 7, model[0].bias.clone()
    loaded = f.load_into(model.to(dtype), theta)
    assert loaded is model
    flat = torch.cat([p.detach().reshape(-1) for p in model.parameters() if p.requires_grad])
    assert torch.equal(flat, theta.to(dtype))
    assert torch.equal(model[0].bias, fixed.to(dtype))
    if dtype == torch.float64:
        own = f.network.output(f.network.unflatten(theta), x.double())
        assert torch.equal(own, model(x.double()))


def test_without_a_point_the_first_one_comes_back_also_in_a_wrapped_model(made):
    model, f, _ = made
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        model[2].weight.zero_()
    f.load_into(nn.DataParallel(model))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_model_that_does_not_fit_is_refused_and_left_as_it_is(made):
    model, f, _ = made
    other = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3))
    before = other[0].weight.clone()
    with pytest.raises(ms.ArgumentError, match=r"2.weight of shape \(2, 4\); got shape"):
        f.load_into(other)
    with pytest.raises(ms.ArgumentError, match=r"got none of that name"):
        f.load_into(nn.Linear(3, 4))
    with pytest.raises(ms.ArgumentError, match="theta: expected"):
        f.load_into(model, [1.0])
    assert torch.equal(other[0].weight, before)
    with pytest.raises(ms.ArgumentError, match="f: expected an objective made from a network"):
        ms.Objective.from_function(lambda t: t @ t, 2).load_into(model)
