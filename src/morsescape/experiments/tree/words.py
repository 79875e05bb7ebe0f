"""The table of `morsescape tree`, and the sentences below it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from matplotlib.figure import Figure
from rich.table import Table

from morsescape.critical import CriticalPoint
from morsescape.experiments.point import point_options
from morsescape.experiments.tree.figure import tree_figure
from morsescape.experiments.tree.study import TreeResult
from morsescape.figures.graph_page import (
    MINIMA,
    PASSES,
    PLAIN,
    ROWS,
    TITLE,
    lowest_minima,
    lowest_passes,
    minimum_row,
    minimum_table,
    pass_row,
    pass_table,
    plane_pictures,
    tree_picture,
)
from morsescape.page import Page, Section
from morsescape.page.readable import number
from morsescape.page.tables import printed_table

MEASURES = ("train loss", "accuracy", "test loss", "test accuracy")  # where they are known


def tree_table(result: TreeResult) -> Table:
    """The passes that hold the minima together, from the lowest up."""
    return printed_table(*_passes(result))


def tree_section(result: TreeResult, height: float = 2.4) -> Section:
    """Minima, the passes between them, the tree of sublevel sets: the question of the paper.

    Its picture is so many inches high.

    Example:
        >>> from morsescape.experiments import PointSettings
        >>> from morsescape.experiments.tree.study import TreeSettings, run_tree
        >>> point = PointSettings("cnn", samples=20, activation="tanh", pool="avg", l2=0.1,
        ...                       epochs=1)
        >>> tree_section(run_tree(TreeSettings(point, runs=2))).anchor
        'tree-cnn-digits'
    """
    point = result.settings.point
    name = f"tree-{point.net}-{point.data}"
    figure = Figure(figsize=(4.0, height), layout="constrained")
    tree_figure(result, figure.subplots())
    first, *others = _threshold(result, min(low for low, _ in result.graph.values))
    return Section(
        f"Minima and the passes between them: {point.net} ({point.activation}) on {point.data}, "
        f"{result.samples:,} images",
        name,
        (first,),
        (
            pass_table(result.graph, *_passes(result), name),
            minimum_table(result.graph, *_minima(result), name),
        ),
        (tree_picture(figure, name),),
        tree_command(result),
        (*others, *_details(result)),
        plain=PLAIN,
    )


def tree_page(result: TreeResult) -> Page:
    """What `morsescape tree --out DIR` writes: the section, with its tables beside the pictures."""
    section = tree_section(result, 3.2)
    pictures = section.pictures + plane_pictures(result.graph, section.anchor)
    own = replace(
        section, title=TITLE, tables=(), pictures=pictures, beside=section.tables
    )  # fmt: skip
    subtitle = f"{result.description}: {result.dim:,} parameters, {result.samples:,} samples"
    return Page("Minima and the passes between them", subtitle, (), (own,))


def tree_command(result: TreeResult) -> str:
    """The `morsescape tree` that finds this."""
    own = result.settings
    text = f"morsescape tree{point_options(own.point)} --runs {own.runs} --retries {own.retries}"
    text += f" --most {own.most}" + (f" --seed {own.seed}" if own.seed else "")
    text += f" --held-out {own.held_out}" * bool(own.held_out)
    text += " --no-paths" * (not own.paths) + " --copies" * own.copies
    return text + " --downhill" * own.downhill


_Table = tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]


def _passes(result: TreeResult) -> _Table:
    """The lowest passes, with what the network does at each."""
    graph, order = result.graph, lowest_passes(result.graph)
    rows = [pass_row(graph, k) for k in order]
    return _measured(result, PASSES, rows, graph.saddles, order)


def _minima(result: TreeResult) -> _Table:
    """The lowest minima, the same."""
    graph, order = result.graph, lowest_minima(result.graph)
    rows = [minimum_row(graph, k) for k in order]
    return _measured(result, MINIMA, rows, graph.minima, order)


def _measured(
    result: TreeResult, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]],
    points: Sequence[CriticalPoint], order: Sequence[int],
) -> _Table:  # fmt: skip
    """With those of the measures that are known of some point."""
    above = points is not result.graph.minima
    shares = result.pass_accuracies if above else result.accuracies
    tested = result.pass_scores if above else result.scores
    more = []
    for k in order:
        on_test = (tested[k].loss, tested[k].accuracy) if tested else (None, None)
        values = (result.loss(points[k]), shares[k] if shares else None, *on_test)
        more.append([number(v, f) for v, f in zip(values, (".5f", ".2%") * 2, strict=True)])
    known = [m for m in range(len(MEASURES)) if any(own[m] != "–" for own in more)]
    told = [row + tuple(own[m] for m in known) for row, own in zip(rows, more, strict=True)]
    return columns + tuple(MEASURES[m] for m in known), tuple(told)


def tree_sentences(result: TreeResult) -> list[str]:
    """What follows from the table, one sentence a line."""
    lowest = min(low for low, _ in result.graph.values)
    return [*_details(result), *_threshold(result, lowest)]


def _details(result: TreeResult) -> list[str]:
    """What was found, and what is proved of it."""
    graph = result.graph
    heights = sorted(result.graph.values)
    lines = [
        f"Minima: {graph.given} of {result.settings.runs} seeds, "
        f"{len(graph.minima) - graph.given} more at the feet of passes; f from "
        f"{heights[0][0]:.8g} to {heights[-1][1]:.8g}, proved.",
    ]
    lines += [f"Left out: {why}." for why in result.discarded]
    certified = sum(over.proved for over in graph.passes)
    lines.append(
        f"Passes: {len(graph.passes)} in {graph.attempts} searches, {certified} proved: index "
        "exactly 1, and on both sides a way down to a proved minimum that never rises above it."
    )
    if len(graph.passes) > ROWS:
        lines.append(f"The table has the lowest {ROWS} of them.")
    if result.split_at is not None and graph.highest() is None:
        lines.append(f"M_ε is disconnected at an ε ≥ {result.split_at:.8g}, proved.")
    if any(share is not None for share in result.accuracies):
        lines.append(f"Accuracy at the minima: {_ends(result.accuracies, '.2%')}.")
    lines += _tested(result)
    return lines


def _tested(result: TreeResult) -> Iterator[str]:
    """What the same heights are on the images that nothing was trained on."""
    if not result.scores:
        return
    of = "held out" if result.settings.held_out else "of the test part"
    parts = [
        f"at the {name} loss {_ends([s.loss for s in scores], '.5f')}, "
        f"accuracy {_ends([s.accuracy for s in scores], '.2%')}"
        for name, scores in (("minima", result.scores), ("passes", result.pass_scores)) if scores
    ]  # fmt: skip
    yield f"On the {result.test_samples:,} images {of}: {'; '.join(parts)}."


def _ends(values: Sequence[float | None], form: str) -> str:
    known = [value for value in values if value is not None]
    return " to ".join(dict.fromkeys(number(v, form) for v in (min(known), max(known))))


def _threshold(result: TreeResult, lowest: float) -> Iterator[str]:
    """From which ε on all given minima are in one component, by what, and by saddles alone."""
    graph = result.graph
    highest, by_saddles = graph.highest(), graph.highest(paths=False)
    copies = ", each up to a symmetry of f," if graph.symmetric else ""
    if graph.given == 1:
        yield f"All searches ended at one minimum, f = {graph.values[0][1]:.10g}, proved."
    elif highest is None:
        yield "The minima are not joined by these passes: take more searches (--most)."
    else:
        split, joined = result.split_at, highest.height[1]
        apart = ""
        if split is not None and split <= joined:
            apart = (
                f" M_ε is disconnected at an ε ≥ {split:.8g}, proved: at most "
                f"{joined - split:.1e} lower."
            )
        elif split is not None:
            apart = (
                f" At an ε ≥ {split:.8g} M_ε has other components still, proved: that of a minimum "
                "at the foot of a pass."
            )
        yield (
            f"All {graph.given} minima, different and proved,{copies[1:]} lie in one component of "
            f"M_ε for every ε ≥ {highest.height[1]:.10g}, proved by a {highest.by}, "
            f"{highest.height[1] - lowest:.3e} above the lowest.{apart} What was not found can "
            "only lower the first number."
        )
    if highest is not None and by_saddles is None:
        yield "By certified saddles alone they are not all joined yet: take more searches (--most)."
    elif by_saddles is not None and by_saddles != highest:
        yield f"By certified saddles alone: ε ≥ {by_saddles.height[1]:.10g}."
    if result.in_space is not None and graph.passes:
        yield f"In the whole space, by saddles alone: {result.in_space}."
    if result.copies is not None:
        yield f"One minimum, the lowest: {result.copies}."
    if result.joined_everywhere is not None:
        yield (
            "So all copies of all these minima, in the whole space, lie in one component of M_ε "
            f"for every ε ≥ {result.joined_everywhere:.10g}, proved."
        )
