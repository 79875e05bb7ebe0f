"""What the points of the paths are good for: averages, ensembles, and what an attack leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from morsescape.data import Dataset
from morsescape.errors import ArgumentError
from morsescape.objective import Objective
from morsescape.paths import Path, Uses, robustness, uses
from morsescape.paths.attacks import check_attackable
from morsescape.paths.statistics import recomputable
from morsescape.progress import Progress
from morsescape.store import Saved

_POINTS = 11


@dataclass(frozen=True)
class Attacked(Saved):
    """Accuracy along a path under attack, as of `Robustness`; `images` says which were attacked."""

    images: str
    t: tuple[float, ...]
    clean: tuple[float, ...]
    attacked: tuple[float, ...]
    warning: str


@dataclass(frozen=True)
class Used(Saved):
    """One path: means of its points, and their accuracy under attack, where asked for."""

    method: str
    means: Uses | None
    attacked: Attacked | None


def check_attack(f: Objective, attack: str | None) -> None:
    """Refuse to attack what is no classifier of images, before any path is searched.

    Raises:
        ArgumentError: no class labels, no images in [0, 1].
    """
    if attack is None:
        return
    try:
        check_attackable(f)
    except ArgumentError as error:
        raise ArgumentError(
            "--attack", expected=error.expected, got=error.got,
            cure=f"{error.cure}, or leave --attack out",
        ) from error  # fmt: skip


def used(
    f: Objective, paths: Sequence[Path], *, means: bool, attack: str | None, eps: float | None,
    test: Dataset | None, seed: int, progress: Progress | None,
) -> tuple[Used, ...]:  # fmt: skip
    """What is asked for, of each path; statistics of batch normalisation are computed anew."""
    found, anew = [], recomputable(f)
    on = None if test is None else (test.x, test.y)
    for done, path in enumerate(paths):
        made = uses(f, path.curve, points=_POINTS, test=on, recompute=anew) if means else None
        left = None
        if attack is not None and eps is not None:
            r = robustness(
                f, path.curve, eps=eps, points=_POINTS, attack=attack, test=on, seed=seed,
                recompute=anew,
            )  # fmt: skip
            t, clean, attacked = (tuple(column.tolist()) for column in (r.t, r.clean, r.attacked))
            left = Attacked("training" if test is None else "test", t, clean, attacked, r.warning)
        found.append(Used(path.method, made, left))
        if progress is not None:
            progress("uses", done + 1, len(paths))
    return tuple(found)
