"""The table and the picture of docs/noise.md, from the paper's results and `index --json`.

    python benchmarks/index_table.py

Takes the tables of docs/results/paper/results.json, which `python -m paper.page` writes, the
networks that were counted again since (`one_number.py`), and the files of docs/results/*.json.
Rewrites what stands between `<!-- table -->` and
`<!-- end of table -->`, and `<!-- protocols -->` and `<!-- end of protocols -->`, in
docs/noise.md, and draws docs/pictures/index.png.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

from marked import rewrite
from matplotlib.figure import Figure
from one_number import rows

from morsescape.experiments import IndexResult
from morsescape.experiments.citation import published
from morsescape.experiments.index.figure import index_bars
from morsescape.experiments.index.words import index_rows
from morsescape.page import save_figure
from morsescape.store import read_json

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"
HEAD = (
    "| network, data, point | runs | published | naive float32 | naive float64 | **certified** "
    "| one number | at most |\n|---|---:|---|---|---|---|---|---:|"
)
NETS, DATA = ("cnn", "mlp2", "mlp3"), ("mnist", "fashion-mnist", "digits")


def label(result: IndexResult) -> str:
    """The setting."""
    point = result.settings.point
    smooth = "" if point.activation == "relu" else f", {point.activation}"
    return f"{point.net}, {point.data}, {point.at}{smooth}"


def row(result: IndexResult) -> str:
    """Published, naive (mean ± standard deviation) and what is certified over all runs."""
    paper = published(result.settings.point)
    naive = [spread(result.spread("raw_negative", kind)) for kind in ("float32", "float64")]
    counts = [run.negative for run in result.runs]
    shown = "–" if paper is None else str(paper)
    proved = sum(low == high for low, high in counts)
    cells = (
        label(result), len(counts), shown, *naive, f"**{certified(counts)}**",
        f"{proved} of {len(counts)}", f"{result.bound:,}",
    )  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |"


def certified(counts: Sequence[Sequence[int]]) -> str:
    """The interval that holds those of all runs; "to" where each of them is one number."""
    low, high = min(low for low, _ in counts), max(high for _, high in counts)
    if low == high or any(low != high for low, high in counts):
        return interval(low, high)
    return f"{low} to {high}"


def spread(value: tuple[float, float | None] | None) -> str:
    if value is None:
        return "–"
    return f"{value[0]:.0f}" if value[1] is None else f"{value[0]:.1f} ± {value[1]:.1f}"


def interval(low: int, high: int) -> str:
    return str(low) if low == high else f"[{low}, {high}]"


def order(result: IndexResult) -> tuple[Any, ...]:
    """The paper's networks first, in its order."""
    point = result.settings.point
    return point.activation != "relu", NETS.index(point.net), DATA.index(point.data), point.at


def counted_again(tables: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same, with the intervals of docs/results/rows: none is outside of what it replaces."""
    newer = {(r["net"], r["data"], r["at"], r["seed"]): r for r in rows() if r["same"]}
    for table in tables:
        for run in table["runs"]:
            row = newer.get((table["net"], table["data"], table["at"], run["seed"]), {})
            run.update((key, row[key]) for key in ("negative", "null", "positive") if row)
    return tables


def protocols() -> str:
    """What the study of protocols concluded, and how its choice fared on fresh networks."""
    study = read_json(RESULTS / "paper" / "protocols.json")
    tried = read_json(RESULTS / "paper" / "protocol-check.json")
    fresh = {row["name"]: row for way in tried for row in way["protocols"]}
    row = fresh[study["closest"]]
    return (
        f"{study['conclusion']} On networks that had no part in the choice it is off by a factor "
        f"of {row['factor']:.2f}, and within them in {row['within']} of {len(row['counts'])}."
    )


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    paper = read_json(RESULTS / "paper" / "results.json")
    files = [read_json(file) for file in sorted(RESULTS.glob("*.json"))]
    tables = (*counted_again(paper["tables"]), *files)
    results = sorted(map(IndexResult.from_json, tables), key=order)
    table = "\n".join(row(result) for result in results)
    rewrite(ROOT / "docs" / "noise.md", "table", f"\n{HEAD}\n{table}\n")
    rewrite(ROOT / "docs" / "noise.md", "protocols", f"\n{fill(protocols(), 108)}\n")
    known = [result for result in results if published(result.settings.point) is not None]
    bars = [line for result in known for line in index_rows(result)]
    figure = Figure(figsize=(8.0, 4.6), layout="constrained")  # low, for the first screen
    index_bars(bars, figure.subplots())
    save_figure(figure, ROOT / "docs" / "pictures" / "index", ("png",))


if __name__ == "__main__":
    main()
