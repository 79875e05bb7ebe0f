"""The one form in which data travels through the package."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from morsescape.boundary import a_count, a_tensor, a_text, an_integer, checked
from morsescape.errors import ArgumentError


@checked(
    name=a_text(),
    x=a_tensor("float64 images of shape (n, 1, h, w)"),
    y=a_tensor("int64 labels of shape (n,)"),
    classes=a_count(1),
)
@dataclass(frozen=True, eq=False)
class Dataset:
    """Images x with labels y, checked once, when they are put together.

    Attributes:
        name: what the set is called in results.
        x: float64 images, shape (n, 1, h, w); pixels in [0, 1] for the sets that `load` gives.
        y: int64 labels, shape (n,), each in [0, classes).
        classes: number of classes, C.

    Raises:
        ArgumentError: no samples, lengths that differ, NaN or infinity, labels out of range, or a
            wrong dtype or shape.

    Example:
        >>> import torch
        >>> from morsescape.data import Dataset
        >>> data = Dataset("mine", torch.zeros(3, 1, 2, 2).double(), torch.tensor([0, 1, 1]), 2)
        >>> print(data)
        mine: 3 samples, 2×2 pixels, 2 classes
    """

    name: str
    x: Float64[Tensor, "n 1 h w"]
    y: Int64[Tensor, "n"]
    classes: int

    def __post_init__(self) -> None:
        _check_form(self.x, self.y)
        _check_finite(self.x)
        _check_labels(self.y, self.classes)

    def __len__(self) -> int:
        return len(self.y)

    def __str__(self) -> str:
        height, width = self.image_shape
        sizes = f"{len(self):,} samples, {height}×{width} pixels, {self.classes} classes"
        return f"{self.name}: {sizes}"

    @property
    def image_shape(self) -> tuple[int, int]:
        """Height and width of one image, in pixels."""
        return self.x.shape[2], self.x.shape[3]

    @checked(samples=an_integer())
    def first(self, samples: int) -> Dataset:
        """The first `samples` samples, as views into the same memory.

        Raises:
            ArgumentError: fewer than 1, or more than there are.

        Example:
            >>> from morsescape.data import load
            >>> len(load("digits").first(100))
            100
        """
        if not 1 <= samples <= len(self):
            raise ArgumentError(
                "samples",
                expected=f"1 to {len(self):,}, all that {self.name} has",
                got=f"{samples:,}",
                cure="ask for fewer samples, or leave the option out to take all",
            )
        return replace(self, x=self.x[:samples], y=self.y[:samples])


def _check_form(x: Tensor, y: Tensor) -> None:
    if x.ndim != 4 or x.shape[1] != 1 or x.dtype != torch.float64:
        raise ArgumentError(
            "x",
            expected="float64 images of shape (n, 1, h, w)",
            got=f"{x.dtype} of shape {tuple(x.shape)}",
            cure="x.double().reshape(n, 1, h, w)",
        )
    if y.ndim != 1 or y.dtype != torch.int64:
        raise ArgumentError(
            "y",
            expected="int64 labels of shape (n,)",
            got=f"{y.dtype} of shape {tuple(y.shape)}",
            cure="y.long().flatten(); one-hot labels: y.argmax(1)",
        )
    if len(x) != len(y) or len(x) == 0 or x[0].numel() == 0:
        raise ArgumentError(
            "data",
            expected="as many labels as images, at least one, with at least one pixel",
            got=f"{len(x)} images of {tuple(x.shape[2:])} pixels and {len(y)} labels",
            cure="pass x and y of the same samples",
        )


def _check_finite(x: Tensor) -> None:
    bad = ~torch.isfinite(x).flatten(1).all(1)
    if bad.any():
        raise ArgumentError(
            "x",
            expected="finite pixels",
            got=f"NaN or infinity in {int(bad.sum())} images, the first at sample "
            f"{int(bad.nonzero()[0])}",
            cure="remove or mend these samples",
        )


def _check_labels(y: Tensor, classes: int) -> None:
    bad = ((y < 0) | (y >= classes)).nonzero()
    if len(bad):
        at = int(bad[0])
        raise ArgumentError(
            "labels",
            expected=f"integers in [0, {classes})",
            got=f"{int(y[at])} at sample {at}",
            cure="mend the labels, or pass the true number of classes",
        )
