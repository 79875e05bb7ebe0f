"""Two solutions, a path between them by each method, and how high each is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch
from torch import Tensor

from morsescape.accuracy import accuracy
from morsescape.boundary import (
    a_boolean,
    a_number,
    a_path,
    a_seed,
    checked,
    choice,
    choices,
    instance,
    option,
)
from morsescape.critical import find_critical_point
from morsescape.errors import ArgumentError
from morsescape.experiments.connect.put_to_use import Used, check_attack, used
from morsescape.experiments.part import Part, Pieces, points_of, roughly
from morsescape.experiments.point import (
    PointSettings,
    announced,
    load_data,
    load_test,
    make_point,
    rules_of_run,
    untrained,
)
from morsescape.experiments.sweep import Task
from morsescape.experiments.user_code import check_one_landscape
from morsescape.objective import Objective
from morsescape.paths import METHODS, Height, Path, connect
from morsescape.paths.attacks import ATTACKS
from morsescape.paths.connect import Method
from morsescape.paths.height import sample_times
from morsescape.paths.statistics import at_statistics_of, recomputable
from morsescape.progress import Progress, stage
from morsescape.spectrum.index_bound import structure_of
from morsescape.store import RunFolder, Saved, Settings

if TYPE_CHECKING:
    from morsescape.experiments.reproduce.study import ReproduceSettings

CNN_IMAGES = 200  # in `reproduce`: a minute of one core
_LOOKS = 61  # points of a curve at which the error is taken


@checked(
    option, point=instance(PointSettings, "PointSettings(...) makes one"), seed=a_seed(),
    other=a_seed(), to=a_path(), methods=choices(METHODS, least=1), align=a_boolean(),
    polish=a_boolean(), tol=a_number(above=0), uses=a_boolean(), attack=choice(ATTACKS),
    eps=a_number(above=0),
)  # fmt: skip
@dataclass(frozen=True)
class ConnectSettings(Settings):
    """Which two solutions, and by which methods.

    Attributes:
        point: how both are made, as for `index`.
        seed: of the first, and of the searches.
        other: of the second; None takes seed + 1.
        to: a checkpoint of the second, beside that of `point`.
        methods: of `morsescape.paths.METHODS`.
        align: move the second by a symmetry of f next to the first.
        polish: go on from both to proved minima of f first, which kinks do not allow.
        tol: how wide the interval of a height may be, as a share of the barrier.
        uses: average the weights, and the outputs, of 11 points of each path.
        attack: of `morsescape.paths.attacks.ATTACKS`, on 11 points of each path; None for none.
        eps: radius of the attack, in the ∞-norm of images in [0, 1].

    Raises:
        ArgumentError: an unknown method, a second checkpoint without a first, an attack without
            a radius.
    """

    EXPERIMENT = "connect"
    APART = ("uses", "attack", "eps")
    point: PointSettings = field(default_factory=PointSettings)
    seed: int = 0
    other: int | None = None
    to: str | None = None
    methods: tuple[str, ...] = ("line", "string")
    align: bool = True
    polish: bool = False
    tol: float = 0.01
    uses: bool = False
    attack: str | None = None
    eps: float | None = None

    def __post_init__(self) -> None:
        if self.to is not None and self.point.checkpoint is None:
            raise ArgumentError(
                "--to", expected="--checkpoint for the first solution too", got="none",
                cure="pass both, or neither and two seeds",
            )  # fmt: skip
        if self.second == self.seed and self.to is None:
            raise ArgumentError(
                "--other", expected="another seed than that of the first solution",
                got=self.second, cure=f"leave it out, for {self.seed + 1}",
            )  # fmt: skip
        self._check_attack()

    def _check_attack(self) -> None:
        if self.attack is not None and self.eps is None:
            raise ArgumentError(
                "--eps", expected=f"the radius of --attack {self.attack}", got="none",
                cure="pass one, for instance --eps 0.1",
            )  # fmt: skip
        if self.eps is not None and self.attack is None:
            raise ArgumentError(
                "--eps", expected="--attack beside it", got="none",
                cure=f"pass --attack {' or '.join(ATTACKS)}, or leave --eps out",
            )  # fmt: skip

    @property
    def second(self) -> int:
        """The seed of the second solution."""
        return self.seed + 1 if self.other is None else self.other


@dataclass(frozen=True)
class End(Saved):
    """One of the two solutions: f, its accuracy, whether it is a proved minimum."""

    value: float
    accuracy: float | None
    proved: bool


@dataclass(frozen=True)
class Way(Saved):
    """A path by one method.

    Attributes:
        method, height, length, gradients, note: as of `Path`.
        aligned, distances, same: as of `Path`.
        error: the largest share of wrong answers at 61 points or more; None without labels.
        seconds: of the search, and of the proof.
    """

    method: str
    height: Height
    length: float
    gradients: int
    aligned: bool
    distances: tuple[float, float]
    same: bool
    error: float | None
    seconds: tuple[float, float]
    note: str = ""


@dataclass(frozen=True)
class ConnectResult(Saved):
    """The two solutions, and what each method found between them; `path` is the lowest.

    `used` has what `uses` and `attack` asked for, for each path.
    """

    UNSAVED: ClassVar[tuple[str, ...]] = ("path",)
    settings: ConnectSettings
    description: str
    dim: int
    samples: int
    not_smooth: tuple[str, ...]
    ends: tuple[End, End]
    ways: tuple[Way, ...]
    used: tuple[Used, ...] = ()
    path: Path | None = field(default=None, repr=False)

    @property
    def best(self) -> Way:
        """The lowest path, by what is proved or found of its height."""
        return min(self.ways, key=lambda way: way.height.high)


@checked(str, **rules_of_run(ConnectSettings))
def run_connect(
    settings: ConnectSettings,
    folder: RunFolder | None = None,
    progress: Progress | None = None,
    *,
    notice: Callable[[str], None] | None = None,
) -> ConnectResult:
    """Make both solutions, find a path by each method, prove its height.

    Arguments as for `run_index`.

    Raises:
        ArgumentError, DataError: as `run_index`; solutions that cannot be compared; an attack on
            what is no classifier of images.

    Example:
        >>> point = PointSettings(samples=60, epochs=5, activation="tanh")
        >>> result = run_connect(ConnectSettings(point, methods=("line",)))
        >>> height = result.best.height
        >>> height.estimate is None, height.low <= height.high
        (True, True)
    """
    asked = settings.uses or settings.attack is not None
    test = load_test(settings.point) if asked else None  # files that are missing, at once
    f, ends, points = _solutions(settings, folder, progress, notice)
    check_attack(f, settings.attack)
    found: list[tuple[Way, Path]] = []
    for method in settings.methods:
        kept = None if folder is None else folder.load(f"way-{method}")
        if kept is not None:
            way = Way.from_json(kept.payload)
            path = Path(kept.tensors["pieces"], way.height, method, way.gradients, f=f)
        else:
            way, path = _way(f, points, settings, method, progress)
            if folder is not None:
                folder.save(f"way-{method}", way.to_json(), {"pieces": path.pieces})
        found.append((way, path))
    ways, paths = zip(*found, strict=True)
    uses = () if not asked else used(
        f, paths, means=settings.uses, attack=settings.attack, eps=settings.eps, test=test,
        seed=settings.seed, progress=progress,
    )  # fmt: skip
    return ConnectResult(
        settings, str(settings.point), f.dim, f.source.samples,
        tuple(structure_of(f.source).not_smooth), ends, ways, uses,
        min(paths, key=lambda path: path.height.high),
    )  # fmt: skip


def _way(
    f: Objective, points: tuple[Tensor, Tensor], settings: ConnectSettings, method: str,
    progress: Progress | None,
) -> tuple[Way, Path]:  # fmt: skip
    start = time.perf_counter()
    path = connect(
        f, *points, method=cast(Method, method), align=settings.align, prove=False,
        seed=settings.seed, progress=progress,
    )  # fmt: skip
    found = time.perf_counter()
    path = path.proved(tol=settings.tol, progress=stage(progress, f"proof, {method}"))
    seconds = found - start, time.perf_counter() - found
    shares = [accuracy(f, path(t)) for t in sample_times(path.curve, _LOOKS)]
    known = [s for s in shares if s is not None]
    error = 1 - min(known) if known else None
    return Way(
        method, path.height, path.length, path.gradients, path.aligned, path.distances, path.same,
        error, seconds, path.note,
    ), path  # fmt: skip


def _solutions(
    settings: ConnectSettings, folder: RunFolder | None, progress: Progress | None,
    notice: Callable[[str], None] | None,
) -> tuple[Objective, tuple[End, End], tuple[Tensor, Tensor]]:  # fmt: skip
    point, kept = settings.point, None if folder is None else folder.load("ends")
    made = [(point, settings.seed), (replace(point, checkpoint=settings.to) if settings.to
                                     else point, settings.second)]  # fmt: skip
    if kept is not None:
        if notice is not None:
            notice("resumed: both solutions are there already")
        f = make_point(untrained(point), settings.seed).f
        pair = kept.tensors["a"], kept.tensors["b"]
        return f, _ends(f, pair, tuple(kept.payload["proved"])), pair
    data = None if point.objective is not None else load_data(point)
    before = announced(notice, certifies=settings.polish)
    both = [
        make_point(s, seed, dataset=data, progress=progress, before=None if k else before)
        for k, (s, seed) in enumerate(made)
    ]
    f, proved, thetas = both[0].f, [False, False], [p.theta for p in both]
    if point.objective is not None:
        first, second = (_at_one(p.f, thetas[0]) for p in both)
        check_one_landscape(first, second, settings.second)
    _check_pair(settings, f.dim, both[1].f.dim, thetas)
    if settings.polish:
        for k, theta in enumerate(thetas):
            found = find_critical_point(f, theta, seed=settings.seed, progress=progress)
            thetas[k] = found.theta
            proved[k] = found.certificate.proves(0)
    pair = thetas[0], thetas[1]
    if folder is not None:
        folder.save("ends", {"proved": proved}, {"a": pair[0], "b": pair[1]})
    return f, _ends(f, pair, (proved[0], proved[1])), pair


def _at_one(f: Objective, theta: Tensor) -> Objective:
    """With statistics of the first solution, where they belong to a point and can be had."""
    return at_statistics_of(f, theta) if f.dim == len(theta) and recomputable(f) else f


def _check_pair(settings: ConnectSettings, dim: int, other: int, thetas: list[Tensor]) -> None:
    if other != dim:
        raise ArgumentError(
            "--to", expected=f"a network of {dim:,} parameters, as the first",
            got=f"{other:,}", cure="two solutions of one network are compared",
        )  # fmt: skip
    if settings.point.objective is not None and torch.equal(*thetas):
        raise ArgumentError(
            "--objective", expected="a function that gives two solutions for two seeds",
            got=f"the same parameters for seeds {settings.seed} and {settings.second}",
            cure="write `def f(seed): ...` and start, or train, from the seed",
        )  # fmt: skip


def _ends(f: Objective, pair: tuple[Tensor, Tensor], proved: Any) -> tuple[End, End]:
    a, b = (
        End(f.value(theta), accuracy(f, theta), bool(sure))
        for theta, sure in zip(pair, proved, strict=True)
    )
    return a, b


# -- its part of `reproduce` -------------------------------------------------------------------


def connect_run(settings: ConnectSettings) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """One pair as a piece: JSON values, and no tensors."""
    result = run_connect(settings)
    values = result.to_json()
    values.pop("settings")
    return values, {"none": torch.zeros(0)}


def connect_parts(settings: ReproduceSettings) -> Iterator[Part]:
    """One pair of solutions of each network.

    Of the CNN on the first 200 images only: over all of them the proof of one bent path takes
    longer than all other parts. `morsescape connect --net cnn` takes all.
    """
    for name, point in points_of(settings):
        if point.at != "trained":
            continue
        if point.net == "cnn":
            point = replace(point, samples=min(point.samples or CNN_IMAGES, CNN_IMAGES))
        own = ConnectSettings(point, settings.seed, methods=("line", "bezier"))
        tasks = (Task("pair", connect_run, (own,)),)
        # Of the CNN it is 200 images, whatever there are.
        seconds = 60.0 if point.net == "cnn" else roughly(point, 40.0, 300.0)
        yield Part(f"connect/{name}", own.identity(), tasks, _collect(own), seconds)


def _collect(settings: ConnectSettings) -> Callable[[Pieces], ConnectResult | None]:
    def collect(pieces: Pieces) -> ConnectResult | None:
        found = (ConnectResult.from_json(p.payload, settings=settings) for p in pieces.values())
        return next(found, None)

    return collect
