"""The paper's networks once more: is the number of negative eigenvalues decided, seed by seed?

python benchmarks/one_number.py --root DIR [--nets mlp2 mlp3] [--runs 10] [--part 0/2]

Every network of the paper's tables is trained again as `reproduce` does, and its index counted.
Each is compared with the interval in docs/results/paper/results.json: the loss must be the same to
the last digits that training reproduces, and the new interval must lie within the old. Rows are
kept as they come in docs/results/rows; `--page` writes the table in docs/one_number.md.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from pathlib import Path
from typing import Any

from morsescape.experiments.point import PointSettings, load_data, make_point
from morsescape.spectrum.inertia import inertia_of
from morsescape.store.disk import write_bytes_atomic

HERE = Path(__file__).resolve().parent.parent
ROWS = HERE / "docs/results/rows"
OLD = HERE / "docs/results/paper/results.json"
PAGE = HERE / "docs/one_number.md"
BEGIN, END = "<!-- rows -->", "<!-- end of rows -->"


def old_runs() -> dict[tuple[str, str, str, int], dict[str, Any]]:
    """What was published, by network, data, point and seed."""
    tables = json.loads(OLD.read_text())["tables"]
    return {(t["net"], t["data"], t["at"], r["seed"]): r for t in tables for r in t["runs"]}


def measure(net: str, data: str, at: str, seed: int, root: str | None, dataset: Any) -> None:
    """One network, unless it is there."""
    path = ROWS / f"{net}-{data}-{at}-{seed}.json"
    if path.exists():
        return
    settings = PointSettings(net=net, data=data, at=at, root=root)
    start = time.perf_counter()
    point = make_point(settings, seed, dataset=dataset)
    trained = time.perf_counter()
    hessian = point.f.hessian_at(point.theta)
    hessian.enclose()
    assembled = time.perf_counter()
    found = inertia_of(hessian, method="ldl", spend=True)
    counted = time.perf_counter()
    row = {
        "net": net, "data": data, "at": at, "seed": seed, "loss": found.value,
        "negative": found.negative, "null": found.null, "positive": found.positive,
        "by_rows": found.by_rows, "null_explained": found.null_explained,
        "bound": found.structural_upper_bound, "status": found.status.name,
        "kinks": found.kinks, "radius": found.radius, "radius_parts": found.radius_parts,
        "seconds": {"train": trained - start, "hessian": assembled - trained,
                    "inertia": counted - assembled},
    }  # fmt: skip
    ROWS.mkdir(parents=True, exist_ok=True)
    write_bytes_atomic(path, (json.dumps(row, indent=1) + "\n").encode())
    print(net, data, at, seed, *found.negative, *found.null, f"{counted - start:.0f} s", flush=True)


def rows() -> list[dict[str, Any]]:
    """All that were measured, each beside the old interval, which must hold it."""
    before = old_runs()
    found = []
    for path in sorted(ROWS.glob("*.json")):
        row = json.loads(path.read_text())
        old = before[row["net"], row["data"], row["at"], row["seed"]]
        same = abs(row["loss"] - old["loss"]) <= 1e-9 * abs(old["loss"])
        low, high = row["negative"]
        inside = old["negative"][0] <= low <= high <= old["negative"][1]
        if same and not inside:
            raise SystemExit(f"{path.name}: {row['negative']} is outside {old['negative']}")
        found.append(row | {"old": old["negative"], "same": same})
    return found


def table(found: list[dict[str, Any]]) -> str:
    """One line for each setting."""
    lines = [
        "| network, data, point | networks | before: certified, one number | now: certified | "
        "one number | other networks | null, exact |",
        "|---|---:|---|---|---:|---:|---:|",
    ]

    def key(row: dict[str, Any]) -> tuple[str, str, str]:
        return row["net"], row["data"], row["at"]

    for (net, data, at), group in itertools.groupby(sorted(found, key=key), key):
        runs = list(group)
        decided = [r for r in runs if r["negative"][0] == r["negative"][1]]
        earlier = sum(r["old"][0] == r["old"][1] for r in runs)
        old, new = ([f(r[which]) for r in runs] for which, f in (("old", list), ("negative", list)))
        nulls = [sum(r["null_explained"].values()) for r in runs]
        lines.append(
            f"| {net}, {data}, {at} | {len(runs)} | {_hull(old)}, {earlier} of {len(runs)} | "
            f"{_hull(new)} | {len(decided)} of {len(runs)} | {sum(not r['same'] for r in runs)} | "
            f"{min(nulls)} to {max(nulls)} |"
        )
    return "\n".join(lines)


def _hull(intervals: list[list[int]]) -> str:
    low, high = min(a for a, _ in intervals), max(b for _, b in intervals)
    exact = all(a == b for a, b in intervals)
    return str(low) if low == high else f"{low} to {high}" if exact else f"[{low}, {high}]"


def sentence(found: list[dict[str, Any]]) -> str:
    """How many, in a line."""
    decided = sum(r["negative"][0] == r["negative"][1] for r in found)
    earlier = sum(r["old"][0] == r["old"][1] for r in found)
    wide = [r["negative"][1] - r["negative"][0] for r in found]
    open_ones = sorted({w for w in wide if w})
    rest = f"; the others are open by {', '.join(map(str, open_ones))}" if open_ones else ""
    return (
        f"Of {len(found)} networks measured so, {decided} are decided to one number, "
        f"{earlier} were before{rest}."
    )


def write_page() -> None:
    """The table and its sentence, between the marks."""
    found = rows()
    text = PAGE.read_text()
    head, rest = text.split(BEGIN)
    tail = rest.split(END)[1]
    body = f"{BEGIN}\n{sentence(found)}\n\n{table(found)}\n{END}"
    PAGE.write_text(head + body + tail)


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root")
    parser.add_argument("--nets", nargs="+", default=["mlp2", "mlp3"])
    parser.add_argument("--data", nargs="+", default=["mnist", "fashion-mnist"])
    parser.add_argument("--at", nargs="+", default=["trained", "random"])
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--part", default="0/1", help="k/n: every n-th network from the k-th on")
    parser.add_argument("--page", action="store_true")
    options = parser.parse_args()
    if options.page:
        write_page()
        return
    part, parts = map(int, options.part.split("/"))
    every = itertools.product(range(options.runs), options.at, options.nets, options.data)
    datasets: dict[str, Any] = {}
    for number, (seed, at, net, data) in enumerate(every):
        if number % parts == part:
            if data not in datasets:
                datasets[data] = load_data(PointSettings(net=net, data=data, root=options.root))
            measure(net, data, at, seed, options.root, datasets[data])


if __name__ == "__main__":
    main()
