"""H is what second differences of f say; where autograd's derivative is another, f is refused."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F

import morsescape as ms
from strangers.truth import (
    Make,
    Truth,
    agrees,
    by_differences,
    clear,
    differences,
    doubled,
    labels,
    normal,
    plain,
    right_or_refused,
    seeded,
    trainable,
    truth,
)  # fmt: skip

N = 7
DATA = normal(N, 2), labels(N)
TOKENS = torch.tensor([[0, 1, 1], [2, 1, 0], [1, 2, 2], [0, 0, 1], [2, 2, 2]]), labels(5)
DIFFERENT = ("gradient", "derivative", "differen")


class Two(nn.Module):
    """Two layers; h is what one of them makes of x."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.o = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.o(torch.tanh(self.b(x)) * (1.5 + self.h(torch.tanh(self.a(x)))))

    def h(self, h: Tensor) -> Tensor:
        raise NotImplementedError


class Detached(Two):
    def h(self, h: Tensor) -> Tensor:
        return h.detach()


class Data(Two):
    def h(self, h: Tensor) -> Tensor:
        return h.data


class NoGrad(Two):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            h = torch.tanh(self.a(x))
        return self.o(torch.tanh(self.b(x)) + h)


class Inference(Two):
    def forward(self, x: Tensor) -> Tensor:
        with torch.inference_mode():
            h = torch.tanh(self.a(x))
        return self.o(torch.tanh(self.b(x)) + h.clone())


class DetachedWeight(Two):
    def h(self, h: Tensor) -> Tensor:
        return F.linear(h, self.b.weight.detach())


class DetachedScale(Two):
    def h(self, h: Tensor) -> Tensor:
        return h / h.norm(dim=1, keepdim=True).detach()


class Number(Two):
    """A scale that is taken out of torch, as quantisers do."""

    def h(self, h: Tensor) -> Tensor:
        return h / float(self.a.weight.detach().abs().sum())


class ThroughNumPy(Two):
    def h(self, h: Tensor) -> Tensor:
        return torch.from_numpy(np.tanh(h.detach().numpy()))


class ThroughAList(Two):
    def h(self, h: Tensor) -> Tensor:
        return torch.tensor(h.tolist(), dtype=h.dtype)


class StraightThrough(Two):
    """Rounds forwards, and pretends backwards that it did not."""

    def h(self, h: Tensor) -> Tensor:
        return h + (torch.round(h * 4) / 4 - h).detach()


class Reverse(Function):
    """The gradient reversal of domain adaptation."""

    @staticmethod
    def forward(ctx, h):  # type: ignore[no-untyped-def]
        return h.clone()

    @staticmethod
    def backward(ctx, g):  # type: ignore[no-untyped-def]
        return -g


class ReverseNew(Function):
    """The same in the newer form, which torch.func can follow."""

    generate_vmap_rule = True

    @staticmethod
    def forward(h):  # type: ignore[no-untyped-def]
        return h.clone()

    @staticmethod
    def setup_context(ctx, inputs, output):  # type: ignore[no-untyped-def]
        pass

    @staticmethod
    def backward(ctx, g):  # type: ignore[no-untyped-def]
        return -g

    @staticmethod
    def jvp(ctx, t):  # type: ignore[no-untyped-def]
        return -t


class WrongSquare(Function):
    """Right once, wrong twice: what is saved for backward is detached."""

    @staticmethod
    def forward(ctx, h):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(h)
        return h * h

    @staticmethod
    def backward(ctx, g):  # type: ignore[no-untyped-def]
        (h,) = ctx.saved_tensors
        return 2 * h.detach() * g


class Reversed(Two):
    def h(self, h: Tensor) -> Tensor:
        return Reverse.apply(h)


class ReversedNew(Two):
    def h(self, h: Tensor) -> Tensor:
        return ReverseNew.apply(h)


class Squared(Two):
    def h(self, h: Tensor) -> Tensor:
        return WrongSquare.apply(h)


class Hooked(Two):
    """Backwards, a hook halves what passes."""

    def h(self, h: Tensor) -> Tensor:
        if h.requires_grad:
            h.register_hook(lambda g: g / 2)
        return h


class Moody(Two):
    """Another function where gradients are recorded."""

    def h(self, h: Tensor) -> Tensor:
        return h if torch.is_grad_enabled() else 2 * h


class Wary(Two):
    def h(self, h: Tensor) -> Tensor:
        return 2 * h if h.requires_grad else h


class Remembers(Two):
    """The first weight it meets is kept, as caches of key and value are."""

    cache: Tensor | None = None

    def h(self, h: Tensor) -> Tensor:
        if self.cache is None:
            self.cache = torch.tanh(self.b.weight)
        return h @ self.cache.detach()


class Codebook(Two):
    """The nearest of three learned vectors, with the gradient passed through."""

    def __init__(self) -> None:
        super().__init__()
        self.codes = nn.Parameter(torch.tensor([[0.5, 0.5], [-0.5, 0.5], [0.2, -0.6]]))

    def h(self, h: Tensor) -> Tensor:
        nearest = (h[:, None] - self.codes[None]).square().sum(2).argmin(1)
        return h + (self.codes[nearest] - h).detach()


class Momentum(Two):
    """A target network of the same weights, whose gradient is stopped."""

    def forward(self, x: Tensor) -> Tensor:
        target = torch.tanh(self.a(x)).detach()
        return self.o(torch.tanh(self.b(x)) - target)


OTHERS: dict[str, tuple[Make, tuple[str, ...]]] = {
    "detach": (Detached, ("detach",)),
    "data": (Data, ("detach", ".data")),
    "no_grad": (NoGrad, ("no_grad", "detach")),
    "inference_mode": (Inference, ("inference", "no_grad", "detach")),
    "a detached weight": (DetachedWeight, ("detach",)),
    "a detached scale": (DetachedScale, ("detach",)),
    "a number": (Number, ("detach", "number", "item")),
    "NumPy": (ThroughNumPy, ("numpy", "detach")),
    "a list": (ThroughAList, ("tolist", "list", "number", "values of a tensor")),
    "straight through": (StraightThrough, ("detach", "round")),
    "reversed gradient": (Reversed, ("Function", "Reverse")),
    "reversed gradient, new form": (ReversedNew, ("Function", "Reverse")),
    "wrong the second time": (Squared, ("Function", "Square", "detach")),
    "a hook": (Hooked, ("hook",)),
    "asks whether gradients are on": (Moody, ("grad_enabled",)),
    "asks whether a gradient is wanted": (Wary, ("requires_grad",)),
    "a cache": (Remembers, ("cache", "detach", "state")),
    "a codebook": (Codebook, ("detach", "argmin")),
    "a stopped target": (Momentum, ("detach",)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_derivative_that_is_not_of_f(name: str) -> None:
    make, words = OTHERS[name]
    value = plain("cross_entropy", DATA)
    expected = by_differences(make, lambda model: value(model.eval()))
    right_or_refused(
        lambda: ms.Objective(seeded(make), "cross_entropy", DATA),
        expected, *words, *DIFFERENT, tolerance=1e-4,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["detach", "no_grad", "straight through", "reversed gradient"])
def test_no_certificate_of_it_either(name: str) -> None:
    make, words = OTHERS[name]
    data = normal(N, 2), normal(N, 2, seed=8)
    for analysis in (ms.certify, ms.escape, partial(ms.find_critical_point, max_steps=20)):
        try:
            answer = analysis(ms.Objective(seeded(make), "mse", data, l2=0.1))
        except ms.MorsescapeError as error:
            clear(error, *words, *DIFFERENT)
        else:
            assert "PROVED" not in repr(answer)


class Stable(Two):
    """Detached, but where it makes no difference: softmax does not feel a shift."""

    def h(self, h: Tensor) -> Tensor:
        e = torch.exp(h - h.max(1, keepdim=True).values.detach())
        return e / e.sum(1, keepdim=True)


class Masked(Two):
    """A branch chosen by a detached number: its derivative is right."""

    def h(self, h: Tensor) -> Tensor:
        return h * (h.detach() > 0)


class Frozen(Two):
    """A detached copy made once is a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = self.b.weight.detach().clone()

    def h(self, h: Tensor) -> Tensor:
        return h @ self.kept.to(h.dtype)


class Teacher(Two):
    """A frozen network beside the learned one."""

    def __init__(self) -> None:
        super().__init__()
        self.a.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            target = torch.tanh(self.a(x))
        return self.o(torch.tanh(self.b(x)) - target)


class Data2(Two):
    """A statistic of the data alone, under no_grad."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            scale = x.abs().sum(1, keepdim=True)
        return self.o(torch.tanh(self.b(x / scale.detach())) * torch.tanh(self.a(x)))


@pytest.mark.parametrize("make", [Frozen, Teacher, Data2])
def test_what_is_detached_from_theta_anyway_is_right(make: Make) -> None:
    value = plain("cross_entropy", DATA)
    agrees(ms.Objective(seeded(make), "cross_entropy", DATA), truth(make, value))


@pytest.mark.parametrize("make", [Stable, Masked])
def test_what_is_detached_without_harm(make: Make) -> None:
    value = plain("cross_entropy", DATA)
    expected = by_differences(make, value)
    right_or_refused(lambda: ms.Objective(seeded(make), "cross_entropy", DATA), expected,
                     "detach", tolerance=1e-4)  # fmt: skip


# -- steps ----------------------------------------------------------------------------------------


class Step(Two):
    def __init__(self, step: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.step = step

    def h(self, h: Tensor) -> Tensor:
        return self.step(h * 4) / 4


STEPS: dict[str, Callable[[Tensor], Tensor]] = {
    "long": lambda h: h.long().to(h.dtype),
    "bool": lambda h: (h > 0).to(h.dtype),
    "round": torch.round,
    "floor": torch.floor,
    "sign": torch.sign,
    "floor division": lambda h: torch.div(h, 0.5, rounding_mode="floor"),
    "remainder": lambda h: h - torch.remainder(h, 1.0),
    "argmax": lambda h: F.one_hot(h.argmax(1), 2).to(h.dtype),
    "heaviside": lambda h: torch.heaviside(h, torch.ones((), dtype=h.dtype)),
    "bucketize": lambda h: torch.bucketize(h.detach(), torch.linspace(-4, 4, 9)).to(h.dtype),
}


@pytest.mark.parametrize("name", STEPS)
def test_steps_are_refused_or_named(name: str) -> None:
    """Their derivative is zero almost everywhere, which is right there: but f is not smooth."""
    value = plain("cross_entropy", DATA)
    expected = by_differences(lambda: Step(STEPS[name]), value)
    f_of = lambda: ms.Objective(seeded(lambda: Step(STEPS[name])), "cross_entropy", DATA)  # noqa: E731
    result = right_or_refused(
        f_of, expected, name, "integer", "detach", "int", *DIFFERENT, tolerance=1e-4
    )
    if result is not None:
        assert result.not_smooth


# -- functions ------------------------------------------------------------------------------------

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "detach": lambda t: t[0] ** 2 - t[1] ** 2 * (1 + t.detach()[0]) + t[0] * t.detach()[1],
    "data": lambda t: t[0] ** 2 - t.data[1] ** 2 * t[0] - t[1] ** 2,
    "number": lambda t: t[0] ** 2 - t[1] ** 2 * float(t[0].detach()),
    "reversed": lambda t: t[0] ** 2 + Reverse.apply(t[1]) ** 2,
    "reversed, new form": lambda t: t[0] ** 2 + ReverseNew.apply(t[1]) ** 2 * t[0],
    "wrong the second time": lambda t: WrongSquare.apply(t[0]) - t[1] ** 2,
    "no_grad": lambda t: torch.no_grad()(lambda: t[0] ** 2 * 3)() - t[1] ** 2 + t[0] ** 2,
    "integers": lambda t: t[0] ** 2 - t[1] ** 2 + 3 * t[0] * (5 * t[1]).detach().long(),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_have_the_same_guard(name: str) -> None:
    fn, theta = FUNCTIONS[name], torch.tensor([0.3, 0.55], dtype=torch.float64)

    def at(t: Tensor) -> float:
        with torch.no_grad():
            return float(fn(t.clone()))

    expected = differences(at, theta)
    try:
        f = ms.Objective.from_function(fn, 2)
        result = ms.inertia(f, theta)
    except ms.MorsescapeError as error:
        clear(error, name, "detach", ".data", "Function", "number", "item", "scatter", "long",
              "Reverse", "Square", *DIFFERENT)  # fmt: skip
    else:
        assert abs(f.value(theta) - expected.value) < 1e-12
        assert (f.gradient(theta) - expected.gradient).abs().max() < 1e-5
        assert (f.hessian(theta) - expected.hessian).abs().max() < 1e-4
        assert result.negative[0] <= int((expected.eigenvalues < -1e-4).sum()) <= result.negative[1]
    find = partial(ms.find_critical_point, max_steps=20)
    for analysis in (ms.certify, find):
        try:
            answer = analysis(ms.Objective.from_function(fn, 2), theta)
        except ms.MorsescapeError:
            continue
        assert "PROVED" not in repr(answer), answer


def test_differences_see_what_double_backward_does_not() -> None:
    value = plain("cross_entropy", DATA)
    assert isinstance(by_differences(Detached, value), Truth)
    off = by_differences(Detached, value).hessian - truth(Detached, value).hessian
    assert off.abs().max() > 1e-2
    assert doubled(DATA)[0].dtype == torch.float64
    assert len(trainable(seeded(Detached))) == 6


@pytest.mark.parametrize("question", ["gradient", "hvp", "hessian", "inertia", "find"])
def test_a_function_that_is_not_defined_at_zero_is_probed_where_it_is(question: str) -> None:
    """log(t - 0.4) has no value where a function is probed first."""

    def fn(t: Tensor) -> Tensor:
        return ((t - 0.4).log() * t.detach()).sum()

    f, theta = ms.Objective.from_function(fn, 3), torch.tensor([0.5, 1.5, 2.0]).double()
    ask = {
        "gradient": f.gradient, "hvp": lambda t: f.hvp(t, t), "hessian": f.hessian,
        "inertia": partial(ms.inertia, f), "find": partial(ms.find_critical_point, f),
    }[question]  # fmt: skip
    with pytest.raises(ms.MorsescapeError) as refusal:
        ask(theta)
    clear(refusal.value, "detach", *DIFFERENT)
