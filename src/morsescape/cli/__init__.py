"""The command line: one thin command per question.

Exit status: 0 done, 1 failed with one line on stderr, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from morsescape.cli.command_index import EXAMPLES as INDEX_EXAMPLES
from morsescape.cli.command_index import index
from morsescape.cli.command_polish import EXAMPLES as POLISH_EXAMPLES
from morsescape.cli.command_polish import polish
from morsescape.cli.command_reproduce import EXAMPLES as REPRODUCE_EXAMPLES
from morsescape.cli.command_reproduce import reproduce
from morsescape.cli.command_scatter import EXAMPLES as SCATTER_EXAMPLES
from morsescape.cli.command_scatter import scatter
from morsescape.cli.command_spectrum import EXAMPLES as SPECTRUM_EXAMPLES
from morsescape.cli.command_spectrum import spectrum


def _lines(examples: str) -> str:
    """One line each: markdown runs lines together unless a backslash ends them."""
    return examples.replace("\n\n    ", "\n\n").replace("\n    ", "\\\n")


app = typer.Typer(
    name="morsescape",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(epilog=_lines(INDEX_EXAMPLES))(index)
app.command(epilog=_lines(SPECTRUM_EXAMPLES))(spectrum)
app.command(epilog=_lines(SCATTER_EXAMPLES))(scatter)
app.command(epilog=_lines(POLISH_EXAMPLES))(polish)
app.command(epilog=_lines(REPRODUCE_EXAMPLES))(reproduce)


def _version(wanted: bool) -> bool:
    if wanted:
        import morsescape

        typer.echo(f"morsescape {morsescape.__version__}")
        raise typer.Exit
    return False


@app.callback()
def _about(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it and exit.")
    ] = False,
) -> None:
    """Loss landscapes of neural networks via Morse theory, with a certified Hessian inertia."""


def main() -> None:
    """The entry point of the `morsescape` command."""
    try:
        app()
    except KeyboardInterrupt:  # before a command has begun
        typer.echo("morsescape: interrupted", err=True)
        sys.exit(130)
