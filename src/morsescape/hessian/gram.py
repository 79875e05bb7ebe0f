"""Weighted Gram matrices X^T diag(w) X: where an exact Hessian spends its time."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

TILE = 192
BLOCK = 1024  # samples per product: the longest sum inside one
SPARSE = 0.8  # below this share of nonzero weights, samples of weight zero are left out


def weighted_gram(x: Tensor, w: Tensor, out: Tensor, scaled: Tensor) -> Tensor:
    """sum_n w[n] x[n] x[n]^T in `out` (p, p); x: (n, p), w: (n,); `scaled` (BLOCK, p) is scratch.

    The sum runs in blocks of BLOCK samples, each added once, so that rounding grows with
    BLOCK + n / BLOCK. Only tiles on and right of the diagonal are computed.

    A product is complete before it is added: one that accumulates in `out` might round what is
    there once per sample, in an order that is not ours to know.
    """
    nonzero = w.nonzero().squeeze(1)
    rows = nonzero if len(nonzero) < SPARSE * len(w) else None
    w = w if rows is None else w[rows]
    out.zero_()
    edges = tile_edges(x.shape[1])
    products = x.new_empty(TILE * x.shape[1])
    for start in range(0, len(w), BLOCK):
        part = slice(start, start + BLOCK)
        block = x[part] if rows is None else x.index_select(0, rows[part])
        right = torch.mul(block, w[part, None], out=scaled[: len(block)])
        for lo, hi in edges:
            tile = products[: (hi - lo) * (out.shape[1] - lo)].view(hi - lo, out.shape[1] - lo)
            torch.mm(block[:, lo:hi].t(), right[:, lo:], out=tile)
            out[lo:hi, lo:].add_(tile)
    for lo, hi in edges:
        out[hi:, lo:hi] = out[lo:hi, hi:].t()
    return out


def gram_roundings(n: int) -> int:
    """How many roundings an entry of `weighted_gram` passes: the weight's product, the sums."""
    return 1 + min(BLOCK, n) + -(-n // BLOCK)


def tile_edges(p: int, tile: int = TILE) -> list[tuple[int, int]]:
    """Cut 0 .. p into equal parts of at most `tile`."""
    count = max(1, -(-p // tile))
    cuts = [round(k * p / count) for k in range(count + 1)]
    return list(itertools.pairwise(cuts))
