"""Where the quadratic model of a step comes from: the dense Hessian, or its products."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float64
from torch import Tensor

from morsescape.critical.evaluations import Counted
from morsescape.critical.quadratic_model import (
    Absolute,
    Factored,
    Metric,
    Model,
    dense_model,
    krylov_model,
)
from morsescape.hessian.regime import regime

_REFRESH = 120  # products since the last factorisation that cost about as much as a new one
_LOOSE, _TIGHT = 0.1, 1e-4  # share of the gradient that a Krylov model may leave


@runtime_checkable
class Curvature(Protocol):
    """Makes the quadratic model at a point."""

    def model(self, theta: Tensor, gradient: Tensor) -> Model | None:
        """The model; None where the Hessian is not finite."""

    @property
    def changed(self) -> bool:
        """Whether lengths are measured anew since the last model, so that a radius is void."""


class Dense:
    """All eigenpairs of the dense Hessian."""

    changed = False

    def __init__(self, problem: Counted) -> None:
        self.problem = problem

    def model(self, theta: Tensor, gradient: Tensor) -> Model | None:
        """Exact."""
        hessian = self.problem.hessian_at(theta)
        return dense_model(*hessian.eigh(), gradient) if hessian.finite else None


def metric_at(problem: Counted, theta: Float64[Tensor, "D"]) -> Metric | None:
    """That of the dense Hessian at θ, of some samples where there are many; None if not finite.

    |H| from all eigenpairs up to 1,500 variables, above H + shift·I.
    """
    if not regime(problem.dim).eigenpairs:
        return factored_at(problem, theta)
    matrix = problem.rough_hessian(theta)
    if not bool(matrix.isfinite().all()):
        return None
    values, vectors = torch.linalg.eigh(matrix)
    return Absolute(values, vectors, 2 * problem.f.l2)


def factored_at(
    problem: Counted, theta: Float64[Tensor, "D"], *, exact: bool = False
) -> Factored | None:
    """That of H + shift·I, however many variables there are; None if H is not finite."""
    matrix = problem.handed_over(theta) if exact else problem.rough_hessian(theta)
    return Factored(matrix, 2 * problem.f.l2) if bool(matrix.isfinite().all()) else None


class Anchor:
    """The metric of the dense Hessian at an earlier point, renewed when stale.

    Args:
        problem: the landscape.
        exact: of all samples, however many: where the softest modes matter, which some samples do
            not tell (60,000 images: 5 products for a step instead of 100).

    Attributes:
        metric: the one in use, None before the first and where the Hessian was not finite.
        products: with the Hessian since it was made; to be counted by whoever makes them.
    """

    def __init__(self, problem: Counted, *, exact: bool = False) -> None:
        self.problem, self.exact = problem, exact
        self.metric: Factored | None = None
        self.theta: Tensor | None = None  # where it was made
        self.products = 0

    def at(self, theta: Tensor) -> Factored | None:
        """The metric for steps from θ: made there, if the last one has cost its price again."""
        price = _REFRESH * (1.0 if self.exact else self.problem.rough_share)
        if self.metric is not None and self.products < price:
            return self.metric
        return self._renewed(theta)

    def of(self, theta: Tensor) -> Factored | None:
        """That of H at θ itself."""
        made_here = self.theta is not None and torch.equal(self.theta, theta)
        return self.metric if made_here else self._renewed(theta)

    def _renewed(self, theta: Tensor) -> Factored | None:
        self.metric = None  # frees the old factor before the new matrix is made
        self.metric, self.products = factored_at(self.problem, theta, exact=self.exact), 0
        self.theta = theta
        return self.metric


class Krylov:
    """A Krylov space of Hessian products, preconditioned by a factor that is renewed when stale.

    The dense Hessian at an earlier point, shifted until it has a Cholesky factor, turns hundreds of
    products into a few; it is renewed once the products since cost about as much as a new one. The
    products are exact and at the current point, so a stale factor costs time, never correctness.

    Args:
        problem: the landscape.
        factored: precondition; otherwise products only, no matrix.
        size: products per model at most.
        to_zero: solve H s = -∇f also where H is indefinite, instead of stopping at negative
            curvature: for critical points of any index.
    """

    def __init__(
        self, problem: Counted, *, factored: bool, size: int = 250, to_zero: bool = False
    ) -> None:
        self.problem, self.factored = problem, factored
        self.size, self.to_zero = size, to_zero
        self.anchor = Anchor(problem)
        self.changed = False
        self._first_norm: float | None = None

    def model(self, theta: Tensor, gradient: Tensor) -> Model | None:
        """Up to `size` products at θ."""
        norm = float(gradient.norm())
        self._first_norm = self._first_norm or norm
        # Superlinear convergence needs residuals that shrink with the gradient (Dembo, Eisenstat &
        # Steihaug 1982, Theorem 2.3), here like its square root.
        tolerance = min(_LOOSE, max(_TIGHT, (norm / self._first_norm) ** 0.5))
        known = self.anchor.metric
        metric = self.anchor.at(theta) if self.factored else None
        self.changed = metric is not known
        before = self.problem.hvps
        model = krylov_model(
            lambda v: self.problem.hvp(theta, v),
            gradient,
            size=self.size,
            tolerance=tolerance,
            metric=metric,
            to_zero=self.to_zero,
        )
        self.anchor.products += self.problem.hvps - before
        return model if bool(model.vectors.isfinite().all()) else None


def curvature(problem: Counted, *, to_zero: bool = False) -> Curvature:
    """What is cheapest for this many variables."""
    route = regime(problem.dim)
    if route.eigenpairs:
        return Dense(problem)
    return Krylov(problem, factored=route.dense, to_zero=to_zero)
