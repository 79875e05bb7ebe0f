"""What a sweep has left to do and roughly how long that takes, said before it starts."""

from __future__ import annotations

from collections.abc import Sequence

from morsescape.experiments.schedulers import Scheduler
from morsescape.experiments.sweep.processes import Processes
from morsescape.page.readable import duration


def announced(seconds: Sequence[float], expected: int, scheduler: Scheduler) -> str:
    """A sentence of pieces that are not there; what they take is an estimate.

    Args:
        seconds: of each of them, roughly, on one core.
        expected: pieces in all.
        scheduler: who does them; a cluster's workers are not counted.

    Example:
        >>> announced([30.0, 90.0], 5, Processes(2))
        '2 of 5 pieces to do, about 2.0 min of one core, about 90 s on 2: an estimate'
    """
    workers = min(scheduler.count, len(seconds)) if isinstance(scheduler, Processes) else 1
    # As long as an even share takes, or the longest piece.
    wall = max(sum(seconds) / workers, *seconds)
    on = "" if workers == 1 else f", about {duration(wall)} on {workers}"
    return (
        f"{len(seconds)} of {expected} pieces to do, about {duration(sum(seconds))} of one core"
        f"{on}: an estimate"
    )
