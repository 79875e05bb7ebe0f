"""From where the optimizer stopped to a certified critical point, over seeds.

    python benchmarks/critical_points.py --root DIR [--out build/critical] [--escape]
        [--data mnist fashion-mnist] [--net cnn mlp2] [--seeds 10] [--samples 10000] [--l2 1e-4]

For each data set, network (tanh; average pooling) and seed what `morsescape polish` does; with
--escape also `escape` from the same point, whose f must fall at every accepted step. Each has a
folder of its own in --out; an interrupted search goes on. The numbers are in OUT/points.json and
OUT/escapes.json, and what has a row there is not repeated (docs/results/critical/ has those of
docs/critical.md, which critical_page.py writes from them). On Linux the convolutions need much
memory for a short time, which glibc returns to the system and asks for again: with
MALLOC_MMAP_THRESHOLD_=4294967296 and MALLOC_TRIM_THRESHOLD_=8589934592 they are four times as fast.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import torch

from morsescape.critical import Escape, escape
from morsescape.store import RunFolder, read_json, write_json_atomic
from morsescape.studies import PointSettings, PolishResult, PolishSettings, run_polish
from morsescape.studies.point import make_point


def row(result: PolishResult) -> dict[str, Any]:
    """What is kept of one search; gradients, products and Hessians are of its last sitting."""
    start, found, point = result.start, result.found, result.settings.point
    certificate, cost = found.certificate, found.evaluations
    return {
        "data": point.data, "net": point.net, "seed": result.settings.seed,
        "samples": point.samples, "l2": point.l2, "n_params": start.dim,
        "value_at_stop": start.value, "grad_norm_at_stop": start.grad_norm,
        "negative_at_stop": list(start.negative), "value": found.value,
        "grad_norm": found.grad_norm, "index": found.index,
        "min_abs_eigenvalue": certificate.min_abs_eigenvalue, "distance": certificate.distance,
        "certificate": certificate.status.name.lower(), "status": found.status.name.lower(),
        "gradients": cost.gradient, "products": cost.hvp, "hessians": cost.hessian,
        "accuracies": list(result.accuracies), "seconds": result.seconds,
    }  # fmt: skip


def escaped(settings: PolishSettings, folder: RunFolder, path: Path) -> Escape:
    """The escape from the point where the search started; taken from `path` if it is there."""
    if (path / "escape.json").exists():
        return Escape.load(path)
    start = folder.load("start")
    point = replace(settings.point, at="random") if start else settings.point
    made = make_point(point, settings.seed)
    way = escape(made.f, start.tensors["theta"] if start else made.theta, seed=settings.seed)
    way.save(path)
    return way


def escape_row(settings: PolishSettings, way: Escape) -> dict[str, Any]:
    """What is kept of one escape, after a look at every accepted step."""
    values = [step.value for step in way.trajectory]
    counted = [step.negative for step in way.trajectory if step.negative is not None]
    return {
        "data": settings.point.data, "net": settings.point.net, "seed": settings.seed,
        "negative": [list(interval) for interval in counted], "value_at_stop": values[0],
        "value": values[-1], "steps": len(values) - 1,
        "rises": sum(after >= before for before, after in pairwise(values)),
        "status": way.status.name.lower(), "grad_norm": way.trajectory[-1].grad_norm,
        "seconds": way.seconds,
    }  # fmt: skip


def shown(key: str) -> Callable[[str, int, int], None]:
    """Progress on stderr, every half minute."""
    last = 0.0

    def show(stage: str, done: int, total: int) -> None:
        nonlocal last
        if time.perf_counter() - last > 30:
            last = time.perf_counter()
            print(f"{key}: {stage} {done} of {total}", file=sys.stderr, flush=True)

    return show


def main() -> None:
    """Run what is missing and write the numbers."""
    args = _arguments()
    torch.set_num_threads(args.threads)
    points, escapes = args.out / "points.json", args.out / "escapes.json"
    for data, net, seed in _order(args):
        point = PointSettings(
            net, data, samples=args.samples, activation="tanh", pool="avg", l2=args.l2,
            root=args.root,
        )  # fmt: skip
        settings = PolishSettings(point, seed, tol=args.tol)
        key = f"{data}-{net}-{seed}"
        folder = RunFolder(args.out / key, settings.identity())
        if (data, net, seed) not in _rows(points):
            result = run_polish(settings, folder, shown(key))
            print(f"{key}: {result.found}", file=sys.stderr, flush=True)
            _add(points, row(result))
        if args.escape and (data, net, seed) not in _rows(escapes):
            way = escaped(settings, folder, args.out / f"{key}-escape")
            print(f"{key}: {way}", file=sys.stderr, flush=True)
            _add(escapes, escape_row(settings, way))


def _rows(file: Path) -> dict[tuple[str, str, int], dict[str, Any]]:
    """The finished rows by data set, network and seed."""
    rows = read_json(file)["rows"] if file.exists() else []
    return {(row["data"], row["net"], row["seed"]): row for row in rows}


def _add(file: Path, new: dict[str, Any]) -> None:
    """Read again first: another process may have added its own."""
    rows = [row for row in _rows(file).values() if _order_of(row) != _order_of(new)]
    write_json_atomic(file, {"rows": sorted([*rows, new], key=_order_of)})


def _order_of(row: dict[str, Any]) -> tuple[str, str, int]:
    return row["net"], row["data"], row["seed"]


def _order(args: argparse.Namespace) -> Iterator[tuple[str, str, int]]:
    """Data, net and seed: a few seeds of each first."""
    for seeds in (range(min(3, args.seeds)), range(3, args.seeds)):
        yield from product(args.data, args.net, seeds)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("build/critical"))
    parser.add_argument("--root")
    parser.add_argument("--data", nargs="+", default=["mnist", "fashion-mnist"])
    parser.add_argument("--net", nargs="+", default=["cnn", "mlp2"])
    parser.add_argument("--escape", action="store_true")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--l2", type=float, default=1e-4)
    parser.add_argument("--tol", type=float, default=1e-9)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    return parser.parse_args()


if __name__ == "__main__":
    main()
