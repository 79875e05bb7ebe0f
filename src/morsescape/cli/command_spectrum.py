"""`morsescape spectrum`: all eigenvalues of a Hessian, drawn, with the undecided band."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from morsescape.cli import options
from morsescape.cli.output import JsonOutput
from morsescape.cli.session import say, session, stderr, usage
from morsescape.errors import ArgumentError
from morsescape.experiments import PointSettings, SpectrumResult, SpectrumSettings, run_spectrum
from morsescape.report import (
    bars,
    ridge_sentences,
    save_figure,
    spectrum_picture,
    spectrum_sentences,
    spectrum_table,
)
from morsescape.store import RunFolder

EXAMPLES = """\
Examples:

    morsescape spectrum --net mlp2 --out figure
    morsescape spectrum --net cnn --data mnist --checkpoint cnn.safetensors
    morsescape spectrum --objective model.py:trained --format svg --json a.json
"""
_FORMATS = ("png", "pdf", "svg")


@options.takes_point()
def spectrum(
    point: PointSettings,
    seed: options.Seed = 0,
    json: options.Json = None,
    out: Annotated[
        Path,
        typer.Option(
            help="Keep the eigenvalues and the figures here; drawn again without computing.",
            metavar="DIR",
            rich_help_panel="Output",
        ),
    ] = Path("spectrum"),
    formats: Annotated[
        str,
        typer.Option(
            "--format", help="Of the figure.", metavar="png,pdf,svg", rich_help_panel="Output"
        ),
    ] = "png,pdf",
) -> None:
    """The eigenvalue distribution at a point, linear and symlog, the undecided band shaded.

    Takes a network trained from --seed, a checkpoint, or your own objective, and computes all
    eigenvalues of the exact Hessian of f, each with a proved radius. Outliers are marked.
    """
    with usage():
        settings, kinds = SpectrumSettings(point, seed), _checked_formats(formats)
    with session(f"nothing is lost but this point; eigenvalues are kept in {out} once they are"):
        output = JsonOutput(json)
        output.check()
        folder = RunFolder(out, settings.identity(), say)
        with bars(stderr()) as progress:
            result = run_spectrum(settings, folder, progress, notice=say)
        output.write(result)
        _print(output.console(), result)
        _draw(result, out, kinds)


def _checked_formats(formats: str) -> tuple[str, ...]:
    kinds = tuple(kind.strip() for kind in formats.split(","))
    for kind in kinds:
        if kind not in _FORMATS:
            raise ArgumentError(
                "--format", expected=", ".join(_FORMATS), got=repr(kind), cure="choose from these"
            )
    return kinds


def _draw(result: SpectrumResult, out: Path, kinds: tuple[str, ...]) -> None:
    files = save_figure(spectrum_picture(result), out / "spectrum", kinds)
    say(f"figure in {', '.join(map(str, files))}")


def _print(console: Console, result: SpectrumResult) -> None:
    console.print(f"{result.settings.point}: {result.inertia.dim:,} parameters", soft_wrap=True)
    console.print(spectrum_table(result))
    ridge = [] if result.ridge is None else ridge_sentences(result.ridge)
    for sentence in [*spectrum_sentences(result), *ridge]:
        console.print(sentence, soft_wrap=not console.is_terminal)
