"""Complete lists of critical points, and beside them Newton's method from many random starts.

    python benchmarks/complete.py [--only NAME ...] [--out docs/results/complete]

One file for each landscape; a result that is in --out is not measured again. Seconds are those of
one core.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import grad, hessian, vmap

import morsescape as ms
from morsescape.complete import CriticalSet, all_critical_points
from morsescape.store.json_values import write_json_atomic

STARTS, STEPS = 10_000, 60
TREES = ("himmelblau", "plane-trap", "or-3", "xor-4")  # of which the merge tree is made too

X = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
TARGETS = {"XOR": [-1.0, 1.0, 1.0, -1.0], "OR": [-1.0, 1.0, 1.0, 1.0]}


class Net(nn.Module):
    """2-h-1 with tanh."""

    def __init__(self, units: int, inner: bool, outer: bool) -> None:
        super().__init__()
        self.inner = nn.Linear(2, units, bias=inner)
        self.outer = nn.Linear(units, 1, bias=outer)

    def forward(self, x: Tensor) -> Tensor:
        """One output for each input."""
        out: Tensor = self.outer(torch.tanh(self.inner(x)))
        return out


def network(
    task: str, l2: float, *, units: int = 1, inner: bool = False, outer: bool = False
) -> Callable[[], ms.Objective]:
    y = torch.tensor(TARGETS[task])[:, None]
    return lambda: ms.Objective(Net(units, inner, outer), "mse", (X, y), l2=l2)


Case = tuple[str, Callable[[], ms.Objective], float | None, Any, int]  # level, box, most
MB = [[-1.7, -0.7], [1.4, 2.2]]
CASES: dict[str, Case] = {
    "himmelblau": ("Himmelblau", ms.zoo.himmelblau.objective, 200.0, 6.0, 10**6),
    "mueller-brown": ("Müller–Brown", ms.zoo.mueller_brown.objective, -30.0, MB, 10**6),
    "plane-trap": ("trap on a plane", ms.zoo.plane_trap.objective, 2.0, 3.0, 10**6),
    "six-hump": ("six-hump camel", ms.zoo.six_hump.objective, None, 3.0, 10**6),
    "styblinski": ("Styblinski–Tang", ms.zoo.styblinski.objective, None, 5.0, 10**6),
    "rosenbrock": ("Rosenbrock", ms.zoo.rosenbrock.objective, None, 5.0, 10**6),
    "quartic": ("t⁴ + s², degenerate", ms.zoo.quartic.objective, None, 2.0, 10**6),
    "held-monkey": ("held monkey saddle, degenerate", ms.zoo.held_monkey.objective, None, 2.0,
                    10**6),
    **{
        f"wells-{d}": (f"{d} double wells", ms.zoo.double_wells(d).objective, None, 2.0, 3 * 10**6)
        for d in range(2, 8)
    },
    "one-unit": ("1-1-1, one sample, 0.05‖θ‖²", ms.zoo.one_unit.objective, None, 5.0, 10**6),
    "xor-3": ("2-1-1 on XOR, no bias, λ = 0.03", network("XOR", 0.03), 1.05, None, 10**6),
    "or-3": ("2-1-1 on OR, no bias, λ = 0.03", network("OR", 0.03), 1.05, None, 10**6),
    "xor-4": ("2-1-1 on XOR, inner bias, λ = 0.03", network("XOR", 0.03, inner=True), 1.05, None,
              10**6),
    "xor-5-0.1": ("2-1-1 on XOR, all biases, λ = 0.1",
                  network("XOR", 0.1, inner=True, outer=True), 1.05, None, 3 * 10**6),
    "xor-5": ("2-1-1 on XOR, all biases, λ = 0.03",
              network("XOR", 0.03, inner=True, outer=True), 1.05, None, 6 * 10**6),
    "or-5": ("2-1-1 on OR, all biases, λ = 0.1",
             network("OR", 0.1, inner=True, outer=True), 1.05, None, 6 * 10**6),
}  # fmt: skip


def by_newton(f: ms.Objective, box: Tensor, level: float | None) -> list[Tensor]:
    """Critical points in the box, and at most at the level, that random starts lead to."""
    fn = f.source.on(*next(f.source.chunks(f.source.samples)))

    def whole(t: Tensor) -> Tensor:
        return fn(t) + f.l2 * (t * t).sum()

    g = torch.Generator().manual_seed(0)
    low, high = box
    x = low + (high - low) * torch.rand(STARTS, f.dim, generator=g, dtype=torch.float64)
    for _ in range(STEPS):
        step, _ = torch.linalg.solve_ex(vmap(hessian(whole))(x), vmap(grad(whole))(x)[..., None])
        x = (x - step[..., 0]).nan_to_num(nan=torch.inf)
    small = vmap(grad(whole))(x).abs().amax(1) < 1e-9
    x = x[small & ((low <= x) & (x <= high)).all(1)]
    found: list[Tensor] = []
    while len(x):
        if level is None or f.value(x[0]) <= level:
            found.append(x[0])
        x = x[(x - x[0]).norm(dim=1) > 1e-5]
    return found


def measure(case: Case, tree: bool) -> dict[str, Any]:
    """Both methods; with `tree`, the ε from which on all minima lie in one component of M_ε."""
    words, make, level, box, most = case
    f = make()
    start = time.process_time()
    found: CriticalSet = all_critical_points(f, level, box=box, most=most)
    seconds = time.process_time() - start
    threshold = found.threshold if tree else None
    start = time.process_time()
    points = by_newton(f, found.box, level)
    off = [
        min((float((p - q.theta).norm()) for q in found.points), default=float("inf"))
        for p in points
    ]
    near = {
        k for p in points for k, q in enumerate(found.points) if float((p - q.theta).norm()) < 1e-6
    }
    return {
        "what": words, "dim": f.dim, "level": level, "box": found.box.tolist(),
        "counts": found.counts, "complete": found.complete, "undecided": len(found.undecided),
        "reasons": found.reasons, "sealed": found.sealed, "euler": found.euler_characteristic,
        "boxes": found.boxes, "seconds": seconds,
        "values": [p.value for p in found.points][:32],
        "radius": max((p.radius for p in found.points), default=0.0),
        "threshold": threshold,
        "newton": {
            "starts": STARTS, "found": len(near), "others": sum(d > 1e-6 for d in off),
            "seconds": time.process_time() - start,
        },
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=list(CASES))
    parser.add_argument("--out", type=Path, default=Path("docs/results/complete"))
    options = parser.parse_args()
    torch.manual_seed(0)
    for name in options.only:
        path = options.out / f"{name}.json"
        if not path.exists():
            result = measure(CASES[name], name in TREES)
            write_json_atomic(path, result)
            print(name, result["counts"], result["complete"], result["boxes"], result["newton"])


if __name__ == "__main__":
    main()
