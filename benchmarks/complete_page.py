"""Writes docs/complete.md from docs/results/complete/*.json, which benchmarks/complete.py wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from complete import CASES
from morsescape.store.json_values import read_json

RESULTS, PAGE = Path("docs/results/complete"), Path("docs/complete.md")

HEAD = """# Complete lists of critical points

*Written by `benchmarks/complete_page.py` from `docs/results/complete/`.*

A search finds some critical points. For a function of few variables, or a network of few
parameters, all of them can be listed, with a proof that there are no others:

```python
import morsescape as ms
from morsescape.complete import all_critical_points

f = ms.zoo.himmelblau.objective()
found = all_critical_points(f, 200.0, box=6.0)  # those with f ≤ 200 in [-6, 6]²
print(found)  # 9 critical points in the box with f ≤ 200, proved to be all: 4 of index 0, …
print(found.points[0])  # where it is, how near, its index, an interval for f
print(found.complete, found.euler_characteristic, found.sealed)
print(found.merge_tree())  # every pass followed down on both sides
print(found.threshold)  # from which ε on one component holds all minima, from both sides
```

## The theorem

Let X = z + [-ρ, ρ] be a box, C any matrix, and

    K(X) = z - C ∇f(z) + (I - C Hess f(X)) (X - z),

with interval enclosures of ∇f(z) and of Hess f on X. Every critical point in X lies in K(X). If
K(X) lies in the interior of X, there is exactly one critical point in X, it lies in K(X), and every
matrix in Hess f(X) is regular (Krawczyk, Computing 4 (1969); Moore, SIAM J. Numer. Anal. 14 (1977);
Neumaier, *Interval Methods for Systems of Equations* (1990), chapter 5).

## How a list is made complete

The box is halved until each part is one of these.

1. **Empty.** Some component of ∇f, enclosed on the part, does not hold 0; or f > ε on all of it; or
   λ‖θ‖² > ε on all of it, where L ≥ 0; or the interval Newton method leaves nothing. With m the
   middle and S slopes, ∇f(x) - ∇f(m) ∈ S (x - m), all critical points satisfy
   0 ∈ ∇f(m) + S (x - m), and the same multiplied by a matrix; each equation is solved for each
   variable (Hansen & Sengupta, BIT 21 (1981)). Column j of S is that of Hess f where only
   the variables up to j are free: narrower than Hess f(X).
2. **Settled.** Newton's method leads to a point at which the theorem holds, on a box of its own
   of a size that rounding asks for; and ‖I - C Hess f(H)‖ < 1, in a weighted maximum norm, on the
   hull H of the part and that point's interval. Then every row-wise choice from Hess f(H) is
   regular, two critical points in H would be one, and the part holds no other than the known one.
   So a point on the face of two parts is counted once.
3. **Undecided.** Narrower than `width` in every variable, or left when `most` boxes were looked at.
   They are returned. Degenerate critical points end here always: no such proof exists for them.

∇f and Hess f are those of the recorded program of f, run on thousands of boxes at once in ball
arithmetic with all rounding counted ([how](proof.md)); products, powers and monotone functions of
wide balls are taken from their ends instead where that is narrower.

The index is that of the Hessian at the point: Gershgorin discs of Vᵀ Hess f V, V the approximate
eigenvectors, avoid 0. The value is f(z) - ½ (z - x)ᵀ Hess f (z - x), as ∇f(x) = 0.

**The box.** With f = L + λ‖θ‖², λ > 0 and L ≥ 0, f ≤ ε implies ‖θ‖² ≤ ε/λ, so a level is enough.
L ≥ 0 is known of mean squares and of cross-entropy, whose weights may not be negative; for anything
else a box is asked for.

**χ.** Where f > ε is proved on the boundary of the box (`sealed`), and ε is no critical value, the
part of M_ε in the box has Euler characteristic Σ(-1)^index (Milnor, *Morse Theory* (1963), §5), and
its components merge at the listed points of index 1 alone: the merge tree is exact, to the
intervals.

## What is not proved

- Nothing outside the box, and nothing in undecided boxes. `complete` is false if there are any:
  also where a point lies on the edge of the box, or at the level, to rounding.
- That M_ε has no components outside a given box.
- Functions with kinks (ReLU, |x|), branches, or operations without a rule are refused by name.
- The floating-point model and the rules of all operations are assumed, as
  [everywhere in this package](proof.md).

## Measured

Newton's method, the second opinion, starts at 10,000 random points of the same box; "all" says that
it found every point of the list, and "more" that it found others: {more}. Seconds
are those of one core beside other work.

"""

TREES = """
The ε* from which on all minima up to the level lie in one component of M_ε, from the merge tree of
the complete list: below its lower end they do not, since there is no other point of index 1.

"""


def row(r: dict[str, Any]) -> str:
    counts = " + ".join(str(n) for n in r["counts"])
    total, newton = sum(r["counts"]), r["newton"]
    same = "all" if newton["found"] == total else f"{newton['found']} of {total}"
    extra = f", {newton['others']} more" if newton["others"] else ""
    level = "" if r["level"] is None else f"{r['level']:g}"
    sealed = "yes" if r["sealed"] else ""
    sure = "yes" if r["complete"] else f"no: {r['undecided']:,} boxes undecided"
    return (
        f"| {r['what']} | {r['dim']} | {level} | {counts} | {sure} | {sealed} | {r['boxes']:,} | "
        f"{r['seconds']:.1f} | {same}{extra} |"
    )


def threshold(r: dict[str, Any]) -> str:
    low, high = r["threshold"]
    return f"- {r['what']}: ε* in [{low!r}, {high!r}]."


def main() -> None:
    files = [RESULTS / f"{name}.json" for name in CASES]
    results = [read_json(file) for file in files if file.exists()]
    rows = [row(r) for r in results]
    others = sum(r["newton"]["others"] for r in results if r["complete"])
    more = f"{others or 'none'} beside complete lists"
    head = (
        "| f | D | ε | by index 0 + 1 + … | complete | sealed | boxes | seconds | Newton |\n"
        "|---|---|---|---|---|---|---|---|---|\n"
    )
    trees = TREES + "\n".join(threshold(r) for r in results if r.get("threshold")) + "\n"
    PAGE.write_text(HEAD.replace("{more}", more) + head + "\n".join(rows) + "\n" + trees)


if __name__ == "__main__":
    main()
