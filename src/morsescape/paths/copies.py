r"""All copies of a network under its symmetries: from which ε on they are in one component of M_ε.

Let S generate the group G of symmetries of f, and let m and s·m lie in one component of M_ε for
every s in S. Then all copies g·m do: write g = s₁ ⋯ s_k; the element s₁ ⋯ s_{j-1} takes M_ε to
itself and the path from m to s_j·m to one from s₁ ⋯ s_{j-1}·m to s₁ ⋯ s_j·m. So one path for each
generator is enough, where G has 2ⁿ n! elements and more. All permutations of n units are products
of exchanges of two units along the edges of any tree; all flips those of one unit, moved by
permutations. The tree is that of least ‖m - s·m‖: units that are alike are exchanged at least cost.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations
from typing import Any, ClassVar

import torch
from jaxtyping import Float64
from torch import Tensor

from morsescape.boundary import a_number, a_progress, a_seed, checked, choice, instance
from morsescape.critical.result import CriticalPoint, a_point
from morsescape.errors import ArgumentError
from morsescape.objective import Objective
from morsescape.paths.connect import METHODS, Method, connect
from morsescape.paths.height import Height
from morsescape.paths.moves import Group, Move
from morsescape.paths.path import Path
from morsescape.paths.spanning import kept_path, landscape_identity, spanning_tree
from morsescape.paths.symmetry import Symmetries, symmetries
from morsescape.progress import Asked, stage
from morsescape.store.codec import Saved
from morsescape.store.run_folder import RunFolder


@dataclass(frozen=True)
class Exchange(Saved):
    """A generator of the symmetries, in words, and the height of the path from m to its image."""

    name: str
    height: Height
    gradients: int


@dataclass(frozen=True)
class Copies(Saved):
    """What is proved of the sublevel sets M_ε that hold all copies of a network.

    Attributes:
        copies: how many symmetries there are, permutations and flips as far as they are known: so
            many copies, or fewer where some leave the point where it is.
        exchanges: one path for each generator that moves the point.
        joined_at: all copies lie in one component of M_ε for every ε ≥ this; None if the height of
            some path is an estimate.
        unknown: symmetries that are left out, a sentence each.
        estimate: why `joined_at` is None.
        paths: of the exchanges.
    """

    copies: int
    exchanges: tuple[Exchange, ...]
    joined_at: float | None
    unknown: tuple[str, ...] = ()
    estimate: str | None = None
    paths: tuple[Path, ...] = field(default=(), repr=False)
    UNSAVED: ClassVar[tuple[str, ...]] = ("paths",)

    def __str__(self) -> str:
        count = f"{self.copies:,}" if self.copies < 10**6 else f"{float(self.copies):.2g}"
        if self.joined_at is None:
            return f"{count} copies, not proved to be joined: {self.estimate}"
        return (
            f"all {count} copies under permutations and flips of units lie in one component of M_ε "
            f"for every ε ≥ {self.joined_at:.8g}, proved by {len(self.exchanges)} paths"
        )


@checked(
    f=instance(Objective, "ms.Objective(model, loss, data) makes a landscape"), theta=a_point("f"),
    method=choice(METHODS), height_tol=a_number(above=0), seed=a_seed(), progress=a_progress(),
)  # fmt: skip
def joined_copies(
    f: Objective,
    theta: Float64[Tensor, "D"] | CriticalPoint,
    *,
    method: Method = "string",
    height_tol: float = 0.01,
    out: str | os.PathLike[str] | None = None,
    seed: int = 0,
    progress: Asked = None,
    **options: Any,
) -> Copies:
    """Join a network to its copies under the symmetries of f, and prove at which height.

    The symmetries are those that `symmetries` reads off the program and tries out. Solutions are
    mostly compared up to symmetry. This says from which ε on that makes no
    difference: with K solutions joined up to symmetry at ε₁, and all copies of one of them at ε₂,
    all copies of all of them lie in one component of M_ε for every ε ≥ max(ε₁, ε₂).

    Args:
        f: the landscape of a network.
        theta: a point, best a minimum, shape (D,).
        method: as in `connect`.
        height_tol: as in `connect`.
        out: a folder that keeps every path.
        seed: of the searches.
        options: of the method.
        progress: True for bars, or called as progress(stage, done, total).

    Raises:
        ArgumentError: no symmetry is known of f.

    Source:
        Generators of the symmetric group: Dixon & Mortimer, Permutation Groups (1996), section 1.6;
        copies as the cause of many minima: Brea et al., arXiv:1907.02911.

    Example:
        >>> import torch, morsescape as ms
        >>> x = torch.linspace(-2, 2, 9)[:, None]
        >>> net = torch.nn.Sequential(
        ...     torch.nn.Linear(1, 2), torch.nn.Tanh(), torch.nn.Linear(2, 1)
        ... )
        >>> f = ms.Objective(net, "mse", (x, x.sin()), l2=1e-3)
        >>> copies = ms.joined_copies(f, torch.arange(f.dim).double() / 5, method="line")
        >>> copies.copies, [exchange.name for exchange in copies.exchanges]
        (8, ['0.weight[0]: units 0 and 1 exchanged', '0.weight[0]: unit 0 flipped'])
    """
    assert progress is not True
    assert isinstance(theta, Tensor)
    known = symmetries(f, seed=seed)
    if not known.groups:
        raise ArgumentError(
            "f", expected="a landscape with symmetries", got="none that is known",
            cure="nothing is to be joined: every network is the only copy of itself",
        )  # fmt: skip
    folder = None if out is None else RunFolder(
        out, {
            "experiment": "copies", **landscape_identity(f),
            "point": float(f"{f.value(theta):.10g}"), "method": method,
            "height_tol": height_tol, "seed": seed, "options": options,
        },
    )  # fmt: skip
    told, paths = stage(progress, "copies"), {}
    moves = [
        (name, move) for group in known.groups for name, move in _generators(known, group, theta)
        if _distance(known, theta, move) > 0  # else it leaves this point where it is
    ]  # fmt: skip

    def joined(copy: Tensor) -> Path:
        return connect(f, theta, copy, align=False, method=method, height_tol=height_tol,
                       seed=seed, **options)  # fmt: skip

    for k, (name, move) in enumerate(moves):
        copy = known.apply(theta, move)
        paths[name] = kept_path(folder, f"exchange-{k}", f, partial(joined, copy))
        if told is not None:
            told(k + 1, len(moves))
    found = tuple(Exchange(name, path.height, path.gradients) for name, path in paths.items())
    why = next((e.height.estimate for e in found if e.height.estimate), None)
    if not found:
        why = "every symmetry leaves this point where it is"
    count = math.prod(
        math.factorial(group.size) * 2 ** (group.size * len(group.signs)) for group in known.groups
    )
    top = None if why else max(e.height.high for e in found)
    return Copies(count, found, top, known.unknown, why, tuple(paths.values()))


def _generators(known: Symmetries, group: Group, theta: Tensor) -> Iterator[tuple[str, Move]]:
    """Exchanges along a tree of least distances, and the shortest flip of every kind."""
    swaps = {pair: _exchanged(group, *pair) for pair in combinations(range(group.size), 2)}
    distances = {pair: _distance(known, theta, move) for pair, move in swaps.items()}
    for a, b in spanning_tree(distances, group.size):
        yield f"{group.name}: units {a} and {b} exchanged", swaps[a, b]
    for way in range(len(group.signs)):
        flips = [_flipped(group, way, unit) for unit in range(group.size)]
        lengths = [_distance(known, theta, flip) for flip in flips]
        unit = lengths.index(min(lengths))
        kind = f" (way {way})" if len(group.signs) > 1 else ""
        yield f"{group.name}: unit {unit} flipped{kind}", flips[unit]


def _exchanged(group: Group, a: int, b: int) -> Move:
    order = torch.arange(group.size)
    order[a], order[b] = b, a
    return Move({group.name: order})


def _flipped(group: Group, way: int, unit: int) -> Move:
    signs = torch.ones(len(group.signs), group.size, dtype=torch.float64)
    signs[way, unit] = -1.0
    return Move(signs={group.name: signs})


def _distance(known: Symmetries, theta: Tensor, move: Move) -> float:
    return float((theta - known.apply(theta, move)).norm())
