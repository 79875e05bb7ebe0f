"""`ms.all_critical_points`: every critical point of f in a box, proved to be all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from morsescape.boundary import Argument, a_count, a_number, a_progress, checked, instance
from morsescape.complete.bounds import box_of_level, is_above, nonnegative
from morsescape.complete.census import CriticalSet
from morsescape.complete.intervals import Interval, joined_boxes
from morsescape.complete.on_boxes import Enclosures
from morsescape.complete.subdivision import Limits, Search
from morsescape.errors import ArgumentError
from morsescape.objective import Objective
from morsescape.progress import StageProgress
from morsescape.rounding.balls import NoErrorRule
from morsescape.rounding.program import NotTraceable
from morsescape.spectrum.index_bound import structure_of

_WIDTH = 1e-7  # of the widest side of the box

Box = float | Sequence[Any] | Tensor


def _a_box(argument: Argument) -> Tensor:
    """Two corners, shape (2, D), or a number r for [-r, r]^D."""
    expected = "a positive number or two corners (low, high) with low < high, of shape (2, D)"
    dim = argument.others["f"].dim
    try:
        box = torch.as_tensor(argument.value, dtype=torch.float64).detach().clone()
    except (TypeError, ValueError, RuntimeError) as error:
        raise argument.refused(expected) from error
    if box.ndim == 0:
        box = torch.stack([-box, box])[:, None].expand(2, dim)
    if box.shape == (2,):
        box = box[:, None].expand(2, dim)
    good = box.shape == (2, dim) and bool(box.isfinite().all()) and bool((box[0] < box[1]).all())
    if not good:
        raise argument.refused(expected)
    return box.contiguous()


@checked(
    f=instance(Objective, "ms.Objective(model, loss, data) makes one"), level=a_number(),
    box=_a_box, width=a_number(above=0), most=a_count(1), progress=a_progress("boxes"),
)  # fmt: skip
def all_critical_points(
    f: Objective,
    level: float | None = None,
    *,
    box: Box | None = None,
    width: float | None = None,
    most: int = 1_000_000,
    progress: StageProgress | Literal[True] | None = None,
) -> CriticalSet:
    r"""Every critical point of f in a box, proved to be all, for a few variables.

    Branch and bound: ∇f and Hess f are enclosed on boxes by interval arithmetic, rounding included.
    A box is thrown away where no point of it can be critical, or critical with f ≤ ε; a point is
    counted where Krawczyk's test proves exactly one, nondegenerate, with its index; other boxes are
    narrowed by an interval Newton method, and split. Boxes narrower than `width` that are neither
    are returned as undecided: degenerate critical points always are.

    Where f = L + λ‖θ‖² with λ > 0 and L is known to be nonnegative (cross-entropy and mean squares
    with weights that are), M_ε = {f ≤ ε} lies in the ball ‖θ‖² ≤ ε/λ, and the box may be left out.

    Args:
        f: the landscape, twice continuously differentiable.
        level: ε: only points with f ≤ ε count; None counts all in the box.
        box: r for [-r, r]^D, (low, high) for all variables or corners of shape (2, D).
        width: at which boxes are no longer split; None is 1e-7 of the widest side.
        most: boxes that are looked at; what is left then is undecided.
        progress: True for bars, or called as progress(boxes looked at, with those that wait).

    Raises:
        ArgumentError: no box, where M_ε is not known to be bounded; a function with kinks, or with
            an operation of which nothing is known on a box, by its name.

    Source:
        Krawczyk, Computing 4 (1969); Moore, SIAM J. Numer. Anal. 14 (1977); Neumaier, Interval
        Methods for Systems of Equations (1990), chapter 5.

    Example:
        >>> import morsescape as ms
        >>> from morsescape.complete import all_critical_points
        >>> found = all_critical_points(ms.zoo.double_well.objective(), box=3.0)
        >>> found.complete, found.counts, found.euler_characteristic
        (True, (2, 1, 0), 1)
    """
    assert progress is not True
    _check(f)
    if box is None:
        corners = box_of_level(f, level)
    else:
        assert isinstance(box, Tensor)
        corners = box
    limits = Limits(
        level=math.inf if level is None else level,
        ridge=f.l2 if nonnegative(f) else 0.0,
        width=_WIDTH * float((corners[1] - corners[0]).max()) if width is None else width,
        most=most,
    )
    search = Search(Enclosures(f), Interval(*corners), limits)
    try:
        search.run(progress)
        sealed = box is None or (
            level is not None and is_above(search.f, Interval(*corners), level)
        )
    except (NoErrorRule, NotTraceable) as missing:
        raise ArgumentError(
            "f", expected="operations that can be enclosed on boxes", got=str(missing),
            cure="write it by others, smooth on all of the box",
        ) from missing  # fmt: skip
    return _concluded(search, corners, level, sealed)


def _check(f: Objective) -> None:
    """Refuse kinks and derivatives that are not those of f."""
    rough = structure_of(f.source).not_smooth
    if rough:
        raise ArgumentError(
            "f", expected="a function without kinks", got=f"one that uses {', '.join(rough)}",
            cure="use smooth activations and losses: tanh, softplus, squares",
        )  # fmt: skip
    if f.source.doubts:
        raise ArgumentError(
            "f", expected="derivatives that are those of f", got=f.source.doubts[0],
            cure="write it by operations that torch differentiates",
        )  # fmt: skip


def _concluded(search: Search, box: Tensor, level: float | None, sealed: bool) -> CriticalSet:
    """The points that count, and whatever is not decided."""
    limits = search.limits
    undecided = list(search.undecided)
    stopped = len(search.todo.low) > 0
    reasons = ["at the limit of boxes"] if stopped else []
    if len(undecided) > stopped:
        reasons.append("narrower than the width")
    points = []
    found = search.found
    for k in range(0 if found is None else len(found)):
        assert found is not None
        place = found.place[k]
        inside = bool(place.within(Interval(*box)).all())
        outside = not bool(place.meets(Interval(*box)).all())
        high, low = float(found.value.high[k]), float(found.value.low[k])
        if outside or low > limits.level:
            continue
        if not inside or high > limits.level:
            undecided.append(place[None])
            reasons.append("a point at the level" if inside else "a point at the edge of the box")
            continue
        points.append(found.point(k))
    points.sort(key=lambda p: p.value)
    left = joined_boxes(undecided) if undecided else None
    corners = box.new_zeros(0, 2, box.shape[1]) if left is None else torch.stack(
        [left.low, left.high], 1
    )  # fmt: skip
    return CriticalSet(
        tuple(points), corners, box, level, sealed, search.boxes, limits.width,
        tuple(dict.fromkeys(reasons)), search.f.f,
    )  # fmt: skip
