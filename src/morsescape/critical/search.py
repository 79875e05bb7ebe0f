"""What every search does: go down, look where it came to, leave, go down again."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import Enum
from typing import Any, Generic, TypeVar

from torch import Tensor

from morsescape.critical.evaluations import Counted
from morsescape.critical.failures import Callbacks
from morsescape.critical.loop import Point, Stop
from morsescape.objective import Objective
from morsescape.progress import Progress

Status = TypeVar("Status", bound=Enum)
Result = TypeVar("Result")


class Search(ABC, Generic[Status, Result]):
    """A counted landscape, the caller's callbacks, rounds, a clock; failures become sentences.

    Errors at the first point pass, and so do those of the caller's callbacks.
    """

    BLOCKED: Status  # how it ended where leaving and going down led nowhere
    FAILED: Status

    def __init__(
        self, f: Objective, seed: int, progress: Progress | None = None,
        callback: Callable[..., Any] | None = None,
    ) -> None:  # fmt: skip
        self.f, self.seed, self.reason = f, seed, ""
        self.calls = Callbacks()
        self.progress, self.callback = self.calls.own(progress), self.calls.own(callback)
        self.problem = Counted(f)
        self.began = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.perf_counter() - self.began

    def run(self, theta: Tensor) -> Result:
        """From θ to a result."""
        self.latest = Point.at(self.problem, theta)
        self.started(self.latest)
        try:
            return self.result(*self.rounds())
        except Exception as error:
            self.reason = self.calls.caught(error)
            return self.failed()

    def alternated(self, point: Point, stop: Stop | None, most: int) -> tuple[Point, Status]:
        """Look, leave, go down, until a look ends it; the last of `most` looks does."""
        round_ = 0
        while (status := self.look(point, stop, round_, round_ == most - 1)) is None:
            left = self.leave(point, round_)
            following, stop = (point, None) if left is None else self.down(left)
            if following is point:
                return point, self.BLOCKED
            point, round_ = following, round_ + 1
        return point, status

    def started(self, point: Point) -> None:
        """Told of the first point."""

    @abstractmethod
    def rounds(self) -> tuple[Point, Status]:
        """All of it, from `latest`."""

    @abstractmethod
    def down(self, point: Point) -> tuple[Point, Stop]:
        """Lower f, or what is lowered."""

    @abstractmethod
    def look(self, point: Point, stop: Stop | None, round_: int, last: bool) -> Status | None:
        """How it ended, if it did here."""

    @abstractmethod
    def leave(self, point: Point, round_: int) -> Point | None:
        """A point from which going down leads elsewhere, or None."""

    @abstractmethod
    def result(self, point: Point, status: Status) -> Result:
        """What it came to."""

    @abstractmethod
    def failed(self) -> Result:
        """What it came to at `latest`, where something could not be computed."""
