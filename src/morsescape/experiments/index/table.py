"""The table of `morsescape index`, and the sentences below it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.table import Table

from morsescape.experiments.citation import CITATION, published
from morsescape.experiments.index.estimates import RAW
from morsescape.experiments.index.figure import CountRow
from morsescape.experiments.index.study import IndexResult, IndexRun
from morsescape.page.readable import interval, number, rounded_up, spread, sum_of_causes
from morsescape.page.tables import printed_table
from morsescape.spectrum.inertia import InertiaStatus


def index_table(result: IndexResult) -> Table:
    """One row a run; negative, null and positive are proved intervals, naive counts are not."""
    columns = (
        "seed", "loss", "accuracy", "|grad f|", "negative", "null", "positive", "radius",
        "naive\nfloat32", "naive\nfloat64",
    )  # fmt: skip
    return printed_table(columns, map(_cells, result.runs))


def _cells(run: IndexRun) -> Iterator[str]:
    yield str(run.seed)
    yield number(run.loss, ".4f")
    yield number(run.accuracy, ".2%")
    yield number(run.grad_norm, ".1e")
    for counts in (run.negative, run.null, run.positive):
        # A count that is not proved must not look as if it were.
        yield interval(counts) + (" (est.)" if run.status is InertiaStatus.ESTIMATE else "")
    yield rounded_up(run.radius)
    for dtype in RAW:
        yield number(run.raw_negative[dtype], ",")


def index_sentences(result: IndexResult) -> list[str]:
    """What follows from the table, one sentence a line."""
    if not result.runs:
        return []
    return [
        *_training(result),
        *_bound(result),
        *_null_space(result),
        *_conclusions(result),
        *_spread(result),
        *_published(result),
    ]


def index_rows(result: IndexResult) -> list[CountRow]:
    """The row of `index_bars` for this setting."""
    point = result.settings.point
    paper = published(point)
    lows, highs = zip(*(run.negative for run in result.runs), strict=True)
    return [
        CountRow(
            point.objective or f"{point.net}, {point.data}, {point.at}",
            (min(lows), max(highs)),
            published=None if paper is None else (paper.mean, paper.sd),
            float32=result.spread("raw_negative", "float32"),
            float64=result.spread("raw_negative", "float64"),
            bound=result.bound,
        )
    ]


def _training(result: IndexResult) -> Iterator[str]:
    for run in result.runs:
        if not run.training_done:
            yield f"Training, seed {run.seed}: {run.training}."


def _bound(result: IndexResult) -> Iterator[str]:
    run = result.runs[0]
    if run.structural_upper_bound < run.n_params:
        yield (
            f"Structural bound: the index is at most {run.structural_upper_bound:,} of "
            f"{run.n_params:,}, because {run.structural_reason}."
        )
    else:
        yield f"Structural bound: none; {run.structural_reason}."


def _null_space(result: IndexResult) -> Iterator[str]:
    """One line for runs whose null space has the same causes."""
    for text, runs in groupby(result.runs, _null_text):
        yield f"Null space{_seeds(list(runs), result)}: {text}."


def _null_text(run: IndexRun) -> str:
    causes = run.null_explained
    if run.l2 > 0:
        shift = 2 * run.l2
        return f"Hess L has {sum_of_causes(causes)}, where Hess f has 2 l2 = {shift:g}"
    low, high = run.null
    left = interval((max(0, low - run.explained), max(0, high - run.explained)))
    return f"{sum_of_causes(causes)} explained; left unexplained {left}"


def _conclusions(result: IndexResult) -> Iterator[str]:
    """The sentence of the first run of each kind in full; for the others what differs."""

    def kind(run: IndexRun) -> tuple[str, bool, tuple[str, ...]]:
        return run.status.name, run.grad_norm == 0, run.not_smooth

    for _, group in groupby(sorted(result.runs, key=kind), kind):
        first, *others = sorted(group, key=lambda run: run.seed)
        yield f"Conclusion{_seeds([first], result)}: {first.conclusion}."
        if others:
            norms = [run.grad_norm for run in others]
            least, most = f"{min(norms):.2g}", f"{max(norms):.2g}"
            between = least if least == most else f"{least} to {most}"
            yield f"Conclusion{_seeds(others, result)}: the same, |grad f| = {between}."


def _spread(result: IndexResult) -> Iterator[str]:
    if len(result.runs) < 2:
        return
    low, high = (spread(result.spread("negative", end)) for end in (0, 1))
    yield f"Negative, mean ± sd over {len(result.runs)} runs: lower end {low}, upper end {high}."
    naive = {dtype: result.spread("raw_negative", dtype) for dtype in RAW}
    if any(naive.values()):
        shown = ", ".join(f"{dtype} {spread(value)}" for dtype, value in naive.items())
        yield f"Naive counts, mean ± sd: {shown} (estimates: rounding decides their signs)."


def _published(result: IndexResult) -> Iterator[str]:
    paper = published(result.settings.point)
    if paper is None:
        return
    bound = result.bound
    above = f"; no index of this Hessian is above {bound:,}" if bound < paper.mean else ""
    yield f"Published ({CITATION}, mean ± sd of 10 runs): {paper}{above}."


def _seeds(runs: Sequence[IndexRun], result: IndexResult) -> str:
    """Which runs are meant, where that is not all."""
    if len(runs) == len(result.runs):
        return ""
    seeds = [run.seed for run in runs]
    word = "seed" if len(seeds) == 1 else "seeds"
    if len(seeds) > 2 and seeds == list(range(seeds[0], seeds[-1] + 1)):
        return f", {word} {seeds[0]} to {seeds[-1]}"
    return f", {word} {', '.join(map(str, seeds))}"
