"""`morsescape polish`: from where an optimizer stopped to a certified critical point."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from morsescape.cli import options
from morsescape.cli.output import JsonOutput
from morsescape.cli.session import say, session, stderr, usage
from morsescape.experiments import PointSettings, PolishSettings, run_polish
from morsescape.report import bars, polish_sentences, polish_table
from morsescape.store import RunFolder

EXAMPLES = """\
Examples:

    morsescape polish --net cnn --activation tanh --pool avg --l2 1e-3 --samples 300
    morsescape polish --net mlp2 --activation tanh --data mnist --l2 1e-4 --out polished
    morsescape polish --objective model.py:trained --target nearest --json a.json
"""
_PANEL = "Search"


@options.takes_point()
def polish(
    point: PointSettings,
    target: Annotated[
        str,
        typer.Option(
            help="A minimum, or the nearest critical point of any index.",
            metavar="minimum|nearest",
            rich_help_panel=_PANEL,
        ),
    ] = "minimum",
    method: Annotated[
        str,
        typer.Option(
            help="How to step.",
            metavar="auto|lbfgs|scaled-lbfgs|trust-region|saddle-free|cubic|levenberg",
            rich_help_panel=_PANEL,
        ),
    ] = "auto",
    tol: Annotated[
        float,
        typer.Option(
            help="Stop at this norm of the gradient.", metavar="X", rich_help_panel=_PANEL
        ),
    ] = 1e-9,
    max_steps: Annotated[
        int,
        typer.Option(help="Accepted steps at most.", metavar="N", rich_help_panel=_PANEL),
    ] = 20_000,
    seed: options.Seed = 0,
    json: options.Json = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Keep the search here, and the point; the same command resumes.",
            metavar="DIR",
            rich_help_panel="Output",
        ),
    ] = None,
) -> None:
    """From a trained network to a critical point: its index, and a certificate that it is there.

    Counts the signs where the optimizer stopped, lowers the gradient to --tol with full batches in
    float64, leaves saddles along certified negative curvature, and certifies the point reached by
    Newton and Kantorovich. With --l2 above zero f has a lower bound that it attains.
    """
    with usage():
        settings = PolishSettings(point, seed, target, method, tol, max_steps)
    kept = "nothing is kept without --out DIR" if out is None else (
        f"the search is in {out}, the same command resumes"
    )  # fmt: skip
    with session(kept):
        output = JsonOutput(json)
        output.check()
        folder = None if out is None else RunFolder(out, settings.identity(), say)
        with bars(stderr()) as progress:
            result = run_polish(settings, folder, progress, notice=say)
        output.write(result)
        console = output.console()
        console.print(f"{settings.point}, l2 = {result.start.l2:g}", soft_wrap=True)
        console.print(polish_table(result))
        for sentence in polish_sentences(result):
            console.print(sentence, soft_wrap=not console.is_terminal)
