"""Options that several commands share, and what they come to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from morsescape.errors import ArgumentError
from morsescape.experiments import PointSettings

_MODEL, _TRAINING, _OUTPUT = "Model and data", "Training", "Output"

Net = Annotated[
    str | None,
    typer.Option(
        help="Network of the paper, scaled to the images. \\[default: mlp2]",
        metavar="mlp2|mlp3|cnn",
        rich_help_panel=_MODEL,
    ),
]
Data = Annotated[
    str | None,
    typer.Option(
        help="Data set; digits needs no file. \\[default: digits]",
        metavar="digits|mnist|fashion-mnist",
        rich_help_panel=_MODEL,
    ),
]
Root = Annotated[
    str | None,
    typer.Option(
        help="Folder that holds MNIST/raw or FashionMNIST/raw; else MORSESCAPE_DATA, else the "
        "user's cache, which is filled from the public mirrors.",
        metavar="DIR",
        rich_help_panel=_MODEL,
    ),
]
Samples = Annotated[
    int | None,
    typer.Option(
        help="Take the first so many images. \\[default: all]",
        metavar="N",
        rich_help_panel=_MODEL,
    ),
]
Activation = Annotated[
    str,
    typer.Option(
        help="relu is the paper's; the others are smooth.",
        metavar="relu|tanh|softplus|gelu",
        rich_help_panel=_MODEL,
    ),
]
Pool = Annotated[
    str, typer.Option(help="Pooling of the cnn.", metavar="max|avg", rich_help_panel=_MODEL)
]
L2 = Annotated[
    float | None,
    typer.Option(
        "--l2",
        help="λ of f = L + λ‖θ‖², which has Hessian Hess L + 2λI; it does not enter the "
        "training. \\[default: 0]",
        metavar="λ",
        rich_help_panel=_MODEL,
    ),
]
At = Annotated[
    str,
    typer.Option(
        "--at",
        help="Where: after training, or at the random initialisation.",
        metavar="trained|random",
        rich_help_panel=_MODEL,
    ),
]
OwnObjective = Annotated[
    str | None,
    typer.Option(
        "--objective",
        help="Your own model instead of --net and --data: a function that returns an Objective, "
        "looked at where its parameters are. It is called with seed=S if it has such a parameter.",
        metavar="FILE.py:FUNCTION",
        rich_help_panel=_MODEL,
    ),
]
Checkpoint = Annotated[
    str | None,
    typer.Option(
        help="Parameters of --net in a safetensors file, instead of training.",
        metavar="FILE.safetensors",
        rich_help_panel=_MODEL,
    ),
]
Seed = Annotated[int, typer.Option(help="Seed of the (first) run.", metavar="S")]
Epochs = Annotated[
    int | None,
    typer.Option(
        help="Passes over the data. \\[default: 20, cnn 15, more on few images]",
        metavar="N",
        rich_help_panel=_TRAINING,
    ),
]
Rate = Annotated[
    float | None,
    typer.Option(
        "--lr",
        help="Learning rate. \\[default: 0.1, cnn 0.003]",
        metavar="X",
        rich_help_panel=_TRAINING,
    ),
]
Optimizer = Annotated[
    str | None,
    typer.Option(
        help="The paper's unless given. \\[default: sgd, cnn adam]",
        metavar="sgd|adam",
        rich_help_panel=_TRAINING,
    ),
]
Device = Annotated[
    str,
    typer.Option(
        help="Where to train: cpu, cuda, cuda:1 …; the counting is on the CPU, in float64.",
        metavar="DEVICE",
        rich_help_panel=_TRAINING,
    ),
]
Json = Annotated[
    Path | None,
    typer.Option(
        "--json",
        help="Write what is printed as JSON, after each run.",
        metavar="FILE",
        rich_help_panel=_OUTPUT,
    ),
]


def make_point(**options: Any) -> PointSettings:
    """The settings of the options that were given.

    Raises:
        ArgumentError: a wrong value, or options that exclude each other.
    """
    given = {name: value for name, value in options.items() if value is not None}
    for alone, others in (
        ("objective", ("net", "data", "samples", "checkpoint", "epochs", "lr", "optimizer")),
        ("checkpoint", ("epochs", "lr", "optimizer")),
    ):
        clash = [f"--{name}" for name in others if name in given]
        if alone in given and clash:
            raise ArgumentError(
                f"--{alone}",
                expected=f"no {', '.join(clash)} beside it",
                got="both",
                cure="leave one of them out",
            )
    return PointSettings(**given)
