"""What the package says of a landscape at a point, compared with the truth.

`examine` asks for the value, the gradient, a product, the Hessian, its inertia and a certificate,
and returns an `Outcome`: what was answered, and everything in it that is not so.
"""

from __future__ import annotations

import math
import random
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from flint import arb, arb_mat
from torch import Tensor

import morsescape as ms
from morsescape.critical.krawczyk import krawczyk

from .exact import BITS, AtKink, Jet, NoTruth, Undecided, precision, variables
from .signs import Signs, rows_of, settled

Formula = Callable[[np.ndarray], Any]  # variables -> f as a jet (or a constant)
ENOUGH = 1 + 1e-6  # slack on radii: of the comparison's own rounding


@dataclass
class Outcome:
    """Of one case. `answer` is one word; `wrong` lists what is not so."""

    family: str
    seed: int
    parts: tuple[str, ...] = ()  # layers, activations, losses, functions
    answer: str = "?"  # proved | interval | estimate | refused | not finite | kink | no truth
    why: str = ""  # operation of an estimate, sentence of a refusal
    wrong: list[str] = field(default_factory=list)
    dim: int = 0
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class Truth:
    """f, ∇f and Hess f at a point, as balls, and the exact signs of the Hessian."""

    value: arb
    gradient: list[arb]
    hessian: arb_mat
    again: Callable[[], arb_mat]  # the Hessian at the precision of the moment

    def signs(self, shift: Any = 0) -> tuple[Signs, bool]:
        return settled(lambda: rows_of(self.again(), shift))


def truth(formula: Formula, point: Sequence[Any], l2: float = 0.0) -> Truth:
    """By the formula, at the first precision that decides all its branches.

    Raises:
        AtKink: a branch lies on its threshold.
        NoTruth: a number is not finite, or nothing decides.
    """

    def full() -> Jet:
        v = variables(point)
        out = formula(v)
        if l2:
            ridge = sum((x * x for x in v[1:]), v[0] * v[0])
            out = ridge * l2 + out
        return out if isinstance(out, Jet) else Jet(out)

    dim = len(point)

    def hessian(at: Jet) -> arb_mat:
        return arb_mat(dim, dim) if at.h is None else at.h

    for bits in BITS:
        with precision(bits):
            try:
                at = full()
            except Undecided:
                continue
            gradient = [arb(0)] * dim if at.g is None else at.g.entries()
            numbers = [at.v, *gradient, *hessian(at).entries()]
            if not all(x.is_finite() for x in numbers):
                continue
            return Truth(at.v, gradient, hessian(at), lambda: hessian(full()))
    raise NoTruth("nothing decides it in 3072 bits, or it is not finite")


def examine(
    outcome: Outcome,
    build: Callable[[], ms.Objective],
    formula: Formula,
    *,
    seed: int,
    critical: bool = False,
    loose: bool = False,
) -> Outcome:
    """Fill in the outcome of one case: answers, and what is wrong in them.

    Args:
        outcome: family, seed and parts.
        build: makes the landscape; its `theta` is the point.
        formula: f without its ridge, by definition.
        seed: of what is drawn here.
        critical: ask for certificates too.
        loose: only what is claimed with a proof is looked at; numbers without one may have lost all
            their digits.
    """
    try:
        f = build()
    except ms.MorsescapeError as refusal:
        return refused(outcome, refusal)
    except Exception as error:
        return crashed(outcome, error)
    theta = f.theta.clone()
    outcome.dim = f.dim
    try:
        true: Truth | None = truth(formula, theta.tolist(), f.l2)
        kink = ""
    except AtKink as reason:
        true, kink = None, str(reason)
    except NoTruth as reason:
        true, kink, outcome.note = None, "", str(reason)
    look = Look(outcome, f, theta, true, kink, random.Random(seed), critical, loose, formula)
    try:
        with precision(BITS[0]):
            look.run()
    except ms.MorsescapeError as refusal:
        return refused(outcome, refusal)
    except Exception as error:
        return crashed(outcome, error)
    return outcome


@dataclass
class Look:
    outcome: Outcome
    f: ms.Objective
    theta: Tensor
    true: Truth | None
    kink: str
    rng: random.Random
    critical: bool
    loose: bool
    formula: Formula

    def run(self) -> None:
        hessian = self.f.enclosed_hessian(self.theta)
        # A branch within rounding may be another in float64 than in real numbers.
        if self.true is not None and not self.loose and not hessian.kinks:
            self._derivatives(self.true)
        if self.true is not None and hessian.finite:
            self._hessian(self.true, hessian)
        self._inertia(hessian)
        if self.critical:
            self._certificate()

    def say(self, kind: str, text: str) -> None:
        """A `claim` that is wrong, or a number without one that is: `estimate`, `derivative`."""
        self.outcome.wrong.append(f"{kind}: {text}")

    def _derivatives(self, true: Truth) -> None:
        """Without a claimed radius: only what is off by far more than rounding is wrong."""
        value, gradient = self.f.value_and_gradient(self.theta)
        alone = self.f.value(self.theta)
        v = torch.tensor([self.rng.gauss(0, 1) for _ in range(self.f.dim)], dtype=torch.float64)
        product = self.f.hvp(self.theta, v)
        goal = true.hessian * arb_mat(self.f.dim, 1, v.tolist())
        size = _norm(true.hessian.entries()) * float(v.norm())
        checks = (
            ("value", [value], [true.value], 1 + abs(float(true.value))),
            ("value alone", [alone], [true.value], 1 + abs(float(true.value))),
            ("gradient", gradient.tolist(), true.gradient, 1 + _norm(true.gradient)),
            ("hvp", product.tolist(), goal.entries(), 1 + size),
        )
        for name, computed, exact, scale in checks:
            if not all(map(math.isfinite, computed)):
                continue
            off = _norm([c - e for c, e in zip(map(arb, computed), exact, strict=True)])
            # Extreme numbers cancel; nothing is promised of them.
            if off > 1e-6 * scale and scale < 1e12:
                self.say("derivative", f"{name} off by {off:.2g} of {scale:.2g}")

    def _hessian(self, true: Truth, hessian: Any) -> None:
        matrix = arb_mat(self.f.dim, self.f.dim, hessian.matrix.reshape(-1).tolist())
        ridge = arb(2 * self.f.l2)
        known = true.hessian.tolist()
        for k in range(self.f.dim):
            known[k][k] = known[k][k] - ridge
        difference = (matrix - arb_mat(known)).entries()
        off, size = _spectral(difference, self.f.dim), _norm(true.hessian.entries())
        if hessian.estimate is None and not hessian.kinks:
            if off > hessian.radius * ENOUGH:
                self.say("claim", f"Hessian off by {off:.3g}, radius {hessian.radius:.3g}")
            if hessian.spread is not None and bool(hessian.spread.isfinite().all()):
                scale = [float(s) ** -0.5 for s in hessian.spread]
                rows = [d * a * b for d, (a, b) in zip(difference, _pairs(scale), strict=True)]
                if (by_rows := _spectral(rows, self.f.dim)) > ENOUGH:
                    self.say("claim", f"Hessian off by {by_rows:.3g} of its bound for each row")
        elif off > 1e-5 * (1 + size) and size < 1e12 and not self.loose and not hessian.kinks:
            self.say("estimate", f"Hessian ({hessian.estimate}) off by {off:.3g} of {size:.3g}")

    def _inertia(self, hessian: Any) -> None:
        method = self.rng.choice(("ldl", "eigh"))
        result = ms.inertia(self.f, self.theta, method=method)
        out, status = self.outcome, result.status.name
        names = {
            "PROVED": "proved", "UNDECIDED": "interval", "ESTIMATE": "estimate",
            "ON_KINK": "on a kink",
        }  # fmt: skip
        out.answer, out.why = names.get(status, "not finite"), result.estimate or ""
        if self.kink:
            out.note = f"kink: {self.kink}"
            if status == "PROVED" and not result.kinks:
                self.say("claim", f"PROVED on a kink ({self.kink})")
        if self.true is None or status == "NOT_FINITE":
            return
        try:
            signs, certain = self.true.signs()
        except NoTruth as reason:
            out.note = str(reason)
            return
        out.note = out.note or f"signs {signs}"
        if status in ("ESTIMATE", "ON_KINK"):  # which say that nothing is proved
            return
        for name, interval, count in zip(
            ("negative", "null", "positive"),
            (result.negative, result.null, result.positive), signs, strict=True,
        ):  # fmt: skip
            if not interval[0] <= count <= interval[1]:
                self.say(
                    "claim",
                    f"{method}: {name} {interval}, true {count} ({status}, certain {certain})",
                )
        if method == "eigh" and result.eigenvalues and not result.kinks:
            self._eigenvalues(result)

    def _eigenvalues(self, result: Any) -> None:
        """λ_k is within the radius: #(true < λ_k - r) ≤ k < #(true ≤ λ_k + r)."""
        assert self.true is not None
        r = result.radius * ENOUGH
        for k in self.rng.sample(range(self.f.dim), min(3, self.f.dim)):
            value = arb(result.eigenvalues[k])
            try:
                (below, _, _), _ = self.true.signs(value - r)
                (low, zero, _), _ = self.true.signs(value + r)
            except NoTruth:
                continue
            if not below <= k < low + zero:
                self.say("claim", f"eigenvalue {k} = {float(value):.6g} is not within {r:.3g}")

    def _certificate(self) -> None:
        proof = ms.certify(self.f, self.theta)
        found = [("certify", proof.status.name, proof.distance, proof.index, 2)]
        if self.f.network is None and self.f.dim <= 8:
            box = krawczyk(self.f, self.theta)
            index = None if box.index is None else (box.index, box.index)
            found.append(("krawczyk", box.status.name, box.distance, index, math.inf))
        for name, status, distance, index, norm in found:
            self.outcome.note += f"; {name} {status}"
            if status != "PROVED":
                continue
            if self.kink:
                self.say("claim", f"{name}: PROVED on a kink ({self.kink})")
                continue
            self.judge_point(name, distance, index, norm)

    def judge_point(self, name: str, distance: float, index: Any, norm: float) -> None:
        """Whether a critical point of this index is within the distance, in the 2- or ∞-norm."""
        point = newton(self.formula, self.theta.tolist(), self.f.l2)
        if point is None:
            self.say(
                "claim", f"{name}: PROVED within {distance:.3g}, but Newton finds no critical point"
            )
            return
        off = [float(p - t) for p, t in zip(point, self.theta.tolist(), strict=True)]
        away = max(map(abs, off)) if norm == math.inf else math.hypot(*off)
        if away > distance * ENOUGH:
            self.say(
                "claim",
                f"{name}: within {distance:.3g} proved, the critical point is {away:.3g} away",
            )
        try:
            count, _ = truth(self.formula, point, self.f.l2).signs()
        except (AtKink, NoTruth):
            return
        if not index[0] <= count[0] <= index[1]:
            self.say("claim", f"{name}: index {index} proved, true {count[0]}")


def newton(formula: Formula, start: Sequence[float], l2: float, steps: int = 30) -> Any:
    """A critical point near `start`, to 100 bits and more; None if Newton's steps do not settle."""
    with precision(BITS[0]):
        point = [arb(x) for x in start]
    for _ in range(steps):
        try:
            at = truth(formula, point, l2)
            with precision(BITS[0]):
                step = at.hessian.mid().solve(arb_mat(len(point), 1, at.gradient).mid()).entries()
        except (AtKink, NoTruth, ZeroDivisionError):
            return None
        with precision(BITS[0]):
            point = [(p - s).mid() for p, s in zip(point, step, strict=True)]
            if max(abs(float(s)) for s in step) <= 1e-32 * (1 + max(abs(float(p)) for p in point)):
                return point
    return None


def _norm(numbers: Sequence[arb]) -> float:
    """Of the middles; what overflows float64 counts as infinite."""
    return math.hypot(*(float(abs(x).mid()) for x in numbers))


def _pairs(x: Sequence[float]) -> list[tuple[float, float]]:
    return [(a, b) for a in x for b in x]


def _spectral(difference: Sequence[arb], dim: int) -> float:
    """A lower bound on the spectral norm: of the middles, less the Frobenius norm of the radii."""
    middles = np.array([float(x.mid()) for x in difference]).reshape(dim, dim)
    if not np.isfinite(middles).all():
        return math.inf
    scale = float(np.abs(middles).max(initial=0.0))
    if scale == 0:
        return 0.0
    loose = math.hypot(*(float(x.rad()) for x in difference))
    return float(np.linalg.norm(middles / scale, 2)) * scale - loose


def refused(outcome: Outcome, refusal: Exception) -> Outcome:
    """The outcome of a case that the package does not take."""
    outcome.answer, outcome.why = "refused", str(refusal)
    return outcome


def crashed(outcome: Outcome, error: BaseException) -> Outcome:
    """The outcome of an error that is none of the package's own, with the place it came from."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{last.filename.split('/')[-1]}:{last.name}"
    text = f"{type(error).__name__} in {where}: {error}"
    outcome.answer = "crash"
    outcome.wrong.append(" ".join(f"crash: {text}".split())[:300])
    return outcome
