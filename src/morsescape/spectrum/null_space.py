"""The null space of a network's Hessian has causes; here they are as explicit vectors.

Coordinates whose row of Hess L is exactly zero (`EnclosedMatrix.untouched`) are sorted by cause.
The other causes are blocks of vectors on a few coordinates each:

* inputs on too few samples: k inputs that are nonzero on fewer than k of the samples on which the
  unit is active (`matching`);
* softmax shift: adding one number to all weights W[c, p] of one feature p shifts all logits alike,
  which cross-entropy does not see (one vector per feature of the last layer, and one for the bias);
* dependent inputs: X v = 0 on all samples, so that W[i] + v acts like W[i];
* ReLU rescaling: W[i] -> e^t W[i], V[:, i] -> e^-t V[:, i] leaves the network as it is. Its
  direction r satisfies Hess L r = -(d r / dt) . grad L: null only at a critical point.

Each cause is verified: max |H v| / |v| over its vectors is kept as its residual.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from morsescape.hessian.enclosed_matrix import EnclosedMatrix
from morsescape.hessian.layers import LinearCalls, LinearLayer, linear_layers
from morsescape.model.source import Source
from morsescape.spectrum.overfull import overfull

_DEPENDENT = 1e-14  # of the largest singular value: the rounding of the singular values themselves


class Block(NamedTuple):
    """Vectors that live on a few coordinates: `local` has shape (len(places), k)."""

    places: Tensor
    local: Tensor


@dataclass(frozen=True)
class Cause:
    """One reason for null directions of Hess L.

    Attributes:
        name: the reason, in words.
        blocks: its vectors; those of all causes together are linearly independent.
        exact: null in real arithmetic as a theorem, not only to the residual.
        residual: the largest |H v| / |v| over its vectors, for the computed H.
    """

    name: str
    blocks: tuple[Block, ...]
    exact: bool
    residual: float

    @property
    def dimension(self) -> int:
        """How many null directions it explains."""
        return sum(block.local.shape[1] for block in self.blocks)

    def vectors(self, dim: int) -> Tensor:
        """Its vectors as columns of a dense (D, k) array."""
        dense = torch.zeros(dim, self.dimension, dtype=torch.float64)
        column = 0
        for places, local in self.blocks:
            dense[places, column : column + local.shape[1]] = local
            column += local.shape[1]
        return dense


def null_causes(net: Source, theta: Tensor, hessian: EnclosedMatrix) -> tuple[Cause, ...]:
    """The causes of the null space of Hess L at θ, strongest knowledge first."""
    layers = linear_layers(net, theta)
    if not layers and hessian.untouched is None:
        return ()
    activity = _activity(net, theta, layers)
    free = _free(net, hessian)
    causes = list(_dead(net, layers, activity, hessian, free))
    inside = free.clone()  # what no vector so far moves
    few = list(_few_samples(net, layers, activity, hessian, free, inside))
    causes += [*few, *_softmax_shift(net, layers, hessian, free, inside)]
    causes += _dependent_inputs(net, layers, activity, hessian, inside)
    causes += _rescaling(net, theta, layers, hessian, free)
    return tuple(c for c in causes if c.dimension)


# -- what the data does to each layer -------------------------------------------------------------


class _Activity(NamedTuple):
    inputs: dict[str, Tensor]  # by weight: (features,) True where the input is ever nonzero
    fixed: dict[str, Tensor]  # by weight of a layer on the data itself: its inputs (N, features)


def _activity(net: Source, theta: Tensor, layers: list[LinearLayer]) -> _Activity:
    parameters = net.unflatten(theta)
    known = {layer.weight: layer for layer in layers}
    nonzero: dict[str, Tensor] = {}
    fixed: dict[str, list[Tensor]] = {}

    def note(weight: str, bias: str | None, call: object) -> None:
        if weight not in known:
            return
        kept = known[weight].fixed_input and known[weight].positions == 1
        if not kept and weight in nonzero and bool(nonzero[weight].all()):
            return  # the patches of a convolution cost more than all the rest
        inputs = call.inputs()  # type: ignore[attr-defined]
        seen = (inputs != 0).flatten(0, 1).any(0)
        nonzero[weight] = nonzero.get(weight, torch.zeros_like(seen)) | seen
        if kept:
            fixed.setdefault(weight, []).append(inputs[:, 0])

    with torch.set_grad_enabled(net.needs_graph), LinearCalls(parameters, note):
        for x, _ in net.chunks(256):
            net.output(parameters, x)
    return _Activity(nonzero, {name: torch.cat(parts) for name, parts in fixed.items()})


def _free(net: Source, hessian: EnclosedMatrix) -> Tensor:
    if hessian.untouched is None:
        return torch.ones(net.dim, dtype=torch.bool)
    return ~hessian.untouched


def _places(net: Source, layer: LinearLayer) -> Tensor:
    """Where the weights of each unit stand in theta: (units, features)."""
    s = net.slices[layer.weight]
    return torch.arange(s.start, s.stop).view(layer.units, -1)


def _bias_places(net: Source, layer: LinearLayer) -> Tensor | None:
    if layer.bias is None:
        return None
    s = net.slices[layer.bias]
    return torch.arange(s.start, s.stop)


# -- the causes -----------------------------------------------------------------------------------


def _dead(
    net: Source,
    layers: list[LinearLayer],
    activity: _Activity,
    hessian: EnclosedMatrix,
    free: Tensor,
) -> Iterator[Cause]:
    """Sort the coordinates with exactly zero rows by cause."""
    names = ("dead inputs", "dead units", "inputs dead where the unit is active", "unused")
    kind = torch.full((net.dim,), 3)
    for layer in layers:
        places, bias = _places(net, layer), _bias_places(net, layer)
        silent = ~activity.inputs[layer.weight]  # features that are zero on all samples
        own = places if bias is None else torch.cat([places, bias[:, None]], 1)
        kind[places] = 2
        dead_units = ~free[own].any(1)
        kind[own[dead_units]] = 1
        kind[places[:, silent]] = 0 if layer.fixed_input else 1
    for number, name in enumerate(names):
        found = (~free & (kind == number)).nonzero().squeeze(1)
        if len(found):
            residual = max(float(hessian.matrix[part].abs().max()) for part in found.split(256))
            yield Cause(name, _unit_blocks(found), True, residual)


def _unit_blocks(found: Tensor) -> tuple[Block, ...]:
    one = torch.ones(1, 1, dtype=torch.float64)
    return tuple(Block(place.view(1), one) for place in found)


def _few_samples(
    net: Source, layers: list[LinearLayer], activity: _Activity, hessian: EnclosedMatrix,
    free: Tensor, inside: Tensor,
) -> Iterator[Cause]:  # fmt: skip
    """Vectors on more inputs than samples that see them; their places are taken out of `inside`.

    How many there are is exact; the vectors are computed from the numbers, to rounding.
    """
    blocks: list[Block] = []
    for layer in layers:
        if layer.weight not in hessian.patterns:
            continue
        own, x = _with_bias(net, layer, activity)
        for unit, (columns, samples) in enumerate(
            overfull(hessian.patterns[layer.weight], free[own])
        ):
            if len(columns) > len(samples):
                places = own[unit, columns]
                local = torch.linalg.svd(x[samples][:, columns]).Vh[len(samples) :].t()
                blocks.append(Block(places, local))
                inside[places] = False
    found = tuple(blocks)
    yield Cause("inputs on too few samples", found, True, _residual(hessian.matrix, found))


def _with_bias(net: Source, layer: LinearLayer, activity: _Activity) -> tuple[Tensor, Tensor]:
    """Places of each unit's weights and bias, and the inputs beside a column of ones."""
    x, places = activity.fixed[layer.weight], _places(net, layer)
    bias = _bias_places(net, layer)
    if bias is None:
        return places, x
    return torch.cat([places, bias[:, None]], 1), torch.cat([x, x.new_ones(len(x), 1)], 1)


def _softmax_shift(
    net: Source, layers: list[LinearLayer], hessian: EnclosedMatrix, free: Tensor, inside: Tensor
) -> Iterator[Cause]:
    last = next((layer for layer in layers if layer.last), None)
    if last is None or not net.loss.shift_invariant:
        return
    places, bias = _places(net, last), _bias_places(net, last)
    columns = [*places.t(), *([] if bias is None else [bias])]
    ones = torch.full((last.units, 1), last.units**-0.5, dtype=torch.float64)
    # Beside vectors on the weights of single units those are independent that leave their places.
    blocks = tuple(
        Block(column, ones)
        for column in columns
        if bool(free[column].all()) and bool(inside[column].any())
    )
    yield Cause("softmax shift", blocks, True, _residual(hessian.matrix, blocks))


def _dependent_inputs(
    net: Source,
    layers: list[LinearLayer],
    activity: _Activity,
    hessian: EnclosedMatrix,
    free: Tensor,
) -> Iterator[Cause]:
    """Null vectors of the inputs, among the features that the unit responds to."""
    blocks: list[Block] = []
    for layer in layers:
        if layer.weight not in activity.fixed:
            continue
        places, x = _with_bias(net, layer, activity)
        # X = QR: columns of R have the singular values of those of X, to their full precision
        # (a Gram matrix would keep half of the digits).
        r = torch.linalg.qr(x, mode="r").R if len(x) > x.shape[1] else x
        groups: dict[bytes, Tensor] = {}
        for own in places:  # units that see the same inputs share one factorisation
            used = free[own]
            key = used.numpy().tobytes()
            if key not in groups:
                groups[key] = _null_vectors(r[:, used], len(x))
            if groups[key].shape[1]:
                blocks.append(Block(own[used], groups[key]))
    verified = tuple(blocks)
    yield Cause("dependent inputs", verified, False, _residual(hessian.matrix, verified))


def _null_vectors(r: Tensor, samples: int) -> Tensor:
    """Orthonormal v with |r v| below the rounding of the singular values of r: (features, k)."""
    _, s, vh = torch.linalg.svd(r, full_matrices=True)
    size = max(samples, r.shape[1]) ** 0.5
    rank = int((s > _DEPENDENT * size * s[0]).sum()) if len(s) else 0
    return vh[rank:].t()


def _rescaling(
    net: Source, theta: Tensor, layers: list[LinearLayer], hessian: EnclosedMatrix, free: Tensor
) -> Iterator[Cause]:
    """ReLU rescaling directions, if they are null here, which verification decides."""
    blocks = []
    for first, second in pairwise(layers):
        if first.units != second.features or first.positions != 1 or second.positions != 1:
            continue
        rows, bias = _places(net, first), _bias_places(net, first)
        columns = _places(net, second).t()
        for i in range(first.units):
            inner = rows[i] if bias is None else torch.cat([rows[i], bias[i : i + 1]])
            direction = torch.cat([theta[inner], -theta[columns[i]]])
            if float(direction.norm()) == 0 or not bool(free[columns[i]].any()):
                continue
            block = Block(torch.cat([inner, columns[i]]), (direction / direction.norm())[:, None])
            if _residual(hessian.matrix, (block,)) <= hessian.radius:
                blocks.append(block)
    yield Cause("ReLU rescaling", tuple(blocks), False, _residual(hessian.matrix, tuple(blocks)))


def _residual(matrix: Tensor, blocks: tuple[Block, ...]) -> float:
    """The largest |H v| / |v|; the vectors are unit vectors."""
    worst = 0.0
    for places, local in blocks:
        product = local.t() @ matrix[places]  # rows: the matrix is symmetric
        worst = max(worst, float(product.norm(dim=1).max()))
    return worst
