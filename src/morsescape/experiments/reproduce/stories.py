"""The first screen of the page: four questions, each with one number, a sentence and a picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from matplotlib.figure import Figure

from morsescape.experiments.connect.study import ConnectResult
from morsescape.experiments.connect.words import images_of
from morsescape.experiments.index.study import IndexResult
from morsescape.experiments.index.words import outside
from morsescape.experiments.point import point_name
from morsescape.experiments.reproduce.figure import Gradient, gradients_figure
from morsescape.experiments.reproduce.study import ReproduceResult
from morsescape.experiments.tree.study import TreeResult
from morsescape.page import Picture, Section, Story
from morsescape.page.readable import rounded_down, rounded_up

_DIGITS = 3
_FAR = 1e-6  # a gradient in float64, of a loss of order one, is not off by so much


def stories(
    result: ReproduceResult, sections: Sequence[Section]
) -> tuple[tuple[Story, ...], tuple[Section, ...]]:
    """The questions that this result answers, and the sections without the pictures shown there."""
    pictures = {s.anchor: s.pictures[0] for s in sections if s.pictures}
    tables, trees = result.of("tables"), result.of("tree")
    told = [
        *_critical(tables, trees),
        *_counts(tables, pictures),
        *_connected(result.of("connect"), pictures),
        *_tree(trees, pictures),
    ]
    used = [story.picture for story in told]
    left = (
        replace(s, pictures=tuple(p for p in s.pictures if not any(p is u for u in used)))
        for s in sections
    )
    return tuple(told), tuple(left)


# -- inside ---------------------------------------------------------------------------------------


def _critical(tables: Sequence[IndexResult], trees: Sequence[TreeResult]) -> Iterator[Story]:
    """Where training stops beside the points that are proved critical."""
    if not trees:
        return
    tree, point = trees[0], trees[0].settings.point
    graph = tree.graph
    minima = [m for m in graph.minima if m.certificate.proves(0)]
    passes = [p for p in graph.saddles if p.certificate.proves(1)]
    if not minima:
        return
    runs = [
        Gradient(f"{point_name(table.settings.point)}, seed {run.seed}", run.grad_norm, None)
        for table in tables
        if table.settings.point.at == "trained"
        for run in table.runs
    ]
    found = [Gradient("minimum", m.grad_norm, 0) for m in minima]
    found += [Gradient("pass", p.grad_norm, 1) for p in passes]
    largest = max(point.norm for point in found)
    stops = ""
    if runs:
        least, most = (f"{x:.1g}" for x in (min(r.norm for r in runs), max(r.norm for r in runs)))
        where = "at no critical point" if min(r.norm for r in runs) > _FAR else "near, not there"
        stops = f"Training stops where the slope is still {least} to {most}: {where}. "
    figure = Figure(figsize=(4.0, 1.75 if runs else 1.35), layout="constrained")
    gradients_figure([*runs, *found], figure.subplots())
    exact = f"{len(minima)} {_many('minimum', 'minima', minima)} (index 0)"
    if passes:
        exact += f" and {len(passes)} {_many('pass', 'passes', passes)} (index 1, one way down)"
    yield Story(
        "Are these critical points, and of which index?",
        str(len(found)),
        "points proved critical, each with its index"
        if len(found) > 1
        else "point proved critical",
        f"{stops}Newton's method goes on ({point.net}, {point.activation}, a ridge) to {exact}: a "
        f"critical point is proved beside each, where the slope is {rounded_up(largest)} at most.",
        Picture(
            figure,
            "Norms of gradients on a logarithmic axis: those where training stops are far to the "
            "right of those at the critical points found.",
            "A dot is a point; the farther left, the flatter. Point at a dot to read it.",
        ),
        f"tree-{point.net}-{point.data}",
    )


def _counts(tables: Sequence[IndexResult], pictures: dict[str, Picture]) -> Iterator[Story]:
    """How many of the usual counts are noise."""
    wrong, known = outside([run for table in tables for run in table.runs])
    if not known or "tables" not in pictures:
        return
    yield Story(
        "How many directions curve downwards?",
        f"{wrong} of {known}",
        "naive counts are wrong, proved",
        "Many directions change nothing: their curvature is zero. In floating point it comes out "
        "slightly above or below, and who counts signs counts noise. The bars allow for every "
        "rounding error.",
        pictures["tables"],
        "tables",
    )


def _connected(results: Sequence[ConnectResult], pictures: dict[str, Picture]) -> Iterator[Story]:
    """One pair of solutions, the path between them and the level below which it stays."""
    proved = [r for r in results if r.best.height.estimate is None]
    if not proved:
        return
    one = max(proved, key=_gain)
    height, point = one.best.height, one.settings.point
    line = next((w for w in one.ways if w.method == "line" and w is not one.best), None)
    straight = (
        f" Straight between them it rises to {rounded_down(line.height.low, _DIGITS)} or more."
        if line is not None and line.height.estimate is None
        else ""
    )
    renamed = ", hidden units renumbered," if one.best.aligned else ""
    anchor = f"connect-{point.net}-{point.data}"
    ends = " and ".join(f"{end.value:.{_DIGITS}g}" for end in one.ends)
    yield Story(
        "Are two trained networks connected?",
        f"ε = {rounded_up(height.high, _DIGITS)}",
        "and above: yes, proved",
        f"Two trainings of {point.net} on {images_of(point)} end at a loss of {ends}.{straight} "
        f"On a path that bends{renamed} it never passes ε.",
        pictures[anchor],
        anchor,
    )


def _tree(trees: Sequence[TreeResult], pictures: dict[str, Picture]) -> Iterator[Story]:
    """From which level on the minima are in one piece."""
    joined = [tree for tree in trees if tree.graph.given > 1 and tree.graph.highest() is not None]
    if not joined:
        return
    tree, point = joined[0], joined[0].settings.point
    join = tree.graph.highest()
    assert join is not None
    anchor = f"tree-{point.net}-{point.data}"
    apart = (
        ""
        if tree.split_at is None
        else f"; at some level of {rounded_down(tree.split_at, 6)} or more they do not yet, proved"
    )
    yield Story(
        "From which level on are all minima in one piece?",
        f"ε ≥ {rounded_up(join.height[1], 6)}",
        f"joins {tree.graph.given} minima, proved",
        "Fill the landscape with water: each minimum is a lake of its own until the level reaches "
        f"the pass to the next. The tree says where they meet{apart}.",
        pictures[anchor],
        anchor,
    )


def _gain(result: ConnectResult) -> float:
    """How far below the straight line the best path stays, as a factor."""
    low = max(way.height.low for way in result.ways)
    return low / result.best.height.high


def _many(one: str, more: str, them: Sequence[object]) -> str:
    return one if len(them) == 1 else more
