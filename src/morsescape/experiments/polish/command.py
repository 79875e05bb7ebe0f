"""`morsescape polish`: from where an optimizer stopped to a certified critical point."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from morsescape.cli import options
from morsescape.cli.session import usage
from morsescape.experiments.point_options import takes_point

if TYPE_CHECKING:
    from morsescape.experiments.point import PointSettings

EXAMPLES = """\
Examples:

    morsescape polish --net cnn --activation tanh --pool avg --l2 1e-3 --samples 300
    morsescape polish --net mlp2 --activation tanh --data mnist --l2 1e-4 --out polished
    morsescape polish --objective model.py:trained --target nearest --json a.json
"""
_PANEL = "Search"


@takes_point()
def polish(
    point: PointSettings,
    target: Annotated[
        str,
        options.option(
            "minimum|nearest", "A minimum, or the nearest critical point of any index.", _PANEL
        ),
    ] = "minimum",
    method: Annotated[
        str,
        options.option(
            "auto|lbfgs|scaled-lbfgs|trust-region|saddle-free|cubic|levenberg",
            "How to step.",
            _PANEL,
        ),
    ] = "auto",
    tol: Annotated[
        float,
        options.option("X", "Stop at this norm of the gradient.", _PANEL),
    ] = 1e-9,
    max_steps: Annotated[
        int,
        options.option("N", "Accepted steps at most.", _PANEL),
    ] = 20_000,
    seed: options.Seed = 0,
    json: options.Json = None,
    out: options.Out = None,
) -> None:
    """From a trained network to a critical point: its index, and a certificate that it is there.

    Counts the signs where the optimizer stopped, lowers the gradient to --tol with full batches in
    float64, leaves saddles along certified negative curvature, and certifies the point reached by
    Newton and Kantorovich. With --l2 above zero f has a lower bound that it attains.
    """
    from morsescape.cli.carried_out import Told, carry_out, resumes
    from morsescape.experiments.polish.study import PolishSettings, run_polish
    from morsescape.experiments.polish.words import polish_sentences, polish_table

    with usage():
        settings = PolishSettings(point, seed, target, method, tol, max_steps)
    kept = resumes("the search is", out)
    told = Told(
        lambda result: f"{result.settings.point}, l2 = {result.start.l2:g}",
        polish_table, polish_sentences,
    )  # fmt: skip
    carry_out(settings, run_polish, told, json=json, out=out, kept=lambda _: kept)
