"""Section 5.3 of the paper: where many trainings end, in the plane, and modulo symmetries."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float64
from scipy.spatial.distance import pdist
from torch import Tensor

from morsescape.boundary import a_count, a_seed, checked, instance, option
from morsescape.errors import ArgumentError
from morsescape.experiments.part import Part, roughly
from morsescape.experiments.point import (
    PointSettings,
    check_name,
    load_data,
    recipe_of,
    rules_of_run,
)
from morsescape.experiments.scatter.cloud import Distances, Plane, quantiles
from morsescape.experiments.sweep.run import run_tasks
from morsescape.experiments.sweep.schedulers import SCHEDULERS, Here, Scheduler
from morsescape.experiments.sweep.task import Outcome, Task, one_thread
from morsescape.nets import Recipe, TrainingStatus, build
from morsescape.nets.ensemble import OPTIMIZERS, STACKS, train_ensemble
from morsescape.nets.orbit import Symmetries
from morsescape.progress import Progress
from morsescape.store import Piece, RunFolder, Saved, Settings

if TYPE_CHECKING:
    from morsescape.experiments.reproduce.study import ReproduceSettings

_PIECE = 128  # the members that are trained at a time within a piece


@checked(
    option, point=instance(PointSettings, 'PointSettings("cnn") makes one'), seed=a_seed(),
    members=a_count(2), piece=a_count(1),
)  # fmt: skip
@dataclass(frozen=True)
class ScatterSettings(Settings):
    """Which ensemble to train.

    Attributes:
        point: the network, the data and the recipe; `net` is "cnn" or "mlp2".
        seed: member k is initialised from seed + k; the order of the samples, the same for all,
            from seed.
        members: how many networks.
        piece: members trained and kept at a time; it bounds the memory.

    Raises:
        ArgumentError: another network, fewer than 2 members, a point that is not trained here, or
            an option that the training of an ensemble does not have.

    Example:
        >>> settings = ScatterSettings(PointSettings("cnn"), members=300)
        >>> [task.key for task in scatter_tasks(settings)]
        ['members-0-127', 'members-128-255', 'members-256-299']
    """

    EXPERIMENT = "scatter"
    APART = ("members", "piece")
    point: PointSettings = field(default_factory=lambda: PointSettings("cnn"))
    seed: int = 0
    members: int = 500
    piece: int = _PIECE

    def __post_init__(self) -> None:
        check_name("net", self.point.net, tuple(STACKS))
        for name in ("objective", "checkpoint", "l2"):
            if getattr(self.point, name):
                raise ArgumentError(
                    f"--{name}", expected="none: an ensemble is trained, on the loss L alone",
                    got=getattr(self.point, name), cure="leave it out",
                )  # fmt: skip
        check_name("optimizer", self.point.optimizer or OPTIMIZERS[0], OPTIMIZERS)
        check_name("device", self.point.device, ("cpu",))

    def __str__(self) -> str:
        return f"{self.members:,} × {self.point}"


@dataclass(frozen=True, eq=False)
class ScatterResult:
    """Where the members ended. Those that diverged are in `diverged` and nowhere else.

    Attributes:
        settings: what was asked for.
        seeds: of the members that did not diverge, M of them.
        theta: their final points, shape (M, D).
        loss: mean cross-entropy over all samples, computed in float64, without λ.
        accuracy: in [0, 1].
        dead: whether the output is the same for every image, because the hidden units died.
        diverged: seeds of the members whose loss is not finite.
        samples: how many images.
        recipe: how they were trained.
        plane: of θ, as the paper has it.
        reduced_plane: of the canonical forms.
        before, after: distances of the members that are not dead, as they are and modulo
            symmetries; None for fewer than two.
        symmetries: the kinds that were removed.
        seconds: of the training of all pieces, one after another.
    """

    settings: ScatterSettings
    seeds: tuple[int, ...]
    theta: Float64[Tensor, "M D"]
    loss: Float64[Tensor, "M"]
    accuracy: Float64[Tensor, "M"]
    dead: Bool[Tensor, "M"]
    diverged: tuple[int, ...]
    samples: int
    recipe: Recipe
    plane: Plane
    reduced_plane: Plane
    before: Distances | None
    after: Distances | None
    symmetries: tuple[str, ...]
    seconds: float

    @property
    def complete(self) -> bool:
        """Whether all members are there."""
        return len(self.seeds) + len(self.diverged) == self.settings.members

    def to_json(self) -> dict[str, Any]:
        """The object that `scatter --json` writes."""
        point = self.settings.point
        live = self.loss[~self.dead]
        return {
            **point.named(),
            "activation": point.activation,
            "pool": point.pool,
            "seed": self.settings.seed,
            "members": self.settings.members,
            "complete": self.complete,
            "n_params": self.theta.shape[1],
            "n_samples": self.samples,
            "recipe": asdict(self.recipe),
            "dead": int(self.dead.sum()),
            "diverged": list(self.diverged),
            "loss": quantiles(live.numpy()) if len(live) else None,
            "explained_variance": list(self.plane.shares),
            "explained_variance_modulo_symmetries": list(self.reduced_plane.shares),
            "symmetries": list(self.symmetries),
            "distances": None if self.before is None else self.before.to_json(),
            "distances_modulo_symmetries": None if self.after is None else self.after.to_json(),
            "runs": [
                {
                    "seed": seed, "loss": loss, "accuracy": accuracy, "dead": dead,
                    "plane": plane, "plane_modulo_symmetries": reduced,
                }
                for seed, loss, accuracy, dead, plane, reduced in zip(
                    self.seeds, self.loss.tolist(), self.accuracy.tolist(), self.dead.tolist(),
                    self.plane.coordinates.tolist(), self.reduced_plane.coordinates.tolist(),
                    strict=True,
                )
            ],
            "seconds": self.seconds,
        }  # fmt: skip


def scatter_tasks(settings: ScatterSettings) -> list[Task]:
    """The pieces of the ensemble, so many members each."""
    starts = range(0, settings.members, settings.piece)
    ends = (min(start + settings.piece, settings.members) for start in starts)
    return [
        Task(f"members-{start}-{end - 1}", scatter_piece, (settings, start, end))
        for start, end in zip(starts, ends, strict=True)
    ]


def scatter_piece(
    settings: ScatterSettings, start: int, end: int, progress: Progress | None = None
) -> Outcome:
    """Train the members from `start` to `end`, without it.

    Returns:
        JSON values, and the tensors theta (m, D) and loss (m,), float64.
    """
    point, dataset = settings.point, load_data(settings.point)
    seeds = range(settings.seed + start, settings.seed + end)
    result = train_ensemble(
        point.net, dataset, seeds=seeds, recipe=_recipe(point, dataset.image_shape, len(dataset)),
        activation=point.activation, pool=point.pool, order_seed=settings.seed,
        progress=None if progress is None else lambda k, total: progress("training", k, total),
    )  # fmt: skip
    return _Trained(
        seeds=tuple(seeds),
        accuracy=tuple(result.accuracy.tolist()),
        status=result.statuses,
        recipe=result.recipe,
        pixels=math.prod(dataset.image_shape),
        classes=dataset.classes,
        n_samples=len(dataset),
        seconds=result.seconds,
        theta=result.theta,
        loss=result.loss,
    ).to_piece()


@dataclass(frozen=True, eq=False)
class _Trained(Saved):
    """One piece of the ensemble: its members, one a row, and what they were trained on."""

    seeds: tuple[int, ...]
    accuracy: tuple[float, ...]
    status: tuple[TrainingStatus, ...]
    recipe: Recipe
    pixels: int
    classes: int
    n_samples: int
    seconds: float
    theta: Float64[Tensor, "m D"]
    loss: Float64[Tensor, "m"]


@checked(str, **rules_of_run(ScatterSettings), scheduler=instance(Scheduler, SCHEDULERS))
def run_scatter(
    settings: ScatterSettings,
    folder: RunFolder | None = None,
    progress: Progress | None = None,
    *,
    scheduler: Scheduler | None = None,
    notice: Callable[[str], None] | None = None,
) -> ScatterResult:
    """Train the pieces that `folder` does not have, and look at all.

    Arguments as for `run_index`. Without a `scheduler` this process trains, on one thread.

    Raises:
        ArgumentError, DataError: as `run_tasks`; or fewer than two members that did not diverge.

    Source:
        Akhtiamov & Thomson, section 5.3.

    Example:
        >>> point = PointSettings("cnn", samples=60, epochs=2)
        >>> result = run_scatter(ScatterSettings(point, members=8))
        >>> result.theta.shape, result.plane.coordinates.shape
        (torch.Size([8, 102]), (8, 2))
    """
    tasks = scatter_tasks(settings)
    if folder is None or not all(folder.load(task.key) for task in tasks):
        load_data(settings.point)  # so that bad data is one error, not one of every piece
    pieces = run_tasks(
        tasks, folder, scheduler=scheduler or Here(), progress=progress,
        notice=notice,
    )  # fmt: skip
    result = assemble_scatter(settings, pieces)
    if result is None:
        raise ArgumentError(
            "--lr", expected="at least two trainings whose loss stays finite", got="fewer",
            cure="a smaller learning rate",
        )  # fmt: skip
    return result


def assemble_scatter(
    settings: ScatterSettings, pieces: Mapping[str, Piece]
) -> ScatterResult | None:
    """What the pieces that are there come to; None for fewer than two finite members."""
    there = [_Trained.from_json(piece.payload, **piece.tensors) for piece in pieces.values()]
    if not there:
        return None
    theta, loss = torch.cat([t.theta for t in there]), torch.cat([t.loss for t in there])
    seeds = torch.tensor([seed for t in there for seed in t.seeds])
    finite = loss.isfinite() & theta.isfinite().all(1)
    if int(finite.sum()) < 2:
        return None
    dead = torch.tensor([s is TrainingStatus.CONSTANT for t in there for s in t.status])[finite]
    accuracies = torch.tensor([share for t in there for share in t.accuracy], dtype=torch.float64)
    first, point, theta = there[0], settings.point, theta[finite]
    f = Symmetries(point.net, first.pixels, first.classes, point.activation, point.pool)
    with one_thread():  # the same digits on any number of cores
        before, after = _distances(theta[~dead], f)
        plane, reduced = Plane.of(theta), Plane.of(f.canonical(theta))
    return ScatterResult(
        settings=settings,
        seeds=tuple(seeds[finite].tolist()),
        theta=theta,
        loss=loss[finite],
        accuracy=accuracies[finite],
        dead=dead,
        diverged=tuple(seeds[~finite].tolist()),
        samples=first.n_samples,
        recipe=first.recipe,
        plane=plane,
        reduced_plane=reduced,
        before=before,
        after=after,
        symmetries=f.names,
        seconds=sum(t.seconds for t in there),
    )


def scatter_parts(settings: ReproduceSettings) -> Iterator[Part]:
    """Section 5.3."""
    for data in settings.data:
        point = PointSettings("cnn", data, samples=settings.samples, root=settings.root)
        own = ScatterSettings(point, settings.seed, settings.members)
        tasks = tuple(scatter_tasks(own))
        collect, seconds = partial(assemble_scatter, own), roughly(point, 0.0, 470.0)
        yield Part(f"scatter/{data}", own.identity(), tasks, collect, seconds)


# -- inside ---------------------------------------------------------------------------------------


def _distances(points: Tensor, f: Symmetries) -> tuple[Distances | None, Distances | None]:
    """Before and after removing the symmetries."""
    if len(points) < 2:
        return None, None
    before = Distances.of(pdist(points.numpy()), points)
    return before, Distances.of(f.distances(points), f.canonical(points))


def _recipe(point: PointSettings, shape: tuple[int, int], samples: int) -> Recipe:
    """That of the point; no steps for a random one."""
    recipe = recipe_of(point, build(point.net, image_shape=shape), samples)
    return replace(recipe, epochs=0) if point.at == "random" else recipe
