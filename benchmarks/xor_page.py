"""Writes docs/xor.md from docs/results/xor/*.json, which benchmarks/xor.py wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from morsescape.store.json_values import read_json

RESULTS, PAGE = Path("docs/results/xor"), Path("docs/xor.md")
COMPLETE = Path("docs/results/complete/xor-5.json")

HEAD = """# XOR networks, by two methods

*Written by `benchmarks/xor.py` from `docs/results/xor/`.*

Networks 2-h-1 with tanh and all biases on the four points (±1, ±1), targets ±1, mean squares and
λ‖θ‖²: 5 to 21 variables. Both methods look for the critical points of index 0 and 1, and for the
merge tree; what either finds, the other must find.

**The library.** `ms.find_critical_point` from random points; `ms.morse_graph` of the minima;
`ms.find_saddle` from each minimum and from as many random points. Each point is certified, each
side of each pass proved. Where the graph's tree is not the lowest, the sides of all other saddles
found are followed as well (`pass_over`).

**Newton's method.** f is written out in `benchmarks/xor_newton.py`, without morsescape. Newton's
method on ∇f starts at random points of the ball ‖θ‖² ≤ 1.05/λ, with directions and radii uniform:
half of the starts take whole steps ("plain"), half the multiple of the step with the least ‖∇f‖
("damped"). To these come the critical points of the network with a unit less, with a unit of zeros
more ("embedded": critical again), and with a unit doubled. Sides of saddles go down by an ODE
solver.

**Symmetries.** Units may be permuted and flipped; and XOR has the 8 isometries of the square, half
of which exchange the targets. All are isometries of θ; an orbit is one critical point with all its
copies under them. Whether two points are in one orbit is decided by an assignment of units for
each of the 8, without a search. An orbit has (8 · 2^h h!) / |stabiliser| points: permutations of
equal units and flips of zero units leave a point where it is. The library knows the permutations
and flips alone, so that copies under the square are points of their own to it.

**The audit.** f is coercive, so Σ(-1)^index over all critical points is 1 if they are all
nondegenerate and none is missing: over orbits, each with its size (`morsescape.morse.handles`). The
sum cannot be 1 by chance easily, as sizes go up to thousands; it proves nothing, as orbits whose
sums cancel may be missing.

## What was found

"orbits" are those of Newton's method by index, "sum" is Σ(-1)^index over all their points;
"certified" is how many `ms.certify` proves, with the index; "least" is the least |eigenvalue| of
all their Hessians. "unseen" is Good & Turing's estimate of
the share of starts that would end in an orbit not seen yet, the share of orbits seen once: an
estimate, of plain and damped starts together. "embedded" is how many orbits the random starts had
missed and a narrower network gave.

| h | λ | D | orbits 0 + 1 + … | sum | certified | least | starts | unseen | embedded |
|---|---|---|---|---|---|---|---|---|---|
"""

BOTH = """
## Compared

Orbits of index 0 and 1 that each method has; "only" are those that the other lacks. The trees are
compared at all pairs of the library's minima, up to permutations and flips: "agree" is how many are
first joined at one height, to 1e-9; "higher" at a pass that is not the lowest, "lower" never may be.
ε* is the height at which all minima are first joined; the library's is that of the graph alone.

| h | λ | minima: Newton, library | saddles: Newton, library | only library | pairs | agree | higher | lower | ε* Newton | ε* library |
|---|---|---|---|---|---|---|---|---|---|---|
"""  # noqa: E501


def counts(r: dict[str, Any]) -> list[int]:
    found = [0] * (max(o["index"] for o in r["orbits"]) + 1)
    for o in r["orbits"]:
        found[o["index"]] += 1
    return found


def first(r: dict[str, Any]) -> str:
    orbits, newton = r["orbits"], r["newton"]
    proved = sum(o["certified"] for o in orbits)
    random = sum(newton["starts"][kind] for kind in ("plain", "damped"))
    late = sum(not {"plain", "damped"} & set(o["hits"]) for o in orbits)
    return (
        f"| {r['h']} | {r['l2']} | {r['dim']} | {' + '.join(map(str, counts(r)))} | {r['euler']} | "
        f"{proved} of {len(orbits)} | {min(o['least'] for o in orbits):.1e} | {random:,} | "
        f"{newton['unseen both']:.1e} | {late} |"
    )


def second(r: dict[str, Any]) -> str:
    cells = []
    for index in (0, 1):
        rows = [o for o in r["orbits"] if o["index"] == index]
        cells.append(f"{len(rows)}, {sum(o['library'] > 0 for o in rows)}")
    ends = r["library"]["threshold"]
    own = f"[{ends[0]:.10f}, {ends[1]:.10f}]" if ends else "not joined by its graph"
    t = r["trees"][-1]
    lacking = t["higher"] + t["not joined"]
    return (
        f"| {r['h']} | {r['l2']} | {cells[0]} | {cells[1]} | {len(r['only library'])} | "
        f"{t['pairs']} | {t['agree']} | {lacking} | {t['lower']} | "
        f"{r['newton']['threshold']:.10f} | {own} |"
    )


def lacking(r: dict[str, Any]) -> list[str]:
    """What one of the methods did not find, in words."""
    name = f"h = {r['h']}, λ = {r['l2']}"
    lines = [
        f"- {name}: the library lacks a point of index {o['index']} at f = {o['value']:.8f}, with "
        f"{o['size']:,} copies; least eigenvalue {o['least']:.1e}; it ended "
        f"{sum(o['hits'].values())} of Newton's searches."
        for o in r["orbits"] if o["index"] <= 1 and not o["library"]
    ]  # fmt: skip
    lines += [
        f"- {name}: Newton's method lacks a point of index {i} at f = {v:.8f}."
        for v, i in r["only library"]
    ]
    if r["trees"][0]["agree"] < r["trees"][0]["pairs"]:
        t = r["trees"][0]
        lines.append(
            f"- {name}: the Morse graph alone has {t['higher']} of {t['pairs']} pairs joined at "
            f"higher passes, and {t['not joined']} not joined; the sides of all saddles were added."
        )
    lines += [f"- {name}: {lost}." for lost in r["newton"]["lost"]]
    if r["euler"] != 1:
        lines.append(f"- {name}: {r['audit']}.")
    return lines


def complete(results: list[dict[str, Any]]) -> str:
    """The network with one unit, of which all points are proved to be known."""
    proved = read_json(COMPLETE)
    (one,) = (r for r in results if (r["h"], r["l2"]) == (1, 0.03))
    sizes = [sum(o["size"] for o in one["orbits"] if o["index"] == k) for k in (0, 1)]
    same = "the same" if list(proved["counts"][:2]) == sizes else "NOT the same"
    return (
        "\n## Against the complete list\n\n"
        "Of 2-1-1 with λ = 0.03 `ms.all_critical_points` proves all points with f ≤ 1.05\n"
        f"([how](complete.md)): {proved['counts'][0]} of index 0, {proved['counts'][1]} of index 1 "
        f"and no others.\nThe orbits above have {sizes[0]} and {sizes[1]} points: {same}.\n"
    )


def write() -> None:
    files = sorted(RESULTS.glob("*.json"), key=lambda p: (-float(p.stem.split("-")[1]), p.stem))
    results = [read_json(file) for file in files]
    missing = [line for r in results for line in lacking(r)]
    page = HEAD + "\n".join(map(first, results)) + "\n" + BOTH + "\n".join(map(second, results))
    page += "\n\n## What one method lacks\n\n" + ("\n".join(missing) or "Nothing.") + "\n"
    PAGE.write_text(page + complete(results))
