"""Where the Hessian is looked at: a network that is trained, drawn at random or given."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, nn

from morsescape.boundary import (
    Rule,
    a_count,
    a_device,
    a_function,
    a_number,
    a_path,
    a_text,
    checked,
    choice,
    instance,
    option,
    spelt,
)
from morsescape.critical.planning import plan
from morsescape.data import NAMES as DATA
from morsescape.data import Dataset, load
from morsescape.data.load import TESTED
from morsescape.errors import ArgumentError, DataError
from morsescape.experiments.user_code import call_objective, split_address
from morsescape.nets import (
    ACTIVATIONS,
    POOLS,
    Recipe,
    Training,
    TrainingStatus,
    build,
    default_recipe,
    train,
)
from morsescape.nets import NAMES as NETS
from morsescape.nets.training import OPTIMIZERS
from morsescape.objective import Objective
from morsescape.progress import Progress, stage
from morsescape.store import RunFolder, Saved, load_checkpoint

AT = ("trained", "random")
_TRAINED = ("at", "optimizer", "lr", "epochs", "device")  # unused beside a checkpoint


@checked(
    option,
    net=choice(NETS), data=choice(DATA), at=choice(AT), samples=a_count(1),
    activation=choice(ACTIVATIONS), pool=choice(POOLS), l2=a_number(least=0),
    optimizer=choice(OPTIMIZERS), lr=a_number(above=0), epochs=a_count(), device=a_device(),
    root=a_path(), checkpoint=a_path(), objective=a_text("FILE.py:FUNCTION"),
)  # fmt: skip
@dataclass(frozen=True)
class PointSettings(Saved):
    """Which network, on which data, at which point.

    Attributes:
        net, data, samples, activation, pool: as in `nets.build` and `data.load`.
        at: "trained", or "random" for the initialisation.
        l2: λ of f = L + λ‖θ‖²; it enters f, not the training. With `objective`, None keeps its own.
        optimizer, lr, epochs: None takes those of `nets.default_recipe`.
        device: where to train; the counting is done on the CPU.
        root: folder of the data; it does not change the results.
        checkpoint: parameters of `net` in a safetensors file, instead of training.
        objective: "FILE.py:FUNCTION", a function that returns an `Objective`, instead of net and
            data; the point is the objective's own θ.

    Raises:
        ArgumentError: an unknown name or a value out of range.

    Example:
        >>> print(PointSettings(net="cnn", data="mnist", at="random"))
        cnn (relu, max pooling) on mnist, random
    """

    net: str = "mlp2"
    data: str = "digits"
    at: str = "trained"
    samples: int | None = None
    activation: str = "relu"
    pool: str = "max"
    l2: float | None = None
    optimizer: str | None = None
    lr: float | None = None
    epochs: int | None = None
    device: str = "cpu"
    root: str | None = None
    checkpoint: str | None = None
    objective: str | None = None
    UNSAVED: ClassVar[tuple[str, ...]] = ("root",)  # the results do not depend on it

    def __post_init__(self) -> None:
        if self.objective is not None:
            split_address(self.objective)
        self._check_recipe()

    def _check_recipe(self) -> None:
        usual = "adam" if self.net == "cnn" else "sgd"
        if self.optimizer not in (None, usual, "lbfgs") and self.lr is None:
            raise ArgumentError(
                "--lr",
                expected=f"a learning rate for {self.optimizer}, which is not the usual "
                f"optimizer of {self.net}",
                got="none",
                cure="pass --lr too, for instance 0.003 for adam or 0.1 for sgd",
            )
        if self.epochs == 0:
            raise ArgumentError(
                "--epochs", expected="1 or more", got=0, cure="--at random trains nothing"
            )

    def __str__(self) -> str:
        if self.objective is not None:
            return f"{self.objective}, at its own point"
        pool = f", {self.pool} pooling" if self.net == "cnn" else ""
        where = f"checkpoint {self.checkpoint}" if self.checkpoint else self.at
        return f"{self.net} ({self.activation}{pool}) on {self.data}, {where}"

    def to_json(self) -> dict[str, Any]:
        """What was used, as JSON values."""
        values = super().to_json()
        if self.objective is not None:
            return {name: values[name] for name in ("objective", "l2")}
        unused = _TRAINED if self.checkpoint is not None else ()
        return {name: value for name, value in values.items() if name not in unused}

    def named(self) -> dict[str, str | None]:
        """The network, the data and the point, as every JSON begins."""
        own = self.objective is not None
        return {
            "net": None if own else self.net,
            "data": None if own else self.data,
            "at": "given" if own or self.checkpoint else self.at,
        }

    def identity(self) -> dict[str, Any]:
        """What the results depend on, as JSON values: files by their content, no folders."""
        values = super().to_json()
        if self.objective is not None:
            file, function = split_address(self.objective)
            # Net and data do not matter then.
            values = {"l2": self.l2, "objective": f"{_sha256(file)}:{function}"}
        elif self.checkpoint is not None:
            values["checkpoint"] = _sha256(Path(self.checkpoint))
        return values


@dataclass(frozen=True, eq=False)
class Point:
    """An objective f, a point θ of shape (D,), and how it was come by."""

    f: Objective
    theta: Tensor
    training: Training | None
    seconds: float


def rules_of_run(settings: type, makes: str = "PointSettings(...)") -> dict[str, Rule]:
    """What a study's `run` takes, by the name of the argument."""
    return {
        "settings": instance(settings, f"{settings.__name__}({makes}) makes one"),
        "folder": instance(RunFolder, "RunFolder(path, settings.identity()) makes one"),
        "progress": a_function(3), "notice": a_function(1),
    }  # fmt: skip


def make_point(
    settings: PointSettings,
    seed: int,
    *,
    dataset: Dataset | None = None,
    progress: Progress | None = None,
    before: Callable[[Objective], None] | None = None,
) -> Point:
    """Build, train or load what `settings` says; the same seed gives the same point.

    Args:
        settings: what to make.
        seed: of the initialisation and of the order of the samples.
        dataset: the data, if it is loaded already.
        progress: called as progress("training", epochs done, epochs).
        before: called with f, at another point perhaps, before the training.

    Raises:
        ArgumentError, DataError: data, checkpoint or function that cannot be used.

    Example:
        >>> point = make_point(PointSettings(at="random", samples=50), seed=0)
        >>> print(point.f)
        f(theta) = cross_entropy, 760 parameters, 50 samples
    """
    start = time.perf_counter()
    if settings.objective is not None:
        f = call_objective(settings.objective, seed)
        f = f if settings.l2 is None else f.at_l2(settings.l2)
        if before is not None:
            before(f)
        return Point(f, f.theta, None, time.perf_counter() - start)
    dataset = dataset or load_data(settings)
    model = build(
        settings.net,
        image_shape=dataset.image_shape,
        classes=dataset.classes,
        activation=settings.activation,
        pool=settings.pool,
        seed=seed,
    )

    def objective() -> Objective:
        return Objective(
            model.eval(), "cross_entropy", (dataset.x, dataset.y), l2=settings.l2 or 0.0
        )

    training = None
    if settings.checkpoint is not None:
        load_checkpoint(settings.checkpoint, model)
    trains = settings.checkpoint is None and settings.at == "trained"
    untrained = None if before is None else objective()
    if before is not None and untrained is not None:
        before(untrained)
    if trains:
        training = _train(model, dataset, seed, settings, progress)
    f = objective() if trains or untrained is None else untrained
    return Point(f, f.theta, training, time.perf_counter() - start)


def untrained(point: PointSettings) -> PointSettings:
    """The same f, without training for its point."""
    return point if point.objective or point.checkpoint else replace(point, at="random")


def announced(
    notice: Callable[[str], None] | None, *, certifies: bool = False
) -> Callable[[Objective], None] | None:
    """For `before`: what the work will take; and, if it is to certify a point, that it cannot."""
    if notice is None:
        return None

    def tell(f: Objective) -> None:
        found = plan(f)
        notice(f"{f.dim:,} variables; {'; '.join(found.cost)}")
        if certifies and found.point.startswith("not provable"):
            notice(f"{found.point}; cure: --activation tanh, for the cnn --pool avg, --l2 above 0")

    return tell


def load_data(settings: PointSettings) -> Dataset:
    """The data set that `settings` names."""
    with spelt(option):
        return load(settings.data, settings.root, samples=settings.samples)


def load_test(settings: PointSettings) -> Dataset | None:
    """Its test part; None where it has none, and for a model of one's own."""
    if settings.objective is not None or settings.data not in TESTED:
        return None
    with spelt(option):
        return load(settings.data, settings.root, train=False)


def recipe_of(settings: PointSettings, model: nn.Module, samples: int) -> Recipe:
    """The default one with the changes that `settings` names."""
    changes = {k: getattr(settings, k) for k in ("optimizer", "lr", "epochs")}
    given = {name: value for name, value in changes.items() if value is not None}
    usual = settings.optimizer if settings.optimizer == "lbfgs" else None
    return replace(default_recipe(model, samples, usual), **given)


def _train(
    model: nn.Module,
    dataset: Dataset,
    seed: int,
    settings: PointSettings,
    progress: Progress | None,
) -> Training:
    recipe = recipe_of(settings, model, len(dataset))
    step = stage(progress, "training")
    model.to(settings.device)
    training = train(model, dataset, seed=seed, recipe=recipe, progress=step)
    model.to("cpu")
    if training.status is TrainingStatus.DIVERGED:
        raise ArgumentError(
            "--lr",
            expected="a training whose loss stays finite",
            got=f"loss {training.loss} with seed {seed} ({training.recipe})",
            cure="a smaller learning rate",
        )
    return training


def check_name(option: str, got: str, known: tuple[str, ...]) -> None:
    """Refuse a value of --option that is none of those known."""
    if got not in known:
        raise ArgumentError(
            f"--{option}", expected=" | ".join(known), got=repr(got), cure="choose one of these"
        )


def _sha256(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(
            str(file), expected="a readable file", got=error.strerror or str(error), cure="check it"
        ) from error


# -- in words --------------------------------------------------------------------------------------


def point_name(point: PointSettings) -> str:
    """The setting, and what of it is not the paper's.

    Example:
        >>> point_name(PointSettings("cnn", "mnist", activation="tanh", pool="avg"))
        'cnn, mnist, trained, tanh, avg pooling'
    """
    if point.objective is not None:
        return point.objective
    pool = f"{point.pool} pooling" if point.net == "cnn" and point.pool != "max" else ""
    activation = "" if point.activation == "relu" else point.activation
    shift = f"λ = {point.l2:g}" if point.l2 else ""
    other = (point.checkpoint, point.optimizer, activation, pool, shift)
    return ", ".join([point.net, point.data, point.at, *filter(None, other)])


def point_options(point: PointSettings, seed: int = 0) -> str:
    """The options that name this point to a command, with a space before each.

    Example:
        >>> "morsescape spectrum" + point_options(PointSettings("cnn", "mnist"), seed=5)
        'morsescape spectrum --net cnn --data mnist --root DIR --seed 5'
    """
    usual, words = PointSettings(), []
    for name in (f.name for f in fields(PointSettings) if f.name not in PointSettings.UNSAVED):
        value = getattr(point, name)
        if value != getattr(usual, name):
            words.append(f" --{name} {value}")
        if name == "data" and value != usual.data:
            words.append(" --root DIR")
    return "".join(words) + (f" --seed {seed}" if seed else "")
