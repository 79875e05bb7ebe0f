"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

MODEL, TRAINING, OUTPUT, SWEEP = "Model and data", "Training", "Output", "Sweep"


def option(metavar: str | None, text: str, panel: str | None = None, name: str = "") -> Any:
    """An option with its help; `name` where it is not that of the parameter."""
    names = (f"--{name}",) if name else ()
    return typer.Option(*names, metavar=metavar, help=text, rich_help_panel=panel)


def switch(text: str, panel: str | None = None) -> Any:
    """An option that is on or off."""
    return typer.Option(help=text, rich_help_panel=panel)


Root = Annotated[
    str | None,
    option(
        "DIR",
        "Folder that holds MNIST/raw or FashionMNIST/raw; else MORSESCAPE_DATA, else the user's "
        "cache, which is filled from the public mirrors.",
        MODEL,
    ),
]
Samples = Annotated[
    int | None, option("N", "Take the first so many images. \\[default: all]", MODEL)
]
Seed = Annotated[int, option("S", "Seed of the (first) run.")]
Json = Annotated[
    Path | None,
    option(
        "FILE",
        "Write what is printed as JSON; - is standard output, and the tables go to standard error "
        "then.",
        OUTPUT,
        "json",
    ),
]
Out = Annotated[
    Path | None,
    option(
        "DIR",
        "Keep here what is finished, and figures of it; the same command resumes.",
        OUTPUT,
    ),
]
