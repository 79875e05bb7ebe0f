"""The counts of all protocols beside the published ones: sentences, and a section."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby

from morsescape.experiments.citation import CITATION
from morsescape.page.engine import PageTable, Picture, Section
from morsescape.page.readable import number, spread
from paper.protocols.figure import ProtocolRow, protocol_dots
from paper.protocols.kinds import Protocol
from paper.protocols.study import ProtocolsResult
from paper.protocols.table import ProtocolCounts, ProtocolTable, Setting

_ONCE, _TWICE = "softmax once", "softmax twice (no bound)"


def protocols_section(result: ProtocolsResult) -> Section:
    """What happened to the published counts, as a section of the page.

    Example:
        >>> from paper.protocols.study import ProtocolsSettings, assemble_protocols
        >>> section = protocols_section(assemble_protocols(ProtocolsSettings(), {}))
        >>> section.command
        'python -m paper.protocols --data digits'
    """
    table = result.table
    return Section(
        "What happened to the published counts",
        "protocols",
        tuple(_lead(result)),
        (_counts(table), *_trained(result), _legend(table)),
        (_picture(table),) if table.settings else (),
        _command(result),
        tuple(_details(result)),
    )


# -- tables -----------------------------------------------------------------------------------


def _counts(table: ProtocolTable) -> PageTable:
    marks = ((name, "–", "–", *cells) for name, cells in _marks(table))
    rows = (
        (
            row.protocol.name,
            *_closeness(row),
            *(spread(row.spread(setting)) for setting in table.settings),
        )
        for row in table.ranked
    )
    return PageTable(
        "Negative eigenvalues as each protocol counts them, the closest first",
        ("protocol", "off by factor", "within 2 sd", *map(str, table.settings)),
        (*marks, *rows),
        f"Estimates, not proved{_runs(table)}. Published: {CITATION}, mean ± standard deviation of "
        "10 runs. Structural bound: of cross-entropy on logits; it holds for the exact Hessian.",
    )


def _trained(result: ProtocolsResult) -> Iterator[PageTable]:
    """How well the networks are trained whose eigenvalues are counted."""
    accuracy = result.accuracy
    if not accuracy:
        return
    settings = dict.fromkeys(setting for setting, _ in accuracy)
    variants = tuple(dict.fromkeys(variant for _, variant in accuracy))
    rows = (
        (str(s), *(number(accuracy.get((s, variant)), ".1%") for variant in variants))
        for s in settings
    )
    yield PageTable(
        "Accuracy of the trained networks, by what they were trained with",
        ("network, data, point", *(str(variant).replace("-", " ") for variant in variants)),
        tuple(rows),
        "On the images that they were trained with.",
    )


def _legend(table: ProtocolTable) -> PageTable:
    rows = tuple((row.protocol.name, str(row.protocol)) for row in table.rows)
    return PageTable("What each protocol does", ("protocol", "how it counts"), rows)


def _marks(table: ProtocolTable) -> Iterator[tuple[str, list[str]]]:
    """What the counts are to be compared with: a name, and a cell for each setting."""
    if table.published:
        yield "published", [str(table.published.get(s, "–")) for s in table.settings]
    yield "structural bound", [number(table.bounds.get(s), ",") for s in table.settings]


def _closeness(row: ProtocolCounts) -> tuple[str, str]:
    if not row.published:
        return "–", "–"
    return number(row.factor(), ".2f"), f"{row.within()} of {len(row.published)}"


def _runs(table: ProtocolTable) -> str:
    if table.runs == 1:
        return ", each of one network"
    return f", mean ± standard deviation over {table.runs} networks"


# -- picture ----------------------------------------------------------------------------------


def _picture(table: ProtocolTable) -> Picture:
    ax = protocol_dots([_dots(table, setting) for setting in table.settings])
    return Picture(
        ax.figure.figure,
        "For each setting, on one logarithmic axis: a dot for the count of each protocol, the "
        "structural bound, and the published number. The numbers are in the table.",
        "One setting, counted in many ways. Dots: protocols; ring: the one that is closest over "
        "all settings. What lies beyond the structural bound is rounding noise of eigenvalues near "
        "zero, or another loss.",
    )


def _dots(table: ProtocolTable, setting: Setting) -> ProtocolRow:
    paper, closest = table.published.get(setting), table.closest
    nearest = None if closest is None else closest.spread(setting)
    return ProtocolRow(
        str(setting),
        {
            kind: [c[0] for row in table.rows if (c := row.spread(setting)) and _kind(row) == kind]
            for kind in (_ONCE, _TWICE)
        },
        None if paper is None else (paper.mean, paper.sd),
        None if nearest is None else nearest[0],
        table.bounds.get(setting),
    )


def _kind(row: ProtocolCounts) -> str:
    return _TWICE if row.protocol.double_softmax else _ONCE


# -- sentences --------------------------------------------------------------------------------


def _lead(result: ProtocolsResult) -> Iterator[str]:
    table = result.table
    so_far = "" if result.complete else "Not finished: some networks are missing. "
    yield f"{so_far}{table.conclusion}"
    if table.closest is not None:
        yield _closest(table.closest)
    yield from _families(table)
    nets = [(net, table.closest_for(net)) for net in table.nets]
    if len(nets) > 1:
        yield (
            f"Compared on one network at a time, {'; '.join(_one(*near) for near in nets)}. With "
            "fewer numbers to match, a close one is more often chance."
        )
    yield from _bound(table)


def _closest(row: ProtocolCounts) -> str:
    worst = row.worst
    return (
        f"“{row.protocol.name}” is: {row.protocol}. It is farthest off for {worst}: "
        f"{spread(row.spread(worst))} against {row.published[worst]} published."
    )


def _one(net: str, row: ProtocolCounts | None) -> str:
    if row is None:
        return f"no protocol has all counts for {net}"
    settings = sum(setting.net == net for setting in row.published)
    return (
        f"“{row.protocol.name}” is closest for {net} (off by a factor of "
        f"{number(row.factor(net), '.2f')}, {row.within(net)} of {settings} within 2 sd)"
    )


def _families(table: ProtocolTable) -> Iterator[str]:
    """What does not depend on a choice: one softmax against two, network by network."""
    for net in table.nets:
        ends = table.families(net)
        papers = [paper.mean for setting, paper in table.published.items() if setting.net == net]
        if len(ends) < 2:
            continue
        (one, two), between = (ends[twice] for twice in (False, True)), (min(papers), max(papers))
        apart = "; the two do not overlap" if one[1] < two[0] or two[1] < one[0] else ""
        yield (
            f"{net}: all ways with one softmax count {one[0]:,} to {one[1]:,}, those with two "
            f"{two[0]:,} to {two[1]:,}{apart}; published are {between[0]:g} to {between[1]:g}."
        )


def _bound(table: ProtocolTable) -> Iterator[str]:
    """The structural bound, its proof, and the published numbers above it."""
    known = {setting: bound for setting, bound in table.bounds.items() if bound is not None}
    if not known:
        return
    numbers = dict.fromkeys(
        f"{table.sizes[s]:,} − {table.sizes[s] - bound:,} = {bound:,} for {s.net}"
        for s, bound in known.items()
    )
    yield (
        "Structural bound. In a ReLU network the output is affine in any one layer's parameters "
        "(near almost every point; in the last layer's everywhere), and cross-entropy is convex in "
        "the output, so the Hessian is positive semidefinite on that layer's parameters. By Cauchy "
        "interlacing the number of negative eigenvalues is at most that of the other parameters: "
        f"{', '.join(numbers)}."
    )
    papers = {s: p for s, p in table.published.items() if s in known}
    if papers:
        above = sum(paper.mean > known[setting] for setting, paper in papers.items())
        those = (
            f"; {'it is no number' if above == 1 else 'those are no numbers'} of negative "
            "eigenvalues of that Hessian"
        )
        yield (
            f"{above or 'None'} of {len(papers)} published numbers {'is' if above < 2 else 'are'} "
            f"above this bound{those if above else ''}. Where softmax is applied twice, the loss "
            "is another one, and the bound does not hold."
        )


def _details(result: ProtocolsResult) -> Iterator[str]:
    table = result.table
    if table.published:
        yield (
            "Off by factor: exp of the root mean square, over the settings, of "
            "log(mean count / published), a mean below 1/2 taken as 1/2. Within 2 sd: settings "
            "whose mean count is at most 2 published standard deviations off. The probability that "
            f"the paper's own way is within them, {table.likely:.0%} in each setting, is that of "
            "Student's t with 9 degrees of freedom: of normal counts, and of our training being "
            "the paper's. The share of the parameters is one number fitted to all settings. The "
            "list of ways is no full grid: it was drawn up with the published numbers in view, and "
            "ways that looked promising have more neighbours in it."
        )
    yield (
        "Every count is an estimate: the sign of a computed eigenvalue near zero is decided by "
        f"rounding{'; one network a setting, so no spread is known' * (table.runs == 1)}."
    )
    yield (
        "Standardised inputs: minus the mean, over the standard deviation, of all pixels of the "
        "images used. A mini-batch holds the first images that the training saw; with fewer images "
        "than that it holds them all. Networks of standardised inputs or of a second softmax were "
        "trained so, with the recipe of the plain loss. Rows by double backward are computed on "
        "mini-batches only: on 60,000 images each of thousands of rows is a pass over all of them."
    )
    yield from _missing(table)
    yield from (f"Training: {remark}." for remark in result.remarks)
    if result.made_with:
        yield f"Counted by {' and '.join(result.made_with)}: naive counts may differ with these."


def _missing(table: ProtocolTable) -> Iterator[str]:
    lost = [(r.protocol, s, why) for r in table.rows for s, why in r.missing.items()]

    def name_and_reason(entry: tuple[Protocol, Setting, str]) -> tuple[str, str]:
        return entry[0].name, entry[2]

    for (name, why), group in groupby(sorted(lost, key=name_and_reason), name_and_reason):
        yield f"Not counted by “{name}”: {'; '.join(str(s) for _, s, _ in group)}: {why}."


def _command(result: ProtocolsResult) -> str:
    asked = result.settings
    options: Mapping[str, str] = {
        "--data": " ".join(asked.data),
        "--root": "" if asked.data == ("digits",) else "DIR",
        "--net": "" if asked.nets == type(asked)().nets else " ".join(asked.nets),
    }
    words = (f"{option} {value}" for option, value in options.items() if value)
    return " ".join(["python -m paper.protocols", *words])
