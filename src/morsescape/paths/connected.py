"""`ms.connected`: many solutions, the proved ε at which they lie in one component of M_ε."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from morsescape.boundary import (
    a_boolean,
    a_count,
    a_number,
    a_progress,
    a_seed,
    checked,
    choice,
    instance,
)  # fmt: skip
from morsescape.critical.result import CriticalPoint, check_its_own
from morsescape.errors import ArgumentError
from morsescape.objective import Objective
from morsescape.paths.connect import METHODS, Method, aligned, connect
from morsescape.paths.curve import Curve
from morsescape.paths.enclosed import pieces_on
from morsescape.paths.height import Height, height_of
from morsescape.paths.path import Path
from morsescape.paths.spanning import Spanning, landscape_identity
from morsescape.progress import Asked, stage
from morsescape.rounding.balls import NoErrorRule
from morsescape.rounding.floats import down, up
from morsescape.rounding.program import NotTraceable
from morsescape.store.codec import Saved
from morsescape.store.run_folder import RunFolder


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
        paths: of the edges.
    """

    solutions: int
    edges: tuple[Edge, ...]
    joined_at: float | None
    split_at: float | None
    lowest_split_at: float | None
    up_to_symmetry: bool
    estimate: str | None = None
    paths: tuple[Path, ...] = field(default=(), repr=False)
    UNSAVED: ClassVar[tuple[str, ...]] = ("paths",)

    def plot(self, ax: Any = None) -> Any:
        """Draw f along the paths of the tree, with what is proved of it as bands.

        Raises:
            ArgumentError: one solution, which needs no path.
        """
        from morsescape.figures import heights_figure

        return heights_figure([(f"{e.a} to {e.b}", e.height) for e in self.edges], ax)

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
    method=choice(METHODS), align=a_boolean(), height_tol=a_number(above=0),
    retries=a_count(0), seed=a_seed(), progress=a_progress(),
)  # fmt: skip
def connected(
    f: Objective,
    solutions: Sequence[Tensor | CriticalPoint],
    *,
    method: Method = "string",
    align: bool = True,
    height_tol: float = 0.01,
    retries: int = 0,
    out: str | os.PathLike[str] | None = None,
    seed: int = 0,
    progress: Asked = None,
    **options: Any,
) -> Connected:
    """Join solutions by a tree of proved paths, and say between which ε M_ε becomes connected.

    The tree is a minimum spanning tree of the highest samples on straight lines; its edges are
    then searched for by `method` and proved. Then, `retries` times, the highest edge is left out
    and the pair across the gap whose line is lowest is searched; the lower path is kept. A strict
    local minimum B, proved, above another solution is a component of its own of M_f(B), so M_ε is
    disconnected there.

    Args:
        f: the landscape.
        solutions: two or more points, or results of `find_critical_point`, whose certificates
            give the lower end.
        method: as in `connect`.
        align: as in `connect`; all are moved next to the first.
        height_tol: as in `connect`.
        retries: searches for a path lower than the highest edge.
        out: a folder that keeps every path; an interrupted search goes on from there.
        seed: of the searches.
        options: of the method.
        progress: True for bars, or called as progress(stage, done, total).

    Raises:
        ArgumentError: fewer than two solutions; a folder of another landscape.

    Source:
        The sublevel sets M_ε are those of Akhtiamov & Thomson (2022), section 2; the tree and its
        highest edge: Draxler et al., ICML 2018, section 3.3 (AutoNEB).

    Example:
        >>> import torch, morsescape as ms
        >>> f = ms.Objective.from_function(lambda t: (t[0] ** 2 - 1) ** 2 + t[0] / 10, 1)
        >>> starts = (torch.tensor([x]).double() for x in (-1.0, 1.0))
        >>> minima = [ms.find_critical_point(f, x) for x in starts]
        >>> bracket = ms.connected(f, minima)
        >>> bracket.split_at < 0.1 < 1.0 < bracket.joined_at < 1.02
        True
    """
    assert progress is not True
    points = [s.theta if isinstance(s, CriticalPoint) else torch.as_tensor(s) for s in solutions]
    if len(points) < 2:
        raise ArgumentError(
            "solutions", expected="two or more", got=len(points), cure="find another one"
        )
    for k, (point, solution) in enumerate(zip(points, solutions, strict=True)):
        f.check(point, f"solutions[{k}]", finite=True)
        if isinstance(solution, CriticalPoint):
            check_its_own(f, solution, f"solutions[{k}]")
    moved = False
    if align:
        copies = [aligned(f, points[0], p, seed) for p in points[1:]]
        points, moved = [points[0], *(c for c, _ in copies)], any(m for _, m in copies)
    folder = None if out is None else RunFolder(
        out, {
            "experiment": "connected", **landscape_identity(f), "method": method,
            "height_tol": height_tol, "seed": seed, "options": options,
            "solutions": [float(f"{f.value(p):.10g}") for p in points],
        },
    )  # fmt: skip

    def joined(a: int, b: int) -> Path:
        if torch.equal(points[a], points[b]):  # a minimum that was given twice
            there = Curve.chain(torch.stack([points[a], points[b]]))
            return Path(there.pieces, height_of(f, there, tol=height_tol), method, same=True, f=f)
        return connect(f, points[a], points[b], method=method, align=False,
                       height_tol=height_tol, seed=seed, **options)  # fmt: skip

    search = Spanning(f, points, joined, folder)
    paths = search.run(retries, stage(progress, "paths"))
    edges = [Edge(*pair, path.height, path.gradients) for pair, path in paths.items()]
    why = next((e.height.estimate for e in edges if e.height.estimate), None)
    splits = split_levels(f, solutions)
    return Connected(
        len(points), tuple(edges), None if why else max(e.height.high for e in edges),
        max(splits, default=None), min(splits, default=None), moved, why, tuple(paths.values()),
    )  # fmt: skip


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
