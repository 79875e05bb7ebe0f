"""On a kink nothing is proved, and beside it everything is."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import morsescape as ms
from morsescape.critical.krawczyk import krawczyk
from strangers.proofs import answers, point, proved
from strangers.truth import clear, labels, normal, seeded

KINKS: dict[str, tuple[Callable[[Tensor], Tensor], float]] = {
    "relu of a lost number": (lambda t: torch.relu((t + 1) - 1).square(), 1e-20),
    "relu at zero": (lambda t: torch.relu(t).square(), 0.0),
    "abs at zero": (lambda t: t.abs() * t, 0.0),
    "clamp at its edge": (lambda t: t.clamp(min=0.5).square(), 0.5),
    "clamp of a lost number": (lambda t: ((t + 1) - 1).clamp(min=0).square(), 1e-20),
    "maximum of equals": (lambda t: torch.maximum(t, t * t + 0 * t).square(), 1.0),
    "largest of two": (lambda t: torch.cat([t, t * t]).max().square(), 1.0),
    "amax of equals": (lambda t: torch.cat([t, t * t]).amax(0), 1.0),
    "where at its border": (lambda t: torch.where(t > 0.3, t * t, 3 * t * t), 0.3),
    "where, not strictly": (lambda t: torch.where(t >= 0.3, t * t, 3 * t * t), 0.3),
    "where of a lost number": (lambda t: torch.where((t + 1) - 1 > 0, t * t, -t * t), 1e-20),
    "elu at zero": (lambda t: F.elu(t, 2.0), 0.0),
    "selu at zero": (lambda t: F.selu(t), 0.0),
    "leaky relu at zero": (lambda t: F.leaky_relu(t).square(), 0.0),
    "hardtanh at its edge": (lambda t: F.hardtanh(t).square(), 1.0),
    "hardswish at its edge": (lambda t: F.hardswish(t), 3.0),
    "huber at its edge": (lambda t: F.huber_loss(t, 0 * t, reduction="sum", delta=1.0), 1.0),
    "smooth l1 at its edge": (lambda t: F.smooth_l1_loss(t, 0 * t, reduction="sum"), -1.0),
    "sorted equals": (lambda t: torch.cat([t, t * t]).sort().values[:1].square(), 1.0),
    "minimum of equals": (lambda t: torch.minimum(t, 2 * t - 1).square(), 1.0),
    "softshrink at its edge": (lambda t: F.softshrink(t).square(), 0.5),
    "threshold at its edge": (lambda t: F.threshold(t, 0.5, 0.5).square(), 0.5),
    "max-pooling of equals": (
        lambda t: F.max_pool1d(torch.cat([t, t * t])[None, None], 2).square().flatten(), 1.0,
    ),
    "by arithmetic": (lambda t: t * t * (t > 0), 0.0),
    "relu six at six": (lambda t: F.relu6(t).square(), 6.0),
}  # fmt: skip


@pytest.mark.parametrize("name", KINKS)
def test_on_a_kink_nothing_is_proved(name: str) -> None:
    """On a kink there is no second derivative, whichever branch the rounding takes."""
    branch, at = KINKS[name]
    f = ms.Objective.from_function(lambda t: (branch(t) - t * t / 4).sum(), 1)
    for result in answers(f, point(at)):
        assert not proved(result), result
        if result.estimate is None:
            assert result.kinks > 0
            assert result.status is ms.InertiaStatus.ON_KINK
    for prove in (ms.certify, krawczyk):
        try:
            assert not proved(prove(f, point(at)))
        except ms.MorsescapeError as error:
            clear(error)


@pytest.mark.parametrize(
    "name",
    [
        "relu of a lost number",
        "where at its border",
        "elu at zero",
        "clamp at its edge",
        "largest of two",
        "huber at its edge",
    ],
)
def test_beside_a_kink_it_is_proved(name: str) -> None:
    """A hundredth away the branch is sure, and the second derivative is that of the branch."""
    branch, at = KINKS[name]

    def fn(t: Tensor) -> Tensor:
        return (branch(t) - t * t / 4).sum()

    for theta in (point(at + 0.01), point(at - 0.01)):
        expected = float(torch.autograd.functional.hessian(fn, theta))
        for result in answers(ms.Objective.from_function(fn, 1), theta):
            assert result.kinks == 0
            assert result.status is not ms.InertiaStatus.ON_KINK
            if result.estimate is None:
                assert proved(result)
                assert result.negative == ((1, 1) if expected < 0 else (0, 0))


class Rectified(nn.Module):
    def __init__(self, bias: float) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 2), nn.Linear(2, 2)
        nn.init.constant_(self.a.bias, bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.relu(self.a(x)))


def test_a_network_on_a_kink() -> None:
    """An empty sample and biases of zero, as after initialisation: every unit sits on its kink."""
    x = normal(6, 3)
    x[2] = 0
    on = ms.inertia(ms.Objective(seeded(lambda: Rectified(0.0)), "cross_entropy", (x, labels(6))))
    off = ms.inertia(ms.Objective(seeded(lambda: Rectified(0.1)), "cross_entropy", (x, labels(6))))
    assert on.kinks > 0
    assert on.status is ms.InertiaStatus.ON_KINK
    assert off.kinks == 0
    assert off.status is not ms.InertiaStatus.ON_KINK
