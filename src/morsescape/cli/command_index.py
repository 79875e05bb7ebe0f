"""`morsescape index`: how many Hessian eigenvalues are negative, with proof."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from morsescape.cli import options
from morsescape.cli.output import JsonOutput
from morsescape.cli.session import say, session, stderr, usage
from morsescape.experiments import IndexResult, IndexSettings, PointSettings, run_index
from morsescape.figures import index_bars
from morsescape.report import bars, index_rows, index_sentences, index_table, save_figure
from morsescape.store import RunFolder

EXAMPLES = """\
Examples:

    morsescape index
    morsescape index --net cnn --data mnist --root data --runs 10 --out cnn
    morsescape index --activation tanh --at random --samples 500 --json a.json
    morsescape index --objective model.py:trained
"""


@options.takes_point(without=("checkpoint",))
def index(
    point: PointSettings,
    runs: Annotated[
        int | None,
        typer.Option(
            help="Number of networks; run k has seed S + k. \\[default: 3, with --objective 1]",
            metavar="N",
        ),
    ] = None,
    seed: options.Seed = 0,
    method: Annotated[
        str,
        typer.Option(
            help="How signs are proved: ldl counts only, eigh is slower and has eigenvalues.",
            metavar="ldl|eigh",
        ),
    ] = "ldl",
    raw: Annotated[
        bool, typer.Option(help="Count signs naively too, in float32 and float64.")
    ] = True,
    json: options.Json = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Keep each finished run here, and a figure; the same command resumes.",
            metavar="DIR",
            rich_help_panel="Output",
        ),
    ] = None,
) -> None:
    """How many Hessian eigenvalues are negative, null and positive: intervals that are proved.

    Trains RUNS networks, or draws them at random, and counts the signs of the eigenvalues of the
    exact Hessian of f on the samples. Beside the proof stand the structural bound, the causes of
    the null space, the naive counts and, where the setting is the paper's, its published number.
    """
    with usage():
        many = (3 if point.objective is None else 1) if runs is None else runs
        settings = IndexSettings(point, seed, many, raw, method)
    output = JsonOutput(json)
    with session(_kept(out, output)):
        output.check()
        folder = None if out is None else RunFolder(out, settings.identity(), say)
        with bars(stderr()) as progress:
            result = run_index(settings, folder, progress, notice=say, finished=output.keep)
        output.write(result)
        _print(output.console(), result)
        if out is not None:
            files = save_figure(index_bars(index_rows(result)), out / "index")
            say(f"figure in {files[0]}")


def _kept(out: Path | None, output: JsonOutput) -> str:
    if out is not None:
        return f"finished runs are in {out}, the same command resumes"
    if output.is_file:
        return f"finished runs are in {output.name}; with --out DIR the same command resumes"
    return "nothing is kept without --out DIR"


def _print(console: Console, result: IndexResult) -> None:
    run, settings = result.runs[0], result.settings
    samples = "" if run["n_samples"] is None else f", {run['n_samples']:,} samples"
    console.print(
        f"{settings.point}: {run['n_params']:,} parameters{samples}, l2 = {run['l2']:g}",
        soft_wrap=True,
    )
    console.print(index_table(result))
    for sentence in index_sentences(result):
        console.print(sentence, soft_wrap=not console.is_terminal)
