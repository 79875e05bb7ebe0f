"""What an answer costs is in proportion to the question."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import morsescape as ms
from strangers.truth import agrees, labels, normal, plain, seeded, truth

DATA = normal(5, 3), labels(5)


@contextmanager
def peak() -> Iterator[list[float]]:
    """How many GiB the process takes at most, above what it has at the beginning."""
    clear, status = Path("/proc/self/clear_refs"), Path("/proc/self/status")
    if not clear.exists():
        pytest.skip("needs Linux's count of the memory that was touched")
    clear.write_text("5")

    def touched(what: str) -> float:
        line = next(x for x in status.read_text().splitlines() if x.startswith(what))
        return int(line.split()[1]) / 2**20

    before, taken = touched("VmRSS"), [0.0]
    yield taken
    taken[0] = touched("VmHWM") - before


def pair_energy(n: int) -> Callable[[Tensor], Tensor]:
    def energy(t: Tensor) -> Tensor:
        p = t.view(n, 3)
        squares = (p[:, None] - p[None]).square().sum(2) + 5 * torch.eye(n, dtype=t.dtype)
        return (1 / squares).sum()

    return energy


def test_a_pair_energy_takes_no_gigabytes() -> None:
    """All tangents of 390 variables at once would take 160 MB for each of dozens of operations."""
    n = 130
    f = ms.Objective.from_function(pair_energy(n), 3 * n)
    theta = normal(3 * n).double() * 3
    with peak() as taken:
        hessian = f.hessian(theta)
    assert taken[0] < 0.7, f"{taken[0]:.2f} GiB"
    v = normal(3 * n, seed=2).double()
    assert (hessian @ v - f.hvp(theta, v)).abs().max() <= 1e-10 * float(hessian.abs().max()) * 3 * n
    assert (hessian - hessian.t()).abs().max() == 0


def counting(traces: list[int]) -> Callable[..., Any]:
    def backend(graph: Any, example: Any) -> Any:
        traces.append(1)
        return graph.forward

    return backend


def small() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 2))


@pytest.mark.parametrize("how", ["all", "in place", "a layer", "forward"])
def test_a_compiled_model_is_not_traced_again_and_again(how: str) -> None:
    traces: list[int] = []
    model: Any = seeded(small)
    backend = counting(traces)
    if how == "all":
        model = torch.compile(model, backend=backend)
    elif how == "in place":
        model.compile(backend=backend)
    elif how == "a layer":
        model[0] = torch.compile(model[0], backend=backend)
    else:
        model.forward = torch.compile(model.forward, backend=backend)
    try:
        f = ms.Objective(model, "cross_entropy", DATA)
        agrees(f, truth(small, plain("cross_entropy", DATA)))
    except ms.MorsescapeError as error:
        assert "compile" in str(error)  # noqa: PT017
    finally:
        torch._dynamo.reset()
    assert len(traces) <= 4


def test_a_compiled_loss() -> None:
    traces: list[int] = []
    loss = torch.compile(nn.CrossEntropyLoss(), backend=counting(traces))
    try:
        f = ms.Objective(seeded(small), loss, DATA)
        agrees(f, truth(small, plain("cross_entropy", DATA)))
    except ms.MorsescapeError as error:
        assert "compile" in str(error)  # noqa: PT017
    finally:
        torch._dynamo.reset()
    assert len(traces) <= 4
