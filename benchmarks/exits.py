"""Exits of the spurious minimum of 7 ReLU students against 7 teachers: writes docs/exits.md.

`python benchmarks/exits.py` searches and writes docs/results/exits/safran-shamir-7.json, then the
page, which has docs/results/exits/shares.json too; with `--page` the page alone. Everything is
seeded.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import morsescape as ms
from morsescape.critical.climb import lowest_modes, span
from morsescape.critical.curvature import metric_at
from morsescape.critical.evaluations import Counted
from morsescape.experiments.papers import spurious_minima as students
from morsescape.experiments.papers.spurious_minima import StudentsRow, starts, to_teachers, value_at
from morsescape.morse.flow import descent_in
from morsescape.morse.sides import height_below, shortened
from morsescape.rounding.floats import up
from morsescape.store import read_json, write_json_atomic

N = 7
STARTS, SEARCHES, SOFT = 300, 50, 21  # random starts; saddle searches; modes below 0.1
LEAST, MOST = 1e-5, 1e-1  # rise of the quadratic model at the start of a search, drawn by its log
NEAR = 0.05  # of a permutation of the teachers: there f <= (N/2) 0.05² < 0.009
OFF, TIME, RTOL = 0.02, 200.0, 1e-5
RESULT, PAGE = Path("docs/results/exits/safran-shamir-7.json"), Path("docs/exits.md")
SHARES = RESULT.with_name("shares.json")  # results.json of the command that the page names
LANDSCAPE = ms.zoo.safran_shamir(N, N)
F = LANDSCAPE.objective()


def distance_of_copies(theta: Tensor, minimum: Tensor) -> float:
    """From the spurious minimum, after the permutation of rows and columns that its form shows."""
    w = theta.view(N, N)
    row, column = divmod(int(w.argmin()), N)
    rows = [i for i in range(N) if i != row]
    columns = [int(w[i].argmax()) for i in rows]
    if len({*columns, column}) < N:
        return math.inf
    return float((w[[*rows, row]][:, [*columns, column]].reshape(-1) - minimum).norm())


def from_random_starts(minimum: ms.CriticalPoint) -> dict[str, Any]:
    """Where searches from Gaussian starts with variance 1/N end."""
    ends: Counter[str] = Counter()
    for seed in range(STARTS):
        found = ms.find_critical_point(F, starts(N, seed, seed + 1)[0])
        if to_teachers(found.theta, N)[1] < 1e-5:
            ends["teachers"] += 1
        elif distance_of_copies(found.theta, minimum.theta) < 1e-6 and found.certificate.proves(0):
            ends["spurious, proved"] += 1
        else:
            ends[f"other, f = {found.value:.6g}, {found.status.name}"] += 1
    return dict(ends)


def start_of(seed: int, minimum: Tensor) -> tuple[Tensor, float]:
    """A point off the minimum along a random combination of its soft modes."""
    generator = torch.Generator().manual_seed(seed)
    values, vectors = torch.linalg.eigh(F.hessian(minimum))
    mix = torch.randn(SOFT, generator=generator, dtype=torch.float64) / values[:SOFT].sqrt()
    share = float(torch.rand(1, generator=generator))
    rise = LEAST ** (1 - share) * MOST**share
    v = vectors[:, :SOFT] @ mix
    return minimum + v * math.sqrt(2 * rise / float(v @ F.hvp(minimum, v))), rise


def side(saddle: ms.CriticalPoint, way: Tensor, minimum: Tensor) -> dict[str, Any]:
    """Down one side: to which minimum, and the proved height of the way there."""
    problem, top = Counted(F), saddle.theta
    length = OFF * span(top)
    while F.value(top + length * way) >= saddle.value:
        length /= 2
    metric = metric_at(problem, top)
    assert metric is not None
    line = descent_in(problem, top + length * way, metric, time=TIME, rtol=RTOL)
    points = list(line.points.unbind())
    near = [k for k, p in enumerate(points) if to_teachers(p, N)[1] <= NEAR]
    if near:
        chain = torch.stack([top, *shortened(problem, points[: near[0] + 1])])
        height = height_below(F, chain, saddle.value)
        rest = up(N / 2 * up(up(to_teachers(chain[-1], N)[1]) ** 2))
        assert rest < saddle.value
        return {"to": "teachers", "height": [height.low, height.high], "f at the end": 0.0,
                "last piece, f at most": rest, "proved": height.estimate is None}  # fmt: skip
    end = ms.find_critical_point(F, line.end)
    chain = torch.stack([top, *shortened(problem, [*points, end.theta])])
    height = height_below(F, chain, saddle.value)
    own = distance_of_copies(end.theta, minimum) < 1e-6
    return {"to": "spurious" if own else "another minimum", "height": [height.low, height.high],
            "f at the end": end.value,
            "proved": height.estimate is None and end.certificate.proves(0)}  # fmt: skip


def exits(minimum: ms.CriticalPoint) -> list[dict[str, Any]]:
    """What the searches found, by value, lowest first."""
    found: dict[float, dict[str, Any]] = {}
    failed: Counter[str] = Counter()
    for seed in range(SEARCHES):
        start, rise = start_of(seed, minimum.theta)
        saddle = ms.find_saddle(F, start, seed=seed, max_steps=200)
        print(seed, f"{rise:.2g}", saddle.conclusion[:90], flush=True)
        if not saddle.certificate.proves(1):
            failed[saddle.status.name] += 1
            continue
        key = next((v for v in found if abs(v - saddle.value) < 1e-9), saddle.value)
        entry = found.setdefault(
            key,
            {
                "f": saddle.value,
                "found": 0,
                "seeds": [],
                "rises": [],
                "within": saddle.certificate.distance,
                "at": saddle,
            },
        )
        entry["found"] += 1
        entry["seeds"].append(seed)
        entry["rises"].append(rise)
    for entry in found.values():
        saddle = entry.pop("at")
        mode = lowest_modes(Counted(F), saddle.theta, 1)[1][:, 0]
        entry["sides"] = [side(saddle, way, minimum.theta) for way in (mode, -mode)]
        print(entry, flush=True)
    return [
        *sorted(found.values(), key=lambda e: e["f"]),
        *({"not proved": dict(failed)},) * bool(failed),
    ]


def measured() -> dict[str, Any]:
    start = torch.tensor(LANDSCAPE.critical[1][0], dtype=torch.float64)
    minimum = ms.find_critical_point(F, start)
    assert minimum.certificate.proves(0)
    teachers = torch.eye(N, dtype=torch.float64).reshape(-1)
    aside = teachers + 1e-9 * torch.randn(N * N, generator=torch.Generator().manual_seed(0),
                                          dtype=torch.float64)  # fmt: skip
    return {
        "n": N, "k": N, "torch": torch.__version__,
        "minimum": {"value": list(value_at(F, minimum)), "within": minimum.certificate.distance,
                    "least eigenvalue": minimum.certificate.min_abs_eigenvalue,
                    "matrix": minimum.theta.tolist()},
        "least eigenvalue at the teachers": float(torch.linalg.eigvalsh(F.hessian(aside))[0]),
        "starts": STARTS, "ends": from_random_starts(minimum),
        "searches": SEARCHES, "exits": exits(minimum),
    }  # fmt: skip


HEAD = """# Exits of a spurious minimum

*Written by `benchmarks/exits.py` from `docs/results/exits/safran-shamir-7.json`.*

`ms.zoo.safran_shamir(n, k)`: n ReLU students, the rows w_i of W, learn the sum of k ReLU teachers
e_1, …, e_k from Gaussian inputs. The population loss f = ½ E (Σ_i [w_i·x]₊ - Σ_j [x_j]₊)² is known
in closed form, a function of nk variables. Safran & Shamir (ICML 2018) prove that for n = k from 6
to 20 it has minima with f > 0. How high is the lowest pass out of one?

## The landscape

- f is as smooth as s - d t, of order t³ where two of the vectors are at an angle t near 0 or π to
  each other: C² but not C³ there. Where some w_i = 0 it is in general not differentiable.
- **The global minima**, f = 0, are the permutations of the teachers (n = k). There f = ½ E r² with
  r = 0, so Hess f = E ∇r ∇rᵀ. For a direction V (n×n), from E 1(x_i>0) x_a² = ½,
  E 1(x_i>0) 1(x_j>0) x_a² = ¼ and E [x_i]₊ [x_j]₊ = 1/2π, at the teachers

      ⟨V, H V⟩ = ¼ ‖V‖² + ¼ Σ_a (Σ_i V_ia)² + 1/2π [Σ_{i≠j} V_ij V_ji + (tr V)² - Σ_i V_ii²]
               ≥ (¼ - 1/2π) ‖V‖².

  Equality holds for antisymmetric V with zero column sums, which exist for n ≥ 3. So they are
  nondegenerate, with least eigenvalue ¼ - 1/2π = 0.0908… (computed beside one: COMPUTED). But
  the formula passes through √0 there, which has no derivative: `ms.certify` says "not twice
  differentiable nearby" and proves nothing.
- **A way down to f = 0 is proved all the same.** [·]₊ is 1-Lipschitz, so by Cauchy–Schwarz
  f ≤ ½ E (Σ_i |(w_i - e_i)·x|)² ≤ (n/2) ‖W - E‖², E the teachers in any order. The polygon is
  proved by intervals as far as a point at a distance ρ ≤ NEAR from E; on the straight piece from
  there to E, f is at most (n/2) ρ².
"""


def ceiling(x: float, decimals: int) -> str:
    """A decimal number that is not below x."""
    return f"{math.ceil(up(x * 10**decimals)) / 10**decimals:.{decimals}f}"


def row(entry: dict[str, Any], low: float) -> str:
    """One pass of the table; `low` is at most f at the minimum."""
    to = [s["to"] for s in entry["sides"]]
    top = max(s["height"][1] for s in entry["sides"])
    rise = ceiling(top - low, 8) if "spurious" in to else ""
    proved = "yes" if all(s["proved"] for s in entry["sides"]) else "no"
    cells = f"{entry['f']:.10f}", entry["found"], " and ".join(to), ceiling(top, 10), rise, proved
    return f"| {' | '.join(map(str, cells))} |"


def shares() -> str:
    """The tables of `morsescape reproduce --paper spurious-minima`, as kept."""
    rows = [StudentsRow.from_json(row) for row in read_json(SHARES)["rows"]]
    lines: list[str] = []
    for table in students.TABLE.tables(rows):
        told = table.told
        cells = [told.columns, ["---"] * len(told.columns), *told.rows]
        lines += [f"{told.caption}:", "", *(f"| {' | '.join(row)} |" for row in cells), ""]
        lines += [f"{told.note[0].upper()}{told.note[1:]}.", ""] if told.note else []
    return "\n".join([*lines, *(f"- {text}" for text in students.TABLE.sentences(rows))])


def page(r: dict[str, Any]) -> str:
    """The page."""
    low, high = r["minimum"]["value"]
    beside = f"{r['least eigenvalue at the teachers']:.5f}"
    ends = "\n".join(f"- {count} of {r['starts']}: {end}" for end, count in r["ends"].items())
    passes = [e for e in r["exits"] if "f" in e]
    lost = [str(e["not proved"]) for e in r["exits"] if "not proved" in e]
    widths = ",".join(str(row["width"]) for row in read_json(SHARES)["rows"])
    least = math.floor(r["minimum"]["least eigenvalue"] * 1e4) / 1e4
    return f"""{HEAD.replace("COMPUTED", beside).replace("NEAR", f"{NEAR:g}")}
## Measured: n = k = {r["n"]}

The spurious minimum: proved, index 0, within {ceiling(r["minimum"]["within"], 12)} of the computed
point. There f is in [{low!r}, {high!r}], so f > 0 is proved;
the least eigenvalue is at least {least:g}. Permutations of six students with their teachers leave
it as it is: five numbers.

`ms.find_critical_point` from {r["starts"]} starts with entries N(0, 1/{r["n"]}) ended at

{ends}

{r["searches"]} searches with `ms.find_saddle`, each from a point off the minimum along a random
combination of its {SOFT} softest modes, where the quadratic model has risen by
{LEAST:g} to {MOST:g}:

| f at the pass | found | its sides end at | height ≤ | above the minimum ≤ | proved |
|---|---|---|---|---|---|
{chr(10).join(row(e, low) for e in passes)}

Not certified as passes: {", ".join(lost) or "none"}.

*Proved* means the pass with index 1, the height on both sides, and that a side to the spurious
minimum ends at a strict minimum. That this is a copy of it, under permutations of students and of
teachers, is by comparing numbers, to 1e-6. A height bounds the lowest way out from above: lower
exits may have been missed.

## Measured: how often descent ends at a spurious minimum

`morsescape reproduce --paper spurious-minima --widths {widths}`: gradient descent from entries
N(0, 1/k) with the fixed step 5/k, as in the authors' code, every spurious end proved.

{shares()}
"""


if __name__ == "__main__":
    if "--page" not in sys.argv:
        RESULT.parent.mkdir(parents=True, exist_ok=True)
        write_json_atomic(RESULT, measured())
    PAGE.write_text(page(read_json(RESULT)))
