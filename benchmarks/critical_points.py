"""From where the optimizer stopped to a certified critical point: a table over seeds.

    python benchmarks/critical_points.py --root DIR [--out build/critical] [--escape]
        [--data mnist fashion-mnist] [--net cnn mlp2] [--seeds 10] [--samples 10000] [--l2 1e-4]

For each data set, network (tanh; average pooling) and seed what `morsescape polish` does; with
--escape also `escape` from the same point, whose f must fall at every accepted step. Each has a
folder of its own in --out: what is finished is not repeated, an interrupted search goes on. The
tables of what is finished are OUT/table.md and OUT/escapes.md. On Linux the convolutions need much
memory for a short time, which glibc returns to the system and asks for again: with
MALLOC_MMAP_THRESHOLD_=4294967296 and MALLOC_TRIM_THRESHOLD_=8589934592 they are four times as fast.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path

import torch

from morsescape.critical import Escape, escape
from morsescape.experiments import PointSettings, PolishResult, PolishSettings, run_polish
from morsescape.experiments.point import make_point
from morsescape.store import RunFolder

COLUMNS = (
    "data", "net", "seed", "f at stop", "grad norm at stop", "negative at stop", "f", "grad norm",
    "index", "min abs eigenvalue", "certificate", "status", "gradients / products / Hessians",
    "seconds",
)  # fmt: skip


def row(result: PolishResult) -> tuple[str, ...]:
    """One line of the table; costs are those of the last sitting."""
    start, found, point = result.start, result.found, result.settings.point
    certificate, cost = found.certificate, found.evaluations
    return (
        point.data, point.net, str(result.settings.seed), f"{start.value:.6f}",
        f"{start.grad_norm:.1e}", str(list(start.negative)), f"{found.value:.6f}",
        f"{found.grad_norm:.1e}", "?" if found.index is None else str(found.index),
        f"{certificate.min_abs_eigenvalue:.1e}", certificate.status.name.lower(),
        found.status.name.lower(), f"{cost.gradient} / {cost.hvp} / {cost.hessian}",
        f"{result.seconds:.0f}",
    )  # fmt: skip


def table(rows: list[tuple[str, ...]], path: Path, columns: tuple[str, ...] = COLUMNS) -> None:
    """Write the rows as a markdown table."""
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(cells) + " |" for cells in rows]
    path.write_text("\n".join(lines) + "\n")


def escaped(settings: PolishSettings, folder: RunFolder, path: Path) -> Escape:
    """The escape from the point that `folder` keeps; taken from `path` if it is there."""
    if (path / "escape.json").exists():
        return Escape.load(path)
    start = folder.load("start")
    assert start is not None, "run_polish has kept it"
    f = make_point(replace(settings.point, at="random"), settings.seed).f
    way = escape(f, start.tensors["theta"], seed=settings.seed)
    way.save(path)
    return way


def escape_row(key: str, way: Escape) -> tuple[str, ...]:
    """One line of the second table, after a look at every accepted step."""
    values = [step.value for step in way.trajectory]
    falls = all(after < before for before, after in pairwise(values))
    counted = [step.negative for step in way.trajectory if step.negative is not None]
    return (
        key, " → ".join(str(list(x)) for x in counted), f"{values[0]:.6f}", f"{values[-1]:.6f}",
        str(len(values) - 1), "yes" if falls else "NO", way.status.name.lower(),
        f"{way.trajectory[-1].grad_norm:.1e}", f"{way.seconds:.0f}",
    )  # fmt: skip


ESCAPE_COLUMNS = (
    "run", "negative", "f at stop", "f", "steps", "f fell at each", "status", "grad norm",
    "seconds",
)  # fmt: skip


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
    """Run what is missing and write the table."""
    args = _arguments()
    torch.set_num_threads(args.threads)
    rows, ways = [], []
    for seeds in (range(min(3, args.seeds)), range(3, args.seeds)):  # a few of each first
        for data, net, seed in product(args.data, args.net, seeds):
            point = PointSettings(
                net, data, samples=args.samples, activation="tanh", pool="avg", l2=args.l2,
                root=args.root,
            )  # fmt: skip
            settings = PolishSettings(point, seed, tol=args.tol)
            key = f"{data}-{net}-{seed}"
            folder = RunFolder(args.out / key, settings.identity())
            result = run_polish(settings, folder, shown(key))
            print(f"{key}: {result.found}", file=sys.stderr, flush=True)
            rows.append(row(result))
            table(sorted(rows), args.out / "table.md")
            if args.escape:
                way = escaped(settings, folder, args.out / f"{key}-escape")
                print(f"{key}: {way}", file=sys.stderr, flush=True)
                ways.append(escape_row(key, way))
                table(sorted(ways), args.out / "escapes.md", ESCAPE_COLUMNS)


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
