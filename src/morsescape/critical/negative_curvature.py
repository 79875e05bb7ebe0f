"""Directions in which the curvature is certainly negative, and steps along them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from morsescape.critical.evaluations import Counted
from morsescape.critical.loop import Point
from morsescape.hessian.regime import regime
from morsescape.rounding.floats import U
from morsescape.spectrum.lanczos import Krylov, lanczos, random_start

_SETTLED, _PRODUCTS = 1e-3, 750  # residuals against |eigenvalue|; products at most
_SHORTEST = 1e-12  # steps against the size of θ


@dataclass(frozen=True)
class Directions:
    """Unit vectors v and an upper bound on vᵀ Hess f v for each, most negative first."""

    vectors: Tensor  # (D, k)
    curvatures: Tensor  # (k,)

    def __len__(self) -> int:
        return len(self.curvatures)


def negative_directions(
    problem: Counted,
    theta: Tensor,
    radius: float,
    seed: int,
    *,
    most: int = 20,
    share: float = 0.0,
) -> Directions:
    """Unit vectors whose curvature is below -radius, orthogonal up to rounding, at most `most`.

    With `share` it must also be below -share ‖Hess f‖_F: near a degenerate minimum eigenvalues are
    negative by a hair everywhere, and following them would never end.

    For each, vᵀ Hess f v < 0 is proved if `radius` bounds the error of the computed Hessian: its
    Rayleigh quotient is computed with a bound on its own rounding. Above 12,000 variables it is an
    estimate: products are those of automatic differentiation, and their norm stands for ‖Hess f‖_F.
    """
    vectors = _lowest(problem, theta, seed, most)
    if regime(problem.dim).dense:
        hessian = problem.hessian_at(theta)
        products, size = hessian.mm(vectors), hessian.norm
    else:
        products = torch.stack([problem.hvp(theta, v) for v in vectors.t()], 1)
        size = float(products.norm())
    rounding = 4 * (len(theta) + 4) * U * size
    curvatures = (vectors * products).sum(0) + rounding + radius
    keep = (curvatures < -share * size).nonzero().squeeze(1)
    keep = keep[curvatures[keep].argsort()]
    return Directions(vectors[:, keep], curvatures[keep])


def _lowest(problem: Counted, theta: Tensor, seed: int, most: int) -> Tensor:
    """Approximate eigenvectors of the lowest eigenvalues, of unit length."""
    route = regime(problem.dim)
    if route.eigenpairs:
        values, vectors = problem.hessian_at(theta).eigh()
        return vectors[:, : min(most, int((values < 0).sum()))]
    product = problem.hessian_at(theta).mv if route.dense else partial(problem.hvp, theta)
    count = min(most, 8)

    def settled(space: Krylov) -> bool:
        values, _, residuals = space.decomposed()
        return bool((residuals <= _SETTLED * values.abs())[:count].all()) and len(values) >= count

    start = random_start(problem.dim, seed=seed)
    found = lanczos(product, start, count=count, settled=settled, products=_PRODUCTS)
    return found.vectors / found.vectors.norm(dim=0)


def leave(problem: Counted, point: Point, directions: Directions) -> Point | None:
    """A point with a lower computed f, along the negative directions; None if there is none.

    The step mixes all of them, each against the slope, as Newton's step with |curvature| would,
    and the lowest at least as long as the rest, so that it moves where the slope is zero too.
    """
    lowest = directions.vectors[:, 0]
    slope = directions.vectors.t() @ point.gradient
    mixed = -(directions.vectors @ (slope / directions.curvatures.abs()))
    sign = -1.0 if float(slope[0]) > 0 else 1.0
    ways = [sign * lowest, -sign * lowest]
    if float(mixed.norm()) > 0:
        ways.insert(0, mixed / mixed.norm() + sign * lowest)
    for way in ways:
        found = _line_search(problem, point, way / way.norm())
        if found is not None:
            return found
    return None


def _line_search(problem: Counted, point: Point, direction: Tensor) -> Point | None:
    """Shrink until f falls, then double while it falls further."""
    size = max(1.0, float(point.theta.norm()))
    t, least = 1e-2 * size, _SHORTEST * size

    def at(t: float) -> float:
        return problem.value(point.theta + t * direction)

    best = at(t)
    while not best < point.value:
        t /= 4
        if t < least:
            return None
        best = at(t)
    while math.isfinite(best) and (further := at(2 * t)) < best:
        t, best = 2 * t, further
    found = Point.at(problem, point.theta + t * direction)
    return found if found.value < point.value else None
