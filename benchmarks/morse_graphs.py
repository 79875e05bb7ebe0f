"""Minima of one network joined by certified passes: the graph and the tree of docs/morse.md.

    python benchmarks/morse_graphs.py --net mlp2 --count 12 [--l2 1e-4] [--data digits]
        [--retries 10] [--most 200] [--out build/morse]

Trains from so many seeds (tanh; average pooling), goes on to minima that are proved, and joins them
(`ms.morse_graph`). Minima and searches are kept as they come: an interrupted run goes on. What is
quoted is written to docs/results/morse/NAME.json after every ten searches.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import morsescape as ms
from morsescape.accuracy import accuracy
from morsescape.experiments.point import PointSettings, make_point
from morsescape.store import write_json_atomic

RESULTS = Path("docs/results/morse")


def minima(point: PointSettings, count: int, out: Path) -> tuple[Any, list[ms.CriticalPoint]]:
    """The first so many seeds whose search ends at a proved minimum."""
    found, seed, f = [], 0, None
    while len(found) < count:
        folder = out / f"minimum-{seed}"
        if f is None or not folder.exists():
            made = make_point(point, seed)
            f = f or made.f
        if folder.exists():
            result = ms.CriticalPoint.load(folder)
        else:
            result = ms.find_critical_point(f, made.theta, seed=seed)
            result.save(folder)
            print(f"seed {seed}: {result}", flush=True)
        proof = result.certificate
        if proof.status is ms.CertificateStatus.PROVED and proof.index == (0, 0):
            found.append(result)
        seed += 1
    return f, found


def told(f: Any, graph: Any, asked: argparse.Namespace, seconds: float) -> dict[str, Any]:
    """What the docs quote."""
    tree = graph.merge_tree()
    heights = sorted(m.value for m in graph.minima)
    return {
        "net": asked.net, "data": asked.data, "l2": asked.l2, "variables": f.dim,
        "given": graph.given, "minima": heights, "attempts": graph.attempts,
        "accuracy": [accuracy(f, m.theta) for m in graph.minima],
        "values": [list(v) for v in graph.values], "threshold": graph.threshold,
        "passes": [
            {"ends": list(e), "height": list(o.height), "proved": o.proved,
             "index": o.saddle.index, "grad_norm": o.saddle.grad_norm,
             "lowest": o.saddle.certificate.min_abs_eigenvalue,
             "evaluations": str(o.saddle.evaluations), "seconds": o.saddle.seconds,
             "pieces": [len(s.chain) - 1 for s in o.sides],
             "note": "" if o.proved else "; ".join(s.height.estimate or "" for s in o.sides)}
            for e, o in zip(graph.ends, graph.passes, strict=True)
        ],
        "tree": str(tree), "seconds": seconds,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--net", default="mlp2")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--root", default=None)
    parser.add_argument("--samples", type=int, default=None)
    parser.add_argument("--l2", type=float, default=1e-4)
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--retries", type=int, default=10)
    parser.add_argument("--most", type=int, default=200)
    parser.add_argument("--minima-only", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("build/morse"))
    parser.add_argument("--results", type=Path, default=RESULTS)
    asked = parser.parse_args()
    name = f"{asked.net}-{asked.data}-{asked.l2:g}-{asked.count}"
    out = asked.out / name
    point = PointSettings(
        asked.net, activation="tanh", l2=asked.l2, data=asked.data, root=asked.root,
        samples=asked.samples, **({"pool": "avg"} if asked.net == "cnn" else {}),
    )  # fmt: skip
    f, found = minima(point, asked.count, out)
    if asked.minima_only:
        return
    start, done = time.perf_counter(), 0
    while True:
        done = min(done + 10, asked.most)
        graph = ms.morse_graph(f, found, retries=asked.retries, most=done, out=out / "searches")
        asked.results.mkdir(parents=True, exist_ok=True)
        values = told(f, graph, asked, time.perf_counter() - start)
        write_json_atomic(asked.results / f"{name}.json", values)
        print(f"{values['seconds']:.0f} s: {graph}", flush=True)
        if graph.attempts < done or done == asked.most:
            return


if __name__ == "__main__":
    main()
