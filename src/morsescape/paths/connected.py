"""`ms.connected`: many solutions, the proved ε at which they lie in one component of M_ε."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import minimum_spanning_tree
from torch import Tensor

from morsescape.boundary import a_boolean, a_number, a_seed, checked, choice, instance
from morsescape.critical.result import CriticalPoint
from morsescape.errors import ArgumentError
from morsescape.objective import Objective
from morsescape.paths.connect import METHODS, aligned, connect
from morsescape.paths.curve import Curve
from morsescape.paths.enclosed import pieces_on
from morsescape.paths.height import Height
from morsescape.progress import Progress, stage
from morsescape.rounding.balls import NoErrorRule
from morsescape.rounding.floats import down, up
from morsescape.rounding.program import NotTraceable
from morsescape.store.codec import Saved

_LOOKS = 9  # samples of the line between two solutions, to choose the tree


@dataclass(frozen=True)
class Edge(Saved):
    """A path of the tree: between solutions a and b (their places in the list), its height."""

    a: int
    b: int
    height: Height
    gradients: int


@dataclass(frozen=True)
class Connected(Saved):
    """What is proved of the sublevel sets M_ε = {f ≤ ε} that hold some solutions.

    Attributes:
        solutions: how many.
        edges: a spanning tree of paths.
        joined_at: all solutions lie in one component of M_ε for every ε ≥ this; None if the
            height of some path is an estimate.
        split_at: M_ε is disconnected at ε = f(B) ≥ this, for the highest strict minimum B that is
            proved and above another solution: there it is a component of its own. None if no
            such minimum is proved.
        lowest_split_at: the same for the lowest such minimum.
        up_to_symmetry: whether solutions were moved by symmetries of f: then `joined_at` is proved
            of these copies, which compute the same functions.
        estimate: why `joined_at` is None.
    """

    solutions: int
    edges: tuple[Edge, ...]
    joined_at: float | None
    split_at: float | None
    lowest_split_at: float | None
    up_to_symmetry: bool
    estimate: str | None = None

    def __str__(self) -> str:
        copies = ", each up to a symmetry of f," if self.up_to_symmetry else ""
        if self.joined_at is None:
            joined = f"not proved to be joined: {self.estimate}"
        else:
            joined = (
                f"all {self.solutions}{copies} lie in one component of M_ε for every "
                f"ε ≥ {self.joined_at:.8g}, proved"
            )
        if self.split_at is None:
            return joined
        return f"{joined}; M_ε is disconnected at an ε ≥ {self.split_at:.8g}, proved"


@checked(
    f=instance(Objective, "ms.Objective(model, loss, data) makes a landscape"),
    method=choice(METHODS), align=a_boolean(), height_tol=a_number(above=0), seed=a_seed(),
)  # fmt: skip
def connected(
    f: Objective,
    solutions: Sequence[Tensor | CriticalPoint],
    *,
    method: str = "string",
    align: bool = True,
    height_tol: float = 0.01,
    seed: int = 0,
    progress: Progress | None = None,
    **options: Any,
) -> Connected:
    """Join solutions by a tree of proved paths, and say between which ε M_ε becomes connected.

    The tree is a minimum spanning tree of the highest samples on straight lines; its edges are
    then searched for by `method` and proved. A strict local minimum B, proved, above another
    solution is a component of its own of M_f(B), so M_ε is disconnected there.

    Args:
        f: the landscape.
        solutions: two or more points, or results of `find_critical_point`, whose certificates
            give the lower end.
        method: as in `connect`.
        align: as in `connect`; all are moved next to the first.
        height_tol: as in `connect`.
        seed: of the searches.
        options: of the method.
        progress: called as progress(stage, done, total).

    Raises:
        ArgumentError: fewer than two solutions.

    Source:
        The sublevel sets M_ε are those of Akhtiamov & Thomson (2022), section 2.

    Example:
        >>> import torch, morsescape as ms
        >>> f = ms.Objective.from_function(lambda t: (t[0] ** 2 - 1) ** 2 + t[0] / 10, 1)
        >>> starts = (torch.tensor([x]).double() for x in (-1.0, 1.0))
        >>> minima = [ms.find_critical_point(f, x) for x in starts]
        >>> bracket = ms.connected(f, minima)
        >>> bracket.split_at < 0.1 < 1.0 < bracket.joined_at < 1.02
        True
    """
    points = [s.theta if isinstance(s, CriticalPoint) else torch.as_tensor(s) for s in solutions]
    if len(points) < 2:
        raise ArgumentError(
            "solutions", expected="two or more", got=len(points), cure="find another one"
        )
    for k, point in enumerate(points):
        f.check(point, f"solutions[{k}]", finite=True)
    moved = False
    if align:
        copies = [aligned(f, points[0], p, seed) for p in points[1:]]
        points, moved = [points[0], *(c for c, _ in copies)], any(m for _, m in copies)
    edges = []
    tree = spanning_tree(f, points)
    told = stage(progress, "paths")
    for done, (a, b) in enumerate(tree):
        path = connect(f, points[a], points[b], method=method, align=False,
                       height_tol=height_tol, seed=seed, **options)  # fmt: skip
        edges.append(Edge(a, b, path.height, path.gradients))
        if told is not None:
            told(done + 1, len(tree))
    why = next((e.height.estimate for e in edges if e.height.estimate), None)
    splits = split_levels(f, solutions)
    return Connected(
        len(points), tuple(edges), None if why else max(e.height.high for e in edges),
        max(splits, default=None), min(splits, default=None), moved, why,
    )  # fmt: skip


def spanning_tree(f: Objective, points: Sequence[Tensor]) -> list[tuple[int, int]]:
    """The pairs of a minimum spanning tree, by the highest sample on the straight line."""
    pairs = list(combinations(range(len(points)), 2))
    tops = []
    for a, b in pairs:
        line = Curve.chain(torch.stack([points[a], points[b]]))
        tops.append(max(f.value(line(k / (_LOOKS + 1))) for k in range(1, _LOOKS + 1)))
    least = min(tops)
    weights = [t - least + 1.0 for t in tops]  # of a sparse graph, in which 0 is no edge
    rows, columns = zip(*pairs, strict=True)
    graph = coo_array((weights, (rows, columns)), shape=(len(points), len(points)))
    tree = minimum_spanning_tree(graph.tocsr()).tocoo()
    return sorted(zip(tree.row.tolist(), tree.col.tolist(), strict=True))


def split_levels(f: Objective, solutions: Sequence[Tensor | CriticalPoint]) -> list[float]:
    """From below all ε = f(B) at which M_ε is disconnected: B a minimum above another solution.

    M_f(B) holds B alone near B, and the lowest solution elsewhere.
    """
    known = [level for s in solutions if (level := level_of(f, s)) is not None]
    if len(known) < len(solutions):
        return []
    lowest = min(high for _, high in known)
    return [
        low for solution, (low, _) in zip(solutions, known, strict=True)
        if isinstance(solution, CriticalPoint) and solution.certificate.proves(0) and low > lowest
    ]  # fmt: skip


def level_of(f: Objective, solution: Tensor | CriticalPoint) -> tuple[float, float] | None:
    """F at a point and at the minimum next to it, if one is proved, as an interval; or None.

    On the ball of its certificate f is convex: f(B) ≥ f(θ) - ‖∇f(θ)‖ ρ for the minimum B there.
    """
    theta = solution.theta if isinstance(solution, CriticalPoint) else solution
    try:
        low, high = pieces_on(f, torch.stack([theta, theta]), [(0.0, 0.0)])[0].value
    except (NoErrorRule, NotTraceable):
        return None
    if isinstance(solution, CriticalPoint) and solution.certificate.proves(0):
        proof = solution.certificate
        slope = up(proof.grad_norm + proof.grad_error)
        low = down(low - up(slope * proof.distance))
    return low, high
