"""Linear regression on separable points: the section of the page."""

from __future__ import annotations

from collections.abc import Iterator

from matplotlib.figure import Figure
from torch import Tensor

from morsescape.critical import CertificateStatus
from morsescape.experiments.linear.figure import descent_curves, separating_line
from morsescape.experiments.linear.study import LinearResult
from morsescape.figures.style import BLUE, VERMILLION
from morsescape.page import PageTable, Picture, Section
from morsescape.page.readable import interval, rounded_up


def linear_section(result: LinearResult) -> Section:
    """Section 5.4 and Example 1: one critical point, its index, and every descent that ends there.

    Example:
        >>> from morsescape.experiments.linear.study import LinearSettings, linear_run
        >>> settings = LinearSettings(starts=3, steps=10_000)
        >>> section = linear_section(LinearResult.from_piece(settings, *linear_run(settings)))
        >>> section.anchor, len(section.pictures)
        ('linear', 2)
    """
    return Section(
        "A landscape with one critical point: linear regression",
        "linear",
        tuple(_lead(result)),
        (_eigenvalues(result), _distances(result)),
        (_points(result), _descents(result)),
        "morsescape reproduce --parts linear"
        + (f" --seed {result.settings.seed}" if result.settings.seed else ""),
        tuple(_details(result)),
        plain="For comparison, a landscape that is a single bowl: every way down ends at the same "
        "point.",
    )


# -- sentences ------------------------------------------------------------------------------------


def _lead(result: LinearResult) -> Iterator[str]:
    certificate, settings = result.certificate, result.settings
    one = (
        f"has one critical point: its Hessian is constant, of index "
        f"{interval(result.inertia.negative)}, and proved positive definite;"
        if _definite(result)
        else f"has a constant Hessian, of index {interval(result.inertia.negative)};"
    )
    yield (
        f"Linear regression on {settings.points} separable points {one} gradient descent from "
        f"{settings.starts} starts up to {_most(result.distances[:, 0]):.0f} away ends within "
        f"{rounded_up(_most(result.distances[:, -1]))} of the least-squares solution from each."
    )
    earlier, last = (_most(result.sgd_distances[:, place]) for place in (-2, -1))
    yield (
        "Stochastic gradient descent, a point a step in an order of its own for each start, is "
        f"within {rounded_up(last)} after {int(result.sgd_steps[-1]):,} steps"
        f"{', and still approaching' if last < earlier else ''}. {result.accuracy:.0%} of the "
        "points are on their side of the line."
    )
    if certificate.status is CertificateStatus.PROVED:
        yield (
            f"Proved: an exact critical point of index {interval(certificate.index)} lies within "
            f"{rounded_up(certificate.distance)} of the computed solution."
        )
    else:
        yield f"Of the critical point: {certificate}."


def _details(result: LinearResult) -> Iterator[str]:
    yield (
        "The loss is the mean of (wᵀx + b - y)² with y = ±1, a quadratic in θ = (w, b): "
        "Hess L = (2/N) Σ (x, 1)(x, 1)ᵀ does not depend on θ. Computed at the solution and at "
        f"{result.places} of the starts, its entries differ by {result.hessian_difference:.1g} at "
        "most. A positive definite constant Hessian means that L is strictly convex: it has one "
        "critical point, to which every descent goes that converges to a critical point, and "
        "every sublevel set is one ellipsoid or empty."
    )
    smallest, radius = result.eigenvalues[0], result.inertia.radius
    yield (
        f"The smallest eigenvalue is {smallest:.6f}, within {rounded_up(radius)} of the true one: "
        f"{'proved positive' if smallest > radius else 'not proved positive'}."
    )
    yield (
        "Distances are from the least-squares solution in rational arithmetic, each of its three "
        "numbers rounded once."
    )


# -- tables and pictures --------------------------------------------------------------------------


def _eigenvalues(result: LinearResult) -> PageTable:
    values = "  ".join(f"{value:.6f}" for value in result.eigenvalues)
    rows = (
        ("eigenvalues of the Hessian", values),
        ("each within", rounded_up(result.inertia.radius)),
        ("negative, proved", interval(result.inertia.negative)),
        ("null, proved", interval(result.inertia.null)),
        ("positive, proved", interval(result.inertia.positive)),
        ("largest difference between Hessians", f"{result.hessian_difference:.1g}"),
        ("|grad L| at the solution", f"{result.certificate.grad_norm:.1e}"),
    )
    return PageTable("The one critical point", ("quantity", "value"), rows)


def _distances(result: LinearResult) -> PageTable:
    rows = []
    for name, steps, distances in (
        ("gradient descent", result.steps, result.distances),
        ("stochastic gradient descent", result.sgd_steps, result.sgd_distances),
    ):
        start, end = distances[:, 0], distances[:, -1]
        rows.append(
            (
                name,
                f"{int(steps[-1]):,}",
                f"{float(start.min()):.2g} to {_most(start):.2g}",
                f"{float(end.min()):.1e} to {_most(end):.1e}",
            )
        )
    return PageTable(
        f"Distance of {result.settings.starts} descents from the least-squares solution",
        ("descent", "steps", "at the start", "at the end"),
        tuple(rows),
    )


def _points(result: LinearResult) -> Picture:
    figure = Figure(figsize=(3.6, 3.6), layout="constrained")
    parts = (result.x, result.y, result.least_squares, result.first, result.last)
    separating_line(figure.subplots(), *(part.numpy() for part in parts))
    return Picture(
        figure,
        "Points of two classes in a square, on the two sides of a gap; lines in all directions at "
        "the starts, and one line through the gap at the end.",
        f"The {result.settings.points} points, the lines at the {result.settings.starts} starts, "
        "and where all of them end.",
    )


def _descents(result: LinearResult) -> Picture:
    figure = Figure(figsize=(4.0, 3.0), layout="constrained")
    ax = figure.subplots()
    for steps, distances, colour, label in (
        (result.sgd_steps, result.sgd_distances, VERMILLION, "stochastic, a point a step"),
        (result.steps, result.distances, BLUE, "all points a step"),
    ):
        descent_curves(ax, steps.numpy(), distances.numpy(), colour, label)
    return Picture(
        figure,
        "Distances on log axes: gradient descent falls to rounding within about a hundred steps "
        "from every start; stochastic gradient descent falls steadily with the steps.",
        "Distance from the least-squares solution, one curve for each start.",
    )


def _definite(result: LinearResult) -> bool:
    """Whether all eigenvalues are proved positive."""
    return result.inertia.positive[0] == result.inertia.dim


def _most(distances: Tensor) -> float:
    return float(distances.max())
