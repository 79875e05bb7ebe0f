"""Spurious minima of k ReLU students of k orthonormal teachers, Safran & Shamir (2018)."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float64
from scipy.stats import binomtest
from torch import Tensor

from morsescape.critical import CriticalPoint, find_critical_point
from morsescape.experiments.papers.published import Beside, Payloads, PublishedTable
from morsescape.experiments.sweep import Task
from morsescape.experiments.sweep.task import Outcome
from morsescape.objective import Objective
from morsescape.page import PageTable
from morsescape.page.readable import duration, rounded_up
from morsescape.paths import Curve, height_of
from morsescape.progress import Progress, stage
from morsescape.rounding.floats import down, up
from morsescape.store import Saved
from morsescape.zoo import safran_shamir

PROVED = range(6, 21)  # there the paper proves, with a computer, that there are some
# The one for k = 7: (value, how often) among the entries of the matrix.
SEVEN = ((-0.6327039049, 1), (-0.0350801559, 30), (0.1859910463, 6), (0.2616910758, 6),
         (0.9969227988, 6))  # fmt: skip
SMALL_GRADIENT, MOST_STEPS = 1e-9, 50_000
BLOCK = 250  # starts of a piece, which go down side by side
NEAR = 1e-5  # of a permutation of the teachers, or of the minimum that a run ended at
SAME = 1e-6  # between entries of copies of one minimum
_SURE = 0.95


@dataclass(frozen=True)
class Spurious(Saved):
    """One spurious minimum, as sorted entries tell it from others; each copy found is proved.

    Attributes:
        times: runs that ended at it.
        value: f at the critical point is in it, proved.
        within: the critical point is so near the computed one, at most.
        least_eigenvalue: of the Hessian at the computed point, at least.
        entries: of the computed matrix, sorted.
    """

    times: int
    value: tuple[float, float]
    within: float
    least_eigenvalue: float
    entries: tuple[float, ...]

    def is_copy(self, other: Spurious) -> bool:
        """Whether permutations may lead from one to the other: equal numbers, so equal values."""
        pairs = zip(self.entries, other.entries, strict=True)
        return all(abs(a - b) <= SAME for a, b in pairs)

    def with_copies(self, other: Spurious) -> Spurious:
        """Both as one, with what holds for all copies."""
        value = min(self.value[0], other.value[0]), max(self.value[1], other.value[1])
        least = min(self.least_eigenvalue, other.least_eigenvalue)
        return replace(
            self, times=self.times + other.times, value=value,
            within=max(self.within, other.within), least_eigenvalue=least,
        )  # fmt: skip


@dataclass(frozen=True)
class StudentsRow(Saved):
    """One k: where the runs ended.

    Attributes:
        width: k.
        teachers: runs that ended at a permutation of the teachers, the global minima.
        undecided: runs that ended at neither, or where nothing is proved.
        minima: the spurious ones, lowest first.
        seconds: of all runs, on one thread.
    """

    width: int
    teachers: int
    undecided: int
    minima: tuple[Spurious, ...]
    seconds: float

    @property
    def spurious(self) -> int:
        """Runs that ended at proved minima with f > 0."""
        return sum(m.times for m in self.minima)

    @property
    def runs(self) -> int:
        """All runs."""
        return self.teachers + self.undecided + self.spurious

    @property
    def share(self) -> tuple[float, float]:
        """Clopper–Pearson's 95 % interval for the share; undecided runs may be either."""
        ends = (
            binomtest(count, self.runs).proportion_ci(_SURE, "exact")
            for count in (self.spurious, self.spurious + self.undecided)
        )
        low, high = ends
        return float(low.low), float(high.high)

    @property
    def beside(self) -> Beside:
        """The share with its interval, in percent."""
        low, high = self.share
        share = 100 * self.spurious / self.runs
        return Beside(self.width, None, (share, 100 * low, 100 * high))


def to_teachers(theta: Float64[Tensor, "kk"], k: int) -> tuple[Float64[Tensor, "kk"], float]:
    """The permutation of the teachers that the students are nearest to, and its distance.

    The distance is infinite where two students have one teacher.
    """
    goal = torch.nn.functional.one_hot(theta.view(k, k).argmax(1), k).double()
    whole = len(set(goal.argmax(1).tolist())) == k
    return goal.reshape(-1), float((theta - goal.reshape(-1)).norm()) if whole else math.inf


def value_at(f: Objective, minimum: CriticalPoint) -> tuple[float, float]:
    """The value at the critical point θ* itself: f(θ̂) less at most max‖Hess f‖ |θ̂ - θ*|²."""
    proof, hessian = minimum.certificate, f.hessian_at(minimum.theta)
    still = Curve.chain(torch.stack([minimum.theta, minimum.theta]))
    low, high = height_of(f, still, tol=1e-12, least=1e-12).ends[0]
    norm = up(
        up(hessian.norm * (1 + 1e-9)) + up(hessian.radius + up(2 * proof.eta * proof.lipschitz))
    )
    return down(low - up(norm * up(proof.distance**2))), high


def starts(k: int, first: int, last: int) -> Float64[Tensor, "n kk"]:
    """Entries N(0, 1/k), each start from its own seed."""
    drawn = [
        torch.randn(k * k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        for seed in range(first, last)
    ]
    return torch.stack(drawn) / math.sqrt(k)


def descended(
    k: int, points: Float64[Tensor, "n kk"], step: float | None = None
) -> Float64[Tensor, "n kk"]:
    """Gradient descent with the fixed step 5/k, all points side by side, each to a small ‖∇f‖.

    With equal entries ⟨V, H V⟩/‖V‖² at the teachers is ¼ + k/4 + (1 - 1/k)/π: for k = 3 the step is
    above 2 over it, and descent does not settle there; from k = 4 on it does.
    """
    vector = safran_shamir(k, k).vector
    assert vector is not None
    slopes, step = torch.func.vmap(torch.func.grad(vector)), 5 / k if step is None else step
    points, going = points.clone(), torch.arange(len(points))
    for _ in range(MOST_STEPS):
        gradients = slopes(points[going])
        more = gradients.norm(dim=1) > SMALL_GRADIENT  # one that is not finite stops too
        going, gradients = going[more], gradients[more]
        if not len(going):
            break
        points[going] -= step * gradients
    return points


def starts_run(k: int, first: int, last: int, progress: Progress | None = None) -> Outcome:
    """Where descent from the starts ends: at the teachers, at proved spurious minima, elsewhere."""
    start, f = time.perf_counter(), safran_shamir(k, k).objective()
    tell = stage(progress, f"ends, k {k}") or (lambda done, total: None)
    ends = descended(k, starts(k, first, last))
    teachers, undecided, minima = 0, 0, list[Spurious]()
    for done, end in enumerate(ends):
        tell(done, len(ends))
        if to_teachers(end, k)[1] <= NEAR:
            teachers += 1
        elif (found := _proved(f, end)) is None:
            undecided += 1
        else:
            _add(minima, found)
    payload = {
        "teachers": teachers, "undecided": undecided, "minima": [m.to_json() for m in minima],
        "seconds": time.perf_counter() - start,
    }  # fmt: skip
    return payload, {}


def _proved(f: Objective, end: Tensor) -> Spurious | None:
    """The minimum beside the end of a run; None unless index 0 and f > 0 there are proved."""
    if not bool(end.isfinite().all()):
        return None
    found = find_critical_point(f, end)
    if not (found.certificate.proves(0) and float((found.theta - end).norm()) <= NEAR):
        return None
    value = value_at(f, found)
    entries = tuple(sorted(found.theta.tolist()))
    proof = found.certificate
    spurious = Spurious(1, value, proof.distance, proof.min_abs_eigenvalue, entries)
    return spurious if value[0] > 0 else None


def _add(minima: list[Spurious], found: Spurious) -> None:
    for place, known in enumerate(minima):
        if known.is_copy(found):
            minima[place] = known.with_copies(found)
            return
    minima.append(found)


def students_row(width: int, payloads: Payloads) -> StudentsRow:
    """The row of the runs that are there."""
    found, minima = list(payloads.values()), list[Spurious]()
    for payload in found:
        for values in payload["minima"]:
            _add(minima, Spurious.from_json(values))
    teachers, undecided = (sum(p[name] for p in found) for name in ("teachers", "undecided"))
    seconds = sum(p["seconds"] for p in found)
    lowest_first = tuple(sorted(minima, key=lambda m: m.value))
    return StudentsRow(width, teachers, undecided, lowest_first, seconds)


# -- as tables -----------------------------------------------------------------------------------

COLUMNS = ("k", "published", "spurious", "share", "share, 95 %", "minima", "lowest f", "undecided")
_ENTRY = ("entry", "times", "published", "measured", "off by", "proved within")


def _tables(rows: Sequence[StudentsRow]) -> list[PageTable]:
    note = (
        "published: a proof that there are some; the interval is Clopper–Pearson's; every spurious "
        "end is a proved minimum with f > 0, proved"
    )
    runs = PageTable(
        "Runs of gradient descent that end at spurious minima", COLUMNS,
        tuple(tuple(_cells(row)) for row in rows), note,
    )  # fmt: skip
    return [runs, *(_entries(m) for row in rows if row.width == 7 for m in row.minima[:1])]


def _cells(row: StudentsRow) -> Iterator[str]:
    low, high = row.share
    yield str(row.width)
    yield "exist, proved" if row.width in PROVED else "–"
    yield f"{row.spurious} of {row.runs}"
    yield f"{row.spurious / row.runs:.1%}"
    yield f"[{low:.1%}, {high:.1%}]"
    yield str(len(row.minima))
    yield f"{row.minima[0].value[0]:.8f}" if row.minima else "–"
    yield str(row.undecided) if row.undecided else "–"


def _entries(minimum: Spurious) -> PageTable:
    """The published numbers beside those of the minimum."""
    rows, place = [], 0
    for value, times in SEVEN:
        own = minimum.entries[place : place + times]
        place += times
        off = max(abs(x - value) for x in own)
        middle = sum(own) / times
        within = rounded_up(minimum.within)
        rows.append(
            (f"{value:.3f}", str(times), f"{value:.10f}", f"{middle:.10f}", f"{off:.1e}", within)
        )
    return PageTable("The spurious minimum of k = 7: entries of its matrix", _ENTRY, tuple(rows))


def _sentences(rows: Sequence[StudentsRow]) -> list[str]:
    said = []
    for row in rows:
        if row.minima:
            each = ", ".join(f"f = {m.value[0]:.8f} ({m.times})" for m in row.minima)
            said.append(
                f"k = {row.width}: {_many(len(row.minima))}, {each}; all {row.spurious} ends have "
                "index 0 and f > 0, proved."
            )
    if any(row.width == 7 and row.minima for row in rows):
        said.append(
            "For k = 7 the authors found one spurious minimum, with overwhelming probability; its "
            "numbers are in the second table."
        )
    undecided = sum(row.undecided for row in rows)
    if undecided:
        said.append(
            f"{undecided} runs ended where nothing is proved; the intervals allow for both."
        )
    took = duration(sum(r.seconds for r in rows))
    return [*said, f"The runs took {took} together, each on one thread."]


def _many(minima: int) -> str:
    return "1 spurious minimum" if minima == 1 else f"{minima} spurious minima up to symmetry"


def _tasks(
    width: int, many: int, seed: int, samples: int | None, root: str | None
) -> Iterator[Task]:
    for first in range(seed, seed + many, BLOCK):
        last = min(first + BLOCK, seed + many)
        yield Task(f"k-{width}-starts-{first}-{last}", starts_run, (width, first, last))


def _seconds(k: int, first: int, last: int) -> float:
    """Measured on one busy core: the descent, and half a second for each end that is proved."""
    return 8 + 0.01 * (last - first) + 0.5 * (last - first) * min(0.95, max(0.0, 0.09 * (k - 6)))


TABLE = PublishedTable(
    name="spurious-minima",
    title="How often does gradient descent end at a spurious minimum?",
    citation="Safran & Shamir 2018, arXiv:1712.08968 (theorem for 6 ≤ k ≤ 20); for k = 7 the code "
    "of Safran, Yehudai & Shamir 2021, ItaySafran/Overparameterization, README",
    quantity="ends at spurious minima, %",
    width="k", least=4, widths=(6, 7, 8, 9), counted="runs", many=500, of_images=False,
    plain="k ReLU units learn the sum of k orthonormal ReLU units from Gaussian inputs; the "
    "population loss f is known in closed form. Gradient descent starts at entries N(0, 1/k) and "
    "takes steps of 5/k until |grad f| is at most 1e-9, as in the authors' code. It ends at a "
    "permutation of the teachers, where f = 0, or at a minimum with f > 0, which is proved.",
    tasks=_tasks, seconds=_seconds, row=students_row, tables=_tables, sentences=_sentences,
)  # fmt: skip
