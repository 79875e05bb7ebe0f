"""Images that nothing is trained on, and what networks make of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from morsescape.critical import CriticalPoint
from morsescape.data import Dataset
from morsescape.errors import ArgumentError
from morsescape.experiments.point import PointSettings, load_data, load_test
from morsescape.objective import Objective
from morsescape.paths.statistics import on_data
from morsescape.paths.uses import Score, score_of


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
        return data, load_test(point)
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
    other = None if test is None else on_data(f, (test.x, test.y))
    return () if other is None else tuple(score_of(other, point.theta) for point in points)
