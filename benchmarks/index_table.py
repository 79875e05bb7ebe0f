"""The table and the picture of the README, from JSON files of `morsescape index --json`.

    python benchmarks/index_table.py docs/results/*.json

Rewrites what stands between `<!-- table -->` and `<!-- end of table -->` in README.md, and draws
docs/pictures/index.png.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from marked import rewrite

from morsescape.experiments import IndexResult, IndexSettings, PointSettings
from morsescape.experiments.published import published
from morsescape.figures import index_bars
from morsescape.report import index_rows, save_figure
from morsescape.store import read_json

ROOT = Path(__file__).parents[1]
HEAD = (
    "| network, data, point; seeds | published | naive float32 | naive float64 | **certified** "
    "| at most |\n|---|---|---|---|---|---|"
)
SHARED = ("n_params", "n_samples", "l2", "structural_upper_bound", "structural_reason")
NETS, DATA = ("cnn", "mlp2", "mlp3"), ("mnist", "fashion-mnist", "digits")


def result_of(values: dict[str, Any]) -> IndexResult:
    """What the command had before it wrote the JSON."""
    settings = dict(values["settings"])
    point = PointSettings(**settings.pop("point"))
    shared = {name: values[name] for name in (*SHARED, "not_smooth")}
    runs = tuple(run | shared for run in values["runs"])
    return IndexResult(IndexSettings(point=point, **settings), runs)


def label(result: IndexResult) -> str:
    """The setting and its seeds."""
    point = result.settings.point
    smooth = "" if point.activation == "relu" else f", {point.activation}"
    seeds = ", ".join(str(run["seed"]) for run in result.runs)
    return f"{point.net}, {point.data}, {point.at}{smooth}; {seeds}"


def row(result: IndexResult) -> str:
    """Published, naive (mean ± standard deviation) and, seed by seed, certified."""
    paper = published(result.settings.point)
    naive = [spread(result.spread("raw_negative", kind)) for kind in ("float32", "float64")]
    certified = "; ".join(interval(*run["negative"]) for run in result.runs)
    bound = result.runs[0]["structural_upper_bound"]
    shown = "–" if paper is None else str(paper)
    return f"| {label(result)} | {shown} | {naive[0]} | {naive[1]} | **{certified}** | {bound:,} |"


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


def write_table(results: Sequence[IndexResult]) -> None:
    rows = "\n".join(row(result) for result in results)
    rewrite(ROOT / "README.md", "table", f"\n{HEAD}\n{rows}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    results = sorted((result_of(read_json(f)) for f in parser.parse_args().files), key=order)
    write_table(results)
    papers = [result for result in results if published(result.settings.point) is not None]
    rows = [line for result in papers for line in index_rows(result)]
    save_figure(index_bars(rows), ROOT / "docs" / "pictures" / "index", ("png",))


if __name__ == "__main__":
    main()
