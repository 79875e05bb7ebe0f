"""Ordinary models end in the right value, whatever they are built of."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import morsescape as ms
from strangers.truth import (
    LOSSES,
    Make,
    agrees,
    labels,
    normal,
    plain,
    seeded,
    truth,
)  # fmt: skip

N = 5


class Tokens(nn.Module):
    """Embedding and LayerNorm, as every transformer begins."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.e, self.n, self.o = nn.Embedding(4, 4), norm, nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.o(self.n(self.e(x))).mean(1)


class Positions(Tokens):
    def __init__(self) -> None:
        super().__init__(nn.LayerNorm(4))
        self.p = nn.Parameter(torch.randn(6, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.o(self.n(self.e(x) + self.p[: x.shape[1]])).mean(1)


class PositionEmbedding(Tokens):
    def __init__(self) -> None:
        super().__init__(nn.LayerNorm(4))
        self.p = nn.Embedding(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.o(self.n(self.e(x) + self.p(torch.arange(x.shape[1])))).mean(1)


class ClassToken(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, 3))
        self.position = nn.Parameter(torch.randn(1, 4, 3))
        self.n, self.o = nn.LayerNorm(3), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.position
        return self.o((self.n(h).softmax(1) * h).sum(1))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.e = nn.Embedding(4, 3)
        self.o = nn.Linear(3, 4)
        self.o.weight = self.e.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.o(torch.tanh(self.e(x).mean(1)))[:, :2]


class Generalised(nn.Module):
    """Generalised mean pooling: the exponent is learned."""

    def __init__(self) -> None:
        super().__init__()
        self.l, self.p, self.o = nn.Linear(3, 3), nn.Parameter(torch.tensor(2.5)), nn.Linear(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.o(F.softplus(self.l(x)).pow(self.p).mean(1, keepdim=True).pow(1 / self.p))


class With(nn.Module):
    """One parameter of a given shape, and what is made of it."""

    def __init__(self, shape: tuple[int, ...], op: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.l, self.w, self.op = nn.Linear(3, 2), nn.Parameter(torch.randn(shape)), op

    def forward(self, x: Tensor) -> Tensor:
        return self.l(torch.tanh(self.op(x, self.w)))


class Lists(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.ParameterList([torch.randn(3, 3), torch.randn(3, 3)])
        self.d = nn.ParameterDict({"scale": nn.Parameter(torch.ones(3)), "o": torch.randn(3, 2)})

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x @ self.w[0] @ self.w[1].t() * self.d["scale"]) @ self.d["o"]


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.l, self.o = nn.Linear(3, 3), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.o(torch.tanh(self.l(torch.tanh(self.l(x)))))


class Frozen(Twice):
    def __init__(self) -> None:
        super().__init__()
        self.l.weight.requires_grad_(False)


class Unused(Twice):
    def __init__(self) -> None:
        super().__init__()
        self.spare = nn.Linear(2, 1)


class Empty(nn.Module):
    def __init__(self, *shapes: tuple[int, ...]) -> None:
        super().__init__()
        self.l = nn.Linear(3, 2)
        self.empty = nn.ParameterList(torch.empty(shape) for shape in shapes)

    def forward(self, x: Tensor) -> Tensor:
        return self.l(x) + sum(p.sum() for p in self.empty)


class EmptyLayer(nn.Module):
    """As many outputs of a task as there are: here none."""

    def __init__(self) -> None:
        super().__init__()
        self.l, self.extra = nn.Linear(3, 2), nn.Linear(3, 0)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.l(x), self.extra(x)], 1)


class BilinearForm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.b = nn.Bilinear(3, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(x, torch.tanh(x))


class Transposed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(3, 2).t())  # not contiguous

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(F.linear(x, self.w)) * self.w.sum()


class RootMeanSquare(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.l, self.g, self.o = nn.Linear(3, 3), nn.Parameter(torch.ones(3)), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.l(x)
        return self.o(self.g * h * torch.rsqrt(h.square().mean(1, keepdim=True) + 1e-6))


ROWS = torch.tensor([0, 2])
MODELS: dict[str, tuple[Make, Tensor]] = {
    "embedding and layer norm": (lambda: Tokens(nn.LayerNorm(4)), labels(N * 3, 4).view(N, 3)),
    "embedding and plain layer norm": (
        lambda: Tokens(nn.LayerNorm(4, elementwise_affine=False)),
        labels(N * 3, 4).view(N, 3),
    ),
    "embedding and rms norm": (lambda: Tokens(nn.RMSNorm(4)), labels(N * 3, 4).view(N, 3)),
    "embedding and group norm": (
        lambda: Tokens(
            nn.Sequential(nn.Flatten(0, 1), nn.GroupNorm(2, 4), nn.Unflatten(0, (-1, 3)))
        ),
        labels(N * 3, 4).view(N, 3),
    ),
    "positions": (Positions, labels(N * 3, 4).view(N, 3)),
    "position embedding": (PositionEmbedding, labels(N * 3, 4).view(N, 3)),
    "tied embedding": (Tied, labels(N * 3, 4).view(N, 3)),
    "class token": (ClassToken, normal(N, 3, 3)),
    "learned exponent": (Generalised, normal(N, 3)),
    "learned base": (lambda: With((3,), lambda x, w: (1 + w * w) ** x), normal(N, 3)),
    "learned temperature": (lambda: With((), lambda x, w: x / w.exp()), normal(N, 3)),
    "learned mixture": (
        lambda: With((2,), lambda x, w: w.softmax(0)[0] * x + w.softmax(0)[1] * x * x),
        normal(N, 3),
    ),
    "learned frequency": (lambda: With((3,), lambda x, w: torch.sin(w * x)), normal(N, 3)),
    "row and column indices": (
        lambda: With((3, 3), lambda x, w: x + w[[0, 1, 2], [2, 1, 0]]),
        normal(N, 3),
    ),
    "indices of the data": (lambda: With((3,), lambda x, w: x[:, [2, 0, 1]] * w), normal(N, 3)),
    "tuples of indices": (
        lambda: With((3, 3), lambda x, w: x * w[(torch.tensor([0, 1, 2]), 1)]),
        normal(N, 3),
    ),
    "an index tensor and a slice": (
        lambda: With((4, 3), lambda x, w: x + w[ROWS, :].sum(0)),
        normal(N, 3),
    ),
    "ellipsis and None": (
        lambda: With((1, 3), lambda x, w: (x[..., None, :] * w)[..., 0, :]),
        normal(N, 3),
    ),
    "negative steps": (lambda: With((3,), lambda x, w: x.flip(1) * w.roll(1)), normal(N, 3)),
    "boolean row mask": (
        lambda: With((4, 3), lambda x, w: x + w[torch.tensor([True, False, True, False])].sum(0)),
        normal(N, 3),
    ),
    "gather": (
        lambda: With((3,), lambda x, w: w.expand(len(x), 3).gather(1, (x > 0).long()) * x),
        normal(N, 3),
    ),
    "index_select": (
        lambda: With((4, 3), lambda x, w: x + w.index_select(0, ROWS).prod(0)),
        normal(N, 3),
    ),
    "one hot": (
        lambda: With((2, 3), lambda x, w: x + F.one_hot((x[:, 0] > 0).long(), 2).to(x) @ w),
        normal(N, 3),
    ),
    "einsum": (
        lambda: With((3, 3), lambda x, w: torch.einsum("ni,ij,nj->nj", x, w, x)),
        normal(N, 3),
    ),
    "cosine": (
        lambda: With((3,), lambda x, w: x * F.cosine_similarity(x, w[None])[:, None]),
        normal(N, 3),
    ),
    "cumulative sum": (lambda: With((3,), lambda x, w: (x * w).cumsum(1)), normal(N, 3)),
    "outer product": (lambda: With((3,), lambda x, w: x @ torch.outer(w, w)), normal(N, 3)),
    "powers": (lambda: With((3,), lambda x, w: w**3 * x + 2**w - 1 / (2 + w * w)), normal(N, 3)),
    "lists of parameters": (Lists, normal(N, 3)),
    "one layer twice": (Twice, normal(N, 3)),
    "frozen weight": (Frozen, normal(N, 3)),
    "unused layer": (Unused, normal(N, 3)),
    "empty parameter": (lambda: Empty((0,)), normal(N, 3)),
    "empty parameters": (lambda: Empty((0, 4), (3, 0)), normal(N, 3)),
    "empty layer": (EmptyLayer, normal(N, 3)),
    "bilinear form": (BilinearForm, normal(N, 3)),
    "transposed parameter": (Transposed, normal(N, 3)),
    "rms norm by hand": (RootMeanSquare, normal(N, 3)),
    "one sample": (Twice, normal(1, 3)),
    "two samples": (Twice, normal(2, 3)),
}


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors:UserWarning")
@pytest.mark.parametrize("name", MODELS)
def test_models(name: str) -> None:
    make, x = MODELS[name]
    data = x, labels(len(x))
    agrees(ms.Objective(seeded(make), "cross_entropy", data),
           truth(make, plain("cross_entropy", data)))  # fmt: skip


# -- losses in their usual dress ------------------------------------------------------------------


@pytest.mark.parametrize("loss", [nn.MSELoss(), F.mse_loss])
def test_mse_in_every_dress(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    data = normal(N, 3), normal(N, 2, seed=4)
    f = ms.Objective(seeded(Twice), loss, data)
    result = agrees(f, truth(Twice, plain(loss, data)))
    named = ms.inertia(ms.Objective(seeded(Twice), "mse", data))
    assert result.structural_upper_bound == named.structural_upper_bound
    assert result.status is named.status
    assert result.negative == named.negative


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), F.cross_entropy])
def test_cross_entropy_in_every_dress(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    data = normal(N, 3), labels(N)
    f = ms.Objective(seeded(Twice), loss, data)
    result = agrees(f, truth(Twice, plain(loss, data)))
    named = ms.inertia(ms.Objective(seeded(Twice), "cross_entropy", data))
    assert result.structural_upper_bound == named.structural_upper_bound < f.dim
    assert result.null_explained == named.null_explained != {}
    assert result.status is named.status


SHAPES = {
    "a number for each sample": (lambda: nn.Sequential(nn.Linear(3, 1), nn.Flatten(0)), (N,)),
    "a column": (lambda: nn.Linear(3, 1), (N, 1)),
    "a picture": (lambda: nn.Sequential(nn.Linear(3, 4), nn.Unflatten(1, (2, 2))), (N, 2, 2)),
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("loss", ["mse", nn.MSELoss()])
def test_outputs_of_any_shape(name: str, loss: str | nn.Module) -> None:
    make, shape = SHAPES[name]
    data = normal(N, 3), normal(*shape, seed=4)
    agrees(ms.Objective(seeded(make), loss, data), truth(make, plain(loss, data)))


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), F.cross_entropy])
def test_a_label_for_each_position(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Segmentation: outputs (N, classes, T), labels (N, T)."""

    def make() -> nn.Module:
        return nn.Sequential(nn.Conv1d(1, 2, 2), nn.Tanh(), nn.Conv1d(2, 2, 1))

    data = normal(N, 1, 4), labels(N * 3).view(N, 3)
    agrees(ms.Objective(seeded(make), loss, data), truth(make, plain(loss, data)))


# -- inputs and contexts --------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["mse", nn.MSELoss(), lambda o, y: (o - y).pow(4).mean()])
def test_inputs_that_require_a_gradient(loss: str | nn.Module) -> None:
    x, y = normal(N, 3).requires_grad_(), normal(N, 2, seed=4).requires_grad_()
    f = ms.Objective(seeded(Twice), loss, (x, y))
    function = LOSSES[loss] if isinstance(loss, str) else loss
    expected = truth(Twice, lambda m: function(m(x.detach().double()), y.detach().double()))
    agrees(f, expected)
    assert not f.gradient(f.theta).requires_grad
    assert x.grad is None
    assert y.grad is None


def test_a_model_inside_inference_mode() -> None:
    data = normal(N, 3), labels(N)
    expected = truth(Twice, plain("cross_entropy", data))
    with torch.inference_mode():
        inside = seeded(Twice), normal(N, 3), labels(N)  # tensors of inference themselves
        f = ms.Objective(inside[0], "cross_entropy", inside[1:])
        hessian, result = f.hessian(f.theta), ms.inertia(f)
    assert (hessian - expected.hessian).abs().max() < 1e-12
    agrees(f, expected)
    assert result.status is ms.inertia(f).status
