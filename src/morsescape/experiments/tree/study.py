"""Minima from several seeds, the passes that join them, and the merge tree."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from torch import Tensor

from morsescape.accuracy import accuracy
from morsescape.boundary import a_boolean, a_count, a_seed, checked, choice, instance, option
from morsescape.critical import CriticalPoint, find_critical_point
from morsescape.data import Dataset
from morsescape.errors import ArgumentError
from morsescape.experiments.part import Part, Pieces, points_of
from morsescape.experiments.point import PointSettings, announced, make_point, rules_of_run
from morsescape.experiments.sweep import Scheduler, Task, run_tasks
from morsescape.experiments.sweep.schedulers import SCHEDULERS
from morsescape.experiments.tree.several import landscape, minimum_run, together
from morsescape.experiments.tree.tested import scores, split
from morsescape.experiments.user_code import check_one_landscape
from morsescape.morse import CopiesJoined, MorseGraph, morse_graph
from morsescape.objective import Objective
from morsescape.paths import METHODS, Copies, connected, joined_copies, symmetries
from morsescape.paths.connect import Method
from morsescape.paths.connected import split_levels
from morsescape.paths.uses import Score
from morsescape.progress import Progress
from morsescape.spectrum.index_bound import structure_of
from morsescape.store import Piece, RunFolder, Saved, Settings

if TYPE_CHECKING:
    from morsescape.experiments.reproduce.study import ReproduceSettings

_FEW = 300  # images in `reproduce`: a minute a network, where 60,000 take hours


@checked(
    option, point=instance(PointSettings, "PointSettings(...) makes one"), seed=a_seed(),
    runs=a_count(2), retries=a_count(0), most=a_count(0), paths=a_boolean(),
    path_method=choice(METHODS), copies=a_boolean(), held_out=a_count(0), at_once=a_count(1),
    downhill=a_boolean(),
)  # fmt: skip
@dataclass(frozen=True)
class TreeSettings(Settings):
    """Which minima, and how long passes are searched for.

    Attributes:
        point: the network and its data, as for `index`; smooth, with a ridge.
        runs: seeds, from `seed` on.
        seed: the first.
        retries: searches for lower passes once all minima are joined.
        most: searches in all.
        paths: first join the minima by proved paths, which bound all passes from above.
        path_method: of `morsescape.paths.METHODS`.
        copies: join one of them to its copies under the symmetries of f as well.
        held_out: the last so many images are not trained on, and test the networks instead of the
            data's own test part.
        at_once: pairs that are searched before the next are chosen by what came of them.
        downhill: first lead components out of their lowest minima, as of `morse_graph`.

    Raises:
        ArgumentError: a value out of range; images held out of the data of an objective.

    Example:
        >>> TreeSettings(PointSettings(activation="tanh", l2=1e-3), runs=3).retries
        5
    """

    EXPERIMENT = "tree"
    APART = ("retries", "most", "paths", "path_method", "copies", "at_once", "downhill")
    point: PointSettings = field(default_factory=PointSettings)
    runs: int = 6
    seed: int = 0
    retries: int = 5
    most: int = 100
    paths: bool = True
    path_method: str = "string"
    copies: bool = False
    held_out: int = 0
    at_once: int = 1
    downhill: bool = False

    def __post_init__(self) -> None:
        if self.held_out and self.point.objective is not None:
            raise ArgumentError(
                "--held-out", expected="data of a name", got="an objective, with its own data",
                cure="leave it out, and hold images out in the function",
            )  # fmt: skip

    def identity(self) -> dict[str, Any]:
        """As of all settings; folders without images held out stay as they were."""
        own = super().identity()
        return own if self.held_out else {k: v for k, v in own.items() if k != "held_out"}


@dataclass(frozen=True, eq=False)
class TreeResult(Saved):
    """The graph, and what is proved of M_ε.

    Attributes:
        settings: what was asked for.
        description, dim, samples: of f.
        graph: minima and passes.
        accuracies: of each minimum, in [0, 1]; None without labels.
        split_at: M_ε is disconnected at this ε or above, proved; None if no minimum is.
        discarded: seeds whose search did not end at a proved minimum, and how it did.
        seconds: the whole took, this time.
        copies: of the lowest given minimum, where they were asked for and f has symmetries.
        pass_accuracies: as `accuracies`, at the saddles.
        test_samples: images of the test part; 0 without one.
        scores, pass_scores: of each minimum and saddle on the test part; empty without one.
        in_space: which copies of the minima the passes join; None where f has no symmetries.
    """

    settings: TreeSettings
    description: str
    dim: int
    samples: int
    graph: MorseGraph
    accuracies: tuple[float | None, ...]
    split_at: float | None
    discarded: tuple[str, ...]
    seconds: float = 0.0
    copies: Copies | None = None
    pass_accuracies: tuple[float | None, ...] = ()
    test_samples: int = 0
    scores: tuple[Score, ...] = ()
    pass_scores: tuple[Score, ...] = ()
    in_space: CopiesJoined | None = None

    @property
    def joined_everywhere(self) -> float | None:
        """All copies of all given minima lie in one component of M_ε from here on, if proved."""
        threshold = self.graph.threshold
        if self.copies is None or self.copies.joined_at is None or threshold is None:
            return None
        return max(self.copies.joined_at, threshold[1])

    def to_json(self) -> dict[str, Any]:
        """The object that `tree --json` writes."""
        graph, saddles = self.graph, self.graph.highest(paths=False)
        return {
            **self.settings.point.named(), "n_params": self.dim, "n_samples": self.samples,
            "n_test": self.test_samples, "l2": self.settings.point.l2,
            "given": graph.given, "attempts": graph.attempts, "threshold": graph.threshold,
            "threshold_by_saddles": saddles and saddles.height,
            "split_at": self.split_at, "discarded": list(self.discarded),
            "copies": self.copies and self.copies.to_json(),
            "in_space": self.in_space and self.in_space.to_json(),
            "paths": [{"ends": [j.a, j.b], "height": list(j.height), "proved": j.proved}
                      for j in graph.paths],
            "minima": [
                {"value": list(v), "loss": self.loss(m), "accuracy": share,
                 "grad_norm": m.grad_norm, **tested}
                for v, m, share, tested in zip(
                    graph.values, graph.minima, self.accuracies,
                    _tested(self.scores, graph.minima), strict=True,
                )
            ],
            "passes": [
                {"ends": list(ends), "height": list(over.height), "proved": over.proved,
                 "loss": self.loss(over.saddle), "accuracy": share,
                 "index": over.saddle.index, "grad_norm": over.saddle.grad_norm,
                 "min_abs_eigenvalue": over.saddle.certificate.min_abs_eigenvalue,
                 "gradients": over.saddle.evaluations.gradient,
                 "hessians": over.saddle.evaluations.hessian, "seconds": over.saddle.seconds,
                 "pieces": [len(side.chain) - 1 for side in over.sides],
                 "elements": [g.to_json() for g in elements], **tested}
                for ends, over, elements, share, tested in zip(
                    graph.ends, graph.passes, graph.elements or [()] * len(graph.passes),
                    self.pass_accuracies,
                    _tested(self.pass_scores, graph.passes), strict=True,
                )
            ],
        }  # fmt: skip

    def loss(self, point: CriticalPoint) -> float | None:
        """L there, without the ridge, where that is the command's own."""
        l2 = self.settings.point.l2
        return None if l2 is None else point.value - l2 * float(point.theta @ point.theta)


def _tested(scores: Sequence[Score], of: Sequence[object]) -> list[dict[str, float | None]]:
    if not scores:
        return [{"test_loss": None, "test_accuracy": None} for _ in of]
    return [{"test_loss": score.loss, "test_accuracy": score.accuracy} for score in scores]


@checked(str, **rules_of_run(TreeSettings), scheduler=instance(Scheduler, SCHEDULERS))
def run_tree(
    settings: TreeSettings,
    folder: RunFolder | None = None,
    progress: Progress | None = None,
    *,
    notice: Callable[[str], None] | None = None,
    scheduler: Scheduler | None = None,
) -> TreeResult:
    """Train, go on to proved minima, join them by certified passes.

    Arguments as for `run_index`. With a `scheduler` its workers train and search, on one thread
    each, `at_once` passes at a time; without one this process does, one after the other.

    Raises:
        ArgumentError, DataError: as `run_index`; fewer than two proved minima, or an f with kinks.

    Example:
        >>> point = PointSettings("cnn", samples=20, activation="tanh", pool="avg", l2=0.1,
        ...                       epochs=1)
        >>> len(run_tree(TreeSettings(point, runs=2)).graph.minima)
        1
    """
    start = time.perf_counter()
    train, test = split(settings.point, settings.held_out)  # a missing file is told at once
    f, found, bad = minima_of(settings, folder, progress, notice, train, scheduler)
    if not found:
        raise ArgumentError(
            "--runs", expected="seeds that lead to proved minima", got="; ".join(bad),
            cure="take --activation tanh --pool avg and an --l2 above 0: then f has minima",
        )  # fmt: skip
    searches, ways, moved = (
        None if folder is None else folder.path / name for name in ("searches", "paths", "copies")
    )
    paths = None
    if settings.paths and len(found) > 1:
        paths = connected(
            f, found, method=cast(Method, settings.path_method), retries=settings.retries, out=ways,
            seed=settings.seed, progress=progress,
        )  # fmt: skip
    copies = None
    symmetric = bool(symmetries(f).groups)
    if settings.copies and symmetric:
        lowest = min(found, key=lambda minimum: minimum.value)
        copies = joined_copies(f, lowest, out=moved, seed=settings.seed, progress=progress)
    graph = morse_graph(
        f, found, paths=paths, copies=copies, retries=settings.retries, most=settings.most,
        at_once=settings.at_once, downhill=settings.downhill,
        together=None if scheduler is None else together(
            settings.point, settings.held_out, settings.seed, scheduler, notice
        ),
        out=searches, seed=settings.seed, progress=progress,
    )  # fmt: skip
    shares, above = (
        tuple(accuracy(f, point.theta) for point in points)
        for points in (graph.minima, graph.saddles)
    )
    return TreeResult(
        settings, str(settings.point), f.dim, f.source.samples, graph, shares,
        max(split_levels(f, graph.minima), default=None), tuple(bad), time.perf_counter() - start,
        copies, above, len(test) if test is not None else 0,
        scores(f, test, graph.minima), scores(f, test, graph.saddles),
        graph.copies_joined() if symmetric else None,
    )  # fmt: skip


def minima_of(
    settings: TreeSettings, folder: RunFolder | None, progress: Progress | None,
    notice: Callable[[str], None] | None = None, train: Dataset | None = None,
    scheduler: Scheduler | None = None,
) -> tuple[Objective, list[CriticalPoint], list[str]]:  # fmt: skip
    """The landscape, the proved minima of all seeds, and what became of the others."""
    found, bad, resumed = [], [], 0
    f = landscape(settings.point, settings.held_out, settings.seed)
    train = train or split(settings.point, settings.held_out)[0]
    if tell := announced(notice, certifies=True):
        tell(f)
    _check_smooth(f)
    seeds = range(settings.seed, settings.seed + settings.runs)
    pieces: dict[str, Piece] = {}
    if scheduler is not None:
        tasks = [
            Task(_key(seed), minimum_run, (settings.point, settings.held_out, settings.seed, seed))
            for seed in seeds
        ]
        pieces = run_tasks(tasks, folder, scheduler=scheduler, progress=progress, notice=notice)
    for done, seed in enumerate(seeds, 1):
        piece = pieces.get(_key(seed)) or (folder and folder.load(_key(seed)))
        if piece:
            result, resumed = CriticalPoint.from_json(piece.payload, **piece.tensors), resumed + 1
        else:
            made = make_point(settings.point, seed, dataset=train, progress=progress)
            check_one_landscape(f, made.f, seed)
            result = find_critical_point(made.f, made.theta, seed=seed, progress=progress)
            if folder is not None:
                folder.save(_key(seed), *result.to_piece())
        if result.certificate.proves(0):
            found.append(result)
        else:
            bad.append(f"seed {seed}: {result.verdict}")
        if progress is not None:
            progress("minima", done, settings.runs)
    if resumed and notice is not None and scheduler is None:
        notice(f"resumed: {resumed} minima are there already")
    return f, found, bad


def _key(seed: int) -> str:
    return f"minimum-{seed}"


def _check_smooth(f: Objective) -> None:
    rough = structure_of(f.source).not_smooth
    if rough:
        raise ArgumentError(
            "--activation", expected="a network that is twice differentiable",
            got=f"one that uses {', '.join(rough)}",
            cure="take --activation tanh and, for the cnn, --pool avg",
        )  # fmt: skip


# -- its part of `reproduce` -------------------------------------------------------------------


def tree_run(settings: TreeSettings) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """One graph as a piece."""
    return run_tree(settings).to_piece()


def tree_parts(settings: ReproduceSettings) -> Iterator[Part]:
    """The smaller fully connected network, smooth and with a ridge, on a few images."""
    for name, point in points_of(settings):
        if point.at != "trained" or point.net != "mlp2":
            continue
        few = min(_FEW, settings.samples or _FEW)
        smooth = replace(point, activation="tanh", l2=1e-3, samples=few)
        own = TreeSettings(smooth, runs=3, seed=settings.seed, retries=1, most=6)
        yield Part(
            f"tree/{name}",
            own.identity(),
            (Task("graph", tree_run, (own,)),),
            _collect(own),
            seconds=65.0,
        )


def _collect(settings: TreeSettings) -> Callable[[Pieces], TreeResult | None]:
    def collect(pieces: Pieces) -> TreeResult | None:
        for piece in pieces.values():
            return TreeResult.from_json(piece.payload, settings=settings, **piece.tensors)
        return None

    return collect
