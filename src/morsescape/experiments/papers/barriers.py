"""The barrier between two trainings by width, as Sonthalia et al. (2024) publish it."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from scipy.stats import t as student
from torch import Tensor, nn

from morsescape.data import Dataset, load
from morsescape.experiments.papers.published import Beside, Payloads, PublishedTable
from morsescape.experiments.sweep import Task
from morsescape.experiments.sweep.task import Outcome
from morsescape.objective import Objective
from morsescape.page import PageTable
from morsescape.page.readable import duration, rounded_up
from morsescape.paths import Curve, align, connect, height_of
from morsescape.progress import Progress, stage
from morsescape.rounding.floats import up
from morsescape.store import Saved

# Mean and standard deviation over the 51 pairs of the file, training loss, two regular models.
PUBLISHED = {
    4: (0.368, 0.319), 8: (0.261, 0.144), 16: (0.312, 0.114), 32: (0.193, 0.055),
    64: (0.049, 0.009), 128: (0.0146, 0.0016), 256: (0.0060, 0.0006),
}  # fmt: skip
PUBLISHED_PAIRS = 51
POINTS = 11
EPOCHS, RATE, BATCH = 5, 1e-3, 128
_IMAGES = 60_000
_SURE = 0.95


@dataclass(frozen=True)
class BarrierRow(Saved):
    """One width: rises of the training loss, one for each pair, and what is proved of the first.

    Attributes:
        width: hidden units.
        published: mean and standard deviation; None for a width that the file does not have.
        unmatched, matched: rises before and after matching.
        line, bezier: for the first pair, matched, the loss is proved to be at most so much above
            the higher end, on the straight line and on a trained Bézier curve; None without it.
        seconds: of all pairs, on one thread.
    """

    width: int
    published: tuple[float, float] | None
    unmatched: tuple[float, ...]
    matched: tuple[float, ...]
    line: float | None
    bezier: float | None
    seconds: float

    @property
    def mean(self) -> tuple[float, float, float] | None:
        """The mean rise after matching with its 95 % t-interval; None of fewer than two pairs."""
        if len(self.matched) < 2:
            return None
        mean, n = statistics.mean(self.matched), len(self.matched)
        half = student.ppf((1 + _SURE) / 2, n - 1) * statistics.stdev(self.matched) / math.sqrt(n)
        return mean, float(mean - half), float(mean + half)

    @property
    def difference(self) -> tuple[float, float] | None:
        """Measured less published mean, Welch's 95 % interval, all pairs taken as independent."""
        if self.published is None or len(self.matched) < 2:
            return None
        sds = statistics.stdev(self.matched), self.published[1]
        counts = len(self.matched), PUBLISHED_PAIRS
        parts = [sd**2 / n for sd, n in zip(sds, counts, strict=True)]
        rest = sum(v**2 / (n - 1) for v, n in zip(parts, counts, strict=True))
        half = student.ppf((1 + _SURE) / 2, sum(parts) ** 2 / rest) * math.sqrt(sum(parts))
        off = statistics.mean(self.matched) - self.published[0]
        return float(off - half), float(off + half)

    @property
    def beside(self) -> Beside:
        """Published mean ± standard deviation, measured mean with its interval."""
        if self.published is None:
            return Beside(self.width, None, self.mean)
        mean, sd = self.published
        return Beside(self.width, (mean, mean - sd, mean + sd), self.mean)


def trained(width: int, seed: int, data: Dataset) -> nn.Sequential:
    """A network of one hidden ReLU layer after five epochs of Adam: all from the seed."""
    inputs = data.x[0].numel()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = nn.Sequential(
            nn.Flatten(), nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, data.classes)
        )
    g = torch.Generator().manual_seed(seed)
    optimizer, x = torch.optim.Adam(net.parameters(), lr=RATE), data.x.float()
    for _ in range(EPOCHS):
        for places in torch.randperm(len(x), generator=g).split(BATCH):
            loss = nn.functional.cross_entropy(net(x[places]), data.y[places])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return net


def rise(f: Objective, a: Tensor, b: Tensor) -> float:
    """The largest of 11 points of the line above the linear interpolation of the ends' losses."""
    line = Curve.chain(torch.stack([a, b]))
    times = torch.linspace(0, 1, POINTS, dtype=torch.float64).tolist()
    values = [f.value(line(t)) for t in times]
    ends = [(1 - t) * values[0] + t * values[-1] for t in times]
    return max(v - e for v, e in zip(values, ends, strict=True))


def pair_run(
    width: int, pair: int, samples: int | None, root: str | None, proves: bool,
    progress: Progress | None = None,
) -> Outcome:  # fmt: skip
    """Two trainings, the rise between them before and after matching, and with `proves` heights."""
    start, data = time.perf_counter(), load("mnist", root, samples=samples)
    tell = stage(progress, f"pair {pair}, w {width}") or (lambda done, total: None)
    steps = 4 if proves else 3
    tell(0, steps)
    nets = [trained(width, 2 * pair + k, data) for k in (0, 1)]
    tell(1, steps)
    f, other = (Objective(net, "cross_entropy", (data.x, data.y)) for net in nets)
    a, far = f.theta, other.theta
    b = align(f, a, far, seed=pair).theta
    tell(2, steps)
    found: dict[str, Any] = {"unmatched": rise(f, a, far), "matched": rise(f, a, b)}
    tell(3, steps)
    if proves:
        found["line"] = list(height_of(f, Curve.chain(torch.stack([a, b]))).barrier)
        found["bezier"] = list(connect(f, a, b, method="bezier", align=False).barrier)
        tell(4, steps)
    return {**found, "seconds": time.perf_counter() - start}, {}


def barrier_row(width: int, payloads: Payloads) -> BarrierRow:
    """The row of the pairs that are there."""
    found = list(payloads.values())
    proofs = [p for p in found if "line" in p]
    line, bezier = (proofs[0][name][1] if proofs else None for name in ("line", "bezier"))
    return BarrierRow(
        width, PUBLISHED.get(width), tuple(p["unmatched"] for p in found),
        tuple(p["matched"] for p in found), line, bezier, sum(p["seconds"] for p in found),
    )  # fmt: skip


# -- as a table ----------------------------------------------------------------------------------

COLUMNS = ("w", "published", "measured", "mean, 95 %", "difference, 95 %", "pairs",
           "not matched", "line, proved ≤", "Bézier, proved ≤")  # fmt: skip


def _tables(rows: Sequence[BarrierRow]) -> list[PageTable]:
    note = (
        f"mean ± standard deviation over pairs, published over {PUBLISHED_PAIRS}; intervals take "
        "pairs as independent; proved for the first pair: above the higher end, on the whole path"
    )
    caption = "Rise of the training loss on the straight line between two matched trainings"
    return [PageTable(caption, COLUMNS, tuple(tuple(_cells(row)) for row in rows), note)]


def _cells(row: BarrierRow) -> Iterator[str]:
    yield str(row.width)
    yield "–" if row.published is None else f"{row.published[0]:.3g} ± {row.published[1]:.2g}"
    yield _mean_and_sd(row.matched)
    yield "–" if row.mean is None else f"[{row.mean[1]:.3f}, {row.mean[2]:.3f}]"
    yield "–" if row.difference is None else "[{:+.3f}, {:+.3f}]".format(*row.difference)
    yield str(len(row.matched))
    yield _mean_and_sd(row.unmatched)
    for bound in (row.line, row.bezier):
        yield "–" if bound is None else rounded_up(up(bound), 3)


def _mean_and_sd(values: Sequence[float]) -> str:
    mean = f"{statistics.mean(values):.3g}"
    return mean if len(values) < 2 else f"{mean} ± {statistics.stdev(values):.2g}"


def _sentences(rows: Sequence[BarrierRow]) -> list[str]:
    off = [row for row in rows if row.difference is not None]
    agree = [r for r in off if r.difference and r.difference[0] <= 0 <= r.difference[1]]
    said = []
    if off:
        said.append(
            "The difference of the means, measured less published, may be zero (95 %) for "
            f"{len(agree)} of {len(off)} widths; the training behind the published numbers is not "
            f"stated with them, ours is Adam, rate {RATE:g}, mini-batches of {BATCH}, {EPOCHS} "
            "epochs."
        )
    proved = [r for r in rows if r.line is not None and r.bezier is not None]
    if proved:
        widths = ", ".join(str(r.width) for r in proved)
        most = rounded_up(max(r.bezier for r in proved if r.bezier is not None), 3)
        said.append(
            f"Proved: for the first pair of w = {widths} a bent path rises at most {most} above "
            "the higher end."
        )
    took = sum(r.seconds for r in rows)
    return [*said, f"The pairs took {duration(took)} together, each on one thread."]


def _tasks(
    width: int, many: int, seed: int, samples: int | None, root: str | None
) -> Iterator[Task]:
    for pair in range(seed, seed + many):
        proves = pair == seed
        key = f"w-{width}-pair-{pair}" + ("-proved" if proves else "")
        yield Task(key, pair_run, (width, pair, samples, root, proves))


def _seconds(width: int, pair: int, samples: int | None, root: str | None, proves: bool) -> float:
    """As measured on one busy core; training and losses go over all images."""
    share = min(1.0, (samples or _IMAGES) / _IMAGES)
    return 3 + share * (12 + 0.1 * width + (100 if proves else 0))


TABLE = PublishedTable(
    name="barrier-by-width",
    title="How high is the barrier between two trainings, by width?",
    citation="Sonthalia et al. 2024, arXiv:2403.07968; its code, aktsonthalia/starlight, "
    "results/out/mlp_mnist_depth_1_width_*.yaml",
    quantity="rise of the training loss",
    width="w", least=1, widths=(8, 16, 32), counted="pairs", many=6, of_images=True,
    plain="Two networks 784-w-10 (ReLU) are trained on MNIST from different seeds. The hidden "
    "units of the second are renumbered to match the first (weight matching), and the training "
    "loss is taken at 11 points of the straight line between both. The rise is the largest "
    "excess over the linear interpolation of the ends' losses.",
    tasks=_tasks, seconds=_seconds, row=barrier_row, tables=_tables, sentences=_sentences,
)  # fmt: skip
