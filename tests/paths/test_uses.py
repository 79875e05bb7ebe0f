"""Averages of weights and of outputs, against the same by hand."""

import copy
import json

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

import morsescape as ms
from morsescape import zoo
from morsescape.paths.curve import Curve
from morsescape.paths.uses import uses
from networks import classifier, labelled, mlp


def by_hand(thetas, x, y):
    """Loss and accuracy of the ensemble, and of torch's averaged model."""
    model = mlp((5, 4, 3)).double()
    averaged, outputs = AveragedModel(model), []
    for theta in thetas:
        nn.utils.vector_to_parameters(theta, model.parameters())
        averaged.update_parameters(model)
        outputs.append(model(x).softmax(1))
    joint = torch.stack(outputs).mean(0)
    found = []
    for logits in (averaged(x), joint.log()):
        right = float((logits.argmax(1) == y).double().mean())
        found.append((nn.functional.cross_entropy(logits, y).item(), right))
    return found


def test_both_means_are_those_of_torch_on_training_and_test_data():
    f, g = classifier(l2=0.1), classifier(seed=2)
    third = classifier(seed=5).theta * 3
    curve = Curve(torch.stack([f.theta, third, g.theta])[None])
    test = labelled(25, 5, 3, seed=8)
    found = uses(f, curve, points=5, test=test)
    assert found.times == (0.0, 0.25, 0.5, 0.75, 1.0)
    thetas = [curve(t) for t in found.times]
    for scores, data in ((found.train, labelled(40, 5, 3)), (found.test, test)):
        average, ensemble = by_hand(thetas, *data)
        assert (scores.average.loss, scores.average.accuracy) == pytest.approx(average, rel=1e-12)
        assert (scores.ensemble.loss, scores.ensemble.accuracy) == pytest.approx(
            ensemble, rel=1e-12
        )
        (first, _), (last, _) = (by_hand([theta], *data) for theta in (f.theta, g.theta))
        assert (scores.first.loss, scores.first.accuracy) == pytest.approx(first, rel=1e-12)
        assert (scores.last.loss, scores.last.accuracy) == pytest.approx(last, rel=1e-12)
    json.dumps(found.to_json())


def test_an_ensemble_is_no_worse_than_its_mean_member():
    # -log is convex, so the loss of the mean probability is below the mean of the losses.
    f, g = classifier(), classifier(seed=2)
    found = uses(f, Curve.chain(torch.stack([f.theta, 4 * g.theta])), points=2).train
    assert found.ensemble.loss < (found.first.loss + found.last.loss) / 2


def test_of_squares_the_outputs_are_averaged_and_of_a_function_nothing():
    model, x = nn.Linear(1, 1, bias=False), torch.ones(3, 1)
    curve = Curve.chain(torch.tensor([[0.0], [3.0]], dtype=torch.float64))
    found = uses(ms.Objective(model, "mse", (x, x)), curve, points=4).train
    assert found.ensemble.loss == pytest.approx(0.25)
    assert found.ensemble.accuracy is None
    odd = uses(zoo.ring.objective(), Curve.chain(torch.eye(2).double())).train
    assert odd.ensemble is None
    assert odd.average.loss == pytest.approx(
        zoo.ring.objective().value(torch.full((2,), 0.5).double())
    )


def test_statistics_fit_each_member_and_the_average():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 3)).eval()
    x, y = labelled(40, 5, 3)
    f = ms.Objective(model, "cross_entropy", (x, y))
    curve = Curve.chain(torch.stack([f.theta, 2 - f.theta]))
    assert "recompute=True" in uses(f, curve, points=3).warning

    def outputs(theta):
        own = copy.deepcopy(model).double()
        nn.utils.vector_to_parameters(theta, own.parameters())
        own[1].momentum = None
        own[1].reset_running_stats()
        own.train()(x)
        return own.eval()(x)

    found = uses(f, curve, points=3, recompute=True)
    thetas = [curve(t) for t in found.times]
    joint = torch.stack([outputs(theta).softmax(1) for theta in thetas]).mean(0).log()
    mean = outputs(torch.stack(thetas).mean(0))
    loss = nn.functional.cross_entropy
    assert found.train.ensemble.loss == pytest.approx(loss(joint, y).item(), rel=1e-12)
    assert found.train.average.loss == pytest.approx(loss(mean, y).item(), rel=1e-12)
    assert found.warning == ""


def test_another_model_on_the_test_data_keeps_what_is_fixed_in_it():
    def objective(scale):
        model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1)).eval()
        model[0].requires_grad_(False)
        nn.init.constant_(model[0].weight, scale)
        return ms.Objective(model, "mse", (torch.eye(2), torch.ones(2, 1)))

    class Plain(nn.Module):
        """Without running statistics, and with as many parameters."""

        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(10))

        def forward(self, x):
            return x.sum(1, keepdim=True) * self.weight.sum()

    f, test = objective(1.0), ms.Objective(Plain(), "mse", (torch.eye(2), torch.ones(2, 1)))
    curve = Curve.chain(torch.stack([f.theta, f.theta + 1]))
    assert uses(test, curve, test=f, points=2, recompute=True).test.first.loss == f.value(f.theta)
