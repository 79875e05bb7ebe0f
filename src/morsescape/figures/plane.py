"""f on the plane through three points, and a curve seen on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64
from matplotlib.axes import Axes
from torch import Tensor

from morsescape.errors import ArgumentError
from morsescape.figures.style import VERMILLION, dress, own_axes
from morsescape.objective import Objective
from morsescape.paths.curve import Curve

_SAMPLES = 201  # of the curve
_LEAST = 1e-12  # of the distances: three points on one line span no plane


@dataclass(frozen=True, eq=False)
class Plane:
    """A plane in Rᴰ: origin + a e₁ + b e₂, e₁ and e₂ orthonormal.

    Attributes:
        origin: the first of three points, shape (D,).
        axes: e₁ towards the second, e₂ so that the third has b > 0; shape (2, D).
        unseen: share of the curve's bending off the plane: ∫‖q‖² dt / ∫‖p‖² dt, p from the chord
            through both ends to the curve, q from the plane; 0 for a curve in the plane, and for
            one that is straight.
    """

    origin: Float64[Tensor, "D"]
    axes: Float64[Tensor, "2 D"]
    unseen: float

    def seen(self, points: Float64[Tensor, "n D"]) -> Float64[Tensor, "n 2"]:
        """(a, b) of the points' projections."""
        return (points - self.origin) @ self.axes.T

    def at(self, a: float, b: float) -> Float64[Tensor, "D"]:
        """The point of Rᴰ."""
        return self.origin + a * self.axes[0] + b * self.axes[1]


def plane_of(curve: Curve, third: Float64[Tensor, "D"] | None = None) -> Plane:
    """The plane through both ends of a curve and a third point.

    Args:
        curve: γ.
        third: by default the middle control point of a single bent piece, and γ(½) otherwise, or
            the sampled point farthest from the chord where that lies on it.

    Raises:
        ArgumentError: ends that coincide, or a third point on the line through them.

    Example:
        >>> import torch
        >>> bend = Curve(torch.tensor([[[0.0, 0, 0], [1, 2, 0], [2, 0, 0]]]).double())
        >>> plane = plane_of(bend)
        >>> plane.axes.tolist(), plane.unseen
        ([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], 0.0)
    """
    points = torch.stack([curve(k / (_SAMPLES - 1)) for k in range(_SAMPLES)])
    first, last = points[0], points[-1]
    length = float((last - first).norm())
    if length == 0:
        raise ArgumentError(
            "curve", expected="two different ends", got="a closed curve", cure="draw a part of it"
        )
    along = (last - first) / length
    off = _without(points - first, along)
    if third is None:
        one_bend = len(curve.pieces) == 1 and curve.degree == 2
        third = curve.pieces[0, 1] if one_bend else points[_SAMPLES // 2]
        if float(_without(third - first, along).norm()) <= _LEAST * length:
            third = points[int(off.norm(dim=1).argmax())]
    axis = axis_across(first, along, third, length)
    if axis is None:
        raise ArgumentError(
            "third", expected="a point off the line through both ends", got="one on it",
            cure="a straight curve needs a third point of its own",
        )  # fmt: skip
    bending = off.square().sum(1).mean()
    rest = _without(off, axis).square().sum(1).mean()
    straight = float(bending.sqrt()) <= _LEAST * length
    return Plane(first, torch.stack([along, axis]), 0.0 if straight else float(rest / bending))


def axis_across(
    first: Float64[Tensor, "D"], along: Float64[Tensor, "D"], third: Float64[Tensor, "D"],
    length: float,
) -> Float64[Tensor, "D"] | None:  # fmt: skip
    """The unit vector orthogonal to `along` towards the third point; None if it is on the line."""
    across = _without(third - first, along)
    if not float(across.norm()) > _LEAST * max(length, float((third - first).norm())):
        return None
    return across / across.norm()


def _without(vectors: Tensor, axis: Tensor) -> Tensor:
    """Their parts orthogonal to a unit vector, projected twice against rounding."""
    for _ in range(2):
        vectors = vectors - (vectors @ axis).unsqueeze(-1) * axis
    return vectors


def plane_figure(
    f: Objective,
    curve: Curve,
    ax: Axes | None = None,
    *,
    third: Float64[Tensor, "D"] | None = None,
    grid: int = 31,
    margin: float = 0.2,
    levels: int = 12,
) -> Axes:
    """Contours of f on the plane through both ends and the bend of a curve, and its projection.

    Off the plane f is not what the contours say: the caption has the share of the curve's bending
    that the plane does not see. Levels are even in log(f - min f + 1% of the curve's range).

    Args:
        f: the landscape; evaluated grid² times.
        curve: γ.
        ax: where to draw; None makes a figure.
        third: as in `plane_of`.
        grid: points on a side, 2 or more.
        margin: around the curve, as a share of its extent.
        levels: of the contours.

    Raises:
        ArgumentError: three points on one line, or no grid.

    Source:
        Garipov et al., Loss surfaces, mode connectivity, and fast ensembling of DNNs (2018),
        fig. 1.

    Example:
        >>> import torch
        >>> from morsescape import zoo
        >>> bend = Curve(torch.tensor([[[-1.0, 0], [0, 2], [1, 0]]]).double())
        >>> plane_figure(zoo.banana.objective(), bend, grid=9).get_title()
        'off the plane: 0.0% of the bending'
    """
    if grid < 2:
        raise ArgumentError("grid", expected="2 or more", got=grid, cure="leave it out for 31")
    ax, plane = own_axes(ax, 4.2, 3.6), plane_of(curve, third)
    times = [k / (_SAMPLES - 1) for k in range(_SAMPLES)]
    seen = plane.seen(torch.stack([curve(t) for t in times])).numpy()
    sides, height = heights_on(f, plane, seen, grid, margin)
    on_curve = np.array([f.value(curve(t)) for t in times[::10]])
    contours(ax, sides, height, on_curve, levels)
    ax.plot(seen[:, 0], seen[:, 1], color=VERMILLION, lw=1.4)
    ax.plot(*seen[[0, -1]].T, ls="none", marker="o", ms=4, color=VERMILLION)
    dress(ax, "along the chord", "across it")
    ax.set_title(f"off the plane: {100 * plane.unseen:.1f}% of the bending", fontsize=8)
    return ax


def heights_on(
    f: Objective, plane: Plane, seen: np.ndarray, grid: int, margin: float
) -> tuple[list[np.ndarray], np.ndarray]:
    """The coordinates of a grid around points of the plane, and f there, a row for each b."""
    extent = margin * max(np.ptp(seen[:, 0]), np.ptp(seen[:, 1]))
    sides = [np.linspace(s.min() - extent, s.max() + extent, grid) for s in seen.T]
    return sides, np.array([[f.value(plane.at(a, b)) for a in sides[0]] for b in sides[1]])


def contours(
    ax: Axes, sides: list[np.ndarray], height: np.ndarray, on_curve: np.ndarray, levels: int
) -> None:
    """Levels of f, narrow near its least value, with their bar."""
    finite = height[np.isfinite(height)]
    if not finite.size or finite.min() == finite.max():
        return  # nothing to tell apart
    low, high = float(finite.min()), float(finite.max())
    extent = float(np.ptp(on_curve[np.isfinite(on_curve)])) if on_curve.size else 0.0
    floor = max(0.01 * extent, 1e-3 * (high - low))
    cuts = low - floor + np.geomspace(floor, high - low + floor, levels)
    cuts[0], cuts[-1] = low, high
    drawn = ax.contourf(*sides, np.ma.masked_invalid(height), levels=cuts, cmap="Blues_r")
    apart = (d for d in range(3, 17) if len({f"{cut:.{d}g}" for cut in cuts}) == levels)
    bar = ax.figure.colorbar(drawn, ax=ax, format=f"%.{next(apart, 17)}g")
    bar.set_label("f", fontsize=9)
    bar.ax.tick_params(labelsize=7)
