"""Writes docs/saddles.md from the results that benchmarks/saddle_peers.py wrote."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import median
from typing import Any

from morsescape.store.json_values import read_json

METHODS = {
    "find_saddle": "`ms.find_saddle`",
    "dimer": "ASE, dimer",
    "sella": "Sella",
}
SAME_SADDLE = 1e-5
Z = 1.959963984540054  # of a normal distribution, 95 %


def wilson(good: int, count: int) -> tuple[float, float]:
    """A 95 % interval for a share (Wilson, J. Amer. Statist. Assoc. 22 (1927))."""
    if count == 0:
        return 0.0, 1.0
    p, n = good / count, count
    middle = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def distinct(runs: list[dict[str, Any]]) -> int:
    """End points that are farther than 10⁻⁵ apart."""
    kept: list[list[float]] = []
    for run in runs:
        if all(math.dist(run["theta"], other) > SAME_SADDLE for other in kept):
            kept.append(run["theta"])
    return len(kept)


def share(runs: list[dict[str, Any]]) -> str:
    good = sum(r["proved"] for r in runs)
    low, high = wilson(good, len(runs))
    return f"{good}/{len(runs)} | {100 * low:.0f}–{100 * high:.0f} %"


def row(what: str, dim: int | str, method: str, runs: list[dict[str, Any]]) -> str:
    good = [r for r in runs if r["proved"]]
    cost = f"{median(r['cost'] for r in good):.0f}" if good else "–"
    seconds = f"{1000 * median(r['seconds'] for r in good):.0f}" if good else "–"
    whole = sum(r["cost"] for r in runs) / len(good) if good else math.inf
    each = f"{whole:.0f}" if good else "–"
    return (
        f"| {what} | {dim} | {METHODS[method]} | {share(runs)} | {cost} | {each} | {seconds} | "
        f"{distinct(good)} |"
    )


INTRO = """# Saddles of index 1, beside other programs

*Written by `benchmarks/saddle_peers.py` from `docs/results/saddles/`.*

`ms.find_saddle` beside two programs of chemistry that look for saddles of index 1: the dimer method
of ASE (`ase.mep.dimer`) and Sella. All start at the same points; an end point counts if a critical
point of index exactly 1 is **proved** to be there.

## Settings

- Starts: by turns a minimum (of the list in turn) with N(0, {near}²) added to each variable, and a
  point drawn uniformly from the box [-b, b]^D of the landscape; for networks b = 2, and minima are
  those that ten searches down from the box find. The generator's seed is {seed}. The
  library was worked on with starts of other seeds, but for two things: that what fails is tried
  again with exact Hessians was added when one hidden unit (3 of 10) and the valley of two variables
  (3 of 10) had been seen with these, and floors of valleys are followed since the valleys of four
  and six variables had been (0 to 2 of 10).
- All stop at ‖∇f‖ ≤ {tol:g} (Euclidean, of all variables; the dimer, as in ASE, only where it
  sees negative curvature), and fail beyond {budget:,} gradient equivalents or {wall:g} s. A peer's
  search farther than {lost:g} from its start is given up, with what it had spent until then.
- Gradient equivalents: a gradient, with f, is 1, and so is f alone; a product with the Hessian 2; a
  dense Hessian D. The peers take products as differences of gradients, so for them all are
  gradients. "spent for each" is what all searches took, failed ones too, over the saddles proved.
- `ms.find_saddle`: tol {tol:g}, all else by default. It certifies what it finds; the certificate's
  own Hessian and time are left out here, and Newton's last steps are not. With them a search takes
  {proof} ms more (median).
- ASE {ase}: `MinModeAtoms` and `MinModeTranslate` with the default `DimerControl`; the first mode
  is random, seeded by the start's number. Sella {sella}: `order=1`, all else by default, without
  its projections of translations and rotations, which are no symmetries here.
- Variables as atoms: the coordinates of ⌈D/3⌉ atoms, in order; f is their energy, each evaluation
  is counted, and what ASE has kept is not evaluated again. Up to two coordinates are left over:
  f does not depend on them, and `FixCartesian` holds them at 0. Both programs then leave them out
  of steps, forces and modes (checked: the free space that Sella sees has D dimensions, and the
  dimer's mode and end have zeros there), so the index is that of f.
- The judge, not timed: Newton's steps from the end point while each halves ‖∇f‖, ten at most,
  must stay within {same:g}, and `ms.certify` must prove index 1 there. The same for all.
- One thread; torch {torch}; {processor}; other work ran on the machine, also
  other searches of this page, so times are rough.

## All landscapes

Starts near minima:

"""

MORE = """
## What falls short

- In a stiff curved valley with a soft double well along it, of 6 variables, `find_saddle` misses
  the bar of 95 %. The quadratic model holds for steps of about 0.01 there, and a climb of 80 steps
  ends before the saddle. What finds it is following the valley's floor, at 500 to 1,500 gradients;
  where the descent before that stops far from a minimum, it comes too late for the budget.
- A search of Sella that succeeds takes fewer gradients on nearly every landscape: about half of
  ours on functions, a third on networks, where `find_saddle` asks for a whole Hessian every few
  steps and Sella for a product or two. In time it is the other way round on most, since the Hessian
  of all variables costs far less than D gradients. Over all searches, the failed ones included, a
  saddle costs `find_saddle` less of both.
- Where climbing from the start leads out of the basin (one hidden unit, Müller–Brown, a linear
  network) `find_saddle` finds the saddle by later starts, at several times the usual price.

`needle`, whose ridge no start sees to rounding, and landscapes whose saddles are degenerate are
left out.

## Each landscape

Medians are over the searches that succeeded; "distinct" are end points more than 10⁻⁵ apart
(copies of a network under its symmetries are distinct).

"""

HEAD = (
    "| f | D | method | proved | 95 % | gradients | spent for each | ms | distinct |\n"
    "|---|---|---|---|---|---|---|---|---|\n"
)


def write_page(results: Path, page: Path, names: list[str], settings: dict[str, Any]) -> None:
    """From what was measured of the landscapes."""
    files = [results / f"{name}.json" for name in names]
    found = [read_json(file) for file in files if file.exists()]
    ours = [r for x in found for r in x["methods"].get("find_saddle", []) if r["proved"]]
    proof = f"{1000 * median(r['proof'][1] for r in ours):.0f}" if ours else "–"
    rows = [
        row(x["what"], x["dim"], method, x["methods"][method])
        for x in found
        for method in METHODS
        if method in x["methods"]
    ]
    page.write_text(
        INTRO.format(**settings, proof=proof)
        + total(found, 0)
        + "\nStarts in the box:\n\n"
        + total(found, 1)
        + MORE
        + HEAD
        + "\n".join(rows)
        + "\n"
    )


def total(results: list[dict[str, Any]], start: int) -> str:
    """Over all landscapes: the starts near minima (start 0), or those of the box (start 1)."""
    rows = []
    for method in METHODS:
        runs = [r for x in results for r in x["methods"].get(method, [])[start::2]]
        if not runs:
            continue
        good = [r for r in runs if r["proved"]]
        spent = sum(r["cost"] for r in runs) / max(len(good), 1)
        seconds = sum(r["seconds"] for r in runs) / max(len(good), 1)
        rows.append(f"| {METHODS[method]} | {share(runs)} | {spent:.0f} | {1000 * seconds:.0f} |")
    return (
        "| method | proved | 95 % | gradients for each | ms for each |\n|---|---|---|---|---|\n"
        + "\n".join(rows)
        + "\n"
    )
