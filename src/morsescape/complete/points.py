r"""Critical points that are proved to exist, one in each small box, with their index and value.

For a box X = z + [-ρ, ρ] and any matrix C, let

    K(X) = z - C ∇f(z) + (I - C Hess f(X)) (X - z).

If K(X) lies in the interior of X, there is exactly one critical point in X, it lies in K(X), and
every matrix in Hess f(X) is regular, so that the index is the same on all of X (Krawczyk 1969;
Moore 1977; Neumaier 1990, section 5.1). With the approximate eigenvectors V, Gershgorin discs of
Vᵀ Hess f(X) V that avoid zero have the signs of Hess f (Sylvester). At the critical point x the
first-order term vanishes, so f(x) = f(z) - ½ (z - x)ᵀ Hess f(ξ) (z - x).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from morsescape.complete.contract import contraction, inverses
from morsescape.complete.intervals import Interval, above, below, product
from morsescape.complete.on_boxes import Enclosures, middle
from morsescape.store.codec import Saved

_NEWTON = 8  # steps towards a point
_RADII = (1.0, 30.0, 1e3)  # of the box that is tried, in what the first is
_ULPS = 2.0**-49  # of coordinates: the least radius


@dataclass(frozen=True, eq=False)
class ProvedPoint(Saved):
    """A nondegenerate critical point, proved.

    Attributes:
        theta: a point near it, shape (D,).
        radius: it is within this of θ, in the largest norm.
        index: the number of negative eigenvalues of its Hessian.
        value: f there lies in this interval.
        box: it is the only critical point within this of θ, in the largest norm.
        contraction: the norm of I - C Hess f on that box, below 1.
    """

    theta: Float64[Tensor, "D"]
    radius: float
    index: int
    value: tuple[float, float]
    box: float
    contraction: float

    @property
    def certificate(self) -> str:
        """What is proved of it."""
        return (
            f"proved: exactly one critical point within {self.box:.2g} of this, it is within "
            f"{self.radius:.2g}, nondegenerate, of index {self.index} (Krawczyk; "
            f"contraction {self.contraction:.2g})"
        )

    def __str__(self) -> str:
        low, high = self.value
        return f"index {self.index}, f = {low:.10g} (+{high - low:.1g}), {self.certificate}"


@dataclass(frozen=True, eq=False)
class Found:
    """Proved points (N, D): where they are, where each is the only one, and what they are."""

    theta: Tensor
    place: Interval  # it lies there
    only: Interval  # it is the only one there
    index: Tensor
    value: Interval
    contraction: Tensor

    def __len__(self) -> int:
        return len(self.theta)

    def __getitem__(self, index: object) -> Found:
        return Found(
            self.theta[index], self.place[index], self.only[index], self.index[index],  # type: ignore[index]
            self.value[index], self.contraction[index],  # type: ignore[index]
        )  # fmt: skip

    def point(self, k: int) -> ProvedPoint:
        """One of them, at the middle of where it lies."""
        theta = middle(self.place[k])
        gaps = self.place.high[k] - theta, theta - self.place.low[k]
        away = max(float(above(x).max()) for x in gaps)
        gaps = self.only.high[k] - theta, theta - self.only.low[k]
        alone = min(float(below(x).min()) for x in gaps)
        value = float(self.value.low[k]), float(self.value.high[k])
        return ProvedPoint(
            theta, away, int(self.index[k]), value, alone,
            float(self.contraction[k]),
        )  # fmt: skip


def newton(f: Enclosures, points: Tensor) -> Tensor:
    """Where Newton's method leads in float64; NaN where to infinity."""
    for _ in range(_NEWTON):
        gradient, hessian = f.computed(points)
        step, failed = torch.linalg.solve_ex(hessian, gradient[..., None])
        step = torch.where(failed[:, None, None] == 0, step, torch.nan)[..., 0]
        points = points - step
        if not bool((step.abs() > 1e-15 * points.abs()).any()):
            break
        points = torch.where(points.isfinite(), points, torch.nan)
        if not bool(points.isfinite().any()):
            break
    return points


def proved(f: Enclosures, theta: Tensor) -> tuple[Tensor, Found]:
    """Which of the points (B, D) have a critical point near them, and what it is."""
    theta = theta.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)  # fails, or is right after all
    here = Interval(theta, theta)
    value, gradient = f.first(here)
    inverse = inverses(f.hessian(here))
    newton_step = product(inverse, gradient[..., None])[..., 0]
    size = theta.abs().amax(1, keepdim=True).clamp_min(1.0)
    least = 8 * newton_step.mag.amax(1, keepdim=True) + _ULPS * size
    done = torch.zeros(len(theta), dtype=torch.bool)
    parts: list[tuple[Tensor, Found]] = []
    for factor in _RADII:
        places = (~done).nonzero()[:, 0]
        if not len(places):
            break
        rho = (factor * least[places]).expand(-1, f.dim)
        good, found = krawczyk_test(
            f, theta[places], rho, inverse[places], newton_step[places], value[places]
        )
        done[places[good]] = True
        parts.append((places[good], found))
    order = torch.cat([places for places, _ in parts])
    whole = joined([found for _, found in parts])
    return done, whole[order.argsort()]


def krawczyk_test(
    f: Enclosures, theta: Tensor, rho: Tensor, inverse: Tensor, step: Interval, value: Interval
) -> tuple[Tensor, Found]:
    """Krawczyk's test on θ + [-ρ, ρ]: where it holds, and what is found there."""
    rho = torch.where(rho.isfinite(), rho, 0.0)
    box = Interval(below(theta - rho), above(theta + rho))
    steps = Interval(below(box.low - theta), above(box.high - theta))
    hessian = f.hessian(box)
    system = product(inverse, hessian)
    eye = torch.eye(f.dim, dtype=torch.float64)
    off = Interval(eye, eye) - system
    image = -step + (off * steps[:, None, :]).sum(-1)  # K(X) - z
    place = Interval(below(theta + image.low), above(theta + image.high))
    inside = (box.low < place.low) & (place.high < box.high)
    index, sure = _index(hessian)
    good = inside.all(1) & sure & hessian.finite.flatten(1).all(1)
    bend = (hessian * image[:, :, None] * image[:, None, :]).each(_flat).sum(1)
    value = value - Interval(bend.low / 2, bend.high / 2)
    share = contraction(system, steps.mag)
    found = Found(theta, place, box, index, value, share)
    return good, found[good]


def _index(hessian: Interval) -> tuple[Tensor, Tensor]:
    """The index of all symmetric matrices in each interval matrix, and where it is certain."""
    mid = (hessian.low / 2 + hessian.high / 2).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
    vectors = torch.linalg.eigh((mid + mid.mT) / 2).eigenvectors
    right = product(vectors.mT, hessian)  # Vᵀ H, and then (Vᵀ H) V
    congruent = product(vectors.mT, right.each(lambda x: x.mT))
    diagonal = congruent.each(lambda x: x.diagonal(dim1=1, dim2=2))
    rows = congruent.mag.sum(2) - congruent.mag.diagonal(dim1=1, dim2=2)
    rows = (rows + 2.0**-40 * congruent.mag.sum(2)) * (1 + 1e-12)
    positive, negative = diagonal.low - rows > 0, diagonal.high + rows < 0
    return negative.sum(1), (positive | negative).all(1)


def joined(parts: list[Found]) -> Found:
    """All points of some batches."""

    def cat(take: object) -> Tensor:
        return torch.cat([take(p) for p in parts])  # type: ignore[operator]

    return Found(
        cat(lambda p: p.theta),
        Interval(cat(lambda p: p.place.low), cat(lambda p: p.place.high)),
        Interval(cat(lambda p: p.only.low), cat(lambda p: p.only.high)),
        cat(lambda p: p.index),
        Interval(cat(lambda p: p.value.low), cat(lambda p: p.value.high)),
        cat(lambda p: p.contraction),
    )


def _flat(x: Tensor) -> Tensor:
    return x.flatten(1)
