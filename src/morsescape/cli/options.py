"""Options that several commands share, and what they come to."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from morsescape.cli.session import usage
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
    str | None,
    typer.Option(
        help="relu is the paper's; the others are smooth. \\[default: relu]",
        metavar="relu|tanh|softplus|gelu",
        rich_help_panel=_MODEL,
    ),
]
Pool = Annotated[
    str | None,
    typer.Option(
        help="Pooling of the cnn. \\[default: max]", metavar="max|avg", rich_help_panel=_MODEL
    ),
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
    str | None,
    typer.Option(
        "--at",
        help="Where: after training, or at the random initialisation. \\[default: trained]",
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
        help="Passes over the data; steps of lbfgs. \\[default: 20, cnn 15, more on few images, "
        "lbfgs 200]",
        metavar="N",
        rich_help_panel=_TRAINING,
    ),
]
Rate = Annotated[
    float | None,
    typer.Option(
        "--lr",
        help="Learning rate. \\[default: 0.1, cnn 0.003, lbfgs 1]",
        metavar="X",
        rich_help_panel=_TRAINING,
    ),
]
Optimizer = Annotated[
    str | None,
    typer.Option(
        help="The paper's unless given. \\[default: sgd, cnn adam]",
        metavar="sgd|adam|lbfgs",
        rich_help_panel=_TRAINING,
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        help="Where to train: cpu, cuda, cuda:1 …; the counting is on the CPU, in float64. "
        "\\[default: cpu]",
        metavar="DEVICE",
        rich_help_panel=_TRAINING,
    ),
]
Json = Annotated[
    Path | None,
    typer.Option(
        "--json",
        help="Write what is printed as JSON; - is standard output, and the tables go to standard "
        "error then.",
        metavar="FILE",
        rich_help_panel=_OUTPUT,
    ),
]


_POINT: dict[str, Any] = {  # the option of each setting, in the order of --help
    "net": Net,
    "data": Data,
    "root": Root,
    "samples": Samples,
    "activation": Activation,
    "pool": Pool,
    "l2": L2,
    "at": At,
    "objective": OwnObjective,
    "checkpoint": Checkpoint,
    "epochs": Epochs,
    "lr": Rate,
    "optimizer": Optimizer,
    "device": Device,
}  # without one that is given, the default of PointSettings holds


_TRAINS = ("epochs", "lr", "optimizer", "device")
_ALONE = {  # options that would go unused beside another
    "objective": (
        "net", "data", "root", "samples", "activation", "pool", "at", "checkpoint", *_TRAINS
    ),
    "checkpoint": ("at", *_TRAINS),
}  # fmt: skip


def takes_point(
    *, without: Sequence[str] = (), refused: Sequence[str] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options that say at which point to look, as its argument `point`.

    Args:
        without: names of options that it does not have.
        refused: names of options that its settings refuse: not shown by --help.
    """
    options = {name: kind for name, kind in _POINT.items() if name not in without}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        named = inspect.Parameter.KEYWORD_ONLY
        own = inspect.signature(command, eval_str=True).parameters.values()
        parameters = [
            inspect.Parameter(
                name, named, default=None, annotation=_hidden(kind) if name in refused else kind
            )
            for name, kind in options.items()
        ]
        parameters += [p.replace(kind=named) for p in own if p.name != "point"]

        @functools.wraps(command)
        def run(**given: Any) -> None:
            with usage():
                point = _make_point({name: given.pop(name) for name in options})
            command(point=point, **given)

        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        return run

    return decorate


def _hidden(kind: Any) -> Any:
    """The option, not shown by --help."""
    of, option = get_args(kind)
    option = copy.copy(option)
    option.hidden = True
    return Annotated[of, option]


def _make_point(options: dict[str, Any]) -> PointSettings:
    """The settings of the options that were given; wrong values and clashes are refused."""
    given = {name: value for name, value in options.items() if value is not None}
    settings = PointSettings(**given)
    said = set(given)
    for alone, others in _ALONE.items():
        clash = [f"--{name}" for name in others if name in said]
        if alone in said and clash:
            raise ArgumentError(
                f"--{alone}",
                expected=f"no {', '.join(clash)} beside it",
                got="both",
                cure="leave one of them out",
            )
    if "pool" in said and settings.objective is None and settings.net != "cnn":
        raise ArgumentError(
            "--pool", expected="--net cnn beside it", got=f"{settings.net}, which does not pool",
            cure="leave it out",
        )  # fmt: skip
    if settings.at == "random" and (unused := said & set(_TRAINS)):
        raise ArgumentError(
            "--at", expected=f"trained, with {', '.join(f'--{name}' for name in sorted(unused))}",
            got="random, which trains nothing", cure="leave one of them out",
        )  # fmt: skip
    return settings
