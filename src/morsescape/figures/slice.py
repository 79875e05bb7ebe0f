"""f on the plane through three points."""

from __future__ import annotations

import io
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from morsescape.boundary import a_count, a_number, checked, instance
from morsescape.critical.result import CriticalPoint, a_point
from morsescape.errors import ArgumentError
from morsescape.figures.plane import Plane, axis_across, contours, heights_on
from morsescape.figures.style import VERMILLION, dress, own_axes
from morsescape.notebook import Shown
from morsescape.objective import Objective

_LEVELS = 12


@dataclass(frozen=True, eq=False)
class Slice(Shown):
    """f on a grid of the plane a + x e₁ + y e₂ through three points.

    Attributes:
        plane: origin a, and e₁, e₂ orthonormal, e₁ towards b, c at y > 0.
        x, y: coordinates of the grid, shape (n,) each.
        values: f, shape (n, n), a row for each y.
        points: (x, y) of a, b and c, shape (3, 2).
        at_points: f at a, b and c, shape (3,).
    """

    plane: Plane
    x: Float64[Tensor, "n"]
    y: Float64[Tensor, "n"]
    values: Float64[Tensor, "n n"]
    points: Float64[Tensor, "3 2"]
    at_points: Float64[Tensor, "3"]

    def plot(
        self, ax: Axes | None = None, *, names: tuple[str, str, str] = ("a", "b", "c")
    ) -> Axes:
        """Draw contours of f, with the three points marked by their names."""
        ax = own_axes(ax, 4.2, 3.6)
        sides = [self.x.numpy(), self.y.numpy()]
        contours(ax, sides, self.values.numpy(), self.at_points.numpy(), _LEVELS)
        ax.plot(*self.points.T.numpy(), ls="none", marker="o", ms=4, color=VERMILLION)
        for name, place in zip(names, self.points.tolist(), strict=True):
            ax.annotate(name, place, xytext=(4, 4), textcoords="offset points", fontsize=9)
        dress(ax, f"from {names[0]} towards {names[1]}", f"across, towards {names[2]}")
        return ax

    def _repr_html_(self) -> str:
        figure = Figure(figsize=(4.2, 3.6), layout="constrained")
        self.plot(figure.subplots())
        written = io.StringIO()
        figure.savefig(written, format="svg")
        text = written.getvalue()
        return text[text.index("<svg") :]


@checked(
    f=instance(Objective, "ms.Objective(model, loss, data) makes a landscape"),
    a=a_point("f"), b=a_point("f"), c=a_point("f"), grid=a_count(2),
    margin=a_number(least=0),
)  # fmt: skip
def plane(
    f: Objective,
    a: Float64[Tensor, "D"] | CriticalPoint,
    b: Float64[Tensor, "D"] | CriticalPoint,
    c: Float64[Tensor, "D"] | CriticalPoint,
    *,
    grid: int = 31,
    margin: float = 0.2,
) -> Slice:
    """Values of f on the plane through three points: `.plot()` and notebooks draw its contours.

    For two directions u and v from a, pass a + u and a + v. What lies off the plane is not seen:
    a minimum in it need not be one of f.

    Args:
        f: the landscape; evaluated grid² + 3 times.
        a: where (x, y) = (0, 0), shape (D,), or a result of `find_critical_point`.
        b: a point at y = 0, the same.
        c: a third point, off the line through a and b, the same.
        grid: points on a side, 2 or more.
        margin: around the points, as a share of their extent.

    Raises:
        ArgumentError: points on one line, a point of another shape.

    Source:
        Garipov et al., Loss surfaces, mode connectivity, and fast ensembling of DNNs (2018),
        fig. 1.

    Example:
        >>> import torch, morsescape as ms
        >>> f = ms.Objective.from_function(lambda t: t[0] ** 2 + 4 * t[1] ** 2 + t[2] ** 2, 3)
        >>> a, b, c = torch.tensor([[0.0, 0, 1], [2, 0, 1], [1, 1, 1]]).double()
        >>> seen = ms.plane(f, a, b, c, grid=5)
        >>> seen.points.tolist(), seen.at_points.tolist()
        ([[0.0, 0.0], [2.0, 0.0], [1.0, 1.0]], [1.0, 5.0, 6.0])
    """
    assert isinstance(a, Tensor)
    assert isinstance(b, Tensor)
    assert isinstance(c, Tensor)
    length = float((b - a).norm())
    along = (b - a) / length if length > 0 else b - a
    across = axis_across(a, along, c, length) if length > 0 else None
    if across is None:
        raise ArgumentError(
            "c", expected="three points that are on no line", got="three points on one line",
            cure="pass another third point",
        )  # fmt: skip
    through = Plane(a, torch.stack([along, across]), 0.0)
    corners = torch.stack([a, b, c])
    points = through.seen(corners)
    sides, heights = heights_on(f, through, points.numpy(), grid, margin)
    at_points = torch.tensor([f.value(corner) for corner in corners], dtype=torch.float64)
    x, y, values = map(torch.from_numpy, (*sides, heights))
    return Slice(through, x, y, values, points, at_points)
