"""The table of `morsescape scatter`, the sentences below it, and its section of the page."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table

from morsescape.experiments.point import point_options
from morsescape.experiments.scatter.cloud import QUANTILES, SAME, Distances, quantiles
from morsescape.experiments.scatter.figure import scatter_parts
from morsescape.experiments.scatter.study import ScatterResult
from morsescape.nets.orbit import RESCALING
from morsescape.page import PageTable, Picture, Section
from morsescape.page.readable import listed
from morsescape.page.tables import printed_table

_NO_PAIR = "Fewer than two solutions are not dead: there are no distances to speak of."


def scatter_table(result: ScatterResult) -> Table:
    """Quantiles of losses and distances over the solutions that are not dead."""
    return printed_table(("", *QUANTILES), _rows(result))


def scatter_sentences(result: ScatterResult) -> list[str]:
    """What follows from the table, one sentence a line."""
    return [*_lead(result), *_details(result)]


def scatter_section(result: ScatterResult) -> Section:
    """The plane, the distances, and what they mean.

    Example:
        >>> from morsescape.experiments import PointSettings
        >>> from morsescape.experiments.scatter.study import ScatterSettings, run_scatter
        >>> point = PointSettings("cnn", samples=60, epochs=2)
        >>> section = scatter_section(run_scatter(ScatterSettings(point, members=6)))
        >>> section.anchor, section.command
        ('scatter-cnn-digits', 'morsescape scatter --net cnn --samples 60 --epochs 2 --members 6')
    """
    point = result.settings.point
    table = PageTable(
        "Losses and distances of the solutions that are not dead",
        ("", *QUANTILES),
        tuple(_rows(result)),
        "Relative: divided by √(|θ|² + |θ'|²), so that 1 is a right angle and 0 the same point.",
    )
    return Section(
        f"Do {len(result.seeds):,} trainings end at one place? {point.net} on {point.data}",
        f"scatter-{point.net}-{point.data}",
        tuple(_lead(result)),
        (table,) if table.rows else (),
        (_picture(result),),
        scatter_command(result),
        tuple(_details(result)),
        plain="One network, trained from many starts: each dot is where a training ended, in the "
        "plane that shows most of how they differ.",
    )


def scatter_command(result: ScatterResult) -> str:
    """The `morsescape scatter` that trains this ensemble."""
    settings = result.settings
    seed = f" --seed {settings.seed}" if settings.seed else ""
    return f"morsescape scatter{point_options(settings.point)} --members {settings.members}{seed}"


# -- inside ---------------------------------------------------------------------------------------


def _rows(result: ScatterResult) -> Iterator[tuple[str, ...]]:
    live = ~result.dead
    if bool(live.any()):
        loss, share = quantiles(result.loss[live].numpy()), quantiles(result.accuracy[live].numpy())
        yield "loss", *(f"{value:.4f}" for value in loss.values())
        yield "accuracy", *(f"{value:.2%}" for value in share.values())
    for name, distances in (("", result.before), (", modulo symmetries", result.after)):
        if distances is not None:
            values = distances.to_json()
            yield f"distance{name}", *(f"{x:.3g}" for x in values["absolute"].values())
            yield f"relative{name}", *(f"{x:.3f}" for x in values["relative"].values())
            yield f"nearest, relative{name}", *(f"{x:.3f}" for x in values["nearest"].values())


def _lead(result: ScatterResult) -> Iterator[str]:
    yield f"{_who(result)} {_apart(result)}"
    if result.before is not None and result.after is not None:
        yield _moved(result.before, result.after, result.symmetries)
    shares = result.plane.shares
    yield (
        f"The plane shows {sum(shares):.1%} of the variance ({shares[0]:.1%} and {shares[1]:.1%}): "
        "what is near in it need not be near."
    )


def _who(result: ScatterResult) -> str:
    point, asked, dead = result.settings.point, result.settings.members, int(result.dead.sum())
    there = len(result.seeds) + len(result.diverged)
    text = f"{point.net} on {point.data}: {there:,} trainings"
    text += "" if result.complete else f" of {asked:,} that were asked for"
    text += f", {dead:,} of which died (constant output)" if dead else ", none of which died"
    if result.diverged:
        text += f", and {len(result.diverged):,} diverged and are left out"
    return f"{text}."


def _apart(result: ScatterResult) -> str:
    if result.after is None:
        return _NO_PAIR
    same, pairs = result.after.same, len(result.after.relative)
    least = float(result.after.relative.min())
    most = "at most " if RESCALING in result.symmetries else ""
    if same == 0:
        return (
            f"No two of the others were found to be one solution: modulo symmetries the nearest of "
            f"{pairs:,} pairs are {most}{least:.2f} apart, where 1 is a right angle and 0 the same "
            "point."
        )
    return (
        f"Modulo symmetries {same:,} of {pairs:,} pairs coincide to within {SAME:g}: each may be "
        "one solution."
    )


def _moved(before: Distances, after: Distances, symmetries: tuple[str, ...]) -> str:
    medians = [quantiles(d.relative)["median"] for d in (before, after)]
    return (
        "Two points that differ by a symmetry are one solution. Removing "
        f"{listed(symmetries)} takes the median relative distance from {medians[0]:.3f} to "
        f"{medians[1]:.3f}, and the number of pairs that coincide (to within {SAME:g}) from "
        f"{before.same:,} to {after.same:,}."
    )


def _details(result: ScatterResult) -> Iterator[str]:
    yield (
        f"Trained with {result.recipe}, all on the same mini-batches in float32; losses over all "
        f"{result.samples:,} samples in float64. An optimizer stops near critical points, not at "
        "them: distances are those of where it stopped."
    )
    if result.settings.point.net == "cnn":
        yield "With one channel there is no permutation of hidden units."
    if RESCALING in result.symmetries:
        yield (
            "The distance modulo rescaling is that of the points of least norm on the two orbits, "
            "an upper bound on the distance of the orbits: nearer points of theirs may exist."
        )
    if int(result.dead.sum()):
        yield (
            "Dead networks have parameters that do nothing, so distances between them say nothing: "
            "they are in the plane, not in the table."
        )


def _picture(result: ScatterResult) -> Picture:
    caption = (
        "Final points θ projected on the two directions of largest variance, coloured by loss."
    )
    if result.before is not None:
        caption += " Then distances of all pairs, as they are and modulo symmetries."
    return Picture(
        scatter_parts(result),
        "A cloud of points in the plane, coloured by loss, and histograms of the distances of all "
        "pairs. The numbers are in the table.",
        caption,
    )
