"""Why a search ended where it did: tests at the last point, each a few gradients."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from morsescape.critical.certificate import Certificate, CertificateStatus
from morsescape.critical.evaluations import Counted
from morsescape.critical.loop import Point, Stop
from morsescape.critical.result import SearchStatus
from morsescape.spectrum.index_bound import structure_of

_NEAR = 1e-6  # how far the probes reach, against the size of θ
_AS_IT_STOPPED = {
    Stop.UNBOUNDED: SearchStatus.UNBOUNDED,
    Stop.NOT_FINITE: SearchStatus.NOT_FINITE,
}
_SAME = 0.3  # a smooth remainder falls a hundredfold on a tenth of the distance; a jump stays


def diagnose(
    problem: Counted, point: Point, stop: Stop, certificate: Certificate, seed: int
) -> SearchStatus:
    """The status of a search that ended at `point` because of `stop`."""
    if stop in _AS_IT_STOPPED:
        return _AS_IT_STOPPED[stop]
    # Beside a proof a jump is rounding, as that of a cast to float32.
    proved = certificate.status is CertificateStatus.PROVED
    if not proved and _jumps(problem, point, seed):
        return SearchStatus.NOT_SMOOTH
    if stop is Stop.CONVERGED:
        return _converged(certificate)
    if stop is Stop.STEP_LIMIT:
        return SearchStatus.STEP_LIMIT
    if _at_wall(problem, point):
        return SearchStatus.WALL
    if certificate.status is CertificateStatus.GRADIENT_FLAT:
        return SearchStatus.GRADIENT_FLAT
    return SearchStatus.PRECISION


def _converged(certificate: Certificate) -> SearchStatus:
    if certificate.holds:
        return SearchStatus.MINIMUM if certificate.index[1] == 0 else SearchStatus.SADDLE
    if certificate.status is CertificateStatus.NOT_SMOOTH:
        return SearchStatus.PIECE
    if certificate.status is CertificateStatus.NOT_FINITE:
        return SearchStatus.NOT_FINITE
    if certificate.status is CertificateStatus.DEGENERATE:
        return SearchStatus.DEGENERATE
    return SearchStatus.UNDECIDED


def _at_wall(problem: Counted, point: Point) -> bool:
    """Whether f is not finite a little further down the gradient."""
    reach = _NEAR * max(1.0, float(point.theta.norm()))
    ahead = point.theta - point.gradient * (reach / point.norm)
    return not math.isfinite(problem.value(ahead))


def _jumps(problem: Counted, point: Point, seed: int) -> bool:
    """Whether ∇f jumps here: g(θ + hd) - g(θ - hd) - 2h Hd does not shrink with h."""
    structure = structure_of(problem.f.source)
    if structure.followed and not structure.not_smooth:
        return False
    generator = torch.Generator().manual_seed(seed)
    random = torch.randn(problem.dim, generator=generator, dtype=torch.float64)
    directions = [random] if point.norm == 0 else [random, point.gradient]
    return any(_jumps_along(problem, point, d / d.norm()) for d in directions)


def _jumps_along(problem: Counted, point: Point, direction: Tensor) -> bool:
    reach = _NEAR * max(1.0, float(point.theta.norm()))
    linear = problem.hvp(point.theta, direction)
    remainders = []
    for h in (10 * reach, reach):
        ahead = problem.value_and_gradient(point.theta + h * direction)[1]
        behind = problem.value_and_gradient(point.theta - h * direction)[1]
        remainders.append(float((ahead - behind - 2 * h * linear).norm()))
        size = max(float(ahead.norm()), float(behind.norm()))
    far, near = remainders
    return math.isfinite(far + near) and near > max(_SAME * far, 1e-3 * size, 1e-280)
