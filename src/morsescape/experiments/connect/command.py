"""`morsescape connect`: two solutions, paths between them, and proved heights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from morsescape.cli import options
from morsescape.cli.session import usage
from morsescape.experiments.point_options import takes_point

if TYPE_CHECKING:
    from morsescape.experiments.connect.study import ConnectResult
    from morsescape.experiments.point import PointSettings

EXAMPLES = """\
Examples:

    morsescape connect --net mlp2 --activation tanh --l2 1e-4 --polish
    morsescape connect --net cnn --data mnist --methods line,bezier,string --out paths
    morsescape connect --checkpoint a.safetensors --to b.safetensors --json a.json
    morsescape connect --objective model.py:trained --methods line
    morsescape connect --data mnist --methods line,bezier --uses --attack pgd --eps 0.1 --out used
"""
_PANEL, _USES = "Paths", "What a path is good for"


@takes_point()
def connect(
    point: PointSettings,
    methods: Annotated[
        str,
        options.option(
            "NAME,…", "Of line, bezier, chain, string, neb and fip, separated by commas.", _PANEL
        ),
    ] = "line,string",
    other: Annotated[
        int | None,
        options.option("S", "Seed of the second solution. \\[default: seed + 1]", _PANEL),
    ] = None,
    to: Annotated[
        str | None,
        options.option("FILE.safetensors", "The second solution, beside --checkpoint.", _PANEL),
    ] = None,
    align: Annotated[
        bool,
        options.switch("Move the second solution by a symmetry of f next to the first.", _PANEL),
    ] = True,
    polish: Annotated[
        bool,
        options.switch("Go on from both to proved minima of f first (smooth f only).", _PANEL),
    ] = False,
    tol: Annotated[
        float,
        options.option("X", "Width of a proved height, as a share of the barrier.", _PANEL),
    ] = 0.01,
    uses: Annotated[
        bool,
        options.option(
            None,
            "Average the weights, and the outputs, of 11 points of each path; accuracy on "
            "training and test images.",
            _USES,
            "uses",
        ),
    ] = False,
    attack: Annotated[
        str | None,
        options.option(
            "fgsm|pgd", "Accuracy at 11 points of each path, each attacked by itself.", _USES
        ),
    ] = None,
    eps: Annotated[
        float | None,
        options.option("ε", "Radius of --attack: what a pixel of [0, 1] may change by.", _USES),
    ] = None,
    seed: options.Seed = 0,
    json: options.Json = None,
    out: options.Out = None,
) -> None:
    """Two solutions, the paths between them, and how high f rises on each, proved.

    Trains two networks from two seeds, or takes two checkpoints, finds a low curve by each of
    --methods, and encloses the largest f on the whole curve, not only at samples. Two solutions on
    a path that is nowhere above ε lie in one component of the sublevel set M_ε.
    """
    from morsescape.cli.carried_out import Told, carry_out, resumes
    from morsescape.experiments.connect.figure import connect_figure
    from morsescape.experiments.connect.study import ConnectSettings, run_connect
    from morsescape.experiments.connect.words import connect_sentences, connect_table, uses_table

    with usage():
        names = tuple(name.strip() for name in methods.split(",") if name.strip())
        settings = ConnectSettings(
            point, seed, other, to, names, align, polish, tol, uses, attack, eps
        )
    kept = resumes("finished paths are", out)
    told = Told(_head, connect_table, connect_sentences, connect_figure, uses_table)
    carry_out(settings, run_connect, told, json=json, out=out, kept=lambda _: kept)


def _head(result: ConnectResult) -> str:
    return f"{result.description}: {result.dim:,} parameters, {result.samples:,} samples"
