"""`morsescape spectrum`: all eigenvalues of a Hessian, drawn, with the undecided band."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from morsescape.cli import options
from morsescape.cli.session import usage
from morsescape.errors import ArgumentError
from morsescape.experiments.point_options import takes_point

if TYPE_CHECKING:
    from morsescape.experiments.point import PointSettings
    from morsescape.experiments.spectrum.study import SpectrumResult

EXAMPLES = """\
Examples:

    morsescape spectrum --net mlp2 --out figure
    morsescape spectrum --net cnn --data mnist --checkpoint cnn.safetensors --json a.json
    morsescape spectrum --objective model.py:trained --out figure --format svg
"""
_FORMATS = ("png", "pdf", "svg")


@takes_point()
def spectrum(
    point: PointSettings,
    seed: options.Seed = 0,
    json: options.Json = None,
    out: options.Out = None,
    formats: Annotated[
        str | None,
        options.option(
            "png,pdf,svg", "Of the figure in --out. \\[default: png,pdf]", options.OUTPUT, "format"
        ),
    ] = None,
) -> None:
    """The eigenvalue distribution at a point, linear and symlog, the undecided band shaded.

    Takes a network trained from --seed, a checkpoint, or your own objective, and computes all
    eigenvalues of the exact Hessian of f, each with a proved radius. Outliers are marked.
    """
    from morsescape.cli.carried_out import Told, carry_out, resumes
    from morsescape.experiments.spectrum.figure import spectrum_picture
    from morsescape.experiments.spectrum.study import SpectrumSettings, run_spectrum
    from morsescape.experiments.spectrum.words import spectrum_table

    with usage():
        settings, kinds = SpectrumSettings(point, seed), _checked_formats(formats, out)
    kept = resumes("eigenvalues, once they are there, are", out)
    told = Told(_head, spectrum_table, _sentences, spectrum_picture)
    carry_out(settings, run_spectrum, told, json=json, out=out, kept=lambda _: kept, formats=kinds)


def _checked_formats(formats: str | None, out: Path | None) -> tuple[str, ...]:
    kinds = tuple(kind.strip() for kind in (formats or "png,pdf").split(","))
    for kind in kinds:
        if kind not in _FORMATS:
            raise ArgumentError(
                "--format", expected=", ".join(_FORMATS), got=repr(kind), cure="choose from these"
            )
    if formats is not None and out is None:
        raise ArgumentError(
            "--format", expected="--out DIR with it, for the figure", got="none",
            cure="name a folder, or leave it out",
        )  # fmt: skip
    return kinds


def _head(result: SpectrumResult) -> str:
    return f"{result.settings.point}: {result.inertia.dim:,} parameters"


def _sentences(result: SpectrumResult) -> list[str]:
    from morsescape.experiments.ridge.words import ridge_sentences
    from morsescape.experiments.spectrum.words import spectrum_sentences

    ridge = [] if result.ridge is None else ridge_sentences(result.ridge)
    return [*spectrum_sentences(result), *ridge]
