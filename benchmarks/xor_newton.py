"""The second method for XOR: Newton's from random points, and symmetries in closed form.

A network 2-h-1 with tanh and all biases on the four points (±1, ±1): θ is (W, b, a, c) as PyTorch
has them, and f = mean (a·tanh(Wx + b) + c - y)² + λ‖θ‖² is written out here, differentiated by
torch alone. Nothing of morsescape is used.

f is invariant under permutations and flips of units, and under the symmetries of the square: with
R one of its 8 isometries and σ = ±1 the sign with y(Rx) = σ y(x), under (W, b, a, c) to
(WR, b, σa, σc). All of these are isometries of θ. So two points are in one orbit iff for one R the
cheapest assignment of units, each as it is or flipped, costs 0: no search is needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import networkx as nx
import numpy as np
import torch
from scipy.integrate import solve_ivp
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.func import grad, hessian, vmap

X = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]], dtype=torch.float64)
Y = torch.tensor([-1.0, 1.0, 1.0, -1.0], dtype=torch.float64)
STEPS, BATCH = 60, 2000
SMALL, SAME = 1e-10, 1e-6  # of ‖∇f‖; of distances between copies of one point
SHORTER = (1.0, 0.5, 0.25, 0.1, 0.03)  # steps, of which the least ‖∇f‖ counts
SQUARE = [
    (np.array([[p, 0.0], [0.0, q]]) @ s, p * q)
    for s in (np.eye(2), np.eye(2)[::-1]) for p in (1, -1) for q in (1, -1)
]  # fmt: skip


def landscape(h: int, l2: float) -> Callable[[Tensor], Tensor]:
    """The function f of θ, shape (4h + 1,)."""

    def f(t: Tensor) -> Tensor:
        w, b, a, c = t[: 2 * h].view(h, 2), t[2 * h : 3 * h], t[3 * h : 4 * h], t[4 * h]
        out = torch.tanh(X @ w.T + b) @ a + c
        return (out - Y).square().mean() + l2 * (t * t).sum()

    return f


def units_of(theta: np.ndarray) -> tuple[np.ndarray, float]:
    """Rows (w, b, a), one for each unit, and c."""
    h = (len(theta) - 1) // 4
    w = theta[: 2 * h].reshape(h, 2)
    return np.column_stack([w, theta[2 * h : 3 * h], theta[3 * h : 4 * h]]), float(theta[-1])


def turned(theta: np.ndarray, k: int) -> np.ndarray:
    """Moved by the k-th isometry of the square."""
    turn, sign = SQUARE[k]
    units, c = units_of(theta)
    w, b, a = units[:, :2] @ turn, units[:, 2], units[:, 3]
    return np.concatenate([w.ravel(), b, sign * a, [sign * c]])


def distance(p: np.ndarray, q: np.ndarray) -> float:
    """From p to the nearest copy of q under permutations and flips of units."""
    (u, c), (v, d) = units_of(p), units_of(q)
    cost = np.minimum(*(((u[:, None] - s * v[None]) ** 2).sum(2) for s in (1, -1)))
    rows, columns = linear_sum_assignment(cost)
    return math.sqrt(cost[rows, columns].sum() + (c - d) ** 2)


def copies(theta: np.ndarray) -> tuple[int, list[np.ndarray]]:
    """How many points the orbit has, and one of each class under permutations and flips.

    |orbit| = |group| / |stabiliser|; permutations and flips that leave θ where it is permute equal
    units, and flip those that are 0.
    """
    units, _ = units_of(theta)
    h, stay, left = len(units), 1, list(range(len(units)))
    while left:
        first = units[left[0]]
        alike = [k for k in left if min(abs(units[k] - s * first).max() for s in (1, -1)) < SAME]
        zero = abs(first).max() < SAME
        stay *= math.factorial(len(alike)) * (2 ** len(alike) if zero else 1)
        left = [k for k in left if k not in alike]
    classes: list[np.ndarray] = []
    for k in range(len(SQUARE)):
        moved = turned(theta, k)
        if all(distance(moved, other) > SAME for other in classes):
            classes.append(moved)
    return len(classes) * 2**h * math.factorial(h) // stay, classes


@dataclass
class Orbit:
    """One critical point, for all its copies.

    Attributes:
        theta: the point.
        value, index, least: f, the index, and the least |eigenvalue| of Hess f there.
        spectrum: of Hess f.
        size: how many points the orbit has.
        hits: by each kind of start, how many ended in it.
    """

    theta: np.ndarray
    value: float
    index: int
    spectrum: np.ndarray
    size: int
    hits: dict[str, int]

    @property
    def least(self) -> float:
        """How near it is to being degenerate."""
        return float(np.abs(self.spectrum).min())


class Points:
    """Critical points of one landscape, an orbit each."""

    def __init__(self, h: int, l2: float) -> None:
        self.h, self.l2, self.dim = h, l2, 4 * h + 1
        self.f = landscape(h, l2)
        self.gradients, self.hessians = vmap(grad(self.f)), vmap(hessian(self.f))
        self.orbits: list[Orbit] = []
        self.starts: dict[str, int] = {}

    def search(self, kind: str, starts: Tensor | list[np.ndarray]) -> int:
        """Newton's method from each; "damped" takes the shorter step with the least ‖∇f‖."""
        before = len(self.orbits)
        starts = torch.as_tensor(np.asarray(starts), dtype=torch.float64).view(-1, self.dim)
        self.starts[kind] = self.starts.get(kind, 0) + len(starts)
        for x in starts.split(BATCH):
            for _ in range(STEPS):
                x = self._step(x, kind == "damped")
                x = x[x.isfinite().all(1) & (x.abs().amax(1) < 1e3)]
            x = self._step(x, False)
            self._add(x[self.gradients(x).norm(dim=1) < SMALL], kind)
        return len(self.orbits) - before

    def _step(self, x: Tensor, damped: bool) -> Tensor:
        gradient = self.gradients(x)
        step, _ = torch.linalg.solve_ex(self.hessians(x), gradient[..., None])
        step = step[..., 0]
        if not damped:
            return x - step
        trials = torch.stack([x - t * step for t in SHORTER])
        norms = torch.stack([self.gradients(t).norm(dim=1) for t in trials])
        best = norms.nan_to_num(nan=torch.inf).argmin(0)
        return trials[best, torch.arange(len(x))]

    def _add(self, x: Tensor, kind: str) -> None:
        if not len(x):
            return
        values, spectra = vmap(self.f)(x).numpy(), torch.linalg.eigvalsh(self.hessians(x)).numpy()
        for theta, value, spectrum in zip(x.numpy(), values, spectra, strict=True):
            orbit = self.find(theta, value, spectrum)
            if orbit is None:
                index = int((spectrum < 0).sum())
                orbit = Orbit(theta, float(value), index, spectrum, copies(theta)[0], {})
                self.orbits.append(orbit)
            orbit.hits[kind] = orbit.hits.get(kind, 0) + 1

    def find(
        self, theta: np.ndarray, value: float | None = None, spectrum: np.ndarray | None = None
    ) -> Orbit | None:
        """The orbit of a point: values and spectra rule most out, distances decide."""
        if value is None or spectrum is None:
            t = torch.as_tensor(theta)[None]
            value = float(self.f(t[0]))
            spectrum = torch.linalg.eigvalsh(self.hessians(t))[0].numpy()
        for orbit in self.orbits:
            if abs(orbit.value - value) < 1e-8 and np.abs(orbit.spectrum - spectrum).max() < 1e-5:
                near = min(distance(theta, turned(orbit.theta, k)) for k in range(len(SQUARE)))
                if near < SAME:
                    return orbit
        return None

    def random(self, n: int, seed: int, level: float) -> Tensor:
        """Directions uniform, radii uniform in the ball ‖θ‖² ≤ level/λ."""
        g = torch.Generator().manual_seed(seed)
        x = torch.randn(n, self.dim, generator=g, dtype=torch.float64)
        radii = math.sqrt(level / self.l2) * torch.rand(n, 1, generator=g, dtype=torch.float64)
        return radii * x / x.norm(dim=1, keepdim=True)

    # -- the tree --------------------------------------------------------------------------------

    def below(self, orbit: Orbit) -> list[np.ndarray]:
        """Minima to which -∇f leads from both sides of a point of index 1.

        A flow stays on planes of symmetry, as units of zeros stay zero, and may end there in a
        point of higher index: that is left along its lowest mode.
        """
        slope, bend = grad(self.f), hessian(self.f)
        ends = []
        for sign in (1.0, -1.0):
            x = torch.as_tensor(orbit.theta)
            for _ in range(2 * self.h + 1):
                values, modes = torch.linalg.eigh(self.hessians(x[None])[0])
                still = float(slope(x).norm()) < 1e-7
                if still and values[0] > 0:
                    break
                flow = solve_ivp(
                    lambda _, y: -slope(torch.as_tensor(y)).numpy(), (0.0, 1e5),
                    (x + still * sign * 1e-3 * modes[:, 0]).numpy(), method="LSODA",
                    rtol=1e-8, atol=1e-10,
                    jac=lambda _, y: -bend(torch.as_tensor(y)).numpy(),
                )  # fmt: skip
                x = torch.as_tensor(flow.y[:, -1])
                polished = self._step(self._step(x[None], False), False)[0]
                x = polished if float((polished - x).norm()) < 1e-3 else x
            ends.append(x.numpy())
        return ends

    def tree(self) -> tuple[nx.Graph, list[str]]:
        """Minima up to permutations and flips, joined by the points of index 1 and their copies.

        The graph that is returned is a minimum spanning forest; what ends at no known minimum is
        told in words.
        """
        minima, graph, lost = [], nx.Graph(), []
        for orbit in (o for o in self.orbits if o.index == 0):
            for theta in copies(orbit.theta)[1]:
                graph.add_node(len(minima), value=orbit.value, theta=theta)
                minima.append(theta)

        for orbit in (o for o in self.orbits if o.index == 1):
            sides = self.below(orbit)
            for k in range(len(SQUARE)):
                ends = [place(minima, turned(side, k)) for side in sides]
                if None in ends:
                    lost.append(f"a point of index 1 at f = {orbit.value:.8g}: an unknown minimum")
                    break
                a, b = ends
                known = graph.get_edge_data(a, b, {"weight": math.inf})
                if a != b and orbit.value < known["weight"]:
                    graph.add_edge(a, b, weight=orbit.value)
        return nx.minimum_spanning_tree(graph), lost


def place(minima: list[np.ndarray], theta: np.ndarray) -> int | None:
    """Which of them is a copy of θ under permutations and flips."""
    return next((k for k, m in enumerate(minima) if distance(theta, m) < 1e-5), None)


def minimax(tree: nx.Graph, a: int, b: int) -> float:
    """The height at which two minima are first joined; infinity where they are not."""
    if not nx.has_path(tree, a, b):
        return math.inf
    way = nx.shortest_path(tree, a, b)
    return max(tree.edges[p]["weight"] for p in pairwise(way))


def embedded(theta: np.ndarray) -> np.ndarray:
    """With a unit of zeros more: a critical point of the wider network if it is one here."""
    units, c = units_of(theta)
    more = np.vstack([units, np.zeros(4)])
    return np.concatenate([more[:, :2].ravel(), more[:, 2], more[:, 3], [c]])


def unseen(orbits: list[Orbit], kinds: tuple[str, ...]) -> float:
    """Good & Turing's estimate of the share of starts that would end in a class not seen yet."""
    hits = [sum(o.hits.get(kind, 0) for kind in kinds) for o in orbits]
    return sum(n == 1 for n in hits) / max(1, sum(hits))


def duplicated(theta: np.ndarray) -> Iterator[np.ndarray]:
    """With one of its units once more, both with half its output weight: starts for more units."""
    units, c = units_of(theta)
    for k in range(len(units)):
        more = np.vstack([units, units[k]])
        more[[k, -1], 3] /= 2
        yield np.concatenate([more[:, :2].ravel(), more[:, 2], more[:, 3], [c]])
