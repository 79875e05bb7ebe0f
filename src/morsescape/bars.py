"""Progress bars with the time left, on stderr; silence where nobody watches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

Step = Callable[[str, int, int], None]


@contextmanager
def bars(console: Console) -> Iterator[Step | None]:
    """A function progress(stage, done, total) that draws a bar for each stage; None if quiet.

    The stage "runs" stays on top; the stages of a run go when the next run starts.

    Example:
        >>> with bars(Console(file=None, force_terminal=False)) as progress:
        ...     print(progress)
        None
    """
    if not (console.is_terminal or console.is_jupyter):
        yield None
        return
    columns = (
        TextColumn("{task.description:>12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as display:
        yield _Stages(display).step


@contextmanager
def own_bars(name: str = "") -> Iterator[Callable[..., None] | None]:
    """The bars of a call with `progress=True`; with a name, those of its one stage."""
    with bars(Console(stderr=True)) as step:
        yield partial(step, name) if name and step is not None else step


class _Stages:
    def __init__(self, display: Progress) -> None:
        self.display = display
        self.tasks: dict[str, TaskID] = {}

    def step(self, stage: str, done: int, total: int) -> None:
        if stage == "runs":
            for name in [name for name in self.tasks if name != "runs"]:
                self.display.remove_task(self.tasks.pop(name))
        if stage not in self.tasks:
            self.tasks[stage] = self.display.add_task(stage, total=total)
        self.display.update(self.tasks[stage], completed=done, total=total)
