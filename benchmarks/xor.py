"""XOR networks by two methods that share no code: what either finds, the other must find.

    python benchmarks/xor.py [--only 2-0.03 ...] [--page]

One file for each case in docs/results/xor; a case that is there is not measured again. Then
docs/xor.md is written from them; with --page that alone.
"""

from __future__ import annotations

import argparse
import math
import time
from itertools import combinations
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import torch
from torch import Tensor, nn
from xor_newton import (
    Orbit,
    Points,
    X,
    Y,
    copies,
    duplicated,
    embedded,
    minimax,
    place,
    unseen,
)
from xor_page import write

import morsescape as ms
from morsescape.morse import Join, MergeTree, handles
from morsescape.morse.sides import pass_over
from morsescape.store.json_values import read_json, write_json_atomic

RESULTS = Path("docs/results/xor")
LEVEL = 1.05  # of the ball in which random starts lie; all critical values found are lower
CASES = {f"{h}-{l2}": (h, l2) for l2 in (0.03, 0.01) for h in (1, 2, 3, 4, 5)}
NEWTON = {1: 6_000, 2: 20_000, 3: 30_000, 4: 40_000, 5: 40_000}  # half of them damped
SEARCHES = {1: 16, 2: 60, 3: 60, 4: 60, 5: 200}  # for minima, and as many for saddles
RETRIES = 5


class Net(nn.Module):
    """2-h-1 with tanh and biases."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(2, units), nn.Linear(units, 1)

    def forward(self, x: Tensor) -> Tensor:
        """One output for each input."""
        out: Tensor = self.outer(torch.tanh(self.inner(x)))
        return out


def objective(h: int, l2: float) -> ms.Objective:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = Net(h)
    return ms.Objective(net, "mse", (X.float(), Y.float()[:, None]), l2=l2)


# -- the library ----------------------------------------------------------------------------------


def starts(f: ms.Objective, n: int, seed: int) -> list[Tensor]:
    """Gaussian points of several sizes."""
    g = torch.Generator().manual_seed(seed)
    sizes = [(0.3, 0.7, 1.2, 2.0)[k % 4] for k in range(n)]
    return [size * torch.randn(f.dim, generator=g, dtype=torch.float64) for size in sizes]


def known(f: ms.Objective, points: list[ms.CriticalPoint], new: ms.CriticalPoint) -> bool:
    """Whether a copy of it is among them, by the symmetries that the library reads off f."""
    return any(
        abs(p.value - new.value) < 1e-8
        and ms.same_solution(f, p.theta, new.theta).distance < 1e-6  # not relative: θ = 0 is one
        for p in points
    )


def by_library(f: ms.Objective, searches: int, retries: int, seed: int = 0) -> dict[str, Any]:
    """Minima from random starts; saddles from a Morse graph, from minima and random points."""
    minima: list[ms.CriticalPoint] = []
    saddles: list[ms.CriticalPoint] = []
    hits: list[int] = []
    for start in starts(f, searches, seed):
        found = ms.find_critical_point(f, start)
        if found.certificate.proves(0):
            same = [k for k, p in enumerate(minima) if known(f, [p], found)]
            if same:
                hits[same[0]] += 1
            else:
                minima.append(found)
                hits.append(1)
    paths = ms.connected(f, minima) if len(minima) > 1 else None
    graph = ms.morse_graph(f, minima, paths=paths, retries=retries, seed=seed)
    candidates = list(graph.saddles)
    candidates += [ms.find_saddle(f, m, seed=seed) for m in graph.minima]
    candidates += [ms.find_saddle(f, s, seed=seed) for s in starts(f, searches, seed + 1)]
    for found in candidates:
        if found.certificate.proves(1) and not known(f, saddles, found):
            saddles.append(found)
    threshold = graph.merge_tree().threshold
    return {
        "minima": list(graph.minima), "saddles": saddles, "hits": hits, "graph": graph,
        "threshold": threshold, "passes": len(graph.passes),
        "proved passes": sum(p.proved for p in graph.passes),
    }  # fmt: skip


# -- both, compared -------------------------------------------------------------------------------


def by_newton(h: int, l2: float, starts: int, narrow: list[Orbit], seed: int = 0) -> Points:
    """The second method: random starts of two kinds, then what a network with a unit less gives."""
    points = Points(h, l2)
    points.search("plain", points.random(starts // 2, seed, LEVEL))
    points.search("damped", points.random(starts // 2, seed + 1, LEVEL))
    if narrow:
        points.search("embedded", [embedded(o.theta) for o in narrow])
        points.search("duplicated", [t for o in narrow for t in duplicated(o.theta)])
    return points


def compared(f: ms.Objective, points: Points, library: dict[str, Any]) -> dict[str, Any]:
    """Orbits of index 0 and 1: of the second method, and whether the library has each."""
    seen: dict[int, list[ms.CriticalPoint]] = {}
    extra = []
    for found in [*library["minima"], *library["saddles"]]:
        orbit = points.find(found.theta.numpy())
        if orbit is None:
            extra.append((found.value, list(found.index)))
        else:
            seen.setdefault(id(orbit), []).append(found)
    rows = []
    for orbit in sorted(points.orbits, key=lambda o: o.value):
        proof = ms.certify(f, torch.as_tensor(orbit.theta))
        rows.append({
            "value": orbit.value, "index": orbit.index, "least": orbit.least, "size": orbit.size,
            "classes": len(copies(orbit.theta)[1]), "hits": orbit.hits,
            "theta": orbit.theta.tolist(), "certified": proof.proves(orbit.index),
            "library": len(seen.get(id(orbit), [])),
        })  # fmt: skip
    return {"orbits": rows, "only library": extra}


def over_all(f: ms.Objective, library: dict[str, Any]) -> MergeTree:
    """The tree with the sides of every saddle, also of those that the graph does not have."""
    graph, minima = library["graph"], library["minima"]
    values = list(graph.values)
    joins = [
        Join(a, b, over.height, "saddle", over.proved)
        for (a, b), over in zip(graph.ends, graph.passes, strict=True)
    ]
    for saddle in library["saddles"]:
        if known(f, list(graph.saddles), saddle):
            continue
        over, ends = pass_over(f, saddle), []
        for side in over.sides:
            same = [k for k, m in enumerate(minima) if known(f, [m], side.minimum)]
            if not same:
                same = [len(minima)]
                minima.append(side.minimum)
                values.append((side.minimum.value, side.minimum.value))
            ends.append(same[0])
        if ends[0] != ends[1]:
            joins.append(Join(ends[0], ends[1], over.height, "saddle", over.proved))
    return MergeTree.of(values, joins)


def trees(tree: nx.Graph, minima: list[ms.CriticalPoint], known_tree: MergeTree) -> dict[str, Any]:
    """The height at which each two minima are first joined, by both methods."""
    nodes = [m for _, m in tree.nodes(data="theta")]
    places = [place(nodes, m.theta.numpy()) for m in minima]
    found: dict[str, Any] = {"pairs": 0, "agree": 0, "higher": 0, "lower": 0, "not joined": 0}
    widest = 0.0
    for (i, a), (j, b) in combinations(enumerate(places), 2):
        if a is None or b is None or a == b:
            continue
        other, join = minimax(tree, a, b), known_tree.pass_between(i, j)
        found["pairs"] += 1
        if join is None:
            found["not joined"] += 1
        elif join.height[0] > other + 1e-9:
            found["higher"] += 1
        elif join.height[0] < other - 1e-9:
            found["lower"] += 1
        else:
            found["agree"] += 1
            widest = max(widest, join.height[1] - other)
    return {**found, "widest": widest}


def audit(orbits: list[dict[str, Any]], dim: int) -> tuple[int, str]:
    """Σ(-1)^index over all copies, and what `handles` makes of the list."""
    listed = [((o["value"], o["value"]), o["index"]) for o in orbits]
    built = handles(listed, dim, copies=[o["size"] for o in orbits])
    return built.euler(math.inf)[0], built.audit()


def measure(h: int, l2: float, narrow: list[Orbit]) -> dict[str, Any]:
    f, start = objective(h, l2), time.process_time()
    points = by_newton(h, l2, NEWTON[h], narrow)
    tree, lost = points.tree()
    joined = len(tree) - tree.number_of_edges() == 1
    newton = {
        "starts": points.starts, "seconds": time.process_time() - start, "lost": lost,
        "threshold": max((d["weight"] for *_, d in tree.edges(data=True)), default=None)
        if joined else None,
        "unseen": {k: unseen(points.orbits, (k,)) for k in ("plain", "damped")},
        "unseen both": unseen(points.orbits, ("plain", "damped")),
    }  # fmt: skip
    print(h, l2, "Newton", len(points.orbits), newton, flush=True)
    start = time.process_time()
    library = by_library(f, SEARCHES[h], RETRIES)
    merged = [trees(tree, library["minima"], library["graph"].merge_tree())]
    if merged[0]["agree"] < merged[0]["pairs"]:
        merged.append(trees(tree, library["minima"], over_all(f, library)))
    seconds = time.process_time() - start
    result = compared(f, points, library)
    total, words = audit(result["orbits"], f.dim)
    return {
        "h": h, "l2": l2, "dim": f.dim, **result, "newton": newton,
        "euler": total, "audit": words, "trees": merged,
        "library": {
            "searches": SEARCHES[h], "seconds": seconds, "hits": library["hits"],
            "minima": len(library["minima"]), "saddles": len(library["saddles"]),
            "passes": library["passes"], "proved passes": library["proved passes"],
            "threshold": library["threshold"],
        },
    }  # fmt: skip


def orbits_of(result: dict[str, Any]) -> list[Orbit]:
    """The points of a narrower network, from its file."""
    return [
        Orbit(np.array(o["theta"]), o["value"], o["index"], np.zeros(0), o["size"], {})
        for o in result["orbits"]
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--page", action="store_true")
    options = parser.parse_args()
    for name in [] if options.page else options.only:
        (h, l2), path = CASES[name], RESULTS / f"{name}.json"
        if not path.exists():
            below = RESULTS / f"{h - 1}-{l2}.json"
            result = measure(h, l2, orbits_of(read_json(below)) if below.exists() else [])
            write_json_atomic(path, result)
            print(name, {k: v for k, v in result.items() if k != "orbits"}, flush=True)
    write()


if __name__ == "__main__":
    main()
