"""Products over samples: weighted Gram matrices X^T diag(w) X take most of a Hessian's time."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

TILE = 192
BLOCK = 128  # samples per product: the longest sum inside one
SPARSE = 0.8  # below this share of nonzero weights, samples of weight zero are left out


def weighted_gram(x: Tensor, w: Tensor, out: Tensor, scratch: tuple[Tensor, Tensor]) -> Tensor:
    """sum_n w[n] x[n] x[n]^T in `out` (p, p); x: (n, p), w: (n,).

    The sum runs in blocks of BLOCK samples, these in groups of about as many as there are groups:
    an entry of n terms passes BLOCK + 2 sqrt(n / BLOCK) roundings. Only tiles on and right of the
    diagonal are computed.

    A product is complete before it is added: one that accumulates in `out` might round what is
    there once per sample, in an order that is not ours to know.

    `scratch` has shapes (BLOCK, p) and (p, p).
    """
    scaled, group = scratch
    nonzero = w.nonzero().squeeze(1)
    rows = nonzero if len(nonzero) < SPARSE * len(w) else None
    w = w if rows is None else w[rows]
    out.zero_()
    edges = tile_edges(x.shape[1])
    products = x.new_empty(TILE * x.shape[1])
    blocks = _in_a_group(len(w))
    for first in range(0, len(w), blocks * BLOCK):
        group.zero_()
        for start in range(first, min(first + blocks * BLOCK, len(w)), BLOCK):
            part = slice(start, start + BLOCK)
            block = x[part] if rows is None else x.index_select(0, rows[part])
            right = torch.mul(block, w[part, None], out=scaled[: len(block)])
            for lo, hi in edges:
                tile = products[: (hi - lo) * (out.shape[1] - lo)].view(hi - lo, out.shape[1] - lo)
                torch.mm(block[:, lo:hi].t(), right[:, lo:], out=tile)
                group[lo:hi, lo:].add_(tile)
        for lo, hi in edges:
            out[lo:hi, lo:].add_(group[lo:hi, lo:])
    for lo, hi in edges:
        out[hi:, lo:hi] = out[lo:hi, hi:].t()
    return out


def _in_a_group(n: int) -> int:
    """Blocks of BLOCK samples that are added before they are added to the rest."""
    return max(1, math.isqrt(-(-n // BLOCK)))


def gram_roundings(n: int) -> int:
    """How many roundings an entry of `weighted_gram` passes, of up to n samples.

    The weight's product, the sums in a block, in a group, of groups. With g = isqrt(b) for b
    blocks, g^2 + 2 g >= b, so that there are at most g + 3 groups.
    """
    return 1 + min(BLOCK, n) + 2 * _in_a_group(n) + 3


def long_product(a: Tensor, b: Tensor) -> Tensor:
    """A @ b in parts of BLOCK terms, each complete before it is added: see `long_roundings`."""
    first, *others = zip(a.split(BLOCK, 1), b.split(BLOCK), strict=True)
    total = first[0] @ first[1]
    scratch = torch.empty_like(total) if others else total
    for left, right in others:
        total += torch.mm(left, right, out=scratch)
    return total


def long_roundings(k: int) -> int:
    """How many roundings an entry of `long_product` passes, of up to k terms."""
    return min(BLOCK, k) + -(-k // BLOCK)


def tile_edges(p: int, tile: int = TILE) -> list[tuple[int, int]]:
    """Cut 0 .. p into equal parts of at most `tile`."""
    count = max(1, -(-p // tile))
    cuts = [round(k * p / count) for k in range(count + 1)]
    return list(itertools.pairwise(cuts))
