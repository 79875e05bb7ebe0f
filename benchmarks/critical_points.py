"""From where the optimizer stopped to a certified critical point: a table over seeds.

    python benchmarks/critical_points.py --root DIR [--out build/critical]
        [--data mnist fashion-mnist] [--net mlp2 cnn] [--seeds 10] [--samples 10000] [--l2 1e-4]

For each data set, network (tanh; average pooling) and seed what `morsescape polish` does. Each has
a folder of its own in --out: a finished one is not repeated, an interrupted search goes on. The
table of what is finished is OUT/table.md.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from morsescape.experiments import PointSettings, PolishResult, PolishSettings, run_polish
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


def table(rows: list[tuple[str, ...]], path: Path) -> None:
    """Write the rows as a markdown table."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(cells) + " |" for cells in rows]
    path.write_text("\n".join(lines) + "\n")


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
    rows = []
    for seed in range(args.seeds):
        for data in args.data:
            for net in args.net:
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
                table(rows, args.out / "table.md")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("build/critical"))
    parser.add_argument("--root")
    parser.add_argument("--data", nargs="+", default=["mnist", "fashion-mnist"])
    parser.add_argument("--net", nargs="+", default=["mlp2", "cnn"])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--l2", type=float, default=1e-4)
    parser.add_argument("--tol", type=float, default=1e-9)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    return parser.parse_args()


if __name__ == "__main__":
    main()
