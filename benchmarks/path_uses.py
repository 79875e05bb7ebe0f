"""What the points of paths are good for, on test images: docs/results/paths/uses.json.

    python benchmarks/path_uses.py --root DIR [--data mnist fashion-mnist]

`morsescape connect --methods line,bezier --uses --attack pgd --eps 0.1` for one pair of mlp2 (ReLU)
on each data set.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from morsescape.experiments.connect.study import ConnectSettings, run_connect
from morsescape.experiments.point import PointSettings
from morsescape.store import write_json_atomic

OUT = Path(__file__).parents[1] / "docs/results/paths/uses.json"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", default=None)
    parser.add_argument("--data", nargs="+", default=["mnist", "fashion-mnist"])
    parser.add_argument("--out", type=Path, default=OUT)
    asked = parser.parse_args()
    rows = []
    for data in asked.data:
        settings = ConnectSettings(
            PointSettings(data=data, root=asked.root), methods=("line", "bezier"), uses=True,
            attack="pgd", eps=0.1,
        )  # fmt: skip
        result = run_connect(settings)
        rows += [{"data": data} | used.to_json() for used in result.used]
        write_json_atomic(asked.out, rows)
        print(rows[-2:], flush=True)


if __name__ == "__main__":
    main()
