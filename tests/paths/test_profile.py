"""A profile measures what is there, closer where the loss bends, and changes nothing."""

import copy
import json
import math

import pytest
import torch
from torch import nn

import morsescape as ms
from morsescape import zoo
from morsescape.errors import ArgumentError
from morsescape.paths.curve import Curve
from morsescape.paths.profile import profile
from morsescape.paths.statistics import at_statistics_of
from networks import classifier, labelled, mlp


def chain(*points):
    return Curve.chain(torch.tensor(points, dtype=torch.float64))


def normalised(seed=0, samples=50):
    """A trained-looking classifier with batch normalisation, and its data."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = nn.Sequential(
            nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(0.3), nn.Linear(6, 3)
        )
    x, y = labelled(samples, 5, 3, seed)
    model(x.float())
    return model.eval(), x, y


def test_the_numbers_are_those_of_torch():
    f, l2 = classifier(l2=0.01), 0.01
    test = labelled(30, 5, 3, seed=9)
    found = profile(f, Curve.chain(torch.stack([f.theta, -f.theta])), points=5, test=test)
    model, parameters = mlp((5, 4, 3)).double(), None
    x, y = labelled(40, 5, 3)
    for k, t in enumerate(found.t.tolist()):
        theta = (1 - 2 * t) * f.theta
        nn.utils.vector_to_parameters(theta, parameters := list(model.parameters()))
        loss = nn.functional.cross_entropy(model(x), y)
        ridge = l2 * sum(p.square().sum() for p in parameters)
        slope = torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss + ridge, parameters)])
        assert float(found.data_loss[k]) == pytest.approx(loss.item(), rel=1e-13)
        assert float(found.loss[k]) == pytest.approx((loss + ridge).item(), rel=1e-13)
        assert float(found.gradient_norm[k]) == pytest.approx(float(slope.norm()), rel=1e-12)
        assert float(found.accuracy[k]) == float((model(x).argmax(1) == y).double().mean())
        there = nn.functional.cross_entropy(model(test[0]), test[1]).item()
        assert float(found.test.data_loss[k]) == pytest.approx(there, rel=1e-13)
        right = float((model(test[0]).argmax(1) == test[1]).double().mean())
        assert float(found.test.accuracy[k]) == pytest.approx(right, abs=1e-15)
        assert float(found.arclength[k]) == pytest.approx(2 * t * float(f.theta.norm()), abs=1e-12)


def test_test_data_may_be_an_objective():
    f, g = classifier(), classifier(seed=3)
    curve = Curve.chain(torch.stack([f.theta, g.theta]))
    found = profile(f, curve, points=4, test=g, refine=False)
    assert torch.equal(found.test.loss, profile(g, curve, points=4, refine=False).loss)


@pytest.mark.parametrize("z", [zoo.ring, zoo.banana, zoo.two_wells], ids=lambda z: z.name)
def test_refining_finds_a_bend_that_few_points_miss(z):
    ends = [point for point, signs in z.critical if signs == (0, 0)][:2]
    curve, f = chain(*ends), z.objective()
    coarse = profile(f, curve, points=4, refine=False)
    fine = profile(f, curve, points=4, most=400, share=1e-3)
    dense = max(f.value(curve(k / 5000)) for k in range(5001))
    extent = float(fine.loss.max() - fine.loss.min())
    assert dense - fine.highest[1] < 2e-3 * extent
    assert len(coarse.t) == 4 < len(fine.t) <= 400
    assert set(coarse.t.tolist()) <= set(fine.t.tolist())


def test_points_are_inserted_beside_the_kink_alone():
    f = ms.Objective.from_function(lambda t: torch.sqrt((t[0] - 0.43) ** 2 + 1e-8), 1)
    found = profile(f, chain([0.0], [1.0]), points=21, share=0.002)
    new = sorted(set(found.t.tolist()) - {k / 20 for k in range(21)})
    assert new
    assert all(abs(t - 0.43) < 0.11 for t in new)
    assert abs(found.t[found.loss.argmin()].item() - 0.43) < 0.004


def test_no_more_points_than_asked_for_and_none_on_a_line_or_a_constant():
    wild = ms.Objective.from_function(lambda t: (200 * t[0]).cos(), 1)
    assert len(profile(wild, chain([0.0], [1.0]), points=10, most=17).t) == 17
    assert len(profile(wild, chain([0.0], [1.0]), points=10).t) == 40
    for fn in (lambda t: 3 * t[0] + 1e6, lambda t: 0 * t[0] + 0.1):
        flat = ms.Objective.from_function(fn, 1)
        assert len(profile(flat, chain([0.0], [0.7]), points=10).t) == 10


def test_a_needle_between_the_samples_is_not_seen():
    found = profile(zoo.needle(1e-4).objective(), chain([0.0, 0.0], [1.0, 0.0]))
    assert found.highest[1] < 1e-100  # the docstring says so; who wants a bound needs another tool


def test_the_length_of_bent_curves_is_an_integral():
    quarter = [[[1.0, 0], [1, 4 / 3 * math.tan(math.pi / 8)], [4 / 3 * math.tan(math.pi / 8), 1],
                [0, 1]]]  # fmt: skip
    curve = Curve(torch.tensor(quarter, dtype=torch.float64))
    found = profile(zoo.ring.objective(), curve, points=9, refine=False)
    fine = torch.stack([curve(k / 20000) for k in range(20001)])
    steps = torch.cat([torch.zeros(1), fine.diff(dim=0).norm(dim=1).cumsum(0)])
    assert torch.allclose(found.arclength, steps[(found.t * 20000).round().long()], atol=1e-8)
    square = chain([0.0, 0], [3, 0], [3, 4])
    found = profile(zoo.ring.objective(), square, points=4, refine=False)
    assert found.arclength.tolist() == pytest.approx([0, 2, 3 + 4 / 3, 7])


def test_statistics_are_computed_anew_at_every_point():
    model, x, y = normalised()
    f = ms.Objective(model, "cross_entropy", (x, y))
    g = torch.Generator().manual_seed(1)
    other = f.theta + torch.randn(f.dim, generator=g, dtype=torch.float64)
    curve = Curve.chain(torch.stack([f.theta, other]))
    test = labelled(20, 5, 3, seed=4)
    found = profile(f, curve, points=4, test=test, refine=False, recompute=True)
    for k, t in enumerate(found.t.tolist()):
        own = copy.deepcopy(model).double()
        nn.utils.vector_to_parameters(curve(t), own.parameters())
        own[1].reset_running_stats()
        own[1].momentum = None
        own[1].train()
        own(x)
        own[1].eval()
        for inputs, labels, loss in ((x, y, found.loss), (*test, found.test.loss)):
            expected = nn.functional.cross_entropy(own(inputs), labels).item()
            assert float(loss[k]) == pytest.approx(expected, rel=1e-12)
    assert found.warning == ""


def test_unfitting_statistics_are_warned_of_and_nothing_of_the_callers_moves():
    model, x, y = normalised()
    before = copy.deepcopy(model.state_dict())
    f = ms.Objective(model, "cross_entropy", (x, y))
    curve, value = Curve.chain(torch.stack([f.theta, -f.theta])), f.value(f.theta)
    buffers = copy.deepcopy(f.network.model.state_dict())
    random = torch.get_rng_state()
    old = profile(f, curve, points=3, refine=False)
    new = profile(f, curve, points=3, refine=False, recompute=True)
    assert "recompute=True" in old.warning
    assert not torch.allclose(old.loss, new.loss)
    assert all(
        torch.equal(a, b)
        for a, b in zip(before.values(), model.state_dict().values(), strict=False)
    )
    own = f.network.model
    assert all(
        torch.equal(a, b) for a, b in zip(buffers.values(), own.state_dict().values(), strict=False)
    )
    assert not any(m.training for m in (*model.modules(), *own.modules()))
    assert torch.equal(random, torch.get_rng_state())
    assert f.value(f.theta) == value
    assert own[1].momentum == 0.1


def test_the_derivatives_at_new_statistics_are_not_those_of_an_old_recording():
    model, x, y = normalised()
    f = ms.Objective(model, "cross_entropy", (x, y))
    f.hessian(f.theta)
    moved = at_statistics_of(f, -2 * f.theta)
    own = copy.deepcopy(moved.network.model)
    fresh = ms.Objective(own, "cross_entropy", (x, y))
    assert torch.allclose(moved.hessian(f.theta), fresh.hessian(f.theta), atol=1e-12)
    assert not torch.allclose(moved.hessian(f.theta), f.hessian(f.theta), atol=1e-3)


def test_other_layers_with_statistics_are_refused_by_name():
    model = nn.Sequential(
        nn.Conv1d(1, 2, 1), nn.InstanceNorm1d(2, track_running_stats=True), nn.Flatten()
    ).eval()
    f = ms.Objective(model, "cross_entropy", (torch.rand(6, 1, 4), torch.arange(6)))
    curve = Curve.chain(torch.stack([f.theta, -f.theta]))
    assert profile(f, curve, points=2, refine=False).warning
    with pytest.raises(ArgumentError, match="InstanceNorm1d '1'"):
        profile(f, curve, points=2, recompute=True)


def test_what_does_not_fit_is_refused():
    f = zoo.ring.objective()
    with pytest.raises(ArgumentError, match="curve: expected points with 2 numbers"):
        profile(f, chain([0.0], [1.0]))
    with pytest.raises(ArgumentError, match="test: expected None or an Objective"):
        profile(f, chain([0.0, 0], [1, 1]), test=(torch.zeros(2, 2), torch.zeros(2)))
    with pytest.raises(ArgumentError, match="test: expected an objective of dimension 2"):
        profile(f, chain([0.0, 0], [1, 1]), test=classifier())


def test_as_a_table_and_as_json():
    f = classifier()
    curve = Curve.chain(torch.stack([f.theta, -f.theta]))
    found = profile(f, curve, points=3, refine=False, test=classifier(seed=1))
    header, *rows = found.table().splitlines()
    assert header.split()[:2] == ["t", "arclength"]
    assert [float(row.split()[2]) for row in rows] == pytest.approx(found.loss.tolist(), rel=1e-5)
    values = json.loads(json.dumps(found.to_json()))
    assert values["loss"] == found.loss.tolist()
    assert values["test"]["accuracy"] == found.test.accuracy.tolist()
