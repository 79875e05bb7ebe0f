"""Zero units in trained networks, and flips over them: writes its part of docs/embedding.md.

`python benchmarks/embedding.py` writes docs/results/embedding/mlp2-digits.json, then the page; with
`--page` the page alone. Everything is seeded.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from marked import rewrite
from torch import nn

import morsescape as ms
from morsescape.data import load
from morsescape.morse.embedding import embed, flip_path
from morsescape.page.readable import rounded_up
from morsescape.store import read_json, write_json_atomic

L2, WIDTHS, UNITS = 1e-4, (1, 2, 3, 4, 6, 8, 10, 12, 16), 10
RESULT, PAGE = Path("docs/results/embedding/mlp2-digits.json"), Path("docs/embedding.md")
MARK = "measured by benchmarks/embedding.py"


def objective(units: int) -> ms.Objective:
    """The network of docs/morse.md, of any width."""
    data = load("digits")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, units), nn.Tanh(), nn.Linear(units, 10))
    return ms.Objective(net, "cross_entropy", (data.x, data.y), l2=L2)


def widths() -> list[dict[str, Any]]:
    """A minimum at each width, and its zero unit."""
    rows = []
    for units in WIDTHS:
        narrow, wide = objective(units), objective(units + 1)
        minimum = ms.find_critical_point(narrow)
        found = embed(narrow, minimum.theta, wide)
        proof = ms.certify(wide, found.theta)
        rows.append({
            "units": units, "f": minimum.value, "index": list(found.index),
            "reason": found.reason, "certified": [proof.status.name, *proof.index],
            "singular values": found.singular_values.tolist(), "radius": found.radius,
        })  # fmt: skip
        print(rows[-1], flush=True)
    return rows


def flips() -> dict[str, Any]:
    """Every unit of one minimum flipped, through zero."""
    narrow, wide = objective(UNITS - 1), objective(UNITS)
    minimum = ms.find_critical_point(wide)
    rows = []
    for unit in range(UNITS):
        path = flip_path(narrow, wide, minimum, unit)
        zero = wide.value(path(0.5))
        proved = path.height.estimate is None
        rows.append({"height": [path.height.low, path.height.high], "f at zero": zero,
                     "proved": proved})  # fmt: skip
        print(rows[-1], flush=True)
    return {"f": minimum.value, "paths": rows}


def page(r: dict[str, Any]) -> str:
    """The part of the page."""
    lines = [
        "",
        f"mlp2 (tanh) on digits, h hidden units, cross-entropy, λ = {r['l2']:g}: one minimum at",
        "each width, and a zero unit added to it. *Certified*: the index by `ms.certify` in the",
        "wider network.",
        "",
        "| h | f | index with a zero unit | certified | s_1 / 2λ | smallest s_i > 2λ, / 2λ |",
        "|---|---|---|---|---|---|",
    ]
    for row in r["widths"]:
        ratios = [s / (2 * r["l2"]) for s in row["singular values"]]
        status, low, high = row["certified"]
        certified = f"{low}" if status == "PROVED" and low == high else status.lower()
        index = f"{row['index'][0]}" if row["index"][0] == row["index"][1] else str(row["index"])
        above = min((x for x in ratios if x > 1), default=None)
        last = "none" if above is None else f"{above:.4g}"
        cells = row["units"], f"{row['f']:.6f}", index, certified, f"{ratios[0]:.3g}", last
        lines.append(f"| {' | '.join(map(str, cells))} |")
    paths = sorted(r["flips"]["paths"], key=lambda p: p["height"][1])
    proved = sum(p["proved"] for p in paths)
    rises = [rounded_up(p["height"][1] - r["flips"]["f"], 3) for p in paths]
    on_top = sum(p["height"][1] <= p["f at zero"] * (1 + 1e-3) for p in paths)
    lines += [
        "",
        f"The {len(paths)} flips of the minimum with h = {len(paths)}, f = {r['flips']['f']:.6f}.",
        f"The height of `flip_path` is above it by at most {', '.join(rises[:5])},",
        f"{', '.join(rises[5:])} ({proved} heights proved).",
        f"In {on_top} of them the highest point is that with the unit zero, to a thousandth of f.",
        "At such a point of index above 1 the lowest pass between m and g m is lower still.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    if "--page" not in sys.argv:
        RESULT.parent.mkdir(parents=True, exist_ok=True)
        write_json_atomic(RESULT, {"l2": L2, "widths": widths(), "flips": flips()})
    rewrite(PAGE, MARK, page(read_json(RESULT)))
