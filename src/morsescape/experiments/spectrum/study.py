"""Figures 5.2 of the paper: the eigenvalues of one Hessian, its outliers, its gaps and why."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float64
from torch import Tensor

from morsescape.accuracy import accuracy
from morsescape.boundary import a_seed, checked, instance, option
from morsescape.experiments.part import Part, points_of, roughly, the_only_piece
from morsescape.experiments.point import Point, PointSettings, announced, make_point, rules_of_run
from morsescape.experiments.ridge.study import RidgeCurve
from morsescape.experiments.sweep import Outcome, Task
from morsescape.progress import Progress, stage
from morsescape.rounding.floats import U
from morsescape.spectrum.gaps import Gap, top_gaps, typical_ratio, window
from morsescape.spectrum.inertia import Inertia, inertia
from morsescape.spectrum.split import Split, split_ends
from morsescape.store import Pieced, RunFolder, Settings

if TYPE_CHECKING:
    from morsescape.experiments.reproduce.study import ReproduceSettings

_KEY = "point"


@checked(option, point=instance(PointSettings, "PointSettings(...) makes one"), seed=a_seed())
@dataclass(frozen=True)
class SpectrumSettings(Settings):
    """At which point to look; the seed is that of `index --runs 1`.

    Example:
        >>> print(SpectrumSettings(PointSettings(net="cnn"), seed=3).point)
        cnn (relu, max pooling) on digits, trained
    """

    EXPERIMENT = "spectrum"
    point: PointSettings = field(default_factory=PointSettings)
    seed: int = 0


@dataclass(frozen=True, eq=False)
class SpectrumResult(Pieced):
    """All eigenvalues of Hess f(θ), each within `inertia.radius` of the true one.

    Attributes:
        settings: what was asked for.
        eigenvalues: ascending, shape (D,); (0,) where the Hessian is not finite.
        theta: the point, shape (D,).
        inertia: the counts that are proved, and what stands behind them.
        loss: L, without λ‖θ‖².
        accuracy: in [0, 1]; None without labels.
        samples: N; None for an objective made from a function.
        classes: outputs of the network, if its loss is cross-entropy; else None.
        split: the parts of H = G + R at both ends of the spectrum of Hess L.
        seconds: wall-clock time by stage.
    """

    settings: SpectrumSettings
    eigenvalues: Float64[Tensor, "E"]
    theta: Float64[Tensor, "D"]
    inertia: Inertia
    loss: float
    accuracy: float | None
    samples: int | None
    classes: int | None
    split: Split
    seconds: dict[str, float]

    @classmethod
    def from_piece(
        cls, settings: Any, payload: Mapping[str, Any], tensors: Mapping[str, Tensor]
    ) -> SpectrumResult:
        """What `spectrum_task` returned or a `RunFolder` kept; eigenvalues are kept once."""
        counted = payload["inertia"] | {"eigenvalues": tensors["eigenvalues"].tolist()}
        return super().from_piece(settings, {**payload, "inertia": counted}, tensors)

    @property
    def window(self) -> int:
        """Among how many of the largest eigenvalues outliers are looked for."""
        return window(self.classes)

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """The gaps among the largest eigenvalues, widest ratio first."""
        return top_gaps(self.eigenvalues, self.inertia.radius, self.window)

    @property
    def outliers(self) -> int:
        """How many eigenvalues lie above the widest gap; 0 if there is no gap to speak of."""
        return self.gaps[0].above if self.gaps else 0

    @property
    def expected(self) -> int | None:
        """Classes minus one, the outliers that are expected; None without classes."""
        return None if self.classes is None else self.classes - 1

    @property
    def expected_gap(self) -> tuple[int, Gap] | None:
        """The gap below the expected outliers, and its place among the ratios, 1 the largest."""
        places = enumerate(self.gaps, start=1)
        return next(((place, gap) for place, gap in places if gap.above == self.expected), None)

    @property
    def ridge(self) -> RidgeCurve | None:
        """The index of L + λ‖θ‖² as a function of λ; None where no radius is known."""
        counted, shift = self.inertia, 2 * self.inertia.l2
        if not (len(self.eigenvalues) and counted.radius < float("inf")):
            return None
        largest = float(self.eigenvalues.abs().max()) + shift
        # Taking 2λ away rounds; what a ridge of its own has cut off is no bound for Hess L.
        radius = counted.radius + (2 * U * largest if shift else 0.0)
        most = counted.structural_upper_bound if shift else counted.negative[1]
        return RidgeCurve((self.eigenvalues - shift).sort().values, radius, most)

    def to_json(self) -> dict[str, Any]:
        """The object that `spectrum --json` writes."""
        counted, ridge = self.inertia, self.ridge
        values = counted.to_json()
        del values["eigenvalues"]
        return {
            **self.settings.point.named(),
            "seed": self.settings.seed,
            "n_params": counted.dim,
            "n_samples": self.samples,
            "loss": self.loss,
            "accuracy": self.accuracy,
            **values,
            "conclusion": counted.conclusion,
            "outliers": self._outliers(),
            "gaps": [asdict(gap) for gap in self.gaps[:5]],
            "split": self.split.to_json(),
            "ridge": None if ridge is None else ridge.to_json(),
            "seconds": self.seconds,
            "eigenvalues": self.eigenvalues.tolist(),
        }

    def _outliers(self) -> dict[str, Any]:
        expected = self.expected_gap
        return {
            "number": self.outliers,
            "values": self.eigenvalues.flip(0)[: self.outliers].tolist(),
            "expected": self.expected,
            "expected_gap": None if expected is None else asdict(expected[1]),
            "expected_gap_place": None if expected is None else expected[0],
            "typical_ratio": typical_ratio(self.gaps),
            "definition": "the eigenvalues above the largest ratio of neighbours among the "
            f"{self.window} largest that are proved positive",
        }


@checked(str, **rules_of_run(SpectrumSettings))
def run_spectrum(
    settings: SpectrumSettings,
    folder: RunFolder | None = None,
    progress: Progress | None = None,
    *,
    notice: Callable[[str], None] | None = None,
) -> SpectrumResult:
    """Make the point and compute all eigenvalues, or take them from `folder` if they are there.

    Arguments and errors as for `run_index`; the stage "split" is the products with G.

    Example:
        >>> point = PointSettings(at="random", samples=60)
        >>> result = run_spectrum(SpectrumSettings(point))
        >>> result.eigenvalues.shape
        torch.Size([760])
    """
    piece = None if folder is None else folder.load(_KEY)
    if piece is not None:
        if notice is not None and folder is not None:
            notice(f"resumed: the eigenvalues are in {folder.path} already")
        return SpectrumResult.from_piece(settings, piece.payload, piece.tensors)
    payload, tensors = spectrum_task(settings, progress=progress, notice=notice)
    if folder is not None:
        folder.save(_KEY, payload, tensors)
    return SpectrumResult.from_piece(settings, payload, tensors)


def spectrum_task(
    settings: SpectrumSettings, *, progress: Progress | None = None,
    notice: Callable[[str], None] | None = None,
) -> Outcome:  # fmt: skip
    """One spectrum, a function of its arguments alone, so that any process can do it.

    Returns:
        JSON values, and the tensors eigenvalues (D,) and θ (D,): `SpectrumResult.from_piece` makes
        a result of them.
    """
    before = announced(notice)
    point = make_point(settings.point, settings.seed, progress=progress, before=before)
    f, theta, clock = point.f, point.theta, _Clock()
    hessian = f.hessian_at(theta)
    hessian.enclose(stage(progress, "Hessian"))
    clock.stop("hessian")
    counted = inertia(hessian, method="eigh", progress=progress)
    clock.stop("eigenvalues")
    values = counted.eigenvalues or ()  # none where the Hessian is not finite
    eigenvalues = torch.tensor(values, dtype=torch.float64)
    split = split_ends(
        f.source, theta, hessian.enclose(), eigenvalues - 2 * f.l2, counted.radius,
        progress=stage(progress, "split"),
    )  # fmt: skip
    clock.stop("split")
    return SpectrumResult(
        settings=settings,
        eigenvalues=eigenvalues,
        theta=theta,
        inertia=replace(counted, eigenvalues=None),
        loss=f.at_l2(0.0).value(theta),
        accuracy=accuracy(f, theta),
        samples=f.source.samples if f.source.of_samples else None,
        classes=_classes(point),
        split=split,
        seconds={"train": point.seconds} | clock.seconds,
    ).to_piece()


def spectrum_parts(settings: ReproduceSettings) -> Iterator[Part]:
    """Figures 5.2, one run of each setting."""
    for name, point in points_of(settings):
        own = SpectrumSettings(point, settings.seed)
        tasks = (Task(_KEY, spectrum_task, (own,)),)
        collect = the_only_piece(SpectrumResult.from_piece, own)
        yield Part(f"spectra/{name}", own.identity(), tasks, collect, roughly(point, 1.0, 260.0))


def _classes(point: Point) -> int | None:
    net = point.f.source
    if str(net.loss) != "cross_entropy":
        return None
    with torch.no_grad():
        return net.output(net.unflatten(point.theta), net.x[:1]).shape[1]


class _Clock:
    """Seconds from one stop to the next, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def stop(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name], self._last = now - self._last, now
