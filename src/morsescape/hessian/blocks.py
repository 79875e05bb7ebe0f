"""Where blocks of a Hessian stand, and how they get there: always into the upper triangle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from morsescape.hessian.gram import tile_edges
from morsescape.hessian.layers import LinearLayer
from morsescape.hessian.tangents import Plan
from morsescape.model.source import Source

MIRROR_TILE = 512


@dataclass(frozen=True)
class Places:
    """Positions in theta, as runs of neighbours: copying a run is far cheaper than scattering."""

    runs: tuple[tuple[int, int, int], ...]  # (first of the list, first in theta, length)
    size: int

    @classmethod
    def of(cls, positions: Tensor) -> Places:
        """Of a list of positions in theta."""
        flat = positions.reshape(-1)
        if len(flat) == 0:
            return cls((), 0)
        starts = [0, *((flat.diff() != 1).nonzero().squeeze(1) + 1).tolist()]
        stops = [*starts[1:], len(flat)]
        runs = tuple((a, int(flat[a]), b - a) for a, b in zip(starts, stops, strict=True))
        return cls(runs, len(flat))


def zero_matrix(dim: int, like: Tensor) -> Tensor:
    """(dim, dim) zeros; on a CPU in large pages, which numpy asks for and torch does not.

    Fetching 120,000 small pages takes a fifth of an assembly of 8,000 parameters. Filled, not
    allocated as zeros: that is done by all threads.
    """
    if like.device.type != "cpu" or like.dtype not in (torch.float32, torch.float64):
        return like.new_zeros(dim, dim)
    dtype = np.float32 if like.dtype == torch.float32 else np.float64
    return torch.from_numpy(np.empty((dim, dim), dtype)).fill_(0.0)


def add_block(
    matrix: Tensor, rows: Places, columns: Places, block: Tensor, *, symmetric: bool = False
) -> None:
    """Add a block of H to the upper triangle: where it lies below, its transpose.

    A symmetric block, whose rows are among its columns, has what lies below above as well. What
    lies on both sides of the diagonal is added as it is.
    """
    for here, row, height in rows.runs:
        for there, column, width in columns.runs:
            part = block[here : here + height, there : there + width]
            if row < column + width:
                matrix[row : row + height, column : column + width] += part
            elif not symmetric:
                matrix[column : column + width, row : row + height] += part.t()


def mirror(matrix: Tensor) -> None:
    """Copy the upper triangle onto the lower one, tile by tile."""
    edges = tile_edges(len(matrix), MIRROR_TILE)
    for k, (lo, hi) in enumerate(edges):
        tile = matrix[lo:hi, lo:hi]
        tile.copy_(torch.triu(tile) + torch.triu(tile, 1).t())
        for left, right in edges[k + 1 :]:
            matrix[left:right, lo:hi] = matrix[lo:hi, left:right].t()


def unit_places(net: Source, layer: LinearLayer) -> Tensor:
    """Where the parameters of each unit stand in theta: (units, features + bias)."""
    start = net.slices[layer.weight].start
    weight = torch.arange(start, start + layer.units * layer.features).view(layer.units, -1)
    if layer.bias is None:
        return weight
    bias = torch.arange(net.slices[layer.bias].start, net.slices[layer.bias].stop)
    return torch.cat([weight, bias[:, None]], 1)


def group_places(net: Source, names: tuple[str, ...]) -> Tensor:
    """Where the parameters of a group stand in theta."""
    return torch.cat([torch.arange(net.slices[n].start, net.slices[n].stop) for n in names])


def number_units(plan: Plan, groups: list[Tensor]) -> dict[Any, slice]:
    """One number per output unit, then one per parameter studied alone: the bound's indices."""
    units: dict[Any, slice] = {}
    start = 0
    sizes = [(x.weight, x.units) for x in plan.outputs] + [
        (k, len(g)) for k, g in enumerate(groups)
    ]
    for key, size in sizes:
        units[key] = slice(start, start + size)
        start += size
    return {**units, "total": slice(0, start)}
