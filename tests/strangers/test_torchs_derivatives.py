"""Second derivatives of torch's own that are not those of f: found, never averaged."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F
from torch.nn.utils import parametrizations

import morsescape as ms
from strangers.truth import (
    Make,
    by_differences,
    clear,
    labels,
    normal,
    plain,
    right_or_refused,
    seeded,
)  # fmt: skip

N = 7
DATA = normal(N, 2), labels(N)
TOKENS = torch.tensor([[0, 1, 1], [2, 1, 0], [1, 2, 2], [0, 0, 1], [2, 2, 2]]), labels(5)
DIFFERENT = ("gradient", "derivative", "differen")


def normed() -> nn.Module:
    return nn.Sequential(parametrizations.weight_norm(nn.Linear(2, 2)), nn.Tanh(), nn.Linear(2, 2))


def normed_old() -> nn.Module:
    layer = torch.nn.utils.weight_norm(nn.Linear(2, 2))
    return nn.Sequential(layer, nn.Tanh(), nn.Linear(2, 2))


def normed_whole() -> nn.Module:
    layer = parametrizations.weight_norm(nn.Linear(2, 2), dim=None)  # type: ignore[arg-type]
    return nn.Sequential(nn.Linear(2, 2), nn.Tanh(), layer)


def normed_convolution() -> nn.Module:
    layer = parametrizations.weight_norm(nn.Conv1d(1, 2, 2))
    return nn.Sequential(nn.Unflatten(1, (1, 2)), layer, nn.Flatten())


def spectral() -> nn.Module:
    layer = parametrizations.spectral_norm(nn.Linear(2, 2))
    return nn.Sequential(layer, nn.Tanh(), nn.Linear(2, 2)).eval()


def orthogonal() -> nn.Module:
    layer = parametrizations.orthogonal(nn.Linear(2, 2), orthogonal_map="cayley")
    return nn.Sequential(layer, nn.Tanh(), nn.Linear(2, 2))


class Softmaxed(nn.Module):
    """A parametrisation of the user's own."""

    def forward(self, w: Tensor) -> Tensor:
        return torch.softmax(w, 1)


def own_parametrisation() -> nn.Module:
    layer = nn.Linear(2, 2)
    nn.utils.parametrize.register_parametrization(layer, "weight", Softmaxed())
    return nn.Sequential(layer, nn.Tanh(), nn.Linear(2, 2))


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize(
    "make",
    [normed, normed_old, normed_whole, normed_convolution, spectral, orthogonal,
     own_parametrisation],
)  # fmt: skip
def test_reparametrised_weights(make: Make) -> None:
    value = plain("cross_entropy", DATA)
    right_or_refused(lambda: ms.Objective(seeded(make), "cross_entropy", DATA),
                     by_differences(make, value), "weight_norm", "spectral", "solve", "matrix",
                     "symmetric", *DIFFERENT, tolerance=1e-4)  # fmt: skip


def tokens(embedding: nn.Module) -> nn.Module:
    return nn.Sequential(embedding, nn.Flatten(), nn.Linear(6, 2))


class Bag(nn.Module):
    def __init__(self, **options: object) -> None:
        super().__init__()
        self.e, self.o = nn.EmbeddingBag(3, 2, **options), nn.Linear(2, 2)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return self.o(torch.tanh(self.e(x)))


EMBEDDINGS: dict[str, Make] = {
    "plain": lambda: tokens(nn.Embedding(3, 2)),
    "padding_idx": lambda: tokens(nn.Embedding(3, 2, padding_idx=1)),
    "padding_idx, last": lambda: tokens(nn.Embedding(3, 2, padding_idx=-1)),
    "scale_grad_by_freq": lambda: tokens(nn.Embedding(3, 2, scale_grad_by_freq=True)),
    "sparse": lambda: tokens(nn.Embedding(3, 2, sparse=True)),
    "max_norm": lambda: tokens(nn.Embedding(3, 2, max_norm=0.4)),
    "bag": lambda: Bag(mode="sum"),
    "bag, mean": lambda: Bag(mode="mean"),
    "bag, padding_idx": lambda: Bag(mode="sum", padding_idx=1),
    "bag, scale_grad_by_freq": lambda: Bag(mode="mean", scale_grad_by_freq=True),
}


@pytest.mark.parametrize("name", EMBEDDINGS)
def test_embeddings(name: str) -> None:
    """Some options alter the gradient, and none of them alters f, but for max_norm."""
    make, value = EMBEDDINGS[name], plain("cross_entropy", TOKENS)

    def refuse_or_be_right() -> ms.Inertia | None:
        return right_or_refused(
            lambda: ms.Objective(seeded(make), "cross_entropy", TOKENS),
            by_differences(make, value), "padding", "freq", "sparse", "max_norm", "embedding",
            "renorm", *DIFFERENT, tolerance=1e-4,
        )  # fmt: skip

    if name == "max_norm":  # what it computes is no function of θ: it rewrites it
        with pytest.raises(ms.MorsescapeError) as refusal:
            ms.Objective(seeded(make), "cross_entropy", TOKENS)
        clear(refusal.value, "max_norm", "renorm", "writes", "embedding")
    else:
        result = refuse_or_be_right()
        assert result is not None or name != "plain"


class Once(nn.Module):
    def __init__(self, op: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.l, self.o, self.op = nn.Linear(2, 3), nn.Linear(3, 2), op

    def forward(self, x: Tensor) -> Tensor:
        return self.o(self.op(self.l(x)))


SUSPECTS: dict[str, Callable[[Tensor], Tensor]] = {
    "normalize": F.normalize,
    "norm": lambda h: h * h.norm(dim=1, keepdim=True),
    "norm of order 3": lambda h: h * h.norm(p=3, dim=1, keepdim=True),
    "prod": lambda h: h * h.prod(1, keepdim=True),
    "prod with a zero": lambda h: h * (h * torch.tensor([1.0, 0.0, 1.0])).prod(1, keepdim=True),
    "cumprod": lambda h: h.cumprod(1),
    "logcumsumexp": lambda h: h.logcumsumexp(1),
    "cdist": lambda h: h + torch.cdist(h[:, None], h[:, None] ** 2 + 1)[:, 0],
    "pdist": lambda h: h + torch.stack([F.pdist(torch.stack([r, r * r + 1])) for r in h]),
    "renorm": lambda h: torch.renorm(h, 2, 0, 0.5),
    "std": lambda h: h / h.std(1, keepdim=True),
    "erfc": torch.special.erfc,
    "xlogy": lambda h: torch.xlogy(h, 1 + h * h),
    "atan2": lambda h: torch.atan2(h, 1 + h * h),
    "logsigmoid": F.logsigmoid,
    "celu": lambda h: F.celu(h, 2.0),
    "threshold": lambda h: F.threshold(h, 0.1, 0.1),
    "sinc": lambda h: torch.sinc(h + 2),
    "lerp": lambda h: torch.lerp(h, h * h, 0.3),
    "gumbel without noise": lambda h: (h / 0.7).softmax(1),
    "scatter, twice the same place": lambda h: torch.zeros_like(h).scatter(
        1, torch.zeros_like(h, dtype=torch.long), h
    ),
}


@pytest.mark.parametrize("name", SUSPECTS)
def test_operations_whose_derivatives_are_suspect(name: str) -> None:
    def make() -> nn.Module:
        return Once(SUSPECTS[name])

    value = plain("cross_entropy", DATA)
    word = name.split(",", maxsplit=1)[0].split()[0]
    right_or_refused(lambda: ms.Objective(seeded(make), "cross_entropy", DATA),
                     by_differences(make, value), word, "dist", "symmetric", *DIFFERENT,
                     tolerance=1e-4)  # fmt: skip


def test_asymmetry_is_never_averaged_away() -> None:
    """A function whose 'Hessian' by autograd is far from symmetric."""

    class Tilted(Function):
        @staticmethod
        def forward(ctx, t):  # type: ignore[no-untyped-def]
            ctx.save_for_backward(t)
            return t[0] * t[1]

        @staticmethod
        def backward(ctx, g):  # type: ignore[no-untyped-def]
            (t,) = ctx.saved_tensors
            return g * torch.stack([t[1], t[0].detach()])

    def ask(question: str) -> None:
        f = ms.Objective.from_function(lambda t: Tilted.apply(t) + t.square().sum() / 4, 2)
        theta = torch.tensor([0.4, -0.2], dtype=torch.float64)
        {"hessian": f.hessian, "inertia": partial(ms.inertia, f)}[question](theta)

    for question in ("hessian", "inertia"):
        with pytest.raises(ms.MorsescapeError) as refusal:
            ask(question)
        clear(refusal.value, "symmetric", *DIFFERENT)


AT, ONE = torch.tensor([0, 1, 0]), torch.tensor([[1, 0], [0, 1], [1, 0]])


def _set(t: Tensor) -> Tensor:
    out = 0 * t[:2]
    out[AT] = t
    return out


def _scattered_in_place(t: Tensor) -> Tensor:
    return (0 * t[:2]).scatter_(0, AT, t)


TWICE: dict[str, Callable[[Tensor], Tensor]] = {
    "scatter": lambda t: (t[:2] + 1).scatter(0, AT, t),
    "scatter of a part": lambda t: torch.zeros(4, dtype=t.dtype).scatter(0, AT[:2] * 0, t),
    "index_put": lambda t: t[:2].index_put((AT,), t),
    "index_put of two": lambda t: torch.ones(2, 2, dtype=t.dtype).index_put((AT, AT), t),
    "index_copy": lambda t: torch.ones(3, 2, dtype=t.dtype).index_copy(1, AT, t.expand(3, 3)),
    "put": lambda t: torch.ones(2, 2, dtype=t.dtype).put(AT, t),
    "set": _set,
    "scatter in place": _scattered_in_place,
    "of a matrix": lambda t: (t[:2].outer(t[:2])).scatter(0, ONE, t[:, None] * t[:2]),
}  # fmt: skip


@pytest.mark.parametrize("name", TWICE)
def test_of_two_writes_to_one_entry_the_one_that_lasts_is_differentiated(name: str) -> None:
    """torch hands the gradient to both."""

    def fn(t: Tensor) -> Tensor:
        return TWICE[name](t).pow(3).sum() + 0 * t.sum()

    f = ms.Objective.from_function(fn, 3)
    theta = torch.tensor([0.3, -0.7, 1.1], dtype=torch.float64)
    assert f.value(theta) == fn(theta)
    step = 1e-5 * torch.eye(3, dtype=torch.float64)
    slopes = [(fn(theta + h) - fn(theta - h)) / 2e-5 for h in step]
    torch.testing.assert_close(f.gradient(theta), torch.stack(slopes), rtol=1e-7, atol=1e-8)
    rows = [(f.gradient(theta + h) - f.gradient(theta - h)) / 2e-5 for h in step]
    torch.testing.assert_close(f.hessian(theta), torch.stack(rows), rtol=1e-6, atol=1e-7)
    assert f.enclosed_hessian(theta).estimate is None
