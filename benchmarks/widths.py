"""Barriers by width: 784-w-10 with ReLU on MNIST, after matching, beside the published ones.

    python benchmarks/widths.py --root DIR [--widths 4 8 ...] [--pairs 6] [--out docs/results/paths]

Published: Sonthalia et al. (2024), starlight, results/out/mlp_mnist_depth_1_width_w.yaml: the rise
of
the training loss on the straight line above the mean of the ends, the largest of 11 points, 51
pairs; their training is not stated there, so ours is: Adam, rate 1e-3, mini-batches of 128, 5
epochs. For the first pair the straight line and a trained Bézier curve are proved.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import morsescape as ms
from morsescape.data import Dataset, load
from morsescape.paths import Curve, height_of
from morsescape.store import read_json, write_json_atomic

PUBLISHED = {4: (0.368, 0.319), 8: (0.261, 0.144), 16: (0.312, 0.114), 32: (0.193, 0.055),
             64: (0.049, 0.009), 128: (0.0146, 0.0016), 256: (0.0060, 0.0006)}  # fmt: skip
POINTS = 11
EPOCHS, RATE, BATCH = 5, 1e-3, 128


def network(width: int, seed: int) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(784, width), nn.ReLU(), nn.Linear(width, 10))


def trained(width: int, seed: int, data: Dataset) -> nn.Sequential:
    net, g = network(width, seed), torch.Generator().manual_seed(seed)
    optimizer, x = torch.optim.Adam(net.parameters(), lr=RATE), data.x.float()
    for _ in range(EPOCHS):
        for places in torch.randperm(len(x), generator=g).split(BATCH):
            loss = nn.functional.cross_entropy(net(x[places]), data.y[places])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return net


def rise(f: ms.Objective, a: Tensor, b: Tensor) -> float:
    """As published: over the mean of the ends' losses."""
    line = Curve.chain(torch.stack([a, b]))
    values = [f.value(line(k / (POINTS - 1))) for k in range(POINTS)]
    ends = [(1 - t) * values[0] + t * values[-1] for t in torch.linspace(0, 1, POINTS).tolist()]
    return max(v - e for v, e in zip(values, ends, strict=True))


def row(width: int, pairs: int, data: Dataset) -> dict[str, Any]:
    before, after, proofs, start = [], [], {}, time.perf_counter()
    for pair in range(pairs):
        nets = [trained(width, 2 * pair + k, data) for k in (0, 1)]
        first, second = (ms.Objective(n, "cross_entropy", (data.x, data.y)) for n in nets)
        f, a = first, first.theta
        b = ms.align(f, a, second.theta, seed=pair).theta
        before.append(rise(f, a, second.theta))
        after.append(rise(f, a, b))
        if pair == 0:
            line = height_of(f, Curve.chain(torch.stack([a, b])))
            best = ms.connect(f, a, b, method="bezier", align=False)
            proofs = {"line": list(line.barrier), "bezier": list(best.barrier)}
    return {
        "width": width, "pairs": pairs, "unmatched": before, "matched": after, "proved": proofs,
        "published": PUBLISHED[width], "seconds": time.perf_counter() - start,
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
    data, file = load("mnist", asked.root), asked.out / "widths.json"
    rows = read_json(file) if file.exists() else []
    for width in asked.widths:
        if width in [r["width"] for r in rows]:
            continue
        rows.append(row(width, asked.pairs, data))
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json_atomic(file, rows)
        found = rows[-1]["matched"]
        print(width, statistics.mean(found), statistics.stdev(found), rows[-1], flush=True)


if __name__ == "__main__":
    main()
