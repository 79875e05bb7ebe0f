"""The counts of several protocols at one point.

Protocols that share a matrix share its computation; those that share a spectrum differ in the
threshold alone.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from itertools import groupby

import torch
from torch import Tensor, nn

from morsescape.data import Dataset
from morsescape.hessian.dense import exact_hessian
from morsescape.model.network import Network
from paper.protocols.kinds import Protocol

# LAPACK takes 9 s for 2,500 rows in float32 on one core, and eight times that for twice the rows.
_LARGEST_UNSYMMETRIC = 2_000


class NotCounted(Enum):
    """Why there is no count."""

    NOT_FINITE = "the computed Hessian is not finite"
    NOT_CONVERGED = "LAPACK's eigenvalue iteration did not converge"
    TOO_LARGE = (
        f"eigenvalues of an unsymmetric matrix are computed up to {_LARGEST_UNSYMMETRIC:,} rows: "
        "their time grows with the cube"
    )


@dataclass(eq=False)
class Counts:
    """What the protocols of one variant say at one point.

    Attributes:
        negative: by protocol name; None where it could not be counted.
        rows: of the matrix whose eigenvalues were counted, by protocol name.
        missing: why there is no count, by protocol name.
        eigenvalues: by `Protocol.spectrum_key`.
    """

    negative: dict[str, int | None] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    eigenvalues: dict[str, Tensor] = field(default_factory=dict)


def count_at(
    model: nn.Module,
    dataset: Dataset,
    seed: int,
    protocols: Iterable[Protocol],
    step: Callable[[int, int], None] | None = None,
) -> Counts:
    """Count by each protocol at the parameters of `model`, one eigenvalue computation a spectrum.

    Args:
        model: the network as its variant has it, in evaluation mode.
        dataset: the data as the variant has it.
        seed: of the order of the images, of which a mini-batch takes the first.
        protocols: all of one variant.
        step: called as step(matrices done, matrices).

    Example:
        >>> from morsescape.data import load
        >>> from morsescape.nets import build
        >>> model, digits = build("mlp2", image_shape=(8, 8)).eval(), load("digits", samples=50)
        >>> counts = count_at(model, digits, 0, [Protocol("a", threshold=1e-6), Protocol("b")])
        >>> counts.negative["a"] <= 110 <= counts.negative["b"], counts.rows["a"]
        (True, 760)
    """
    counts, groups = Counts(), list(_grouped(protocols, lambda p: p.matrix_key))
    for done, same_matrix in enumerate(groups):
        if step is not None:
            step(done, len(groups))
        matrix = naive_hessian(model, dataset, seed, same_matrix[0])
        for same_spectrum in _grouped(same_matrix, lambda p: p.spectrum_key):
            _count(matrix, same_spectrum, counts)
    return counts


def naive_hessian(model: nn.Module, dataset: Dataset, seed: int, protocol: Protocol) -> Tensor:
    """Hess L as the protocol computes it, shape (D, D)."""
    x, y = dataset.x, dataset.y
    if protocol.batch is not None:
        generator = torch.Generator().manual_seed(seed)  # that of the training's first epoch
        batch = torch.randperm(len(y), generator=generator)[: protocol.batch]
        x, y = x[batch], y[batch]
    net = Network(model, "cross_entropy", (x, y), getattr(torch, protocol.dtype))
    if protocol.route == "rows":
        return _rows(net)
    return exact_hessian(net, net.theta, bounded=False).matrix


def _rows(net: Network) -> Tensor:
    """Double backward a row at a time, left as it comes out."""
    theta = net.theta.clone().requires_grad_()
    loss = net.chunk_loss(net.unflatten(theta), net.x, net.y)
    (gradient,) = torch.autograd.grad(loss, theta, create_graph=True)
    matrix, unit = theta.new_empty(net.dim, net.dim), torch.zeros_like(theta)
    with torch.no_grad():
        for i in range(net.dim):
            unit[i] = 1.0
            (matrix[i],) = torch.autograd.grad(gradient, theta, unit, retain_graph=True)
            unit[i] = 0.0
    return matrix


def _count(matrix: Tensor, protocols: list[Protocol], counts: Counts) -> None:
    """Add to `counts` what one spectrum gives by several thresholds."""
    first = protocols[0]
    kept = without_zero_rows(matrix) if first.drop_zero_rows else matrix
    values = _eigenvalues(kept, first.solver)
    for protocol in protocols:
        counts.rows[protocol.name] = len(kept)
        if isinstance(values, NotCounted):
            counts.negative[protocol.name] = None
            counts.missing[protocol.name] = values.value
        else:
            counts.negative[protocol.name] = protocol.count(values)
            counts.eigenvalues[first.spectrum_key] = values


def without_zero_rows(matrix: Tensor) -> Tensor:
    """The matrix without the indices whose row and column are exactly zero.

    Example:
        >>> without_zero_rows(torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
        tensor([[1.]])
    """
    nonzero = matrix != 0
    kept = nonzero.any(0) | nonzero.any(1)
    return matrix[kept][:, kept]


def _eigenvalues(matrix: Tensor, solver: str) -> Tensor | NotCounted:
    if not bool(matrix.isfinite().all()):
        return NotCounted.NOT_FINITE
    if solver == "eigvals" and len(matrix) > _LARGEST_UNSYMMETRIC:
        return NotCounted.TOO_LARGE
    try:
        if solver == "eigvalsh":
            return torch.linalg.eigvalsh(matrix)
        return torch.linalg.eigvals(matrix).real.sort().values
    except torch.linalg.LinAlgError:
        return NotCounted.NOT_CONVERGED


def _grouped(
    protocols: Iterable[Protocol], key: Callable[[Protocol], Hashable]
) -> Iterator[list[Protocol]]:
    for _, group in groupby(sorted(protocols, key=key), key):  # type: ignore[arg-type]
        yield list(group)
