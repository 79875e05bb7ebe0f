"""The ways in which the published numbers may have been counted, and the closest on fresh networks.

    python -m paper.protocols --data mnist fashion-mnist --root DIR
    python -m paper.protocols --fresh 3 --root DIR --out build/fresh

The first counts in every way on one network a setting, seed 0; what is finished in --out is not
done again, and the pieces of docs/results are there already. It rewrites what stands between
`<!-- protocols -->` and `<!-- end of protocols -->` in docs/paper.md, and
docs/results/paper/protocols.json.

A choice among some thirty ways fits by chance too, so the second takes the choice of protocols.json
to the seeds that follow: on every network the closest over all, its runner-up, and the closest with
one softmax (rows by double backward apart, which give the same counts slowly); and what is closest
for one network on that one. It rewrites what stands between `<!-- fresh -->` and
`<!-- end of fresh -->` in docs/paper.md, and docs/results/paper/protocol-check.json.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from morsescape.cli.bars import bars
from rich.console import Console

from benchmarks.marked import rewrite
from morsescape.experiments.sweep import scheduler_from
from morsescape.nets import NAMES as NETS
from morsescape.page.readable import spread
from morsescape.store import RunFolder, read_json, write_json_atomic
from paper.page import DOCS, RESULTS, markdown
from paper.protocols.kinds import PROTOCOLS, Protocol
from paper.protocols.study import ProtocolsResult, ProtocolsSettings, run_protocols
from paper.protocols.table import ProtocolCounts
from paper.protocols.words import protocols_section

STUDY = RESULTS / "protocols.json"


def run(settings: ProtocolsSettings, folder: Path, workers: int | None) -> ProtocolsResult:
    """Count, with a bar for who watches."""
    who = scheduler_from(None, workers)
    kept = RunFolder(folder, settings.identity())
    with bars(Console(stderr=True)) as progress:
        return run_protocols(settings, kept, progress, scheduler=who, notice=print)


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
            nets, tuple(asked["data"]), asked["seed"] + asked["runs"], options.fresh,
            root=options.root, protocols=protocols,
        )  # fmt: skip
        yield run(settings, options.out / name, options.workers)


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
    """Count, and write what came of it into the docs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", nargs="+", default=["mnist", "fashion-mnist"])
    parser.add_argument("--net", nargs="+", default=NETS)
    parser.add_argument("--root", help="folder of the data; else as for every command")
    parser.add_argument("--fresh", type=int, help="so many fresh networks a setting")
    parser.add_argument("--out", type=Path, default=RESULTS / "pieces" / "protocols")
    parser.add_argument("--workers", type=int, help="processes; one a core by default")
    options = parser.parse_args()
    if options.fresh:
        results = list(tried(read_json(STUDY), options))
        write_json_atomic(RESULTS / "protocol-check.json", [r.to_json() for r in results])
        mark, text = "fresh", section(results)
    else:
        settings = ProtocolsSettings(tuple(options.net), tuple(options.data), root=options.root)
        result = run(settings, options.out, options.workers)
        write_json_atomic(STUDY, result.to_json())
        mark, text = "protocols", markdown(protocols_section(result))
    rewrite(DOCS / "paper.md", mark, "\n\n" + "\n\n".join(text) + "\n\n")


if __name__ == "__main__":
    main()
