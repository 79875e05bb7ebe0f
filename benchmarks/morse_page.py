"""Writes docs/morse.md and its picture from docs/results/morse/*.json.

Each is what `morsescape tree --json` wrote; its searches and seeds are on the page.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from morsescape.morse import Join, MergeTree
from morsescape.store import read_json

RESULTS, PAGE, PICTURES = Path("docs/results/morse"), Path("docs/morse.md"), Path("docs/pictures")

HEAD = """# Passes and the tree of sublevel sets

*Written by `benchmarks/morse_page.py` from `docs/results/morse/`.*

M_ε = {f ≤ ε}. As ε rises, a component is born at each minimum, and two components can only meet
at a critical point of index 1, a pass (Akhtiamov & Thomson (2022), section 3.1; Milnor, *Morse
Theory* (1963), theorem 3.2). So the passes say from which ε on solutions are connected.

```python
import torch, morsescape as ms

f = ms.zoo.himmelblau.objective()
minima = [ms.find_critical_point(f, start) for start in ms.zoo.himmelblau.starts(12, seed=0)]
graph = ms.morse_graph(f, minima)
print(graph)  # 4 minima, the passes between them, the ε from which on one component holds all
print(graph.merge_tree().components(50.0))
```

On the command line: `morsescape tree --net mlp2 --activation tanh --l2 1e-4 --runs 12 --out tree`.

## How a pass is found

Two minima are aligned by a symmetry of f. Points of the segment between them are labelled by the
minimum in which a descent ends; between two labels lies the boundary of a basin, the stable
manifold, generically, of a point of index 1 (Skufca, Yorke & Eckhardt 2006). The descent that
starts nearest to it lingers near that point. From there eigenvector-following goes up along the
lowest mode of the exact Hessian and down along all others (Cerjan & Miller 1981). Whether a step
is taken is judged by the error of the model's gradient, measured as a step, by ‖|H|⁻¹ e‖: errors
along stiff modes, which the next step corrects, would else keep steps along soft ones short.
Points of index 2 and more, which attract on planes of symmetry, are left along their second
negative direction.

## What is proved

- **The saddle**: a critical point lies within the stated distance, its index is exactly 1
  ([how](proof.md)). A count of negative eigenvalues decides nothing here.
- **Both sides**: a polygon from the saddle to a proved minimum, on which the highest f is
  enclosed ([how](heights.md)). It need not be the line of steepest descent: any polygon on which
  f ≤ ε joins its ends in M_ε. The line itself is `morsescape.morse.steepest_descent`, by SciPy's
  BDF: numerical, without proof.
- **The tree**: heights are bounds from above. A pass that was not found may be lower, never
  higher.

Not proved: that the minima at the ends of two passes are one. Copies are compared after
alignment, to 1e-6 of their size; the polygon is led on to the copy in the list, with its height.
With symmetries "joined" is said of orbits: some copy of one minimum to some copy of the other.

## Measured
"""


def section(name: str, r: dict[str, Any]) -> str:
    joins = [
        Join(*p["ends"], tuple(p["height"]), "saddle", p["proved"])
        for p in r["passes"] if p["ends"][0] != p["ends"][1]
    ]  # fmt: skip
    values = [tuple(m["value"]) for m in r["minima"]]
    tree = MergeTree.of(values, joins)
    shares = [m["accuracy"] for m in r["minima"]]
    known = None if None in shares else shares
    ax = tree.plot(colours=known, label="accuracy" if known else "")
    PICTURES.mkdir(parents=True, exist_ok=True)
    ax.figure.savefig(PICTURES / f"tree-{name}.svg")
    parts = (sum(k < r["given"] for k in part) for part in tree.components(math.inf))
    given = sorted((n for n in parts if n), reverse=True)
    heights = sorted(p["height"][1] for p in r["passes"])
    lowest = min(low for low, _ in values)
    certain = [p for p in r["passes"] if p["proved"]]
    widest = max(p["height"][1] - p["height"][0] for p in r["passes"])
    seconds = sorted(p["seconds"] for p in r["passes"])
    joined = (
        f"All given minima, up to symmetries of f, lie in one component of M_ε for every "
        f"ε ≥ {r['threshold'][1]:.10g}, proved."
        if r["threshold"]
        else "**They are not all joined by these passes**: the given minima lie in parts of "
        + ", ".join(map(str, given))
        + "."
    )
    return f"""
### {r["net"]} (tanh) on {r["data"]}, {r["n_params"]:,} parameters, λ = {r["l2"]:g}

![The disconnectivity graph: minima and passes](pictures/tree-{name}.svg)

- {r["given"]} minima given, {len(values)} with those at the feet of passes; f from
  {lowest:.8g} to {max(h for _, h in values):.8g}.
- {len(r["passes"])} passes in {r["attempts"]} searches, {len(certain)} of them proved with index 1
  and both sides; f from {heights[0]:.8g} to {heights[-1]:.8g}. The proved interval of a pass's
  height is at most {widest:.1e} wide. A search that ends at a pass takes
  {seconds[len(seconds) // 2]:.1f} s (median, on one core beside other work).
- {joined}
"""


def main() -> None:
    files = sorted(RESULTS.glob("*.json"))
    PAGE.write_text(HEAD + "".join(section(file.stem, read_json(file)) for file in files))


if __name__ == "__main__":
    main()
