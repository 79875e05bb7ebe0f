"""What is planned is what happens: the same route, and no proof promised that does not come."""

import json

import pytest
import torch
from torch import nn

import morsescape as ms
from morsescape.critical import CertificateStatus, plan
from morsescape.critical.enclosure import hessian_variation
from morsescape.critical.planning import _about, _measured_speed
from morsescape.errors import ArgumentError
from morsescape.hessian.gradient import sharp_gradient
from morsescape.hessian.regime import regime
from morsescape.paths.found import hessian_cost
from morsescape.spectrum.inertia import InertiaStatus


def network(*layers, samples=12, **options):
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 4), *layers, nn.Linear(4, 2))
    x, y = (torch.randn(samples, n, generator=generator) for n in (3, 2))
    return ms.Objective(model, "mse", (x, y), l2=1e-2, **options)


def function(fn, dim=3):
    return ms.Objective.from_function(fn, dim)


LANDSCAPES = {
    "tanh": lambda: network(nn.Tanh()),
    "layer norm": lambda: network(nn.LayerNorm(4), nn.Tanh()),
    "relu": lambda: network(nn.ReLU()),
    "polynomial": lambda: function(lambda t: (t**4).sum() + t @ t),
    "exponential": lambda: function(lambda t: t.exp().sum() + (-2 * t).exp().sum()),
    "Bessel": lambda: function(lambda t: torch.special.i0(t).sum()),
}


@pytest.mark.parametrize("name", LANDSCAPES)
def test_proofs_are_promised_where_they_come(name):
    f = LANDSCAPES[name]()
    planned = plan(f, speed=1e10)
    start = f.theta if f.network is not None else torch.linspace(0.2, 0.5, f.dim).double()
    found = ms.find_critical_point(f, start)
    # A search on ReLUs ends on a kink, where float64 may take another branch than real numbers do.
    signs = ms.inertia(f, start if name == "relu" else found.theta)
    assert planned.signs.startswith("proved") == (signs.status is not InertiaStatus.ESTIMATE)
    assert ("smooth piece" in planned.signs) == bool(signs.not_smooth)
    provable = planned.point.startswith("provable")
    if found.certificate.status is CertificateStatus.PROVED:
        assert provable or "perhaps" in planned.point
    if provable:  # all that a proof is made of is there; how wide it is depends on the point
        hessian = f.enclosed_hessian(found.theta)
        assert sharp_gradient(f.source, found.theta, f.l2) is not None
        assert hessian_variation(f.source, found.theta, 1e-15, hessian) is not None
    assert provable == (name in ("tanh", "layer norm", "polynomial", "exponential"))


@pytest.mark.usefixtures("unprobed")
def test_doubts_about_derivatives_are_not_forgotten():
    f = function(lambda t: t @ t + (t[0].detach() * t[0]) ** 2)
    f.source.doubts = ("the model detaches something",)
    assert plan(f, speed=1e10).signs == "an estimate: the model detaches something"


def test_an_operation_without_a_rule_is_named():
    planned = plan(LANDSCAPES["Bessel"](), speed=1e10)
    assert "special_i1 has no rule" in planned.signs
    assert planned.point == "an estimate at best"


@pytest.mark.parametrize("dim", [1_500, 1_501, 12_001])
def test_the_route_is_the_one_that_the_search_takes(dim, monkeypatch):
    monkeypatch.setattr("morsescape.critical.planning.free_memory", lambda: 100.0)
    planned = plan(function(lambda t: t @ t, dim), speed=1e10)
    assert planned.route == regime(dim).name
    assert ("Krylov" in planned.search) == (dim > 12_000)


def test_where_there_is_no_room_nothing_is_promised(monkeypatch):
    monkeypatch.setattr("morsescape.critical.planning.free_memory", lambda: 1e-6)
    planned = plan(network(nn.Tanh()), speed=1e10)
    for said in (planned.signs, planned.point):
        assert "the Hessian needs" in said
    assert planned.signs_seconds is None
    assert "for signs" not in str(planned)
    assert planned.bytes > planned.free


def test_it_runs_no_gradient_and_no_hessian(monkeypatch):
    f = network(nn.Tanh())

    def never(*_, **__):
        raise AssertionError

    for name in ("value", "value_and_gradient", "hvp", "hessian", "enclosed_hessian"):
        monkeypatch.setattr(type(f), name, never)
    assert plan(f).hessian == f.hessian_plan()


def test_the_hessian_of_a_function_takes_a_tangent_for_each_variable():
    f = function(lambda t: t @ t, 7)
    assert str(f.hessian_plan()).splitlines()[:2] == [
        "7 parameters", "theta: 7 parameter tangents (a function has no layers)",
    ]  # fmt: skip
    assert (hessian_cost(f), plan(f).samples) == (14, 0)


def test_more_samples_take_longer_and_a_faster_machine_less():
    few, many = (plan(network(nn.Tanh(), samples=n), speed=1e10) for n in (10, 100_000))
    fast = plan(network(nn.Tanh(), samples=100_000), speed=1e12)
    assert few.search_seconds < fast.search_seconds < many.search_seconds
    assert few.signs_seconds < many.signs_seconds < many.search_seconds


def test_shown_and_saved(monkeypatch):
    planned = plan(network(nn.Tanh()), speed=2e10)
    text = str(planned)
    assert text.startswith("26 variables, 12 samples: all eigenpairs of the Hessian\nsearch: ")
    assert "an estimate at 20 Gflop/s" in text
    values = json.loads(json.dumps(planned.to_json()))
    assert (values["dim"], values["hessian"]["samples"]) == (26, 12)
    monkeypatch.setattr("morsescape.critical.planning.free_memory", lambda: float("inf"))
    unknown = plan(network(nn.Tanh()), speed=2e10)
    assert unknown.to_json()["free"] is None
    assert "free" not in str(unknown)


def test_the_speed_is_that_of_this_machine():
    assert 1e8 < _measured_speed() < 1e14
    assert plan(function(lambda t: t @ t)).speed > 1e8
    with pytest.raises(ArgumentError, match="speed"):
        plan(function(lambda t: t @ t), speed=0.0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.123, "0.1 s"), (7.4, "7 s"), (119.0, "119 s"), (120.0, "2 min"), (9e3, "2 h")],
)
def test_times_are_said_with_few_digits(seconds, text):
    assert _about(seconds) == text
