"""Section 5.4 and Example 1 of the paper: linear regression has one critical point, a minimum.

The loss of ŷ = wᵀx + b under mean squared error is a quadratic, so its Hessian is the same
everywhere. Where the points do not lie on a line it is positive definite: one critical point, of
index 0, which is the limit from every start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from operator import mul
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from morsescape.boundary import a_count, a_seed, checked
from morsescape.critical import Certificate, certify
from morsescape.experiments.part import Part, the_only_piece
from morsescape.experiments.sweep import Outcome, Task
from morsescape.objective import Objective
from morsescape.spectrum.inertia import Inertia, inertia
from morsescape.store import Pieced, Settings

if TYPE_CHECKING:
    from morsescape.experiments.reproduce.study import ReproduceSettings

_MARGIN = 0.1  # of the separating line
_SPREAD = 5.0  # standard deviation of the starts
_PLACES = 5  # starts at which the Hessian is compared
_SHOWN = 60  # steps at which the distance is kept


@checked(points=a_count(10), starts=a_count(2), steps=a_count(10_000), seed=a_seed())
@dataclass(frozen=True)
class LinearSettings(Settings):
    """Which points, and how often and how long to descend.

    Attributes:
        points: how many points in the plane, ≥ 10; a line separates the two classes.
        starts: how many random starts.
        steps: of stochastic gradient descent, one point a step, in whole epochs, each start in an
            order of its own. Gradient descent on all points takes a hundredth of it.
        seed: of points, starts and orders.
    """

    EXPERIMENT = "linear regression"
    points: int = 100
    starts: int = 20
    steps: int = 50_000
    seed: int = 0


@dataclass(frozen=True, eq=False)
class LinearResult(Pieced):
    """Where every descent ended, and what is proved about the one critical point.

    Attributes:
        settings: what was asked for.
        x, y: the points (N, 2) and their classes ±1 (N,).
        first, last: θ = (w, b) of each start, before and after gradient descent, (starts, 3).
        stochastic: θ of each start after stochastic gradient descent, (starts, 3).
        least_squares: θ*, the exact solution with each number rounded once, (3,).
        steps, distances: of gradient descent (k,), and ‖θ - θ*‖ there, (starts, k).
        sgd_steps, sgd_distances: the same of stochastic gradient descent.
        hessian_difference: the largest difference of an entry between the Hessians computed at
            `places` starts.
        inertia: of the Hessian at θ*, with its three eigenvalues.
        certificate: of the critical point near θ*.
        accuracy: share of points on their side of the line at θ*, in [0, 1].
    """

    settings: LinearSettings
    x: Tensor
    y: Tensor
    first: Tensor
    last: Tensor
    stochastic: Tensor
    least_squares: Tensor
    steps: Tensor
    distances: Tensor
    sgd_steps: Tensor
    sgd_distances: Tensor
    hessian_difference: float
    places: int
    inertia: Inertia
    certificate: Certificate
    accuracy: float

    @property
    def eigenvalues(self) -> tuple[float, ...]:
        """Of the Hessian, ascending, each within `inertia.radius` of the true one."""
        return self.inertia.eigenvalues or ()

    def to_json(self) -> dict[str, Any]:
        """As JSON values; the distances at the end only."""
        counted = self.inertia
        return {
            "settings": self.settings.to_json(),
            "least_squares": self.least_squares.tolist(),
            "accuracy": self.accuracy,
            "hessian_difference": self.hessian_difference,
            "hessian_places": self.places,
            "eigenvalues": list(self.eigenvalues),
            "negative": list(counted.negative),
            "positive": list(counted.positive),
            "radius": counted.radius,
            "status": counted.status.name,
            "certificate": self.certificate.to_json(),
            "start_distances": self.distances[:, 0].tolist(),
            "distances": self.distances[:, -1].tolist(),
            "sgd_distances": self.sgd_distances[:, -1].tolist(),
        }


def linear_run(settings: LinearSettings) -> Outcome:
    """Draw the points, descend from all starts, certify the limit.

    Returns:
        JSON values and tensors: `LinearResult.from_piece` makes a result of them.

    Source:
        Akhtiamov & Thomson, section 5.4 and Example 1.

    Example:
        >>> settings = LinearSettings(starts=4, steps=10_000)
        >>> result = LinearResult.from_piece(settings, *linear_run(settings))
        >>> result.inertia.index, result.certificate.status.name
        (0, 'PROVED')
    """
    rng = np.random.default_rng(settings.seed)
    points, y = _separable(settings.points, rng)
    design = np.column_stack([points, np.ones(len(y))])
    with torch.random.fork_rng(devices=[]):
        line = torch.nn.Linear(2, 1)
    f = Objective(line, "mse", (torch.from_numpy(points), torch.from_numpy(y[:, None])))
    best = _least_squares(design, y)
    counted = inertia(f, torch.from_numpy(best), method="eigh")
    smallest, _, largest = counted.eigenvalues or ()
    first = best + _SPREAD * rng.standard_normal((settings.starts, 3))

    def all_points(theta: np.ndarray, done: int) -> np.ndarray:
        return theta - (1 / largest) * 2 * (theta @ design.T - y) @ design / len(y)

    last, steps, distances = _descend(all_points, first, best, settings.steps // 100, 1)
    one_point = _stochastic(design, y, smallest, settings.starts, rng)
    epochs = max(1, settings.steps // len(y))
    stochastic, sgd_steps, sgd_distances = _descend(one_point, first, best, epochs, len(y))
    hessians = torch.stack([f.hessian(theta) for theta in (best, *first[:_PLACES])])
    payload = {
        "hessian_difference": float((hessians - hessians[0]).abs().max()),
        "places": len(first[:_PLACES]),
        "inertia": counted.to_json(),
        "certificate": certify(f, torch.from_numpy(best)).to_json(),
        "accuracy": int(((design @ best) * y > 0).sum()) / len(y),
    }
    arrays = {
        "x": points, "y": y, "first": first, "last": last, "stochastic": stochastic,
        "least_squares": best, "steps": steps, "distances": distances, "sgd_steps": sgd_steps,
        "sgd_distances": sgd_distances,
    }  # fmt: skip
    return payload, {name: torch.from_numpy(array) for name, array in arrays.items()}


def linear_parts(settings: ReproduceSettings) -> Iterator[Part]:
    """Section 5.4 and Example 1."""
    own = LinearSettings(seed=settings.seed)
    tasks = (Task("regression", linear_run, (own,)),)
    collect = the_only_piece(LinearResult.from_piece, own)
    yield Part("linear", own.identity(), tasks, collect, seconds=15.0)


def _separable(points: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Points of the square [-1, 1]², none within the margin of a random line near its middle."""
    angle, offset = rng.uniform(0, np.pi), rng.uniform(-0.2, 0.2)
    drawn = rng.uniform(-1, 1, (20 * points, 2))  # far more than are left out
    side = drawn @ np.array([np.cos(angle), np.sin(angle)]) + offset
    keep = np.flatnonzero(np.abs(side) > _MARGIN)[:points]
    return drawn[keep], np.sign(side[keep])


def _least_squares(design: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The solution of the normal equations in rational arithmetic, each number rounded once.

    LAPACK's is as good for the eye, but its last digits differ from run to run.
    """
    columns = [list(map(Fraction, column)) for column in (*design.T.tolist(), y.tolist())]
    rows = [[sum(map(mul, a, b), Fraction(0)) for b in columns] for a in columns[:3]]
    for i in range(3):  # Gauss and Jordan; the pivots of a definite matrix are not zero
        rows[i] = [value / rows[i][i] for value in rows[i]]
        for j in {0, 1, 2} - {i}:
            rows[j] = [a - rows[j][i] * b for a, b in zip(rows[j], rows[i], strict=True)]
    return np.array([float(row[3]) for row in rows])


def _descend(
    epoch: Callable[[np.ndarray, int], np.ndarray], first: np.ndarray, best: np.ndarray,
    times: int, length: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """`times` epochs of `length` steps from all starts; distances at epochs of equal ratios."""
    theta, kept = first, {round(n) for n in np.geomspace(1, times, _SHOWN)}
    distances = [np.linalg.norm(theta - best, axis=1)]
    for done in range(times):
        theta = epoch(theta, done)
        if done + 1 in kept:
            distances.append(np.linalg.norm(theta - best, axis=1))
    return theta, length * np.array([0, *sorted(kept)]), np.stack(distances, 1)


def _stochastic(
    design: np.ndarray, y: np.ndarray, smallest: float, starts: int, rng: np.random.Generator
) -> Callable[[np.ndarray, int], np.ndarray]:
    """A point a step: all points once an epoch, in a new order for each start.

    The step size is c / (t + t₀), as Robbins & Monro (1951) have it, with c = 2 / μ, μ the smallest
    eigenvalue; it starts at half of what is stable for every point.
    """
    late = 4 / smallest * float(np.square(design).sum(1).max())

    def epoch(theta: np.ndarray, done: int) -> np.ndarray:
        orders = np.stack([rng.permutation(len(y)) for _ in range(starts)])
        for step, places in enumerate(orders.T, done * len(y)):
            x = design[places]
            errors = np.einsum("ij,ij->i", x, theta) - y[places]
            theta = theta - 2 / (smallest * (step + late)) * 2 * errors[:, None] * x
        return theta

    return epoch
