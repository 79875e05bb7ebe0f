"""A reproduction that is killed at random moments and resumed gives the same results.json.

    python benchmarks/killed.py [--kills 10] [--seed 0]

A small reproduction on `digits` runs once undisturbed. A second one, of the same settings, is
killed (SIGKILL, its workers with it) after a random time, and the same command is given again,
until it has been killed as often as asked; then it ends by itself. Both results.json must be equal
but for the times. The record goes to --out/killed.json.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from measure import arguments, kept

from morsescape.experiments.reproduce.study import ASKED
from morsescape.store import read_json

COMMAND = "from morsescape.app import main; main()"
OPTIONS = "reproduce --data digits --samples 300 --runs 3 --members 12 --workers 2".split()


def start(folder: Path) -> subprocess.Popen[bytes]:
    """The command in a session of its own, so that a kill reaches its workers."""
    words = [sys.executable, "-c", COMMAND, *OPTIONS, "--out", str(folder)]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(words, stdout=quiet, stderr=quiet, start_new_session=True)


def pieces(folder: Path) -> int:
    """How many finished pieces there are."""
    others = ("settings.json", "results.json", ASKED)
    return sum(1 for f in folder.rglob("*.json") if f.name not in others)


def timeless(value: Any) -> Any:
    """The value without its times."""
    if isinstance(value, dict):
        return {k: timeless(v) for k, v in value.items() if not k.startswith("seconds")}
    return [timeless(v) for v in value] if isinstance(value, list) else value


def measure(kills: int, seed: int) -> dict[str, Any]:
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        whole, broken = Path(name, "whole"), Path(name, "broken")
        begun = time.perf_counter()
        if start(whole).wait():
            raise SystemExit("the undisturbed run failed")
        alone = time.perf_counter() - begun
        begun = time.perf_counter()
        start(whole).wait()  # nothing is left to do: the time of starting and of the page
        idle = time.perf_counter() - begun
        done: list[dict[str, Any]] = []
        while len(done) < kills:
            process = start(broken)
            moment = draw.uniform(0.3 * idle, idle + (alone - idle) / kills)
            try:
                process.wait(moment)
                raise SystemExit(f"it ended within {moment:.1f} s, after {len(done)} kills")
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            done.append({"seconds": moment, "pieces": pieces(broken)})
            print(f"killed after {moment:.1f} s, {pieces(broken)} pieces", file=sys.stderr)
        if start(broken).wait():
            raise SystemExit("the resumed run failed")
        one, other = (timeless(read_json(f / "results.json")) for f in (whole, broken))
        assert one == other, "the results differ"
        return {"kills": done, "equal": one == other, "pieces": pieces(whole), "alone": alone}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    result = kept(options.out / "killed.json", lambda: measure(options.kills, options.seed))
    print(f"killed {len(result['kills'])} times: the same results.json", file=sys.stderr)


if __name__ == "__main__":
    main()
