"""The options that say at which point to look, and what they come to."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, get_args

from morsescape.cli.options import MODEL, TRAINING, Root, Samples, option
from morsescape.cli.session import usage
from morsescape.errors import ArgumentError

if TYPE_CHECKING:
    from morsescape.experiments.point import PointSettings


def _given(kind: type, name: str, metavar: str, text: str, panel: str = MODEL) -> Any:
    """An option that is None unless it is given: the default of `PointSettings` holds then."""
    return Annotated[kind | None, option(metavar, text, panel, name)]


_POINT: dict[str, Any] = {  # the option of each setting, in the order of --help
    "net": _given(
        str, "net", "mlp2|mlp3|cnn",
        "Network of the paper, scaled to the images. \\[default: mlp2]",
    ),
    "data": _given(
        str, "data", "digits|mnist|fashion-mnist",
        "Data set; digits needs no file. \\[default: digits]",
    ),
    "root": Root,
    "samples": Samples,
    "activation": _given(
        str, "activation", "relu|tanh|softplus|gelu",
        "relu is the paper's; the others are smooth. \\[default: relu]",
    ),
    "pool": _given(str, "pool", "max|avg", "Pooling of the cnn. \\[default: max]"),
    "l2": _given(
        float, "l2", "λ",
        "λ of f = L + λ‖θ‖², which has Hessian Hess L + 2λI; it does not enter the training. "
        "\\[default: 0]",
    ),
    "at": _given(
        str, "at", "trained|random",
        "Where: after training, or at the random initialisation. \\[default: trained]",
    ),
    "objective": _given(
        str, "objective", "FILE.py:FUNCTION",
        "Your own model instead of --net and --data: a function that returns an Objective, looked "
        "at where its parameters are. It is called with seed=S if it has such a parameter.",
    ),
    "checkpoint": _given(
        str, "checkpoint", "FILE.safetensors",
        "Parameters of --net in a safetensors file, instead of training.",
    ),
    "epochs": _given(
        int, "epochs", "N",
        "Passes over the data; steps of lbfgs. \\[default: 20, cnn 15, more on few images, "
        "lbfgs 200]",
        TRAINING,
    ),
    "lr": _given(
        float, "lr", "X", "Learning rate. \\[default: 0.1, cnn 0.003, lbfgs 1]", TRAINING
    ),
    "optimizer": _given(
        str, "optimizer", "sgd|adam|lbfgs",
        "The paper's unless given. \\[default: sgd, cnn adam]", TRAINING,
    ),
    "device": _given(
        str, "device", "DEVICE",
        "Where to train: cpu, cuda, cuda:1 …; the counting is on the CPU, in float64. "
        "\\[default: cpu]",
        TRAINING,
    ),
}  # fmt: skip


_LATE = {"PointSettings": Any}  # named by the commands, imported when one runs
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
        own = inspect.signature(command, eval_str=True, locals=_LATE).parameters.values()
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
    of, shown = get_args(kind)
    hidden = copy.copy(shown)
    hidden.hidden = True
    return Annotated[of, hidden]


def _make_point(options: dict[str, Any]) -> PointSettings:
    """The settings of the options that were given; wrong values and clashes are refused."""
    from morsescape.experiments.point import PointSettings

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
