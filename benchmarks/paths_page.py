"""docs/paths.md: which method when, as measured, from docs/results/paths and docs/bench/bands.json.

python benchmarks/paths_page.py
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from morsescape.experiments.papers.barriers import PUBLISHED, PUBLISHED_PAIRS
from morsescape.page.readable import duration, rounded_down, rounded_up
from morsescape.store import read_json

DOCS = Path(__file__).parents[1] / "docs"
FOLDER = DOCS / "results" / "paths"
HEAD = """\
# Paths between solutions: which method when

Made by `benchmarks/paths_page.py` from `docs/results/paths` (`benchmarks/paths.py`,
`benchmarks/threshold.py`, `benchmarks/path_uses.py`) and `docs/bench/bands.json`
(`benchmarks/bands.py`). Every height is proved for the whole curve ([how](heights.md)), over all
samples unless the table says over how many; a range is over pairs of seeds.

- **`line`** costs nothing and says how far apart two solutions are. Align first: the barrier of
  aligned ends is several times lower.
- **`bezier`** is the cheap path: mini-batches, a few hundred gradients.
- **`chain`** is `bezier` with corners, whose proof needs fewer intervals.
- **`string`** and **`neb`** look for the pass itself, a saddle of index 1 among their images, in
  thousands of gradients and some dense Hessians; for smooth f of up to some thousand variables.
- **`fip`** keeps the outputs near those of the start; it is no search for a low f.
"""
USES = """\
`morsescape connect --uses --attack pgd --eps 0.1`, or `morsescape.paths.uses` and `robustness`;
here mlp2 (ReLU), two seeds, 10,000 test images (`benchmarks/path_uses.py`). Means are over 11
points of a path, of their weights (one network) or of their class probabilities (an ensemble). PGD
attacks each network by itself; no search for images is complete, so the true accuracy is lower or
equal. Nothing here is proved.
"""


def rows_table(rows: list[dict[str, Any]]) -> Iterator[str]:
    yield (
        "| data | network | path | pairs | f at the ends | max f, proved within | "
        "barrier at most | worst error | "
        "test loss at most | gradients | intervals | search | proof |"
    )
    yield "|---|---|---|---:|---|---|---|---|---|---:|---:|---:|---:|"
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        key = row["data"], row["net"], row["method"], row["aligned"]
        groups.setdefault(key, []).append(row)
    order = (
        ("digits", "mnist", "fashion-mnist"),
        ("line", "bezier", "chain", "string", "neb", "fip"),
    )
    names = sorted(groups, key=lambda k: (order[0].index(k[0]), k[1], k[3], order[1].index(k[2])))
    for data, net, method, aligned in names:
        group = groups[data, net, method, aligned]
        name = f"`{method}`" + ("" if aligned else ", not aligned")
        low, high = min(r["low"] for r in group), max(r["high"] for r in group)
        tests = [r["test_high"] for r in group if r["test_high"] is not None]
        sure = all(r["estimate"] is None for r in group)
        cells = (
            data, net, name, len(group),
            spread([e for r in group for e in r["ends"]], ".4g"),
            f"{rounded_down(low, 4)} to {rounded_up(high, 4)}{on_few(group)}" if sure
            else "estimate",
            rounded_up(max(r["barrier"][1] for r in group), 3),
            spread([r["worst_error"] for r in group], ".2%"),
            rounded_up(max(tests), 3) if tests else "–",
            spread([r["gradients"] for r in group], ",.0f"),
            spread([r["evaluations"] for r in group], ",.0f"),
            duration(sum(r["search_seconds"] for r in group) / len(group)),
            duration(sum(r["proof_seconds"] for r in group) / len(group)),
        )  # fmt: skip
        yield "| " + " | ".join(map(str, cells)) + " |"


def on_few(group: list[dict[str, Any]]) -> str:
    """Where not all samples were proved on: how many, and the largest of the looks at all."""
    looked = [r["largest"] for r in group if r.get("largest") is not None]
    if not looked:
        return ""
    return f" on {group[0]['samples']:,} images; {spread(looked, '.4g')} on all, an estimate"


def spread(values: list[float], form: str) -> str:
    low, high = format(min(values), form), format(max(values), form)
    return low if low == high else f"{low} to {high}"


def brackets() -> Iterator[str]:
    for file in sorted(FOLDER.glob("bracket-*.json")):
        b = read_json(file)
        edges = [e["height"] for e in b["edges"]]
        yield (
            f"- λ = {b['l2']:g}: {b['minima']} proved minima, f from {b['values'][0]:.6f} to "
            f"{b['values'][1]:.6f}. All, each up to a symmetry of f, lie in one component "
            f"of M_ε for every ε ≥ **{rounded_up(b['joined_at'], 6)}**, proved by "
            f"{len(edges)} paths and {sum(e['evaluations'] for e in edges):,} intervals; "
            "M_ε is disconnected at an ε ≥ "
            f"**{rounded_down(b['split_at'], 6)}**, proved, and first at one ≥ "
            f"{rounded_down(b['lowest_split_at'], 6)}. {duration(b['seconds'])} on one core."
        )


def widths(rows: list[dict[str, Any]]) -> Iterator[str]:
    yield (
        "784-w-10, ReLU, MNIST: rise of the training loss on the straight line above the ends' "
        "mean, the largest of 11 points, mean ± standard deviation over pairs "
        "(`benchmarks/widths.py`, or `morsescape reproduce --paper barrier-by-width`); published "
        f"by Sonthalia et al. (2024) over {PUBLISHED_PAIRS} pairs of another training. Proved, for "
        "the first pair: at most so much above the higher end, on all of the line, and on a "
        "trained Bézier curve.\n"
    )
    yield (
        "| w | pairs | not matched | matched | published, matched | line, proved at most | "
        "Bézier, proved at most |"
    )
    yield "|---:|---:|---|---|---|---:|---:|"
    for r in rows:
        mean, off = PUBLISHED[r["width"]]
        cells = (
            r["width"], r["pairs"], mean_and_spread(r["unmatched"]), mean_and_spread(r["matched"]),
            f"{mean:.3g} ± {off:.2g}", rounded_up(r["proved"]["line"][1], 3),
            rounded_up(r["proved"]["bezier"][1], 3),
        )  # fmt: skip
        yield "| " + " | ".join(map(str, cells)) + " |"


def mean_and_spread(values: list[float]) -> str:
    return f"{statistics.mean(values):.3g} ± {statistics.stdev(values):.2g}"


def proofs() -> Iterator[str]:
    for file in sorted((DOCS / "bench").glob("proof-*.json")):
        r = read_json(file)
        yield (
            f"- {r['net']} ({r['activation']}), {r['samples']:,} images, a path of {r['pieces']} "
            f"pieces: {r['seconds']:.0f} s on {r['machine']['threads']} cores, "
            f"{r['intervals']} intervals ({r['kinked']} with kinks), "
            f"{r['forwards_an_interval']:.1f} forward passes an interval, "
            f"{r['forwards_a_piece']:.0f} a piece; max f is between {rounded_down(r['low'], 5)} "
            f"and {rounded_up(r['high'], 5)}."
        )


def uses(rows: list[dict[str, Any]]) -> Iterator[str]:
    yield "| data | path | ends | mean of weights | mean of outputs | attacked: ends | lowest |"
    yield "|---|---|---|---:|---:|---|---:|"
    for r in rows:
        scores, left = r["means"]["test"], r["attacked"]["attacked"]
        first, last, *means = (
            f"{scores[name]['accuracy']:.2%}" for name in ("first", "last", "average", "ensemble")
        )
        attacked = f"{left[0]:.2%}, {left[-1]:.2%}", f"{min(left):.2%}"
        cells = r["data"], f"`{r['method']}`", f"{first}, {last}", *means, *attacked
        yield "| " + " | ".join(cells) + " |"


def bands(found: dict[str, Any]) -> Iterator[str]:
    if "rate" in found:
        yield (
            "“By hand”: values and gradients without autograd, in place, about the least that "
            f"this machine can do; a large product runs at {found['rate'] / 1e9:.0f} Gflop/s.\n"
        )
    yield "| 16 images | one by one | at once | by hand | ratio, second lowest and highest of 7 |"
    yield "|---|---:|---:|---:|---|"
    for r in found["speed"]:
        low, high = r["spread"]
        hand = r.get("by_hand")
        yield (
            f"| {r['name']} | {1e3 * r['alone']:.0f} ms | {1e3 * r['at_once']:.0f} ms | "
            f"{'–' if hand is None else f'{1e3 * hand:.0f} ms'} | "
            f"{r['ratio']:.1f} ({low:.1f} to {high:.1f}) |"
        )
    yield ""
    yield "| pair | ends | SGD over t | `bezier`, as many gradients | `bezier`, L-BFGS |"
    yield "|---:|---|---|---|---|"
    for p in found["pairs"]:
        cells = [f"{p['ends'][0]:.4f}, {p['ends'][1]:.4f}"]
        for k in ("sgd", "bezier", "converged"):
            cells.append(f"at most {rounded_up(p[k][1], 4)} ({p[k + '_gradients']:,})")
        yield f"| {p['seed']} | " + " | ".join(cells) + " |"


def main() -> None:
    rows = read_json(FOLDER / "rows.json")
    parts = [
        HEAD, "## Measured\n",
        "Seconds on one of two busy cores. Test loss: of L alone on the 10,000 test images, "
        "proved to 5 % of its barrier. Of the cnn's pair on digits the second training died "
        "(constant output), as several do.\n",
        "\n".join(rows_table(rows)), "",
        "## Many minima of one network: mlp2 (tanh) on digits\n", "\n".join(brackets()), "",
        "## Barriers by width\n", "\n".join(widths(read_json(FOLDER / "widths.json"))), "",
        "## What the points of a path are good for\n", USES,
        "\n".join(uses(read_json(FOLDER / "uses.json"))), "",
        "## What a proof costs\n", "\n".join(proofs()), "",
        "## A band at once, and a loop of SGD\n",
        "\n".join(bands(read_json(DOCS / "bench/bands.json"))),
        "",
    ]  # fmt: skip
    (DOCS / "paths.md").write_text("\n".join(parts))


if __name__ == "__main__":
    main()
