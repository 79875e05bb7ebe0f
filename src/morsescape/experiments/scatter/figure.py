"""Many solutions in the plane, and how far apart they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from morsescape.errors import ArgumentError
from morsescape.experiments.scatter.study import ScatterResult
from morsescape.figures.style import BLUE, GREY, ORANGE, dress, own_axes
from morsescape.page.svg import words_at

Values = Tensor | np.ndarray | Sequence[float]
_BINS = 40


def scatter_plane(
    coordinates: np.ndarray,
    loss: Values,
    dead: Tensor | np.ndarray | Sequence[bool] | None = None,
    ax: Axes | None = None,
    *,
    shares: tuple[float, float] | None = None,
    seeds: Sequence[int] = (),
) -> Axes:
    """Solutions in a plane, coloured by their loss; dead ones are crosses without colour.

    Args:
        coordinates: shape (M, 2).
        loss: shape (M,).
        dead: which have the same output for every image, shape (M,); None for none.
        ax: where to draw; None makes a figure.
        shares: of the variance that the two directions explain, for the axes.
        seeds: the numbers of the solutions, which a page says at each; none for their places.

    Raises:
        ArgumentError: no points, or lengths that differ.

    Example:
        >>> ax = scatter_plane(np.eye(3, 2), [0.1, 0.2, 2.3], [False, False, True])
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['2 solutions', '1 dead: constant output']
    """
    place, loss, dead = _checked(coordinates, loss, dead)
    ax = own_axes(ax, 4.4, 3.4)
    if dead.any():
        ax.plot(
            place[dead, 0], place[dead, 1], ls="none", marker="x", ms=4, color=GREY, mew=0.9,
            label=f"{int(dead.sum()):,} dead: constant output",
        )  # fmt: skip
    if not dead.all():
        # Few points large, many points small.
        size = float(np.clip(4000 / len(loss), 8, 30))
        drawn = ax.scatter(
            place[~dead, 0], place[~dead, 1], c=loss[~dead], s=size, cmap="viridis", lw=0.3,
            edgecolors="white", label=f"{int((~dead).sum()):,} solutions",
        )  # fmt: skip
        names = np.asarray(seeds if len(seeds) else range(len(loss)))[~dead]
        live = zip(names, loss[~dead], strict=True)
        words_at(drawn, [f"training {name}: loss {value:.4g}" for name, value in live])
        bar = ax.figure.colorbar(drawn, ax=ax, pad=0.02, aspect=30)
        bar.set_label("loss", fontsize=9)
        bar.ax.tick_params(labelsize=8)
    _name_axes(ax, shares)
    handles, labels = ax.get_legend_handles_labels()
    order = np.argsort(["dead" in label for label in labels], kind="stable")
    ax.legend(
        [handles[k] for k in order], [labels[k] for k in order], loc="lower left",
        bbox_to_anchor=(0, 1), ncols=2, frameon=False, fontsize=8, handletextpad=0.2,
        borderaxespad=0.2, columnspacing=1.0,
    )  # fmt: skip
    return ax


def distance_histogram(before: Values, after: Values | None = None, ax: Axes | None = None) -> Axes:
    """Histogram of the relative distances of all pairs, as they are and modulo symmetries.

    Args:
        before: shape (pairs,), each 1 for points at right angles and 0 for equal ones.
        after: the same modulo symmetries; None draws nothing.
        ax: where to draw; None makes a figure.

    Raises:
        ArgumentError: no pairs.

    Example:
        >>> ax = distance_histogram([0.9, 1.0, 1.1], [0.4, 0.5, 0.6])
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['as they are', 'modulo symmetries', 'right angle']
    """
    kinds = [("as they are", np.asarray(before), ORANGE)]
    if after is not None:
        kinds.append(("modulo symmetries", np.asarray(after), BLUE))
    if not all(len(values) for _, values, _ in kinds):
        raise ArgumentError("distances", expected="at least one", got="none", cure="two solutions")
    ax = own_axes(ax, 4.4, 3.4)
    top = 1.02 * max(1.0, *(float(values.max()) for _, values, _ in kinds))
    edges = np.linspace(0, top, _BINS + 1).tolist()
    for label, values, colour in kinds:
        ax.hist(values, edges, color=colour, alpha=0.25)
        ax.hist(values, edges, color=colour, histtype="step", lw=1.4, label=label)
    ax.axvline(1, color="0.4", lw=0.8, ls=":", label="right angle")
    ax.set_xlim(0, top)
    dress(ax, "distance / √(|θ|² + |θ'|²)", "pairs of solutions")
    handles, labels = ax.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda k: labels[k] == "right angle")
    ax.legend(
        [handles[k] for k in order], [labels[k] for k in order], fontsize=8, frameon=False,
        loc="upper left",
    )  # fmt: skip
    return ax


def scatter_figure(result: ScatterResult, *, title: str = "") -> Figure:
    """The plane of `scatter` beside the histogram of distances, in the width of a page.

    Without two solutions that are not dead there is no histogram.
    """
    wide = result.before is not None
    figure = Figure(figsize=(7.2 if wide else 4.4, 3.3), layout="constrained")
    left, *others = figure.subplots(1, 2 if wide else 1, squeeze=False)[0]
    plane = result.plane
    scatter_plane(plane.coordinates, result.loss, result.dead, left, shares=plane.shares)
    if result.before is not None and result.after is not None:
        distance_histogram(result.before.relative, result.after.relative, others[0])
    if title:
        figure.suptitle(title, fontsize=9)
    return figure


def scatter_parts(result: ScatterResult) -> tuple[Figure, ...]:
    """As `scatter_figure`, each panel a figure of its own, for a page."""
    plane = result.plane
    figures = [Figure(figsize=(3.9, 3.2), layout="constrained")]
    scatter_plane(plane.coordinates, result.loss, result.dead, figures[0].subplots(),
                  shares=plane.shares, seeds=result.seeds)  # fmt: skip
    if result.before is not None and result.after is not None:
        figures.append(Figure(figsize=(3.9, 3.2), layout="constrained"))
        ax = figures[1].subplots()
        distance_histogram(result.before.relative, result.after.relative, ax)
    return tuple(figures)


# -- inside ---------------------------------------------------------------------------------------


def _checked(
    coordinates: np.ndarray, loss: Values, dead: Tensor | np.ndarray | Sequence[bool] | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    place, values = np.asarray(coordinates, float), np.asarray(loss, float)
    flags = np.zeros(len(values), bool) if dead is None else np.asarray(dead, bool)
    if len(values) == 0 or place.shape != (len(values), 2) or flags.shape != values.shape:
        raise ArgumentError(
            "coordinates",
            expected="a point of the plane, a loss and a flag for each solution, at least one",
            got=f"shapes {place.shape}, {values.shape} and {flags.shape}",
            cure="pass arrays of the same solutions",
        )
    return place, values, flags


def _name_axes(ax: Axes, shares: tuple[float, float] | None) -> None:
    names = ("first", "second")
    texts = [
        f"{name} component" + ("" if shares is None else f" ({shares[k]:.1%} of variance)")
        for k, name in enumerate(names)
    ]
    dress(ax, *texts)
