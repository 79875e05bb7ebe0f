"""The exact dense Hessian of a network's loss, with a proved bound on its rounding.

One pass over the samples runs the traced responses (`tangents`), on balls if a bound is wanted,
and contracts them: cross blocks at once, the weighted Gram matrices of a layer with itself
(`gram`) when enough samples have been gathered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any

import torch
from torch import Tensor

from morsescape.hessian.balls import RUN, Ball, as_ball
from morsescape.hessian.bound import ErrorBound, Norms
from morsescape.hessian.enclose import Enclosure, NoErrorRule, Values, trace
from morsescape.hessian.gram import add_weighted_gram, fill_lower
from morsescape.hessian.layers import LinearLayer, linear_layers
from morsescape.hessian.tangents import Plan, Responses, choose
from morsescape.network import Network

Progress = Callable[[int, int], None]
BUDGET = 2**29  # bytes for one chunk's tangents; the matrix itself comes on top


@dataclass(frozen=True)
class Hessian:
    """A computed symmetric matrix and what is known about its distance from the true one."""

    matrix: Tensor  # (D, D)
    radius: float  # bounds the spectral norm of computed minus true
    radius_parts: dict[str, float]
    estimate: str | None = None  # why the radius is an estimate, not a bound; None: it is proved
    kinks: int = 0  # branch decisions of the model within rounding of their threshold
    untouched: Tensor | None = None  # (D,) True where row and column are exactly zero


def exact_hessian(
    net: Network,
    theta: Tensor,
    *,
    bounded: bool = True,
    budget: int = BUDGET,
    progress: Progress | None = None,
) -> Hessian:
    """Hess L(theta), assembled in the network's dtype over all samples.

    With `bounded` the result's radius is proved by ball arithmetic; an operation that has no
    error rule makes it an estimate, and the result says so.
    """
    plan = choose(net, linear_layers(net, theta))
    if not bounded:
        return _Assembly(net, theta, plan, Values, budget).run(progress)
    try:
        return _Assembly(net, theta, plan, Enclosure, budget).run(progress)
    except NoErrorRule as missing:
        why = f"the operation {missing.operation} has no error rule"
        return _Assembly(net, theta, plan, Values, budget).run(progress, why)


class _Assembly:
    """The state of one assembly: programs, gathered samples, the matrix and its bound."""

    def __init__(
        self, net: Network, theta: Tensor, plan: Plan, machine: type[Enclosure], budget: int
    ) -> None:
        self.net, self.theta, self.plan, self.machine = net, theta, plan, machine
        self.responses = Responses(net, plan)
        self.matrix = theta.new_zeros(net.dim, net.dim)
        self.places = {x.weight: _places(net, x) for x in plan.outputs}
        self.groups = [_group_places(net, g) for g in plan.groups]
        self.units = _number_units(plan, self.groups)
        self.bound = ErrorBound(self.units["total"].stop, net.dtype)
        self.active = {k: torch.zeros(p.shape) for k, p in self.places.items()}
        self.cross: dict[tuple[Any, str], Tensor] = {}
        self.gathered: dict[str, list[tuple[Tensor, Tensor]]] = {}
        self.chunk, self.budget = _chunk(net, plan, budget), budget
        self.programs: dict[Any, Any] = {}
        self.chunks = 0

    def run(self, progress: Progress | None, why_estimate: str | None = None) -> Hessian:
        done = 0
        for x, y in self.net.chunks(self.chunk):
            self._add_chunk(x, y)
            done += len(x)
            if progress is not None:
                progress(done, self.net.samples)
        self._contract_gathered()
        self._place_cross()
        return self._result(why_estimate)

    # -- one chunk ----------------------------------------------------------------------------

    def _program(self, key: Any, function: Callable[..., Any], x: Tensor, y: Tensor) -> Any:
        """Trace on first use for this shape of chunk, then run on the chunk."""
        full = (key, len(x))
        if full not in self.programs:
            self.programs[full] = trace(function, self.theta, x, y)
        machine = self.machine(self.programs[full])
        result = machine.run(self.theta, x, y)
        self.bound.kinks += machine.kinks if key == "primal" else 0
        return result

    def _add_chunk(self, x: Tensor, y: Tensor) -> None:
        deltas, inputs = self._program("primal", self.responses.primal, x, y)
        deltas = {k: as_ball(d) for k, d in deltas.items()}
        inputs = {k: as_ball(u) for k, u in inputs.items()}
        moves = _Moves(deltas, inputs)
        for group in range(len(self.groups)):
            self._add_group(group, x, y, moves)
        for layer in self.plan.outputs:
            moved = self._program(layer.weight, self.responses.from_layer(layer), x, y)
            self._add_layer(layer, moved, moves)
        for name in self.places:
            inside, own = moves.touches(name, self.places[name].shape[1])
            self.active[name] += own.t() @ inside
        self.chunks += 1

    def _add_layer(self, source: LinearLayer, moved: Any, moves: _Moves) -> None:
        deltas = {k: as_ball(d) for k, d in moved[0].items()}
        changes = {k: as_ball(u) for k, u in moved[1].items()}
        moves.note(source, deltas, changes)
        u = _with_bias(moves.inputs[source.weight], source)
        u_norms = Norms.of_inputs(moves.inputs[source.weight], source.bias is not None)
        rows = self.units[source.weight]
        for target in self.plan.outputs[self.plan.positions[source.weight] :]:
            y_norms = self._term_norms(target, deltas, changes, moves)  # (t, n, j)
            by_unit = _split_tangents(y_norms, source)  # (a, i, n, j)
            terms = Norms(u_norms.size.t()[:, None, :, None], u_norms.error.t()[:, None, :, None])
            self.bound.add(rows, self.units[target.weight], by_unit.times(terms).sum(0, 2))
            if target is source and source.positions == 1:
                self._gather(source, u, deltas[source.weight].mid)
            else:
                self._contract(source, target, u, deltas, changes, moves)

    def _term_norms(
        self, target: LinearLayer, deltas: dict, changes: dict, moves: _Moves
    ) -> Norms:
        """Norms of y = d(delta) u + delta d(u), summed over the target's positions: (t, n, j)."""
        name, bias = target.weight, target.bias is not None
        u = Norms.of_inputs(moves.inputs[name], bias)  # (n, b)
        d = Norms.of_entries(deltas[name])  # (t, n, b, j)
        total = d.times(Norms(u.size[None, :, :, None], u.error[None, :, :, None]))
        if name in changes:
            v = Norms.of_inputs(changes[name], False)  # (t, n, b)
            e = Norms.of_entries(moves.deltas[name])  # (n, b, j)
            extra = Norms(e.size[None], e.error[None])
            total = total.plus(extra.times(Norms(v.size[..., None], v.error[..., None])))
        return total.sum(2)

    def _contract(
        self, source: LinearLayer, target: LinearLayer, u: Tensor, deltas: dict, changes: dict,
        moves: _Moves,
    ) -> None:  # fmt: skip
        """Add u^T y to the cross block, a slice of tangents at a time."""
        rows = u.transpose(0, 1).reshape(-1, u.shape[-1])  # (a n, p)
        shape = (source.units, u.shape[-1], target.units * self.places[target.weight].shape[1])
        block = self.cross.setdefault((source.weight, target.weight), self.matrix.new_zeros(shape))
        n = len(u)
        for i in range(source.units):
            tangents = range(i, source.output_tangents, source.units)  # (a, this i)
            y = torch.cat([self._terms(target, t, deltas, changes, moves) for t in tangents])
            for start in range(0, len(rows), RUN):
                part = slice(start, start + RUN)
                block[i] += rows[part].t() @ y.reshape(source.positions * n, -1)[part]

    def _terms(
        self, target: LinearLayer, t: int, deltas: dict, changes: dict, moves: _Moves
    ) -> Tensor:
        """y = d(delta) u + delta d(u) of one tangent, summed over positions: (n, j q)."""
        name = target.weight
        u = _with_bias(moves.inputs[name], target)
        y = _outer(deltas[name].mid[t], u)
        if name in changes:
            v = changes[name].mid[t]
            v = torch.cat([v, v.new_zeros(*v.shape[:-1], 1)], -1) if target.bias else v
            y = y + _outer(moves.deltas[name].mid, v)
        return y.reshape(len(y), -1)

    def _add_group(self, group: int, x: Tensor, y: Tensor, moves: _Moves) -> None:
        """Rows of the parameters that are studied one by one."""
        own = len(self.groups[group])
        later = torch.cat(self.groups[group:])
        columns = slice(self.units[group].start, self.units["total"].stop)
        step = max(1, min(own, self.budget // (self.chunk * _sample_bytes(self.net, self.plan))))
        for start in range(0, own, step):
            stop = min(start + step, own)
            function = self.responses.from_parameters(group, start, stop)
            moved = self._program((group, start), function, x, y)
            deltas, changes = ({k: as_ball(v) for k, v in part.items()} for part in moved[:2])
            moves.note(None, deltas, changes)
            gradient = as_ball(moved[2])
            rows = slice(self.units[group].start + start, self.units[group].start + stop)
            self.matrix[self.groups[group][start:stop, None], later] += gradient.mid
            self._bound_rows(rows, columns, Norms.of_entries(gradient))
            for target in self.plan.outputs:
                norms = self._term_norms(target, deltas, changes, moves).sum(1)
                self.bound.add(rows, self.units[target.weight], norms)
                self._contract_rows(group, start, target, deltas, changes, moves)

    def _bound_rows(self, rows: slice, columns: slice, norms: Norms) -> None:
        self.bound.size[rows, columns] += norms.size
        self.bound.error[rows, columns] += norms.error
        self.bound.size[columns, rows] = self.bound.size[rows, columns].t()
        self.bound.error[columns, rows] = self.bound.error[rows, columns].t()

    def _contract_rows(
        self, group: int, start: int, target: LinearLayer, deltas: dict, changes: dict,
        moves: _Moves,
    ) -> None:  # fmt: skip
        name = target.weight
        count = deltas[name].mid.shape[0]
        rows = [self._terms(target, t, deltas, changes, moves).sum(0) for t in range(count)]
        shape = (len(self.groups[group]), self.places[name].numel())
        block = self.cross.setdefault((group, name), self.matrix.new_zeros(shape))
        block[start : start + count] += torch.stack(rows)

    # -- contraction over gathered samples ------------------------------------------------------

    def _gather(self, layer: LinearLayer, u: Tensor, delta: Tensor) -> None:
        """Keep the weights d(delta)[i, n, j], i <= j, and inputs of a layer with one position."""
        pairs = torch.triu_indices(layer.units, layer.units)
        weights = delta[:, :, 0, :][pairs[0], :, pairs[1]]  # (pairs, n)
        self.gathered.setdefault(layer.weight, []).append((weights, u[:, 0]))
        size = sum(w.numel() + v.numel() for part in self.gathered.values() for w, v in part)
        if size * 8 > 4 * self.budget:
            self._contract_gathered()

    def _contract_gathered(self) -> None:
        for name, parts in self.gathered.items():
            weights = torch.cat([w for w, _ in parts], 1)
            inputs = torch.cat([u for _, u in parts])
            used = (inputs != 0).any(0).nonzero().squeeze(1)
            inputs, places = inputs[:, used].contiguous(), self.places[name]
            pairs = combinations_with_replacement(range(len(places)), 2)
            for (i, j), w in zip(pairs, weights, strict=True):
                total = inputs.new_zeros(len(used), len(used))
                add_weighted_gram(total, inputs, w)
                self._place(places[i, used], places[j, used], fill_lower(total), i != j)
        self.gathered.clear()

    def _place_cross(self) -> None:
        for (source, target), block in self.cross.items():
            columns = self.places[target].reshape(-1)
            rows = self.groups[source] if isinstance(source, int) else self.places[source].reshape(-1)
            flat = block.reshape(len(rows), len(columns))
            if source == target:  # several positions: both triangles are there
                self._place(rows, columns, (flat + flat.t()) / 2, False)
            else:
                self._place(rows, columns, flat, True)
        for group, rows in enumerate(self.groups):
            self._symmetrise(rows, torch.cat(self.groups[group:]))

    def _place(self, rows: Tensor, columns: Tensor, block: Tensor, mirror: bool) -> None:
        self.matrix[rows[:, None], columns] += block
        if mirror:
            self.matrix[columns[:, None], rows] += block.t()

    def _symmetrise(self, rows: Tensor, columns: Tensor) -> None:
        block = self.matrix[rows[:, None], columns]
        own = block[:, : len(rows)]
        block[:, : len(rows)] = (own + own.t()) / 2
        self.matrix[rows[:, None], columns] = block
        self.matrix[columns[:, None], rows] = block.t()

    def _result(self, why_estimate: str | None) -> Hessian:
        self.bound.runs = self._longest_sum()
        parts = self.bound.parts()
        if why_estimate is not None or self.machine is Values:
            parts["samples"] = 64 * parts["sums"]  # a guess at what was not followed
            why_estimate = why_estimate or "rounding was not followed"
        untouched = torch.zeros(self.net.dim, dtype=torch.bool)
        for name, places in self.places.items():
            untouched[places[self.active[name] == 0]] = True
        radius = sum(parts.values())
        return Hessian(self.matrix, radius, parts, why_estimate, self.bound.kinks, untouched)


    def _longest_sum(self) -> int:
        """Roundings that an entry of H passes: inside a block, then block by block."""
        positions = max((x.positions for x in self.plan.outputs), default=1)
        rows = self.net.samples * positions
        blocks = self.chunks * (1 + self.chunk * positions // RUN) + rows // RUN
        return min(RUN, rows) + blocks + 2 * positions + 4


class _Moves:
    """What a chunk's tangents moved: for contraction, and to find what nothing touches."""

    def __init__(self, deltas: dict[str, Ball], inputs: dict[str, Ball]) -> None:
        self.deltas, self.inputs = deltas, inputs
        self.units = {k: d.upper > 0 for k, d in deltas.items()}  # (n, b, j)
        self.features = {k: u.upper > 0 for k, u in inputs.items()}  # (n, b, q)

    def note(self, source: LinearLayer | None, deltas: dict, changes: dict) -> None:
        for name, d in deltas.items():
            self.units[name] |= (d.upper > 0).any(0)
        for name, v in changes.items():
            self.features[name] |= (v.upper > 0).any(0)
        if source is None:
            return
        for part in (*deltas.values(), *changes.values()):  # (a i, n, b, j)
            answers = (part.upper > 0).flatten(2).any(2)
            answers = answers.view(source.positions, source.units, -1).permute(2, 0, 1)
            self.units[source.weight] |= answers

    def touches(self, name: str, width: int) -> tuple[Tensor, Tensor]:
        """0/1 arrays (n b, q) and (n b, j): inputs and units that are not exactly zero."""
        features = self.features[name].float().flatten(0, 1)
        bias = features.new_ones(len(features), width - features.shape[1])
        return torch.cat([features, bias], 1), self.units[name].float().flatten(0, 1)


def _outer(d: Tensor, u: Tensor) -> Tensor:
    """sum_b d[n, b, j] u[n, b, q]."""
    if d.shape[1] == 1:
        return d[:, 0, :, None] * u[:, 0, None, :]
    return d.transpose(1, 2) @ u


def _with_bias(u: Ball, layer: LinearLayer) -> Tensor:
    if layer.bias is None:
        return u.mid
    return torch.cat([u.mid, u.mid.new_ones(*u.mid.shape[:-1], 1)], -1)


def _split_tangents(norms: Norms, source: LinearLayer) -> Norms:
    shape = (source.positions, source.units, *norms.size.shape[1:])
    return Norms(norms.size.view(shape), norms.error.view(shape))


def _places(net: Network, layer: LinearLayer) -> Tensor:
    """Where the parameters of each unit stand in theta: (units, features + bias)."""
    start = net.slices[layer.weight].start
    weight = torch.arange(start, start + layer.units * layer.features).view(layer.units, -1)
    if layer.bias is None:
        return weight
    bias = torch.arange(net.slices[layer.bias].start, net.slices[layer.bias].stop)
    return torch.cat([weight, bias[:, None]], 1)


def _group_places(net: Network, names: tuple[str, ...]) -> Tensor:
    return torch.cat([torch.arange(net.slices[n].start, net.slices[n].stop) for n in names])


def _number_units(plan: Plan, groups: list[Tensor]) -> dict[Any, slice]:
    """One number per output unit, then one per single parameter."""
    units: dict[Any, slice] = {}
    start = 0
    sizes = [(x.weight, x.units) for x in plan.outputs] + [(k, len(g)) for k, g in enumerate(groups)]
    for key, size in sizes:
        units[key] = slice(start, start + size)
        start += size
    return {**units, "total": slice(0, start)}


def _sample_bytes(net: Network, plan: Plan) -> int:
    """Bytes that one tangent of one sample needs, roughly: middles, radii and temporaries."""
    numbers = net.x[0].numel() + sum(x.positions * x.units for x in plan.layers)
    numbers += sum(x.positions * x.features for x in plan.outputs if not x.fixed_input)
    return 64 * numbers


def _chunk(net: Network, plan: Plan, budget: int) -> int:
    tangents = [x.output_tangents for x in plan.outputs]
    tangents += [min(64, sum(torch.Size(net.shapes[n]).numel() for n in g)) for g in plan.groups]
    return max(1, min(RUN, budget // (max(tangents, default=1) * _sample_bytes(net, plan))))
