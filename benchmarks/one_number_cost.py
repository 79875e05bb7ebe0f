"""What a count costs beside another version of this package, in one paired run.

python benchmarks/one_number_cost.py SRC OTHER_SRC --root DIR [--rounds 2]

SRC and OTHER_SRC are folders that hold `morsescape/`. A network of the paper (mlp2, 60,000 images
of MNIST, seed 0) is made by both in turns, each in a process of its own; processor seconds of the
Hessian and of the count are printed, and the ratio of their sums.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys

ONE = """
import json, sys, time, torch
torch.set_num_threads(1)
from morsescape.experiments.point import PointSettings, make_point
from morsescape.spectrum.inertia import inertia_of
point = make_point(PointSettings(net="mlp2", data="mnist", root=sys.argv[1] or None), 0)
hessian = point.f.hessian_at(point.theta)
start = time.process_time(); hessian.enclose(); made = time.process_time()
found = inertia_of(hessian, method="ldl", spend=True); counted = time.process_time()
print(json.dumps([made - start, counted - made, found.negative]))
"""


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", nargs=2)
    parser.add_argument("--root", default="")
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    totals = dict.fromkeys(options.sources, 0.0)
    for _ in range(options.rounds):
        for source in options.sources:
            place = {**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "1"}
            command = [sys.executable, "-c", ONE, options.root]
            out = subprocess.run(command, env=place, check=True, capture_output=True, text=True)
            hessian, count, negative = json.loads(out.stdout)
            totals[source] += hessian + count
            print(
                f"{source}: Hessian {hessian:.1f} s, count {count:.1f} s, n- {negative}", flush=True
            )
    first, second = totals.values()
    print(f"ratio {second / first:.3f}")


if __name__ == "__main__":
    main()
