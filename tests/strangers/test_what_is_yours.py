"""Nothing of the caller's is written to, and nothing that the caller does later changes f."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import morsescape as ms
from strangers.truth import clear, labels, normal, plain, right_or_refused, seeded, truth

N = 6


def small() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 2))


def everything(f: ms.Objective, theta: Tensor) -> None:
    """Every public question about f at θ; a clear refusal is an answer."""
    v = torch.ones_like(theta)
    for ask in (
        lambda: f.value(theta),
        lambda: f.gradient(theta),
        lambda: f.value_and_gradient(theta),
        lambda: f.hvp(theta, v),
        lambda: f.hessian(theta),
        lambda: f.enclosed_hessian(theta),
        lambda: ms.inertia(f, theta),
        lambda: ms.certify(f, theta),
        lambda: ms.escape(f, theta),
        lambda: ms.find_critical_point(f, theta, max_steps=3),
    ):
        try:
            ask()
        except ms.MorsescapeError as error:
            clear(error)


# -- what the caller does later -------------------------------------------------------------------


@pytest.mark.parametrize("what", ["x", "y", "numpy", "labels", "model", "buffer", "weights"])
def test_what_happens_later_to_the_callers_own(what: str) -> None:
    x, y = normal(N, 3).double(), normal(N, 2, seed=2).double()
    numbers, classes = x.numpy().copy(), labels(N)
    model = nn.Sequential(small(), nn.BatchNorm1d(2)).eval().double()
    loss: Any = "mse"
    data: Any = (x, y)
    if what == "numpy":
        data = (torch.from_numpy(numbers), y)
    if what in ("labels", "weights"):
        loss, data = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 3.0]).double()), (x, classes)
    f = ms.Objective(model, loss, data)
    before = f.value(f.theta), f.gradient(f.theta), f.hessian(f.theta)
    with torch.no_grad():
        if what == "x":
            x.zero_()
        elif what == "y":
            y += 1
        elif what == "numpy":
            numbers[:] = 0
        elif what == "labels":
            classes.fill_(1)
        elif what == "model":
            model[0][0].weight.zero_()
        elif what == "buffer":
            model[1].running_mean += 1  # type: ignore[operator]
        else:
            loss.weight.fill_(1.0)
    after = f.value(f.theta), f.gradient(f.theta), f.hessian(f.theta)
    assert before[0] == after[0]
    assert torch.equal(before[1], after[1])
    assert torch.equal(before[2], after[2])


def test_answers_are_the_callers_to_write_to() -> None:
    f = ms.Objective(seeded(small), "cross_entropy", (normal(N, 3), labels(N)))
    theta = f.theta.clone()
    gradient, hessian = f.gradient(theta), f.hessian(theta)
    kept = gradient.clone(), hessian.clone()
    gradient.zero_()
    hessian.zero_()
    f.enclosed_hessian(theta).matrix.zero_()
    assert torch.equal(f.gradient(theta), kept[0])
    assert torch.equal(f.hessian(theta), kept[1])
    assert f.gradient(theta).grad_fn is None
    assert not f.hessian(theta).requires_grad


# -- what forward and loss do ---------------------------------------------------------------------


class InPlace(nn.Module):
    def __init__(self, how: str) -> None:
        super().__init__()
        self.l, self.how = nn.Linear(3, 2), how

    def forward(self, x: Tensor) -> Tensor:
        if self.how == "mul":
            x *= 2
        elif self.how == "add":
            x.add_(1.0)
        elif self.how == "index":
            x[:, 0] = 0
        elif self.how == "relu":
            F.relu_(x)
        elif self.how == "clamp":
            torch.clamp(x, -0.5, 0.5, out=x)
        elif self.how == "view":
            x.view(-1)[::2] += 1
        else:
            x.detach().neg_()
        return self.l(x)


@pytest.mark.parametrize("how", ["mul", "add", "index", "relu", "clamp", "view", "detach"])
def test_inputs_that_forward_changes_in_place(how: str) -> None:
    x, y = normal(N, 3).double(), labels(N)
    before = x.clone()

    def value(model: nn.Module) -> Tensor:
        return F.cross_entropy(model(before.clone()), y)

    def make() -> nn.Module:
        return InPlace(how)

    right_or_refused(lambda: ms.Objective(seeded(make), "cross_entropy", (x, y)),
                     truth(make, value), "place", "writes", "input")  # fmt: skip
    assert torch.equal(x, before)


def test_an_inplace_activation_in_front() -> None:
    def make() -> nn.Module:
        return nn.Sequential(nn.ReLU(inplace=True), nn.Linear(3, 2))

    x = normal(N, 3).double()
    before = x.clone()
    value = plain("cross_entropy", (before.clamp(min=0), labels(N)))
    right_or_refused(lambda: ms.Objective(seeded(make), "cross_entropy", (x, labels(N))),
                     truth(lambda: make()[1:], value), "writes", "place")  # fmt: skip
    assert torch.equal(x, before)


@pytest.mark.parametrize("how", ["clamp", "fill", "output", "sort"])
def test_targets_that_the_loss_changes_in_place(how: str) -> None:
    def loss(output: Tensor, y: Tensor) -> Tensor:
        if how == "clamp":
            y.clamp_(-0.5, 0.5)
        elif how == "fill":
            y[y < 0] = 0.0
        elif how == "sort":
            y.copy_(y.sort(1).values)
        else:
            output -= y
            return output.square().mean()
        return (output - y).square().mean()

    x, y = normal(N, 3).double(), normal(N, 2, seed=2).double()
    before = y.clone()
    expected = truth(small, lambda model: loss(model(x), before.clone()))
    right_or_refused(lambda: ms.Objective(seeded(small), loss, (x, y)), expected,
                     "place", "writes", "target", "sample")  # fmt: skip
    assert torch.equal(y, before)


class Rewrites(nn.Module):
    """Keeps its weights within bounds by writing to them."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.e, self.l = how, nn.Embedding(4, 3), nn.Linear(3, 2)
        if how == "max_norm":
            self.e = nn.Embedding(4, 3, max_norm=0.5)

    def forward(self, x: Tensor) -> Tensor:
        if self.how == "data":
            self.l.weight.data.clamp_(-0.1, 0.1)
        elif self.how == "no_grad":
            with torch.no_grad():
                self.l.weight.mul_(0.5)
        elif self.how == "detach":
            self.l.bias.detach().zero_()
        elif self.how == "set":
            self.l.weight.data = self.l.weight.data / 2
        return self.l(self.e(x))


@pytest.mark.parametrize("how", ["data", "no_grad", "detach", "set", "max_norm"])
def test_weights_that_forward_rewrites(how: str) -> None:
    """θ is the caller's, and what is rewritten is no function of it: refused by name."""
    model = seeded(lambda: Rewrites(how))
    before = copy.deepcopy(model.state_dict())
    theta = 2 * torch.ones(4 * 3 + 8, dtype=torch.float64)
    kept = theta.clone()
    try:
        f = ms.Objective(model, "cross_entropy", (torch.arange(N) % 4, labels(N)))
        everything(f, theta)
        values = [f.value(theta) for _ in range(3)]
    except ms.MorsescapeError as error:
        clear(
            error,
            "writes",
            "same output",
            "renorm",
            "max_norm",
            "place",
            "param",
            "theta",
            "detach",
        )
    else:
        assert len(set(values)) == 1
    assert torch.equal(theta, kept)
    for name, held in model.state_dict().items():
        assert torch.equal(held, before[name])


class Counts(nn.Module):
    """A buffer or an attribute that moves with every call."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.l, self.how, self.calls = nn.Linear(3, 2), how, 0
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        if self.how == "buffer":
            self.seen += 1
            return self.l(x) * torch.exp(-self.seen / 8)
        if self.how == "buffer, anew":
            self.seen = self.seen + 1
            return self.l(x) * torch.exp(-self.seen / 8)
        if self.how == "attribute":
            self.calls += 1
            return self.l(x) / self.calls
        self.seen += len(x)  # counted, and not used
        return self.l(x)


@pytest.mark.parametrize("how", ["buffer", "buffer, anew", "attribute", "unused"])
def test_a_model_that_remembers_is_one_function_or_refused(how: str) -> None:
    model = seeded(lambda: Counts(how))
    try:
        f = ms.Objective(model, "cross_entropy", (normal(N, 3), labels(N)))
        values = {f.value(f.theta) for _ in range(4)}
        everything(f, f.theta)
        values |= {f.value(f.theta), f.value_and_gradient(f.theta)[0]}
    except ms.MorsescapeError as error:
        clear(error, "same output", "buffer", "writes", "state", "place", "differ")
    else:
        assert len(values) == 1, values
    assert float(model.seen) == 0
    assert model.calls == 0


def test_batch_norm_keeps_its_statistics_while_it_is_refused() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).train()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ms.MorsescapeError, match="eval"):
        ms.Objective(model, "cross_entropy", (normal(N, 3), labels(N)))
    for name, held in model.state_dict().items():
        assert torch.equal(held, before[name])
    assert model.training


# -- θ --------------------------------------------------------------------------------------------


def test_theta_is_never_written_to_nor_kept() -> None:
    f = ms.Objective(seeded(small), "cross_entropy", (normal(N, 3), labels(N)), l2=1e-2)
    theta = normal(f.dim).double()
    before = theta.clone()
    everything(f, theta)
    ms.third_order_minimum(f, theta)
    assert torch.equal(theta, before)
    point = ms.find_critical_point(f, theta, max_steps=2)
    found = point.theta.clone()
    theta.zero_()
    assert torch.equal(point.theta, found)


@pytest.mark.parametrize("form", ["view", "strided", "expanded", "requires grad", "inference"])
def test_theta_in_any_form(form: str) -> None:
    f = ms.Objective(seeded(small), "cross_entropy", (normal(N, 3), labels(N)))
    plain_theta = torch.full((f.dim,), 0.3, dtype=torch.float64)
    expected = f.hessian(plain_theta)
    if form == "view":
        theta = torch.full((2, f.dim), 0.3, dtype=torch.float64)[1]
    elif form == "strided":
        theta = torch.full((f.dim, 2), 0.3, dtype=torch.float64)[:, 1]
    elif form == "expanded":
        theta = torch.tensor(0.3, dtype=torch.float64).expand(f.dim)
    elif form == "requires grad":
        theta = plain_theta.clone().requires_grad_()
    else:
        with torch.inference_mode():
            theta = plain_theta.clone()
    assert torch.equal(f.hessian(theta), expected)
    assert not f.gradient(theta).requires_grad
    everything(f, theta)


@pytest.mark.parametrize("make", [np.asarray, list, tuple])
def test_theta_as_numpy_or_a_list(make: Any) -> None:
    f = ms.Objective(seeded(small), "cross_entropy", (normal(N, 3), labels(N)))
    theta = torch.full((f.dim,), 0.25, dtype=torch.float64)
    given = make(theta.tolist())
    assert f.value(given) == f.value(theta)
    assert torch.equal(f.gradient(given), f.gradient(theta))
    assert ms.inertia(f, given).negative == ms.inertia(f, theta).negative
    assert ms.certify(f, given).status is ms.certify(f, theta).status
