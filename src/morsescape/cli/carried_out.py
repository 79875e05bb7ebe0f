"""What the command of a study does once its settings are known: run, keep, write, tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from morsescape.bars import bars
from morsescape.cli.output import JsonOutput
from morsescape.cli.session import say, session, stderr
from morsescape.page import Page, save_figure, save_page
from morsescape.store import RunFolder


@dataclass(frozen=True)
class Told:
    """How a result is told: a line of what it is of, a table, sentences, and a figure.

    Attributes:
        head, table, sentences, figure: functions of the result; None for no figure.
        more: a second table, below the first.
        page: a function of the result; None for no page.
    """

    head: Callable[[Any], str]
    table: Callable[[Any], Table]
    sentences: Callable[[Any], Sequence[str]]
    figure: Callable[[Any], Figure | Axes] | None = None
    more: Callable[[Any], Table] | None = None
    page: Callable[[Any], Page] | None = None

    def to(self, console: Console, result: Any) -> None:
        """The line, the tables and the sentences."""
        console.print(self.head(result), soft_wrap=True)
        for made in (self.table, self.more):
            if made is not None and (table := made(result)).row_count:
                console.print(table)
        tell(console, self.sentences(result))


def tell(console: Console, sentences: Sequence[str]) -> None:
    """One sentence a line; not wrapped in a file, so that it can be searched for."""
    for sentence in sentences:
        console.print(sentence, soft_wrap=not console.is_terminal)


def carry_out(
    settings: Any,
    run: Callable[..., Any],
    told: Told,
    *,
    json: Path | None,
    out: Path | None,
    kept: Callable[[JsonOutput], str],
    formats: tuple[str, ...] = ("png", "pdf"),
    tells_each: bool = False,
) -> None:
    """Run a study, with its files, its bars and its exit codes.

    Args:
        settings: of the study; `identity()` is that of its folder.
        run: called as run(settings, folder, progress, notice=).
        told: how the result is told.
        json: what --json names.
        out: the folder that keeps what is finished, the figure and the page; None keeps nothing.
        kept: what an interrupt leaves behind, in words.
        formats: of the figure.
        tells_each: whether `run` has a parameter `finished` for results so far.
    """
    output = JsonOutput(json)
    with session(kept(output)):
        output.check()
        folder = None if out is None else RunFolder(out, settings.identity(), say)
        run = partial(run, finished=output.keep) if tells_each else run
        with bars(stderr()) as progress:
            result = run(settings, folder, progress, notice=say)
        output.write(result)
        told.to(output.console(), result)
        if out is not None and told.figure is not None:
            files = save_figure(told.figure(result), out / settings.EXPERIMENT, formats)
            say(f"figure in {', '.join(map(str, files))}")
        if out is not None and told.page is not None:
            path = out / f"{settings.EXPERIMENT}.html"
            save_page(told.page(result), path)
            say(f"page in {path}")


def resumes(what: str, out: Path | None) -> str:
    """What an interrupt leaves behind where `out` keeps it."""
    if out is None:
        return "nothing is kept without --out DIR"
    return f"{what} in {out}, the same command resumes"
