"""`morsescape index`: how many Hessian eigenvalues are negative, with proof."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from morsescape.cli import options
from morsescape.cli.session import usage
from morsescape.experiments.point_options import takes_point

if TYPE_CHECKING:
    from morsescape.cli.output import JsonOutput
    from morsescape.experiments.index.study import IndexResult
    from morsescape.experiments.point import PointSettings

EXAMPLES = """\
Examples:

    morsescape index
    morsescape index --net cnn --data mnist --root data --runs 10 --out cnn
    morsescape index --activation tanh --at random --samples 500 --json a.json
    morsescape index --objective model.py:trained
"""


@takes_point(without=("checkpoint",))
def index(
    point: PointSettings,
    runs: Annotated[
        int | None,
        options.option(
            "N", "Number of networks; run k has seed S + k. \\[default: 3, with --objective 1]"
        ),
    ] = None,
    seed: options.Seed = 0,
    method: Annotated[
        str,
        options.option(
            "ldl|eigh", "How signs are proved: ldl counts only, eigh is slower and has eigenvalues."
        ),
    ] = "ldl",
    raw: Annotated[
        bool, options.option(None, "Count signs naively too, in float32 and float64.")
    ] = True,
    json: options.Json = None,
    out: options.Out = None,
) -> None:
    """How many Hessian eigenvalues are negative, null and positive: intervals that are proved.

    Trains RUNS networks, or draws them at random, and counts the signs of the eigenvalues of the
    exact Hessian of f on the samples. Beside the proof stand the structural bound, the causes of
    the null space, the naive counts and, where the setting is the paper's, its published number.
    """
    from morsescape.cli.carried_out import Told, carry_out, resumes
    from morsescape.experiments.index.figure import index_bars
    from morsescape.experiments.index.study import IndexSettings, run_index
    from morsescape.experiments.index.table import index_rows, index_sentences, index_table

    with usage():
        many = (3 if point.objective is None else 1) if runs is None else runs
        settings = IndexSettings(point, seed, many, raw, method)

    def kept(output: JsonOutput) -> str:
        if out is None and output.is_file:
            return f"finished runs are in {output.name}; with --out DIR the same command resumes"
        return resumes("finished runs are", out)

    told = Told(_head, index_table, index_sentences, lambda result: index_bars(index_rows(result)))
    carry_out(settings, run_index, told, json=json, out=out, kept=kept, tells_each=True)


def _head(result: IndexResult) -> str:
    run = result.runs[0]
    samples = "" if run.n_samples is None else f", {run.n_samples:,} samples"
    return f"{result.settings.point}: {run.n_params:,} parameters{samples}, l2 = {run.l2:g}"
