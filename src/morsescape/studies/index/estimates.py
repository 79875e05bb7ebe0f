"""What is computed beside the proof: naive counts, and the ends of the spectrum."""

from __future__ import annotations

import numpy as np
import scipy.sparse.linalg
import torch
from torch import Tensor

from morsescape.hessian.dense import Hessian
from morsescape.progress import Progress, stage
from morsescape.spectrum.inertia import Inertia
from morsescape.spectrum.naive import count_negative, raw_eigenvalues
from morsescape.studies.point import Point

RAW = ("float32", "float64")
Ends = tuple[float | None, float | None]


def naive_counts(
    point: Point, hessian: Hessian, counted: Inertia, raw: bool, progress: Progress | None
) -> tuple[dict[str, int | None], Tensor | None]:
    """Signs of computed eigenvalues in float32 and float64, and the eigenvalues in float64."""
    proved = counted.eigenvalues
    eigenvalues = None if proved is None else torch.tensor(proved, dtype=torch.float64)
    if not raw or point.f.network is None or not hessian.finite:
        return dict.fromkeys(RAW), eigenvalues
    step = stage(progress, "naive counts") or (lambda done, total: None)
    step(0, 1)
    by_type = raw_eigenvalues(point.f, point.theta, hessian.with_ridge(point.f.l2))
    step(1, 1)
    return {name: count_negative(by_type[name]) for name in RAW}, by_type["float64"]


def computed_ends(point: Point, hessian: Hessian, eigenvalues: Tensor | None) -> Ends:
    """The smallest and the largest eigenvalue of Hess f, computed, not proved."""
    if eigenvalues is not None:
        return float(eigenvalues.min()), float(eigenvalues.max())
    if not hessian.finite:
        return None, None
    matrix, shift = hessian.matrix.numpy(), 2 * point.f.l2
    if len(matrix) < 20:
        values = np.linalg.eigvalsh(matrix)
        return float(values[0]) + shift, float(values[-1]) + shift
    # A start that is fixed, so that the same run gives the same digits.
    start = np.random.default_rng(0).standard_normal(len(matrix))

    def end(which: str) -> float | None:
        try:
            (value,) = scipy.sparse.linalg.eigsh(
                matrix, k=1, which=which, v0=start, return_eigenvectors=False
            )
        except scipy.sparse.linalg.ArpackError:  # no convergence, or a Hessian that vanishes
            return None
        return float(value) + shift

    return end("SA"), end("LA")
