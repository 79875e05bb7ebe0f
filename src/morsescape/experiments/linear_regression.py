"""Section 5.4 and Example 1 of the paper: linear regression has one critical point, a minimum.

The loss of ŷ = wᵀx + b under mean squared error is a quadratic, so its Hessian is the same
everywhere. Where the points do not lie on a line it is positive definite: one critical point, of
index 0, which is the limit from every start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor

from morsescape.boundary import a_count, a_seed, checked
from morsescape.critical import Certificate, certify
from morsescape.experiments.task import Outcome
from morsescape.objective import Objective
from morsescape.progress import Progress
from morsescape.spectrum.inertia import Inertia, inertia

_MARGIN = 0.1  # of the separating line
_SPREAD = 5.0  # standard deviation of the starts
_PLACES = 5  # starts at which the Hessian is compared
_SHOWN = 60  # steps at which the distance is kept


@checked(points=a_count(10), starts=a_count(2), steps=a_count(10_000), seed=a_seed())
@dataclass(frozen=True)
class LinearSettings:
    """Which points, and how often and how long to descend.

    Attributes:
        points: how many points in the plane, ≥ 10; a line separates the two classes.
        starts: how many random starts.
        steps: of stochastic gradient descent, one point a step, each start in an order of its own;
            whole epochs of them are done. Gradient descent on all points takes a hundredth of it.
        seed: of points, starts and orders.

    Raises:
        ArgumentError: a number out of range.

    Example:
        >>> LinearSettings(starts=3).points
        100
    """

    points: int = 100
    starts: int = 20
    steps: int = 50_000
    seed: int = 0

    def identity(self) -> dict[str, Any]:
        """What the result depends on: the settings of its `RunFolder`."""
        import morsescape

        own = {"experiment": "linear regression", "morsescape": morsescape.__version__}
        return asdict(self) | own


@dataclass(frozen=True, eq=False)
class LinearResult:
    """Where every descent ended, and what is proved about the one critical point.

    Attributes:
        settings: what was asked for.
        x, y: the points (N, 2) and their classes ±1 (N,).
        first, last: θ = (w, b) of each start, before and after gradient descent, (starts, 3).
        stochastic: θ of each start after stochastic gradient descent, (starts, 3).
        least_squares: θ*, the exact solution with each number rounded once, (3,).
        steps: of gradient descent at which `distances` were kept, (k,).
        distances: ‖θ - θ*‖ there, (starts, k).
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

    @classmethod
    def from_piece(
        cls, settings: LinearSettings, payload: Mapping[str, Any], tensors: Mapping[str, Tensor]
    ) -> LinearResult:
        """What `linear_run` returned or a `RunFolder` kept, as a result again."""
        same: dict[str, Any] = {
            name: payload[name] for name in ("hessian_difference", "places", "accuracy")
        }
        return cls(
            settings=settings,
            inertia=Inertia.from_json(payload["inertia"]),
            certificate=Certificate.from_json(payload["certificate"]),
            **(same | dict(tensors)),
        )

    @property
    def eigenvalues(self) -> tuple[float, ...]:
        """Of the Hessian, ascending, each within `inertia.radius` of the true one."""
        return self.inertia.eigenvalues or ()

    def to_json(self) -> dict[str, Any]:
        """As JSON values; the distances at the end only."""
        return {
            "settings": asdict(self.settings),
            "least_squares": self.least_squares.tolist(),
            "accuracy": self.accuracy,
            "hessian_difference": self.hessian_difference,
            "hessian_places": self.places,
            "eigenvalues": list(self.eigenvalues),
            "negative": list(self.inertia.negative),
            "positive": list(self.inertia.positive),
            "radius": self.inertia.radius,
            "status": self.inertia.status.name,
            "certificate": self.certificate.to_json(),
            "start_distances": self.distances[:, 0].tolist(),
            "distances": self.distances[:, -1].tolist(),
            "sgd_distances": self.sgd_distances[:, -1].tolist(),
        }


def linear_run(settings: LinearSettings, *, progress: Progress | None = None) -> Outcome:
    """Draw the points, descend from all starts, certify the limit.

    Args:
        settings: which points, how many starts and steps.
        progress: called as progress("descents", done, total).

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
    x, y = _separable(settings.points, rng)
    design = torch.cat([x, torch.ones(len(x), 1, dtype=torch.float64)], 1)
    f = Objective(_line(), "mse", (x, y[:, None]))
    best = _least_squares(design, y)
    counted = inertia(f, best, method="eigh")
    smallest, _, largest = counted.eigenvalues or ()
    first = best + torch.from_numpy(_SPREAD * rng.standard_normal((settings.starts, 3)))
    last, steps, distances = _descend(design, y, first, best, settings, largest)
    _step(progress, 1)
    stochastic, sgd_steps, sgd_distances = _wander(design, y, first, best, settings, smallest, rng)
    _step(progress, 2)
    places = first[:_PLACES]
    hessians = torch.stack([f.hessian(theta) for theta in (best, *places)])
    payload = {
        "hessian_difference": float((hessians - hessians[0]).abs().max()),
        "places": len(places),
        "inertia": counted.to_json(),
        "certificate": certify(f, best).to_json(),
        "accuracy": int(((design @ best) * y > 0).sum()) / len(y),
    }
    return payload, {
        "x": x, "y": y, "first": first, "last": last, "stochastic": stochastic,
        "least_squares": best, "steps": steps, "distances": distances, "sgd_steps": sgd_steps,
        "sgd_distances": sgd_distances,
    }  # fmt: skip


def _least_squares(design: Tensor, y: Tensor) -> Tensor:
    """The solution of the normal equations in rational arithmetic, each number rounded once.

    LAPACK's is as good for the eye, but its last digits differ from run to run.
    """
    rows = [[Fraction(number) for number in row] for row in design.tolist()]
    targets = [Fraction(number) for number in y.tolist()]
    columns = list(zip(*rows, strict=True))
    gram = [[_dot(a, b) for b in columns] for a in columns]
    right = [_dot(a, targets) for a in columns]
    whole = _determinant(gram)
    solution = []
    for place in range(3):  # Cramer's rule
        changed = [[*row[:place], t, *row[place + 1 :]] for row, t in zip(gram, right, strict=True)]
        solution.append(float(_determinant(changed) / whole))
    return torch.tensor(solution, dtype=torch.float64)


def _dot(a: Sequence[Fraction], b: Sequence[Fraction]) -> Fraction:
    return sum((p * q for p, q in zip(a, b, strict=True)), Fraction(0))


def _determinant(m: Sequence[Sequence[Fraction]]) -> Fraction:
    (a, b, c), (d, e, f), (g, h, i) = m
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)


def _line() -> torch.nn.Module:
    """Weights and bias at zero: drawing them would use the caller's random state."""
    with torch.random.fork_rng(devices=[]):
        model = torch.nn.Linear(2, 1)
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    return model


def _step(progress: Progress | None, done: int) -> None:
    if progress is not None:
        progress("descents", done, 2)


def _separable(points: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Points of the square [-1, 1]², none within the margin of a random line near its middle."""
    angle, offset = rng.uniform(0, np.pi), rng.uniform(-0.2, 0.2)
    normal = np.array([np.cos(angle), np.sin(angle)])
    drawn = rng.uniform(-1, 1, (20 * points, 2))  # far more than are left out
    side = drawn @ normal + offset
    keep = np.flatnonzero(np.abs(side) > _MARGIN)[:points]
    return torch.from_numpy(drawn[keep]), torch.from_numpy(np.sign(side[keep]))


def _descend(
    design: Tensor, y: Tensor, first: Tensor, best: Tensor, settings: LinearSettings, largest: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradient descent on all points, from all starts at once."""
    steps = settings.steps // 100
    theta, kept = first.clone(), _times(steps)
    distances = [(theta - best).norm(dim=1)]
    for step in range(1, steps + 1):
        errors = theta @ design.t() - y
        theta = theta - (1 / largest) * 2 * errors @ design / len(y)
        if step in kept:
            distances.append((theta - best).norm(dim=1))
    return theta, torch.tensor([0, *sorted(kept)]), torch.stack(distances, 1)


def _wander(
    design: Tensor, y: Tensor, first: Tensor, best: Tensor, settings: LinearSettings,
    smallest: float, rng: np.random.Generator,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Stochastic gradient descent, a point a step: all points once an epoch, in a new order.

    The step size is c / (t + t₀), as Robbins & Monro (1951) have it, with c = 2 / μ, μ the smallest
    eigenvalue; it starts at half of what is stable for every point. Distances are kept at the ends
    of epochs: within one they go up and down with the points still to come.
    """
    rows, targets, theta = design.numpy(), y.numpy(), first.numpy().copy()
    late = 4 / smallest * float(design.square().sum(1).max())
    epochs, numbers = max(1, settings.steps // len(rows)), np.arange(len(rows))
    kept = {len(rows) * epoch for epoch in _times(epochs)}
    distances = [np.linalg.norm(theta - best.numpy(), axis=1)]
    for step in range(epochs * len(rows)):
        place = step % len(rows)
        if place == 0:
            orders = np.stack([rng.permutation(numbers) for _ in theta])
        x, t = rows[orders[:, place]], targets[orders[:, place]]
        errors = np.einsum("ij,ij->i", x, theta) - t
        theta -= 2 / (smallest * (step + late)) * 2 * errors[:, None] * x
        if step + 1 in kept:
            distances.append(np.linalg.norm(theta - best.numpy(), axis=1))
    curve = torch.from_numpy(np.stack(distances, 1))
    return torch.from_numpy(theta), torch.tensor([0, *sorted(kept)]), curve


def _times(steps: int) -> set[int]:
    """Steps at equal ratios, the last among them."""
    return {round(step) for step in np.geomspace(1, steps, _SHOWN)}
