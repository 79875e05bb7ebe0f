"""Where torch.func cannot follow, rows of double backward do: right, as an estimate by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

import morsescape as ms
from strangers.truth import (
    Make,
    agrees,
    labels,
    normal,
    plain,
    right_or_refused,
    seeded,
    truth,
)  # fmt: skip

N = 5


class Square(Function):
    """In the older form, which torch.func refuses."""

    @staticmethod
    def forward(ctx, h):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(h)
        return h * h

    @staticmethod
    def backward(ctx, g):  # type: ignore[no-untyped-def]
        return 2 * ctx.saved_tensors[0] * g


class Cube(Function):
    """In the newer form, but without a rule for batches."""

    @staticmethod
    def forward(h):  # type: ignore[no-untyped-def]
        return h**3

    @staticmethod
    def setup_context(ctx, inputs, output):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, g):  # type: ignore[no-untyped-def]
        return 3 * ctx.saved_tensors[0] ** 2 * g


class Fused(Function):
    """Two inputs, of which backward wants only what is asked for."""

    @staticmethod
    def forward(ctx, h, w):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(h, w)
        return h @ w

    @staticmethod
    def backward(ctx, g):  # type: ignore[no-untyped-def]
        h, w = ctx.saved_tensors
        return (
            g @ w.t() if ctx.needs_input_grad[0] else None,
            h.t() @ g if ctx.needs_input_grad[1] else None,
        )


class Two(nn.Module):
    def __init__(self, op: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.a, self.b, self.op = nn.Linear(3, 3), nn.Linear(3, 2), op

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.op(self.a, x))


def identity_hook(layer: nn.Module, x: Tensor) -> Tensor:
    h = torch.tanh(layer(x))
    if h.requires_grad:
        h.register_hook(lambda g: g.clone())
    return h


def saved_on_disk(layer: nn.Module, x: Tensor) -> Tensor:
    """What is saved for backward is packed, as offloading does."""
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t.clone(), lambda t: t):
        return torch.tanh(layer(x))


def reentrant(layer: nn.Module, x: Tensor) -> Tensor:
    return checkpoint(lambda t: torch.tanh(layer(t)), x, use_reentrant=True)


class Physics(nn.Module):
    """u'' + u of a small network, by autograd inside forward."""

    def __init__(self, order: int = 2) -> None:
        super().__init__()
        self.order = order
        self.u = nn.Sequential(nn.Linear(1, 3), nn.Tanh(), nn.Linear(3, 1))

    def forward(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            x = x.detach().clone().requires_grad_()
            u = d = self.u(x)
            for _ in range(self.order):
                (d,) = torch.autograd.grad(d.sum(), x, create_graph=True)
            return d + u


class PhysicsPlain(Physics):
    """The same as people write it, without a word about gradients."""

    def forward(self, x: Tensor) -> Tensor:
        x = x.clone().requires_grad_(True)
        u = self.u(x)
        (d,) = torch.autograd.grad(u, x, torch.ones_like(u), create_graph=True)
        return d - u


class Field(Physics):
    """A force, minus the gradient of a learned energy, by torch.func."""

    def forward(self, x: Tensor) -> Tensor:
        return -torch.func.vmap(torch.func.grad(lambda t: self.u(t).sum()))(x)


class Jacobian(Physics):
    def forward(self, x: Tensor) -> Tensor:
        return torch.vmap(torch.func.jacrev(lambda t: self.u(t)))(x)[:, 0]


class Energy(Physics):
    """The force with which a potential is trained."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            x = x.requires_grad_()
            return torch.autograd.grad(self.u(x).sum(), x, create_graph=True)[0]


class Packed(nn.Module):
    def __init__(self, kind: type[nn.Module], back: bool) -> None:
        super().__init__()
        self.r, self.o, self.back = kind(2, 2, batch_first=True), nn.Linear(2, 2), back

    def forward(self, x: Tensor) -> Tensor:
        lengths = torch.full((len(x),), 3)
        packed = pack_padded_sequence(x, lengths, batch_first=True)
        out, state = self.r(packed)
        if self.back:
            return self.o(pad_packed_sequence(out, batch_first=True)[0].mean(1))
        return self.o((state[0] if isinstance(state, tuple) else state)[-1])


class Padded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.l = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return pad_sequence([torch.tanh(self.l(s)) for s in x], batch_first=True).prod(1)


def sparse() -> nn.Module:
    return nn.Sequential(nn.Embedding(4, 2, sparse=True), nn.Flatten(), nn.Linear(4, 2))


class SparseProduct(nn.Module):
    """A graph's adjacency as a sparse buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.l = nn.Linear(3, 2)
        self.register_buffer("a", torch.tensor([[0.0, 1, 0], [1, 0, 1], [0, 1, 1]]).to_sparse())

    def forward(self, x: Tensor) -> Tensor:
        return self.l(torch.tanh(torch.sparse.mm(self.a.to(x.dtype), x.t()).t()))


REALS, CLASSES = normal(N, 3), labels(N)
STEPS, TOKENS = normal(N, 3, 2), labels(2 * N, 4).view(N, 2)
LINE = torch.linspace(-1, 1, N)[:, None]
MUST: dict[str, tuple[Make, Tensor, Any]] = {
    "checkpoint": (
        lambda: Two(lambda layer, x: checkpoint(lambda t: layer(t).tanh(), x, use_reentrant=False)),
        REALS,
        "cross_entropy",
    ),
    "checkpoint of all": (
        lambda: Two(
            lambda layer, x: checkpoint_sequential([layer, nn.Tanh()], 1, x, use_reentrant=False)
        ),
        REALS,
        "cross_entropy",
    ),
    "older function": (
        lambda: Two(lambda layer, x: Square.apply(layer(x))),
        REALS,
        "cross_entropy",
    ),
    "newer function": (lambda: Two(lambda layer, x: Cube.apply(layer(x))), REALS, "cross_entropy"),
    "function of two": (
        lambda: Two(lambda layer, x: Fused.apply(torch.tanh(x), layer.weight)),
        REALS,
        "mse",
    ),
    "hook": (lambda: Two(identity_hook), REALS, "cross_entropy"),
    "physics, first order": (lambda: Physics(1), LINE, "mse"),
    "physics, second order": (Physics, LINE, "mse"),
    "physics, as written": (PhysicsPlain, LINE, nn.MSELoss()),
    "energy and force": (Energy, LINE, "mse"),
    "field by torch.func": (Field, LINE, "mse"),
    "packed GRU": (lambda: Packed(nn.GRU, False), STEPS, "cross_entropy"),
    "packed LSTM, unpacked": (lambda: Packed(nn.LSTM, True), STEPS, "cross_entropy"),
    "sparse gradient": (sparse, TOKENS, "cross_entropy"),
}
MAY: dict[str, tuple[Make, Tensor, Any]] = {
    "saved tensors packed": (lambda: Two(saved_on_disk), REALS, "cross_entropy"),
    "checkpoint, reentrant": (lambda: Two(reentrant), REALS, "cross_entropy"),
    "Jacobian by torch.func": (Jacobian, LINE, "mse"),
    "pad_sequence": (Padded, STEPS, "cross_entropy"),
    "sparse product": (SparseProduct, REALS, "cross_entropy"),
}


def data_of(x: Tensor, loss: Any) -> tuple[Tensor, Tensor]:
    if loss == "cross_entropy":
        return x, CLASSES
    return x, normal(N, 1 if x is LINE else 2, seed=6)


@pytest.mark.parametrize("name", MUST)
def test_right_though_torch_func_cannot(name: str) -> None:
    make, x, loss = MUST[name]
    data = data_of(x, loss)
    result = agrees(ms.Objective(seeded(make), loss, data), truth(make, plain(loss, data)))
    if result.status is ms.InertiaStatus.ESTIMATE:
        assert result.estimate


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad:UserWarning")
@pytest.mark.parametrize("name", MAY)
def test_right_or_refused(name: str) -> None:
    make, x, loss = MAY[name]
    data = data_of(x, loss)
    other = (lambda: Two(lambda layer, x: torch.tanh(layer(x)))) if "reentrant" in name else make
    right_or_refused(lambda: ms.Objective(seeded(make), loss, data),
                     truth(other, plain(loss, data)), name.split()[0], "saved", "jacrev", "vmap",
                     "use_reentrant", "gradient")  # fmt: skip
