"""Matrices whose signs are known exactly: planted eigenvalues, tiny gaps, grades up to 1e24."""

from __future__ import annotations

import random
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor

import morsescape as ms
from morsescape.spectrum.counts import count_by_eigh, count_by_ldl

from . import exact as X
from .checks import ENOUGH, Outcome, crashed, examine
from .signs import Signs, exact_signs

KINDS = ("gap", "graded", "integers", "congruent", "low rank", "tiny", "huge", "arrow", "diagonal")


def matrix(rng: random.Random) -> tuple[str, Tensor]:
    """A symmetric float64 matrix."""
    kind, n = rng.choice(KINDS), rng.randint(1, 14)
    generator = torch.Generator().manual_seed(rng.randrange(2**31))

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator, dtype=torch.float64)

    if kind in ("gap", "tiny", "huge"):
        gap = 10.0 ** -rng.uniform(6, 14)
        values = normal(n).sign() * (
            gap + normal(n).abs() * (torch.rand(n, generator=generator) > 0.5)
        )
        q = torch.linalg.qr(normal(n, n)).Q
        a = q @ torch.diag(values) @ q.t() * {"gap": 1.0, "tiny": 1e-290, "huge": 1e290}[kind]
    elif kind == "graded":
        d = 10.0 ** (-torch.linspace(0, rng.uniform(4, 12), n, dtype=torch.float64))
        a = normal(n, n) * d[:, None] * d[None]
    elif kind == "integers":
        a = torch.randint(-2, 3, (n, n), generator=generator).double()
    elif kind == "congruent":
        low = torch.randint(-3, 4, (n, n), generator=generator).double().tril(-1) + torch.eye(n)
        signs = torch.randint(-1, 2, (n,), generator=generator).double()
        a = low.double() @ torch.diag(signs) @ low.double().t()
    elif kind == "low rank":
        u = torch.randint(-2, 3, (n, max(1, n // 2)), generator=generator).double()
        a = u @ torch.diag(normal(u.shape[1]).sign()) @ u.t()
    elif kind == "arrow":
        a = torch.diag(normal(n) * 10.0 ** -rng.uniform(0, 10))
        a[0] = normal(n)
    else:
        a = torch.diag(torch.randint(-1, 2, (n,), generator=generator).double() * normal(n).abs())
    return kind, a.triu() + a.triu(1).t()


def case(seed: int) -> Outcome:
    rng = random.Random(f"planted {seed}")
    kind, a = matrix(rng)
    outcome = Outcome("planted", seed, (kind,), dim=len(a))
    if rng.random() < 0.4:
        return _quadratic(outcome, a, rng)
    size = float(a.abs().max()) or 1.0
    radius = rng.choice((0.0, 0.0, 1e-15, 1e-8, 1e-3)) * size
    center = rng.choice((0.0, 0.0, -2e-3, -0.2, 1.0)) * size
    if rng.random() < 0.1:  # on an eigenvalue, where the matrix has a float for one
        center = float(a[0, 0])
    try:
        for name, count in (("ldl", count_by_ldl), ("eigh", count_by_eigh)):
            _judge(outcome, name, count(a.clone(), radius, center=center), a, radius, center)
        _by_rows(outcome, a, rng, center)
    except ms.MorsescapeError as refusal:
        outcome.answer, outcome.why = "refused", str(refusal)
    except Exception as error:
        return crashed(outcome, error)
    return outcome


def _by_rows(outcome: Outcome, a: Tensor, rng: random.Random, center: float) -> None:
    """A radius for each row: the signs of A + diag(±r) - c I, which lie between, are right."""
    generator = torch.Generator().manual_seed(rng.randrange(2**31))
    sums = a.abs().sum(1) * 10.0 ** -rng.uniform(6, 17)
    r = sums * torch.rand(len(a), generator=generator).double() ** rng.choice((0, 1, 8))
    signs = torch.randn(len(a), generator=generator).sign()
    for c in {0.0, center, float(a[0, 0]), float(a[-1, -1])}:
        _between(outcome, a, 0 * r, c, (0 * r,))
        _between(outcome, a, r, c, (0 * r, r, -r, signs * r))


def _between(
    outcome: Outcome, a: Tensor, r: Tensor, center: float, off: tuple[Tensor, ...]
) -> None:
    counts = count_by_ldl(a.clone(), r, center=center)
    if counts.radius == np.inf:
        return
    for shift in off:
        rows: list[list[Any]] = [[Fraction(x) for x in row] for row in a.tolist()]
        for k, own in enumerate(shift.tolist()):
            rows[k][k] += Fraction(own)
        _hold(outcome, "by rows", counts, exact_signs(rows, Fraction(center)))


def _hold(outcome: Outcome, name: str, counts: Any, true: Signs, where: str = "") -> None:
    """The intervals of a count hold the true numbers."""
    intervals = counts.negative, counts.null, counts.positive
    for what, interval, n in zip(("negative", "null", "positive"), intervals, true, strict=True):
        if not interval[0] <= n <= interval[1]:
            outcome.wrong.append(f"claim: {name}: {what} {interval}, true {n}{where}")


def _judge(
    outcome: Outcome, name: str, counts: Any, a: Tensor, radius: float, center: float
) -> None:
    """The interval holds the signs of A - c I, and of A ± r I - c I, which are within r too."""
    rows = a.tolist()
    for off in (0.0, radius, -radius):
        true = exact_signs(rows, Fraction(center) - Fraction(off))
        _hold(outcome, name, counts, true, f" at {off:+.3g}")
    decided = counts.null[1] == 0
    outcome.answer = "proved" if decided else "interval" if counts.radius < np.inf else "refused"
    outcome.why = "" if counts.radius < np.inf else counts.status.value
    if counts.eigenvalues is None:
        return
    reach = Fraction(counts.solver_radius) * Fraction(ENOUGH)
    for k, value in enumerate(counts.eigenvalues.tolist()):
        below = exact_signs(rows, Fraction(value) - reach)[0]
        low, zero, _ = exact_signs(rows, Fraction(value) + reach)
        if not below <= k < low + zero:
            outcome.wrong.append(
                f"claim: eigh: eigenvalue {k} = {value:.6g} not within {counts.solver_radius:.3g}"
            )


def _quadratic(outcome: Outcome, a: Tensor, rng: random.Random) -> Outcome:
    """½ tᵀAt through the front door."""
    n = len(a)
    l2 = rng.choice((0.0, 0.0, 1e-6, 0.3)) * (float(a.abs().max()) or 1.0)
    l2 = 0.0 if l2 < 1e-300 else l2
    exact = X.array(a)
    theta = torch.tensor([rng.choice((0.0, rng.gauss(0, 1))) for _ in range(n)]).double()

    def build() -> ms.Objective:
        f = ms.Objective.from_function(lambda t: (t @ a @ t) / 2, n, l2=l2)
        f.theta = theta
        return f

    def formula(t: np.ndarray) -> Any:
        return X.total(t * X.wrapped(exact.dot(t))) / 2

    outcome.parts += ("quadratic form",)
    return examine(outcome, build, formula, seed=outcome.seed, critical=n <= 6)
