"""Positive definite metrics of the Hessian at some images of a band, each for those around it."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float64
from torch import Tensor

from morsescape.critical.curvature import metric_at
from morsescape.critical.evaluations import Counted
from morsescape.critical.quadratic_model import Euclidean, Metric
from morsescape.hessian.regime import regime
from morsescape.objective import Objective
from morsescape.paths.found import hessian_cost

_BYTES = 2**29  # of all metrics of a band together


class Metrics:
    """P⁻¹ v for the images of a band: P = |H| from all eigenpairs, above 1,500 variables H + shift.

    Each image takes the metric of the anchor that is nearest to it, of at most so many as are asked
    for, fewer where their factors would not fit. A metric that is out of date
    costs steps, never correctness.

    Attributes:
        gradients: what the Hessians cost, in gradients of f.
        dense: whether Hessians pay at this size; otherwise P is the identity.
    """

    def __init__(self, f: Objective, most: int) -> None:
        self.f, self.gradients = f, 0
        self.dense = regime(f.dim).dense
        self._most = max(1, min(most, _BYTES // (8 * f.dim**2)))
        self._price = hessian_cost(f) if self.dense else 0
        self._metrics: list[Metric] = [Euclidean()]
        self._anchors = torch.zeros(1, f.dim, dtype=torch.float64)

    def renew(self, points: Float64[Tensor, "m D"], top: int) -> None:
        """Compute metrics at some of the points, the one at `top` among them."""
        if not self.dense:
            return
        self._metrics = []  # frees the old ones before new matrices are made
        places = spread(len(points), min(self._most, len(points)), top)
        found = [(k, metric_at(Counted(self.f), points[k])) for k in places]
        self.gradients += self._price * len(places)
        kept = [(k, metric) for k, metric in found if metric is not None]
        self._metrics = [metric for _, metric in kept] or [Euclidean()]
        self._anchors = points[[k for k, _ in kept] or [top]].clone()

    def solve(
        self, points: Float64[Tensor, "m D"], *vectors: Float64[Tensor, "m D"]
    ) -> list[Float64[Tensor, "m D"]]:
        """P⁻¹ of the rows of each of the vectors, in the metric at the row's point."""
        nearest = torch.cdist(points, self._anchors).argmin(1)
        found = [torch.empty_like(v) for v in vectors]
        for k, metric in enumerate(self._metrics):
            rows = (nearest == k).nonzero()[:, 0]
            if not len(rows):
                continue
            stacked = torch.cat([v[rows] for v in vectors]).t().contiguous()
            solved = metric.solve_transposed(metric.solve(stacked)).t()
            for out, part in zip(found, solved.split(len(rows)), strict=True):
                out[rows] = part
        return found


def spread(count: int, most: int, among: int) -> list[int]:
    """At most so many of `count` places, evenly, `among` one of them.

    Example:
        >>> spread(9, 3, 4), spread(5, 9, 0), spread(7, 1, 3)
        ([1, 4, 7], [0, 1, 2, 3, 4], [3])
    """
    if most >= count:
        return list(range(count))
    step = count / most
    first = math.fmod(among, step)
    return sorted({min(count - 1, round(first + k * step)) for k in range(most)} | {among})
