"""From where an optimizer stopped to a critical point: what the index was, and what it is there."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any, cast

from torch import Tensor

from morsescape.accuracy import accuracy
from morsescape.boundary import (
    a_count,
    a_number,
    a_seed,
    checked,
    choice,
    instance,
    option,
    spelt,
)
from morsescape.critical import CriticalPoint, find_critical_point
from morsescape.critical.find import METHODS, TARGETS, Method, Target, check_method
from morsescape.experiments.point import Point, PointSettings, announced, make_point, rules_of_run
from morsescape.progress import Progress
from morsescape.spectrum.inertia import Inertia, inertia
from morsescape.store import Piece, RunFolder, Settings

_KEEP_EVERY = 20.0  # seconds between two saved steps of a search
_KEYS = ("search-0", "search-1")  # written in turn, so that one is whole at any moment


@checked(
    option, point=instance(PointSettings, "PointSettings(...) makes one"), seed=a_seed(),
    target=choice(TARGETS), method=choice(METHODS), tol=a_number(above=0),
    max_steps=a_count(1, words="a positive number"),
)  # fmt: skip
@dataclass(frozen=True)
class PolishSettings(Settings):
    """From which point, and to what.

    Attributes:
        point, seed: where to start, as for `index`.
        target, method, tol, max_steps: as in `find_critical_point`.

    Raises:
        ArgumentError: an unknown name, a number that is not positive, a limit that is no integer.

    Example:
        >>> PolishSettings(PointSettings(net="cnn", activation="tanh"), target="nearest").tol
        1e-09
    """

    EXPERIMENT = "polish"
    point: PointSettings = field(default_factory=PointSettings)
    seed: int = 0
    target: str = "minimum"
    method: str = "auto"
    tol: float = 1e-9
    max_steps: int = 20_000

    def __post_init__(self) -> None:
        with spelt(option):
            check_method(self.target, self.method)


@dataclass(frozen=True, eq=False)
class PolishResult:
    """The signs where the search started, and the critical point.

    Attributes:
        settings: what was asked for.
        start: the inertia where the optimizer stopped: a negative curvature count, not an index.
        found: what the search came to.
        accuracies: in [0, 1], at the start and at the end; None without labels.
        seconds: of the search, its earlier sittings included.
    """

    settings: PolishSettings
    start: Inertia
    found: CriticalPoint
    accuracies: tuple[float | None, float | None]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The object that `polish --json` writes."""
        found, names = self.found, self.settings.point.named()
        after = None if found.inertia is None else _counts(found.inertia)
        return {
            "net": names["net"],
            "data": names["data"],
            "seed": self.settings.seed,
            "n_params": self.start.dim,
            "l2": self.start.l2,
            "start": _counts(self.start) | {"accuracy": self.accuracies[0]},
            "found": {
                "value": found.value,
                "grad_norm": found.grad_norm,
                "accuracy": self.accuracies[1],
                "index": found.index,
                "status": found.status.name,
                "conclusion": found.conclusion,
                "reason": found.reason,
                "inertia": after,
                "certificate": found.certificate.to_json(),
                "evaluations_of_the_last_sitting": asdict(found.evaluations),
                "steps_of_the_last_sitting": found.steps,
            },
            "seconds": self.seconds,
        }


@checked(str, **rules_of_run(PolishSettings))
def run_polish(
    settings: PolishSettings,
    folder: RunFolder | None = None,
    progress: Progress | None = None,
    *,
    notice: Callable[[str], None] | None = None,
) -> PolishResult:
    """Make the point, count there, search, certify; take from `folder` what is there already.

    Arguments and errors as for `run_index`. The search is kept every 20 seconds and at an
    interrupt, and goes on from there.

    Example:
        >>> point = PointSettings("cnn", at="random", samples=20, activation="tanh", pool="avg",
        ...                       l2=0.1)
        >>> result = run_polish(PolishSettings(point))
        >>> result.start.negative[0] > 0, result.found.index, result.found.grad_norm < 1e-9
        (True, 0, True)
    """
    point, begun = _start(settings, folder, progress, notice)
    counted = _counted(point, begun, folder, progress)
    accuracies = accuracy(point.f, point.theta)
    done = None if folder is None else folder.load("found")
    if done is not None:
        _tell(notice, "resumed: the critical point was found already")
        values = dict(done.payload)
        total = values.pop("total")
        found = CriticalPoint.from_json(values, done.tensors["theta"])
        ends = (accuracies, accuracy(point.f, found.theta))
        return PolishResult(settings, counted, found, ends, total)
    theta, spent, place = _so_far(folder, point.theta)
    if spent:
        _tell(notice, f"resumed: the search goes on after {spent:.0f} s")
    keeper = None if folder is None else _Keeper(folder, spent, place)
    try:
        found = find_critical_point(
            point.f, theta, target=cast(Target, settings.target),
            method=cast(Method, settings.method), tol=settings.tol,
            max_steps=settings.max_steps, seed=settings.seed, progress=progress, callback=keeper,
        )  # fmt: skip
    except KeyboardInterrupt:
        if keeper is not None:
            keeper.keep()
        raise
    total = spent + found.seconds
    if folder is not None:
        folder.save("found", found.to_json() | {"total": total}, {"theta": found.theta})
    ends = (accuracies, accuracy(point.f, found.theta))
    return PolishResult(settings, counted, found, ends, total)


# -- what is kept -----------------------------------------------------------------------------


def _start(
    settings: PolishSettings,
    folder: RunFolder | None,
    progress: Progress | None,
    notice: Callable[[str], None] | None,
) -> tuple[Point, Piece | None]:
    """The point, trained once: its θ is kept."""
    kept = None if folder is None else folder.load("start")
    if kept is None:
        before = announced(notice, certifies=True)
        point = make_point(settings.point, settings.seed, progress=progress, before=before)
        if folder is not None:
            folder.save("start", {"seconds": point.seconds}, {"theta": point.theta})
        return point, None
    untrained = replace(settings.point, at="random")
    point = make_point(untrained, settings.seed)
    return Point(point.f, kept.tensors["theta"], None, kept.payload["seconds"]), kept


def _counted(
    point: Point, begun: Piece | None, folder: RunFolder | None, progress: Progress | None
) -> Inertia:
    kept = None if folder is None or begun is None else folder.load("start-inertia")
    if kept is not None:
        return Inertia.from_json(kept.payload)
    counted = inertia(point.f, point.theta, progress=progress)
    if folder is not None:
        folder.save("start-inertia", counted.to_json())
    return counted


def _so_far(folder: RunFolder | None, start: Tensor) -> tuple[Tensor, float, int]:
    """The last kept step of an interrupted search, or the start; seconds spent; which was kept."""
    pieces = [] if folder is None else [folder.load(key) for key in _KEYS]
    kept = [piece for piece in pieces if piece is not None]
    if not kept:
        return start, 0.0, 0
    last = max(kept, key=lambda piece: piece.payload["seconds"])
    return last.tensors["theta"], last.payload["seconds"], _KEYS.index(last.key)


class _Keeper:
    """Called after every step; writes one now and then, never over the last one kept."""

    def __init__(self, folder: RunFolder, spent: float, number: int) -> None:
        self.folder, self.spent, self.number = folder, spent, number
        self.latest: tuple[Tensor, float, float] | None = None
        self.began = self.last = time.perf_counter()

    def __call__(self, theta: Tensor, value: float, norm: float) -> None:
        self.latest = theta, value, norm
        if time.perf_counter() - self.last >= _KEEP_EVERY:
            self.keep()

    def keep(self) -> None:
        """Write the latest step, if there is one."""
        if self.latest is None:
            return
        theta, value, norm = self.latest
        self.last, self.number = time.perf_counter(), self.number + 1
        spent = self.spent + self.last - self.began
        payload = {"value": value, "grad_norm": norm, "seconds": spent}
        self.folder.save(_KEYS[self.number % 2], payload, {"theta": theta})


def _counts(counted: Inertia) -> dict[str, Any]:
    names = ("value", "grad_norm", "negative", "null", "positive", "radius", "not_smooth")
    return {name: getattr(counted, name) for name in names} | {"status": counted.status.name}


def _tell(notice: Callable[[str], None] | None, text: str) -> None:
    if notice is not None:
        notice(text)
