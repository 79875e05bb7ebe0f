"""Tables 5.2 and 5.5 of the paper: how many Hessian eigenvalues are negative, over several runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from statistics import mean, stdev
from typing import Any

import torch
from torch import Tensor

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
from morsescape.experiments.point import (
    Point,
    PointSettings,
    accuracy,
    load_data,
    make_point,
)
from morsescape.experiments.user_code import takes_seed
from morsescape.hessian.value import Hessian
from morsescape.progress import Progress, stage
from morsescape.spectrum.inertia import METHODS, Inertia, inertia_of
from morsescape.spectrum.lanczos import ends, lanczos, random_start
from morsescape.spectrum.naive import count_negative, raw_eigenvalues
from morsescape.store import RunFolder, versions

RAW = ("float32", "float64")
_FEW = 20  # up to here all eigenvalues cost nothing
_END = 1e-10  # residual against ‖Hess f‖ at which an end of the spectrum counts as found


@checked(
    option, point=instance(PointSettings, "PointSettings(...) makes one"), seed=a_seed(),
    runs=a_count(1), raw=a_boolean(), method=choice(METHODS),
)  # fmt: skip
@dataclass(frozen=True)
class IndexSettings:
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

    point: PointSettings = field(default_factory=PointSettings)
    seed: int = 0
    runs: int = 10
    raw: bool = True
    method: str = "ldl"

    @property
    def seeds(self) -> range:
        """The seeds of the runs."""
        return range(self.seed, self.seed + self.runs)

    def identity(self) -> dict[str, Any]:
        """What a run depends on besides its seed: the settings of its `RunFolder`."""
        import morsescape

        return self.point.identity() | {
            "experiment": "index",
            "raw": self.raw,
            "method": self.method,
            "morsescape": morsescape.__version__,
        }


@dataclass(frozen=True)
class IndexResult:
    """The runs of one setting, as JSON values, in the order of their seeds.

    Attributes:
        settings: what was asked for.
        runs: one dictionary a run; the names are those of `index --json`.

    Example:
        >>> from morsescape.experiments import IndexSettings, PointSettings, run_index
        >>> point = PointSettings(at="random", samples=100)
        >>> result = run_index(IndexSettings(point, runs=2, raw=False))
        >>> result.to_json()["structural_upper_bound"]
        110
    """

    settings: IndexSettings
    runs: tuple[dict[str, Any], ...]

    @property
    def complete(self) -> bool:
        """Whether all runs are there."""
        return len(self.runs) == self.settings.runs

    def spread(self, name: str, part: int | str) -> tuple[float, float | None] | None:
        """Mean and standard deviation over the runs, of one end of an interval or of a raw count.

        Args:
            name: "negative", "null", "positive" or "raw_negative".
            part: 0 or 1, the lower or upper end; or "float32", "float64".

        Returns:
            (mean, sd); sd (of the sample, n - 1) is None for a single run. None if a run has no
            such number.
        """
        values = [run[name][part] for run in self.runs]
        if not values or any(value is None for value in values):
            return None
        return float(mean(values)), stdev(values) if len(values) > 1 else None

    def to_json(self) -> dict[str, Any]:
        """The object that `index --json` writes."""
        point, first = self.settings.point, self.runs[0] if self.runs else {}
        own = point.objective is not None
        settings = asdict(self.settings) | {"point": point.to_json()}
        return {
            "net": None if own else point.net,
            "data": None if own else point.data,
            "at": "given" if own or point.checkpoint else point.at,
            "n_params": first.get("n_params"),
            "n_samples": first.get("n_samples"),
            "l2": first.get("l2"),
            "structural_upper_bound": first.get("structural_upper_bound"),
            "structural_reason": first.get("structural_reason"),
            "not_smooth": first.get("not_smooth"),
            "complete": self.complete,
            "settings": settings,
            "versions": versions(),
            "runs": [_shown(run) for run in self.runs],
        }


@checked(
    settings=instance(IndexSettings, "IndexSettings(PointSettings(...)) makes one"),
    folder=instance(RunFolder, "RunFolder(path, settings.identity()) makes one"),
    progress=a_function(3), notice=a_function(1), finished=a_function(1),
)  # fmt: skip
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
        notice: called with a sentence if a sweep is resumed.
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
        payload = kept.get(seed)
        if payload is None:
            payload, tensors = index_run(settings, seed, dataset=dataset, progress=progress)
            if folder is not None:
                folder.save(_key(seed), payload, tensors)
        _check_same_size(result, payload)
        result = IndexResult(settings, (*result.runs, payload))
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
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """One run, a function of its arguments alone, so that any process can do it.

    Args:
        settings: what to count; its `seed` and `runs` do not matter here.
        seed: of this run.
        dataset: the data, if it is loaded already.
        progress: as in `run_index`.

    Returns:
        JSON values, and the tensors θ (D,) and, where they were computed, eigenvalues (D,).
    """
    point = make_point(settings.point, seed, dataset=dataset, progress=progress)
    start = time.perf_counter()
    hessian = point.f.hessian_at(point.theta)
    hessian.enclose(stage(progress, "Hessian"))
    assembled = time.perf_counter()
    ends = None if settings.raw else _ends(point, hessian, None)
    looked = time.perf_counter()
    counted = inertia_of(hessian, method=settings.method, spend=not settings.raw, progress=progress)
    certified = time.perf_counter()
    raw, eigenvalues = _naive(point, hessian, counted, settings.raw, progress)
    seconds = {
        "train": point.seconds,
        "hessian": assembled - start,
        "inertia": certified - looked,
        "naive": time.perf_counter() - certified,
    }
    ends = ends or _ends(point, hessian, eigenvalues)
    payload = _payload(point, seed, counted) | ends | {"raw_negative": raw, "seconds": seconds}
    tensors = {"theta": point.theta}
    return payload, tensors if eigenvalues is None else tensors | {"eigenvalues": eigenvalues}


def _payload(point: Point, seed: int, counted: Inertia) -> dict[str, Any]:
    f, training = point.f, point.training
    return {
        "seed": seed,
        "n_params": f.dim,
        "n_samples": None if f.network is None else f.network.samples,
        "l2": f.l2,
        "loss": f.at_l2(0.0).value(point.theta),
        "value": counted.value,
        "accuracy": accuracy(f, point.theta),
        "grad_norm": counted.grad_norm,
        "negative": list(counted.negative),
        "null": list(counted.null),
        "positive": list(counted.positive),
        "radius": counted.radius,
        "radius_parts": counted.radius_parts,
        "null_explained": counted.null_explained,
        "null_residuals": counted.null_residuals,
        "structural_upper_bound": counted.structural_upper_bound,
        "structural_reason": counted.structural_reason,
        "not_smooth": list(counted.not_smooth),
        "kinks": counted.kinks,
        "status": counted.status.name,
        "conclusion": counted.conclusion,
        "training": None if training is None else training.status.value,
        "training_done": training is None or training.status.name == "DONE",
        "recipe": None if training is None else asdict(training.recipe),
    }


def _naive(
    point: Point, hessian: Hessian, counted: Inertia, raw: bool, progress: Progress | None
) -> tuple[dict[str, int | None], Tensor | None]:
    """Signs of computed eigenvalues in float32 and float64, and the eigenvalues in float64."""
    proved = counted.eigenvalues
    eigenvalues = None if proved is None else torch.tensor(proved, dtype=torch.float64)
    if not raw or point.f.network is None or not hessian.finite:
        return dict.fromkeys(RAW), eigenvalues
    _step(progress, "naive counts", 0, 1)
    by_type = raw_eigenvalues(hessian)
    _step(progress, "naive counts", 1, 1)
    return {name: count_negative(by_type[name]) for name in RAW}, by_type["float64"]


def _ends(point: Point, hessian: Hessian, eigenvalues: Tensor | None) -> dict[str, float | None]:
    """The smallest and the largest eigenvalue of Hess f, computed, not proved."""
    if eigenvalues is not None:
        return {"smallest": float(eigenvalues.min()), "largest": float(eigenvalues.max())}
    if not hessian.finite:
        return {"smallest": None, "largest": None}
    matrix, shift = hessian.enclose().matrix, 2 * point.f.l2
    if len(matrix) < _FEW:
        values = torch.linalg.eigvalsh(matrix) + shift
        return {"smallest": float(values[0]), "largest": float(values[-1])}
    # A start that is fixed, so that the same run gives the same digits.
    start = random_start(len(matrix))
    found = lanczos(matrix.mv, start, count=2, order=ends, tol=_END)
    sure = found.residuals <= 100 * _END * found.values.abs().max()
    both = [float(v) + shift if s else None for v, s in zip(found.values, sure, strict=True)]
    return {"smallest": both[0], "largest": both[-1]}


def _kept(settings: IndexSettings, folder: RunFolder | None) -> dict[int, dict[str, Any]]:
    """The runs that the folder has; damaged ones are set aside by it, and named."""
    if folder is None:
        return {}
    pieces = {seed: folder.load(_key(seed)) for seed in settings.seeds}
    return {seed: piece.payload for seed, piece in pieces.items() if piece is not None}


def _key(seed: int) -> str:
    return f"seed-{seed}"


def _shown(run: dict[str, Any]) -> dict[str, Any]:
    """A run without what is the same for all."""
    same = ("n_params", "n_samples", "l2", "structural_upper_bound", "structural_reason")
    return {name: value for name, value in run.items() if name not in (*same, "not_smooth")}


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


def _check_same_size(result: IndexResult, payload: dict[str, Any]) -> None:
    if result.runs and result.runs[0]["n_params"] != payload["n_params"]:
        raise ArgumentError(
            "--objective",
            expected=f"{result.runs[0]['n_params']:,} parameters for every seed",
            got=f"{payload['n_params']:,} for seed {payload['seed']}",
            cure="count networks of different sizes one by one, with --runs 1",
        )
