"""Assemble a Hessian: one pass over the samples, responses contracted as they come.

Cross blocks are contracted at once; the weighted Gram matrices of a layer with itself, where
nearly all the time goes, when enough samples have been gathered.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations_with_replacement
from typing import Any

import torch
from torch import Tensor

from morsescape.hessian.blocks import (
    Places,
    add_block,
    group_places,
    mirror,
    number_units,
    unit_places,
    zero_matrix,
)
from morsescape.hessian.error_bound import ErrorBound, Norms
from morsescape.hessian.gram import (
    BLOCK,
    gram_roundings,
    long_product,
    long_roundings,
    weighted_gram,
)  # fmt: skip
from morsescape.hessian.layers import LinearLayer
from morsescape.hessian.patterns import Pattern
from morsescape.hessian.responses import Chunk, Moved, moved
from morsescape.hessian.row_bounds import RowBounds, test_vector
from morsescape.hessian.tangents import Plan, Responses
from morsescape.model.samples import count
from morsescape.model.source import Source
from morsescape.progress import StageProgress
from morsescape.rounding.balls import Ball
from morsescape.rounding.common_values import Known, Shared
from morsescape.rounding.directions import Families, Family
from morsescape.rounding.program import record_chunk
from morsescape.rounding.sums import longest_up_to, product

Responding = dict[str, Moved]


class Assembly:
    """The state of one assembly: programs, gathered samples, the matrix and its bound."""

    def __init__(
        self, net: Source, theta: Tensor, plan: Plan, machine: Callable[[], Any], budget: int,
        width: float = 0.0,
    ) -> None:  # fmt: skip
        self.net, self.theta, self.plan, self.machine = net, theta, plan, machine
        self.point = Ball(theta, torch.full_like(theta, width).double()) if width else theta
        self.responses = Responses(net, plan)
        self.matrix = zero_matrix(net.dim, theta)
        self.places = {x.weight: unit_places(net, x) for x in plan.outputs}
        self.groups = [group_places(net, g) for g in plan.groups]
        self.units = number_units(plan, self.groups)
        self.bound = ErrorBound(self.units["total"].stop, net.dtype)
        self.spread = RowBounds(self._test_vector(), self.places)
        self.active = {k: torch.zeros(p.shape) for k, p in self.places.items()}
        self.patterns = {x.weight: Pattern(self.active[x.weight]) for x in plan.outputs
                         if x.fixed_input and x.positions == 1}  # fmt: skip
        self.cross: dict[tuple[Any, str], Tensor] = {}
        self.rows = [theta.new_zeros(len(g), len(torch.cat(self.groups[k:])))
                     for k, g in enumerate(self.groups)]  # fmt: skip
        self.gathered: dict[str, list[tuple[Tensor, Tensor]]] = {}
        self.chunk, self.budget = chunk_size(net, plan, budget), budget
        self.chunks = self.rounds = 0

    def run(self, progress: StageProgress | None) -> None:
        """Fill the matrix and the bound."""
        done = 0
        for x, y in self.net.chunks(self.chunk):
            self._add_chunk(x, y)
            done += count(x)
            if progress is not None:
                progress(done, self.net.samples)
        self._contract_gathered()
        self._place_blocks()
        mirror(self.matrix)
        self.bound.runs = self._longest_sum()
        self.bound.gathered_runs = gram_roundings(self.net.samples) + 2 * self.rounds
        positions = max((x.positions for x in self.plan.outputs), default=1)
        self.bound.underflows = 4 * self.net.dim * self.net.samples * positions**2

    def spread_of_errors(self) -> Tensor:
        """S (D,), -diag(s) <= computed - true <= diag(s) in the order of symmetric matrices."""
        return self.spread.spread(self.bound)

    def untouched(self) -> Tensor:
        """(D,) True where row and column are zero whatever the rounding."""
        untouched = torch.zeros(self.net.dim, dtype=torch.bool)
        for name, places in self.places.items():
            untouched[places[self.active[name] == 0]] = True
        return untouched

    def _test_vector(self) -> Tensor:
        v = torch.ones(self.net.dim, dtype=torch.float64)
        for name, own in test_vector(self.net, self.theta, self.plan.outputs).items():
            v[self.places[name][:, : len(own)]] = own
        return v

    # -- one chunk ------------------------------------------------------------------------------

    def _program(self, key: Any, function: Callable[..., Any], *example: Tensor) -> Any:
        """Kept: recording takes longer than running where the network is small."""
        together = tuple(x.weight for x in self.plan.outputs), self.plan.groups, count(example[0])
        return self.net.programs.get(
            together, key, lambda: record_chunk(function, self.theta, *example), example[:2]
        )

    def _add_chunk(self, x: Tensor, y: Tensor) -> None:
        known: Known = {}
        machine = self.machine()
        primal = Shared(machine, known, keep=True)
        program = self._program("primal", self.responses.primal, x, y)
        deltas, inputs, _ = program.run(primal, self.point, x, y)
        chunk = Chunk(deltas, inputs)
        kinks = [primal.kinks]
        for group in range(len(self.groups)):
            kinks.append(self._add_group(group, x, y, chunk, Shared(machine, known)))
        for layer in self.plan.outputs:
            program = self._program(layer.weight, self.responses.from_layer(layer), x, y)
            shared = Shared(machine, known)
            deltas, changes = program.run(shared, self.point, x, y)
            kinks.append(shared.kinks)
            self._add_layer(layer, _each(deltas), _each(changes), chunk)
        self.bound.kinks += max(kinks)  # all programs meet the decisions of the primal one again
        for name in self.places:
            self.active[name] += chunk.meetings(name, self.places[name].shape[1])
        for layer in self.plan.outputs:
            if layer.weight in self.patterns:
                self.patterns[layer.weight].add(chunk, layer)
        self.chunks += 1

    def _add_layer(
        self, source: LinearLayer, deltas: Responding, changes: Responding, chunk: Chunk
    ) -> None:
        chunk.note(source, deltas, changes)
        u = _with_bias(chunk.inputs[source.weight].mid, source)
        norms = Norms.over_inputs(chunk.inputs[source.weight], source.bias is not None)
        factor = Norms(norms.size.t()[:, None, :, None], norms.error.t()[:, None, :, None])
        rows = self.units[source.weight]
        for target in self.plan.outputs[self.plan.positions[source.weight] :]:
            terms = _term_norms(target, deltas, changes, chunk)  # (a i, n, j)
            by_unit = terms.map(lambda x: x.unflatten(0, (source.positions, source.units)))
            gathered = target is source and source.positions == 1
            norms = by_unit.times(factor).sum(0, 2)
            self.bound.add(rows, self.units[target.weight], norms, gathered=gathered)
            if gathered:
                self.spread.add_gathered(source, deltas, chunk)
                self._gather(source, u[:, 0], deltas[source.weight].mid)
            else:
                sums = _term_norms(target, deltas, changes, chunk, self.spread.weights(target))
                self.spread.add_layer(source, target, deltas, changes, chunk, sums)
                self._contract(source, target, u, deltas, changes, chunk)

    def _contract(
        self, source: LinearLayer, target: LinearLayer, u: Tensor, deltas: Responding,
        changes: Responding, chunk: Chunk,
    ) -> None:  # fmt: skip
        """Add u^T y to the cross block, as many units at a time as the budget has room for."""
        rows = u.transpose(0, 1).reshape(-1, u.shape[-1]).t()  # (p, a n)
        width = self.places[target.weight].numel()
        shape = (source.units, u.shape[-1], width)
        block = self.cross.setdefault((source.weight, target.weight), self.matrix.new_zeros(shape))
        step = max(1, CACHE // (rows.shape[1] * width * u.element_size()))
        for units in torch.arange(source.units).split(step):
            y = torch.cat([self._unit_terms(i, source, target, deltas, changes, chunk)
                           for i in units.tolist()], 1)  # (a n, units j q)  # fmt: skip
            added = long_product(rows, y).unflatten(1, (-1, width)).transpose(0, 1)
            block[units[0] : units[-1] + 1] += added

    def _unit_terms(
        self, unit: int, source: LinearLayer, target: LinearLayer, deltas: Responding,
        changes: Responding, chunk: Chunk,
    ) -> Tensor:  # fmt: skip
        """Y of one unit's tangents, its positions one below the other: (a n, j q)."""
        tangents = range(unit, source.output_tangents, source.units)  # (a, this unit)
        return torch.cat([_terms(target, t, deltas, changes, chunk) for t in tangents])

    def _add_group(self, group: int, x: Tensor, y: Tensor, chunk: Chunk, shared: Shared) -> int:
        """Rows of the parameters that are studied one by one; returns the kinks on the way."""
        own = len(self.groups[group])
        basis = torch.eye(own, dtype=self.theta.dtype)
        function = self.responses.from_parameters(group)
        program = self._program(group, function, x, y, basis[0])
        columns = slice(self.units[group].start, self.units["total"].stop)
        places, every = self.groups[group], torch.cat(self.groups[group:])
        step = max(1, self.budget // (count(x) * sample_bytes(self.net, self.plan)))
        for start in range(0, own, step):
            directions = basis[start : start + step]
            shared.kinks = 0
            result = program.run(Families(shared), self.point, x, y, Family(directions))
            deltas, changes = (_each(part, len(directions)) for part in result[:2])
            gradient = moved(result[2], len(directions))
            chunk.note(None, deltas, changes)
            here = slice(start, start + len(directions))
            self.rows[group][here] += gradient.mid
            rows = slice(self.units[group].start + start, self.units[group].start + here.stop)
            entries = Norms.of_entries(gradient.bound)
            self.bound.add_rows(rows, columns, entries)
            self.spread.add_single(places[here], every, own, entries)
            for target in self.plan.outputs:
                norms = _term_norms(target, deltas, changes, chunk).sum(1)
                self.bound.add(rows, self.units[target.weight], norms)
                sums = _term_norms(target, deltas, changes, chunk, self.spread.weights(target))
                self.spread.add_rows(places[here], target, deltas, changes, chunk, sums)
                self._contract_rows(group, here, target, deltas, changes, chunk)
        return shared.kinks

    def _contract_rows(
        self, group: int, here: slice, target: LinearLayer, deltas: Responding,
        changes: Responding, chunk: Chunk,
    ) -> None:  # fmt: skip
        """Add sum over samples and positions of d(delta) u + delta d(u)."""
        name = target.weight
        d, width = deltas[name].mid, self.places[name].shape[1]
        u = _with_bias(chunk.inputs[name].mid, target).flatten(0, 1)  # (n b, q)
        rows = d.permute(0, 3, 1, 2).reshape(-1, len(u))  # (t j, n b)
        total = product(rows, u).view(len(d), target.units, width)
        if name in changes:
            delta = chunk.deltas[name].mid.flatten(0, 1).t()  # (j, n b)
            v = changes[name].mid.flatten(1, 2)  # (t, n b, q)
            total[..., : v.shape[-1]] += product(delta.expand(len(d), *delta.shape), v)
        shape = (len(self.groups[group]), target.units * width)
        block = self.cross.setdefault((group, name), self.matrix.new_zeros(shape))
        block[here] += total.flatten(1)

    # -- contraction over gathered samples --------------------------------------------------------

    def _gather(self, layer: LinearLayer, u: Tensor, delta: Tensor) -> None:
        """Keep the weights d(delta)[i, n, j], i <= j, and inputs of a layer with one position."""
        pairs = torch.triu_indices(layer.units, layer.units)
        weights = delta[:, :, 0, :][pairs[0], :, pairs[1]]  # (pairs, n)
        self.gathered.setdefault(layer.weight, []).append((weights, u))
        size = sum(w.numel() + v.numel() for part in self.gathered.values() for w, v in part)
        if size * u.element_size() > self.budget // 2:
            self._contract_gathered()

    def _contract_gathered(self) -> None:
        for name in list(self.gathered):
            parts = self.gathered.pop(name)
            weights = torch.cat([w for w, _ in parts], 1)
            inputs = [u for _, u in parts]
            del parts
            self._contract_layer(name, weights, inputs)
        self.rounds += 1

    def _contract_layer(self, name: str, weights: Tensor, inputs: list[Tensor]) -> None:
        """Add the weighted Gram matrices of one layer, without the inputs that are always zero."""
        places = self.places[name]
        used = torch.stack([(u != 0).any(0) for u in inputs]).any(0).nonzero().squeeze(1)
        p, width = len(used), places.shape[1]
        x = torch.cat([u if p == width else u[:, used] for u in inputs])
        inputs.clear()
        total, wide = x.new_empty(p, p), x.new_zeros(p, width)
        scratch = x.new_empty(BLOCK, p), x.new_empty(p, p)
        columns, rows = [Places.of(unit) for unit in places], [Places.of(u[used]) for u in places]
        spread = Places.of(used).runs
        pairs = combinations_with_replacement(range(len(places)), 2)
        for (i, j), w in zip(pairs, weights, strict=True):
            weighted_gram(x, w, total, scratch)
            for here, column, length in spread:
                wide[:, column : column + length] = total[:, here : here + length]
            add_block(self.matrix, rows[i], columns[j], wide, symmetric=i == j)

    def _place_blocks(self) -> None:
        every = {k: Places.of(p) for k, p in self.places.items()}
        for (source, target), block in self.cross.items():
            columns = every[target]
            rows = Places.of(self.groups[source]) if isinstance(source, int) else every[source]
            flat = block.reshape(rows.size, columns.size)
            if source == target:  # several positions: both triangles are there
                flat = (flat + flat.t()) / 2
            add_block(self.matrix, rows, columns, flat, symmetric=source == target)
        for group, block in enumerate(self.rows):
            rows = Places.of(self.groups[group])
            own = block[:, : rows.size]
            add_block(self.matrix, rows, rows, (own + own.t()) / 2, symmetric=True)
            if group + 1 < len(self.groups):
                later = Places.of(torch.cat(self.groups[group + 1 :]))
                add_block(self.matrix, rows, later, block[:, rows.size :])
        self.cross.clear()

    def _longest_sum(self) -> int:
        """Roundings of an entry that is not gathered: in a product, then added chunk by chunk."""
        positions = max((x.positions for x in self.plan.outputs), default=1)
        terms = self.chunk * positions
        of_rows = longest_up_to(terms) if self.groups else 0
        in_product = max(long_roundings(terms), of_rows) + longest_up_to(positions)
        return self.chunks + in_product + 4


# -- parts of a contraction ---------------------------------------------------------------------


def _each(values: dict[str, Any], directions: int | None = None) -> Responding:
    """`moved` for each; without a number of directions, they lead in the values already."""
    if directions is not None:
        return {k: moved(v, directions) for k, v in values.items()}
    return {k: Moved.of(v) for k, v in values.items()}


def _term_norms(
    target: LinearLayer, deltas: Responding, changes: Responding, chunk: Chunk,
    weights: Tensor | None = None,
) -> Norms:  # fmt: skip
    """Norms of y = d(delta) u + delta d(u), summed over the target's positions: (t, n, j).

    With `weights` of the features (and the bias) sums of |y| instead of norms.
    """
    name = target.weight

    def over(inputs: Ball, bias: bool) -> Norms:
        if weights is None:
            return Norms.over_inputs(inputs, bias)
        own = weights[: inputs.mid.shape[-1] + bias]
        return Norms.of_inputs(inputs, bias).times_vector(own)

    u = over(chunk.inputs[name], target.bias is not None)  # (n, b)
    d = Norms.of_entries(deltas[name].bound)  # (t, n, b, j)
    total = d.times(u.map(lambda x: x[None, :, :, None]))
    if name in changes:
        v = over(changes[name].bound, False)  # (t, n, b)
        e = Norms.of_entries(chunk.deltas[name])  # (n, b, j)
        total = total.plus(e.map(lambda x: x[None]).times(v.map(lambda x: x[..., None])))
    return total.sum(2)


def _terms(
    target: LinearLayer, t: int, deltas: Responding, changes: Responding, chunk: Chunk
) -> Tensor:
    """Y = d(delta) u + delta d(u) of one tangent, summed over positions: (n, j q)."""
    name = target.weight
    y = _outer(deltas[name].mid[t], _with_bias(chunk.inputs[name].mid, target))
    if name in changes:
        v = changes[name].mid[t]
        y[..., : v.shape[-1]] += _outer(chunk.deltas[name].mid, v)
    return y.flatten(1)


def _outer(d: Tensor, u: Tensor) -> Tensor:
    """sum_b d[n, b, j] u[n, b, q]."""
    if d.shape[1] == 1:
        return d[:, 0, :, None] * u[:, 0, None, :]
    return product(d.transpose(1, 2), u)


def _with_bias(u: Tensor, layer: LinearLayer) -> Tensor:
    return u if layer.bias is None else torch.cat([u, u.new_ones(*u.shape[:-1], 1)], -1)


# -- sizes of chunks ----------------------------------------------------------------------------

CACHE = 2**25  # bytes of the largest array of tangents
MOST = 1024  # samples in a chunk: more gains nothing


def sample_bytes(net: Source, plan: Plan) -> int:
    """Bytes that one tangent of one sample needs, roughly: middles, radii and temporaries."""
    numbers = net.sample_numbers + sum(x.positions * x.units for x in plan.layers)
    numbers += sum(x.positions * x.features for x in plan.outputs if not x.fixed_input)
    return 40 * numbers


def chunk_size(net: Source, plan: Plan, budget: int) -> int:
    """Samples per chunk: within the budget and near the cache; a divisor of all, if one is near."""
    most = MOST
    for tangents, width in _arrays(net, plan):
        most = min(most, CACHE // (8 * tangents * width))
        most = min(most, budget // (tangents * sample_bytes(net, plan)))
    most = max(1, min(most, net.samples))
    near = range(most, max(1, most // 2), -1)
    return next((size for size in near if net.samples % size == 0), most)


def _arrays(net: Source, plan: Plan) -> list[tuple[int, int]]:
    """Tangents and numbers per sample of the largest arrays."""
    widths = [x.positions * x.units for x in plan.layers] or [net.sample_numbers]
    sizes = [sum(torch.Size(net.shapes[n]).numel() for n in g) for g in plan.groups]
    arrays = [(min(64, size), max(widths)) for size in sizes]
    for k, layer in enumerate(plan.outputs):
        after = [x.positions * max(x.units, 0 if x.fixed_input else x.features)
                 for x in plan.outputs[k:]]  # fmt: skip
        arrays.append((layer.output_tangents, max(after)))
    return arrays or [(1, max(widths))]
