"""The measured part of docs/critical.md, from what critical_points.py wrote.

    python benchmarks/critical_page.py [--folders build/critical build/critical-60000]

Rewrites what stands between `<!-- measured -->` and `<!-- end of measured -->`, and the sentence
between `<!-- critical -->` and `<!-- end of critical -->` in docs/noise.md, and keeps the
numbers in docs/results/critical/. Computes nothing.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from statistics import median
from textwrap import fill
from typing import Any

from marked import rewrite

from morsescape.page.readable import interval, rounded_down, rounded_up
from morsescape.store import read_json, write_json_atomic

DOCS = Path(__file__).parents[1] / "docs"
Row = dict[str, Any]


def groups(rows: list[Row]) -> Iterator[tuple[str, list[Row]]]:
    """The rows of each network and data set, by seed."""

    def name(row: Row) -> tuple[str, str, int]:
        return row["net"], row["data"], row["samples"]

    ordered = sorted(rows, key=lambda row: (*name(row), row["seed"]))
    for (net, data, samples), own in groupby(ordered, name):
        yield f"{net}, {data}, {samples:,} images", list(own)


def points(rows: list[Row]) -> Iterator[str]:
    """What was found, a sentence for each group, then every search."""
    for title, own in groups(rows):
        yield f"- {title}: {_found(own)}"
    yield ""
    yield (
        "| network | seed | f at stop | ‖∇f‖ at stop | negative at stop | f | ‖∇f‖ | index | min "
        "\\|λ\\| at least | proved within | accuracy | gradients / Hessians | seconds |"
    )
    yield "|---" + "|---:" * 12 + "|"
    for title, own in groups(rows):
        yield from (f"| {title} | " + " | ".join(_cells(row)) + " |" for row in own)


def _found(own: list[Row]) -> str:
    proved = sum(row["certificate"] == "proved" for row in own)
    negative = [row["negative_at_stop"] for row in own]
    low, high = min(n[0] for n in negative), max(n[1] for n in negative)
    indices = sorted({row["index"] for row in own if row["index"] is not None})
    return (
        f"{proved} of {len(own)} searches ended at a critical point that is proved, of index "
        f"{', '.join(map(str, indices)) or '?'}; certified negative eigenvalues where the "
        f"optimizer stopped: {low} to {high}; median {median(r['seconds'] for r in own):.0f} s."
    )


def _cells(row: Row) -> Iterator[str]:
    before, after = row["accuracies"]
    yield str(row["seed"])
    yield f"{row['value_at_stop']:.6f}"
    yield f"{row['grad_norm_at_stop']:.1e}"
    yield interval(row["negative_at_stop"])
    yield f"{row['value']:.6f}"
    yield f"{row['grad_norm']:.1e}"
    yield "?" if row["index"] is None else str(row["index"])
    yield rounded_down(row["min_abs_eigenvalue"])
    yield rounded_up(row["distance"]) if row["certificate"] == "proved" else row["certificate"]
    yield f"{before:.1%} → {after:.1%}"
    yield f"{row['gradients']} / {row['hessians']}"
    yield f"{row['seconds']:.0f}"


def escapes(rows: list[Row]) -> Iterator[str]:
    """Every escape: the counts along the way and whether f fell at each step."""
    steps, rises = sum(row["steps"] for row in rows), sum(row["rises"] for row in rows)
    yield (
        f"`escape` from the same points: {len(rows)} runs; f fell at {steps - rises:,} of "
        f"{steps:,} accepted steps. Certified counts along the way, f and how it ended:"
    )
    yield ""
    yield "| network | seed | negative | f at stop | f | steps | ended | seconds |"
    yield "|---|---:|---|---:|---:|---:|---|---:|"
    for row in sorted(rows, key=lambda r: (r["net"], r["data"], r["seed"])):
        counts = " → ".join(map(interval, row["negative"]))
        yield (
            f"| {row['net']}, {row['data']} | {row['seed']} | {counts} | "
            f"{row['value_at_stop']:.6f} | {row['value']:.6f} | {row['steps']} | "
            f"{row['status'].replace('_', ' ')} | {row['seconds']:.0f} |"
        )


def finding(rows: list[Row]) -> str:
    """The sentence of docs/noise.md."""
    proved = [row for row in rows if row["certificate"] == "proved"]
    zero, every = sum(row["index"] == 0 for row in proved), len(rows)
    negative = [row["negative_at_stop"] for row in proved]
    least, most = min(n[0] for n in negative), max(n[1] for n in negative)
    nets, data = (" and ".join(sorted({row[key] for row in rows})) for key in ("net", "data"))
    sizes = Counter(row["samples"] for row in rows)
    images = ", ".join(f"{count} on {n:,} images" for n, count in sorted(sizes.items()))
    return (
        "Where SGD and Adam stop the gradient is not zero, so these counts are no indices. "
        f"{every} smooth networks ({nets} on {data}; tanh, average pooling, λ = {rows[0]['l2']:g}; "
        f"{images}) were taken on by a search that descends and leaves saddles: {len(proved)} of "
        f"{every} ended where a critical point is proved, **{zero} of index 0**, after {least} to "
        f"{most} certified negative eigenvalues where the optimizer stopped. Index 0 is what the "
        "search looks for: such minima are reached, which does not say that saddles are rare "
        "([critical points](docs/critical.md))."
    )


def main() -> None:
    """Collect, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    usual = [Path("build/critical"), Path("build/critical-60000")]
    parser.add_argument("--folders", nargs="+", type=Path, default=usual)
    folders = parser.parse_args().folders
    found = {
        name: [row for folder in folders for row in _rows(folder / f"{name}.json")]
        for name in ("points", "escapes")
    }
    for name, rows in found.items():
        if rows:
            write_json_atomic(DOCS / "results" / "critical" / f"{name}.json", {"rows": rows})
    lines = [*points(found["points"]), ""]
    lines += [*escapes(found["escapes"]), ""] if found["escapes"] else []
    rewrite(DOCS / "critical.md", "measured", "\n" + "\n".join(lines))
    sentence = fill(finding(found["points"]), 110)
    rewrite(DOCS / "noise.md", "critical", f"\n{sentence}\n")


def _rows(file: Path) -> list[Row]:
    return read_json(file)["rows"] if file.exists() else []


if __name__ == "__main__":
    main()
