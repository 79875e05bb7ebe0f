"""What may be asked of L, whatever it is made of: a network with data, or a function of a vector.

A plain function is a source with one parameter tensor, one chunk and no layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from morsescape.model.loss import Loss
from morsescape.rounding.kept import Kept

Parameters = Mapping[str, Tensor]
Share = Callable[[Tensor], Tensor]  # of L, as a function of θ alone


@runtime_checkable
class Source(Protocol):
    """L as a sum over chunks of shares, each the loss of an output that depends on θ.

    Attributes:
        model: the layers; a module without any for a function.
        x, y: the inputs and targets of all samples, in which a function has no numbers.
        what: what its maker is called where an argument is refused: "model" or "fn".
        of_samples: whether L is made of samples. Otherwise it is one function, whose second
            derivatives are bounded one by one.
        samples: how many; 1 if there are none.
        theta, dim, dtype: the point to start from, shape (D,).
        shapes, slices: of the named parameters, and where they stand in θ.
        loss: what is known of the step from output to share.
        needs_graph: whether it differentiates inside, and cannot run without autograd.
        row_by_row: whether row n of the output is known to depend on sample n alone.
        doubts: why autograd's derivatives may not be those of L.
        spreads: how far from θ derivatives are probed, against the size of θ, the first that works.
        programs: what was recorded of it.
    """

    model: nn.Module
    x: Any
    y: Any
    what: str
    of_samples: bool
    samples: int
    theta: Tensor
    dim: int
    dtype: torch.dtype
    shapes: Mapping[str, tuple[int, ...]]
    slices: Mapping[str, slice]
    loss: Loss
    needs_graph: bool
    row_by_row: bool
    doubts: tuple[str, ...]
    spreads: tuple[float, ...]
    programs: Kept

    @property
    def sample_numbers(self) -> int:
        """How many numbers the input of one sample has."""

    @property
    def chunk(self) -> int:
        """How many samples are evaluated at a time."""

    @property
    def size(self) -> str:
        """How large it is, in words."""

    def unflatten(self, theta: Tensor) -> dict[str, Tensor]:
        """θ as named parameters."""

    def output(self, parameters: Parameters, x: Any) -> Any:
        """What the loss takes."""

    def share(self, output: Any, y: Any) -> Tensor:
        """A chunk's share of L."""

    def on(self, x: Any, y: Any) -> Share:
        """A chunk's share as a function of θ."""

    def chunks(self, size: int) -> Iterator[tuple[Any, Any]]:
        """Inputs and targets, about `size` samples at a time."""

    def some(self, places: Tensor) -> tuple[Any, Any]:
        """Inputs and targets of some samples."""

    def thinned(self, most: int) -> Source:
        """The shares of some samples alone, evenly spread; the same where there are few more.

        Their sum is about the share of the samples times L. A loss of all samples at once has no
        such parts, and is left whole.
        """

    def in_precision(self, dtype: torch.dtype) -> Source:
        """The same L in another precision.

        Raises:
            ArgumentError: there is none.
        """

    def on_data(self, data: Any) -> Source:
        """The same model and loss on other data.

        Raises:
            ArgumentError: there is no data in it.
        """
