"""The ways to count that came closest to the published numbers, on networks that chose none.

    python benchmarks/protocol_check.py --root DIR [--runs 5 --out build/protocol-check]

The study of protocols (`morsescape reproduce --parts protocols`) chooses the closest of some thirty
ways to count on one network a setting, seed 0. A choice among many fits by chance too, so those
that were chosen in docs/results/paper/results.json are tried on the seeds that follow: the closest
over all on every network, and those closest for one network on that one. What is finished in --out
is not done again. Rewrites what stands between `<!-- fresh -->` and `<!-- end of fresh -->` in
docs/paper.md, and docs/results/paper/protocol-check.json.
"""

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from marked import rewrite
from rich.console import Console

from morsescape.experiments import scheduler_from
from morsescape.experiments.protocol_kinds import PROTOCOLS, Protocol
from morsescape.experiments.protocol_result import ProtocolCounts
from morsescape.experiments.protocols import ProtocolsResult, ProtocolsSettings, run_protocols
from morsescape.report import bars
from morsescape.report.numbers import number, spread
from morsescape.store import RunFolder, read_json, write_json_atomic

DOCS = Path(__file__).parents[1] / "docs"
PAPER = DOCS / "results" / "paper"


def chosen(study: Mapping[str, Any]) -> dict[Protocol, tuple[str, ...]]:
    """The protocols that were closest, and the networks to try each on."""
    by_name = {protocol.name: protocol for protocol in PROTOCOLS}
    nets = {by_name[study["closest"]]: tuple(study["settings"]["nets"])}
    for net, name in study["closest_by_net"].items():
        if name != study["closest"]:
            nets[by_name[name]] = (*nets.get(by_name[name], ()), net)
    return nets


def tried(study: Mapping[str, Any], options: argparse.Namespace) -> Iterator[ProtocolsResult]:
    """Each of them on fresh networks."""
    asked = study["settings"]
    for protocol, nets in chosen(study).items():
        settings = ProtocolsSettings(
            nets, tuple(asked["data"]), asked["seed"] + asked["runs"], options.runs,
            root=options.root, protocols=(protocol,),
        )  # fmt: skip
        folder = RunFolder(options.out / protocol.name.replace(" ", "-"), settings.identity())
        who = scheduler_from(None, options.workers)
        with bars(Console(stderr=True)) as progress:
            yield run_protocols(settings, folder, progress, scheduler=who, notice=print)


def section(results: list[ProtocolsResult]) -> Iterator[str]:
    """The sentences and the table of each."""
    for result in results:
        (row,) = result.table.rows
        seeds = result.settings.seeds
        yield (
            f"**“{row.protocol.name}”** ({row.protocol}) on {len(seeds)} other networks a setting, "
            f"seeds {seeds[0]} to {seeds[-1]}: typically off by a factor of {row.factor():.2f}; "
            f"{row.within()} of {len(row.published)} means are within 2 published standard "
            "deviations."
        )
        yield "\n".join(table(row))


def table(row: ProtocolCounts) -> Iterator[str]:
    yield "| network, data, point | published | counted, mean ± sd | counted / published |"
    yield "|---|---:|---:|---:|"
    for setting, paper in row.published.items():
        ratio = number(row.ratio(setting), ".2f")
        yield f"| {setting} | {paper} | {spread(row.spread(setting))} | {ratio} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", help="folder of the data; else as for every command")
    parser.add_argument("--runs", type=int, default=5, help="fresh networks a setting")
    parser.add_argument("--out", type=Path, default=Path("build/protocol-check"))
    parser.add_argument("--workers", type=int, help="processes; one a core by default")
    options = parser.parse_args()
    (study,) = read_json(PAPER / "results.json")["protocols"]
    results = list(tried(study, options))
    write_json_atomic(PAPER / "protocol-check.json", [result.to_json() for result in results])
    rewrite(DOCS / "paper.md", "fresh", "\n\n" + "\n\n".join(section(results)) + "\n\n")


if __name__ == "__main__":
    main()
