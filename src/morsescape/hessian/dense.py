"""The exact dense Hessian of L, with a proved bound on its rounding."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from morsescape.errors import ArgumentError, first_line, is_out_of_memory
from morsescape.hessian.assembly import Assembly
from morsescape.hessian.enclosed_matrix import STRIP, EnclosedMatrix, symmetric_part
from morsescape.hessian.entrywise import entrywise_hessian
from morsescape.hessian.free_memory import free_memory
from morsescape.hessian.layers import linear_layers
from morsescape.hessian.tangents import choose
from morsescape.model.reverse import add_hessian_backward
from morsescape.model.source import Source
from morsescape.progress import StageProgress
from morsescape.rounding.balls import NoErrorRule
from morsescape.rounding.enclose import Enclosure, Values
from morsescape.rounding.floats import INFLATION
from morsescape.rounding.one_rounding import Sharp
from morsescape.rounding.program import NotTraceable
from morsescape.rounding.ties import pooling_ties

BUDGET = 2**29  # bytes for one chunk's tangents and gathered samples; the matrix comes on top


def exact_hessian(
    source: Source,
    theta: Tensor,
    *,
    bounded: bool = True,
    budget: int = BUDGET,
    progress: StageProgress | None = None,
) -> EnclosedMatrix:
    """Hess L(theta) in the dtype of L, over all samples.

    With `bounded` the result's radius is proved by ball arithmetic; an operation that has no
    error rule makes it an estimate, and the result says so.

    Raises:
        ArgumentError: a model that reads numbers out of tensors, so that no program describes it.

    Example:
        >>> from morsescape.model.function import Function
        >>> cubic = Function(lambda v: v[0] ** 2 * v[1], 2)
        >>> h = exact_hessian(cubic, torch.tensor([1.0, 3.0]).double())
        >>> h.matrix.tolist(), h.radius < 1e-14, h.estimate
        ([[6.0, 2.0], [2.0, 0.0]], True, None)
    """
    theta = theta.detach()
    _check_memory(source)
    route = _route(source, theta, budget, progress)
    try:
        found = source.programs.where_it_branches(lambda: _computed(route, bounded))
    except NotTraceable as reason:
        # f may be another function on every chunk of several.
        if reason.reads_numbers and not source.loss.at_once:
            raise ArgumentError(
                "model",
                expected="operations on tensors alone, the same for every input",
                got=str(reason),
                cure="write it with torch.where instead of `if` and `.item()`",
            ) from None
        found = _by_rows(source, theta, f"its program cannot be recorded: it is {reason}")
    except (RuntimeError, NotImplementedError, TypeError, IndexError, ValueError) as error:
        if is_out_of_memory(error) or isinstance(error, ArgumentError):
            raise
        found = _by_rows(source, theta, f"torch.func cannot transform it: {first_line(error)}")
    if found.estimate is None:
        ties = pooling_ties((source.on(x, y) for x, y in source.chunks(STRIP)), theta)
        found = replace(found, kinks=found.kinks + ties)
    return _with_doubts(source, found)


def hessian_on_box(
    source: Source, theta: Tensor, width: float, *, budget: int = BUDGET
) -> EnclosedMatrix:
    """Hess L(theta), with a radius that holds for Hess L(x) at all x with |x - theta|_oo <= width.

    The same programs are run on a box instead of a point. `kinks` counts the branches that some x
    in the box may take otherwise: with any, the radius is that of one smooth piece.

    Raises:
        NoErrorRule, NotTraceable: nothing can be proved about this L.
    """
    route = _route(source, theta.detach(), budget, None, width)
    return _with_doubts(source, source.programs.where_it_branches(route.on_box))


def _check_memory(source: Source) -> None:
    """Refuse a matrix that has no room, before anything is allocated."""
    item, free = source.theta.element_size(), free_memory()
    needed = item * source.dim**2 / 2**30
    if needed > free:
        raise ArgumentError(
            source.what,
            expected=f"a Hessian that fits into the free memory, {free:,.1f} GiB",
            got=f"{source.dim:,} parameters, whose dense Hessian takes {needed:,.1f} GiB",
            cure="freeze parameters (requires_grad_(False)) to study those of some layers, or use "
            "f.hvp, which needs no matrix",
        )


def _with_doubts(source: Source, found: EnclosedMatrix) -> EnclosedMatrix:
    """What is known of the model and its loss apart from the rounding of their programs."""
    scale = source.loss.scale_error  # of the divisor of all shares
    if scale:
        found = replace(
            found, radius=found.radius + scale * float(found.matrix.norm()) * (1 + 1e-9)
        )
    if scale and found.spread is not None:  # row sums of |H|, v = 1
        sums = torch.cat([part.abs().sum(1) for part in found.matrix.split(STRIP)])
        found = replace(found, spread=found.spread + scale * sums * INFLATION)
    return found.doubted(source.doubts)


def _route(source: Source, *how: Any) -> _ByEntries:
    return (_ByChunks if source.of_samples else _ByEntries)(source, *how)


def _computed(route: _ByEntries, bounded: bool) -> EnclosedMatrix:
    """With a bound, where every operation has a rule, or with an estimate."""
    why = "rounding was not followed"
    if bounded:
        try:
            return route.proved()
        except NoErrorRule as missing:
            why = missing.sentence
    return route.estimated(why)


@dataclass(frozen=True)
class _ByEntries:
    """One program of all second derivatives."""

    source: Source
    theta: Tensor
    budget: int
    progress: StageProgress | None
    width: float = 0.0

    def proved(self) -> EnclosedMatrix:
        return entrywise_hessian(self.source, self.theta)

    def estimated(self, why: str) -> EnclosedMatrix:
        return _by_rows(self.source, self.theta, why)

    def on_box(self) -> EnclosedMatrix:
        return entrywise_hessian(self.source, self.theta, self.width)


class _ByChunks(_ByEntries):
    """Tangents of the outputs of layers, chunk by chunk."""

    def proved(self) -> EnclosedMatrix:
        machine = Sharp if self.theta.dtype == torch.float64 else Enclosure
        return _enclosed(self._assembled(machine), untouched=True)

    def estimated(self, why: str) -> EnclosedMatrix:
        try:
            assembly = self._assembled(Values)
        except RuntimeError as error:
            if is_out_of_memory(error):  # rows would take more, not less
                raise
            return _by_rows(self.source, self.theta, why)  # torch lacks a forward derivative
        parts = assembly.bound.parts()
        parts["samples"] = 64 * parts["sums"]  # a guess at what was not followed
        return EnclosedMatrix(assembly.matrix, sum(parts.values()), parts, why)

    def on_box(self) -> EnclosedMatrix:
        return _enclosed(self._assembled(partial(Enclosure, ties=True)), untouched=False)

    def _assembled(self, machine: Callable[[], Any]) -> Assembly:
        plan = choose(self.source, linear_layers(self.source, self.theta))
        assembly = Assembly(self.source, self.theta, plan, machine, self.budget, self.width)
        assembly.run(self.progress)
        return assembly


def _enclosed(assembly: Assembly, *, untouched: bool) -> EnclosedMatrix:
    parts = assembly.bound.parts()
    radius = sum(parts.values())
    found = EnclosedMatrix(assembly.matrix, radius, parts, None, assembly.bound.kinks)
    found = replace(found, spread=assembly.spread_of_errors())
    if not untouched:
        return found
    return replace(found, untouched=assembly.untouched(), patterns=assembly.patterns)


def _by_rows(source: Source, theta: Tensor, why: str) -> EnclosedMatrix:
    """Double backward, a row at a time: slow, but it needs reverse mode only."""
    matrix = theta.new_zeros(source.dim, source.dim)
    for x, y in source.chunks(STRIP):
        add_hessian_backward(source.on(x, y), theta, matrix)
    matrix = symmetric_part(matrix, None, source.what)
    radius = 64 * source.dim * torch.finfo(matrix.dtype).eps * float(matrix.norm())
    radius = radius if math.isfinite(radius) else math.inf
    return EnclosedMatrix(matrix, radius, {"rows": radius}, why)
