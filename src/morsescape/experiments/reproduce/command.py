"""`morsescape reproduce`: every experiment of the paper, published beside measured, on one page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from morsescape.cli import options
from morsescape.cli.session import say, session, stderr, stdout, usage

if TYPE_CHECKING:
    from morsescape.experiments.reproduce.study import ReproduceResult

EXAMPLES = """\
Examples:

    morsescape reproduce --data digits --runs 3 --members 60 --out digits
    morsescape reproduce --data mnist fashion-mnist --root data --out paper
    morsescape reproduce --data mnist --parts tables --net cnn --runs 2 --out cnn
    morsescape reproduce --data mnist --out paper --scheduler tcp://login:8786
    morsescape reproduce --out paper --page-only
"""
_WHAT = "What"


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
        options.option("N", "Networks in each setting of the tables. \\[default: 10]", _WHAT),
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
    workers: Annotated[
        int | None,
        options.option(
            "N", "Processes, one thread each. \\[default: one a core, as memory allows]", "Sweep"
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        options.option("ADDRESS", "Address of a Dask scheduler: its workers do the runs.", "Sweep"),
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
        Path,
        options.option(
            "DIR",
            "Keep every finished run here, results.json and index.html; the same command "
            "resumes. Other data sets or parts may be added later; the page shows what the last "
            "command asked for.",
            options.OUTPUT,
        ),
    ] = Path("reproduced"),
) -> None:
    """Every experiment of the paper, published beside measured, in one HTML page.

    Counts with proof (tables 5.2 and 5.5), spectra with outliers and gaps and the index as a
    function of λ (figures 5.2), an ensemble in the plane (section 5.3), and linear regression
    (section 5.4).
    """
    from morsescape.bars import bars
    from morsescape.cli.output import check_writable
    from morsescape.experiments.reproduce.study import ReproduceSettings, asked, run_reproduce
    from morsescape.experiments.sweep import scheduler_from

    with usage():
        asks = {
            "data": (*(data or []), *(more_data or [])) or None, "nets": _names(net),
            "parts": _names(parts), "optimizers": _names(optimizer), "runs": runs,
            "members": members, "seed": seed, "samples": samples,
        }  # fmt: skip
        given: dict[str, Any] = {name: value for name, value in asks.items() if value is not None}
        settings = ReproduceSettings(**given, root=root)
        who = scheduler_from(scheduler, workers)
    with session(f"finished runs are in {out}, the same command resumes"):
        if page_only and not given:
            settings = asked(out)
        check_writable(out / "results.json")
        with bars(stderr()) as progress:
            result = run_reproduce(
                settings, out, scheduler=who, progress=progress, notice=say, compute=not page_only
            )
        _write(result, out)


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
