"""The ways to count that came closest to the published numbers, on networks that chose none.

    python benchmarks/protocol_check.py --root DIR [--runs 3 --out build/protocol-check]

The study of protocols (`morsescape reproduce --parts protocols`) chooses the closest of some thirty
ways to count on one network a setting, seed 0. A choice among many fits by chance too, so here are
the seeds that follow, with the choice of docs/results/paper/results.json: on every network the
closest over all, its runner-up, and the closest with one softmax (rows by double backward apart,
which give the same counts slowly); and what is closest for one network on that one. What is
finished in --out is not done again. Rewrites what stands between `<!-- fresh -->` and
`<!-- end of fresh -->` in docs/paper.md, and docs/results/paper/protocol-check.json.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from marked import rewrite
from rich.console import Console

from morsescape.experiments import scheduler_from
from morsescape.experiments.protocol_kinds import PROTOCOLS, Protocol
from morsescape.experiments.protocol_result import ProtocolCounts
from morsescape.experiments.protocols import ProtocolsResult, ProtocolsSettings, run_protocols
from morsescape.report import bars
from morsescape.report.numbers import spread
from morsescape.store import RunFolder, read_json, write_json_atomic

DOCS = Path(__file__).parents[1] / "docs"
PAPER = DOCS / "results" / "paper"


def chosen(study: Mapping[str, Any]) -> dict[str, tuple[tuple[Protocol, ...], tuple[str, ...]]]:
    """What to try, under a name: protocols, and the networks to try them on."""
    by_name = {protocol.name: protocol for protocol in PROTOCOLS}
    compared = [row for row in study["protocols"] if row["distance"] is not None]
    ranked = [by_name[r["name"]] for r in sorted(compared, key=lambda row: row["distance"])]
    once = next(p for p in ranked if not p.double_softmax and p.route != "rows")
    everywhere = tuple(dict.fromkeys((*ranked[:2], once)))
    tries = {"everywhere": (everywhere, tuple(study["settings"]["nets"]))}
    for net, name in study["closest_by_net"].items():
        if by_name[name] not in everywhere:
            tries[net] = ((by_name[name],), (net,))
    return tries


def tried(study: Mapping[str, Any], options: argparse.Namespace) -> Iterator[ProtocolsResult]:
    """Each of them on fresh networks."""
    asked = study["settings"]
    for name, (protocols, nets) in chosen(study).items():
        settings = ProtocolsSettings(
            nets, tuple(asked["data"]), asked["seed"] + asked["runs"], options.runs,
            root=options.root, protocols=protocols,
        )  # fmt: skip
        folder = RunFolder(options.out / name, settings.identity())
        who = scheduler_from(None, options.workers)
        with bars(Console(stderr=True)) as progress:
            yield run_protocols(settings, folder, progress, scheduler=who, notice=print)


def section(results: list[ProtocolsResult]) -> Iterator[str]:
    """The sentences and the table of each."""
    for result in results:
        seeds = result.settings.seeds
        for row in result.table.rows:
            total, right = len(row.published), row.within()
            verdict = "consistent" if 4 * (total - right) <= total else "not consistent"
            which = f"seeds {seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else f"seed {seeds[0]}"
            what = "means" if len(seeds) > 1 else "counts"
            yield (
                f"**“{row.protocol.name}”** ({row.protocol}), {which}: {right} of {total} {what} "
                "are within 2 published standard deviations, so it is "
                f"{verdict} with the published numbers; off by a factor of {row.factor():.2f}."
            )
        yield "\n".join(table(result.table.rows))


def table(rows: Sequence[ProtocolCounts]) -> Iterator[str]:
    """Mean ± standard deviation of each, beside the published numbers."""
    names = [f"“{row.protocol.name}”" for row in rows]
    yield f"| network, data, point | published | {' | '.join(names)} |"
    yield "|---|" + "---:|" * (1 + len(rows))
    for setting, paper in rows[0].published.items():
        counts = (spread(row.spread(setting)) for row in rows)
        yield f"| {setting} | {paper} | {' | '.join(counts)} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", help="folder of the data; else as for every command")
    parser.add_argument("--runs", type=int, default=3, help="fresh networks a setting")
    parser.add_argument("--out", type=Path, default=Path("build/protocol-check"))
    parser.add_argument("--workers", type=int, help="processes; one a core by default")
    options = parser.parse_args()
    (study,) = read_json(PAPER / "results.json")["protocols"]
    results = list(tried(study, options))
    write_json_atomic(PAPER / "protocol-check.json", [result.to_json() for result in results])
    rewrite(DOCS / "paper.md", "fresh", "\n\n" + "\n\n".join(section(results)) + "\n\n")


if __name__ == "__main__":
    main()
