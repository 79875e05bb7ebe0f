"""n₋(Hess f) of f = L + λ‖θ‖² as a function of λ, and for which λ no eigenvalue is zero."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64
from torch import Tensor

from morsescape.errors import ArgumentError
from morsescape.rounding.floats import down, up
from morsescape.spectrum.counts import Interval

_TINY = 2.0**-900


@dataclass(frozen=True)
class RidgeGap:
    """Values of λ between two eigenvalues of -½ Hess L, where the index of f is proved.

    Attributes:
        l2: the λ to take: 0 if that is one of them, else the middle by ratio.
        below, above: for every λ strictly between, no eigenvalue of Hess f is zero. `below` is 0
            where λ = 0 is one of them, `above` is infinite where nothing negative is proved.
        index: the one number n₋(Hess f) that is proved for all of them.
    """

    l2: float
    below: float
    above: float
    index: int

    @property
    def ratio(self) -> float:
        """How wide the gap is on a scale without a unit: above / below."""
        return self.above / self.below if self.below else math.inf

    @property
    def width(self) -> float:
        """How wide the gap is."""
        return self.above - self.below

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self) | {"ratio": self.ratio, "width": self.width}


@dataclass(frozen=True, eq=False)
class RidgeCurve:
    """n₋(Hess f) for f = L + λ‖θ‖², at all λ ≥ 0: Hess f = Hess L + 2λI.

    Each eigenvalue of Hess L is within `radius` of the given one, in order, so that those below
    -2λ - radius are certainly negative for f, those above -2λ + radius certainly positive.

    Attributes:
        eigenvalues: of Hess L (without 2λI), ascending, shape (D,).
        radius: proved bound on what each is off by, ≥ 0.
        most: a bound on n₋(Hess L) known otherwise, by structure or null vectors; None for D. It
            bounds the index at every λ, for that never grows with λ.

    Raises:
        ArgumentError: eigenvalues that are not finite or not ascending, or a negative radius.

    Source:
        Akhtiamov & Thomson, section 3, with 2λI for their λI.

    Example:
        >>> import torch
        >>> curve = RidgeCurve(torch.tensor([-2.0, -0.1, 0.0, 3.0]).double(), 1e-9)
        >>> curve.index(0.0), curve.index(0.5), curve.index(2.0)
        ((2, 3), (1, 1), (0, 0))
        >>> gap = curve.widest_gap()
        >>> gap.index, f"{gap.below:.1e} to {gap.above:.1e}"
        (2, '5.0e-10 to 5.0e-02')
    """

    eigenvalues: Float64[Tensor, "D"]
    radius: float
    most: int | None = None

    def __post_init__(self) -> None:
        values = self.eigenvalues
        if not bool(values.isfinite().all()) or bool((values.diff() < 0).any()):
            raise ArgumentError(
                "eigenvalues", expected="finite numbers, ascending", got="others",
                cure="sort them; a Hessian with nan or inf has no index",
            )  # fmt: skip
        if not 0 <= self.radius < math.inf:
            raise ArgumentError(
                "radius", expected="a finite bound, 0 or more", got=self.radius,
                cure="without a bound nothing is proved about signs",
            )  # fmt: skip

    def index(self, l2: float) -> Interval:
        """The interval (lo, hi) that holds n₋(Hess f) for this λ.

        Raises:
            ArgumentError: a negative λ.
        """
        if not 0 <= l2 < math.inf:
            raise ArgumentError("l2", expected="0 or more", got=l2, cure="pass 0 for no ridge")
        low, high = self._counts(np.array([l2]))
        return int(low[0]), int(high[0])

    def steps(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The whole curve: where λ starts a new step, from 0, and lo and hi on the open step."""
        values = self.eigenvalues.numpy()
        ends = np.concatenate([-values - self.radius, -values + self.radius]) / 2
        starts = np.unique(np.append(ends[ends > 0], 0.0))
        inside = np.append((starts[:-1] + starts[1:]) / 2, 2 * starts[-1] + 1)
        return starts, *self._counts(inside)

    def gaps(self) -> tuple[RidgeGap, ...]:
        """All gaps that are proved, widest ratio first."""
        found = (self._gap(index) for index in range(1, self._proved() + 1))
        return tuple(sorted((gap for gap in found if gap), key=lambda gap: -gap.ratio))

    def widest_gap(self) -> RidgeGap:
        """The gap of the largest ratio: λ may then change by the largest factor, up and down.

        The ratio comes first because λ has no natural unit and is chosen by its order of magnitude;
        the widest gap by difference lies among the most negative eigenvalues, where 2λ is as
        large as the curvature of L itself. If nothing negative is proved, the half-line of all λ
        at which f is certainly convex near the point.
        """
        return next(iter(self.gaps()), self.convex)

    def widest_by_difference(self) -> RidgeGap:
        """The gap of the largest above - below."""
        return max(self.gaps(), key=lambda gap: gap.width, default=self.convex)

    @property
    def convex(self) -> RidgeGap:
        """The half-line of λ at which Hess f is proved positive definite: index 0."""
        below = self._positive_above(float(self.eigenvalues[0]))
        return RidgeGap(2 * below, below, math.inf, 0)

    def to_json(self) -> dict[str, Any]:
        """What follows from the eigenvalues, as JSON values; they themselves are not repeated."""
        return {
            "hessian": "Hess L + 2 l2 I",
            "index_without_ridge": list(self.index(0.0)),
            "radius": self.radius,
            "gaps": len(self.gaps()),
            "widest_gap": self.widest_gap().to_json(),
            "widest_by_difference": self.widest_by_difference().to_json(),
            "convex_above": self.convex.below,
        }

    # -- inside -------------------------------------------------------------------------------

    def _counts(self, l2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Thresholds are moved outwards by one rounding, so that the proof holds for floats."""
        values = self.eigenvalues.numpy()
        surely = np.nextafter(-2 * l2 - self.radius, -np.inf)
        perhaps = np.nextafter(-2 * l2 + self.radius, np.inf)
        low = np.searchsorted(values, surely, "left")
        high = np.searchsorted(values, perhaps, "right")
        return low, high if self.most is None else np.minimum(high, max(self.most, 0))

    def _proved(self) -> int:
        """How many eigenvalues are proved negative: above them there may be a gap."""
        return int((self.eigenvalues < -self.radius).sum())

    def _gap(self, index: int) -> RidgeGap | None:
        """The gap above the `index` most negative eigenvalues, if it is wider than the radius."""
        lower = float(self.eigenvalues[index - 1])
        above = down(-lower - self.radius) / 2
        following = float(self.eigenvalues[index]) if index < len(self.eigenvalues) else math.inf
        below = self._positive_above(following)
        l2 = math.sqrt(below) * math.sqrt(above)
        if not (below < above and self.index(l2) == (index, index)):
            return None
        return RidgeGap(l2, below, above, index)

    def _positive_above(self, value: float) -> float:
        """An eigenvalue computed as this is proved positive for f at every λ above the result."""
        if value > up(self.radius):
            return 0.0
        least = max(self.radius, _TINY) * 2.0**-50  # where both are the same but for rounding
        return max(up(self.radius - value), least) / 2
