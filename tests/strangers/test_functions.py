"""Functions of a vector: right, or refused by the name of what torch cannot."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import morsescape as ms
from strangers.truth import (
    clear,
    labels,
    normal,
    plain,
    right_or_refused,
    seeded,
    truth,
)  # fmt: skip

N = 5


@pytest.mark.parametrize("name", ["x ** x", "x ** y", "a power of a power", "a learned base"])
def test_powers_of_functions(name: str) -> None:
    fn = {
        "x ** x": lambda t: (t**t).sum(),
        "x ** y": lambda t: t[0] ** t[1] + (t[1] - 1) ** 2,
        "a power of a power": lambda t: (t[0] ** t[1]) ** t[0] + t.square().sum(),
        "a learned base": lambda t: 2 ** t[0] + 3 ** (t[0] * t[1]) + t.square().sum(),
    }[name]
    f = ms.Objective.from_function(fn, 2)
    theta = torch.tensor([0.6, 0.9], dtype=torch.float64)
    expected = torch.autograd.functional.hessian(fn, theta)
    assert (f.hessian(theta) - expected).abs().max() < 1e-10
    w = torch.linalg.eigvalsh(expected)
    result = ms.inertia(f, theta)
    assert result.negative[0] <= int((w < 0).sum()) <= result.negative[1]
    ms.certify(f, theta)
    point = ms.find_critical_point(f, theta)
    if name == "x ** x":  # both at 1/e
        assert (point.theta - torch.exp(torch.tensor(-1.0)).double()).abs().max() < 1e-6
        assert point.index == 0


def apart(t: Tensor) -> Tensor:
    """Of three points in the plane, by hand."""
    return torch.exp(-(t.view(3, 1, 2) - t.view(1, 3, 2)).square().sum(2)).sum()


BY_HAND: dict[str, Callable[[Tensor], Tensor]] = {  # torch's have no second derivative
    "cdist": apart,
    "pdist": lambda t: (apart(t) - 3) / 2,
}
FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "cdist": lambda t: torch.exp(-torch.cdist(t.view(3, 2), t.view(3, 2)).square()).sum(),
    "pdist": lambda t: torch.exp(-torch.pdist(t.view(3, 2)).square()).sum(),
    "distances by hand": apart,
    "logdet": lambda t: -torch.logdet(torch.outer(t, t) + torch.eye(6, dtype=t.dtype)),
    "inverse": lambda t: torch.linalg.inv(torch.outer(t, t) + torch.eye(6, dtype=t.dtype)).sum(),
    "cholesky": lambda t: (
        torch.linalg.cholesky(torch.outer(t, t) + torch.eye(6, dtype=t.dtype))
        .diagonal()
        .log()
        .sum()
    ),
    "eigvalsh": lambda t: torch.linalg.eigvalsh(torch.diag(t) + torch.outer(t, t))[0],
    "matrix_exp": lambda t: torch.matrix_exp(t.view(2, 3)[:, :2]).sum(),
    "fft": lambda t: torch.fft.fft(t).abs().square().sum() / 6 + t.pow(4).sum(),
    "gamma": lambda t: torch.lgamma(1 + t * t).sum(),
    "Bessel": lambda t: torch.special.i0(t).sum(),
    "cumprod": lambda t: t.cumprod(0).sum(),
    "kron": lambda t: torch.kron(t[:3], t[3:]).square().sum(),
    "trapezoid": lambda t: torch.trapezoid(t.square()),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_counted_or_refused_by_name(name: str) -> None:
    fn, theta = FUNCTIONS[name], normal(6, seed=9).double()
    expected = torch.autograd.functional.hessian(BY_HAND.get(name, fn), theta)
    w = torch.linalg.eigvalsh(expected)

    def ask(analysis: Callable[[], ms.Inertia]) -> ms.Inertia | None:
        try:
            return analysis()
        except ms.MorsescapeError as error:
            clear(error, name, "dist", "linalg", "_fft")
            return None

    f = ms.Objective.from_function(fn, 6)
    result = ask(lambda: ms.inertia(f, theta))
    if result is not None:
        assert (f.hessian(theta) - expected).abs().max() < 1e-9 * max(1, expected.abs().max())
        assert result.negative[0] <= int((w < 1e-9).sum())
        assert result.negative[1] >= int((w < -1e-9).sum())
    ask(lambda: ms.certify(f, theta))  # type: ignore[arg-type, return-value]
    ask(lambda: ms.find_critical_point(f, theta, max_steps=3))  # type: ignore[arg-type, return-value]


def test_a_kernel_machine() -> None:
    """A network with distances to learned centres, by cdist."""

    class Centres(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.c, self.o = nn.Parameter(torch.randn(3, 3)), nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.o(torch.exp(-torch.cdist(x, self.c).square()))

    class ByHand(Centres):
        def forward(self, x: Tensor) -> Tensor:
            return self.o(torch.exp(-(x[:, None] - self.c).square().sum(2)))

    data = normal(N, 3), labels(N)
    right_or_refused(lambda: ms.Objective(seeded(Centres), "cross_entropy", data),
                     truth(ByHand, plain("cross_entropy", data)), "cdist")  # fmt: skip
