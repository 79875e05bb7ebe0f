"""The pictures of docs/learn.md, and one for each example in docs/gallery.md.

python benchmarks/site_pictures.py        # all of them, in a minute
python benchmarks/site_pictures.py tree   # those with this word in their name
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import morsescape as ms
from morsescape.figures import heights_figure, profile_loss
from morsescape.figures.style import BLUE, GREY, ORANGE, VERMILLION, dress
from morsescape.objective import Objective
from morsescape.paths import profile

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "pictures"
MARKS = {0: ("o", BLUE, "minimum, index 0"), 1: ("X", VERMILLION, "pass, index 1"),
         2: ("^", "black", "maximum, index 2")}  # fmt: skip


def tilted(t: torch.Tensor) -> torch.Tensor:
    """Two wells of unequal depth and a pass between them."""
    return (t[0] ** 2 - 1) ** 2 + t[1] ** 2 + 0.2 * t[0]


# -- parts of pictures ----------------------------------------------------------------------------


def panels(count: int, width: float = 2.5, height: float = 2.5) -> list[Axes]:
    figure = Figure(figsize=(width * count, height), layout="constrained")
    return list(figure.subplots(1, count, squeeze=False)[0])


def values_on(f: Objective, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.array([[f.value(torch.tensor([a, b])) for a in x] for b in y])


def contours(ax: Axes, f: Objective, box: tuple[float, ...], levels: Any, **filled: Any) -> None:
    """Lines of equal f in grey; with `eps`, the part where f ≤ ε in blue."""
    x, y = np.linspace(*box[:2], 41), np.linspace(*box[2:], 41)
    z = values_on(f, x, y)
    ax.contour(x, y, z, levels=levels, colors=GREY, linewidths=0.5)
    if "eps" in filled:
        ax.contourf(x, y, z, levels=[z.min() - 1, filled["eps"]], colors=[BLUE], alpha=0.35)
    ax.set(xticks=[], yticks=[])


def points(ax: Axes, critical: Any, most: float = np.inf) -> None:
    """Proved critical points with f ≤ `most`, marked by their index."""
    for point in critical.points:
        if point.value[1] <= most:
            marker, colour, label = MARKS[point.index]
            ax.plot(*point.theta, marker, color=colour, ms=5, ls="none", label=label)


# -- learn ----------------------------------------------------------------------------------------


def learn_sublevel() -> Figure:
    """M_ε of two wells below, between and above the heights of the critical points."""
    f = Objective.from_function(tilted, 2)
    found = ms.all_critical_points(f, box=3.0)
    low, high, top = (point.value[1] for point in found.points)
    axes = panels(3)
    for ax, eps, word in zip(
        axes,
        (0.4 * low + 0.6 * high, (high + top) / 2, top + 0.15),
        ("one component is born", "a second is born", "above the pass: one"),
        strict=True,
    ):
        contours(ax, f, (-1.7, 1.7, -1.3, 1.3), np.linspace(-0.1, 3, 8), eps=eps)
        points(ax, found, eps)
        ax.set_title(f"ε = {eps:.2f}: {word}", fontsize=9)
    return axes[0].figure


def learn_index() -> Figure:
    """Three nondegenerate critical points, by the number of directions that lead down."""
    axes = panels(3)
    for ax, (a, b), word in zip(
        axes,
        ((1, 1), (-1, 1), (-1, -1)),
        ("index 0: none", "index 1: one, and its opposite", "index 2: all"),
        strict=True,
    ):
        f = Objective.from_function(lambda t, a=a, b=b: a * t[0] ** 2 + b * t[1] ** 2, 2)
        assert ms.inertia(f, torch.zeros(2).double()).index == (a < 0) + (b < 0)
        contours(ax, f, (-1, 1, -1, 1), np.linspace(-1.75, 1.75, 8))
        for way, curved in (((1, 0), a), ((0, 1), b)):
            for sign in (1, -1):
                start, end = (0.12, 0.75) if curved < 0 else (0.75, 0.12)
                tail, head = (tuple(sign * r * w for w in way) for r in (start, end))
                colour = VERMILLION if curved < 0 else BLUE
                ax.annotate("", head, tail, arrowprops={"arrowstyle": "->", "color": colour})
        ax.set_title(word, fontsize=9)
    return axes[0].figure


def learn_handles() -> Figure:
    """Four wells: each critical point changes M_ε by one handle."""
    f = Objective.from_function(lambda t: ((t**2 - 1) ** 2).sum(), 2)
    found = ms.all_critical_points(f, box=2.0)
    axes = panels(3)
    for ax, eps in zip(axes, (0.5, 1.5, 2.5), strict=True):
        below = [point.index for point in found.points if point.value[1] <= eps]
        n = [below.count(k) for k in range(3)]
        contours(ax, f, (-1.7, 1.7, -1.7, 1.7), [0.1, 0.4, 0.8, 1.2, 1.6, 3, 5], eps=eps)
        points(ax, found, eps)
        euler = n[0] - n[1] + n[2]
        ax.set_title(f"ε = {eps:g}: χ = {n[0]} - {n[1]} + {n[2]} = {euler}", fontsize=9)
    return axes[0].figure


def learn_tree() -> Figure:
    """A function of one variable and the merge tree of its minima, at the same heights."""

    def wells(t: torch.Tensor) -> torch.Tensor:
        return 0.05 * t[0] ** 4 - 0.6 * t[0] ** 2 + 0.8 * torch.cos(3 * t[0]) + 0.1 * t[0]

    f = Objective.from_function(wells, 1)
    found = ms.all_critical_points(f, box=4.5)
    assert found.complete
    left, right = panels(2, 3.2, 2.9)
    x = np.linspace(-3.9, 3.9, 200)
    left.plot(x, [f.value(torch.tensor([a])) for a in x], color=GREY, lw=1.2)
    for point in found.points:
        marker, colour, _ = MARKS[point.index]
        left.plot(float(point.theta[0]), point.value[1], marker, color=colour, ms=5)
    dress(left, "θ", "f")
    found.merge_tree().plot(right)
    floor = min(point.value[0] for point in found.points)
    right.set_ylabel("f above the lowest minimum", fontsize=9)
    right.set_ylim(*(y - floor for y in left.get_ylim()))
    return left.figure


def learn_kinks() -> Figure:
    """F and its slope along one direction: with ReLU the slope jumps."""
    told = runpy.run_path(str(ROOT / "examples" / "relu_and_kinks.py"))
    f, end = told["kinked"], told["end"].theta
    smooth = told["objective"](torch.nn.Softplus())
    way = f.gradient(end)
    way = way / way.norm()
    axes = panels(2, 3.2, 2.6)
    t = np.linspace(-2e-3, 2e-3, 161)
    for ax, g, centre, word in (
        (axes[0], f, end, "ReLU"),
        (axes[1], smooth, told["smooth"].theta, "softplus"),
    ):
        ax.plot(t, [float(g.gradient(centre + s * way) @ way) for s in t], color=BLUE, lw=1.2)
        ax.axhline(0, color=GREY, lw=0.6)
        dress(ax, "t", "slope of f")
        ax.set_title(f"{word}: where the search ended, at t = 0", fontsize=9, pad=14)
    return axes[0].figure


# -- gallery: each from what an example leaves ---------------------------------------------------


def gallery_critical_points_of_a_function(told: dict[str, Any]) -> Figure:
    ax = panels(1, 4.2, 3.6)[0]
    contours(ax, told["f"], (-5.2, 5.2, -5.2, 5.2), [5, 20, 60, 100, 150, 200, 300, 500])
    for point in told["found"].values():
        marker, colour, label = MARKS[point.index]
        ax.plot(*point.theta, marker, color=colour, ms=6, ls="none", label=label)
    entries = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    ax.legend(entries.values(), entries.keys(), fontsize=8, loc="upper left")
    return ax.figure


def gallery_connect_two_minima(told: dict[str, Any]) -> Figure:
    ways = [("straight line", told["line"].height), ("aligned, Bezier", told["path"].height)]
    return heights_figure(ways, panels(1, 4.8, 3.0)[0]).figure


def gallery_lower_the_index(told: dict[str, Any]) -> Figure:
    ax = panels(1, 4.8, 2.8)[0]
    steps = told["way"].trajectory
    ax.plot([step.value for step in steps], color=BLUE, marker=".", lw=1.2)
    for k, step in enumerate(steps):
        if step.negative is None:  # not counted there
            continue
        low, high = step.negative
        text = str(low) if low == high else f"[{low}, {high}]"
        ax.annotate(text, (k, step.value), (3, 4), textcoords="offset points", fontsize=8)
    dress(ax, "step", "f; beside it, negative eigenvalues")
    return ax.figure


def gallery_your_model(told: dict[str, Any]) -> Figure:
    return spectrum(ms.inertia(told["f"], method="eigh"))


def gallery_proved_signs(told: dict[str, Any]) -> Figure:
    return spectrum(told["signs"])


def spectrum(signs: ms.Inertia) -> Figure:
    return signs.plot(panels(1, 5.2, 3.2)[0]).figure


def gallery_proved_minimum(told: dict[str, Any]) -> Figure:
    """Eigenvalues where Adam stopped and at the minimum, in their order."""
    ax = panels(1, 4.8, 3.0)[0]
    for point, colour, word in (
        (told["f"].theta, ORANGE, "where Adam stopped"),
        (told["minimum"].theta, BLUE, "at the minimum"),
    ):
        values = ms.inertia(told["f"], point, method="eigh").eigenvalues
        ax.plot(range(1, len(values) + 1), values, ".", color=colour, label=word)
    ax.axhline(0, color=GREY, lw=0.6)
    ax.set_yscale("symlog", linthresh=1e-3)
    ax.legend(fontsize=8, frameon=False)
    dress(ax, "place in order", "eigenvalue")
    return ax.figure


def gallery_relu_and_kinks(told: dict[str, Any]) -> Figure:
    return heights_figure([("line", told["path"].height)], panels(1, 4.8, 3.0)[0]).figure


def gallery_tree_of_a_network(told: dict[str, Any]) -> Figure:
    return told["graph"].plot(panels(1, 3.6, 3.2)[0]).figure


def gallery_zero_unit(told: dict[str, Any]) -> Figure:
    """F from one minimum over the pass to the other."""
    chain = torch.stack([told["ends"][0].theta, told["embedded"].theta, told["ends"][1].theta])
    way = profile(told["wide"], ms.Curve.chain(chain))
    return profile_loss(way, panels(1, 4.8, 3.0)[0]).figure


def drawn() -> dict[str, Callable[[], Figure]]:
    """All pictures by their names."""
    made: dict[str, Callable[[], Figure]] = {}
    for name, draw in list(globals().items()):
        if name.startswith("learn_"):
            made[name.replace("_", "-")] = draw
        elif name.startswith("gallery_"):
            file = ROOT / "examples" / f"{name.removeprefix('gallery_')}.py"
            made[name.replace("_", "-")] = lambda d=draw, p=file: d(runpy.run_path(str(p)))
    return made


if __name__ == "__main__":
    words = sys.argv[1:] or [""]
    for name, draw in drawn().items():
        if any(word in name for word in words):
            with rc_context({"svg.hashsalt": name, "font.size": 9}):
                draw().savefig(PICTURES / f"{name}.svg", metadata={"Date": None})
            print(name)
