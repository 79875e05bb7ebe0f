"""Bound the error of a computed Hessian entry by entry, in the memory of a few vectors.

If |dH| <= B entrywise, both symmetric, then for every v > 0

    -diag(s) <= dH <= diag(s)  in the order of symmetric matrices,   s = B v / v,

for 2 |x_i x_j| <= (v_j / v_i) x_i^2 + (v_i / v_j) x_j^2. One norm is the wrong measure of a graded
matrix: an input that is nonzero on few samples has small entries with small errors, and small
eigenvalues, which ||dH|| I would leave undecided. B itself is never formed: its entries are sums
over samples of products |u| |y|, and (|u| |y|) v needs |y| v first, a number per sample.

v is chosen before anything is computed: (mean |u_p|)^(-1/2) for the weights of input p. Any
positive v is a proof; this one keeps s small where entries are small, and the sum of s v^2 low.
"""

from __future__ import annotations

import torch
from torch import Tensor

from morsescape.hessian.error_bound import LOST, ErrorBound, Norms, in_order
from morsescape.hessian.layers import LinearCalls, LinearLayer
from morsescape.hessian.responses import Chunk, Moved
from morsescape.model.source import Source
from morsescape.rounding.floats import tiny

_WIDEST = 2.0**20  # v stays within 1 and this


class RowBounds:
    """Adds up B v: `size` and `gathered` of what sums round, `error` of what samples contribute.

    Attributes:
        v: (D,), the test vector.
    """

    def __init__(self, v: Tensor, places: dict[str, Tensor]) -> None:
        self.v, self.places = v, places
        self.size, self.gathered, self.error = (torch.zeros_like(v) for _ in range(3))

    def add_gathered(self, layer: LinearLayer, deltas: dict[str, Moved], chunk: Chunk) -> None:
        """Add the block of a layer with itself whose samples are gathered: one position.

        Pairs of units i <= j are computed, from the responses to i, and serve for both.
        """
        u, z = self._inputs(layer, chunk)
        c = Norms.of_entries(deltas[layer.weight].bound).map(_mirrored)  # (i, n, 1, j)
        y = c.sum(3).times(z.map(lambda x: x[None])).map(lambda x: x.flatten(1))  # (i, n)
        self._add(layer, y.joined(u.map(lambda x: x[:, 0])), gathered=True)

    def add_layer(
        self, source: LinearLayer, target: LinearLayer, deltas: dict[str, Moved],
        changes: dict[str, Moved], chunk: Chunk, terms: Norms,
    ) -> None:  # fmt: skip
        """Add one block and its mirror image.

        `terms` is |y| v of the target, summed over its features and positions: (a i, n, j).
        """
        u, z = self._inputs(source, chunk)
        half = 0.5 if target is source else 1.0  # (M + M^T) / 2 is taken
        y = terms.sum(2).map(lambda x: half * x.unflatten(0, (source.positions, source.units)))
        rows = y.map(lambda x: x.permute(1, 2, 0).flatten(1))  # (i, n a)
        self._add(source, rows.joined(u.map(lambda x: x.flatten(0, 1))))
        tangents = z.map(lambda x: half * x.t().repeat_interleave(source.units, 0))  # (a i, n)
        self.add_columns(target, deltas, changes, chunk, tangents)

    def add_columns(
        self, target: LinearLayer, deltas: dict[str, Moved], changes: dict[str, Moved],
        chunk: Chunk, z: Norms,
    ) -> None:  # fmt: skip
        """Add to rows of the target the sums over tangents of z |y|, z of shape (t, n)."""
        name = target.weight
        u = Norms.of_inputs(chunk.inputs[name], target.bias is not None)
        moved = _along(z, Norms.of_entries(deltas[name].bound)).map(_units_first)
        self._add(target, moved.joined(u.map(lambda x: x.flatten(0, 1))))
        if name in changes:
            v = _along(z, Norms.of_entries(changes[name].bound))  # (n, b, q)
            delta = Norms.of_entries(chunk.deltas[name]).map(_units_first)
            self._add(target, delta.joined(v.map(lambda x: x.flatten(0, 1))))

    def add_rows(
        self, rows: Tensor, target: LinearLayer, deltas: dict[str, Moved],
        changes: dict[str, Moved], chunk: Chunk, terms: Norms,
    ) -> None:  # fmt: skip
        """Add the block of parameters studied one by one with a layer, and its mirror image.

        They stand at `rows` in theta, where v is 1; `terms` as in `add_layer`, (rows or 1, n, j).
        """
        self.add_at(rows, terms.sum(1, 2).map(lambda x: x.expand(len(rows))))
        one = torch.ones(len(rows), terms.size.shape[1], dtype=torch.float64)
        self.add_columns(target, deltas, changes, chunk, Norms(one, torch.zeros_like(one)))

    def add_single(self, rows: Tensor, columns: Tensor, own: int, entries: Norms) -> None:
        """Add second derivatives of parameters that are studied one by one, and their mirror image.

        `entries` is (rows or 1, columns), at places in theta; the first `own` columns are of the
        rows' group, and (M + M^T) / 2 is taken of them.
        """
        share = torch.ones(len(columns), dtype=torch.float64)
        share[:own] = 0.5
        weighed = entries.map(lambda x: (x * share).expand(len(rows), -1))
        self.add_at(rows, weighed.map(lambda x: x @ self.v[columns]))
        self.add_at(columns, weighed.map(lambda x: self.v[rows] @ x))

    def add_at(self, places: Tensor, sums: Norms, *, gathered: bool = False) -> None:
        """Add to rows, each named once."""
        size = self.gathered if gathered else self.size
        size[places] += sums.size
        self.error[places] += sums.error

    def spread(self, bound: ErrorBound) -> Tensor:
        """S, with its own rounding; `bound` knows how often sums round."""
        total = bound.rounded(self.size, self.gathered) + self.error
        absolute = 2 * bound.underflows * tiny(bound.dtype) + LOST
        return in_order(total, self.v, absolute)

    def _inputs(self, layer: LinearLayer, chunk: Chunk) -> tuple[Norms, Norms]:
        """|u| (n, a, features + bias), and |u| v (n, a)."""
        u = Norms.of_inputs(chunk.inputs[layer.weight], layer.bias is not None)
        return u, u.times_vector(self.weights(layer))

    def weights(self, layer: LinearLayer) -> Tensor:
        """V of the parameters of one unit; all units have the same: (features + bias,)."""
        return self.v[self.places[layer.weight][0]]

    def _add(self, layer: LinearLayer, sums: Norms, *, gathered: bool = False) -> None:
        """Add (units, features), without the bias where `sums` has none."""
        self.add_at(self.places[layer.weight][:, : sums.size.shape[1]], sums, gathered=gathered)


def test_vector(net: Source, theta: Tensor, layers: tuple[LinearLayer, ...]) -> dict[str, Tensor]:
    """(mean |u_p|)^(-1/2) by weight, for the inputs of layers with one position; kept with `net`.

    It need not be that of this theta: any positive numbers will do.
    """
    wanted = {x.weight for x in layers if x.positions == 1}
    if not wanted:
        return {}
    key = tuple(sorted(wanted))
    found: dict[str, Tensor] = net.programs.get(
        "inputs", key, lambda: _mean_inputs(net, theta, wanted)
    )
    return {name: mean.clamp(_WIDEST**-2, 1).rsqrt() for name, mean in found.items()}


def _mean_inputs(net: Source, theta: Tensor, wanted: set[str]) -> dict[str, Tensor]:
    """Mean |u_p| over the samples, where it is not zero; else 1."""
    sums: dict[str, Tensor] = {}

    def note(weight: str, bias: str | None, call: object) -> None:
        if weight in wanted:
            own = call.inputs().abs().sum((0, 1), dtype=torch.float64)  # type: ignore[attr-defined]
            sums[weight] = sums.get(weight, 0.0) + own.detach()

    parameters = net.unflatten(theta)
    with torch.set_grad_enabled(net.needs_graph), LinearCalls(parameters, note):
        for x, _ in net.chunks(1024):
            net.output(parameters, x)
    means = {name: total / net.samples for name, total in sums.items()}
    return {
        name: torch.where(mean > 0, mean, torch.ones_like(mean)) for name, mean in means.items()
    }


def _mirrored(x: Tensor) -> Tensor:
    """X[i, ..., j] for i <= j, and x[j, ..., i] for the others."""
    upper = torch.ones(len(x), len(x), dtype=torch.bool).triu()
    return torch.where(upper[:, None, None, :], x, x.transpose(0, 3))


def _units_first(x: Tensor) -> Tensor:
    """(n, b, j) as (j, n b)."""
    return x.flatten(0, 1).t()


def _along(z: Norms, moved: Norms) -> Norms:
    """Sum over tangents z[t, n] moved[t, n, b, j]; where `moved` is one for all, t is 1."""
    if len(moved.size) < len(z.size):
        z = z.map(lambda x: x.sum(0, keepdim=True))

    def sums(a: Tensor, b: Tensor) -> Tensor:
        return torch.einsum("tn,tnbj->nbj", a, b)

    error = sums(z.size, moved.error) + sums(z.error, moved.size + moved.error)
    return Norms(sums(z.size, moved.size), error)
