"""The exact dense Hessian of a network's loss, with a proved bound on its rounding."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from morsescape.errors import ArgumentError, first_line, is_out_of_memory
from morsescape.hessian.assembly import Assembly
from morsescape.hessian.free_memory import free_memory
from morsescape.hessian.layers import linear_layers
from morsescape.hessian.tangents import Plan, choose
from morsescape.model.network import Network
from morsescape.model.reverse import add_hessian_backward
from morsescape.progress import StageProgress
from morsescape.rounding.balls import NoErrorRule
from morsescape.rounding.enclose import Enclosure, Values
from morsescape.rounding.one_rounding import Sharp
from morsescape.rounding.program import NotTraceable, OtherBranch
from morsescape.rounding.ties import pooling_ties

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

    def doubted(self, doubts: tuple[str, ...]) -> Hessian:
        """The same as an estimate, where f uses what autograd may not differentiate."""
        if not doubts or self.estimate is not None:
            return self
        why = f"what autograd differentiates need not be f: {', '.join(doubts)}"
        return replace(self, estimate=why)

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
    theta = theta.detach()
    _check_memory(net)
    try:
        found = _recorded(net, theta, bounded, budget, progress, triangle)
    except NotTraceable as reason:
        # f may be another function on every chunk of several.
        if reason.reads_numbers and not net.loss.at_once:
            raise ArgumentError(
                "model",
                expected="operations on tensors alone, the same for every input",
                got=str(reason),
                cure="write it with torch.where instead of `if` and `.item()`",
            ) from None
        found = _by_rows(net, theta, f"its program cannot be recorded: it is {reason}")
    except (RuntimeError, NotImplementedError, TypeError, IndexError, ValueError) as error:
        if is_out_of_memory(error) or isinstance(error, ArgumentError):
            raise
        found = _by_rows(net, theta, f"torch.func cannot transform it: {first_line(error)}")
    if found.estimate is None:
        ties = pooling_ties((net.on(x, y) for x, y in net.chunks(STRIP)), theta)
        found = replace(found, kinks=found.kinks + ties)
    return _with_doubts(net, found)


def _check_memory(net: Network) -> None:
    """Refuse a matrix that has no room, before anything is allocated."""
    item, free = net.theta.element_size(), free_memory()
    needed = item * net.dim**2 / 2**30
    if needed > free:
        raise ArgumentError(
            "model",
            expected=f"a Hessian that fits into the free memory, {free:,.1f} GiB",
            got=f"{net.dim:,} parameters, whose dense Hessian takes {needed:,.1f} GiB",
            cure="freeze parameters (requires_grad_(False)) to study those of some layers, or use "
            "f.hvp, which needs no matrix",
        )


def _with_doubts(net: Network, found: Hessian) -> Hessian:
    """What is known of the model and its loss apart from the rounding of their programs."""
    radius = found.radius
    if net.loss.scale_error:  # of the divisor of all shares
        radius += net.loss.scale_error * float(found.matrix.norm()) * (1 + 1e-9)
    return replace(found, radius=radius).doubted(net.doubts)


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
    found = Hessian(assembly.matrix, sum(parts.values()), parts, None, assembly.bound.kinks)
    return _with_doubts(net, found)


def _recorded(net: Network, theta: Tensor, *how: Any) -> Hessian:
    """From the programs that are there; once more from new ones, if θ takes another branch."""
    try:
        return _assembled(net, theta, *how)
    except OtherBranch:
        net.programs.clear()
        return _assembled(net, theta, *how)


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
        return _estimated(net, theta, plan, budget, progress, triangle, missing.sentence)
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
        return _by_rows(net, theta, why)  # torch lacks a forward derivative
    parts = assembly.bound.parts()
    parts["samples"] = 64 * parts["sums"]  # a guess at what was not followed
    return Hessian(assembly.matrix, sum(parts.values()), parts, why)


def _by_rows(net: Network, theta: Tensor, why: str) -> Hessian:
    """Double backward, a row at a time: slow, but it needs reverse mode only."""
    matrix = theta.new_zeros(net.dim, net.dim)
    for x, y in net.chunks(STRIP):
        add_hessian_backward(net.on(x, y), theta, matrix)
    symmetric = symmetric_part(matrix)
    radius = 64 * net.dim * torch.finfo(matrix.dtype).eps * float(matrix.norm())
    return Hessian(symmetric, radius, {"rows": radius}, why)


def symmetric_part(matrix: Tensor, radius: Tensor | None = None, what: str = "model") -> Tensor:
    """(M + Mᵀ) / 2, nearer to the truth, which is symmetric.

    Args:
        matrix: the second derivatives that torch gives.
        radius: entrywise bounds on their rounding; without, what rounding may do is guessed.
        what: what to call it in the message.

    Raises:
        ArgumentError: M is not symmetric beyond rounding, so that some derivative is wrong.
    """
    if radius is None:
        allowed = matrix.new_tensor(1e-7 if matrix.dtype == torch.float64 else 1e-2)
        allowed = allowed * matrix.abs().max() if matrix.numel() else allowed
    else:
        allowed = radius + radius.t()
    off = (matrix - matrix.t()).abs()
    if bool((off > allowed).any()):
        raise ArgumentError(
            what,
            expected="second derivatives that do not depend on their order",
            got=f"second derivatives up to {float(matrix.abs().max()):.3g} that differ by "
            f"{float(off.max()):.3g} from those in the other order",
            cure="some operation has a wrong second derivative in torch: write it out in others",
        )
    return (matrix + matrix.t()) / 2
