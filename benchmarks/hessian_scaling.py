"""The exact Hessian of the 2-MLP from 1,000 to 60,000 MNIST images: time, rate, memory.

    python benchmarks/hessian_scaling.py --root DIR

Per number of images, in a process of its own: seconds (best of a few), flops 55·N·785² over time as
a fraction of the rate of float64 matrix products measured in the same process, and the process's
peak memory above what it held before. A result that is in --out is not measured again.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from measure import arguments, clock, kept, mnist, peak_memory, product_rate, resident

from morsescape.hessian.dense import exact_hessian
from morsescape.model.network import Network
from morsescape.nets import build

SAMPLES = (1_000, 4_000, 16_000, 60_000)
WIDTH = 785


def one(samples: int, bounded: bool, root: str | None) -> dict[str, Any]:
    """Called in a fresh process, so that the peak belongs to this size."""
    data = mnist(root, samples)
    net = Network(build("mlp2"), "cross_entropy", (data.x, data.y), torch.float64)
    rate = product_rate()
    before = resident()
    repeats = max(2, min(5, 60_000 // samples))
    seconds = clock(lambda: exact_hessian(net, net.theta, bounded=bounded), repeats)
    peak = peak_memory() - before
    rate = max(rate, product_rate())
    return {
        "samples": samples, "bounded": bounded, "seconds": seconds, "product_rate": rate,
        "efficiency": 55.0 * samples * WIDTH**2 / min(seconds) / rate,
        "memory": peak, "matrix": 8 * net.dim**2,
    }  # fmt: skip


def measure(root: str | None) -> dict[str, Any]:
    rows = []
    for bounded in (False, True):
        for samples in SAMPLES:
            command = [sys.executable, __file__, "--one", str(samples), "--bounded", str(bounded)]
            command += [] if root is None else ["--root", root]
            out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            rows.append(json.loads(out.splitlines()[-1]))
            print(rows[-1], file=sys.stderr, flush=True)
    return {"rows": rows}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--one", type=int, help="measure this number of images, print JSON")
    parser.add_argument("--bounded", default="False")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.one, options.bounded == "True", options.root)))
    else:
        kept(Path(options.out) / "scaling.json", lambda: measure(options.root))


if __name__ == "__main__":
    main()
