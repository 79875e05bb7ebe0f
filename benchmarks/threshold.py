"""Many proved minima of one network, and the ε between which M_ε becomes connected.

    python benchmarks/threshold.py --l2 1e-4 [--count 50] [--method string] [--out build/threshold]

Trains mlp2 (tanh) on digits from so many seeds, goes on to minima that are proved, aligns them, and
joins them by a tree of proved paths (`ms.connected`). Minima are kept as they are found, each in a
folder of its own, and so are the paths: an interrupted run goes on. The result is OUT/bracket.json.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import morsescape as ms
from morsescape.experiments.point import PointSettings, make_point
from morsescape.store import write_json_atomic


def minima(l2: float, count: int, out: Path) -> tuple[ms.Objective, list[ms.CriticalPoint]]:
    """The first so many seeds whose search ends at a proved minimum."""
    point = PointSettings(activation="tanh", l2=l2)
    f = make_point(PointSettings(activation="tanh", l2=l2, at="random"), 0).f
    found, seed = [], 0
    while len(found) < count:
        folder = out / f"minimum-{seed}"
        if folder.exists():
            result = ms.CriticalPoint.load(folder)
        else:
            start = time.perf_counter()
            theta = make_point(point, seed).theta
            result = ms.find_critical_point(f, theta, seed=seed)
            result.save(folder)
            seconds = time.perf_counter() - start
            print(f"seed {seed}: {result.value:.6f}, {result.status.name}, {seconds:.0f} s")
        if result.certificate.proves(0):
            found.append(result)
        seed += 1
    print(f"{count} proved minima from {seed} seeds")
    return f, found


def shortened(
    l2: float, found: list[ms.CriticalPoint], bracket: ms.Connected, seconds: float
) -> dict[str, Any]:
    """Without the bound of every interval."""
    values, whole = sorted(m.value for m in found), bracket.to_json()
    for edge in whole["edges"]:
        for name in ("bounds", "samples"):
            edge["height"].pop(name)
    ends = [values[0], values[-1]]
    return {"l2": l2, "minima": len(found), "values": ends, "seconds": seconds, **whole}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--l2", type=float, default=1e-4)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--method", default="string")
    parser.add_argument("--out", type=Path, default=Path("build/threshold"))
    parser.add_argument("--minima-only", action="store_true")
    parser.add_argument("--no-climb", action="store_true", help="of string and neb")
    asked = parser.parse_args()
    out = asked.out / f"{asked.l2:g}"
    f, found = minima(asked.l2, asked.count, out)
    if asked.minima_only:
        return
    start = time.perf_counter()
    options = {"climb": False} if asked.no_climb else {}
    bracket = ms.connected(
        f,
        found,
        method=asked.method,
        **options,
        progress=lambda what, k, n: print(what, k, n, flush=True),
    )
    seconds = time.perf_counter() - start
    print(bracket, f"{seconds:.0f} s")
    write_json_atomic(out / "bracket.json", shortened(asked.l2, found, bracket, seconds))


if __name__ == "__main__":
    main()
