"""Saddles of index 1 by `ms.find_saddle`, ASE's dimer method and Sella from the same starts.

    python benchmarks/saddle_peers.py [--only NAME ...] [--starts 10] [--out docs/results/saddles]

One file for each landscape; a method that is in it is not measured again. In the environment of
benchmarks/requirements.txt. Settings and what is counted: docs/saddles.md, which this writes.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ase
import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.constraints import FixCartesian
from ase.mep.dimer import DimerControl, MinModeAtoms, MinModeTranslate
from measure import machine
from saddle_page import write_page
from sella import Sella
from torch import Tensor
from xor import Net

import morsescape as ms
from morsescape.morse.saddle import SaddleSearch
from morsescape.store.json_values import read_json, write_json_atomic

TOL, BUDGET, WALL = 1e-8, 2000, 60.0  # |grad f|; gradient equivalents and seconds of one search
LOST = 1e3  # distance from the start at which a peer's search is given up
NEAR = 0.1  # standard deviation of the starts near minima, in each variable
SEED = 2026  # of the starts; the library was worked on with others
SAME = 1e-4  # end points so close to each other are one; farther, Newton's steps went elsewhere

X = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
Y = torch.tensor([[-1.0], [1.0], [1.0], [-1.0]])


# -- landscapes -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A landscape, some of its minima, and the box [-box, box]^D of starts."""

    what: str
    make: Callable[[], ms.Objective]
    minima: Callable[[ms.Objective], list[Tensor]]
    box: float


def of_zoo(landscape: Any) -> Case:
    minima = [torch.tensor(p).double() for p, signs in landscape.critical if signs == (0, 0)]
    return Case(landscape.name, landscape.objective, lambda f: minima, landscape.box)


def network(units: int) -> Case:
    def minima(f: ms.Objective) -> list[Tensor]:
        g = torch.Generator().manual_seed(1)
        starts = 4 * torch.rand(10, f.dim, generator=g, dtype=torch.float64) - 2
        found = [ms.find_critical_point(f, t) for t in starts]
        return [point.theta for point in found if point.index == 0]

    words = f"2-{units}-1 on XOR, tanh, λ = 0.01"
    return Case(words, lambda: ms.Objective(Net(units), "mse", (X, Y), l2=0.01), minima, 2.0)


def valley(dim: int) -> Case:
    """(t₀² - 1)²/10⁴ + Σ k (t_k - 1 - sin(3kt₀)/2)²/2: two minima, a saddle at t₀ = 0."""

    def f(t: Tensor) -> Tensor:
        k = torch.arange(1, dim, dtype=t.dtype)
        off = t[1:] - 1 - 0.5 * torch.sin(3 * k * t[0])
        return 1e-4 * (t[0] * t[0] - 1) ** 2 + 0.5 * (k * off**2).sum()

    k = torch.arange(1, dim).double()
    minima = [
        torch.cat([torch.tensor([s]).double(), 1 + 0.5 * torch.sin(3 * k * s)]) for s in (-1.0, 1.0)
    ]
    words = f"soft double well in a stiff curved valley, {dim} variables"
    return Case(words, lambda: ms.Objective.from_function(f, dim), lambda f: minima, 2.0)


ZOO = (
    "double_well", "fold", "himmelblau", "three_hump", "six_hump", "styblinski", "mueller_brown",
    "torus", "linear_pair", "one_unit", "two_wells", "ring", "banana", "plane_trap",
)  # fmt: skip
CASES = {
    **{name.replace("_", "-"): of_zoo(getattr(ms.zoo, name)) for name in ZOO},
    **{f"wells-{d}": of_zoo(ms.zoo.double_wells(d)) for d in range(1, 7)},
    **{f"valley-{d}": valley(d) for d in (2, 4, 6)},
    **{f"xor-{units}": network(units) for units in range(2, 6)},
}


def starts_of(case: Case, f: ms.Objective, count: int) -> list[Tensor]:
    """By turns near a minimum, and anywhere in the box."""
    g = torch.Generator().manual_seed(SEED)
    minima, starts = case.minima(f), []
    for k in range(count):
        if k % 2 == 0:
            noise = torch.randn(f.dim, generator=g, dtype=torch.float64)
            starts.append(minima[k // 2 % len(minima)] + NEAR * noise)
        else:
            starts.append(case.box * (2 * torch.rand(f.dim, generator=g, dtype=torch.float64) - 1))
    return starts


# -- methods: from a start to an end point, gradient equivalents and seconds ----------------------


@dataclass(frozen=True)
class Run:
    """What a search came to; `theta` is None where it ended with nothing."""

    theta: Tensor | None
    cost: int
    seconds: float
    why: str = ""
    proof: tuple[int, float] = (0, 0.0)  # gradient equivalents and seconds of our certificates


class _Ours(SaddleSearch):
    """The search with what its certificates cost apart."""

    proof_seconds, proof_cost = 0.0, 0

    def _judge(self, point: Any) -> Any:
        before, start = cost_of(self.problem.evaluations, self.f.dim), time.perf_counter()
        try:
            return super()._judge(point)
        finally:
            self.proof_seconds += time.perf_counter() - start
            self.proof_cost += cost_of(self.problem.evaluations, self.f.dim) - before


def cost_of(e: Any, dim: int) -> int:
    """In gradients: a product with the Hessian is two, a dense Hessian as many as variables."""
    return int(e.value + e.gradient + 2 * e.hvp + dim * e.hessian)


def ours(f: ms.Objective, theta: Tensor, seed: int) -> Run:
    start = time.perf_counter()
    search = _Ours(f, theta, seed, None, TOL, 80)
    point = search.run(theta.clone())
    seconds = time.perf_counter() - start - search.proof_seconds
    cost = cost_of(point.evaluations, f.dim) - search.proof_cost
    return Run(
        point.theta if point.grad_norm <= TOL else None, cost, seconds, point.reason[:80],
        (search.proof_cost, search.proof_seconds),
    )  # fmt: skip


class Spent(Exception):
    """Of the budget or the time nothing is left."""


class Function(Calculator):
    """The energy f of all coordinates of positions in order; those left over are padding."""

    implemented_properties = ("energy", "forces")

    def __init__(self, f: ms.Objective) -> None:
        super().__init__()
        self.f, self.calls, self.start = f, 0, time.perf_counter()

    def spend(self, gradients: int) -> None:
        self.calls += gradients
        if self.calls > BUDGET or time.perf_counter() - self.start > WALL:
            raise Spent

    def calculate(
        self, atoms: Any = None, properties: Any = ("energy",), system_changes: Any = all_changes
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        self.spend(1)
        positions = atoms.get_positions()
        value, gradient = self.f.value_and_gradient(theta_of(positions, self.f.dim))
        forces = np.zeros(positions.size)
        forces[: self.f.dim] = -gradient.numpy()
        self.results = {"energy": value, "forces": forces.reshape(-1, 3)}


def theta_of(positions: Any, dim: int) -> Tensor:
    return torch.from_numpy(positions.reshape(-1)[:dim].copy())


def atoms_of(f: ms.Objective, theta: Tensor) -> Atoms:
    """⌈D/3⌉ atoms; coordinates that are no variables are fixed at 0."""
    count = -(-f.dim // 3)
    positions = np.zeros(3 * count)
    positions[: f.dim] = theta.numpy()
    atoms = Atoms(f"H{count}", positions=positions.reshape(-1, 3))
    free = f.dim - 3 * (count - 1)
    if free < 3:
        atoms.set_constraint(FixCartesian([count - 1], [k >= free for k in range(3)]))
    atoms.calc = Function(f)
    return atoms


def lost(atoms: Atoms, start: Tensor) -> None:
    if not float((theta_of(atoms.get_positions(), len(start)) - start).norm()) <= LOST:
        raise RuntimeError("ran away")


def searched(atoms: Atoms, steps: Callable[[], Iterator[bool]]) -> Run:
    """Steps until one says True."""
    start, why, done = time.perf_counter(), "", False
    try:
        done = any(steps())
    except Spent:
        why = "budget"
    except Exception as error:  # a search that breaks down is one that failed
        why = f"{type(error).__name__}: {error}"[:80]
    theta = theta_of(atoms.get_positions(), atoms.calc.f.dim) if done else None
    return Run(theta, atoms.calc.calls, time.perf_counter() - start, why)


def dimer(f: ms.Objective, theta: Tensor, seed: int) -> Run:
    """ASE's dimer method, its own settings; converged with negative curvature, as in ASE."""
    atoms = atoms_of(f, theta)

    def steps() -> Iterator[bool]:
        control = DimerControl(logfile=None, eigenmode_logfile=None)
        pair = MinModeAtoms(atoms, control, random_seed=seed)
        search = MinModeTranslate(pair, logfile=None)
        for _ in search.irun(fmax=0.0, steps=BUDGET):
            norm = float(np.linalg.norm(pair.get_forces(real=True)))
            lost(atoms, theta)
            yield norm <= TOL and pair.get_curvature() < 0

    return searched(atoms, steps)


def sella(f: ms.Objective, theta: Tensor, seed: int) -> Run:
    """Sella with its own settings; no translation or rotation is a symmetry here."""
    atoms = atoms_of(f, theta)
    np.random.seed(seed)  # noqa: NPY002 (Sella draws from it)

    def steps() -> Iterator[bool]:
        search = Sella(atoms, order=1, logfile=None, proj_trans=False, proj_rot=False)
        for _ in search.irun(fmax=0.0, steps=BUDGET):
            lost(atoms, theta)
            yield float(np.linalg.norm(search.pes.get_g())) <= TOL

    return searched(atoms, steps)


METHODS: dict[str, Callable[..., Run]] = {
    "find_saddle": ours,
    "dimer": dimer,
    "sella": sella,
}


# -- judging --------------------------------------------------------------------------------------


def refined(f: ms.Objective, theta: Tensor) -> Tensor:
    """Newton's steps while each halves |grad f|, ten at most: a proof wants the last digits."""
    norm = f.value_and_gradient(theta)[1].norm()
    for _ in range(10):
        step, info = torch.linalg.solve_ex(f.hessian(theta), f.value_and_gradient(theta)[1])
        following = f.value_and_gradient(theta - step)[1].norm()
        if int(info) or not following <= norm / 2:
            break
        theta, norm = theta - step, following
    return theta


def judged(f: ms.Objective, run: Run) -> dict[str, Any]:
    """The run with the certificate of its end point; neither is part of its time or cost."""
    record: dict[str, Any] = {
        "cost": run.cost, "seconds": run.seconds, "why": run.why, "proof": list(run.proof),
        "index": None, "proved": False, "theta": None,
    }  # fmt: skip
    if run.theta is None:
        return record
    end = refined(f, run.theta)
    certificate = ms.certify(f, end)
    near = float((end - run.theta).norm()) <= SAME
    return {
        **record, "theta": end.tolist(), "index": certificate.index,
        "proved": near and certificate.proves(1) and run.cost <= BUDGET and run.seconds <= WALL,
    }  # fmt: skip


def measure(name: str, methods: list[str], count: int, path: Path) -> None:
    case = CASES[name]
    result = read_json(path) if path.exists() else {"what": case.what, "methods": {}}
    todo = [m for m in methods if len(result["methods"].get(m, [])) < count]
    if not todo:
        return
    f = case.make()
    result["dim"], starts = f.dim, starts_of(case, f, count)
    for method in todo:
        METHODS[method](f, starts[0], 0)  # not counted: what is compiled once
        runs = result["methods"].setdefault(method, [])
        for k in range(len(runs), count):
            runs.append(judged(f, METHODS[method](f, starts[k], k)))
        write_json_atomic(path, result)
        good = [r for r in runs if r["proved"]]
        cost = sorted(r["cost"] for r in good)[len(good) // 2] if good else None
        print(f"{name:14} {method:12} {len(good)}/{count} cost {cost}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=list(CASES))
    parser.add_argument("--methods", nargs="*", default=list(METHODS))
    parser.add_argument("--starts", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("docs/results/saddles"))
    parser.add_argument("--page", type=Path, default=Path("docs/saddles.md"))
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.only:
        measure(name, options.methods, options.starts, options.out / f"{name}.json")
    settings = {
        "near": NEAR, "seed": SEED, "tol": TOL, "budget": BUDGET, "wall": WALL, "lost": LOST,
        "same": SAME, "ase": ase.__version__, "sella": version("sella"), **machine(),
    }  # fmt: skip
    write_page(options.out, options.page, list(CASES), settings)


if __name__ == "__main__":
    main()
