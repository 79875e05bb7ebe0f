"""Minima from several seeds, the passes that join them, and the merge tree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from morsescape.accuracy import accuracy
from morsescape.boundary import a_count, a_function, a_seed, checked, instance, option
from morsescape.critical import CriticalPoint, find_critical_point
from morsescape.errors import ArgumentError
from morsescape.experiments.point import PointSettings, make_point
from morsescape.morse import MorseGraph, morse_graph
from morsescape.objective import Objective
from morsescape.paths.connected import split_levels
from morsescape.progress import Progress, stage
from morsescape.spectrum.index_bound import structure_of
from morsescape.store import RunFolder, Settings


@checked(
    option, point=instance(PointSettings, "PointSettings(...) makes one"), seed=a_seed(),
    runs=a_count(2), retries=a_count(0), most=a_count(1),
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

    Example:
        >>> TreeSettings(PointSettings(activation="tanh", l2=1e-3), runs=3).retries
        5
    """

    EXPERIMENT = "tree"
    APART = ("retries", "most")
    point: PointSettings = field(default_factory=PointSettings)
    runs: int = 6
    seed: int = 0
    retries: int = 5
    most: int = 100


@dataclass(frozen=True, eq=False)
class TreeResult:
    """The graph, and what is proved of M_ε.

    Attributes:
        settings: what was asked for.
        description, dim, samples: of f.
        graph: minima and passes.
        accuracies: of each minimum, in [0, 1]; None without labels.
        split_at: M_ε is disconnected at this ε or above, proved; None if no minimum is.
        discarded: seeds whose search did not end at a proved minimum, and how it did.
    """

    settings: TreeSettings
    description: str
    dim: int
    samples: int
    graph: MorseGraph
    accuracies: tuple[float | None, ...]
    split_at: float | None
    discarded: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The object that `tree --json` writes."""
        graph = self.graph
        return {
            **self.settings.point.named(), "n_params": self.dim, "n_samples": self.samples,
            "l2": self.settings.point.l2,
            "given": graph.given, "attempts": graph.attempts, "threshold": graph.threshold,
            "split_at": self.split_at, "discarded": list(self.discarded),
            "minima": [
                {"value": list(v), "accuracy": share, "grad_norm": m.grad_norm}
                for v, m, share in zip(graph.values, graph.minima, self.accuracies, strict=True)
            ],
            "passes": [
                {"ends": list(ends), "height": list(over.height), "proved": over.proved,
                 "index": over.saddle.index, "grad_norm": over.saddle.grad_norm,
                 "min_abs_eigenvalue": over.saddle.certificate.min_abs_eigenvalue,
                 "gradients": over.saddle.evaluations.gradient,
                 "hessians": over.saddle.evaluations.hessian, "seconds": over.saddle.seconds,
                 "pieces": [len(side.chain) - 1 for side in over.sides]}
                for ends, over in zip(graph.ends, graph.passes, strict=True)
            ],
        }  # fmt: skip


@checked(
    settings=instance(TreeSettings, "TreeSettings(PointSettings(...)) makes one"),
    folder=instance(RunFolder, "RunFolder(path, settings.identity()) makes one"),
    progress=a_function(3), notice=a_function(1),
)  # fmt: skip
def run_tree(
    settings: TreeSettings,
    folder: RunFolder | None = None,
    progress: Progress | None = None,
    *,
    notice: Callable[[str], None] | None = None,
) -> TreeResult:
    """Train, go on to proved minima, join them by certified passes.

    Args:
        settings: of what.
        folder: keeps minima and searches, `RunFolder(path, settings.identity())`.
        progress: called as progress(stage, done, total).
        notice: called with a sentence if something is resumed.

    Raises:
        ArgumentError, DataError: as `run_index`; fewer than two proved minima, or an f with kinks.

    Example:
        >>> point = PointSettings("cnn", samples=20, activation="tanh", pool="avg", l2=0.1,
        ...                       epochs=1)
        >>> len(run_tree(TreeSettings(point, runs=2)).graph.minima)
        1
    """
    f, found, bad = minima_of(settings, folder, stage(progress, "minima"), notice)
    if not found:
        raise ArgumentError(
            "--runs", expected="seeds that lead to proved minima", got="; ".join(bad),
            cure="take --activation tanh --pool avg and an --l2 above 0: then f has minima",
        )  # fmt: skip
    out = None if folder is None else folder.path / "searches"
    graph = morse_graph(
        f, found, retries=settings.retries, most=settings.most, out=out, seed=settings.seed,
        progress=progress,
    )  # fmt: skip
    shares = tuple(accuracy(f, minimum.theta) for minimum in graph.minima)
    return TreeResult(
        settings, str(settings.point), f.dim, f.source.samples, graph, shares,
        max(split_levels(f, graph.minima), default=None), tuple(bad),
    )  # fmt: skip


def minima_of(
    settings: TreeSettings, folder: RunFolder | None, progress: Callable[[int, int], None] | None,
    notice: Callable[[str], None] | None = None,
) -> tuple[Objective, list[CriticalPoint], list[str]]:  # fmt: skip
    """The landscape, the proved minima of all seeds, and what became of the others."""
    f, found, bad, resumed = None, [], [], 0
    for k in range(settings.runs):
        seed, key = settings.seed + k, f"minimum-{settings.seed + k}"
        piece = None if folder is None else folder.load(key)
        if f is None or piece is None:
            made = make_point(settings.point, seed)
            f = f or _smooth(made.f)
        if piece is not None:
            result, resumed = CriticalPoint.from_json(piece.payload, **piece.tensors), resumed + 1
        else:
            result = find_critical_point(f, made.theta, seed=seed)
            if folder is not None:
                folder.save(key, *result.to_piece())
        if result.certificate.proves(0):
            found.append(result)
        else:
            bad.append(f"seed {seed}: {result.verdict}")
        if progress is not None:
            progress(k + 1, settings.runs)
    if resumed and notice is not None:
        notice(f"resumed: {resumed} minima are there already")
    assert f is not None
    return f, found, bad


def _smooth(f: Objective) -> Objective:
    rough = structure_of(f.source).not_smooth
    if rough:
        raise ArgumentError(
            "--activation", expected="a network that is twice differentiable",
            got=f"one that uses {', '.join(rough)}",
            cure="take --activation tanh and, for the cnn, --pool avg",
        )  # fmt: skip
    return f
