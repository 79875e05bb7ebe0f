"""What anyone may expect of any model: the right value, or one clear sentence.

The right value comes from torch alone, called as the model's owner calls it: rows of double
backward in float64, or second differences of the loss where autograd's derivative is not its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_map

import morsescape as ms

Make = Callable[[], nn.Module]
LOSSES: dict[str, Callable[..., Tensor]] = {"cross_entropy": F.cross_entropy, "mse": F.mse_loss}


@dataclass(frozen=True)
class Truth:
    """Value, gradient (D,) and Hessian (D, D) of a loss at the model's own parameters."""

    value: float
    gradient: Tensor
    hessian: Tensor

    @cached_property
    def eigenvalues(self) -> Tensor:
        return torch.linalg.eigvalsh(self.hessian)


def seeded(make: Make, seed: int = 0) -> nn.Module:
    """The same model each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def normal(*shape: int, seed: int = 7) -> Tensor:
    """Float32 numbers, as people's data are, from a seed of their own."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def labels(samples: int, classes: int = 2) -> Tensor:
    """0, 1, …, classes - 1, 0, 1, …"""
    return torch.arange(samples) % classes


def doubled(data: Any) -> Any:
    """A copy whose floating-point tensors are float64."""
    return tree_map(lambda t: t.detach().clone().double() if _floats(t) else t, data)


def plain(loss: Any, data: Any) -> Callable[[nn.Module], Tensor]:
    """The loss of a float64 model on (x, y), by plain torch."""
    x, y = doubled(data)
    function = LOSSES.get(loss, loss) if isinstance(loss, str) else loss
    return lambda model: function(model(x), y)


def rows(value: Tensor, parameters: list[Tensor], together: int | None = None) -> Truth:
    """By double backward, one row at a time, or `together` of them where all depends on all."""
    first = torch.autograd.grad(value, parameters, create_graph=True, allow_unused=True)
    gradient = _flat(first, parameters)
    if together is not None:
        parts = []
        for units in torch.eye(len(gradient), dtype=gradient.dtype).split(together):
            of_all = torch.autograd.grad(
                gradient, parameters, units, retain_graph=True, is_grads_batched=True
            )
            parts.append(torch.cat([g.reshape(len(units), -1) for g in of_all], 1))
        return Truth(float(value.detach()), gradient.detach(), torch.cat(parts))
    second = []
    for entry in gradient:
        row: Any = [None] * len(parameters)
        if entry.requires_grad:
            row = torch.autograd.grad(entry, parameters, retain_graph=True, allow_unused=True)
        second.append(_flat(row, parameters).detach())
    return Truth(float(value.detach()), gradient.detach(), torch.stack(second))


def truth(make: Make, value: Callable[[nn.Module], Tensor], together: int | None = None) -> Truth:
    """Of the model in float64, by double backward."""
    model = seeded(make).double()
    with sdpa_kernel(SDPBackend.MATH):  # the other kernels have no second derivative
        return rows(value(model), trainable(model), together)


def by_differences(make: Make, value: Callable[[nn.Module], Tensor], step: float = 1e-3) -> Truth:
    """The same without any derivative of torch's: second differences of the loss."""
    model = seeded(make).double()
    parameters = trainable(model)
    start = torch.cat([p.detach().reshape(-1) for p in parameters])

    def at(theta: Tensor) -> float:
        with torch.no_grad():
            torch.nn.utils.vector_to_parameters(theta.clone(), parameters)
            return float(value(model))

    return differences(at, start, step)


def differences(at: Callable[[Tensor], float], theta: Tensor, step: float = 1e-3) -> Truth:
    """Central differences of a function: right to about the square of the step."""
    e = step * torch.eye(len(theta), dtype=torch.float64)
    gradient = torch.tensor([(at(theta + d) - at(theta - d)) / (2 * step) for d in e])
    hessian = torch.zeros(len(e), len(e), dtype=torch.float64)
    for i, d in enumerate(e):
        for j, b in enumerate(e[: i + 1]):
            corners = at(theta + d + b) - at(theta + d - b) - at(theta - d + b) + at(theta - d - b)
            hessian[i, j] = hessian[j, i] = corners / (4 * step * step)
    return Truth(at(theta), gradient.double(), hessian)


def trainable(model: nn.Module) -> list[Tensor]:
    """What θ lists."""
    return [p for p in model.parameters() if p.requires_grad]


# -- what must hold -------------------------------------------------------------------------------


def clear(error: ms.MorsescapeError, *words: str) -> None:
    """One line with a cure, which names one of the words and nothing that is not there."""
    text = str(error)
    assert "\n" not in text
    assert "; cure: " in text
    assert not words or any(word.lower() in text.lower() for word in words), text
    for wrong in ("attention", "in place", ".item()"):
        assert wrong not in text or any(word in wrong for word in words), text


def no_false_sign(result: ms.Inertia, expected: Truth, tolerance: float = 1e-9) -> None:
    """The intervals hold the true counts, as far as `expected` decides them."""
    w = expected.eigenvalues
    least = tolerance * max(1.0, float(w.abs().max()))
    below, above = int((w < -least).sum()), int((w > least).sum())
    assert result.negative[1] >= below, result
    assert result.positive[1] >= above, result
    assert result.negative[0] <= len(w) - above, result
    assert result.positive[0] <= len(w) - below, result


def agrees(f: ms.Objective, expected: Truth, tolerance: float = 1e-10) -> ms.Inertia:
    """Value, gradient, product, Hessian and counts of f are those of `expected`."""
    theta, v = f.theta, normal(f.dim, seed=3).double()
    assert f.dim == len(expected.gradient)
    near(f.value(theta), expected.value, tolerance)
    near(f.gradient(theta), expected.gradient, tolerance)
    near(f.hvp(theta, v), expected.hessian @ v, tolerance * f.dim)
    near(f.hessian(theta), expected.hessian, tolerance)
    value = f.hessian_at(theta)
    enclosed = value.enclose()
    if enclosed.estimate is None:
        off = float(torch.linalg.matrix_norm(enclosed.matrix - expected.hessian, 2))
        grain = f.dim * tolerance * max(1.0, float(expected.hessian.norm()))
        assert off <= enclosed.radius + grain, f"off by {off:.2g}, radius {enclosed.radius:.2g}"
    result = ms.inertia(value)
    no_false_sign(result, expected, max(1e-9, 10 * tolerance))
    assert result.status is not ms.InertiaStatus.NOT_FINITE
    if result.radius < float("inf"):  # what is beyond the radius is counted
        beyond = 3 * result.radius + max(1e-9, 10 * tolerance)
        assert result.negative[0] >= int((expected.eigenvalues < -beyond).sum())
    return result


def right_or_refused(
    make_f: Callable[[], ms.Objective], expected: Truth, *words: str, tolerance: float = 1e-10
) -> ms.Inertia | None:
    """Either all agrees with `expected`, or one clear sentence names the cause."""
    try:
        return agrees(make_f(), expected, tolerance)
    except ms.MorsescapeError as error:
        clear(error, *words)
        return None


def near(computed: Tensor | float, expected: Tensor | float, tolerance: float = 1e-10) -> None:
    """Entrywise, relative to the largest entry where that is above 1."""
    a, b = torch.as_tensor(computed), torch.as_tensor(expected)
    assert a.shape == b.shape
    off = float((a - b).abs().max()) if a.numel() else 0.0
    size = float(b.abs().max()) if b.numel() else 0.0
    assert off <= tolerance * max(1.0, size), f"off by {off:.2g}, largest entry {size:.2g}"


def _flat(parts: Any, parameters: list[Tensor]) -> Tensor:
    """One vector, zeros where nothing depends on a parameter; a sparse gradient is made dense."""
    pairs = zip(parts, parameters, strict=True)
    dense = [torch.zeros_like(p) if g is None else g.to_dense() for g, p in pairs]
    return torch.cat([g.reshape(-1) for g in dense])


def _floats(t: Any) -> bool:
    return isinstance(t, Tensor) and t.is_floating_point()
