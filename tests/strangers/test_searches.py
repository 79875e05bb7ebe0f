"""A search never raises: what it could not do is its status."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import morsescape as ms
from strangers.truth import clear, labels, normal, seeded


def pinball(o: Tensor, y: Tensor) -> Tensor:
    return torch.maximum(0.2 * (y - o), 0.8 * (o - y)).mean()


def small() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 2))


LOSSES: dict[str, Any] = {
    "pinball": pinball,
    "l1": F.l1_loss,
    "hinge": lambda o, y: (1 - o * y.sign()).clamp(min=0).mean(),
    "largest": lambda o, y: (o - y).square().amax(1).mean(),
    "log of what may be negative": lambda o, y: torch.log(1 + o).square().mean(),
    "root of what may be negative": lambda o, y: (torch.sqrt(o + 2) - y).square().mean(),
    "an exponential that overflows": lambda o, y: torch.exp(500 * (o - y)).mean(),
    "unbounded below": lambda o, y: (o * y).pow(3).mean(),
}


@pytest.mark.parametrize("name", LOSSES)
def test_searches_on_networks(name: str) -> None:
    data = normal(4, 3, seed=16), normal(4, 2, seed=17)
    try:
        f = ms.Objective(seeded(small, 16), LOSSES[name], data, l2=1e-2)
    except ms.MorsescapeError as error:
        assert "finite" in str(error)  # noqa: PT017 - at its own parameters already
        return
    for target in ("minimum", "nearest"):
        point = ms.find_critical_point(f, target=target, max_steps=20)
        assert isinstance(point.status, ms.SearchStatus)
        assert str(point)
    assert isinstance(ms.escape(f, max_rounds=1).status, ms.EscapeStatus)


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "a kink": lambda t: t.abs().sum() + t[0] ** 2,
    "a kink far away": lambda t: torch.relu(t - 3).sum() + t.square().sum(),
    "steps": lambda t: torch.floor(t).sum() + t.square().sum(),
    "unbounded": lambda t: -t.square().sum(),
    "unbounded and cubic": lambda t: t.pow(3).sum() - t[0],
    "no critical point": lambda t: torch.exp(t).sum(),
    "constant": lambda t: 0 * t.sum(),
    "linear": lambda t: t.sum(),
    "nan beyond a border": lambda t: torch.log(t).sum() - t.sum(),
    "infinite at zero": lambda t: (1 / t).sum() + t.square().sum(),
    "nan everywhere": lambda t: torch.log(-1 - t.square()).sum(),
    "overflow": lambda t: torch.exp(t.square() * 300).sum(),
    "underflow": lambda t: torch.exp(-t.square() * 1e6).sum(),
    "very flat": lambda t: (t.pow(12)).sum(),
    "huge numbers": lambda t: 1e200 * t.square().sum(),
    "tiny numbers": lambda t: 1e-200 * t.square().sum(),
    "no second derivative": lambda t: torch.exp(
        -torch.cdist(t[None, None], t[None, None] + 1)
    ).sum(),
    "a root": lambda t: t.abs().sqrt().sum(),
    "zero to a power": lambda t: t.pow(1.5).sum(),
    "atan2": lambda t: torch.atan2(t[0], t[1]).square() + t.square().sum(),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("start", [(0.5, 0.8), (0.0, 0.0)])
def test_searches_on_functions(name: str, start: tuple[float, float]) -> None:
    """Only a function that torch cannot differentiate twice is refused, by name."""
    f = ms.Objective.from_function(FUNCTIONS[name], 2)
    theta = torch.tensor(start, dtype=torch.float64)
    for search in (
        lambda: ms.find_critical_point(f, theta, max_steps=25),
        lambda: ms.find_critical_point(f, theta, target="nearest", max_steps=25),
        lambda: ms.escape(f, theta, max_rounds=1),
        lambda: ms.certify(f, theta),
    ):
        try:
            answer = search()
        except ms.MorsescapeError as error:
            assert name in ("no second derivative", "steps"), error  # noqa: PT017
            clear(error, "dist", "floor")
        else:
            assert str(answer)


def test_the_users_own_error_comes_through() -> None:
    def fn(t: Tensor) -> Tensor:
        if not t.requires_grad and float(t.detach().abs().max()) > 1e3:
            raise LookupError("beyond the table")
        return -t.square().sum()

    f = ms.Objective.from_function(lambda t: -t.square().sum(), 2)
    assert ms.find_critical_point(f, torch.ones(2).double(), max_steps=5) is not None
    with pytest.raises(LookupError, match="beyond the table"):
        ms.Objective.from_function(fn, 2).value(torch.full((2,), 2e3).double())


def test_a_network_whose_gradient_is_not_finite() -> None:
    """A square root at zero: finite loss, infinite derivative."""
    model = nn.Linear(3, 2)
    with torch.no_grad():
        model.weight.zero_()
        model.bias.zero_()
    f = ms.Objective(model, lambda o, y: o.abs().sqrt().mean(), (normal(4, 3), labels(4)))
    assert str(ms.find_critical_point(f, max_steps=5))
    assert ms.certify(f, f.theta).status.name != "PROVED"
