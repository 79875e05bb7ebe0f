"""A sweep that is interrupted after so many tasks."""

from __future__ import annotations

from typing import Any

from morsescape.experiments.sweep import Here


class Interrupted(Exception):
    """In the middle of a sweep."""


class Until:
    """Does so many tasks, then is interrupted."""

    def __init__(self, tasks: int) -> None:
        self.tasks = tasks
        self.done: list[str] = []

    def run(self, tasks: Any, *, progress: Any = None, notice: Any = None) -> Any:
        for task, outcome in Here().run(tasks, progress=progress, notice=notice):
            if len(self.done) == self.tasks:
                raise Interrupted
            self.done.append(task.key)
            yield task, outcome
