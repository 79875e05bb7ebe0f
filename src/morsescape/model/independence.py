"""Does the output for a sample depend on that sample alone?

The recorded program says so (`hessian.dependence`). Where it does not, because of an operation that
is not known or a model that cannot be recorded, samples alone, in another order and in another
company must give the same.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from morsescape.errors import ArgumentError
from morsescape.model.samples import spread_places, take
from morsescape.rounding.dependence import Dependence, Shadow, is_row_by_row, rows_of_samples
from morsescape.rounding.program import NotTraceable, record

_FEW = 3  # samples whose dependence is followed
_MANY = 32  # samples that are probed by numbers


def rows_apart(net: Any) -> bool:
    """Whether the program says that row n of every output depends on sample n alone."""
    found = _followed(net, lambda theta, x, y: net.output(net.unflatten(theta), x))
    if found is None:
        return False
    leaves = [leaf for leaf in tree_leaves(found) if isinstance(leaf, Shadow | Tensor)]
    return all(is_row_by_row(leaf, _FEW) for leaf in leaves)


def sums_over_samples(net: Any, loss: Any) -> bool:
    """Whether the loss of the model's output is the mean over samples of one term each.

    Its outputs need not have the samples in front.
    """

    def composed(theta: Tensor, x: Any, y: Any) -> Tensor:
        value: Tensor = loss(net.output(net.unflatten(theta), x), y)
        return value

    found = _followed(net, composed)
    if found is not None and not (
        isinstance(found, Shadow) and found.additive and found.over is None
    ):
        return False
    with torch.set_grad_enabled(net.needs_graph):
        return all(_is_mean(net, composed, size) for size in (1, 2, 5))


def _is_mean(net: Any, function: Any, size: int) -> bool:
    """Whether the value on some samples is the mean of those on parts of them."""
    places = spread_places(net.samples, _MANY)
    parts = places[torch.randperm(len(places), generator=torch.Generator().manual_seed(size))]
    total = 0.0
    for part in parts.split(size):
        total += float(function(net.theta, *net.some(part))) * len(part) / len(places)
    whole = float(function(net.theta, *net.some(places)))
    return abs(total - whole) <= 1e-9 * max(abs(total), abs(whole))


def _followed(net: Any, function: Any) -> Any:
    """What a function of (theta, x, y) gives on a few samples, as shadows; None if it cannot be."""
    places = torch.arange(_FEW) % net.samples
    x, y = net.some(places)
    machine = Dependence(_FEW)
    try:
        program = record(function, net.theta, x, y)
        if program.assumed:  # it branches on values, perhaps of other samples
            return None
        return machine.run(program, net.theta, rows_of_samples(x, _FEW), rows_of_samples(y, _FEW))
    except (NotTraceable, RuntimeError, TypeError, ValueError, IndexError, KeyError):
        return None


def check_rows(net: Any) -> None:
    """Refuse an output for one sample that depends on the others.

    Where the program does not say, samples alone, in another order and in another company must
    give the same.

    Raises:
        ArgumentError: it depends on them, or there is not one row for each sample.
    """
    if not net.row_by_row:
        _check_samples_by_numbers(net)


def _check_samples_by_numbers(net: Any) -> None:
    places = spread_places(net.samples, _MANY)
    parameters = net.unflatten(net.theta)
    x = take(net.x, places)
    with torch.set_grad_enabled(net.needs_graph):
        together = net.output(parameters, x)
        _check_rows(together, len(places))
        order = torch.randperm(len(places), generator=torch.Generator().manual_seed(0))
        try:
            moved = net.output(parameters, take(x, order))
            single = [net.output(parameters, take(x, slice(k, k + 1))) for k in range(len(places))]
            alone = tree_map(lambda *rows: torch.cat(rows), *single)
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise _mixing(f"a sample alone that fails: {type(error).__name__}: {first}") from error
    off = farthest(alone, together)
    off = max(off, farthest(moved, take(together, order)))
    if off > 0:
        raise _mixing(f"a difference of {off:.3g} between a sample alone and in a batch")


def _mixing(got: str) -> ArgumentError:
    return ArgumentError(
        "model",
        expected="an output for each sample that does not depend on the others",
        got=got,
        cure="replace batch statistics by fixed ones (model.eval())",
    )


def _check_rows(output: Any, samples: int) -> None:
    for leaf in tree_leaves(output):
        if isinstance(leaf, Tensor) and (leaf.ndim == 0 or len(leaf) != samples):
            raise ArgumentError(
                "model",
                expected=f"an output with one row for each of {samples} samples",
                got=f"shape {tuple(leaf.shape)}",
                cure="let dimension 0 of inputs and outputs count the samples (batch_first)",
            )


def farthest(a: Any, b: Any) -> float:
    """The largest difference beyond rounding."""
    worst = 0.0
    for p, q in zip(tensors_of(a), tensors_of(b), strict=True):
        if p.shape != q.shape:
            return float("inf")
        p, q = (torch.view_as_real(t) if t.is_complex() else t for t in (p, q))
        p, q = p.double(), q.double()
        off = (p - q).abs()
        limit = 1e-5 + 1e-3 * q.abs() if p.numel() else off
        if bool((off > limit).any()):
            worst = max(worst, float(off.max()))
    return worst


def tensors_of(output: Any) -> list[Tensor]:
    """The tensors among a model's outputs, without their graph."""
    return [leaf.detach() for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]
