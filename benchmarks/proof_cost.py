"""What the proof of a path of 20 pieces costs, in forward passes over all samples.

    python benchmarks/proof_cost.py --root DIR [--net mlp2] [--samples 60000] [--out docs/bench]

Two trainings, aligned; the quadratic Bézier curve between them, cut into 20 straight pieces.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import replace

from measure import arguments, clock, machine

import morsescape as ms
from morsescape.experiments.point import PointSettings, make_point
from morsescape.paths import bezier, height_of
from morsescape.store import write_json_atomic

PIECES = 20


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--net", default="mlp2")
    parser.add_argument("--activation", default="relu")
    parser.add_argument("--pool", default="max")
    parser.add_argument("--samples", type=int, default=60_000)
    parser.add_argument("--epochs", type=int, default=5)
    asked = parser.parse_args()
    point = PointSettings(
        asked.net, "mnist", samples=asked.samples, activation=asked.activation, pool=asked.pool,
        epochs=asked.epochs, root=asked.root,
    )  # fmt: skip
    first, second = (make_point(replace(point), seed) for seed in (0, 1))
    f, a = first.f, first.theta
    b = ms.align(f, a, second.theta).theta
    found = bezier(f, a, b, max_steps=1_000)
    curve = found.curve.resampled([k / PIECES for k in range(PIECES + 1)])
    forward = statistics.median(clock(lambda: f.value(a), 5))
    start = time.perf_counter()
    height = height_of(f, curve)
    seconds = time.perf_counter() - start
    result = {
        "net": asked.net, "activation": asked.activation, "samples": f.source.samples,
        "pieces": PIECES, "low": height.low, "high": height.high, "reached": height.reached,
        "kinked": height.kinked, "intervals": height.evaluations, "seconds": seconds,
        "forward": forward, "forwards_an_interval": seconds / height.evaluations / forward,
        "forwards_a_piece": seconds / PIECES / forward, "machine": machine(),
    }  # fmt: skip
    print(result)
    name = f"proof-{asked.net}-{asked.activation}-{asked.samples}.json"
    write_json_atomic(asked.out / name, result)


if __name__ == "__main__":
    main()
