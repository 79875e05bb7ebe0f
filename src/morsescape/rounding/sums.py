"""Sums and products of matrices whose long sums are split, so that they round less.

A sum of k terms by parts passes about 3 cube roots of k roundings instead of k - 1; how many it
passes at most is told by `longest_run` and `longest_total`.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

LONG = 256  # sums up to here are left to one matrix product


def product(a: Tensor, b: Tensor) -> Tensor:
    """A @ b, with long sums split into parts, so that they round less (see `longest_run`).

    Where one operand is the same for the whole batch, one product is taken instead of many.
    """
    if a.ndim == 3 and a.shape[0] > 1:
        batch, n, k = a.shape
        m = b.shape[2]
        if b.stride(0) == 0:
            return product(a.reshape(batch * n, k), b[0]).view(batch, n, m)
        if a.stride(0) == 0:
            wide = product(a[0], b.permute(1, 0, 2).reshape(k, -1))
            return wide.view(n, batch, m).permute(1, 0, 2)
    k = a.shape[-1]
    if k <= LONG:
        return a @ b
    run, parts, _ = _split(k)
    whole = run * parts
    left = a[..., :whole].unflatten(-1, (parts, run)).movedim(-2, 0)
    right = b[..., :whole, :].unflatten(-2, (parts, run)).movedim(-3, 0)
    total = _add_parts(left @ right)
    return total + a[..., whole:] @ b[..., whole:, :] if whole < k else total


def longest_run(k: int) -> int:
    """How many roundings one entry of a `product` passes when it sums k terms."""
    if k <= LONG:
        return k
    run, parts, group = _split(k)
    return run + group + -(-parts // group) + 1


def longest_up_to(k: int) -> int:
    """A bound on `longest_run(j)` for all j <= k; `longest_run` itself falls after LONG.

    Runs have r <= c + 1/2 terms, c the cube root of k, and there are at most 1.04 c^2 of them, in
    groups of g <= 1.02 c: r + g + (g + 3) + 1 < 3.2 c + 8. Up to 4,112 terms it is at most 274.
    """
    return k if k <= LONG else max(274, math.ceil(3.2 * k ** (1 / 3)) + 8)


def _split(k: int) -> tuple[int, int, int]:
    """Length and number of the parts of a sum of k terms; parts are added in groups."""
    run = math.isqrt(k) if k <= 4096 else max(16, round(k ** (1 / 3)))
    parts = k // run
    return run, parts, parts if parts <= LONG else math.isqrt(parts)


def _add_parts(terms: Tensor) -> Tensor:
    """Sum over the first dimension, in groups as `_split` has it."""
    parts = len(terms)
    if parts <= LONG:
        return terms.sum(0)
    group = math.isqrt(parts)
    return torch.stack([part.sum(0) for part in terms.split(group)]).sum(0)


def total(x: Tensor, dims: list[int] | None = None, keepdim: bool = False, **kwargs: Any) -> Tensor:
    """x.sum(dims), with long sums split into parts, one dimension at a time."""
    dims = list(range(x.ndim)) if not dims else [d % x.ndim for d in dims]
    if math.prod(x.shape[d] for d in dims) <= LONG or not x.is_floating_point():
        return x.sum(dims, keepdim, **kwargs)
    for d in sorted(dims, reverse=True):
        x = _sum_one(x, d)
        x = x.unsqueeze(d) if keepdim else x
    return x


def _sum_one(x: Tensor, dim: int) -> Tensor:
    k = x.shape[dim]
    if k <= LONG:
        return x.sum(dim)
    run, parts, _ = _split(k)
    whole = run * parts
    head = x.narrow(dim, 0, whole).unflatten(dim, (parts, run)).sum(dim + 1)
    out = _add_parts(head.movedim(dim, 0))
    return out + x.narrow(dim, whole, k - whole).sum(dim) if whole < k else out


def longest_total(x: Tensor, dims: list[int] | None = None) -> int:
    """How many roundings one entry of `total` passes."""
    dims = list(range(x.ndim)) if not dims else [d % x.ndim for d in dims]
    terms = math.prod(x.shape[d] for d in dims)
    return max(terms - 1, 0) if terms <= LONG else sum(longest_run(x.shape[d]) for d in dims)
