r"""Curves in the space of parameters: Bézier pieces end to end.

γ: [0, 1] → Rᴰ is made of n pieces of degree k; piece i is run through at t in [i/n, (i+1)/n], by
its control points p_0, …, p_k as Σ_j C(k, j) s^j (1 - s)^(k - j) p_j, s in [0, 1]. A chain of
straight segments has degree 1; the curve of Garipov et al. is one piece of degree 2. The points are
float64 numbers, and γ is what exact arithmetic makes of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch
from jaxtyping import Float64
from torch import Tensor

from morsescape.errors import ArgumentError
from morsescape.notebook import Shown
from morsescape.store.codec import brief


@dataclass(frozen=True)
class Curve(Shown):
    """A piecewise polynomial curve.

    Attributes:
        pieces: control points, shape (n, k + 1, D); each piece starts where the one before ends.

    Raises:
        ArgumentError: pieces that do not join, or numbers that are not finite.

    Example:
        >>> import torch
        >>> square = torch.tensor([[0.0, 0], [1, 0], [1, 1]]).double()
        >>> chain, bend = Curve.chain(square), Curve(square[None])
        >>> chain(0.5).tolist(), bend(0.5).tolist(), chain.length
        ([1.0, 0.0], [0.75, 0.25], 2.0)
    """

    pieces: Float64[Tensor, "n k D"]

    __repr__ = brief

    def _shown(self) -> dict[str, object]:
        n, k, dim = self.pieces.shape
        return {"pieces": n, "degree": k - 1, "variables": f"{dim:,}", "length": self.length}

    def __post_init__(self) -> None:
        points = self.pieces
        if points.ndim != 3 or points.shape[1] < 2 or points.dtype != torch.float64:
            raise ArgumentError(
                "pieces",
                expected="float64 control points of shape (n, k + 1, D), k at least 1",
                got=f"{points.dtype} of shape {tuple(points.shape)}",
                cure="Curve.chain(points) joins points by straight segments",
            )
        if not bool(points.isfinite().all()):
            raise ArgumentError(
                "pieces", expected="finite numbers", got="NaN or infinity",
                cure="look at the ends: were the networks trained to the end?",
            )  # fmt: skip
        if not torch.equal(points[:-1, -1], points[1:, 0]):
            raise ArgumentError(
                "pieces", expected="pieces that start where the one before ends", got="a gap",
                cure="repeat the joints",
            )  # fmt: skip

    @classmethod
    def chain(cls, points: Float64[Tensor, "m D"]) -> Curve:
        """The polygon through m ≥ 2 points."""
        return cls(torch.stack([points[:-1], points[1:]], 1))

    @property
    def degree(self) -> int:
        """Of its pieces, k."""
        return self.pieces.shape[1] - 1

    @property
    def dim(self) -> int:
        """D."""
        return self.pieces.shape[2]

    @property
    def joints(self) -> Float64[Tensor, "n D"]:
        """The ends of all pieces, in order; the curve's own ends are the first and the last."""
        return torch.cat([self.pieces[:, 0], self.pieces[-1:, -1]])

    def __call__(self, t: float) -> Float64[Tensor, "D"]:
        """γ(t), rounded; exactly the control points at the joints."""
        piece, s = self.place(t)
        weights = [math.comb(self.degree, j) * s**j * (1 - s) ** (self.degree - j)
                   for j in range(self.degree + 1)]  # fmt: skip
        if s in (0.0, 1.0):
            return self.pieces[piece, 0 if s == 0.0 else -1].clone()
        return torch.tensor(weights, dtype=torch.float64) @ self.pieces[piece]

    def place(self, t: float) -> tuple[int, float]:
        """The piece on which t lies, and where on it.

        Raises:
            ArgumentError: t outside [0, 1].
        """
        if not 0 <= t <= 1:
            raise ArgumentError("t", expected="a number in [0, 1]", got=repr(t), cure="clamp it")
        n = len(self.pieces)
        piece = min(int(t * n), n - 1)
        return piece, min(t * n - piece, 1.0)

    def velocity(self, t: float) -> Float64[Tensor, "D"]:
        """γ′(t), by t; at a joint that of the piece after it."""
        piece, s = self.place(t)
        steps, k = self.pieces[piece].diff(dim=0), self.degree
        weights = [math.comb(k - 1, j) * s**j * (1 - s) ** (k - 1 - j) for j in range(k)]
        return len(self.pieces) * k * torch.tensor(weights, dtype=torch.float64) @ steps

    @cached_property
    def length(self) -> float:
        """The Euclidean length; of bent pieces that of a polygon of 64 chords each."""
        return sum(float((b - a).norm()) for a, b in self._chords())

    def _chords(self) -> Iterator[tuple[Tensor, Tensor]]:
        n, fine = len(self.pieces), 1 if self.degree == 1 else 64
        points = [self(min(k / (n * fine), 1.0)) for k in range(n * fine + 1)]
        yield from pairwise(points)

    def resampled(self, times: list[float]) -> Curve:
        """The chain through γ at these times; exact at both ends if they are 0 and 1."""
        return Curve.chain(torch.stack([self(t) for t in times]))
