"""Ways in which a number of negative Hessian eigenvalues is counted, as data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from morsescape.data import Dataset
from morsescape.errors import ArgumentError
from morsescape.experiments.point import check_name

DTYPES = ("float64", "float32")
ROUTES = ("symmetric", "rows")
SOLVERS = ("eigvalsh", "eigvals")
INPUTS = ("unit", "standardised")


@dataclass(frozen=True)
class Variant:
    """What changes the network itself: it is trained so, and then looked at so.

    Attributes:
        inputs: "unit", pixels in [0, 1], or "standardised": minus the mean, over the standard
            deviation, of all pixels of all samples used.
        double_softmax: the network ends in a softmax, and cross-entropy applies its own to that.
            The loss is then no longer convex in the last layer, and the structural bound of
            cross-entropy does not hold.

    Example:
        >>> print(Variant("standardised", True))
        standardised-double-softmax
    """

    inputs: str = "unit"
    double_softmax: bool = False

    def __str__(self) -> str:
        inputs = [] if self.inputs == "unit" else [self.inputs]
        return "-".join([*inputs, *["double-softmax"] * self.double_softmax]) or "plain"

    def dataset(self, data: Dataset) -> Dataset:
        """The data as this variant has it."""
        if self.inputs == "unit":
            return data
        x = (data.x - data.x.mean()) / data.x.std(correction=0)
        return Dataset(data.name, x, data.y, data.classes)

    def model(self, model: nn.Sequential) -> nn.Sequential:
        """The network as this variant has it; the parameters are shared."""
        return nn.Sequential(*model, nn.Softmax(1)) if self.double_softmax else model


@dataclass(frozen=True)
class Protocol:
    """One way to count negative Hessian eigenvalues of cross-entropy, without a proof of signs.

    Attributes:
        name: what it is called in tables; unique.
        dtype: "float64" or "float32": of the Hessian and of its eigenvalues.
        batch: images in the mini-batch whose loss is differentiated, the first that the training
            saw; None takes all images.
        route: "symmetric", a matrix that is assembled symmetric; or "rows", one double backward
            pass a row, symmetric only up to rounding.
        solver: "eigvalsh", which reads the lower triangle; or "eigvals" of the matrix as it is,
            with real parts taken.
        inputs, double_softmax: as in `Variant`.
        threshold: eigenvalues below minus this are counted; 0 is the bare sign.
        relative: the threshold is multiplied by the largest absolute eigenvalue.
        drop_zero_rows: leave out the parameters whose row and column are exactly zero.

    Raises:
        ArgumentError: an unknown name, a batch of no images, a threshold that is negative, or
            eigvals of a matrix that is symmetric.

    Example:
        >>> print(Protocol("a", "float32", batch=64, drop_zero_rows=True))
        float32, one mini-batch of 64 images, exactly zero rows left out, eigenvalues below 0
        >>> print(Protocol("b", threshold=1e-12, relative=True))
        float64, all images, eigenvalues below -1e-12 of the largest
    """

    name: str
    dtype: str = "float64"
    batch: int | None = None
    route: str = "symmetric"
    solver: str = "eigvalsh"
    inputs: str = "unit"
    double_softmax: bool = False
    threshold: float = 0.0
    relative: bool = False
    drop_zero_rows: bool = False

    def __post_init__(self) -> None:
        for option, known in (
            ("dtype", DTYPES), ("route", ROUTES), ("solver", SOLVERS), ("inputs", INPUTS),
        ):  # fmt: skip
            check_name(option, getattr(self, option), known)
        for option, expected, holds in (
            ("batch", "1 or more, or None for all", self.batch is None or self.batch >= 1),
            ("threshold", "a finite number, 0 or more", 0 <= self.threshold < float("inf")),
            ("solver", "eigvalsh unless the route is rows", self.route == "rows" or
             self.solver == "eigvalsh"),
        ):  # fmt: skip
            if not holds:
                raise ArgumentError(
                    f"protocol {self.name}, {option}", expected=expected,
                    got=repr(getattr(self, option)), cure="change this value",
                )  # fmt: skip

    def __str__(self) -> str:
        return ", ".join(self._phrases())

    def _phrases(self) -> Iterator[str]:
        yield self.dtype
        yield "all images" if self.batch is None else f"one mini-batch of {self.batch:,} images"
        if self.inputs != "unit":
            yield "standardised inputs"
        if self.double_softmax:
            yield "softmax applied twice"
        if self.route == "rows":
            yield "rows by double backward"
        if self.solver == "eigvals":
            yield "real parts of eigvals"
        if self.drop_zero_rows:
            yield "exactly zero rows left out"
        below = f"-{self.threshold:g}" if self.threshold else "0"
        yield f"eigenvalues below {below}{' of the largest' * self.relative}"

    @property
    def variant(self) -> Variant:
        """What the network is trained with."""
        return Variant(self.inputs, self.double_softmax)

    @property
    def matrix_key(self) -> tuple[str, int, str]:
        """What the matrix depends on at a point."""
        return self.dtype, self.batch or 0, self.route

    @property
    def spectrum_key(self) -> str:
        """What the eigenvalues depend on at a point; a name for them."""
        images = "all" if self.batch is None else str(self.batch)
        drop = "-drop" if self.drop_zero_rows else ""
        return f"{self.dtype}-{images}-{self.route}-{self.solver}{drop}"

    def count(self, eigenvalues: Tensor) -> int:
        """How many of these are below the threshold.

        Example:
            >>> import torch
            >>> values = torch.tensor([-5.0, -1e-9, 0.0, 10.0])
            >>> plain, relative = Protocol("a"), Protocol("b", threshold=0.1, relative=True)
            >>> plain.count(values), relative.count(values)
            (2, 1)
        """
        scale = float(eigenvalues.abs().max()) if self.relative and len(eigenvalues) else 1.0
        return int((eigenvalues < -self.threshold * scale).sum())


def _chosen() -> Iterator[Protocol]:
    """Not the full product: a plain way, each single change of it, and what leads suggested."""
    yield Protocol("float64")
    yield Protocol("float64, 1e-12 rel.", threshold=1e-12, relative=True)
    yield Protocol("float64, 1e-8", threshold=1e-8)
    yield Protocol("float64, 1e-6", threshold=1e-6)
    yield Protocol("float64, nonzero", drop_zero_rows=True)
    yield Protocol("float64, 64", batch=64)
    yield Protocol("float32", "float32")
    yield Protocol("float32, 1e-8", "float32", threshold=1e-8)
    yield Protocol("float32, 1e-6", "float32", threshold=1e-6)
    yield Protocol("float32, nonzero", "float32", drop_zero_rows=True)
    yield Protocol("float32, 1,000", "float32", 1000)
    yield Protocol("float32, 64", "float32", 64)
    yield Protocol("float32, 64, 1e-8", "float32", 64, threshold=1e-8)
    yield Protocol("float32, 64, 1e-6", "float32", 64, threshold=1e-6)
    for batch in (1000, 128, 64):
        yield Protocol(f"float32, {batch:,}, nonzero", "float32", batch, drop_zero_rows=True)
    rows = {"dtype": "float32", "batch": 64, "route": "rows", "drop_zero_rows": True}
    yield Protocol("float32, 64, rows, nonzero", **rows)  # type: ignore[arg-type]
    yield Protocol("float32, 64, eigvals", solver="eigvals", **rows)  # type: ignore[arg-type]
    yield from _retrained("standardised", Variant("standardised"))
    yield from _retrained("softmax twice", Variant(double_softmax=True))
    yield Protocol(
        "softmax twice, float32, 1,000, nonzero", "float32", 1000, double_softmax=True,
        drop_zero_rows=True,
    )  # fmt: skip
    yield from _retrained("both", Variant("standardised", True))


def _retrained(name: str, variant: Variant) -> Iterator[Protocol]:
    """The plain ways to count, of networks that were trained otherwise."""
    inputs, twice = variant.inputs, variant.double_softmax
    for label, threshold in (("float64", 0.0), ("float64, 1e-12 rel.", 1e-12)):
        yield Protocol(
            f"{name}, {label}", inputs=inputs, double_softmax=twice, threshold=threshold,
            relative=threshold > 0,
        )  # fmt: skip
    for label, drop in (("", False), (", nonzero", True)):
        yield Protocol(
            f"{name}, float32, 64{label}", "float32", 64, inputs=inputs, double_softmax=twice,
            drop_zero_rows=drop,
        )  # fmt: skip


PROTOCOLS = tuple(_chosen())
