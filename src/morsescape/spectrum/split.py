"""What the Gauss-Newton part contributes to the extreme eigenvalues of a Hessian: H = G + R."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import torch
from jaxtyping import Float64
from torch import Tensor

from morsescape.errors import is_out_of_memory
from morsescape.hessian.enclosed_matrix import EnclosedMatrix
from morsescape.hessian.gauss_newton import (
    gauss_newton_curvatures,
    gauss_newton_products,
)
from morsescape.model.source import Source
from morsescape.progress import StageProgress
from morsescape.spectrum.extreme import extreme_eigenvectors
from morsescape.store.codec import Saved

DIRECTIONS = 15  # at each end
_ACCURATE = 1e-3  # of |λ|: a residual below it is small enough for a picture


class SplitStatus(Enum):
    """Whether the extreme eigenvalues were split."""

    SPLIT = (
        "all parts are estimates in float64; the residuals bound the error of λ, not of the parts"
    )
    ROUGH = "rough: some vectors are far from the eigenvectors looked for"
    NO_NETWORK = "not split: a function has no output at which to split"
    NO_FORWARD = "not split: torch has no forward derivative for an operation of this model"
    NOT_FINITE = "not split: the Hessian is not finite"


@dataclass(frozen=True)
class Direction:
    """A unit vector v near an eigenvector of Hess L = G + R, and what each part contributes.

    Attributes:
        eigenvalue: vᵀ Hess L v.
        gauss_newton: vᵀ G v.
        rest: vᵀ R v, the difference.
        residual: ‖Hess L v - λ v‖; an eigenvalue of Hess L is within it of `eigenvalue`.
    """

    eigenvalue: float
    gauss_newton: float
    rest: float
    residual: float


@dataclass(frozen=True)
class Split(Saved):
    """Hess L = G + R at both ends of its spectrum.

    Attributes:
        top: along eigenvectors of the largest eigenvalues, from the largest down.
        bottom: along those of the negative ones, from the most negative up.
        own: (value, residual) of the Ritz pairs of G on the space of `top`, from the largest down.
            The k-th is at most the k-th eigenvalue of G (Cauchy), and some eigenvalue of G is
            within the residual.
        semidefinite: whether G is known to be positive semidefinite, as the loss is convex in the
            output. Then a negative λ needs a vᵀ R v that is at least as negative.
        status: whether this is all there is.
    """

    top: tuple[Direction, ...]
    bottom: tuple[Direction, ...]
    own: tuple[tuple[float, float], ...]
    semidefinite: bool
    status: SplitStatus


def split_ends(
    source: Source,
    theta: Float64[Tensor, "D"],
    hessian: EnclosedMatrix,
    eigenvalues: Float64[Tensor, "E"],
    radius: float,
    *,
    most: int = DIRECTIONS,
    progress: StageProgress | None = None,
) -> Split:
    """Split the largest and the most negative eigenvalues of Hess L into the parts of G and R.

    Only eigenvalues whose sign is proved are taken: the vectors of others are arbitrary.

    Args:
        source: L; a plain function gives a split without directions, which says so.
        theta: the point.
        hessian: Hess L(θ).
        eigenvalues: of Hess L(θ), ascending, all D; none where it is not finite.
        radius: how far they may be from the true ones.
        most: directions at each end, at most.
        progress: called as progress(done, total).

    Source:
        The decomposition and its use for outliers: Sagun et al. (2017); Papyan (2019).

    Example:
        >>> from morsescape.objective import Objective
        >>> model = torch.nn.Linear(2, 1)
        >>> f = Objective(model, "mse", (torch.eye(2), torch.zeros(2, 1)))
        >>> values = torch.linalg.eigvalsh(f.hessian(f.theta))
        >>> split = split_ends(f.source, f.theta, f.enclosed_hessian(f.theta), values, 1e-12)
        >>> [f"{one.gauss_newton:.1f} + {abs(one.rest):.1f}" for one in split.top]
        ['3.0 + 0.0', '1.0 + 0.0']
    """
    if not source.of_samples:
        return _without(SplitStatus.NO_NETWORK, False)
    if not hessian.finite:
        return _without(SplitStatus.NOT_FINITE, source.loss.convex)
    largest = min(most, int((eigenvalues > radius).sum()))
    lowest = min(most, int((eigenvalues < -radius).sum()))
    matrix, step = hessian.matrix, _Steps(source.samples, progress)
    up = extreme_eigenvectors(matrix, eigenvalues, largest, largest=True)
    down = extreme_eigenvectors(matrix, eigenvalues, lowest, largest=False)
    try:
        moved = gauss_newton_products(source, theta, up.t().contiguous(), progress=step.first)
        curved = gauss_newton_curvatures(source, theta, down.t().contiguous(), progress=step.second)
    except (NotImplementedError, RuntimeError) as error:
        if is_out_of_memory(error):  # no property of the model
            raise
        return _without(SplitStatus.NO_FORWARD, source.loss.convex)
    top = _directions(matrix, up, (up.t() * moved).sum(1))
    bottom = _directions(matrix, down, curved)
    found = zip((*top, *bottom), (*eigenvalues.flip(0)[:largest], *eigenvalues), strict=False)
    accurate = all(_accurate(one, float(known), radius) for one, known in found)
    status = SplitStatus.SPLIT if accurate else SplitStatus.ROUGH
    return Split(top, bottom, _ritz(up, moved), source.loss.convex, status)


def _without(status: SplitStatus, semidefinite: bool) -> Split:
    return Split((), (), (), semidefinite, status)


def _directions(matrix: Tensor, vectors: Tensor, parts: Tensor) -> tuple[Direction, ...]:
    moved = matrix @ vectors
    values = (vectors * moved).sum(0)
    residuals = (moved - vectors * values).norm(dim=0)
    columns = (values, parts, values - parts, residuals)
    return tuple(Direction(*row) for row in torch.stack(columns, 1).tolist())


def _accurate(one: Direction, known: float, radius: float) -> bool:
    """A small residual, at the eigenvalue that is known, so that none was passed over."""
    near = abs(one.eigenvalue - known) <= radius + one.residual
    return near and one.residual <= _ACCURATE * abs(one.eigenvalue)


def _ritz(vectors: Tensor, moved: Tensor) -> tuple[tuple[float, float], ...]:
    """Ritz values of G on the span of orthonormal columns, from their products (k, D)."""
    form = moved @ vectors
    values, rotation = torch.linalg.eigh((form + form.t()) / 2)
    residuals = (moved.t() @ rotation - vectors @ rotation * values).norm(dim=0)
    return tuple(zip(values.flip(0).tolist(), residuals.flip(0).tolist(), strict=True))


class _Steps:
    """Two passes over the samples as one row of steps."""

    def __init__(self, samples: int, progress: StageProgress | None) -> None:
        self.samples, self.progress = samples, progress

    def first(self, done: int, _total: int) -> None:
        if self.progress is not None:
            self.progress(done, 2 * self.samples)

    def second(self, done: int, _total: int) -> None:
        if self.progress is not None:
            self.progress(self.samples + done, 2 * self.samples)
