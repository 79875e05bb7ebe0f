"""Weighted Gram matrices X^T diag(w) X: where an exact Hessian spends its time."""

from __future__ import annotations

import torch
from torch import Tensor

from morsescape.hessian.balls import RUN

TILE = 256


def add_weighted_gram(total: Tensor, x: Tensor, w: Tensor) -> None:
    """Add the upper triangle (in tiles) of sum_n w[n] x[n] x[n]^T to `total`.

    total: (p, p), x: (n, p), w: (n,). Samples of weight zero are left out. The sum runs in
    blocks of RUN samples, each added once, so that rounding grows with RUN + n / RUN.
    """
    rows = w.nonzero().squeeze(1)
    if len(rows) < 0.8 * len(w):
        x, w = x[rows], w[rows]
    edges = tile_edges(x.shape[1])
    for start in range(0, len(w), RUN):
        block = x[start : start + RUN]
        scaled = block * w[start : start + RUN, None]
        for lo, hi in edges:
            # The tiles on and right of the diagonal, in one product per row of tiles.
            total[lo:hi, lo:] += block[:, lo:hi].t() @ scaled[:, lo:]


def tile_edges(p: int) -> list[tuple[int, int]]:
    """Cut 0 .. p into equal tiles of at most TILE."""
    count = max(1, -(-p // TILE))
    cuts = [round(k * p / count) for k in range(count + 1)]
    return list(zip(cuts, cuts[1:], strict=False))


def fill_lower(total: Tensor) -> Tensor:
    """Copy the upper triangle onto the lower one."""
    return torch.triu(total) + torch.triu(total, 1).t()
