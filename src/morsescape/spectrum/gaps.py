"""Outliers of a spectrum: the eigenvalues above the widest gap among the largest."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from jaxtyping import Float64
from torch import Tensor

TOP = 20  # at least so many of the largest are looked at


@dataclass(frozen=True)
class Gap:
    """A gap between neighbours among the largest eigenvalues.

    Attributes:
        above: how many eigenvalues lie above it.
        lower, upper: its ends, computed eigenvalues.
        ratio: upper / lower.
        error: the ratio of the true eigenvalues is within this of it, if theirs is proved.
    """

    above: int
    lower: float
    upper: float
    ratio: float
    error: float


def window(classes: int | None) -> int:
    """Among how many of the largest eigenvalues outliers are looked for: three per class.

    Wide enough for C - 1 outliers and as much of the bulk again; narrow enough that the tail of the
    bulk, where neighbours are far apart too, is left out.

    Example:
        >>> window(10), window(2), window(None)
        (30, 20, 20)
    """
    return max(TOP, 3 * (classes or 0))


def top_gaps(eigenvalues: Float64[Tensor, "D"], radius: float, top: int = TOP) -> tuple[Gap, ...]:
    """Ratios of neighbours among the `top` largest eigenvalues above `radius`, widest first.

    A heuristic for counting outliers, without a threshold and without a unit: the bulk is said to
    end at the largest ratio. It always answers, so the ratio must be read beside that of the other
    neighbours (`typical_ratio`): where it is not much larger, there is no gap to speak of.

    Args:
        eigenvalues: ascending, shape (D,).
        radius: those above it are truly positive.
        top: how many to look at.

    Source:
        C - 1 outliers of a Hessian of cross-entropy, C classes: Sagun, Evci, Güney, Dauphin &
        Bottou, Empirical analysis of the Hessian of over-parametrized neural networks (2017);
        Papyan, Measurements of three-level hierarchical structure in the outliers in the spectrum
        of deepnet Hessians (2019).

    Example:
        >>> import torch
        >>> top_gaps(torch.tensor([-1.0, 0.5, 0.6, 6.0, 9.0]).double(), 1e-9)[0].above
        2
    """
    largest = [v for v in eigenvalues.flip(0)[:top].tolist() if v > radius and math.isfinite(v)]
    gaps = [_gap(above, *ends, radius) for above, ends in enumerate(pairwise(largest), start=1)]
    return tuple(sorted(gaps, key=lambda gap: -gap.ratio))


def typical_ratio(gaps: tuple[Gap, ...]) -> float | None:
    """The median ratio of the gaps other than the widest; None if there is no other.

    Example:
        >>> import torch
        >>> typical_ratio(top_gaps(torch.tensor([1.0, 1.5, 8.0]).double(), 1e-9))
        1.5
    """
    return median(gap.ratio for gap in gaps[1:]) if len(gaps) > 1 else None


def _gap(above: int, upper: float, lower: float, radius: float) -> Gap:
    ratio = upper / lower
    return Gap(above, lower, upper, ratio, (upper + radius) / (lower - radius) - ratio)
