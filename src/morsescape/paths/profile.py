"""What is measured along a curve: loss, accuracy and gradient over t."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from morsescape.accuracy import accuracy
from morsescape.boundary import a_boolean, a_count, a_number, checked, instance
from morsescape.errors import ArgumentError
from morsescape.objective import Objective
from morsescape.paths.curve import Curve
from morsescape.paths.statistics import (
    UNFITTING,
    as_statistics,
    at_statistics_of,
    on_data,
    with_statistics,
)

_FLAT = 1e-12  # of the size of the loss: bends below it are rounding
_NODES, _WEIGHTS = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(16))


@dataclass(frozen=True, eq=False)
class Measures:
    """Numbers of one objective at the points of a curve, each of shape (n,).

    Attributes:
        loss: f = L + λ‖θ‖².
        data_loss: L.
        accuracy: in [0, 1]; None without class labels.
        gradient_norm: ‖∇f‖.
    """

    loss: Float64[Tensor, "n"]
    data_loss: Float64[Tensor, "n"]
    accuracy: Float64[Tensor, "n"] | None
    gradient_norm: Float64[Tensor, "n"]

    def to_json(self) -> dict[str, Any]:
        """As JSON values, but for NaN and infinity."""
        names = ("loss", "data_loss", "accuracy", "gradient_norm")
        found = {name: getattr(self, name) for name in names}
        return {k: None if v is None else v.tolist() for k, v in found.items()}


@dataclass(frozen=True, eq=False)
class Profile:
    """A curve measured at n places.

    Attributes:
        t: in [0, 1], increasing, shape (n,).
        arclength: of the curve up to t, shape (n,).
        train, test: what was measured there; test is None where no test data was given.
        warning: what is amiss with the numbers; empty if nothing is known to be.
    """

    t: Float64[Tensor, "n"]
    arclength: Float64[Tensor, "n"]
    train: Measures
    test: Measures | None
    warning: str

    @property
    def loss(self) -> Float64[Tensor, "n"]:
        """Of f, the ridge included."""
        return self.train.loss

    @property
    def data_loss(self) -> Float64[Tensor, "n"]:
        """L alone."""
        return self.train.data_loss

    @property
    def accuracy(self) -> Float64[Tensor, "n"] | None:
        """On the training data."""
        return self.train.accuracy

    @property
    def gradient_norm(self) -> Float64[Tensor, "n"]:
        """Of f."""
        return self.train.gradient_norm

    @property
    def highest(self) -> tuple[float, float]:
        """Where the measured loss is highest, and how high: (t, f)."""
        place = int(self.loss.argmax())
        return float(self.t[place]), float(self.loss[place])

    def table(self) -> str:
        """One line for each t."""
        columns = {"t": self.t, "arclength": self.arclength} | _columns(self.train, "")
        columns |= {} if self.test is None else _columns(self.test, "test ")
        width = max(12, *(len(name) + 2 for name in columns))
        lines = ["".join(name.rjust(width) for name in columns)]
        for row in zip(*(c.tolist() for c in columns.values()), strict=True):
            lines.append("".join(f"{value:.6g}".rjust(width) for value in row))
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """As JSON values, but for NaN and infinity, which `write_json_atomic` writes too."""
        return {
            "t": self.t.tolist(), "arclength": self.arclength.tolist(), **self.train.to_json(),
            "test": None if self.test is None else self.test.to_json(), "warning": self.warning,
        }  # fmt: skip


def _columns(found: Measures, prefix: str) -> dict[str, Tensor]:
    named = {
        "f": found.loss, "L": found.data_loss, "accuracy": found.accuracy,
        "|grad f|": found.gradient_norm,
    }  # fmt: skip
    return {prefix + name: value for name, value in named.items() if value is not None}


@checked(
    f=instance(Objective, "make one: morsescape.Objective(model, loss, data)"),
    curve=instance(Curve, "Curve.chain(points) joins points by straight segments"),
    points=a_count(2), refine=a_boolean(), share=a_number(above=0), most=a_count(2),
    recompute=a_boolean(),
)  # fmt: skip
def profile(
    f: Objective,
    curve: Curve,
    *,
    points: int = 61,
    test: Any = None,
    refine: bool = True,
    share: float = 0.01,
    most: int | None = None,
    recompute: bool = False,
) -> Profile:
    """f, L, ‖∇f‖ and the accuracy at points of a curve, closer together where f bends.

    The points are even in t at first. Then, again and again, both gaps beside a point are halved
    where the line through its neighbours is off by more than `share` of the range of f there. What
    lies wholly between two points is not seen: no number here bounds f on the curve.

    Args:
        f: the landscape.
        curve: γ.
        points: at first, both ends included.
        test: (inputs, targets), or another Objective of the same θ on test data.
        refine: whether to insert points.
        share: of the range of f.
        most: points at the end; None for four times as many as at first.
        recompute: at every t, compute the running statistics of batch normalisation anew from the
            training inputs. The gradient takes them as constants. The ends then differ from the
            models that were given, whose statistics are averages over their training.

    Raises:
        ArgumentError: a curve of another dimension, test data that does not fit.

    Source:
        Garipov et al., Loss surfaces, mode connectivity, and fast ensembling of DNNs (2018).

    Example:
        >>> import torch, morsescape as ms
        >>> from morsescape.paths.curve import Curve
        >>> f = ms.Objective.from_function(lambda t: (t[0] ** 2 - 1) ** 2 + t[1] ** 2, 2)
        >>> found = profile(f, Curve.chain(torch.tensor([[-1.0, 0], [1, 0]]).double()))
        >>> found.highest, len(found.t) > 61
        ((0.5, 1.0), False)
    """
    check_curve(f, curve)
    most, places = 4 * points if most is None else most, _Places(f, curve, test, recompute)
    times = [k / (points - 1) for k in range(points)]
    for t in times:
        places.measure(t)
    while refine and (new := _bends(times, places.losses(times), share, most - len(times))):
        for t in new:
            places.measure(t)
        times = sorted({*times, *new})
    names = with_statistics(f)
    return Profile(
        torch.tensor(times, dtype=torch.float64), _arclength(curve, times),
        places.measures(times, 0), None if places.test is None else places.measures(times, 1),
        UNFITTING if names and not recompute else "",
    )  # fmt: skip


def check_curve(f: Objective, curve: Curve) -> None:
    """Refuse a curve that does not run through the landscape."""
    if curve.dim != f.dim:
        raise ArgumentError(
            "curve", expected=f"points with {f.dim} numbers, as f.theta", got=f"{curve.dim}",
            cure="flatten the parameters in the order of the model",
        )  # fmt: skip


class _Places:
    """What was measured so far, by t."""

    def __init__(self, f: Objective, curve: Curve, test: Any, recompute: bool) -> None:
        self.f, self.curve, self.recompute = f, curve, recompute
        self.test = on_data(f, test)
        self.found: dict[float, list[tuple[float, float, float | None, float]]] = {}

    def measure(self, t: float) -> None:
        theta, f, test = self.curve(t), self.f, self.test
        if self.recompute:
            f = at_statistics_of(f, theta)
            test = None if test is None else as_statistics(test, f)
        self.found[t] = [_at(g, theta) for g in (f, test) if g is not None]

    def losses(self, times: list[float]) -> list[float]:
        return [self.found[t][0][0] for t in times]

    def measures(self, times: list[float], which: int) -> Measures:
        rows = [self.found[t][which] for t in times]
        loss, data, slope = (
            torch.tensor([row[k] for row in rows], dtype=torch.float64) for k in (0, 1, 3)
        )
        right = [row[2] for row in rows if row[2] is not None]
        shares = torch.tensor(right, dtype=torch.float64) if right else None
        return Measures(loss, data, shares, slope)


def _at(f: Objective, theta: Tensor) -> tuple[float, float, float | None, float]:
    value, gradient = f.at_l2(0.0).value_and_gradient(theta)
    slope = float((gradient + 2 * f.l2 * theta).norm())
    return value + f.l2 * float(theta @ theta), value, accuracy(f, theta), slope


def _bends(times: list[float], losses: list[float], share: float, room: int) -> list[float]:
    """Middles of the gaps beside points where the loss bends, the worst first, as many as fit."""
    finite = [v for v in losses if math.isfinite(v)]
    if len(finite) < 3 or room < 1:
        return []
    tolerance = max(share * (max(finite) - min(finite)), _FLAT * max(map(abs, finite)))
    off: list[tuple[float, int]] = []
    for k in range(1, len(times) - 1):
        s = (times[k] - times[k - 1]) / (times[k + 1] - times[k - 1])
        wrong = abs((1 - s) * losses[k - 1] + s * losses[k + 1] - losses[k])
        if wrong > tolerance:
            off.append((wrong, k))
    new: dict[float, None] = {}
    for _, k in sorted(off, reverse=True):
        for a, b in ((times[k - 1], times[k]), (times[k], times[k + 1])):
            if a < (a + b) / 2 < b:
                new[(a + b) / 2] = None
    return list(new)[:room]


def _arclength(curve: Curve, times: list[float]) -> Tensor:
    """∫ ‖γ′‖ up to each t, by 16 Gauss points between two of them or joints."""
    n = len(curve.pieces)
    stops = sorted({*times, *(k / n for k in range(n + 1))})
    lengths, total = {stops[0]: 0.0}, 0.0
    for a, b in pairwise(stops):
        middle, half = (a + b) / 2, (b - a) / 2
        speeds = [float(curve.velocity(middle + half * s).norm()) for s in _NODES.tolist()]
        total += half * float(_WEIGHTS @ torch.tensor(speeds, dtype=torch.float64))
        lengths[b] = total
    return torch.tensor([lengths[t] for t in times], dtype=torch.float64)
