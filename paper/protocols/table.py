"""The counts of all protocols beside the published ones: how far, which is closest, what follows.

The distance of a protocol is the root mean square, over the settings with a published number p, of
log(c / p), with c the mean count over the runs and a mean below 1/2 taken as 1/2. Its exponential
is the factor by which the protocol is typically off.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from statistics import mean, pstdev, stdev
from typing import Any, NamedTuple

from scipy.stats import t as student_t

from morsescape.experiments.citation import Published
from paper.protocols.kinds import Protocol

DISTANCE = (
    "root mean square over the settings of log(mean count / published), a mean below 1/2 taken "
    "as 1/2; factor = exp(distance)"
)
WITHIN = "settings whose mean count is at most 2 published standard deviations off"


class Setting(NamedTuple):
    """A network on a data set, trained or as it was drawn.

    Example:
        >>> str(Setting("cnn", "mnist", "trained")), Setting("cnn", "mnist", "random").key
        ('cnn, mnist, trained', 'cnn-mnist-random')
    """

    net: str
    data: str
    at: str

    def __str__(self) -> str:
        return ", ".join(self)

    @property
    def key(self) -> str:
        """Its name in JSON."""
        return "-".join(self)


@dataclass(frozen=True, eq=False)
class ProtocolCounts:
    """What one protocol counts.

    Attributes:
        protocol: the way of counting.
        counts: one number a run, for each setting that could be counted.
        missing: why there is none, for the others.
        published: the published numbers, of all settings that have one.

    Example:
        >>> setting = Setting("cnn", "mnist", "trained")
        >>> paper = {setting: Published(200.0, 10.0)}
        >>> row = ProtocolCounts(Protocol("a"), {setting: (90, 110)}, {}, paper)
        >>> round(row.factor(), 6), row.within(), row.spread(setting)[0]
        (2.0, 0, 100.0)
    """

    protocol: Protocol
    counts: Mapping[Setting, tuple[int, ...]]
    missing: Mapping[Setting, str]
    published: Mapping[Setting, Published]

    def spread(self, setting: Setting) -> tuple[float, float | None] | None:
        """Mean and standard deviation over the runs; None where there is no count."""
        values = self.counts.get(setting)
        if not values:
            return None
        return float(mean(values)), stdev(values) if len(values) > 1 else None

    def ratio(self, setting: Setting) -> float:
        """Mean count over published number, both there; a mean below 1/2 counts as 1/2."""
        return max(float(mean(self.counts[setting])), 0.5) / self.published[setting].mean

    def distance(self, net: str | None = None) -> float | None:
        """Root mean square of log(count / published), over one network's settings or all.

        Returns:
            None where a count is missing, or nothing is published.
        """
        settings = self._settings(net)
        if not settings or any(setting not in self.counts for setting in settings):
            return None
        return math.sqrt(mean(math.log(self.ratio(setting)) ** 2 for setting in settings))

    def factor(self, net: str | None = None) -> float | None:
        """exp(distance): by which factor the counts are typically off."""
        distance = self.distance(net)
        return None if distance is None else math.exp(distance)

    def within(self, net: str | None = None) -> int:
        """How many settings have a mean at most 2 published standard deviations off."""
        return sum(_near(self, setting) for setting in self._settings(net))

    @property
    def worst(self) -> Setting:
        """The setting whose count is off by the largest factor, among those with both numbers."""
        both = [setting for setting in self._settings(None) if setting in self.counts]
        return max(both, key=lambda setting: abs(math.log(self.ratio(setting))))

    def to_json(self) -> dict[str, Any]:
        """The protocol, its counts and its distance as JSON values."""
        return asdict(self.protocol) | {
            "description": str(self.protocol),
            "distance": self.distance(),
            "factor": self.factor(),
            "within": self.within(),
            "counts": {s.key: self._json(s) for s in self.counts},
            "missing": {s.key: why for s, why in self.missing.items()},
        }

    def _json(self, setting: Setting) -> dict[str, Any]:
        average, sd = self.spread(setting) or (None, None)
        return {"mean": average, "sd": sd, "runs": list(self.counts[setting])}

    def _settings(self, net: str | None) -> list[Setting]:
        return [setting for setting in self.published if net in (None, setting.net)]


@dataclass(frozen=True, eq=False)
class ProtocolTable:
    """The counts of all protocols on the same networks.

    Attributes:
        rows: in the order of the protocols.
        settings: those that have any count, in order.
        published: the published numbers, of those settings that have one.
        bounds: the structural bound of cross-entropy on the index, by setting.
        sizes: the number of parameters, by setting.
        runs: how many networks a setting.
    """

    rows: tuple[ProtocolCounts, ...]
    settings: tuple[Setting, ...]
    published: Mapping[Setting, Published]
    bounds: Mapping[Setting, int]
    sizes: Mapping[Setting, int]
    runs: int

    @cached_property
    def ranked(self) -> tuple[ProtocolCounts, ...]:
        """Closest first; those without a distance last, in their order."""
        return tuple(sorted(self.rows, key=lambda row: _or_infinity(row.distance())))

    @property
    def closest(self) -> ProtocolCounts | None:
        """The protocol with the smallest distance; None where nothing can be compared."""
        return _closest(self.rows, None)

    @property
    def nets(self) -> tuple[str, ...]:
        """The networks with a published number."""
        return tuple(dict.fromkeys(setting.net for setting in self.published))

    def closest_for(self, net: str) -> ProtocolCounts | None:
        """The closest protocol when one network's settings alone are compared."""
        return _closest(self.rows, net)

    @property
    def likely(self) -> float:
        """P(|m - M| ≤ 2S): m of `runs` runs, M and S the mean and deviation of the paper's 10.

        All are taken to be of one normal distribution: (m - M) / (S √(1/runs + 1/10)) is Student's
        t with 9 degrees of freedom. It is how often the paper's own way would be "within 2 sd".
        """
        return float(1 - 2 * student_t.sf(2 / math.sqrt(1 / self.runs + 1 / 10), 9))

    @property
    def constant(self) -> tuple[float, float]:
        """The share of the parameters nearest to all published numbers, and its factor.

        What a protocol must beat: one fitted number, and no network at all.
        """
        logs = [math.log(p.mean / self.sizes[s]) for s, p in self.published.items()]
        return math.exp(mean(logs)), math.exp(pstdev(logs))

    @property
    def easy(self) -> int:
        """How many published numbers are so uncertain that every protocol is within 2 sd."""
        return sum(all(_near(row, setting) for row in self.compared) for setting in self.published)

    @property
    def compared(self) -> tuple[ProtocolCounts, ...]:
        """The protocols with a count for every setting with a published number."""
        return tuple(row for row in self.rows if row.distance() is not None)

    def families(self, net: str) -> dict[bool, tuple[int, int]]:
        """Least and most that is counted for this network, by whether softmax is applied twice."""
        counts: dict[bool, list[int]] = {False: [], True: []}
        for row in self.rows:
            for setting in (s for s in row.counts if s.net == net):
                counts[row.protocol.double_softmax] += row.counts[setting]
        return {twice: (min(own), max(own)) for twice, own in counts.items() if own}

    @property
    def conclusion(self) -> str:
        """How near the protocols come to the published numbers, and what being closest is worth."""
        closest, total = self.closest, len(self.published)
        if closest is None:
            return self._nothing()
        right = sum(row.within() == total for row in self.compared)
        ways = f"Of {len(self.compared)} ways" if len(self.compared) > 1 else "Of one way"
        share, off = self.constant
        better = sum((row.factor() or math.inf) < off for row in self.compared)
        everywhere = f"in all {total} settings" if total > 1 else "in the one setting"
        easy = f" (in {self.easy} every way is)" if self.easy else ""
        networks = "one network" if self.runs == 1 else f"{self.runs} networks"
        return (
            f"{ways} to count {right or 'none'} {'are' if right > 1 else 'is'} within 2 published "
            f"standard deviations {everywhere}; the paper's own would be with probability "
            f"{self.likely**total:.0%}. Closest is “{closest.protocol.name}”: within them in "
            f"{closest.within()} of {total}{easy}, and off by a factor of {closest.factor():.2f}. "
            f"To say {share:.0%} of the parameters everywhere is off by {off:.2f}; {better} of the "
            f"ways are closer than that. The closest was chosen after the fact, from {networks} a "
            "setting: weak evidence that the paper counted so."
        )

    @property
    def widest(self) -> tuple[Setting, int, int] | None:
        """The setting on which the protocols differ by the largest factor; least and most."""
        ends = [(setting, *self._ends(setting)) for setting in self.settings]
        known = [(s, low, high) for s, low, high in ends if low is not None and high is not None]
        return max(known, key=lambda end: end[2] / max(end[1], 0.5), default=None)

    def _ends(self, setting: Setting) -> tuple[int | None, int | None]:
        counts = [count for row in self.rows for count in row.counts.get(setting, ())]
        return min(counts, default=None), max(counts, default=None)

    def _nothing(self) -> str:
        why = (
            "no protocol has a count for every setting that has a published number"
            if self.published
            else "no number is published for these settings"
        )
        widest = self.widest
        if widest is None:
            return f"Nothing is concluded: {why}."
        setting, low, high = widest
        return (
            f"Nothing is concluded: {why}. On one and the same setting ({setting}) "
            f"{len(self.rows)} ways to count give {low:,} to {high:,}."
        )


def _near(row: ProtocolCounts, setting: Setting) -> bool:
    """Whether the mean count is within 2 published standard deviations; False without one."""
    count, paper = row.spread(setting), row.published[setting]
    return count is not None and abs(count[0] - paper.mean) <= 2 * paper.sd


def _closest(rows: Iterable[ProtocolCounts], net: str | None) -> ProtocolCounts | None:
    there = [row for row in rows if row.distance(net) is not None]
    return min(there, key=lambda row: _or_infinity(row.distance(net)), default=None)


def _or_infinity(distance: float | None) -> float:
    return math.inf if distance is None else distance
