"""`morsescape reproduce --paper NAME`: what the command does then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from morsescape.cli.session import say, session, stderr, stdout, usage
from morsescape.errors import ArgumentError

if TYPE_CHECKING:
    from morsescape.experiments.papers.study import PaperResult, PaperSettings


def reproduce_paper(
    paper: str,
    asked: Mapping[str, Any],
    others: Mapping[str, Any],
    *,
    workers: int | None,
    scheduler: str | None,
    compute: bool,
    out: Path | None,
) -> None:
    """Measure one table again and print it, with its files.

    Args:
        paper: name of the table.
        asked: widths, pairs, runs, seed, samples, root, those that were given.
        others: options of the other reproduction that were given, by name.
        workers: as in `reproduce`, and so are the rest.
        scheduler: an address.
        compute: whether anything is computed.
        out: the folder; None takes one below "reproduced".
    """
    from morsescape.bars import bars
    from morsescape.cli.output import check_writable
    from morsescape.experiments.papers.study import run_paper
    from morsescape.experiments.sweep import scheduler_from
    from morsescape.store import RunFolder

    with usage():
        settings = _settings(paper, asked, others)
        who = scheduler_from(scheduler, workers)
    out = Path("reproduced") / paper if out is None else out
    with session(f"finished pieces are in {out}, the same command resumes"):
        check_writable(out / "results.json")
        folder = RunFolder(out, settings.identity(), say)
        with bars(stderr()) as progress:
            result = run_paper(
                settings, folder, scheduler=who, progress=progress, notice=say, compute=compute
            )
        _write(result, out)


def _settings(paper: str, asked: Mapping[str, Any], others: Mapping[str, Any]) -> PaperSettings:
    from morsescape.experiments.papers.study import PaperSettings

    own = dict(asked)
    counts: dict[str, int] = {n: own.pop(n) for n in ("pairs", "runs") if n in own}
    own |= {"widths": _numbers(own["widths"])} if "widths" in own else {}
    settings = PaperSettings(paper, **own)
    counted = settings.table.counted
    lost = [*(f"--{name}" for name in counts if name != counted), *(f"--{n}" for n in others)]
    if lost:
        raise ArgumentError(
            lost[0], expected=f"an option of --paper {paper}: --widths, --{counted}",
            got=", ".join(lost), cure="leave it out",
        )  # fmt: skip
    return replace(settings, many=counts.get(counted))


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.split(",") if word.strip())
    except ValueError:
        raise ArgumentError(
            "--widths", expected="whole numbers, separated by commas", got=repr(text),
            cure="--widths 8,16,32",
        ) from None  # fmt: skip


def _write(result: PaperResult, out: Path) -> None:
    from morsescape.cli.carried_out import tell
    from morsescape.experiments.papers.words import paper_page, paper_sentences, paper_tables
    from morsescape.page import save_page
    from morsescape.store import write_json_atomic

    write_json_atomic(out / "results.json", result.to_json())
    save_page(paper_page(result), out / "index.html")
    console = stdout()
    for caption, table, note in paper_tables(result):
        tell(console, [f"{caption}:"])
        console.print(table)
        tell(console, [note] if note else [])
    tell(console, paper_sentences(result))
    say(f"page in {out / 'index.html'}, numbers in {out / 'results.json'}")
