"""Tables 5.2 and 5.5 of the paper as a section of the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace

from matplotlib.figure import Figure

from morsescape.errors import ArgumentError
from morsescape.experiments.citation import CITATION, Published, published
from morsescape.experiments.index.estimates import RAW
from morsescape.experiments.index.figure import index_bars
from morsescape.experiments.index.study import IndexResult, IndexRun
from morsescape.experiments.index.table import index_rows, index_sentences, index_table
from morsescape.experiments.point import point_name, point_options
from morsescape.figures.style import once_each
from morsescape.page import PageTable, Picture, Section
from morsescape.page.readable import interval, spread
from morsescape.spectrum.inertia import InertiaStatus

__all__ = ["index_command", "index_rows", "index_section", "index_sentences", "index_table"]

_SETTING = "network, data, point"
_NOT_PROVED = (InertiaStatus.ESTIMATE, InertiaStatus.NOT_FINITE)
_FAR = 1e-6  # a gradient in float64, of a loss of order one, is not off by so much


def index_section(results: Sequence[IndexResult]) -> Section:
    """Published, naive and certified numbers of negative eigenvalues, setting by setting.

    Its first table, what is proved beside what is published, and its picture are made for the
    first screen. Then come means over the runs, and the null space with its causes.

    Raises:
        ArgumentError: no results, or one without runs.

    Example:
        >>> from morsescape.experiments import IndexSettings, PointSettings, run_index
        >>> settings = IndexSettings(PointSettings(at="random", samples=20), runs=1, raw=False)
        >>> section = index_section([run_index(settings)])
        >>> section.tables[0].rows[0][0], section.command
        ('mlp2, digits, random', 'morsescape index --at random --samples 20 --runs 1 --no-raw')
    """
    if not results or not all(result.runs for result in results):
        raise ArgumentError(
            "results", expected="at least one, with runs", got="nothing", cure="count something"
        )
    return Section(
        "How many directions curve downwards: the counts",
        "tables",
        tuple(_lead(results)),
        (_proved(results), _means(results), _null_spaces(results)),
        (_picture(results),),
        "\n".join(index_command(result) for result in results),
        tuple(_details(results)),
        plain="The Hessian holds how the loss curves in every direction. Its negative eigenvalues "
        "are the directions that curve downwards; at a critical point their number is the "
        "index: 0 at the bottom of a valley, 1 on a pass.",
    )


def index_command(result: IndexResult) -> str:
    """The `morsescape index` that makes these runs.

    Example:
        >>> from morsescape.experiments import IndexSettings, PointSettings
        >>> settings = IndexSettings(PointSettings("cnn", "mnist"), seed=5, runs=3)
        >>> index_command(IndexResult(settings, ()))
        'morsescape index --net cnn --data mnist --root DIR --runs 3 --seed 5'
    """
    settings = result.settings
    words = f"morsescape index{point_options(settings.point)} --runs {settings.runs}"
    words += f" --seed {settings.seed}" if settings.seed else ""
    words += f" --method {settings.method}" if settings.method != "ldl" else ""
    return words + ("" if settings.raw else " --no-raw")


# -- tables ---------------------------------------------------------------------------------------


def _proved(results: Sequence[IndexResult]) -> PageTable:
    rows = (
        (_label(result), _paper(result), _hull(result, "negative"), _bound(result))
        for result in results
    )
    return PageTable(
        "Negative eigenvalues of the Hessian",
        (_SETTING, "published", "certified", "at most"),
        tuple(rows),
        (
            f"Published: {CITATION}, tables 5.2 and 5.5, mean ± standard deviation of 10 runs. "
            if any(published(result.settings.point) for result in results)
            else ""
        )
        + "Certified, over all runs: "
        "a to b where each run is proved exactly and the runs differ; [a, b] where the number of "
        "each run is proved to lie in it. At most: a bound from the structure of the network, "
        "whatever its parameters; where b equals it, only a comes from counting.",
    )


def _means(results: Sequence[IndexResult]) -> PageTable:
    columns = (
        _SETTING, "runs", "published", "naive, float32", "naive, float64",
        "certified, lower end", "certified, upper end", "at most",
    )  # fmt: skip
    return PageTable(
        "Mean ± standard deviation over the runs",
        columns,
        tuple(tuple(_mean_row(result)) for result in results),
        "Each run has its own certified interval; its lower and its upper ends are averaged apart. "
        "Naive counts are estimates: rounding decides the signs of eigenvalues near zero.",
    )


def _mean_row(result: IndexResult) -> Iterator[str]:
    yield _label(result)
    done, asked = len(result.runs), result.settings.runs
    yield f"{done}" if done == asked else f"{done} of {asked}"
    yield _paper(result)
    for dtype in RAW:
        yield spread(result.spread("raw_negative", dtype))
    for end in (0, 1):
        yield spread(result.spread("negative", end)) + _estimate(result)
    yield _bound(result)


def _null_spaces(results: Sequence[IndexResult]) -> PageTable:
    runs = [run for result in results for run in result.runs]
    causes = tuple(dict.fromkeys(cause for run in runs for cause in run.null_explained))
    shifted = any(run.l2 > 0 for run in runs)
    rows = (
        (
            _label(result),
            _hull(result, "null"),
            *(_ends(_explained(result, cause)) for cause in causes),
            _unexplained(result),
        )
        for result in results
    )
    return PageTable(
        "The null space and its causes",
        (_SETTING, "certified nullity", *causes, "left unexplained"),
        tuple(rows),
        "Dimensions, not inputs or units: an input that is zero on all images gives one for each "
        "unit of the first layer. From the smallest to the largest over the runs. Dependent "
        "inputs and ReLU rescaling are found and checked numerically, the other causes are exact; "
        "only these count in the lower end of the nullity. Left unexplained: eigenvalues within "
        "the radius of zero, which need not be zero."
        + (" Of Hess L; where λ > 0, Hess f has 2λ there." if shifted else ""),
    )


def _explained(result: IndexResult, cause: str) -> list[int]:
    return [run.null_explained.get(cause, 0) for run in result.runs]


def _unexplained(result: IndexResult) -> str:
    if any(run.l2 > 0 for run in result.runs):
        return "–"
    left = [max(0, end - run.explained) for run in result.runs for end in run.null]
    return _ends(left) + _estimate(result)


def _label(result: IndexResult) -> str:
    """The setting, and what of it is not the paper's."""
    return point_name(result.settings.point)


def _paper(result: IndexResult) -> str:
    return str(published(result.settings.point) or "–")


def _bound(result: IndexResult) -> str:
    return f"{result.bound:,}"


def _hull(result: IndexResult, name: str) -> str:
    """The smallest interval that holds those of all runs; "a to b" if each is one number."""
    ends = [end for run in result.runs for end in getattr(run, name)]
    exact = all(getattr(run, name)[0] == getattr(run, name)[1] for run in result.runs)
    shown = _ends(ends) if exact else interval((min(ends), max(ends)))
    return shown + _estimate(result)


def _ends(values: Sequence[int]) -> str:
    """The least and the most of numbers that are known."""
    return " to ".join(dict.fromkeys((f"{min(values):,}", f"{max(values):,}")))


def _estimate(result: IndexResult) -> str:
    """A count that is not proved must not look as if it were."""
    return " (est.)" if any(run.status is InertiaStatus.ESTIMATE for run in result.runs) else ""


# -- picture and sentences ------------------------------------------------------------------------


def _picture(results: Sequence[IndexResult]) -> Picture:
    rows = [replace(row, label=_label(result)) for result in results for row in index_rows(result)]
    figure = Figure(figsize=(4.0, 0.8 + 0.2 * len(rows)), layout="constrained")
    ax = index_bars(rows, figure.subplots())
    if (narrow := ax.get_legend()) is not None:
        narrow.remove()
    # Above everything, where it may be wider than the axes.
    figure.legend(*once_each(ax), loc="outside upper left", ncols=2, frameon=False, fontsize=7.5,
                  handletextpad=0.3, columnspacing=1.2)  # fmt: skip
    return Picture(
        figure,
        "For each setting, on one logarithmic axis: the certified interval, the structural bound "
        "at its upper end or above, and the naive and published counts. The numbers are in the "
        "tables.",
        "What is proved (bars, over all runs), what the structure of the network allows at most "
        f"(lines), and what {_claims(results)} say (mean ± standard deviation).",
    )


def _claims(results: Sequence[IndexResult]) -> str:
    papers = any(published(result.settings.point) for result in results)
    return "naive counts and the paper" if papers else "naive counts"


def _lead(results: Sequence[IndexResult]) -> Iterator[str]:
    runs = [run for result in results for run in result.runs]
    papers = [(p, result) for result in results if (p := published(result.settings.point))]
    if papers:
        yield _compared(papers)
    yield from _counted(runs)
    yield from _not_critical(runs)


def _compared(papers: Sequence[tuple[Published, IndexResult]]) -> str:
    above = [(paper.mean / r.bound, paper, r) for paper, r in papers if paper.mean > r.bound]
    if not above:
        return f"None of the {len(papers)} published means here is above the structural bound."
    _, paper, worst = max(above, key=lambda entry: entry[0])
    return (
        f"{len(above)} of {len(papers)} published means {'is' if len(above) == 1 else 'are'} above "
        "the largest index that the structure of the network allows: no mean of indices of this "
        "Hessian. "
        f"Farthest is {_label(worst)}: published {paper}, at most {_bound(worst)}, certified "
        f"{_hull(worst, 'negative')}."
    )


def _counted(runs: Sequence[IndexRun]) -> Iterator[str]:
    """How much is proved, and how often the naive count is outside of it."""
    proved = [run for run in runs if run.status not in _NOT_PROVED]
    if proved:
        ends = [(*run.negative, run.structural_upper_bound) for run in proved]
        exact = sum(low == high for low, high, _ in ends)
        structural = sum(low < high == bound for low, high, bound in ends)
        text = (
            f"The number of negative eigenvalues is proved exactly in {exact} of {len(runs)} runs"
        )
        if exact < len(proved):
            text += (
                f", to an interval in {len(proved) - exact}; in {structural} of these its upper "
                "end is the bound from structure"
            )
        yield f"{text}.{_naive(proved)}"
    if len(proved) < len(runs):
        yield f"{len(runs) - len(proved)} of {len(runs)} runs are not proved: see More."


def outside(runs: Sequence[IndexRun]) -> tuple[int, int]:
    """How many naive counts in float64 are outside the proved interval, and of how many."""
    counts = [(r.raw_negative["float64"], r.negative) for r in runs if r.status not in _NOT_PROVED]
    known = [(count, ends) for count, ends in counts if count is not None]
    return sum(not low <= count <= high for count, (low, high) in known), len(known)


def _naive(proved: Sequence[IndexRun]) -> str:
    wrong, known = outside(proved)
    if not known:
        return ""
    return f" The naive count in float64 is outside the interval in {wrong} of {known}."


def _not_critical(runs: Sequence[IndexRun]) -> Iterator[str]:
    norms = [run.grad_norm for run in runs]
    if min(norms) > 0:
        between = dict.fromkeys(f"{norm:.2g}" for norm in (min(norms), max(norms)))
        far = all(run.grad_norm > _FAR * max(1.0, abs(run.value)) for run in runs)
        what = (
            ", far above rounding: these are not critical points, and the numbers are"
            if far
            else ": these points are not proved critical, so the numbers are"
        )
        yield (
            f"The gradient norm is {' to '.join(between)}{what} negative curvature counts, not "
            "Morse indices."
        )


def _details(results: Sequence[IndexResult]) -> Iterator[str]:
    for about in (_reason, _smoothness, _recipe):
        named = [(text, name) for result in results for text, name in about(result)]
        # Said once, however many settings it is true of.
        for text in dict.fromkeys(text for text, _ in named):
            names = dict.fromkeys(name for same, name in named if same == text)
            yield f"{'; '.join(names)}: {text}."
    for result in results:
        yield from _not_as_usual(result)


def _reason(result: IndexResult) -> Iterator[tuple[str, str]]:
    run, bound = result.runs[0], result.bound
    reason, name = run.structural_reason, _model(result)
    if bound == run.n_params:
        yield f"no bound from structure; {reason}", name
    else:
        yield (
            f"at most {bound:,} of {run.n_params:,}, because {reason}; there the Hessian is "
            "positive semidefinite, and each dimension of such a subspace takes one from the "
            "number of possible negative eigenvalues",
            name,
        )


def _smoothness(result: IndexResult) -> Iterator[tuple[str, str]]:
    kinks = result.runs[0].not_smooth
    if kinks:
        yield (
            f"not twice differentiable ({', '.join(kinks)}); the Hessian exists almost everywhere, "
            "but Morse theory does not apply",
            _model(result),
        )


def _recipe(result: IndexResult) -> Iterator[tuple[str, str]]:
    point = result.settings.point
    for run in result.runs:
        if run.recipe is not None:
            chosen = {name: value for name, value in asdict(run.recipe).items() if value}
            words = (f"{name.replace('_', ' ')} {value}" for name, value in chosen.items())
            yield f"trained with {', '.join(words)}", f"{point.net}, {point.data}"


def _not_as_usual(result: IndexResult) -> Iterator[str]:
    for run in result.runs:
        if not run.training_done:
            yield f"{_label(result)}, seed {run.seed}: training: {run.training}."
    rough = next((run for run in result.runs if run.status in _NOT_PROVED), None)
    if rough is not None:
        yield f"{_label(result)}, seed {rough.seed}: {rough.conclusion}."


def _model(result: IndexResult) -> str:
    point = result.settings.point
    return point.objective or f"{point.net} ({point.activation})"
