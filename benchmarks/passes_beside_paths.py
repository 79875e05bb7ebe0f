"""The same pairs of minima: paths of every method beside the minimax pass of the Morse graph.

    python benchmarks/passes_beside_paths.py --out TREE [--pairs 3] [--net mlp2] [--l2 1e-4]

TREE is the folder of `morsescape tree --out TREE`, whose minima and searches are taken; --runs is
as it was there. Writes docs/results/morse/beside-NET-DATA-L2.json; what is in it is not found
again. A path that is lower than the pass says that a pass is missing: then it is searched for from
the tops of that path, and the row tells what came of it.
"""

from __future__ import annotations

import argparse
import shutil
import time
from pathlib import Path
from typing import Any

import morsescape as ms
from morsescape.experiments.point import PointSettings
from morsescape.experiments.tree.study import TreeSettings, minima_of
from morsescape.paths.connected import Edge
from morsescape.store import RunFolder, read_json, write_json_atomic

RESULTS = Path("docs/results/morse")
WAYS = (("line", False), ("line", True), ("bezier", True), ("string", True), ("fip", True))
_CLOSE = 1e-9  # of f: heights that differ by less are one


def row(
    f: ms.Objective, pair: tuple[ms.CriticalPoint, ms.CriticalPoint], method: str, align: bool
) -> tuple[dict[str, Any], ms.Path]:
    start = time.perf_counter()
    path = ms.connect(f, *pair, method=method, align=align)
    return {
        "method": method, "aligned": align, "height": [path.height.low, path.height.high],
        "estimate": path.height.estimate, "barrier": list(path.barrier),
        "gradients": path.gradients, "seconds": time.perf_counter() - start,
    }, path  # fmt: skip


def joined(paths: list[ms.Path], found: list[ms.CriticalPoint], k: int) -> ms.Connected:
    """Paths from the first minimum to number k, as `ms.morse_graph` takes them."""
    edges = tuple(Edge(0, k, path.height, path.gradients) for path in paths)
    return ms.Connected(len(found), edges, None, None, None, True, None, tuple(paths))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--net", default="mlp2")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--l2", type=float, default=1e-4)
    parser.add_argument("--runs", type=int, default=12)
    parser.add_argument("--pairs", type=int, default=3)
    asked = parser.parse_args()
    pool = {"pool": "avg"} if asked.net == "cnn" else {}
    point = PointSettings(asked.net, asked.data, activation="tanh", l2=asked.l2, **pool)
    settings = TreeSettings(point, runs=asked.runs)
    f, found, _ = minima_of(settings, RunFolder(asked.out, settings.identity()), None)
    searches = asked.out / "beside"  # a copy: what is added here is no part of the tree
    if not searches.exists():
        shutil.copytree(asked.out / "searches", searches)
    kept = len(list(searches.glob("attempt-*.json")))
    graph = ms.morse_graph(f, found, most=kept, out=searches)
    print(graph, flush=True)
    file = RESULTS / f"beside-{asked.net}-{asked.data}-{asked.l2:g}.json"
    rows: list[dict[str, Any]] = read_json(file)["rows"] if file.exists() else []
    tree = graph.merge_tree(paths=False)
    for k in range(1, 1 + asked.pairs):
        known = tree.pass_between(0, k)
        for method, align in WAYS:
            key = [0, k], method, align
            if any((r["pair"], r["method"], r["aligned"]) == key for r in rows):
                continue
            new, path = row(f, (found[0], found[k]), method, align)
            new |= {"pair": [0, k], "pass": None if known is None else list(known.height)}
            lower = known is None or path.height.high < known.height[0] - _CLOSE
            if lower and align and path.height.estimate is None:
                kept += len(path.tops())
                ways = joined([path], found, k)
                more = ms.morse_graph(f, found, paths=ways, most=kept, out=searches)
                after = more.merge_tree(paths=False).pass_between(0, k)
                new["then"] = None if after is None else list(after.height)
            rows.append(new)
            write_json_atomic(file, {"net": asked.net, "data": asked.data, "l2": asked.l2,
                                     "ends": [list(v) for v in graph.values[: len(found)]],
                                     "rows": rows})  # fmt: skip
            print(new, flush=True)


if __name__ == "__main__":
    main()
