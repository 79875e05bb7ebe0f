"""`morsescape tree`: many solutions, the passes between them, the tree of sublevel sets."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

from morsescape.cli import options
from morsescape.cli.session import usage
from morsescape.experiments.point_options import takes_point

if TYPE_CHECKING:
    from morsescape.experiments.point import PointSettings

EXAMPLES = """\
Examples:

    morsescape tree --net mlp2 --activation tanh --l2 1e-4 --runs 12 --out tree
    morsescape tree --net cnn --activation tanh --pool avg --l2 1e-3 --samples 400 --held-out 100
    morsescape tree --net mlp2 --activation tanh --l2 1e-4 --runs 4 --copies --most 0
    morsescape tree --objective model.py:trained --runs 4 --json tree.json
    morsescape tree --net cnn --activation tanh --pool avg --l2 1e-4 --runs 50 --workers 8 --out t
"""
_PANEL = "Graph"
_FOR_DASK = 8  # searches at once: how many workers a cluster has is not known


@takes_point()
def tree(
    point: PointSettings,
    runs: Annotated[
        int,
        options.option("N", "Seeds, each a training and a minimum.", _PANEL),
    ] = 6,
    retries: Annotated[
        int,
        options.option("N", "Searches for lower passes once all minima are joined.", _PANEL),
    ] = 5,
    most: Annotated[
        int,
        options.option("N", "Searches for passes in all.", _PANEL),
    ] = 100,
    paths: Annotated[
        bool,
        options.switch("First join all by proved paths.", _PANEL),
    ] = True,
    path_method: Annotated[
        str,
        options.option(
            "line|bezier|chain|string|neb|fip",
            "How those are found; bezier is trained on batches, and fastest with many images.",
            _PANEL,
        ),
    ] = "string",
    copies: Annotated[
        bool,
        options.switch("Join the lowest minimum to its copies under permutations too.", _PANEL),
    ] = False,
    downhill: Annotated[
        bool,
        options.switch(
            "Lead components out of their lowest minima before pairs are searched: less to do "
            "where minima are many.",
            _PANEL,
        ),
    ] = False,
    held_out: Annotated[
        int,
        options.option(
            "N",
            "The last N images are not trained on: test loss and accuracy are of them. "
            "\\[default: the test images of mnist and fashion-mnist; digits has none]",
            _PANEL,
        ),
    ] = 0,
    workers: Annotated[
        int | None,
        options.option(
            "N",
            "Processes, one thread each, that train and search. \\[default: this one alone]",
            options.SWEEP,
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        options.option(
            "ADDRESS", "Address of a Dask scheduler: its workers do that.", options.SWEEP
        ),
    ] = None,
    at_once: Annotated[
        int | None,
        options.option(
            "N",
            "Passes searched before the next are chosen. \\[default: the workers, 8 for Dask]",
            options.SWEEP,
        ),
    ] = None,
    seed: options.Seed = 0,
    json: options.Json = None,
    out: options.Out = None,
) -> None:
    """Minima of many trainings, the certified passes that join them, and the threshold of M_ε.

    Trains from --runs seeds, goes on to proved minima, joins them by proved paths, and by critical
    points of index exactly 1, proved, from which f is proved never to rise on the way down to a
    minimum on either side. The highest pass or path that is needed is an ε from which on all minima
    lie in one component of the sublevel set M_ε. f must be smooth, with --l2 above zero.
    """
    from morsescape.cli.carried_out import Told, carry_out, resumes
    from morsescape.experiments.sweep import scheduler_from
    from morsescape.experiments.tree.figure import tree_figure
    from morsescape.experiments.tree.study import TreeSettings, run_tree
    from morsescape.experiments.tree.words import tree_page, tree_sentences, tree_table

    with usage():
        several = workers is not None or scheduler is not None
        who = scheduler_from(scheduler, workers) if several else None
        if at_once is None:
            at_once = workers or (1 if scheduler is None else _FOR_DASK)
        settings = TreeSettings(
            point,
            runs,
            seed,
            retries,
            most,
            paths,
            path_method,
            copies,
            held_out,
            at_once,
            downhill,
        )
    kept = resumes("minima and searches are", out)
    told = Told(
        lambda r: f"{r.description}: {r.dim:,} parameters, {r.samples:,} samples",
        tree_table, tree_sentences, tree_figure, page=tree_page,
    )  # fmt: skip
    run = partial(run_tree, scheduler=who)
    carry_out(settings, run, told, json=json, out=out, kept=lambda _: kept)
