"""Minima and passes of one graph by several processes, or by the workers of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

from torch import Tensor

from morsescape.critical import find_critical_point
from morsescape.experiments.point import PointSettings, make_point, untrained
from morsescape.experiments.sweep import Scheduler, Task, run_tasks
from morsescape.experiments.tree.tested import split
from morsescape.experiments.user_code import check_one_landscape
from morsescape.morse.attempt import Attempt, Search, Together
from morsescape.objective import Objective
from morsescape.store import RunFolder


def together(
    point: PointSettings, held_out: int, seed: int, scheduler: Scheduler,
    notice: Callable[[str], None] | None,
) -> Together:  # fmt: skip
    """Searches of a graph as tasks: kept the moment they come back, taken in their order.

    Each makes f of the settings, without training: it is the same for every seed, as checked.
    """

    def carried_out(searches: Mapping[str, Search], folder: RunFolder | None) -> Iterable[Attempt]:
        tasks = [
            Task(key, search_run, (point, held_out, seed, search))
            for key, search in searches.items()
        ]
        pieces = run_tasks(tasks, folder, scheduler=scheduler, notice=notice)
        return [Attempt.from_json(piece.payload, **piece.tensors) for piece in pieces.values()]

    return carried_out


def minimum_run(
    point: PointSettings, held_out: int, first: int, seed: int
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What a search from the training of one seed ends at, as a piece."""
    made = make_point(point, seed, dataset=split(point, held_out)[0])
    check_one_landscape(landscape(point, held_out, first), made.f, seed)
    return find_critical_point(made.f, made.theta, seed=seed).to_piece()


def search_run(
    point: PointSettings, held_out: int, seed: int, search: Search
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """One search as a piece."""
    return search.carried_out(landscape(point, held_out, seed), seed).to_piece()


@lru_cache(1)  # a process makes it once, for all searches that come to it
def landscape(point: PointSettings, held_out: int, seed: int) -> Objective:
    """The f of these settings, at no point in particular.

    Example:
        >>> print(landscape(PointSettings(samples=50, activation="tanh", l2=1e-3), 0, 0))
        f(theta) = cross_entropy + 0.001 |theta|^2, 760 parameters, 50 samples
    """
    return make_point(untrained(point), seed, dataset=split(point, held_out)[0]).f
