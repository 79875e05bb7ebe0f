"""Two shifted LDLᵀ beside `torch.linalg.eigvalsh` on Hessians of trained MLPs of MNIST.

    python benchmarks/sign_counts.py --root DIR [--hidden 10 20] [--samples 4000]

784-10-10 has D = 7,960 and 784-20-10 has D = 15,910. Timed: the count alone on the whole matrix,
the count after the exactly known null vectors are cut out (as `morsescape.inertia` does it), and
LAPACK's eigenvalues, which prove nothing. The eigenvalues outside the radius must agree with the
count. A result that is in --out is not measured again.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from measure import arguments, clock, kept, mnist, peak_memory
from torch import nn

import morsescape as ms
from morsescape.nets import train
from morsescape.spectrum.counts import count_by_ldl


def measure(hidden: int, samples: int, root: str | None) -> dict[str, Any]:
    data = mnist(root, samples)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, hidden), nn.ReLU(), nn.Linear(hidden, 10))
    train(model, data, seed=0)
    f = ms.Objective(model, "cross_entropy", (data.x, data.y))
    value = f.hessian_at(f.theta)
    hessian = value.enclose()
    part, _ = value.core()
    counts: dict[str, Any] = {}
    seconds = {
        "count, whole matrix": clock(
            lambda: counts.update(whole=count_by_ldl(hessian.matrix, hessian.radius))
        ),
        "count, null vectors cut out": clock(
            lambda: counts.update(part=count_by_ldl(part, hessian.radius))
        ),
        "eigvalsh": clock(lambda: counts.update(values=torch.linalg.eigvalsh(hessian.matrix))),
        "inertia, all of it": clock(lambda: counts.update(all=ms.inertia(value))),
    }
    for key in ("whole", "all"):
        below = int((counts["values"] < -2 * counts[key].radius).sum())
        low, high = counts[key].negative
        assert low >= below, (low, below)
        assert high <= int((counts["values"] < 2 * counts[key].radius).sum())
    return {
        "dim": f.dim, "reduced": len(part), "samples": samples, "seconds": seconds,
        "negative": {k: counts[k].negative for k in ("whole", "all")},
        "radius": {k: counts[k].radius for k in ("whole", "all")}, "memory": peak_memory(),
    }  # fmt: skip


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--hidden", type=int, nargs="+", default=[10, 20])
    parser.add_argument("--samples", type=int, default=4000)
    options = parser.parse_args()
    for hidden in options.hidden:
        file = options.out / f"signs-{hidden}.json"
        result = kept(file, lambda h=hidden: measure(h, options.samples, options.root))
        print(result["dim"], result["seconds"], file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
