"""A path between two solutions, as a value."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from morsescape.errors import ArgumentError
from morsescape.objective import Objective
from morsescape.paths.curve import Curve
from morsescape.paths.height import Height, height_of
from morsescape.paths.profile import Profile, profile
from morsescape.progress import StageProgress
from morsescape.store.codec import Saved

_RISE = 0.05  # of the rise above the lower end: what is less is no top


@dataclass(frozen=True, eq=False)
class Path(Saved):
    """A curve γ: [0, 1] → Rᴰ between two solutions, and how high f is on it.

    Attributes:
        pieces: control points of its Bézier pieces, shape (n, k + 1, D); see `Curve`.
        height: an interval for max f on the curve, proved or an estimate that says why.
        method: how it was found.
        gradients: the cost in gradients of f; the proof is not counted.
        aligned: whether the end is b moved by a symmetry of f, which leaves f as it is.
        distances: ‖a - b‖ before and after that.
        same: whether both ends are one network up to such a symmetry.
        note: how the search ended.

    Example:
        >>> import torch, morsescape as ms
        >>> f = ms.Objective.from_function(lambda t: (t @ t - 1) ** 2 + t[1] / 4, 2)
        >>> ends = (torch.tensor(x).double() for x in ([-1.0, 0.0], [1.0, 0.0]))
        >>> path = ms.connect(f, *ends, method="line")
        >>> path(0.5).tolist(), path.height.low <= 1 <= path.height.high
        ([0.0, 0.0], True)
    """

    pieces: Tensor
    height: Height
    method: str
    gradients: int = 0
    aligned: bool = False
    distances: tuple[float, float] = (0.0, 0.0)
    same: bool = False
    note: str = ""
    f: Objective | None = field(default=None, repr=False)
    UNSAVED: ClassVar[tuple[str, ...]] = ("f",)

    def __call__(self, t: float) -> Tensor:
        """γ(t), shape (D,), t in [0, 1]; exactly the ends at 0 and 1."""
        return self.curve(t)

    @cached_property
    def curve(self) -> Curve:
        """γ, without what is known of f on it."""
        return Curve(self.pieces)

    @property
    def length(self) -> float:
        """Of γ in Rᴰ."""
        return self.curve.length

    @property
    def barrier(self) -> tuple[float, float]:
        """The rise of f above the higher end, as an interval; proved where the height is."""
        return self.height.barrier

    def tops(self) -> list[float]:
        """Where f is highest and, from there down, where else it has a local maximum: t in [0, 1].

        As far as samples tell; a rise by less than a twentieth of that above the lower end is none.
        """
        from scipy.signal import find_peaks  # late: it brings scipy.stats with it

        floor = min(end[0] for end in self.height.ends)
        t, values = zip(*self.height.samples, strict=True) if self.height.samples else ((), ())
        least = max(self.height.high - self.height.low, _RISE * (self.height.low - floor))
        peaks, _ = find_peaks(np.array([floor, *values, floor]), prominence=least)
        found = sorted((int(k) - 1 for k in peaks), key=lambda k: -values[k])
        return [t[k] for k in found] or [self.height.at]

    def proved(
        self, f: Objective | None = None, *, tol: float = 0.01, smooth: bool = False,
        progress: StageProgress | None = None,
    ) -> Path:  # fmt: skip
        """The same path with its height proved anew: of another f, or to another tolerance.

        Raises:
            ArgumentError: a loaded path without an f.
        """
        f = self.landscape(f)
        height = height_of(f, self.curve, tol=tol, smooth=smooth, progress=progress)
        return replace(self, height=height, f=f)

    def profile(self, f: Objective | None = None, **options: Any) -> Profile:
        """Loss, accuracy and gradient along the path; options as of `morsescape.paths.profile`."""
        return profile(self.landscape(f), self.curve, **options)

    def plot(self, ax: Any = None) -> Any:
        """Draw f along the path, with what is proved of it as a band."""
        from morsescape.figures import heights_figure

        return heights_figure([(self.method, self.height)], ax)

    def landscape(self, f: Objective | None = None) -> Objective:
        """The f that is meant: the given one, or that of the path.

        Raises:
            ArgumentError: there is neither.
        """
        if f is None and self.f is None:
            raise ArgumentError(
                "f", expected="a landscape: a path that was loaded has none", got="None",
                cure="pass the ms.Objective it was found on",
            )  # fmt: skip
        found: Any = f or self.f
        if found.dim != self.curve.dim:
            raise ArgumentError(
                "f", expected=f"a landscape of {self.curve.dim} variables, as the path",
                got=f"{found.dim}", cure="pass the one that the path was found on",
            )  # fmt: skip
        return found

    def __str__(self) -> str:
        low, high = self.barrier
        ends = "one network up to symmetry" if self.same else "the ends"
        rise = f"{low:.4g} to {high:.4g}" + (", estimate" if self.height.estimate else "")
        return (
            f"{self.method}: f {self.height}; above {ends} by {rise}; length {self.length:.4g}, "
            f"{self.gradients:,} gradients"
        )
