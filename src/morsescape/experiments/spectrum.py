"""Figures 5.2 of the paper: the eigenvalues of one Hessian, its outliers and its gaps."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from morsescape.errors import ArgumentError
from morsescape.experiments.point import PointSettings, Progress, accuracy, make_point
from morsescape.spectrum.inertia import Inertia, inertia
from morsescape.store import RunFolder

TOP = 20  # the largest eigenvalues, among which outliers are looked for
_KEY = "point"


@dataclass(frozen=True)
class SpectrumSettings:
    """At which point to look; the seed is that of `index --runs 1`.

    Example:
        >>> print(SpectrumSettings(PointSettings(net="cnn"), seed=3).point)
        cnn (relu, max pooling) on digits, trained
    """

    point: PointSettings = field(default_factory=PointSettings)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ArgumentError("--seed", expected="0 or more", got=self.seed, cure="pass another")

    def identity(self) -> dict[str, Any]:
        """What the result depends on: the settings of its `RunFolder`."""
        import morsescape

        own = {"experiment": "spectrum", "seed": self.seed, "morsescape": morsescape.__version__}
        return self.point.identity() | own


@dataclass(frozen=True)
class Gap:
    """A gap between neighbours among the largest eigenvalues.

    Attributes:
        above: how many eigenvalues lie above it.
        lower, upper: its ends, computed eigenvalues.
        ratio: upper / lower.
    """

    above: int
    lower: float
    upper: float
    ratio: float


@dataclass(frozen=True, eq=False)
class SpectrumResult:
    """All eigenvalues of Hess f(θ), each within `inertia.radius` of the true one.

    Attributes:
        settings: what was asked for.
        eigenvalues: ascending, shape (D,).
        theta: the point, shape (D,).
        inertia: the counts that are proved, and what stands behind them.
        loss: L, without λ‖θ‖².
        accuracy: in [0, 1]; None without labels.
    """

    settings: SpectrumSettings
    eigenvalues: Float64[Tensor, "D"]
    theta: Float64[Tensor, "D"]
    inertia: Inertia
    loss: float
    accuracy: float | None

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """The gaps among the largest eigenvalues, widest ratio first."""
        return top_gaps(self.eigenvalues, self.inertia.radius)

    @property
    def outliers(self) -> int:
        """How many eigenvalues lie above the widest gap; 0 if there is no gap to speak of."""
        return self.gaps[0].above if self.gaps else 0

    def to_json(self) -> dict[str, Any]:
        """The object that `spectrum --json` writes."""
        point, counted = self.settings.point, self.inertia
        own = point.objective is not None
        values = counted.to_json()
        del values["eigenvalues"]
        count = self.outliers
        return {
            "net": None if own else point.net,
            "data": None if own else point.data,
            "at": "given" if own or point.checkpoint else point.at,
            "seed": self.settings.seed,
            "n_params": counted.dim,
            "loss": self.loss,
            "accuracy": self.accuracy,
            **values,
            "conclusion": counted.conclusion,
            "outliers": {
                "number": count,
                "values": self.eigenvalues.flip(0)[:count].tolist(),
                "definition": "the eigenvalues above the largest ratio of neighbours among the "
                f"{TOP} largest that are proved positive",
            },
            "gaps": [asdict(gap) for gap in self.gaps[:5]],
            "eigenvalues": self.eigenvalues.tolist(),
        }


def run_spectrum(
    settings: SpectrumSettings,
    folder: RunFolder | None = None,
    progress: Progress | None = None,
    *,
    notice: Callable[[str], None] | None = None,
) -> SpectrumResult:
    """Make the point and compute all eigenvalues, or take them from `folder` if they are there.

    Args:
        settings: at which point.
        folder: keeps the result, `RunFolder(path, settings.identity())`.
        progress: as in `run_index`.
        notice: called with a sentence if the result was there already.

    Raises:
        ArgumentError, DataError: as `run_index`.

    Example:
        >>> point = PointSettings(at="random", samples=60)
        >>> result = run_spectrum(SpectrumSettings(point))
        >>> result.eigenvalues.shape
        torch.Size([760])
    """
    piece = None if folder is None else folder.load(_KEY)
    if piece is None:
        return _computed(settings, folder, progress)
    if notice is not None and folder is not None:
        notice(f"resumed: the eigenvalues are in {folder.path} already")
    values = piece.payload["inertia"] | {"eigenvalues": piece.tensors["eigenvalues"].tolist()}
    return SpectrumResult(
        settings,
        piece.tensors["eigenvalues"],
        piece.tensors["theta"],
        Inertia.from_json(values),
        piece.payload["loss"],
        piece.payload["accuracy"],
    )


def _computed(
    settings: SpectrumSettings, folder: RunFolder | None, progress: Progress | None
) -> SpectrumResult:
    point = make_point(settings.point, settings.seed, progress=progress)
    counted = inertia(point.f, point.theta, method="eigh", progress=progress)
    values = counted.eigenvalues or ()  # none where the Hessian is not finite
    eigenvalues = torch.tensor(values, dtype=torch.float64)
    result = SpectrumResult(
        settings,
        eigenvalues,
        point.theta,
        counted,
        point.f.at_l2(0.0).value(point.theta),
        accuracy(point.f, point.theta),
    )
    if folder is not None:
        payload = {
            "inertia": counted.to_json() | {"eigenvalues": None},
            "loss": result.loss,
            "accuracy": result.accuracy,
        }
        folder.save(_KEY, payload, {"theta": point.theta, "eigenvalues": eigenvalues})
    return result


def top_gaps(eigenvalues: Float64[Tensor, "D"], radius: float, top: int = TOP) -> tuple[Gap, ...]:
    """Ratios of neighbours among the `top` largest eigenvalues above `radius`, widest first.

    A heuristic for counting outliers, without a threshold: the largest ratio is where the bulk is
    said to end. For C classes C - 1 outliers are expected; a flat top gives a ratio near 1, which
    says that there are none.

    Args:
        eigenvalues: ascending, shape (D,).
        radius: those above it are truly positive.
        top: how many to look at.

    Source:
        C - 1 outliers of a Hessian of cross-entropy: Sagun, Bottou & LeCun, Eigenvalues of the
        Hessian in deep learning (2016); Papyan, JMLR 21 (2020).

    Example:
        >>> top_gaps(torch.tensor([-1.0, 0.5, 0.6, 6.0, 9.0]).double(), 1e-9)[0].above
        2
    """
    largest = [v for v in eigenvalues.flip(0)[:top].tolist() if v > radius and math.isfinite(v)]
    gaps = [
        Gap(above, lower, upper, upper / lower)
        for above, (upper, lower) in enumerate(pairwise(largest), start=1)
    ]
    return tuple(sorted(gaps, key=lambda gap: -gap.ratio))
