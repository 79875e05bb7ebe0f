"""`ms.connect`: two solutions in, a curve with a proved height out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from morsescape.boundary import a_boolean, a_number, a_progress, a_seed, checked, choice, instance
from morsescape.critical.result import CriticalPoint, a_point
from morsescape.errors import ArgumentError
from morsescape.objective import Objective
from morsescape.paths.alignment import align as align_to
from morsescape.paths.curve import Curve
from morsescape.paths.element import Element
from morsescape.paths.found import Found, check_ends
from morsescape.paths.height import height_of, unproved
from morsescape.paths.invariant import fip
from morsescape.paths.moves import Move
from morsescape.paths.path import Path
from morsescape.paths.string import neb, string
from morsescape.paths.trained import bezier, chain
from morsescape.progress import Asked, stage

_SAME = 1e-9  # of the size of θ: nearer ends are one network


def line(f: Objective, a: Tensor, b: Tensor, **_: Any) -> Found:
    """The straight line."""
    return Found(Curve.chain(torch.stack([a, b])), 0, "straight")


Method = Literal["line", "bezier", "chain", "string", "neb", "fip"]
METHODS: dict[Method, Callable[..., Found]] = {
    "line": line, "bezier": bezier, "chain": chain, "string": string, "neb": neb, "fip": fip,
}  # fmt: skip


@checked(
    f=instance(Objective, "ms.Objective(model, loss, data) makes a landscape"),
    a=a_point("f"), b=a_point("f"), method=choice(METHODS), align=a_boolean(), prove=a_boolean(),
    height_tol=a_number(above=0), seed=a_seed(), progress=a_progress(),
)  # fmt: skip
def connect(
    f: Objective,
    a: Tensor | CriticalPoint,
    b: Tensor | CriticalPoint,
    *,
    method: Method = "string",
    align: bool = True,
    prove: bool = True,
    height_tol: float = 0.01,
    seed: int = 0,
    progress: Asked = None,
    **options: Any,
) -> Path:
    """Find a low curve from a to b, and prove how high it is.

    Args:
        f: the landscape.
        a: one solution, a point or a result of `find_critical_point`.
        b: the other one.
        method: "line"; "bezier" and "chain", trained to a low mean of f; "string" and "neb",
            chains of images relaxed towards the pass; "fip", which keeps the outputs.
        align: first move b by a symmetry of f (relabelled hidden units, flipped signs) next to a.
            The path then ends at that copy of b, which computes the same function.
        prove: enclose the height; otherwise it is the largest of samples, an estimate.
        height_tol: how wide the interval of the height may be, as a share of the barrier.
        seed: of the search.
        progress: True for bars, or called as progress(stage, done, total).
        options: of the method, such as `max_steps`; see the functions of the same names in
            `morsescape.paths`.

    Raises:
        ArgumentError: ends that are the same or no points of f, an unknown option.

    Source:
        Garipov et al., NeurIPS 2018 (bezier, chain); E, Ren & Vanden-Eijnden, J. Chem. Phys. 126
        (2007) (string); Henkelman & Jónsson, J. Chem. Phys. 113 (2000) (neb); Raghavan & Thomson,
        arXiv:2205.00334 (fip); Ainsworth, Hayase & Srinivasa, ICLR 2023 (alignment).

    Example:
        >>> import torch, morsescape as ms
        >>> f = ms.Objective.from_function(lambda t: (t[0] ** 2 - 1) ** 2 + t[1] ** 2, 2)
        >>> a, b = torch.tensor([-1.0, 0.0]).double(), torch.tensor([1.0, 0.0]).double()
        >>> path = ms.connect(f, a, b)
        >>> path.barrier[0] <= 1.0 <= path.barrier[1] < 1.02
        True
    """
    assert progress is not True
    assert isinstance(a, Tensor)
    assert isinstance(b, Tensor)
    check_ends(f, a, b)
    end, moved = aligned(f, a, b, seed) if align else (b, False)
    distances = float((a - b).norm()), float((a - end).norm())
    same = coincide(a, end)
    if same:
        found = Found(Curve(torch.stack([a, end])[None]), 0, "one network up to symmetry")
    else:
        found = _search(f, a, end, method, seed, stage(progress, "path"), options)
    curve = found.curve
    if not (torch.equal(curve(0.0), a) and torch.equal(curve(1.0), end)):
        raise ValueError(f"{method} has moved an end, which is an error of its own")
    prove_it = stage(progress, "proof")
    height = (
        height_of(f, found.curve, tol=height_tol, progress=prove_it) if prove
        else unproved(f, found.curve)
    )  # fmt: skip
    return Path(
        found.curve.pieces, height, method, found.gradients, moved, distances, same,
        found.note, f,
    )  # fmt: skip


def _search(
    f: Objective, a: Tensor, b: Tensor, method: Method, seed: int, progress: Any, options: Any
) -> Found:
    try:
        return METHODS[method](f, a, b, seed=seed, progress=progress, **options)
    except TypeError as error:
        if "unexpected keyword argument" not in str(error):
            raise
        raise ArgumentError(
            "options", expected=f"options that {method} takes", got=str(error).split("() ")[-1],
            cure=f"see help(morsescape.paths.{method})",
        ) from None  # fmt: skip


def coincide(a: Tensor, b: Tensor, within: float = _SAME) -> bool:
    """Whether two points are one network, up to this share of the size of θ, or of 1."""
    return float((a - b).norm()) <= within * max(1.0, float(a.norm()))


def aligned(f: Objective, a: Tensor, b: Tensor, seed: int) -> tuple[Tensor, bool]:
    """The copy of b under a symmetry of f next to a, and whether it moved; a function has none."""
    copy, _ = moved_next_to(f, a, b, seed)
    return copy, float((a - copy).norm()) < float((a - b).norm())


def moved_next_to(f: Objective, a: Tensor, b: Tensor, seed: int) -> tuple[Tensor, Element]:
    """The copy g b under a symmetry of f next to a, and g; a function is taken to have none."""
    if not f.source.of_samples:
        return b, Element()
    found = align_to(f, a, b, seed=seed)
    return found.theta, Element.of(Move(found.permutations, found.signs))
