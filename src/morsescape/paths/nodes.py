"""Places on a curve as combinations of its control points, with weights that sum to one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor


@dataclass(frozen=True)
class Nodes:
    """γ(t_q) = Σ_j basis[q, j] p_j, γ′(t_q) = Σ_j rates[q, j] p_j.

    Attributes:
        weights: (n,), of the mean over t.
        basis, rates: (n, number of points), the ends among them.
    """

    weights: Float64[Tensor, " n"]
    basis: Float64[Tensor, "n p"]
    rates: Float64[Tensor, "n p"]


def fixed(degree: int | None, free: int, count: int, jitter: torch.Generator | None) -> Nodes:
    """Gauss–Legendre nodes: on [0, 1] for a Bézier curve, on each segment of a chain.

    With a generator there are two sets of them, on both sides of a random cut of the interval.

    Args:
        degree: of the Bézier curve; None for a chain.
        free: control points without the ends.
        count: nodes, at least.
        jitter: draws the cut.

    Example:
        >>> nodes = fixed(2, 1, 3, None)
        >>> nodes.weights.sum(), (nodes.weights @ nodes.basis).tolist()
        (tensor(1.0000, dtype=torch.float64), [0.333..., 0.333..., 0.333...])
    """
    pieces = 1 if degree is not None else free + 1
    each = max(2, -(-count // pieces))
    times, weights = [], []
    for k in range(pieces):
        cuts = [0.0, 1.0]
        if jitter is not None:
            cuts.insert(1, 0.25 + 0.5 * float(torch.rand((), generator=jitter)))
        for low, high in pairwise(cuts):
            share = max(2, round(each * (high - low)))
            x, w = np.polynomial.legendre.leggauss(share)
            s = low + (high - low) * (x + 1) / 2
            times += [(k + float(v)) / pieces for v in s]
            weights += [(high - low) / pieces * float(v) / 2 for v in w]
    return _nodes(degree, free, times, weights)


def drawn(degree: int | None, free: int, count: int, generator: torch.Generator) -> Nodes:
    """So many t, one uniform in each of as many equal parts of [0, 1]."""
    shifts = torch.rand(count, generator=generator, dtype=torch.float64)
    times = ((torch.arange(count) + shifts) / count).tolist()
    return _nodes(degree, free, times, [1 / count] * count)


def _nodes(degree: int | None, free: int, times: list[float], weights: list[float]) -> Nodes:
    rows = [_bernstein(degree, t) if degree is not None else _hats(free + 1, t) for t in times]
    basis = torch.tensor([row for row, _ in rows], dtype=torch.float64)
    rates = torch.tensor([row for _, row in rows], dtype=torch.float64)
    return Nodes(torch.tensor(weights, dtype=torch.float64), basis, rates)


def _bernstein(k: int, t: float) -> tuple[list[float], list[float]]:
    def values(n: int) -> list[float]:
        return [math.comb(n, j) * t**j * (1 - t) ** (n - j) for j in range(n + 1)]

    lower = [0.0, *values(k - 1), 0.0]
    return values(k), [k * (lower[j] - lower[j + 1]) for j in range(k + 1)]


def _hats(pieces: int, t: float) -> tuple[list[float], list[float]]:
    piece = min(int(t * pieces), pieces - 1)
    s = t * pieces - piece
    values, rates = [0.0] * (pieces + 1), [0.0] * (pieces + 1)
    values[piece], values[piece + 1] = 1 - s, s
    rates[piece], rates[piece + 1] = -float(pieces), float(pieces)
    return values, rates
