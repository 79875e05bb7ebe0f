"""`morsescape scatter`: where many trainings end, in the plane and modulo symmetries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from morsescape.cli import options
from morsescape.cli.session import usage
from morsescape.experiments.point_options import takes_point

if TYPE_CHECKING:
    from morsescape.experiments.point import PointSettings
    from morsescape.experiments.scatter.study import ScatterResult

EXAMPLES = """\
Examples:

    morsescape scatter --net cnn --members 60 --out solutions
    morsescape scatter --net cnn --data mnist --root data --members 500 --out mnist
    morsescape scatter --net mlp2 --activation tanh --members 100 --json a.json
"""
_MEMORY = 1.5  # GiB of a worker: all of MNIST and the buffers of a piece


@takes_point(without=("checkpoint",), refused=("objective", "l2", "device"))
def scatter(
    point: PointSettings,
    members: Annotated[
        int, options.option("N", "Number of networks; the k-th has seed S + k.")
    ] = 500,
    seed: options.Seed = 0,
    workers: Annotated[
        int | None,
        options.option(
            "N",
            "Processes, one thread each, for ensembles of several pieces. \\[default: one a "
            "core, as memory allows]",
            options.TRAINING,
        ),
    ] = None,
    json: options.Json = None,
    out: options.Out = None,
) -> None:
    """Many initialisations trained at once: final points in the plane by PCA, coloured by loss.

    Trains an ensemble of --net cnn or mlp2 in one batched computation, all on the same
    mini-batches, and tells how far apart the solutions are: as they are, and after removing the
    symmetries of the network, because two points that differ by a symmetry are one solution.
    """
    from morsescape.cli.carried_out import Told, carry_out, resumes
    from morsescape.experiments.scatter.figure import scatter_figure
    from morsescape.experiments.scatter.study import ScatterSettings, run_scatter, scatter_tasks
    from morsescape.experiments.scatter.words import scatter_sentences, scatter_table
    from morsescape.experiments.sweep import Here, Processes

    with usage():
        settings = ScatterSettings(point, seed, members)
        several = Processes(workers, memory=_MEMORY)
    # One piece in this process, which shows the epochs; several in processes.
    who = several if len(scatter_tasks(settings)) > 1 else Here()

    def run(*given: Any, **named: Any) -> ScatterResult:
        return run_scatter(*given, scheduler=who, **named)

    kept = resumes("finished pieces are", out)
    told = Told(
        _head, scatter_table, scatter_sentences,
        lambda result: scatter_figure(result, title=str(result.settings)),
    )  # fmt: skip
    carry_out(settings, run, told, json=json, out=out, kept=lambda _: kept)


def _head(result: ScatterResult) -> str:
    return f"{result.settings}: {result.theta.shape[1]:,} parameters, {result.samples:,} samples"
