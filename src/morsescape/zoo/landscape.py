"""A function with its critical points: what the entries of the zoo are made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from morsescape.objective import Objective

Point = tuple[float, ...]
Signs = tuple[int, int]  # index and nullity


@dataclass(frozen=True)
class Landscape:
    """A function with its critical points.

    Attributes:
        name: of the landscape.
        fn: fn(t, m) takes a sequence of numbers and a module with exp, cos and tanh, so that torch,
            mpmath and intervals evaluate the same formula.
        dim: number of variables.
        critical: isolated or representative critical points with (index, nullity).
        source: where it comes from.
        coercive: f → ∞ as |t| → ∞; with nondegenerate points only, Σ(-1)^index = 1.
        complete: whether `critical` (or `family`) has all critical points.
        family: (index, nullity) of a critical point that is one of infinitely many; None for a
            point that is not critical.
        box: random starts are drawn from [-box, box]^dim.
        passes: f at the points of index 1, in the order of `critical`, to 10⁻¹⁰; empty if they are
            not listed.

    Example:
        >>> points = (((0.0,), (0, 0)),)
        >>> well = Landscape("well", lambda t, m: t[0] ** 2, 1, points, "by hand", True)
        >>> well.signs_at(torch.zeros(1).double()), well.morse
        ((0, 0), True)
    """

    name: str
    fn: Callable[[Sequence[Any], Any], Any]
    dim: int
    critical: tuple[tuple[Point, Signs], ...]
    source: str
    coercive: bool
    complete: bool = True
    family: Callable[[Point], Signs | None] | None = None
    box: float = 2.0
    passes: tuple[float, ...] = ()
    vector: Callable[[Tensor], Tensor] | None = None

    def objective(self) -> Objective:
        """The landscape as an `Objective` of `dim` variables."""
        if self.vector is not None:
            return Objective.from_function(self.vector, self.dim)
        return Objective.from_function(lambda t: self.fn(t.unbind(), torch), self.dim)

    def signs_at(self, theta: Tensor, tol: float = 1e-4) -> Signs | None:
        """(index, nullity) of the critical point within `tol` of θ; None if there is none."""
        point = tuple(theta.tolist())
        if self.family is not None:
            return self.family(point)
        for where, signs in self.critical:
            if math.dist(point, where) <= tol * max(1.0, math.hypot(*where)):
                return signs
        return None

    def starts(self, count: int, seed: int) -> list[Tensor]:
        """Random starts, uniform in the box, each of shape (dim,)."""
        generator = torch.Generator().manual_seed(seed)
        uniform = torch.rand(count, self.dim, generator=generator, dtype=torch.float64)
        return list(self.box * (2 * uniform - 1))

    @property
    def morse(self) -> bool:
        """Whether all listed points are nondegenerate."""
        return self.family is None and all(nullity == 0 for _, (_, nullity) in self.critical)
