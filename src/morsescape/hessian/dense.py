"""The exact dense Hessian of a network's loss, with a proved bound on its rounding."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from morsescape.errors import ArgumentError, is_out_of_memory
from morsescape.hessian.assembly import Assembly
from morsescape.hessian.balls import NoErrorRule
from morsescape.hessian.enclose import Enclosure, Values
from morsescape.hessian.layers import linear_layers
from morsescape.hessian.program import NotTraceable
from morsescape.hessian.sharp import Sharp
from morsescape.hessian.tangents import Plan, choose
from morsescape.network import Network, differentiable
from morsescape.progress import StageProgress

STRIP = 512  # rows looked at together
BUDGET = 2**29  # bytes for one chunk's tangents and gathered samples; the matrix comes on top


@dataclass(frozen=True)
class Hessian:
    """A computed symmetric matrix and what is known about its distance from the true one."""

    matrix: Tensor  # (D, D)
    radius: float  # bounds the spectral norm of computed minus true
    radius_parts: dict[str, float]
    estimate: str | None = None  # why the radius is an estimate, not a bound; None: it is proved
    kinks: int = 0  # branch decisions of the model within rounding of their threshold
    untouched: Tensor | None = None  # (D,) True where row and column are exactly zero

    @property
    def finite(self) -> bool:
        """Whether all entries are finite; strip by strip, for a mask would be as large."""
        return all(bool(rows.isfinite().all()) for rows in self.matrix.split(STRIP))

    def with_ridge(self, l2: float) -> Tensor:
        """A copy of the matrix plus 2λI: Hess f of f = L + λ‖θ‖²."""
        matrix = self.matrix.clone()
        matrix.diagonal().add_(2 * l2)
        return matrix


def exact_hessian(
    net: Network,
    theta: Tensor,
    *,
    bounded: bool = True,
    budget: int = BUDGET,
    progress: StageProgress | None = None,
    triangle: bool = False,
) -> Hessian:
    """Hess L(theta), assembled in the network's dtype over all samples.

    With `bounded` the result's radius is proved by ball arithmetic; an operation that has no
    error rule makes it an estimate, and the result says so. With `triangle` only the entries
    (i, j) with i <= j are filled; those below hold workspace.

    Raises:
        ArgumentError: a model that reads numbers out of tensors, so that no program describes it.
    """
    try:
        return _assembled(net, theta.detach(), bounded, budget, progress, triangle)
    except NotTraceable as reason:
        raise ArgumentError(
            "model",
            expected="operations on tensors alone, the same for every input",
            got=str(reason),
            cure="write it with torch.where instead of `if` and `.item()`, and without changing "
            "parts of tensors in place",
        ) from None


def hessian_on_box(net: Network, theta: Tensor, width: float, *, budget: int = BUDGET) -> Hessian:
    """Hess L(theta), with a radius that holds for Hess L(x) at all x with |x - theta|_oo <= width.

    The same programs are run on a box instead of a point. `kinks` counts the branches that some x
    in the box may take otherwise: with any, the radius is that of one smooth piece.

    Raises:
        NoErrorRule, NotTraceable: nothing can be proved about this network.
    """
    theta = theta.detach()
    plan = choose(net, linear_layers(net, theta))
    assembly = Assembly(net, theta, plan, partial(Enclosure, ties=True), budget, width)
    assembly.run(None, False)
    parts = assembly.bound.parts()
    return Hessian(assembly.matrix, sum(parts.values()), parts, None, assembly.bound.kinks)


def _assembled(
    net: Network, theta: Tensor, bounded: bool, budget: int, progress: StageProgress | None,
    triangle: bool,
) -> Hessian:  # fmt: skip
    plan = choose(net, linear_layers(net, theta))
    if not bounded:
        return _estimated(net, theta, plan, budget, progress, triangle, "rounding was not followed")
    machine = Sharp if theta.dtype == torch.float64 else Enclosure
    assembly = Assembly(net, theta, plan, machine, budget)
    try:
        assembly.run(progress, triangle)
    except NoErrorRule as missing:
        del assembly
        why = f"the operation {missing.operation} has no error rule"
        return _estimated(net, theta, plan, budget, progress, triangle, why)
    parts = assembly.bound.parts()
    radius = sum(parts.values())
    kinks, untouched = assembly.bound.kinks, assembly.untouched()
    return Hessian(assembly.matrix, radius, parts, None, kinks, untouched)


def _estimated(
    net: Network, theta: Tensor, plan: Plan, budget: int, progress: StageProgress | None,
    triangle: bool, why: str,
) -> Hessian:  # fmt: skip
    assembly = Assembly(net, theta, plan, Values, budget)
    try:
        assembly.run(progress, triangle)
    except RuntimeError as error:
        if is_out_of_memory(error):  # rows would take more, not less
            raise
        matrix = _by_rows(net, theta)  # torch lacks a forward derivative, as for Conv1d in float32
        radius = 64 * net.dim * torch.finfo(matrix.dtype).eps * float(matrix.norm())
        return Hessian(matrix, radius, {"rows": radius}, why)
    parts = assembly.bound.parts()
    parts["samples"] = 64 * parts["sums"]  # a guess at what was not followed
    return Hessian(assembly.matrix, sum(parts.values()), parts, why)


def _by_rows(net: Network, theta: Tensor) -> Tensor:
    """Double backward, a row at a time: slow, but it needs reverse mode only."""
    with differentiable():
        return _rows_of(net, theta)


def _rows_of(net: Network, theta: Tensor) -> Tensor:
    theta = theta.clone().requires_grad_()
    matrix = theta.new_zeros(net.dim, net.dim)
    for x, y in net.chunks(STRIP):
        loss = net.chunk_loss(net.unflatten(theta), x, y)
        (gradient,) = torch.autograd.grad(loss, theta, create_graph=True)
        if not gradient.requires_grad:  # linear in theta
            continue
        # Not `for g in gradient`: going back through each entry's own view takes D times as long.
        chosen = torch.zeros_like(gradient)
        for k, row in enumerate(matrix):
            chosen.zero_()[k] = 1.0
            row += torch.autograd.grad(gradient, theta, chosen, retain_graph=True)[0]
    return ((matrix + matrix.t()) / 2).detach()
