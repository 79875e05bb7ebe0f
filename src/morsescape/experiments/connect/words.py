"""The table of `morsescape connect`, the sentences below it, and its section of the page."""

from __future__ import annotations

from collections.abc import Iterator

from matplotlib.figure import Figure
from rich.table import Table

from morsescape.experiments.connect.study import ConnectResult
from morsescape.experiments.connect.uses_words import uses_columns, uses_rows, uses_sentences
from morsescape.experiments.point import PointSettings, point_options
from morsescape.figures import heights_figure
from morsescape.page import PageTable, Picture, Section
from morsescape.page.readable import duration, number, rounded_down, rounded_up
from morsescape.page.tables import printed_table

COLUMNS = ("path", "max f, at least", "at most", "barrier at most", "worst error", "length",
           "gradients", "search", "proof")  # fmt: skip


def connect_table(result: ConnectResult) -> Table:
    """One row for each path."""
    return printed_table(COLUMNS, _rows(result))


def uses_table(result: ConnectResult) -> Table:
    """One row for each path and part of the data: what its points are good for."""
    return printed_table(uses_columns(result), uses_rows(result))


def connect_sentences(result: ConnectResult) -> list[str]:
    """What follows from the tables, one sentence a line."""
    return [*_lead(result), *_details(result), *uses_sentences(result)]


def connect_section(result: ConnectResult) -> Section:
    """Connectivity, the question of the paper's title: one pair, its paths and their heights.

    Example:
        >>> from morsescape.experiments import PointSettings
        >>> from morsescape.experiments.connect.study import ConnectSettings, run_connect
        >>> point = PointSettings(samples=60, epochs=5, activation="tanh")
        >>> section = connect_section(run_connect(ConnectSettings(point, methods=("line",))))
        >>> section.anchor, len(section.pictures)
        ('connect-mlp2-digits', 1)
    """
    point = result.settings.point
    figure = Figure(figsize=(4.0, 2.0), layout="constrained")
    heights_figure([(w.method, w.height) for w in result.ways], figure.subplots(), log=True)
    return Section(
        f"Are two trained networks connected? {point.net} on {images_of(point)}",
        f"connect-{point.net}-{point.data}",
        tuple(_lead(result)),
        (PageTable("Paths between two trainings", COLUMNS, tuple(_rows(result))),),
        (
            Picture(
                figure,
                "Loss along each path, on a logarithmic axis: the straight line rises far above "
                "both ends, the other paths stay low.",
                "f along the paths; dots are computed, steps are proved bounds on f between them.",
            ),
        ),
        connect_command(result),
        tuple(_details(result)),
        plain="Trainings from different starts end at different weights. Where a path joins two of "
        "them on which the loss never exceeds ε, both lie in one piece of the landscape below "
        "ε.",
    )


def images_of(point: PointSettings) -> str:
    """The data set, and how much of it.

    Example:
        >>> from morsescape.experiments import PointSettings
        >>> images_of(PointSettings()), images_of(PointSettings(samples=200))
        ('digits', 'the first 200 images of digits')
    """
    few = "" if point.samples is None else f"the first {point.samples:,} images of "
    return few + point.data


def connect_command(result: ConnectResult) -> str:
    """The `morsescape connect` that finds these paths."""
    own = result.settings
    text = f"morsescape connect{point_options(own.point)} --methods {','.join(own.methods)}"
    text += f" --seed {own.seed}" if own.seed else ""
    return text + ("" if own.align else " --no-align") + (" --polish" if own.polish else "")


# -- inside ---------------------------------------------------------------------------------------


def _rows(result: ConnectResult) -> Iterator[tuple[str, ...]]:
    for way in result.ways:
        low, high = way.height.low, way.height.high
        estimate = way.height.estimate is not None
        yield (
            way.method + (", aligned" if way.aligned else ""),
            f"about {low:.5g}" if estimate else rounded_down(low, 5),
            "estimate" if estimate else rounded_up(high, 5),
            "estimate" if estimate else rounded_up(way.height.barrier[1], 4),
            number(way.error, ".2%"),
            f"{way.length:.3g}",
            f"{way.gradients:,}",
            *map(duration, way.seconds),
        )


def _lead(result: ConnectResult) -> Iterator[str]:
    best = result.best
    ends = " and ".join(f"{end.value:.4g}" for end in result.ends)
    if best.same:
        yield (
            "Both solutions are one network up to a symmetry of f: after alignment there is no "
            "barrier between them."
        )
    if best.height.estimate is not None:
        yield (
            f"Not proved: {best.height.estimate}. The lowest path, by {best.method}, rises to "
            f"about {best.height.low:.4g} (estimate) between ends at {ends}."
        )
        return
    copies = ", the second up to a symmetry of f," if best.aligned else ""
    yield (
        f"Proved: both solutions{copies} lie in one component of the sublevel set M_ε for every "
        f"ε ≥ {rounded_up(best.height.high, 5)}, along a path by {best.method}; they are at {ends}."
    )


def _details(result: ConnectResult) -> Iterator[str]:
    line = next((w for w in result.ways if w.method == "line"), None)
    if line is not None and line is not result.best and line.height.estimate is None:
        yield f"The straight line rises to at least {rounded_down(line.height.low, 4)}, proved."
    if any(w.aligned for w in result.ways):
        before, after = result.ways[0].distances
        yield f"Alignment brought the ends from {before:.4g} to {after:.4g} apart."
    proved = sum(end.proved for end in result.ends)
    if proved:
        yield f"{proved} of the 2 ends are proved to be strict local minima of f."
    yield _how(result)


def _how(result: ConnectResult) -> str:
    proofs = [w for w in result.ways if w.height.estimate is None]
    passes = sum(w.height.evaluations for w in proofs)
    kinds = (
        "slopes (f has kinks: " + ", ".join(result.not_smooth) + ") and second derivatives"
        if result.not_smooth
        else "second derivatives"
    )
    wide = [w.method for w in proofs if not w.height.reached]
    more = f" Wider than asked: {', '.join(wide)}." if wide else ""
    return (
        f"Heights are proved by enclosing {kinds} along the curve on intervals of t, "
        f"{passes:,} in all, each over all {result.samples:,} samples.{more}"
    )
