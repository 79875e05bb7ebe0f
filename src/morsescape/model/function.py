"""Any twice differentiable torch function of a vector as a source of landscapes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from morsescape.errors import ArgumentError
from morsescape.model.loss import Loss
from morsescape.model.source import Parameters, Share, Source
from morsescape.rounding.kept import Kept
from morsescape.rounding.written_out import written_out


class Function(Source):
    """L(θ) = fn(θ): the parameters are θ itself, and the loss of this output is fn."""

    what, of_samples, samples, sample_numbers, chunk = "fn", False, 1, 1, 1
    dtype, needs_graph, row_by_row = torch.float64, False, False
    spreads = (0.5, 1e-2, 1e-5, 0.0)  # θ = 0 is nobody's choice: far from it, if fn is defined

    def __init__(self, fn: Callable[[Tensor], Tensor], dim: int) -> None:
        self.loss, self.dim = _Whole(fn), dim
        self.theta = torch.zeros(dim, dtype=torch.float64)
        self.shapes, self.slices = {"theta": (dim,)}, {"theta": slice(0, dim)}
        self.programs, self.doubts = Kept(), ()
        self.model, self.x = nn.Module(), torch.zeros(1, 0, dtype=torch.float64)
        self.y = self.x

    @property
    def size(self) -> str:
        """So many variables."""
        return f"{self.dim:,} variables"

    def unflatten(self, theta: Tensor) -> dict[str, Tensor]:
        """θ as it is."""
        return {"theta": theta}

    def output(self, parameters: Parameters, x: Any) -> Tensor:
        """θ as it is."""
        return parameters["theta"]

    def share(self, output: Tensor, y: Any) -> Tensor:
        """fn(θ)."""
        return self.loss.share(output, y)

    def on(self, x: Any, y: Any) -> Share:
        """Fn, whatever the chunk."""
        return lambda theta: self.loss.share(theta, y)

    def chunks(self, size: int) -> Iterator[tuple[Any, Any]]:
        """One, without data."""
        yield self.x, self.y

    def some(self, places: Tensor) -> tuple[Any, Any]:
        """No data."""
        return self.x, self.y

    def thinned(self, most: int) -> Source:
        """The same: it has no samples."""
        return self

    def in_precision(self, dtype: torch.dtype) -> Source:
        """Refused: numbers inside of fn are float64."""
        raise ArgumentError(
            "raw", expected="an objective made from a network, which can be evaluated in float32",
            got="a function", cure="leave raw out",
        )  # fmt: skip

    def on_data(self, data: Any) -> Source:
        """Refused."""
        raise ArgumentError(
            "test", expected="None or an Objective beside a function, which has no data",
            got=type(data).__name__, cure="leave it out",
        )  # fmt: skip


class _Whole(Loss):
    name, at_once = "fn(theta)", True

    def __init__(self, fn: Callable[[Tensor], Tensor]) -> None:
        self.fn = fn

    def share(self, output: Tensor, y: Any) -> Tensor:
        with written_out():  # the same operations as in its recorded program
            return self.fn(output)
