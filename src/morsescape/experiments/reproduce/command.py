"""`morsescape reproduce`: the experiments of the paper, or one table of another, on one page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from morsescape.cli import options
from morsescape.cli.session import say, session, stderr, stdout, usage
from morsescape.errors import ArgumentError

if TYPE_CHECKING:
    from morsescape.experiments.reproduce.study import ReproduceResult

EXAMPLES = """\
Examples:

    morsescape reproduce --data digits --runs 3 --members 60 --out digits
    morsescape reproduce --data mnist fashion-mnist --root data --out paper
    morsescape reproduce --data mnist --parts tables --net cnn --runs 2 --out cnn
    morsescape reproduce --data mnist --out paper --scheduler tcp://login:8786
    morsescape reproduce --out paper --page-only
    morsescape reproduce --paper spurious-minima --widths 7,8 --runs 200
    morsescape reproduce --paper barrier-by-width --widths 8,16 --pairs 3
"""
_WHAT, _PAPER = "What", "One table of another paper"
_FIELDS = {"net": "nets", "optimizer": "optimizers"}


def reproduce(
    more_data: Annotated[
        list[str] | None,
        typer.Argument(help="Further data sets, after --data.", metavar="[DATA]...", hidden=True),
    ] = None,
    data: Annotated[
        list[str] | None,
        options.option(
            "DATA...",
            "Data sets: digits needs no file; the paper's are mnist fashion-mnist. "
            "\\[default: digits]",
            _WHAT,
        ),
    ] = None,
    root: options.Root = None,
    samples: options.Samples = None,
    net: Annotated[
        list[str] | None,
        options.option("NAMES", "Networks, separated by commas. \\[default: mlp2,mlp3,cnn]", _WHAT),
    ] = None,
    parts: Annotated[
        list[str] | None,
        options.option(
            "NAMES",
            "Experiments, separated by commas: tables, spectra, scatter, linear, connect, tree. "
            "\\[default: all]",
            _WHAT,
        ),
    ] = None,
    runs: Annotated[
        int | None,
        options.option(
            "N",
            "Networks in each setting of the tables, or runs of each k. \\[default: 10, 500]",
            _WHAT,
        ),
    ] = None,
    members: Annotated[
        int | None,
        options.option("N", "Networks in the ensemble of section 5.3. \\[default: 500]", _WHAT),
    ] = None,
    seed: Annotated[
        int | None,
        options.option("S", "Seed of the first run. \\[default: 0]", _WHAT),
    ] = None,
    optimizer: Annotated[
        list[str] | None,
        options.option(
            "NAMES",
            "Further optimizers for the tables, separated by commas: lbfgs gives them the "
            "rows that the paper's reviewer asked for.",
            _WHAT,
        ),
    ] = None,
    paper: Annotated[
        str | None,
        options.option(
            "NAME",
            "Instead of all that, one published table: barrier-by-width (784-w-10 on MNIST after "
            "matching, Sonthalia et al. 2024) or spurious-minima (k students of k teachers, Safran "
            "& Shamir 2018).",
            _PAPER,
        ),
    ] = None,
    widths: Annotated[
        str | None,
        options.option("N,N,...", "Rows of that table: hidden units, w or k.", _PAPER),
    ] = None,
    pairs: Annotated[
        int | None,
        options.option("N", "Pairs of networks for each w. \\[default: 6]", _PAPER),
    ] = None,
    workers: Annotated[
        int | None,
        options.option(
            "N",
            "Processes, one thread each. \\[default: one a core, as memory allows]",
            options.SWEEP,
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        options.option(
            "ADDRESS", "Address of a Dask scheduler: its workers do the runs.", options.SWEEP
        ),
    ] = None,
    page_only: Annotated[
        bool,
        options.option(
            None,
            "Compute nothing: the page of what is finished. Without options what the last "
            "command asked for.",
            None,
            "page-only",
        ),
    ] = False,
    out: Annotated[
        Path | None,
        options.option(
            "DIR",
            "Keep every finished run here, results.json and index.html; the same command "
            "resumes. Other data sets or parts, widths or pairs, may be added later; the page "
            "shows what the last command asked for. \\[default: reproduced, or reproduced/NAME]",
            options.OUTPUT,
        ),
    ] = None,
) -> None:
    """Every experiment of the paper, published beside measured, in one HTML page.

    Counts with proof (tables 5.2 and 5.5), spectra with outliers and gaps and the index as a
    function of λ (figures 5.2), an ensemble in the plane (section 5.3), and linear regression
    (section 5.4). With --paper one table of another paper instead, which takes minutes.
    """
    sets = (*(data or []), *(more_data or [])) or None
    whole = {"data": sets, "net": _names(net), "parts": _names(parts), "members": members,
             "optimizer": _names(optimizer)}  # fmt: skip
    table = {"widths": widths, "pairs": pairs}
    both = {"runs": runs, "seed": seed, "samples": samples}
    more: dict[str, Any] = {
        "workers": workers,
        "scheduler": scheduler,
        "compute": not page_only,
        "out": out,
    }
    if paper is None:
        _reproduce_whole(_given(whole | both), _given(table), root=root, **more)
        return
    from morsescape.experiments.papers.command import reproduce_paper

    reproduce_paper(paper, _given(table | both | {"root": root}), _given(whole), **more)


def _reproduce_whole(
    given: dict[str, Any],
    others: dict[str, Any],
    *,
    root: str | None,
    workers: int | None,
    scheduler: str | None,
    compute: bool,
    out: Path | None,
) -> None:
    """All experiments of the paper; `others` are options of --paper."""
    from morsescape.bars import bars
    from morsescape.cli.output import check_writable
    from morsescape.experiments.reproduce.study import ReproduceSettings, asked, run_reproduce
    from morsescape.experiments.sweep import scheduler_from

    with usage():
        if others:
            name = f"--{next(iter(others))}"
            raise ArgumentError(
                name, expected="--paper NAME with it", got="none", cure=f"leave {name} out"
            )
        own = {_FIELDS.get(name, name): value for name, value in given.items()}
        settings = ReproduceSettings(**own, root=root)
        who = scheduler_from(scheduler, workers)
    out = Path("reproduced") if out is None else out
    with session(f"finished runs are in {out}, the same command resumes"):
        if not compute and not given:
            settings = asked(out)
        check_writable(out / "results.json")
        with bars(stderr()) as progress:
            result = run_reproduce(
                settings, out, scheduler=who, progress=progress, notice=say, compute=compute
            )
        _write(result, out)


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """Those that the user wrote."""
    return {name: value for name, value in options.items() if value is not None}


def _write(result: ReproduceResult, out: Path) -> None:
    from morsescape.cli.carried_out import tell
    from morsescape.experiments.reproduce.words import reproduce_page, reproduce_sentences
    from morsescape.page import save_page
    from morsescape.store import write_json_atomic

    write_json_atomic(out / "results.json", result.to_json())
    save_page(reproduce_page(result), out / "index.html")
    tell(stdout(), reproduce_sentences(result))
    if not result.complete:
        say(f"{len(result.pieces)} of {result.expected} runs are there; without --page-only the "
            "others are computed")  # fmt: skip
    say(f"page in {out / 'index.html'}, numbers in {out / 'results.json'}")


def _names(listed: list[str] | None) -> tuple[str, ...] | None:
    """The names between commas, of an option that may be given more than once."""
    if not listed:
        return None
    names = (name.strip() for name in ",".join(listed).split(","))
    return tuple(dict.fromkeys(name for name in names if name))
