"""Barriers by width: 784-w-10 with ReLU on MNIST, after matching, beside the published ones.

    python benchmarks/widths.py --root DIR [--widths 4 8 ...] [--pairs 6] [--out docs/results/paths]

How a pair is measured, and what is published: src/morsescape/experiments/papers/barriers.py, as
`morsescape reproduce --paper barrier-by-width` does. Kept for docs/paths.md.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

from morsescape.experiments.papers.barriers import PUBLISHED, pair_run
from morsescape.store import read_json, write_json_atomic


def row(width: int, pairs: int, root: str | None) -> dict[str, Any]:
    found = [pair_run(width, pair, None, root, pair == 0)[0] for pair in range(pairs)]
    return {
        "width": width, "pairs": pairs, "unmatched": [p["unmatched"] for p in found],
        "matched": [p["matched"] for p in found],
        "proved": {name: found[0][name] for name in ("line", "bezier")},
        "seconds": sum(p["seconds"] for p in found),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", default=None)
    parser.add_argument("--widths", nargs="+", type=int, default=list(PUBLISHED))
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--out", type=Path, default=Path("docs/results/paths"))
    asked = parser.parse_args()
    file = asked.out / "widths.json"
    rows = read_json(file) if file.exists() else []
    for width in asked.widths:
        if width in [r["width"] for r in rows]:
            continue
        rows.append(row(width, asked.pairs, asked.root))
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json_atomic(file, rows)
        found = rows[-1]["matched"]
        print(width, statistics.mean(found), statistics.stdev(found), rows[-1], flush=True)


if __name__ == "__main__":
    main()
