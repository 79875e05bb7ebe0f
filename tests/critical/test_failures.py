"""Whatever goes wrong inside a search is a sentence of its result; the caller's errors pass."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import morsescape as ms
from morsescape.critical import (
    CertificateStatus,
    Escape,
    EscapeStatus,
    SearchStatus,
    ThirdOrderPoint,
    ThirdOrderStatus,
    escape,
    find_critical_point,
    third_order,
    third_order_minimum,
)
from morsescape.objective import Objective

START = torch.tensor([0.4, 0.3]).double()


def well(t):
    return (t[0] ** 2 - 1) ** 2 + t[1] ** 2


def searches(f, start=START):
    return [
        find_critical_point(f, start),
        find_critical_point(f, start, method="trust-region"),
        find_critical_point(f, start, target="nearest"),
        escape(f, start),
        third_order_minimum(f, start),
    ]


ERRORS = [
    RuntimeError("out of luck"),
    torch.linalg.LinAlgError("no convergence"),
    MemoryError(),
    RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ms.ArgumentError("hessian", expected="this", got="that", cure="none"),
    ValueError("two\nlines"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("judged", [False, True])
def test_a_hessian_that_cannot_be_computed_ends_in_a_sentence(monkeypatch, judged, error):
    made = Objective.hessian_at

    def broken(self, theta, *, bounded=True):
        if bounded is judged:
            raise error
        return made(self, theta, bounded=bounded)

    monkeypatch.setattr(Objective, "hessian_at", broken)
    for found in searches(Objective.from_function(well, 2)):
        failed = found.reason
        if failed:
            assert failed.startswith(type(error).__name__)
            assert "\n" not in str(found)
            assert failed in str(found)
        if judged and not isinstance(found, ThirdOrderPoint):
            assert failed
            assert found.inertia is None
            assert found.status not in (SearchStatus.MINIMUM, EscapeStatus.INDEX_ZERO)
        if not judged:  # which an escape takes from the enclosed one, and need not miss
            assert failed or isinstance(found, Escape)


def test_the_last_good_point_is_kept(monkeypatch):
    f = Objective.from_function(well, 2)
    seen, made = [], Objective.hessian_at

    def broken(self, theta, *, bounded=True):
        if len(seen) >= 3:
            raise RuntimeError("out of luck")
        return made(self, theta, bounded=bounded)

    monkeypatch.setattr(Objective, "hessian_at", broken)
    found = find_critical_point(
        f, START, method="trust-region", callback=lambda t, v, g: seen.append(t.clone())
    )
    assert found.status is SearchStatus.FAILED
    assert found.steps == len(seen) == 3
    assert torch.equal(found.theta, seen[-1])
    assert "RuntimeError: out of luck" in str(found)


def test_where_f_cannot_be_evaluated_is_a_wall():
    """The Cholesky factor exists for t₀ > 1 only, and torch raises elsewhere."""

    def fn(t):
        one = torch.ones((), dtype=t.dtype)
        matrix = torch.stack([torch.stack([t[0], one]), torch.stack([one, t[0]])])
        return torch.linalg.cholesky(matrix).diagonal().sum() + t[1] ** 2

    f = Objective.from_function(lambda t: fn(t + torch.tensor([2.0, 0.0]).double()), 2)
    found = find_critical_point(f, torch.tensor([1.0, 0.5]).double(), max_steps=50)
    assert float(found.theta[0]) > -1
    assert found.status is SearchStatus.WALL
    assert "LinAlgError" in str(found)
    with pytest.raises(torch.linalg.LinAlgError):  # at the first point it is the caller's to see
        find_critical_point(f, torch.tensor([-3.0, 0.0]).double())


@pytest.mark.parametrize("error", [ZeroDivisionError("mine"), RuntimeError("mine"), MemoryError()])
@pytest.mark.parametrize(
    ("search", "name"),
    [(find_critical_point, "callback"), (find_critical_point, "progress"), (escape, "callback")],
)
def test_what_the_callers_functions_raise_passes(search, name, error):
    calls = 0

    def mine(*_):
        nonlocal calls
        calls += 1
        if calls == 2:
            raise error

    with pytest.raises(type(error)) as caught:
        search(Objective.from_function(well, 2), START, **{name: mine})
    assert caught.value is error


def test_an_interrupt_passes():
    def interrupt(*_):
        raise KeyboardInterrupt

    f = Objective.from_function(well, 2)
    with pytest.raises(KeyboardInterrupt):
        find_critical_point(f, START, callback=interrupt)
    calls = 0

    def fn(t):
        nonlocal calls
        calls += 1
        if calls > 20:
            raise KeyboardInterrupt
        return well(t)

    with pytest.raises(KeyboardInterrupt):
        find_critical_point(Objective.from_function(fn, 2), START)


@pytest.mark.usefixtures("unprobed")
def test_a_contradicted_hessian_is_said_not_raised_and_nothing_is_claimed():
    f = Objective.from_function(lambda t: well(t) - 8 * t[1].detach() ** 2, 2)
    at = torch.tensor([1.0, 0.0]).double()
    for found in (find_critical_point(f, at), find_critical_point(f, at, target="nearest")):
        assert found.status is SearchStatus.UNDECIDED
        assert found.certificate.status is CertificateStatus.UNDECIDED
        assert found.inertia is None
        assert found.index is None
        assert "differences of f" in str(found)
    way = escape(f, at)
    assert way.status is EscapeStatus.FAILED
    assert "differences of f" in str(way)


@pytest.mark.parametrize("seed", [8, 16])
def test_a_loss_with_kinks_does_not_make_a_search_raise(seed):
    generator = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(4, n, generator=generator) for n in (4, 2))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))

    def pinball(output, target):
        off = target - output
        return torch.maximum(0.3 * off, -0.7 * off).mean()

    f = Objective(model, pinball, (x, y), l2=1e-2)
    found = find_critical_point(f, max_steps=60)
    assert found.certificate.status is not CertificateStatus.PROVED
    assert escape(f, max_rounds=2).status.value


def test_a_cubic_step_that_cannot_shrink_any_more_ends():
    """Between the kinks of |t| the Hessian is 0, and no length of step is short enough."""
    f = Objective.from_function(lambda t: t.abs().sum(), 2)
    low = third_order_minimum(f, torch.tensor([1.0, 0.3]).double(), max_rounds=2)
    assert low.status is ThirdOrderStatus.NOT_SECOND_ORDER
    assert low.evaluations.hessian < 600
    assert low.evaluations.gradient < 5_000


def test_cubic_steps_are_limited_in_all_rounds(monkeypatch):
    monkeypatch.setattr(third_order, "_CUBIC_STEPS", 7)
    # As if a step of third order had been taken after each round.
    monkeypatch.setattr(third_order._ThirdOrder, "_third_order", lambda self, point: point)
    f = Objective.from_function(lambda t: t.abs().sum(), 2)
    low = third_order_minimum(f, torch.tensor([1.0, 0.3]).double())
    assert [step.kind for step in low.steps] == ["cubic, 7 times"]


def test_representations_are_short():
    f = Objective.from_function(lambda t: ((t**2 - 1) ** 2).sum(), 200)
    start = 0.1 * torch.ones(200).double()
    for found in searches(f, start):
        assert len(repr(found)) < 250
        assert "\n" not in repr(found)
        assert found.status.name in repr(found)
        assert "<200 numbers>" in repr(found)
