"""The command line: one thin command per question.

Exit status: 0 done, 1 failed with one line on stderr, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Annotated

import typer

from morsescape.version import __version__

# As the registry has them, which knows the studies; a command imports its study when it runs.
COMMANDS = ("index", "spectrum", "scatter", "connect", "tree", "polish", "reproduce")

app = typer.Typer(
    name="morsescape",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _lines(examples: str) -> str:
    """One line each: markdown runs lines together unless a backslash ends them."""
    return examples.replace("\n\n    ", "\n\n").replace("\n    ", "\\\n")


for _name in COMMANDS:
    _module = import_module(f"morsescape.experiments.{_name}.command")
    app.command(epilog=_lines(_module.EXAMPLES))(getattr(_module, _name))


def _version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"morsescape {__version__}")
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
