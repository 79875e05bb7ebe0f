"""Index against loss: proved critical points of all indices of one network, and counts beside.

    python benchmarks/index_against_loss.py [--starts 8] [--limit 60] [--page]

mlp2 (tanh) on digits, λ = 1e-4, 760 parameters. Critical points are reached by `target="nearest"`
from large initialisations, from networks after few epochs, and from between minima, as they are
and aligned; by `ms.embed` from minima of narrower networks; and taken
from docs/results/morse, minima and passes. Beside them certified counts of negative eigenvalues
where nothing is critical, as the paper counts them: at initialisation, and where SGD stopped.
Writes docs/results/morse/index-against-loss.json, whose rows are not made again, the picture and
docs/indices.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from embedding import objective
from matplotlib.figure import Figure
from torch import Tensor

import morsescape as ms
from morsescape.experiments.point import PointSettings, make_point
from morsescape.figures.style import BLUE, GREY, VERMILLION, dress
from morsescape.morse import embed
from morsescape.store import read_json, write_json_atomic

L2, UNITS = 1e-4, 10
RESULT = Path("docs/results/morse/index-against-loss.json")
PASSES = Path("docs/results/morse/mlp2-digits-0.0001-12.json")
PAGE, PICTURE = Path("docs/indices.md"), Path("docs/pictures/index-against-loss.svg")
POINT = PointSettings("mlp2", "digits", activation="tanh", l2=L2)


def starts(f: ms.Objective, count: int) -> Iterator[tuple[str, Callable[[], Tensor]]]:
    """Where searches begin, by name."""
    minima: dict[int, Tensor] = {}

    def at(seed: int, **more: Any) -> Tensor:
        return make_point(PointSettings(**{**vars(POINT), **more}), seed).theta

    def minimum(seed: int) -> Tensor:
        if seed not in minima:
            minima[seed] = ms.find_critical_point(f, at(seed)).theta
        return minima[seed]

    def between(seed: int, t: float, *, close: bool) -> Tensor:
        a, b = minimum(seed), minimum(seed + 1)
        b = ms.align(f, a, b).theta if close else b
        return a + t * (b - a)

    for seed in range(count):
        yield f"random x2, seed {seed}", lambda k=seed: 2 * at(k, at="random")
        yield f"3 epochs, seed {seed}", lambda k=seed: at(k, epochs=3)
        for t in (0.25, 0.5, 0.75):
            where = f"minima {seed} and {seed + 1}, t = {t:g}"
            yield f"{where}, aligned", lambda k=seed, t=t: between(k, t, close=True)
        yield f"{where}, as they are", lambda k=seed: between(k, 0.75, close=False)


def reached(f: ms.Objective, name: str, theta: Tensor, limit: int) -> dict[str, Any]:
    """From there to the nearest critical point, proved or not."""
    found = ms.find_critical_point(f, theta, target="nearest", max_steps=limit)
    low, high = found.certificate.index
    return {
        "from": name, "f": found.value, "index": [low, high], "grad_norm": found.grad_norm,
        "proved": found.certificate.proves(low) and low == high, "verdict": found.verdict,
        "seconds": found.seconds,
    }  # fmt: skip


def embedded(f: ms.Objective, units: int) -> dict[str, Any]:
    """A minimum of the narrower network, the other units zero."""
    narrow = objective(units)
    found = embed(narrow, ms.find_critical_point(narrow).theta, f)
    proof = ms.certify(f, found.theta)
    return {
        "from": f"minimum of {units} units", "f": f.value(found.theta), "index": list(proof.index),
        "predicted": list(found.index), "grad_norm": proof.grad_norm,
        "proved": proof.proves(proof.index[0]) and proof.index[0] == proof.index[1],
        "verdict": proof.status.value,
    }  # fmt: skip


def counted(name: str, seed: int, **more: Any) -> dict[str, Any]:
    """A certified count where nothing is critical, and the naive one."""
    made = make_point(PointSettings(**{**vars(POINT), **more}), seed)
    found = ms.inertia(made.f, made.theta)
    return {"at": name, "f": made.f.value(made.theta), "negative": list(found.negative)}


def measure(count: int, limit: int) -> None:
    kept = read_json(RESULT) if RESULT.exists() else {"l2": L2, "points": [], "counts": []}
    f = make_point(PointSettings(**{**vars(POINT), "at": "random"}), 0).f
    there = {row["from"] for row in kept["points"]}
    for units in range(1, UNITS):
        if f"minimum of {units} units" not in there:
            _keep(kept, "points", embedded(f, units))
    for seed in range(count):
        for at in ("random", "trained"):
            name = f"{at}, seed {seed}"
            if name not in {row["at"] for row in kept["counts"]}:
                _keep(kept, "counts", counted(name, seed, at=at))
    for name, start in starts(f, count):
        if name not in there:
            _keep(kept, "points", reached(f, name, start(), limit))


def _keep(kept: dict[str, Any], part: str, row: dict[str, Any]) -> None:
    kept[part].append(row)
    write_json_atomic(RESULT, kept)
    print(row, flush=True)


def picture(r: dict[str, Any], graph: dict[str, Any]) -> None:
    figure = Figure(figsize=(5.6, 3.8), layout="constrained")
    ax = figure.subplots()
    sure = [row for row in r["points"] if row["proved"]]
    reached = [row for row in sure if not row["from"].startswith("minimum")]
    zero = [row for row in sure if row["from"].startswith("minimum")]
    passes = [p for p in graph["passes"] if p["proved"]]
    both = [(m["value"][1], 0) for m in graph["minima"]] + [(p["height"][1], 1) for p in passes]
    for points, colour, label in (
        ([(row["f"], row["index"][0]) for row in reached] + both, BLUE, "critical, proved"),
        ([(row["f"], row["index"][0]) for row in zero], VERMILLION, "with zero units, proved"),
        ([(row["f"], sum(row["negative"]) / 2) for row in r["counts"]], GREY,
         "not critical: certified count"),
    ):  # fmt: skip
        x, y = zip(*points, strict=True)
        ax.scatter(x, y, s=16, color=colour, label=label, alpha=0.8, linewidths=0)
    ax.set_xscale("log")
    ax.set_yscale("symlog", linthresh=1)
    ax.set_ylim(-0.4, 400)
    ax.set_yticks([0, 1, 10, 100], ["0", "1", "10", "100"])
    ax.legend(frameon=False, fontsize=8, loc="lower right")
    dress(ax, "f", "index")
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE)


def page() -> None:
    r, graph = read_json(RESULT), read_json(PASSES)
    picture(r, graph)
    sure = sorted((row for row in r["points"] if row["proved"]), key=lambda row: row["f"])
    rough = [row for row in r["points"] if not row["proved"]]
    rows = "\n".join(
        f"| {row['from']} | {row['f']:.6g} | {row['index'][0]} | {row['grad_norm']:.1e} |"
        for row in sure
    )
    counts = "\n".join(
        f"| {row['at']} | {row['f']:.6g} | {_interval(row['negative'])} |" for row in r["counts"]
    )
    low = min(m["value"][0] for m in graph["minima"])
    high = max(p["height"][1] for p in graph["passes"])
    nine = min(row["f"] for row in sure if row["index"][0] == 9)
    stopped = [row for row in r["counts"] if row["at"].startswith("trained")]
    stops = sorted(row["f"] for row in stopped)
    sgd = [count for row in stopped for count in row["negative"]]
    PAGE.write_text(f"""# Index against loss

*Written by `benchmarks/index_against_loss.py`.*

Does the index of a critical point grow with its loss (Dauphin et al. 2014; the paper's question
what determines the index)? mlp2 (tanh) on digits, λ = {L2:g}, 760 parameters: every point below
is critical with a proved index. Beside them, in grey, certified counts where nothing is critical,
which is what the paper counts: at initialisation and where SGD stopped.

![Index over f](pictures/{PICTURE.name})

{len(sure)} critical points with a proved index here; {len(graph["minima"])} minima and
{len(graph["passes"])} passes from [the Morse graph](morse.md); {len(rough)} searches ended at no
critical point within {r["limit"]} steps, or at one whose index is not proved. The sample is of
what these searches reach, not of all critical points.

"Minimum of k units": that of a network with k hidden units, the other 10 - k zero
([zero units](embedding.md)). Their indices are 9 (10 - k), predicted from the narrow network and
certified in the wide one: the index falls with the loss, one unit after the other, down to the
minima at which all units are in use. Nine singular values a unit exceed 2λ: as many as there are
classes less one. Minima and passes, index 0 and 1, lie at f from {low:.4f} to {high:.4f}, and the
lowest point of index 9 at {nine:.4f}. Where SGD stopped, at f from {stops[0]:.4f} to
{stops[-1]:.4f}, the certified counts of {min(sgd)} to {max(sgd)} are near the index that critical
points with zero units have at that f; at initialisation they are above it.

| reached from | f | index | computed gradient |
|---|---:|---:|---:|
{rows}

Not critical:

| where | f | negative eigenvalues, certified |
|---|---:|---:|
{counts}
""")


def _interval(pair: list[int]) -> str:
    return str(pair[0]) if pair[0] == pair[1] else f"[{pair[0]}, {pair[1]}]"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--starts", type=int, default=4)
    parser.add_argument("--limit", type=int, default=150)
    parser.add_argument("--page", action="store_true")
    asked = parser.parse_args()
    if not asked.page:
        measure(asked.starts, asked.limit)
        write_json_atomic(RESULT, read_json(RESULT) | {"limit": asked.limit})
    page()


if __name__ == "__main__":
    sys.exit(main())
