"""Which dimension holds the samples follows from the program, whatever sizes happen to agree."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import morsescape as ms
from strangers.truth import (
    Make,
    agrees,
    by_differences,
    labels,
    normal,
    plain,
    right_or_refused,
    seeded,
    truth,
)  # fmt: skip


class Two(nn.Module):
    """Two layers and what each model makes of them."""

    def __init__(self, first: int = 3, hidden: int = 3) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(first, hidden), nn.Linear(hidden, 2)


class TimeFirst(Two):
    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.a(x.transpose(0, 1)))
        return self.b(torch.tanh(h[0] + h[-1] * h[0]))


class TimeFirstToTheEnd(Two):
    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.tanh(self.a(x.permute(1, 0, 2)))).prod(0)


class Folded(Two):
    """Samples and steps in one dimension."""

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.a(x.reshape(-1, 3)))
        return self.b(h).view(len(x), -1, 2).mean(1)


class FoldedTimeFirst(Two):
    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.a(x.transpose(0, 1).reshape(-1, 3)))
        return self.b(h.view(-1, len(x), 3)[0] * h.view(-1, len(x), 3)[-1])


class Stacked(Two):
    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.a(torch.stack([x[:, 0], x[:, -1]])))
        return self.b(h[0] * h[1])


class Joined(Two):
    """Both views one under the other, as siamese and triplet networks do."""

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.a(torch.cat([x[:, 0], x[:, -1]])))
        left, right = h.chunk(2)
        return self.b((left - right).square())


class Triplet(Two):
    def forward(self, x: Tensor) -> Tensor:
        z = self.b(torch.tanh(self.a(torch.cat([x[:, 0], x[:, 1], x[:, 1] * 2]))))
        anchor, near, far = z.split(len(x))
        return torch.stack([(anchor - near).square().sum(1), (anchor - far).square().sum(1)], 1)


class Interleaved(Two):
    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.a(x[:, :2].reshape(-1, 3)))
        return self.b(h[0::2] * h[1::2])


class Prototypes(Two):
    """A layer is applied to learned vectors too, as many as there are samples."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.prototypes = nn.Parameter(torch.randn(count, 3))

    def forward(self, x: Tensor) -> Tensor:
        z, p = torch.tanh(self.a(x.mean(1))), torch.tanh(self.a(self.prototypes))
        return self.b(torch.softmax(-(z[:, None] - p[None]).square().sum(2), 1) @ p)


class Positions(Two):
    """A layer is applied to fixed positions, as many as there are samples."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.register_buffer("positions", torch.linspace(-1, 1, 3 * count).view(count, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.tanh(x.mean(1) + self.a(self.positions).mean(0)))


class Hyper(Two):
    """The first layer makes the weights of another one."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.randn(count, 3))

    def forward(self, x: Tensor) -> Tensor:
        weights = torch.tanh(self.a(self.rows))  # (count, 3)
        return self.b(torch.tanh(F.linear(x.mean(1), weights)) @ weights)


class AlongTime(nn.Module):
    """A layer that mixes the steps: its input is (N, d, T)."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(steps, steps), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.tanh(self.a(x.transpose(1, 2))).transpose(1, 2)).mean(1)


class Recurrent(nn.Module):
    """Time first, as torch's recurrent layers want it unless told otherwise."""

    def __init__(self, kind: type[nn.Module]) -> None:
        super().__init__()
        self.r, self.o = kind(3, 2), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.o(self.r(x.transpose(0, 1))[0][-1])


class Cell(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.h, self.o = nn.Linear(3, 2), nn.Linear(2, 2), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        state = x.new_zeros(len(x), 2)
        for step in x.unbind(1):
            state = torch.tanh(self.a(step) + self.h(state))
        return self.o(state)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.o = (nn.Linear(3, 3) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:  # (T, N, d) inside
        t = x.transpose(0, 1)
        scores = torch.einsum("tnd,snd->nts", self.q(t), self.k(t))
        return torch.einsum("nts,snd->nd", scores.softmax(-1), self.o(t))


class Multihead(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.m, self.o = nn.MultiheadAttention(2, 1), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        t = x[..., :2].transpose(0, 1)
        return self.o(self.m(t, t, t, need_weights=False)[0].mean(0))


class Channels(nn.Module):
    """A convolution over (T, N, d): the steps are what it takes for samples."""

    def __init__(self) -> None:
        super().__init__()
        self.c, self.o = nn.Conv1d(1, 2, 2), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        steps = [torch.tanh(self.c(step[:, None])).flatten(1) for step in x.unbind(1)]
        return self.o(steps[0] * steps[-1])


class Pictures(nn.Module):
    """All steps of all samples as one batch of a convolution, steps first."""

    def __init__(self) -> None:
        super().__init__()
        self.c, self.o = nn.Conv1d(1, 1, 2), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        t = x.transpose(0, 1).reshape(-1, 1, 3)
        return self.o(torch.tanh(self.c(t)).view(-1, len(x), 2).prod(0))


class Mapped(Two):
    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.vmap(lambda one: torch.tanh(self.a(one)), in_dims=1)(x).prod(0))


RIGHT: dict[str, tuple[Make, int, int]] = {  # the model, samples, steps
    "time first, 2 of 2": (TimeFirst, 2, 2),
    "time first, 3 of 2": (TimeFirst, 3, 2),
    "time first, 3 of 3": (TimeFirst, 3, 3),
    "time first, one sample": (TimeFirst, 1, 2),
    "time first to the end": (TimeFirstToTheEnd, 2, 2),
    "folded": (Folded, 3, 2),
    "folded, one step": (Folded, 3, 1),
    "folded, time first": (FoldedTimeFirst, 3, 3),
    "stacked views, 2": (Stacked, 2, 2),
    "stacked views, 9": (Stacked, 9, 2),
    "joined views": (Joined, 5, 2),
    "joined views of one sample": (Joined, 1, 2),
    "triplet": (Triplet, 4, 2),
    "interleaved": (Interleaved, 3, 2),
    "prototypes, 2": (lambda: Prototypes(2), 2, 2),
    "prototypes, as many as samples": (lambda: Prototypes(5), 5, 2),
    "prototypes, fewer": (lambda: Prototypes(2), 5, 2),
    "positions, 2": (lambda: Positions(2), 5, 2),
    "positions, as many as samples": (lambda: Positions(4), 4, 2),
    "made weights": (lambda: Hyper(2), 4, 2),
    "made weights, as many as samples": (lambda: Hyper(4), 4, 2),
    "along time": (lambda: AlongTime(4), 4, 4),
    "cell by hand": (Cell, 3, 3),
    "attention, time first": (Attention, 3, 3),
    "attention, time first, 2": (Attention, 2, 2),
    "convolution of each step": (Channels, 3, 2),
    "convolution of all steps": (Pictures, 2, 2),
}
MAYBE: dict[str, tuple[Make, int, int]] = {
    "nn.RNN": (lambda: Recurrent(nn.RNN), 3, 3),
    "nn.GRU": (lambda: Recurrent(nn.GRU), 2, 2),
    "nn.MultiheadAttention": (Multihead, 3, 3),
    "vmap": (Mapped, 3, 2),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_dimension_is_the_batch_only_where_it_is(name: str) -> None:
    make, samples, steps = RIGHT[name]
    data = normal(samples, steps, 3), labels(samples)
    agrees(ms.Objective(seeded(make), "cross_entropy", data),
           truth(make, plain("cross_entropy", data)))  # fmt: skip


@pytest.mark.parametrize("name", MAYBE)
def test_right_or_refused_by_name(name: str) -> None:
    make, samples, steps = MAYBE[name]
    data = normal(samples, steps, 3), labels(samples)
    right_or_refused(
        lambda: ms.Objective(seeded(make), "cross_entropy", data),
        truth(make, plain("cross_entropy", data)),
        "rnn", "gru", "lstm", "attention", "vmap",
    )  # fmt: skip


class Across(nn.Module):
    """Mixes the samples by a layer: no function of one sample at a time."""

    def __init__(self, samples: int) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(samples, samples), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.tanh(self.a(x.mean(1).t())).t())


class AsChannels(nn.Module):
    """An unbatched convolution takes the samples for channels."""

    def __init__(self, samples: int) -> None:
        super().__init__()
        self.c, self.b = nn.Conv1d(samples, samples, 1), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.tanh(self.c(x.mean(1))))


@pytest.mark.parametrize("make", [lambda: Across(4), lambda: AsChannels(4)], ids=["rows", "conv"])
def test_samples_that_are_mixed_by_a_layer(make: Make) -> None:
    data = normal(4, 2, 3), labels(4)
    try:
        f = ms.Objective(seeded(make), "cross_entropy", data)
    except (ms.MorsescapeError, RuntimeError) as error:
        # The model itself cannot take another number of samples: torch's own error may pass.
        assert any(word in str(error) for word in ("sample", "size", "shape"))  # noqa: PT017
    else:
        agrees(f, truth(make, plain("cross_entropy", data)))


@pytest.mark.parametrize("name", ["time first, 2 of 2", "stacked views, 2"])
@pytest.mark.parametrize("seed", range(2))
def test_no_false_certificate(name: str, seed: int) -> None:
    """At a critical point found by torch alone, the index proved is that of second differences."""
    make, samples, steps = RIGHT[name]
    data = normal(samples, steps, 3, seed=seed), normal(samples, 2, seed=seed + 10)
    f = ms.Objective(seeded(make, seed), "mse", data, l2=2e-2)
    loss = plain("mse", data)
    model = seeded(make, seed).double()
    names = [n for n, _ in model.named_parameters()]
    shapes = [p.shape for p in model.parameters()]

    def value(theta: Tensor) -> Tensor:
        parts = theta.split([s.numel() for s in shapes])
        named = {n: p.view(s) for n, p, s in zip(names, parts, shapes, strict=True)}
        return loss(lambda x: torch.func.functional_call(model, named, (x,))) + 2e-2 * theta @ theta

    theta = f.theta.clone()
    for _ in range(100):  # Newton, cut to steps of one half
        gradient = torch.autograd.functional.jacobian(value, theta)
        if float(gradient.norm()) < 1e-14:
            break
        step = torch.linalg.solve(torch.autograd.functional.hessian(value, theta), gradient)
        theta = theta - step / max(1.0, 2 * float(step.norm()))
    w = torch.linalg.eigvalsh(torch.autograd.functional.hessian(value, theta))
    index = int((w < 0).sum())
    proof = ms.certify(f, theta)
    assert proof.index[0] <= index <= proof.index[1], proof
    result = ms.inertia(f, theta)
    assert result.negative[0] <= index <= result.negative[1], result


def test_the_oracle_of_these_tests_by_values_alone() -> None:
    """Double backward and second differences agree on a time-first model."""
    data = normal(2, 2, 3), labels(2)
    value = plain("cross_entropy", data)
    a, b = truth(TimeFirst, value), by_differences(TimeFirst, value)
    assert (a.hessian - b.hessian).abs().max() < 1e-5
