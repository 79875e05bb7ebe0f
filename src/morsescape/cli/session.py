"""What every command does around its work: two consoles, one line for an error, exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console

from morsescape.errors import ArgumentError, MorsescapeError, is_out_of_memory

FAILED, WRONG_USAGE, INTERRUPTED = 1, 2, 130
_LEAST_WIDTH = 130  # of tables where the width of the reader is not known


def stdout() -> Console:
    """Where results go; wide enough for a table when it is a file or a pipe."""
    return _console(stderr=False)


def stderr() -> Console:
    """Where progress and errors go."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = Console(stderr=stderr, highlight=False, width=_LEAST_WIDTH)
    return console


def say(text: str) -> None:
    """One line on stderr, not wrapped, so that it can be searched for."""
    sys.stderr.write(f"morsescape: {text}\n")
    sys.stderr.flush()


@contextmanager
def usage() -> Iterator[None]:
    """Arguments that are wrong in themselves: exit 2, one line."""
    try:
        yield
    except ArgumentError as error:
        say(str(error))
        raise typer.Exit(WRONG_USAGE) from None


@contextmanager
def session(kept: str) -> Iterator[None]:
    """Errors that a person can act on become one line and exit 1; an interrupt exits 130.

    Then it is said what is `kept`.
    """
    try:
        yield
    except MorsescapeError as error:
        say(str(error))
        raise typer.Exit(FAILED) from None
    except KeyboardInterrupt:
        say(f"interrupted; {kept}")
        raise typer.Exit(INTERRUPTED) from None
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        reason = str(error).splitlines()[0] if str(error) else "MemoryError"
        say(f"not enough memory ({reason}); cure: a smaller network or fewer --samples")
        raise typer.Exit(FAILED) from None
