"""An objective that counts what is asked of it, and whose failures are values."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from morsescape.critical.failures import described
from morsescape.errors import is_out_of_memory
from morsescape.hessian.dense import exact_hessian
from morsescape.hessian.value import Hessian
from morsescape.objective import Objective

Result = TypeVar("Result")
ENOUGH = 10_000  # samples of a Hessian that serves as a metric: more make no better steps


@dataclass(frozen=True)
class Evaluations:
    """How often f, ∇f (f included), Hess f · v and the whole of Hess f were computed."""

    value: int = 0
    gradient: int = 0
    hvp: int = 0
    hessian: int = 0

    def __str__(self) -> str:
        return (
            f"{self.value:,} values, {self.gradient:,} gradients, {self.hvp:,} Hessian products, "
            f"{self.hessian:,} Hessians"
        )


class Counted:
    """f with its derivatives, counted. Where f or a derivative is not finite, f counts as +∞.

    So it does where f cannot be evaluated (a matrix that has no Cholesky factor there), once it
    could be: at the first point, errors of f are the caller's to see.
    """

    def __init__(self, f: Objective) -> None:
        self.f, self.dim = f, f.dim
        self.values = self.gradients = self.hvps = self.hessians = 0
        self.not_finite = 0  # how often a value or gradient was NaN or infinite
        self.failure = ""  # what f said where it could not be evaluated, the last time
        self._could = False  # whether f was ever evaluated
        self._kept: Hessian | None = None

    @property
    def evaluations(self) -> Evaluations:
        """The counts so far."""
        return Evaluations(self.values, self.gradients, self.hvps, self.hessians)

    def value(self, theta: Tensor) -> float:
        """f(θ); +∞ where it is NaN. -∞ stays, as a proof that f has no lower bound."""
        self.values += 1
        value = self._attempted(lambda: self.f.value(theta))
        return self._finite(math.nan if value is None else value)

    def value_and_gradient(self, theta: Tensor) -> tuple[float, Tensor]:
        """f(θ) and ∇f(θ); f counts as +∞ where the gradient is not finite."""
        self.gradients += 1
        found = self._attempted(lambda: self.f.value_and_gradient(theta))
        value, gradient = found or (math.nan, torch.full_like(theta, math.nan))
        if math.isfinite(value) and not bool(gradient.isfinite().all()):
            value = math.inf
        return self._finite(value), gradient

    def hvp(self, theta: Tensor, v: Tensor) -> Tensor:
        """Hess f(θ) v."""
        self.hvps += 1
        return self.f.hvp(theta, v)

    def hessian_at(self, theta: Tensor, *, bounded: bool = False) -> Hessian:
        """Hess f(θ), counted where it is computed; asked again at one point, it is the same value.

        With `bounded` its error is proved; one that was made without is replaced.
        """
        kept = self._kept
        if kept is not None and torch.equal(kept.theta, theta) and kept.bounded >= bounded:
            return kept
        self.hessians += 1
        self._kept = None  # two matrices at once may not fit
        made = self.f.hessian_at(theta, bounded=bounded)
        made.enclose()
        self._kept = made
        return made

    def handed_over(self, theta: Tensor) -> Tensor:
        """The same, in the memory of what was kept."""
        matrix = self.hessian_at(theta).release().matrix
        self._kept = None
        matrix.diagonal().add_(2 * self.f.l2)
        return matrix

    @property
    def rough_share(self) -> float:
        """The share of the samples of which `rough_hessian` is made."""
        return self.f.source.thinned(ENOUGH).samples / self.f.source.samples

    def rough_hessian(self, theta: Tensor) -> Tensor:
        """Hess f(θ) from some of the samples, for a metric; from all, where there are few."""
        share = self.rough_share
        if share == 1.0:
            return self.handed_over(theta)
        self.hessians += 1
        thin = self.f.source.thinned(ENOUGH)
        matrix = exact_hessian(thin, theta, bounded=False).matrix.div_(share)
        matrix.diagonal().add_(2 * self.f.l2)
        return matrix

    def _attempted(self, evaluate: Callable[[], Result]) -> Result | None:
        try:
            result = evaluate()
        except Exception as error:
            if not self._could or is_out_of_memory(error):
                raise
            self.failure = described(error)
            return None
        self._could = True
        return result

    def _finite(self, value: float) -> float:
        if math.isfinite(value):
            return value
        self.not_finite += 1
        return value if value == -math.inf else math.inf
