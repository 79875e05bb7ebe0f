"""What is computed beside the proof: naive counts, and the ends of the spectrum."""

from __future__ import annotations

import torch
from torch import Tensor

from morsescape.experiments.point import Point
from morsescape.hessian.value import Hessian
from morsescape.progress import Progress, stage
from morsescape.spectrum.inertia import Inertia
from morsescape.spectrum.lanczos import ends, lanczos, random_start
from morsescape.spectrum.naive import count_negative, raw_eigenvalues

RAW = ("float32", "float64")
_FEW = 20  # up to here all eigenvalues cost nothing
_END = 1e-10  # residual against ‖Hess f‖ at which an end of the spectrum counts as found
Ends = tuple[float | None, float | None]


def naive_counts(
    point: Point, hessian: Hessian, counted: Inertia, raw: bool, progress: Progress | None
) -> tuple[dict[str, int | None], Tensor | None]:
    """Signs of computed eigenvalues in float32 and float64, and the eigenvalues in float64."""
    proved = counted.eigenvalues
    eigenvalues = None if proved is None else torch.tensor(proved, dtype=torch.float64)
    if not raw or not point.f.source.of_samples or not hessian.finite:
        return dict.fromkeys(RAW), eigenvalues
    step = stage(progress, "naive counts") or (lambda done, total: None)
    step(0, 1)
    by_type = raw_eigenvalues(hessian)
    step(1, 1)
    return {name: count_negative(by_type[name]) for name in RAW}, by_type["float64"]


def computed_ends(point: Point, hessian: Hessian, eigenvalues: Tensor | None) -> Ends:
    """The smallest and the largest eigenvalue of Hess f, computed, not proved."""
    if eigenvalues is not None:
        return float(eigenvalues.min()), float(eigenvalues.max())
    if not hessian.finite:
        return None, None
    matrix, shift = hessian.enclose().matrix, 2 * point.f.l2
    if len(matrix) < _FEW:
        values = torch.linalg.eigvalsh(matrix) + shift
        return float(values[0]), float(values[-1])
    # A start that is fixed, so that the same run gives the same digits.
    start = random_start(len(matrix))
    found = lanczos(matrix.mv, start, count=2, order=ends, tol=_END)
    sure = found.residuals <= 100 * _END * found.values.abs().max()
    both = [float(v) + shift if s else None for v, s in zip(found.values, sure, strict=True)]
    return both[0], both[-1]
