"""Barcodes of sublevel sets, measured, and docs/homology.md with its pictures.

python benchmarks/homology_page.py
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

import morsescape as ms
from morsescape.complete import Barcode, sublevel_homology
from morsescape.data import load

PAGE, PICTURES = Path("docs/homology.md"), Path("docs/pictures")

HEAD = """# Homology of sublevel sets

*Written by `benchmarks/homology_page.py`.*

Which components, loops and hollows M_ε = {f ≤ ε} has in a box, for every ε, in up to four
variables, or on a plane through a network's parameters; and which of them are proved. It needs
GUDHI: `pip install 'morsescape[homology]'`.

```python
import torch
import morsescape as ms
from morsescape.complete import sublevel_homology

code = sublevel_homology(ms.zoo.himmelblau.objective(), 6.0, level=200.0)  # in [-6, 6]²
code.bars  # a class of homology each: degree, birth, death, and `sure`: for which ε it is proved
code.betti(180.0)  # (1, 1), an estimate by the values on the grid
code.least_betti(180.0)  # (1, 1), proved: M_ε has at least these Betti numbers
code.plot()

f = ms.zoo.double_wells(4).objective()  # a plane in four variables
plane = torch.zeros(4).double(), torch.eye(4).double()[:2]
sublevel_homology(f, ((-1.5, 1.5), (-1.5, 1.5)), 30, subspace=plane)
```

![Barcode of Himmelblau's function](pictures/barcode-himmelblau.svg)

## What is proved

Let g interpolate f linearly on the Freudenthal triangulation of the grid: every cell is cut into d!
simplices. {g ≤ ε} has the homology of the simplices whose vertices all have f ≤ ε (Edelsbrunner &
Harer, *Computational Topology* (2010), section VI.3), and GUDHI computes its bars. For x in a
simplex with vertices pᵢ and weights λᵢ,

    f(x) - g(x) = -½ Σ λᵢ (pᵢ - x)ᵀ Hess f(ξᵢ) (pᵢ - x),    Σ λᵢ (pᵢ - x)ⱼ² ≤ hⱼ²/4,

so |f - g| ≤ δ = ⅛ Σ |Hess f|ⱼₖ hⱼ hₖ on the cell, with Hess f enclosed on all of it
([how](complete.md)), and the rounding of the values added: second order in the spacing h.

With one δ for all cells, the barcodes of f and g are within δ (Cohen-Steiner, Edelsbrunner & Harer,
Discrete Comput. Geom. 37 (2007)): bars of g longer than 2δ are bars of f. f is mostly steep where
it is high, so bounds by level say more. Let up(t) = t + max δ over the cells with a vertex
below t, and down(t) the ε up to which {f ≤ ε} ⊂ {g < t}, from the cells that f ≤ ε may reach. Then

    {g ≤ b} ⊂ {f ≤ ε} ⊂ {g < d}    for up(b) ≤ ε < down(d),

so β_k(M_ε) is at least the rank of H_k({g ≤ b}) → H_k({g < d}), the number of bars of g that begin
by b and do not end before d. A bar [b, d) is therefore `sure` for up(b) ≤ ε < down(d), and M_ε has
at least as many classes of degree k as bars of degree k are sure at ε.

## What is not proved

- Upper bounds: M_ε may have more classes than are sure; g is then too coarse to tell. The ends of
  bars are those of g.
- Anything outside the box: M_ε is the part in it, and on a plane the part on the plane. Two
  components on a plane may be one around it.
- Where Hess f cannot be enclosed (ReLU, branches, operations without a rule), or with
  `prove=False`: then the grid is a cubical complex, each cube at its highest vertex, and all is an
  estimate.
- That GUDHI is right, and the floating-point model, as [everywhere in this package](proof.md).
  Coefficients are those of Z/2.

## Against handles

A Morse function's bars and critical points correspond: a point of index k begins a bar of degree k
or ends one of degree k - 1. The tests count both for Himmelblau's function, three double wells and
the trap on a plane, and χ between critical values. "critical" below is c₀ + c₁ + …, counted
from the bars.

## Measured

"sure" is how many of the bars are proved for some ε; seconds are those of one core beside other
work.

| f | box | points | bars by degree | sure | critical | sup of abs(f - g) ≤ | seconds |
|---|---|---|---|---|---|---|---|
"""

TAIL = """
On the plane through XOR's minimum and the bias of the output, f is flat near 1, and the grid shows
small bars there that are none, or cannot be told: no proof confirms them. On the plane through
three minima of a classifier of digits (310 parameters) a proof was tried, and enclosed nothing:
cells of this size are too wide for its enclosures, so that plane is an estimate on cubes.

![Barcode of a plane of an XOR network](pictures/barcode-xor.svg)

Planes of networks: Horoi, Huang, Rieck, Lajoie, Wolf & Krishnaswamy, *Exploring the Geometry and
Topology of Neural Network Loss Landscapes*, IDA (2022), where barcodes are estimates from samples.
"""


def xor() -> tuple[ms.Objective, tuple[torch.Tensor, torch.Tensor]]:
    """2-2-1 on XOR, and the plane of its best minimum and the output's bias."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1))
    x = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    f = ms.Objective(net, "mse", (x, -x.prod(1, keepdim=True)), l2=0.03)
    start = torch.tensor([2.0, 2.0, -2.0, -2.0, -1.0, -1.0, 1.5, -1.5, 0.5]).double()
    bias = torch.eye(9, dtype=torch.float64)[8]
    directions = torch.stack([ms.find_critical_point(f, start).theta, bias])
    return f, (torch.zeros(9, dtype=torch.float64), directions)


def digits() -> tuple[ms.Objective, tuple[torch.Tensor, torch.Tensor]]:
    """A classifier of digits, and the plane through three of its minima."""
    data = load("digits")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.Tanh(), nn.Linear(4, 10))
    f = ms.Objective(net, "cross_entropy", (data.x, data.y), l2=1e-3)
    g = torch.Generator().manual_seed(0)
    starts = (0.5 * torch.randn(f.dim, generator=g, dtype=torch.float64) for _ in range(3))
    a, b, c = (ms.find_critical_point(f, start).theta for start in starts)
    return f, (a, torch.stack([b - a, c - a]))


def row(name: str, f: ms.Objective, box: Any, points: Any = None, **options: Any) -> Barcode:
    """Measured, as a line of the table."""
    start = time.process_time()
    code = sublevel_homology(f, box, points, **options)
    seconds = time.process_time() - start
    dim = len(code.box)
    counts, critical = [0] * dim, [0] * (dim + 1)
    for bar in code.bars:
        counts[bar.degree] += 1
        critical[bar.degree] += 1
        critical[bar.degree + 1] += bar.death < math.inf
    sides = " × ".join(f"[{low:g}, {high:g}]" for low, high in dict.fromkeys(code.box))
    sides += f"^{dim}" if len(set(code.box)) == 1 else ""
    error = "no proof" if code.error is None else f"{code.error:.2g}"
    LINES.append(
        f"| {name} | {sides} | {' × '.join(map(str, code.resolution))} | "
        f"{' + '.join(map(str, counts))} | {len(code.proved)} of {len(code.bars)} | "
        f"{' + '.join(map(str, critical))} | {error} | {seconds:.1f} |"
    )
    print(LINES[-1], flush=True)
    return code


LINES: list[str] = []


def main() -> None:
    himmelblau = row("Himmelblau, ε ≤ 200", ms.zoo.himmelblau.objective(), 6.0, level=200.0)
    row("trap on a plane, ε ≤ 2", ms.zoo.plane_trap.objective(), 3.0, 60, level=2.0)
    row("six-hump camel, ε ≤ 10", ms.zoo.six_hump.objective(), 3.0, 200, level=10.0)
    row("3 double wells", ms.zoo.double_wells(3).objective(), 1.8, 20)
    row("4 double wells", ms.zoo.double_wells(4).objective(), 1.5, 11)
    row("4 double wells, cubes", ms.zoo.double_wells(4).objective(), 1.5, 17, prove=False)
    f, plane = xor()
    box = (-1.5, 1.5), (-1.0, 1.0)
    of_xor = row("plane of 2-2-1 on XOR, λ = 0.03", f, box, 81, subspace=plane)
    f, plane = digits()
    row("plane of 64-4-10 on digits, cubes", f, ((-0.5, 1.5), (-0.5, 1.5)), 40, subspace=plane,
        prove=False)  # fmt: skip
    for name, code in (("himmelblau", himmelblau), ("xor", of_xor)):
        code.plot().figure.savefig(PICTURES / f"barcode-{name}.svg", metadata={"Date": None})
    PAGE.write_text(HEAD + "\n".join(LINES) + "\n" + TAIL)


if __name__ == "__main__":
    main()
