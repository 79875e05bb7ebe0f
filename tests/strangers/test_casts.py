"""The cast to float64 loses nothing: what it cannot hold is kept or refused by name."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import morsescape as ms
from strangers.truth import agrees, clear, labels, normal, plain, right_or_refused, rows, seeded

N = 6


class ComplexWeight(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(3, 2, dtype=torch.cfloat))
        self.o = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.o((x.to(self.w.dtype) @ self.w).abs().square())


class ComplexFilter(nn.Module):
    """A fixed filter in the frequency domain, whose phase matters."""

    def __init__(self) -> None:
        super().__init__()
        self.o = nn.Linear(4, 2)
        self.register_buffer("filter", torch.tensor([1 + 0j, 0 + 2j, -1j]))

    def forward(self, x: Tensor) -> Tensor:
        h = torch.fft.irfft(torch.fft.rfft(x) * self.filter, 4)
        return self.o(torch.tanh(h))


class ComplexFilterOfOutputs(ComplexFilter):
    def __init__(self) -> None:
        super().__init__()
        self.i = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.i(x))


class ComplexConstant(nn.Module):
    """Real parameters that are read as complex numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(4, 2))
        self.o = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        turned = torch.view_as_complex(self.w) * torch.tensor(1j)
        return self.o(torch.tanh(x * turned.real) + x * turned.imag)


class Attribute(nn.Module):
    """A complex tensor that is no buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.o, self.phase = nn.Linear(4, 2), torch.tensor([1j, 1.0, 2j, 1 + 1j])

    def forward(self, x: Tensor) -> Tensor:
        return self.o(torch.tanh((x * self.phase).abs()))


COMPLEX = {
    "parameter": (ComplexWeight, 3),
    "buffer": (ComplexFilter, 4),
    "buffer behind a layer": (ComplexFilterOfOutputs, 4),
    "real parameters read as complex": (ComplexConstant, 4),
    "attribute": (Attribute, 4),
}


def as_complex128(model: nn.Module) -> nn.Module:
    """`.double()` would drop the imaginary parts."""
    wide = {torch.complex64: torch.complex128, torch.float32: torch.float64}
    return model._apply(lambda t: t.to(wide.get(t.dtype, t.dtype)))


@pytest.mark.parametrize("name", COMPLEX)
def test_imaginary_parts_are_kept_or_refused(name: str) -> None:
    make, width = COMPLEX[name]
    data = normal(N, width), labels(N)
    value = plain("cross_entropy", data)
    model = as_complex128(seeded(make))
    try:
        f = ms.Objective(seeded(make), "cross_entropy", data)
    except ms.MorsescapeError as error:
        clear(error, "complex")
        return
    # Real and imaginary parts are variables of their own, or the model would not be its own.
    free = sum(p.numel() * (2 if p.is_complex() else 1) for p in model.parameters())
    assert f.dim == free
    assert f.value(f.theta) == pytest.approx(value(model).item(), abs=1e-12)
    if name != "parameter":
        right_or_refused(
            lambda: f, rows(value(model), list(model.parameters())),
            "complex", "fft", "view_as",
        )  # fmt: skip


def test_complex_inputs() -> None:
    class Modulus(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.o = nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.o(x.abs())

    x = torch.randn(N, 3, dtype=torch.cfloat)
    try:
        f = ms.Objective(seeded(Modulus), "cross_entropy", (x, labels(N)))
    except ms.MorsescapeError as error:
        clear(error, "complex")
        return
    model = seeded(Modulus).double()
    value = nn.CrossEntropyLoss()(model(x.to(torch.cdouble)), labels(N))
    agrees(f, rows(value, list(model.parameters())))


class Hashed(nn.Module):
    """Numbers of customers: only as integers are they what they are."""

    def __init__(self) -> None:
        super().__init__()
        self.e, self.o = nn.Embedding(3, 2), nn.Linear(2, 2)
        self.register_buffer("salt", torch.tensor(2**53 + 1))

    def forward(self, ids: Tensor) -> Tensor:
        return self.o(torch.tanh(self.e((ids + self.salt) % 3)))


class Wrapping(nn.Module):
    """Bytes that wrap around before they become numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.l = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.l((x + 200).to(self.l.weight.dtype) / 255)


class Bits(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.l = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.l((x >> 1 & 3).to(self.l.weight.dtype))


class Gate(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.l = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.l((~x).to(self.l.weight.dtype))


INTEGERS = {
    "identities beyond 2^53": (Hashed, torch.arange(N) + 2**53),
    "bytes that wrap": (Wrapping, (torch.arange(3 * N) * 13 % 256).view(N, 3).to(torch.uint8)),
    "bits": (Bits, torch.arange(3 * N).view(N, 3)),
    "booleans": (Gate, torch.arange(3 * N).view(N, 3) % 2 == 0),
}


@pytest.mark.parametrize("name", INTEGERS)
def test_integers_stay_integers_where_the_model_wants_them(name: str) -> None:
    make, x = INTEGERS[name]
    y = labels(N)
    model = seeded(make).double()
    expected = rows(nn.CrossEntropyLoss()(model(x), y), list(model.parameters()))
    agrees(ms.Objective(seeded(make), "cross_entropy", (x, y)), expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_numbers_of_half_precision_are_held_exactly(dtype: torch.dtype) -> None:
    model = seeded(lambda: nn.Linear(3, 2)).to(dtype)
    x = normal(N, 3).to(dtype)
    f = ms.Objective(model, "cross_entropy", (x, labels(N)))
    wide = nn.Linear(3, 2).double()
    wide.load_state_dict({k: v.double() for k, v in model.state_dict().items()})
    value = nn.CrossEntropyLoss()(wide(x.double()), labels(N))
    agrees(f, rows(value, list(wide.parameters())))
    assert model.weight.dtype == dtype
