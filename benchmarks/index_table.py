"""The table of the README, from the JSON files that `morsescape index --json` wrote.

    python benchmarks/index_table.py docs/results/*.json

Rewrites what stands between `<!-- table -->` and `<!-- end of table -->` in README.md.
"""

import argparse
import json
from pathlib import Path

from morsescape.experiments.point import PointSettings
from morsescape.experiments.published import published

START, END = "<!-- table -->", "<!-- end of table -->"
HEAD = (
    "| network, data, seeds | published | naive float32, float64 | **certified** | at most |\n"
    "|---|---|---|---|---|"
)


def row(result: dict) -> str:
    """One line: the published number and, seed by seed, the naive and the certified ones."""
    point = PointSettings(net=result["net"], data=result["data"], at=result["at"])
    paper = published(point)
    runs = result["runs"]
    naive = "; ".join(
        f"{r['raw_negative']['float32']}, {r['raw_negative']['float64']}" for r in runs
    )
    certified = "; ".join(interval(*r["negative"]) for r in runs)
    seeds = ", ".join(str(r["seed"]) for r in runs)
    name = f"{result['net']}, {result['data']}, {result['at']}; {seeds}"
    shown = "–" if paper is None else str(paper)
    return f"| {name} | {shown} | {naive} | **{certified}** | {result['structural_upper_bound']} |"


def interval(low: int, high: int) -> str:
    return str(low) if low == high else f"[{low}, {high}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    rows = [row(json.loads(file.read_text())) for file in parser.parse_args().files]
    readme = Path(__file__).parents[1] / "README.md"
    before, _, rest = readme.read_text().partition(START)
    after = rest.partition(END)[2] or rest
    readme.write_text(f"{before}{START}\n{HEAD}\n" + "\n".join(rows) + f"\n{END}{after}")


if __name__ == "__main__":
    main()
