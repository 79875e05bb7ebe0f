"""Two trainings, and how high every method's path between them is: docs/paths.md.

    python benchmarks/paths.py --root DIR [--data digits mnist fashion-mnist] [--pairs 3]
        [--proved N] [--out docs/results/paths/rows.json]

For each network (the paper's with ReLU; mlp2 and cnn with tanh, average pooling and λ = 1e-4), data
set and pair of seeds: the straight line with and without alignment, and the paths of the other
methods, aligned. Trained curves take 4,000 steps over mini-batches of all images; bands are
searched for on the first 2,000 (digits: all, from proved minima where f is smooth). Proved on all:
the height of f and of the test loss; the worst error is of 25 points or more. With --proved N the
height is that of the loss of the first N images (proofs of convolutions are dear), beside the
largest of those points on all. Rows are kept as they come, and what is there is not repeated.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import morsescape as ms
from morsescape.accuracy import accuracy
from morsescape.data import load
from morsescape.experiments.point import PointSettings, make_point
from morsescape.nets import build
from morsescape.paths.height import height_of, sample_times
from morsescape.store import read_json, write_json_atomic

ROWS = Path("docs/results/paths/rows.json")
NETS = {  # name: settings, whether to go on to proved minima on digits
    "mlp2": PointSettings("mlp2"), "mlp3": PointSettings("mlp3"), "cnn": PointSettings("cnn"),
    "mlp2 tanh": PointSettings("mlp2", activation="tanh", l2=1e-4),
    "cnn tanh": PointSettings("cnn", activation="tanh", pool="avg", l2=1e-4),
}  # fmt: skip
METHODS = (("line", False), ("line", True), ("bezier", True), ("chain", True), ("string", True),
           ("neb", True), ("fip", True))  # fmt: skip
SEARCHED = 2_000  # images on which curves are searched for
DIGITS_ONLY = ("neb", "fip")
LOOKS = 25
STEPS = 4_000  # of trained curves


def objective(point: PointSettings, samples: int | None, train: bool = True) -> ms.Objective:
    data = load(point.data, point.root, train=train, samples=samples)
    model = build(
        point.net, image_shape=data.image_shape, classes=data.classes,
        activation=point.activation, pool=point.pool,
    ).eval()  # fmt: skip
    return ms.Objective(model, "cross_entropy", (data.x, data.y), l2=point.l2 or 0.0)


def solution(point: PointSettings, seed: int, smooth: bool, keep: Path) -> torch.Tensor:
    """Trained, and on digits gone on to a proved minimum if f is smooth; kept."""
    file = keep / f"{point.net}-{point.activation}-{point.data}-{seed}.pt"
    if file.exists():
        return torch.load(file, weights_only=True)
    made = make_point(point, seed)
    theta = made.theta
    if smooth and point.data == "digits":
        theta = ms.find_critical_point(made.f, theta, seed=seed).theta
    keep.mkdir(parents=True, exist_ok=True)
    torch.save(theta, file)
    return theta


def rows_of(
    name: str,
    point: PointSettings,
    pair: int,
    done: set[tuple[Any, ...]],
    keep: Path,
    proved: int | None = None,
) -> Iterator[dict[str, Any]]:
    """One row for each method that has none yet."""
    left = [m for m in METHODS if (point.data, name, pair, *m) not in done
            and (point.data == "digits" or m[0] not in DIGITS_ONLY)]  # fmt: skip
    if not left:
        return
    smooth = point.activation != "relu"
    a, b = (solution(point, seed, smooth, keep) for seed in (2 * pair, 2 * pair + 1))
    whole = objective(point, None)
    few = whole if point.data == "digits" else objective(point, SEARCHED)
    over, test = objective(point, proved) if proved else whole, None
    if point.data != "digits":
        test = objective(point, proved, train=False).at_l2(0.0)
    for method, aligned in left:
        start = time.perf_counter()
        options: dict[str, Any] = {}
        trained = method in ("bezier", "chain")
        if trained:
            options = {"max_steps": STEPS}
        elif method == "string" and few.dim > 1_500:
            # A climbing image takes dozens of Hessians, of minutes each for 7,960 parameters.
            options = {"climb": False}
        path = ms.connect(
            whole if trained else few,
            a,
            b,
            method=method,
            align=aligned,
            prove=False,
            seed=pair,
            **options,
        )
        found = time.perf_counter()
        height = height_of(over, path.curve)
        proof = time.perf_counter() - found
        thetas = [path(t) for t in sample_times(path.curve, LOOKS)]
        shares = [accuracy(whole, theta) or 0.0 for theta in thetas]
        other = None if test is None else height_of(test, path.curve, tol=0.05)
        yield {
            "data": point.data, "net": name, "pair": pair, "method": method, "aligned": aligned,
            "searched": (whole if trained else few).source.samples, "samples": over.source.samples,
            "largest": max(map(whole.value, thetas)) if proved else None,
            "ends": [height.ends[0][0], height.ends[1][0]], "low": height.low,
            "high": height.high, "barrier": list(height.barrier), "estimate": height.estimate,
            "pieces": len(path.pieces), "length": path.length, "evaluations": height.evaluations,
            "kinked": height.kinked, "reached": height.reached,
            "worst_error": 1 - min(shares), "end_errors": [1 - shares[0], 1 - shares[-1]],
            "test_low": other and other.low, "test_high": other and other.high,
            "gradients": path.gradients, "search_seconds": found - start, "proof_seconds": proof,
            "note": path.note,
        }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", default=None)
    parser.add_argument("--data", nargs="+", default=["digits", "mnist", "fashion-mnist"])
    parser.add_argument("--net", nargs="+", choices=NETS, default=list(NETS))
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--proved", type=int, default=None)
    parser.add_argument("--out", type=Path, default=ROWS)
    parser.add_argument("--keep", type=Path, default=Path("build/paths"))
    asked = parser.parse_args()
    rows = read_json(asked.out) if asked.out.exists() else []
    for pair in range(asked.pairs):
        for data in asked.data:
            for name in asked.net:
                point = replace(NETS[name], data=data, root=asked.root)
                done = {(r["data"], r["net"], r["pair"], r["method"], r["aligned"]) for r in rows}
                for row in rows_of(name, point, pair, done, asked.keep, asked.proved):
                    rows.append(row)
                    asked.out.parent.mkdir(parents=True, exist_ok=True)
                    write_json_atomic(asked.out, rows)
                    shown = ("data", "net", "pair", "method", "aligned", "low", "high",
                             "search_seconds", "proof_seconds")  # fmt: skip
                    print({k: row[k] for k in shown}, flush=True)


if __name__ == "__main__":
    main()
