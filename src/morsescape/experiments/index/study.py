"""Tables 5.2 and 5.5 of the paper: how many Hessian eigenvalues are negative, over several runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from torch import Tensor

from morsescape.accuracy import accuracy
from morsescape.boundary import (
    a_boolean,
    a_count,
    a_function,
    a_seed,
    checked,
    choice,
    instance,
    option,
)
from morsescape.data import Dataset
from morsescape.errors import ArgumentError
from morsescape.experiments.index.estimates import computed_ends, naive_counts
from morsescape.experiments.part import Part, Pieces, points_of, roughly
from morsescape.experiments.point import (
    PointSettings,
    announced,
    load_data,
    make_point,
    rules_of_run,
)
from morsescape.experiments.sweep import Task
from morsescape.experiments.user_code import takes_seed
from morsescape.nets import Recipe, TrainingStatus
from morsescape.progress import Progress, stage
from morsescape.spectrum.counts import Interval
from morsescape.spectrum.inertia import METHODS, InertiaStatus, inertia_of
from morsescape.store import RunFolder, Saved, Settings, versions

if TYPE_CHECKING:
    from morsescape.experiments.reproduce.study import ReproduceSettings

# What is the same for all runs of a setting.
SHARED = (
    "n_params", "n_samples", "l2", "structural_upper_bound", "structural_reason", "not_smooth",
)  # fmt: skip
_OF_INERTIA = (
    "l2", "value", "grad_norm", "negative", "null", "positive", "radius", "radius_parts",
    "null_explained", "null_residuals", "structural_upper_bound", "structural_reason", "not_smooth",
    "kinks", "status", "conclusion",
)  # fmt: skip


@checked(
    option, point=instance(PointSettings, "PointSettings(...) makes one"), seed=a_seed(),
    runs=a_count(1), raw=a_boolean(), method=choice(METHODS),
)  # fmt: skip
@dataclass(frozen=True)
class IndexSettings(Settings):
    """What to count, and how often.

    Attributes:
        point: the network, the data and the point.
        seed: run k uses seed + k.
        runs: how many networks.
        raw: also count signs naively, in float32 and float64.
        method: "ldl" | "eigh", how signs are proved; as in `inertia`.

    Raises:
        ArgumentError: no runs, a negative seed, an unknown method.

    Example:
        >>> IndexSettings(PointSettings(net="cnn"), seed=5, runs=3).seeds
        range(5, 8)
    """

    EXPERIMENT = "index"
    APART = ("seed", "runs")
    point: PointSettings = field(default_factory=PointSettings)
    seed: int = 0
    runs: int = 10
    raw: bool = True
    method: str = "ldl"

    @property
    def seeds(self) -> range:
        """The seeds of the runs."""
        return range(self.seed, self.seed + self.runs)


@dataclass(frozen=True)
class IndexRun(Saved):
    """One network and the signs of its Hessian; the names are those of `index --json`.

    Attributes:
        seed: of the run.
        n_params, n_samples, l2: D, N (None for a function) and λ.
        loss, value: L and f = L + λ‖θ‖².
        accuracy: in [0, 1]; None without labels.
        smallest, largest: eigenvalues of Hess f, computed, not proved; None where they are not.
        raw_negative: what counting signs of computed eigenvalues gives, by dtype.
        training, training_done, recipe: how it was trained, and whether that ended as it should.
        seconds: wall-clock time by stage.

    The others are those of `Inertia`.
    """

    seed: int
    n_params: int
    n_samples: int | None
    l2: float
    loss: float
    value: float
    accuracy: float | None
    grad_norm: float
    negative: Interval
    null: Interval
    positive: Interval
    radius: float
    radius_parts: dict[str, float]
    null_explained: dict[str, int]
    null_residuals: dict[str, float]
    structural_upper_bound: int
    structural_reason: str
    not_smooth: tuple[str, ...]
    kinks: int
    status: InertiaStatus
    conclusion: str
    training: str | None
    training_done: bool
    recipe: Recipe | None
    smallest: float | None
    largest: float | None
    raw_negative: dict[str, int | None]
    seconds: dict[str, float]

    @property
    def explained(self) -> int:
        """How many null directions have a known cause."""
        return sum(self.null_explained.values())


@dataclass(frozen=True)
class IndexResult:
    """The runs of one setting, in the order of their seeds.

    Example:
        >>> from morsescape.experiments import IndexSettings, PointSettings, run_index
        >>> point = PointSettings(at="random", samples=100)
        >>> result = run_index(IndexSettings(point, runs=2, raw=False))
        >>> result.to_json()["structural_upper_bound"]
        110
    """

    settings: IndexSettings
    runs: tuple[IndexRun, ...]

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> IndexResult:
        """What `index --json` wrote, read back."""
        shared = {name: values[name] for name in SHARED}
        runs = tuple(IndexRun.from_json(shared | run) for run in values["runs"])
        return cls(IndexSettings.from_json(values["settings"]), runs)

    @property
    def complete(self) -> bool:
        """Whether all runs are there."""
        return len(self.runs) == self.settings.runs

    @property
    def bound(self) -> int:
        """The structural upper bound on the index."""
        return self.runs[0].structural_upper_bound

    def spread(self, name: str, part: int | str) -> tuple[float, float | None] | None:
        """Mean and standard deviation over the runs, of one end of an interval or of a raw count.

        Args:
            name: "negative", "null", "positive" or "raw_negative".
            part: 0 or 1, the lower or upper end; or "float32", "float64".

        Returns:
            (mean, sd); sd (of the sample, n - 1) is None for a single run. None if a run has no
            such number.
        """
        values = [getattr(run, name)[part] for run in self.runs]
        if not values or any(value is None for value in values):
            return None
        return float(mean(values)), stdev(values) if len(values) > 1 else None

    def to_json(self) -> dict[str, Any]:
        """The object that `index --json` writes."""
        runs = [run.to_json() for run in self.runs]
        first = runs[0] if runs else {}
        return {
            **self.settings.point.named(),
            **{name: first.get(name) for name in SHARED},
            "complete": self.complete,
            "settings": self.settings.to_json(),
            "versions": versions(),
            "runs": [{n: value for n, value in r.items() if n not in SHARED} for r in runs],
        }


@checked(str, **rules_of_run(IndexSettings), finished=a_function(1))
def run_index(
    settings: IndexSettings,
    folder: RunFolder | None = None,
    progress: Progress | None = None,
    *,
    notice: Callable[[str], None] | None = None,
    finished: Callable[[IndexResult], None] | None = None,
) -> IndexResult:
    """Make the points and count; each finished run is in `folder` before the next starts.

    Args:
        settings: what to count.
        folder: keeps the runs, `RunFolder(path, settings.identity())`; those it has are not
            computed again.
        progress: called as progress(stage, done, total), stages "runs", "training", "Hessian",
            "inertia" and "naive counts".
        notice: called with a sentence if a sweep is resumed, and with what a run will take.
        finished: called with the result so far after each run.

    Raises:
        ArgumentError, DataError: data, checkpoint or function that cannot be used; a full disk.
    """
    _check_repeatable(settings)
    kept = _kept(settings, folder)
    if kept and notice is not None and folder is not None:
        notice(f"resumed: {len(kept)} of {settings.runs} runs are in {folder.path} already")
    needs_data = len(kept) < settings.runs and settings.point.objective is None
    dataset = load_data(settings.point) if needs_data else None
    result = IndexResult(settings, ())
    for done, seed in enumerate(settings.seeds):
        _step(progress, "runs", done, settings.runs)
        run = kept.get(seed)
        if run is None:
            payload, tensors = index_run(
                settings, seed, dataset=dataset, progress=progress, notice=notice
            )
            notice = None  # the others take as much
            if folder is not None:
                folder.save(_key(seed), payload, tensors)
            run = IndexRun.from_json(payload)
        _check_same_size(result, run)
        result = IndexResult(settings, (*result.runs, run))
        if finished is not None:
            finished(result)
    _step(progress, "runs", settings.runs, settings.runs)
    return result


@checked(
    settings=instance(IndexSettings, "IndexSettings(PointSettings(...)) makes one"),
    seed=a_seed(), dataset=instance(Dataset, "data.load(...) gives one"), progress=a_function(3),
)  # fmt: skip
def index_run(
    settings: IndexSettings,
    seed: int,
    *,
    dataset: Dataset | None = None,
    progress: Progress | None = None,
    notice: Callable[[str], None] | None = None,
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """One run, a function of its arguments alone, so that any process can do it.

    The `seed` and `runs` of its settings do not matter here; arguments else as for `run_index`.

    Returns:
        JSON values, and the tensors θ (D,) and, where they were computed, eigenvalues (D,).
    """
    point = make_point(
        settings.point, seed, dataset=dataset, progress=progress, before=announced(notice)
    )
    start = time.perf_counter()
    hessian = point.f.hessian_at(point.theta)
    hessian.enclose(stage(progress, "Hessian"))
    assembled = time.perf_counter()
    ends = None if settings.raw else computed_ends(point, hessian, None)
    looked = time.perf_counter()
    counted = inertia_of(hessian, method=settings.method, spend=not settings.raw, progress=progress)
    certified = time.perf_counter()
    raw, eigenvalues = naive_counts(point, hessian, counted, settings.raw, progress)
    done = time.perf_counter()
    ends = ends or computed_ends(point, hessian, eigenvalues)
    seconds = (point.seconds, assembled - start, certified - looked, done - certified)
    f, training = point.f, point.training
    run = IndexRun(
        seed=seed,
        n_params=f.dim,
        n_samples=f.source.samples if f.source.of_samples else None,
        loss=f.at_l2(0.0).value(point.theta),
        accuracy=accuracy(f, point.theta),
        training=None if training is None else training.status.value,
        training_done=training is None or training.status is TrainingStatus.DONE,
        recipe=None if training is None else training.recipe,
        raw_negative=raw,
        seconds=dict(zip(("train", "hessian", "inertia", "naive"), seconds, strict=True)),
        smallest=ends[0],
        largest=ends[1],
        **{name: getattr(counted, name) for name in _OF_INERTIA},
    )
    tensors = {} if eigenvalues is None else {"eigenvalues": eigenvalues}
    return run.to_json(), {"theta": point.theta} | tensors


def _kept(settings: IndexSettings, folder: RunFolder | None) -> dict[int, IndexRun]:
    """The runs that the folder has; damaged ones are set aside by it, and named."""
    if folder is None:
        return {}
    pieces = {seed: folder.load(_key(seed)) for seed in settings.seeds}
    return {
        s: IndexRun.from_json(piece.payload) for s, piece in pieces.items() if piece is not None
    }


def _key(seed: int) -> str:
    return f"seed-{seed}"


def _step(progress: Progress | None, stage: str, done: int, total: int) -> None:
    if progress is not None:
        progress(stage, done, total)


def _check_repeatable(settings: IndexSettings) -> None:
    address = settings.point.objective
    if address is not None and settings.runs > 1 and not takes_seed(address):
        raise ArgumentError(
            "--runs",
            expected="1, as the function of --objective has no parameter `seed`",
            got=settings.runs,
            cure="write `def f(seed): ...` and use the seed, or pass --runs 1",
        )


def _check_same_size(result: IndexResult, run: IndexRun) -> None:
    if result.runs and result.runs[0].n_params != run.n_params:
        raise ArgumentError(
            "--objective",
            expected=f"{result.runs[0].n_params:,} parameters for every seed",
            got=f"{run.n_params:,} for seed {run.seed}",
            cure="count networks of different sizes one by one, with --runs 1",
        )


def index_parts(settings: ReproduceSettings) -> Iterator[Part]:
    """Tables 5.2 and 5.5."""
    for name, point in points_of(settings, settings.optimizers):
        own = IndexSettings(point, settings.seed, settings.runs)
        tasks = tuple(Task(_key(seed), index_run, (own, seed)) for seed in own.seeds)
        collect, seconds = partial(_collected, own), roughly(point, 2.0, 140.0)
        yield Part(f"tables/{name}", own.identity(), tasks, collect, seconds)


def _collected(settings: IndexSettings, pieces: Pieces) -> IndexResult | None:
    runs = tuple(IndexRun.from_json(piece.payload) for piece in pieces.values())
    return IndexResult(settings, runs) if runs else None
