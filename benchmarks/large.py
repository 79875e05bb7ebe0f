"""A 784-50-10 MLP on all of MNIST: 39,760 parameters, the certified inertia within 20 GiB.

    python benchmarks/large.py --root DIR [--hidden 50] [--samples 60000]

The matrix has 12.6 GB. It is assembled once; the null vectors that are known exactly are cut out
within it, and the LDLᵀ factor overwrites one triangle while the other keeps the matrix. Run once;
the record is kept.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import torch
from measure import arguments, kept, mnist, peak_memory, product_rate
from torch import nn

import morsescape as ms
from morsescape.nets import train


def measure(hidden: int, samples: int | None, root: str | None) -> dict[str, Any]:
    data = mnist(root, samples)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, hidden), nn.ReLU(), nn.Linear(hidden, 10))
    training = train(model, data, seed=0)
    f = ms.Objective(model, "cross_entropy", (data.x, data.y))
    plan = f.hessian_plan()
    print(plan, file=sys.stderr, flush=True)
    rate, start = product_rate(), time.perf_counter()
    stages: dict[str, float] = {}
    last = [0.0]

    def progress(stage: str, done: int, total: int) -> None:
        stages[stage] = now = time.perf_counter() - start
        if now - last[0] > 30:
            last[0] = now
            print(f"{now:7.0f} s {stage} {done:,} of {total:,}", file=sys.stderr, flush=True)

    result = ms.inertia(f, progress=progress)
    return {
        "dim": f.dim, "samples": len(data.y), "hidden": hidden, "accuracy": training.accuracy,
        "seconds": time.perf_counter() - start, "until": stages, "memory": peak_memory(),
        "product_rate": rate, "flops": plan.flops, "inertia": result.to_json(),
        "matrix": 8 * f.dim**2,
    }  # fmt: skip


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--hidden", type=int, default=50)
    parser.add_argument("--samples", type=int, default=None)
    options = parser.parse_args()
    result = kept(
        options.out / f"large-{options.hidden}.json",
        lambda: measure(options.hidden, options.samples, options.root),
    )
    print(f"{result['seconds']:.0f} s, {result['memory'] / 2**30:.2f} GiB", file=sys.stderr)


if __name__ == "__main__":
    main()
