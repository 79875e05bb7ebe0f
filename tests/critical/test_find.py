"""Searches on the zoo: what is reported is so, and nothing is claimed that is not."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from morsescape.critical import (
    CertificateStatus,
    CriticalPoint,
    Escape,
    SearchStatus,
    find,
    find_critical_point,
)
from morsescape.critical.find import METHODS
from morsescape.errors import ArgumentError, DataError
from morsescape.objective import Objective
from morsescape.spectrum.inertia import inertia
from morsescape.zoo import ZOO, Landscape

MINIMISERS = [m for m in METHODS if m != "levenberg"]
CLAIMS = (SearchStatus.MINIMUM, SearchStatus.SADDLE)
METHOD_ZOO = (
    "quadric", "Himmelblau", "Rosenbrock", "held monkey saddle", "Müller–Brown", "one hidden unit",
)  # fmt: skip
OPEN_AT_DEGENERATE = (SearchStatus.DEGENERATE, SearchStatus.UNDECIDED, SearchStatus.FLAT)


def check_claims(z: Landscape, found: CriticalPoint) -> None:
    """Whatever the status says has to agree with what is known of the landscape."""
    if found.status in CLAIMS:
        assert found.grad_norm <= 1e-9
        assert found.certificate.holds
        if z.complete:
            assert z.signs_at(found.theta) == (found.index, 0)
        assert (found.index == 0) == (found.status is SearchStatus.MINIMUM)
    elif found.status in OPEN_AT_DEGENERATE:
        assert found.grad_norm <= 1e-9
        assert found.index is None
        if z.complete and z.coercive:  # elsewhere the gradient may be small far out
            assert z.signs_at(found.theta, tol=0.05) is None or not z.morse
    if found.certificate.status is CertificateStatus.PROVED and z.complete and not z.family:
        # Also where the search ended elsewhere: a quadratic form is proved from far away.
        near = [
            signs
            for point, signs in z.critical
            if math.dist(point, found.theta.tolist()) <= found.certificate.distance + 1e-6
        ]
        low, high = found.certificate.index
        assert low == high
        assert near == [(low, 0)]


def check_minimum(z: Landscape, method: str, start: torch.Tensor) -> None:
    found = find_critical_point(z.objective(), start, method=method)
    check_claims(z, found)
    if z.coercive and z.morse:
        # L-BFGS sees f only, whose digits may be spent before the gradient is small.
        spent = (SearchStatus.PRECISION,) if "lbfgs" in method else ()
        assert found.status in (SearchStatus.MINIMUM, *spent)
        if found.status is SearchStatus.MINIMUM:
            assert found.certificate.status is CertificateStatus.PROVED
    if z.name in ("quadric", "inflection", "monkey saddle"):  # these have no minimum
        assert found.status not in CLAIMS


@pytest.mark.parametrize("z", ZOO, ids=lambda z: z.name)
def test_minimum_from_random_starts(z):
    for start in z.starts(2, seed=7):
        check_minimum(z, "auto", start)


@pytest.mark.parametrize("name", METHOD_ZOO)
@pytest.mark.parametrize("method", MINIMISERS[1:])
def test_every_method_from_a_random_start(name, method):
    z = next(z for z in ZOO if z.name == name)
    check_minimum(z, method, z.starts(1, seed=8)[0])


@pytest.mark.parametrize("z", ZOO, ids=lambda z: z.name)
def test_nearest_from_random_starts(z):
    f = z.objective()
    for start in z.starts(2, seed=11):
        check_claims(z, find_critical_point(f, start, target="nearest", max_steps=60))


@pytest.mark.parametrize("z", [z for z in ZOO if z.complete], ids=lambda z: z.name)
def test_nearest_finds_each_listed_point_from_close_by(z):
    f = z.objective()
    for point, (index, nullity) in z.critical[-5:]:
        near = torch.tensor(point).double() + 1e-3
        found = find_critical_point(f, near, target="nearest")
        assert found.grad_norm <= 1e-9
        check_claims(z, found)
        if nullity == 0 and z.morse:
            assert math.dist(found.theta.tolist(), point) < 1e-4
            assert (found.index, found.certificate.status.name) == (index, "PROVED")


@pytest.mark.parametrize(
    ("name", "starts"), [("double well", 8), ("one hidden unit", 10), ("three-hump camel", 14)]
)
def test_poincare_hopf_over_what_was_found(name, starts):
    z = next(z for z in ZOO if z.name == name)
    f, found = z.objective(), {}
    for start in z.starts(starts, seed=3):
        point = find_critical_point(f, start, target="nearest", max_steps=60)
        if point.status in CLAIMS:
            found[tuple(round(x, 4) + 0.0 for x in point.theta.tolist())] = point.index
    assert len(found) == len(z.critical)  # with these seeds; fewer would say nothing
    assert sum((-1) ** index for index in found.values()) == 1


def test_a_start_on_a_saddle_is_left():
    f = Objective.from_function(lambda t: (t[0] ** 2 - 1) ** 2 + t[1] ** 2, 2)
    for method in MINIMISERS:
        found = find_critical_point(f, torch.zeros(2).double(), method=method)
        assert found.status is SearchStatus.MINIMUM
        assert abs(abs(float(found.theta[0])) - 1) < 1e-8


BAD = {
    "nan in part of the domain": (
        lambda t: t[0] ** 2 + t[1] ** 2 + 0 * torch.sqrt(t[0] - 1),
        [3.0, 1.0],
        (SearchStatus.WALL,),
    ),
    "nan at the start": (
        lambda t: t[0] ** 2 + 0 * torch.sqrt(t[1]),
        [1.0, -1.0],
        (SearchStatus.NOT_FINITE,),
    ),
    "no lower bound": (lambda t: t[0] ** 2 - t[1] ** 4, [1.0, 0.5], (SearchStatus.UNBOUNDED,)),
    "linear": (lambda t: t[0] - 2 * t[1], [1.0, 0.5], (SearchStatus.UNBOUNDED,)),
    "flat": (lambda t: 0 * t.sum(), [1.0, 1.0], (SearchStatus.FLAT,)),
    "minimum at infinity": (
        lambda t: torch.exp(-t[0]) + t[1] ** 2,
        [1.0, 0.5],
        (SearchStatus.UNDECIDED, SearchStatus.DEGENERATE),
    ),
    "absolute value": (
        lambda t: t[0].abs() + t[1] ** 2,
        [1.0, 1.0],
        (SearchStatus.NOT_SMOOTH,),
    ),
    "at the kink": (lambda t: t[0].abs() + t[1] ** 2, [0.0, 0.0], (SearchStatus.NOT_SMOOTH,)),
    "relu": (
        lambda t: torch.relu(t[0]) + torch.relu(-2 * t[0]) + t[1] ** 2,
        [1.0, 1.0],
        (SearchStatus.NOT_SMOOTH,),
    ),
}


@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize("method", ["auto", "lbfgs", "cubic"])
def test_bad_functions_end_with_their_status(what, method):
    fn, start, allowed = BAD[what]
    found = find_critical_point(
        Objective.from_function(fn, 2), torch.tensor(start).double(), method=method
    )
    assert found.status in allowed
    assert found.certificate.status is not CertificateStatus.PROVED
    assert found.status.value in str(found)


def test_what_fell_out_of_sight_has_no_index():
    """The Hessian is constant, so the saddle at 0 is proved from anywhere: not what was found."""
    f = Objective.from_function(lambda t: t[0] ** 2 - t[1] ** 2, 2)
    found = find_critical_point(f, torch.tensor([1.0, 0.5]).double())
    assert found.status is SearchStatus.UNBOUNDED
    assert found.index is None
    assert "index unknown" in str(found)
    assert "proved" not in str(found)


def test_after_the_last_round_what_is_said_is_said_of_where_the_search_ends(monkeypatch):
    monkeypatch.setattr(find, "_ROUNDS", 1)
    weights = torch.arange(1.0, 6.0, dtype=torch.float64)
    f = Objective.from_function(lambda t: (weights * (t**2 - 1) ** 2).sum(), 5)
    found = find_critical_point(f, torch.zeros(5).double(), method="lbfgs")
    assert found.status is SearchStatus.SADDLE
    assert found.grad_norm == float(f.gradient(found.theta).norm()) == 0
    assert found.index == 5
    assert inertia(f, found.theta).negative == (5, 5)


def test_the_callback_sees_every_step_that_leads_to_the_result():
    x = torch.linspace(-1, 1, 30, dtype=torch.float64).reshape(10, 3)
    f = Objective(nn.Linear(3, 2), "cross_entropy", (x, torch.arange(10) % 2), l2=0.1)
    seen: list[torch.Tensor] = []
    found = find_critical_point(f, callback=lambda t, v, g: seen.append(t.clone()))
    assert torch.equal(seen[-1], found.theta)
    assert len(seen) == found.steps


def test_a_critical_start_takes_no_step():
    f = Objective.from_function(lambda t: (t**2).sum(), 3)
    assert find_critical_point(f, torch.zeros(3).double()).steps == 0


def test_what_was_never_saved_cannot_be_read_and_leaves_no_folder(tmp_path):
    for kind in (CriticalPoint, Escape):
        with pytest.raises(DataError, match="expected"):
            kind.load(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_step_limit_is_said():
    f = next(z for z in ZOO if z.name == "Rosenbrock").objective()
    found = find_critical_point(f, torch.tensor([-1.2, 1.0]).double(), max_steps=3)
    assert found.status is SearchStatus.STEP_LIMIT
    assert found.steps == 3
    assert found.index is None


def test_same_seed_same_point_and_the_callers_random_state_is_untouched():
    z = next(z for z in ZOO if z.name == "Styblinski–Tang")
    torch.manual_seed(5)
    state = torch.get_rng_state()
    a, b = (find_critical_point(z.objective(), torch.zeros(3).double(), seed=4) for _ in range(2))
    assert torch.equal(a.theta, b.theta)
    assert torch.equal(state, torch.get_rng_state())


def test_counts_and_callback_and_resume():
    z = next(z for z in ZOO if z.name == "Rosenbrock")
    seen: list[tuple[torch.Tensor, float]] = []
    start = torch.tensor([-1.2, 1.0]).double()
    whole = find_critical_point(
        z.objective(), start, callback=lambda t, v, g: seen.append((t.clone(), v))
    )
    assert len(seen) == whole.steps
    values = [v for _, v in seen]
    assert values == sorted(values, reverse=True)
    assert whole.evaluations.gradient >= whole.steps
    again = find_critical_point(z.objective(), seen[len(seen) // 2][0])
    assert torch.allclose(again.theta, whole.theta, atol=1e-8)


def test_a_minimum_that_is_an_estimate_is_not_called_proved():
    f = Objective.from_function(lambda t: torch.special.i0(t).sum(), 2)  # no error rule
    found = find_critical_point(f, torch.tensor([0.3, -0.2]).double())
    assert found.status is SearchStatus.MINIMUM
    assert found.certificate.status is CertificateStatus.ESTIMATE
    assert "likely but not proved" in found.conclusion
    assert "likely but not proved" in found._repr_html_()
    sure = find_critical_point(Objective.from_function(lambda t: t @ t, 2), torch.ones(2).double())
    assert "not proved" not in sure.conclusion
    assert sure.conclusion.endswith("[proved]")


def test_progress_reaches_the_end():
    calls: list[tuple[str, int, int]] = []
    f = next(z for z in ZOO if z.name == "bowl").objective()
    find_critical_point(f, torch.ones(3).double(), progress=lambda *c: calls.append(c))
    search = [c for c in calls if c[0] == "search"]
    assert search[-1][1] == search[-1][2]


def test_save_and_load(tmp_path):
    f = next(z for z in ZOO if z.name == "Himmelblau").objective()
    found = find_critical_point(f, torch.tensor([2.5, 2.5]).double())
    found.save(tmp_path / "point")
    back = CriticalPoint.load(tmp_path / "point")
    assert torch.equal(back.theta, found.theta)
    assert (back.status, back.inertia) == (found.status, found.inertia)
    assert repr(back.certificate) == repr(found.certificate)  # nan differs from itself
    assert str(back) == str(found)
    assert "<table>" in back._repr_html_()
    (tmp_path / "point" / "critical-point.safetensors").write_bytes(b"cut")
    with pytest.raises(DataError, match=r"CriticalPoint\.save"):
        CriticalPoint.load(tmp_path / "point")


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"target": "saddle"}, "minimum | nearest"),
        ({"method": "adam"}, "lbfgs"),
        ({"method": "levenberg"}, "nearest"),
        ({"target": "nearest", "method": "lbfgs"}, "levenberg"),
        ({"tol": 0.0}, "positive"),
        ({"max_steps": 0}, "positive"),
        ({"max_steps": 2.5}, "max_steps: expected a positive number, an integer; got 2.5"),
        ({"theta": torch.zeros(3).double()}, "shape"),
        ({"theta": torch.zeros(2)}, "float64"),
        ({"theta": torch.tensor([0.0, math.nan]).double()}, "finite"),
    ],
)
def test_bad_arguments(arguments, match, unchecked):
    f = next(z for z in ZOO if z.name == "double well").objective()
    arguments = {"theta": torch.ones(2).double()} | arguments
    with pytest.raises(ArgumentError, match=match):
        find_critical_point(f, **arguments)


def test_rounding_to_float32_is_no_jump_where_a_point_is_proved():
    f = Objective.from_function(lambda t: ((t.float() - 1 / 3) ** 2).sum().double(), 1)
    found = find_critical_point(f, torch.full((1,), 0.7).double())
    assert found.certificate.status is CertificateStatus.PROVED
    assert found.status is SearchStatus.MINIMUM
    assert 0 < abs(float(found.theta) - 1 / 3) <= found.certificate.distance


def test_a_saddle_is_printed_with_its_index():
    f = Objective.from_function(lambda t: t[0] ** 2 - t[1] ** 2 - t[2] ** 2, 3)
    found = find_critical_point(f, torch.full((3,), 0.1).double(), target="nearest")
    assert found.verdict == "at a nondegenerate critical point of index 2"
