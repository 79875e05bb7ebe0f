"""Images that nothing is trained on, and what networks make of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from morsescape.accuracy import accuracy
from morsescape.critical import CriticalPoint
from morsescape.data import Dataset, load
from morsescape.data.load import TESTED
from morsescape.errors import ArgumentError
from morsescape.experiments.point import PointSettings, load_data
from morsescape.objective import Objective
from morsescape.store import Saved


@dataclass(frozen=True)
class Score(Saved):
    """The mean cross-entropy of a network on the test part, and its accuracy there."""

    loss: float
    accuracy: float


def split(point: PointSettings, held_out: int) -> tuple[Dataset | None, Dataset | None]:
    """What is trained on and what tests it: the last `held_out` images, or the data's test part.

    None for the data of an objective of one's own, and for a test part that the data do not have.

    Raises:
        ArgumentError: as many held out as there are images.
        DataError: as `load`.

    Example:
        >>> train, test = split(PointSettings(samples=100), 30)
        >>> len(train), len(test)
        (70, 30)
        >>> split(PointSettings(samples=100), 0)[1] is None  # digits come without a test part
        True
    """
    if point.objective is not None:
        return None, None
    data = load_data(point)
    if held_out == 0:
        has_test = point.data in TESTED
        return data, load(point.data, point.root, train=False) if has_test else None
    if held_out >= len(data):
        raise ArgumentError(
            "--held-out", expected=f"fewer than the {len(data):,} images", got=f"{held_out:,}",
            cure="hold out fewer, or take more --samples",
        )  # fmt: skip
    train = data.first(len(data) - held_out)
    return train, replace(data, x=data.x[len(train) :], y=data.y[len(train) :])


def scores(
    f: Objective, test: Dataset | None, points: Sequence[CriticalPoint]
) -> tuple[Score, ...]:
    """Of each network on the test part; none without one."""
    if test is None or f.network is None:
        return ()
    other = Objective(f.network.model, "cross_entropy", (test.x, test.y))
    return tuple(_score(other, point) for point in points)


def _score(f: Objective, point: CriticalPoint) -> Score:
    share = accuracy(f, point.theta)
    assert share is not None
    return Score(f.value(point.theta), share)
