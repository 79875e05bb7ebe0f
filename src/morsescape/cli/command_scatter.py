"""`morsescape scatter`: where many trainings end, in the plane and modulo symmetries."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from morsescape.cli import options
from morsescape.cli.output import JsonOutput
from morsescape.cli.session import say, session, stderr, usage
from morsescape.experiments.point import PointSettings
from morsescape.experiments.processes import Processes
from morsescape.experiments.scatter import (
    ScatterResult,
    ScatterSettings,
    run_scatter,
    scatter_tasks,
)
from morsescape.experiments.schedulers import Here, Scheduler
from morsescape.report import bars, save_figure
from morsescape.report.scatter import scatter_sentences, scatter_table
from morsescape.report.scatter_picture import scatter_figure
from morsescape.store import RunFolder

EXAMPLES = """\
Examples:

    morsescape scatter --net cnn --members 60 --out solutions
    morsescape scatter --net cnn --data mnist --root data --members 500 --out mnist
    morsescape scatter --net mlp2 --activation tanh --members 100 --json a.json
"""
_MEMORY = 1.5  # GiB of a worker: all of MNIST and the buffers of a piece


@options.takes_point(without=("checkpoint",), refused=("objective", "l2", "device"))
def scatter(
    point: PointSettings,
    members: Annotated[
        int, typer.Option(help="Number of networks; the k-th has seed S + k.", metavar="N")
    ] = 500,
    seed: options.Seed = 0,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Processes, one thread each, for ensembles of several pieces. \\[default: one a "
            "core, as memory allows]",
            metavar="N",
            rich_help_panel="Training",
        ),
    ] = None,
    json: options.Json = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Keep the final points here, and a figure; the same command resumes.",
            metavar="DIR",
            rich_help_panel="Output",
        ),
    ] = None,
) -> None:
    """Many initialisations trained at once: final points in the plane by PCA, coloured by loss.

    Trains an ensemble of --net cnn or mlp2 in one batched computation, all on the same
    mini-batches, and tells how far apart the solutions are: as they are, and after removing the
    symmetries of the network, because two points that differ by a symmetry are one solution.
    """
    with usage():
        settings = ScatterSettings(point, seed, members)
        who = _scheduler(settings, workers)
    kept = "nothing is kept without --out DIR" if out is None else (
        f"finished pieces are in {out}, the same command resumes"
    )  # fmt: skip
    with session(kept):
        output = JsonOutput(json)
        output.check()
        folder = None if out is None else RunFolder(out, settings.identity(), say)
        with bars(stderr()) as progress:
            result = run_scatter(settings, folder, progress, scheduler=who, notice=say)
        output.write(result)
        _print(output.console(), result)
        if out is not None:
            figure = scatter_figure(result, title=str(settings))
            say(f"figure in {save_figure(figure, out / 'scatter')[0]}")


def _scheduler(settings: ScatterSettings, workers: int | None) -> Scheduler:
    """This process, which shows the epochs, for one piece; processes for several."""
    several = Processes(workers, memory=_MEMORY)
    return several if len(scatter_tasks(settings)) > 1 else Here()


def _print(console: Console, result: ScatterResult) -> None:
    console.print(
        f"{result.settings}: {result.theta.shape[1]:,} parameters, {result.samples:,} samples",
        soft_wrap=True,
    )
    table = scatter_table(result)
    if table.row_count:
        console.print(table)
    for sentence in scatter_sentences(result):
        console.print(sentence, soft_wrap=not console.is_terminal)
