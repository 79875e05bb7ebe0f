"""Data in the forms that people have it: right, or refused in a sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

import morsescape as ms
from strangers.small import EXPECTED, N, X, Y, small
from strangers.truth import agrees, clear, labels, normal, plain, seeded, truth

# -- data -----------------------------------------------------------------------------------------


class Rows(Dataset):  # type: ignore[type-arg]
    """A data set of the user's own."""

    def __len__(self) -> int:
        return N

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        if i >= N:
            raise IndexError(i)
        return X[i], int(Y[i])


class Stream(IterableDataset):  # type: ignore[type-arg]
    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return iter(zip(X, Y, strict=True))


class Augmented(Rows):
    """Another input each time it is read."""

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        return X[i] + torch.randn(3), int(Y[i])


TENSORS = TensorDataset(X, Y)
DATA: dict[str, Any] = {
    "loader": lambda: DataLoader(TENSORS, batch_size=3),
    "loader, uneven batches": lambda: DataLoader(TENSORS, batch_size=4),
    "loader, one by one": lambda: DataLoader(TENSORS),
    "loader, shuffled": lambda: DataLoader(TENSORS, batch_size=4, shuffle=True),
    "loader of rows": lambda: DataLoader(Rows(), batch_size=4),
    "loader of a stream": lambda: DataLoader(Stream(), batch_size=4),
    "loader of dictionaries": lambda: DataLoader(
        [{"x": a, "y": b} for a, b in zip(X, Y, strict=True)],  # type: ignore[arg-type]
        batch_size=4,
        collate_fn=lambda b: (torch.stack([s["x"] for s in b]), torch.stack([s["y"] for s in b])),
    ),
    "TensorDataset": lambda: TENSORS,
    "rows": Rows,
    "subset": lambda: Subset(TensorDataset(torch.cat([X, X]), torch.cat([Y, Y])), range(N)),
    "list of batches": lambda: [(X[:4], Y[:4]), (X[4:], Y[4:])],
    "list of one batch": lambda: [(X, Y)],
    "a list of x and y": lambda: [X, Y],
    "NumPy": lambda: (X.numpy(), Y.numpy()),
    "NumPy, float64 and int32": lambda: (X.numpy().astype(np.float64), Y.numpy().astype(np.int32)),
    "NumPy, not contiguous": lambda: (np.asfortranarray(X.numpy()), Y.numpy()[::-1][::-1]),
    "lists": lambda: (X.tolist(), Y.tolist()),
    "labels as bytes": lambda: (X, Y.to(torch.uint8)),
    "labels as booleans": lambda: (X, Y == 1),
    "expanded": lambda: (X[:, :, None].expand(N, 3, 2)[..., 0], Y),
}


@pytest.mark.parametrize("name", DATA)
def test_data_in_every_form(name: str) -> None:
    if name == "labels as booleans":
        f = ms.Objective(seeded(small), "cross_entropy", DATA[name]())
    else:
        f = ms.Objective(seeded(small), nn.CrossEntropyLoss(), DATA[name]())
    assert f.network is not None
    assert f.network.samples == N
    agrees(f, EXPECTED, 1e-6 if name == "lists" else 1e-10)


def test_a_loader_is_read_once() -> None:
    """Shuffled and augmented anew each time: f is still one function."""
    torch.manual_seed(3)
    f = ms.Objective(seeded(small), "cross_entropy", DataLoader(Augmented(), 4, shuffle=True))
    assert len({f.value(f.theta) for _ in range(4)}) == 1
    v = torch.ones_like(f.theta)
    assert (f.hessian(f.theta) @ v - f.hvp(f.theta, v)).abs().max() < 1e-12


def test_a_loader_with_targets_of_another_kind() -> None:
    x, y = normal(N, 3), normal(N, 2, seed=2)
    f = ms.Objective(seeded(small), "mse", DataLoader(TensorDataset(x, y), 4))
    agrees(f, truth(small, plain("mse", (x, y))))


BAD: dict[str, Callable[[], Any]] = {
    "an empty loader": lambda: DataLoader(TensorDataset(X[:0], Y[:0])),
    "a loader of inputs alone": lambda: DataLoader(TensorDataset(X)),
    "a loader of four": lambda: DataLoader(TensorDataset(X, Y, Y, Y)),
    "no batches": lambda: [],
    "a loader without batches": lambda: DataLoader(TensorDataset(X, Y), batch_size=None),
    "three of different lengths": lambda: (X, Y, torch.ones(N - 1)),
    "None": lambda: None,
    "a dictionary alone": lambda: {"x": X, "y": Y},
    "words": lambda: (["a"] * N, Y),
    "ragged": lambda: ([[1.0], [1.0, 2.0]], [0, 1]),
    "ragged batches": lambda: [(normal(2, 3), labels(2)), (normal(2, 4), labels(2))],
    "no targets": lambda: (X, None),
    "sparse": lambda: (torch.eye(3).to_sparse(), labels(3)),
    "sparse rows": lambda: (torch.eye(3).to_sparse_csr(), labels(3)),
    "on meta": lambda: (torch.empty(N, 3, device="meta"), Y),
    "nested": lambda: (torch.nested.nested_tensor([[1.0, 2, 3], [1.0, 2, 3]]), labels(2)),
    "objects": lambda: (np.array([None] * N, dtype=object), Y),
    "complex targets": lambda: (X, torch.ones(N, 2, dtype=torch.cfloat)),
}


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta:UserWarning")
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
@pytest.mark.parametrize("name", BAD)
def test_data_that_is_none(name: str) -> None:
    try:
        f = ms.Objective(seeded(small), nn.CrossEntropyLoss(), BAD[name]())
    except ms.MorsescapeError as error:
        clear(error, "data", "inputs", "targets", "samples", name.split()[0])
    else:  # what is sparse may be made dense, and what is named may be taken by its names
        dense = truth(small, plain("cross_entropy", (torch.eye(3), labels(3))))
        agrees(f, {"sparse": dense, "sparse rows": dense, "a dictionary alone": EXPECTED}[name])


# -- weights of samples ---------------------------------------------------------------------------

WEIGHTS = torch.tensor([0.1, 2.0, 0.0, 1.0, 5.0, 0.3])


@pytest.mark.parametrize("loss", ["cross_entropy", nn.CrossEntropyLoss(), "mse", nn.MSELoss()])
def test_weights_of_samples(loss: Any) -> None:
    y = Y if "ross" in str(loss) else normal(N, 2, seed=2)

    def value(model: nn.Module) -> Tensor:
        o, w = model(X.double()), WEIGHTS.double()
        if y is Y:
            each = F.cross_entropy(o, y, reduction="none")
        else:
            each = (o - y.double()).square().mean(1)
        return (w * each).sum() / w.sum()

    expected = truth(small, value)
    agrees(ms.Objective(seeded(small), loss, (X, y, WEIGHTS)), expected)
    agrees(ms.Objective(seeded(small), loss, (X, y, WEIGHTS.numpy())), expected)
    agrees(ms.Objective(seeded(small), loss, DataLoader(TensorDataset(X, y, WEIGHTS), 4)), expected)


def test_equal_weights_change_nothing() -> None:
    agrees(ms.Objective(seeded(small), "cross_entropy", (X, Y, torch.full((N,), 3))), EXPECTED)


def test_weights_of_samples_in_a_loss_of_ones_own() -> None:
    """A function (output, y) of one sample's loss each, weighted as the named ones are."""

    def value(model: nn.Module) -> Tensor:
        w = WEIGHTS.double()
        return (w * F.cross_entropy(model(X.double()), Y, reduction="none") ** 2).sum() / w.sum()

    def loss(o: Tensor, y: Tensor) -> Tensor:
        return (F.cross_entropy(o, y, reduction="none") ** 2).mean()

    try:
        f = ms.Objective(seeded(small), loss, (X, Y, WEIGHTS))
    except ms.MorsescapeError as error:
        clear(error, "weights")
    else:
        agrees(f, truth(small, value))


@pytest.mark.parametrize(
    "weights", [-WEIGHTS, 0 * WEIGHTS, WEIGHTS * torch.nan, WEIGHTS[:, None].expand(N, 2)]
)
def test_weights_that_are_none(weights: Tensor) -> None:
    with pytest.raises(ms.MorsescapeError) as refusal:
        ms.Objective(seeded(small), "cross_entropy", (X, Y, weights))
    clear(refusal.value, "weight")


# -- numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int64, torch.bool, torch.float16])
def test_features_of_any_number_type(dtype: torch.dtype) -> None:
    x = (torch.arange(3 * N).view(N, 3) * 7 % 11).to(dtype)
    expected = truth(small, plain("cross_entropy", (x.double(), Y)))
    agrees(ms.Objective(seeded(small), "cross_entropy", (x, Y)), expected)


@pytest.mark.parametrize("dtype", [torch.int64, torch.float32, torch.float16])
def test_targets_of_any_number_type(dtype: torch.dtype) -> None:
    y = torch.arange(2 * N).view(N, 2).to(dtype)
    agrees(ms.Objective(seeded(small), "mse", (X, y)),
           truth(small, plain("mse", (X, y.double()))))  # fmt: skip


class Hidden(nn.Module):
    """Makes float32 tensors in forward, in one of the ways people do."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.a, self.b = how, nn.Linear(3, 3), nn.Linear(3, 2)
        self.fixed = torch.tensor([0.5, 1.0, 2.0])  # neither parameter nor buffer

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.a(x))
        if self.how == "zeros":
            state = torch.zeros(len(x), 3)
            h = torch.tanh(self.a(state) + h)
        elif self.how == "arange":
            h = self.a(torch.arange(3).float()) * h
        elif self.how == "attribute":
            h = F.linear(h, torch.diag(self.fixed))
        elif self.how == "matrix":
            h = h @ torch.eye(3)
        elif self.how == "cast":
            h = torch.tanh(self.a(x.float()))
        elif self.how == "float":
            h = h.float() * 2
        elif self.how == "buffer in a list":
            h = torch.cat([h, torch.ones(len(x), 1)], 1)[:, 1:]
        return self.b(h)


@pytest.mark.parametrize(
    "how", ["zeros", "arange", "attribute", "matrix", "cast", "float", "buffer in a list"]
)
def test_constants_of_float32_made_in_forward(how: str) -> None:
    """Computed in float64 throughout, or refused by name; never in float32 without a word."""

    class Wide(Hidden):
        def forward(self, x: Tensor) -> Tensor:
            h = torch.tanh(self.a(x))
            h = {
                "zeros": lambda: torch.tanh(self.a(torch.zeros(len(x), 3, dtype=x.dtype)) + h),
                "arange": lambda: self.a(torch.arange(3).to(x.dtype)) * h,
                "attribute": lambda: h @ torch.diag(self.fixed.to(x.dtype)),
                "float": lambda: h * 2,
                "buffer in a list": lambda: torch.cat([h, torch.ones(len(x), 1).to(x)], 1)[:, 1:],
            }.get(how, lambda: h)()
            return self.b(h)

    expected = truth(lambda: Wide(how), plain("cross_entropy", (X, Y)))
    try:
        f = ms.Objective(seeded(lambda: Hidden(how)), "cross_entropy", (X, Y))
        result = ms.inertia(f)
    except ms.MorsescapeError as error:
        clear(error, "float32", "dtype", "Float", "float64")
        return
    if how in ("cast", "float") and abs(f.value(f.theta) - expected.value) > 1e-12:
        assert result.status is not ms.InertiaStatus.PROVED  # a step function, seen closely
    else:
        agrees(f, expected)
