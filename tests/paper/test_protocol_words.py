"""What a person reads about the protocols: the same numbers everywhere, and no more is claimed."""

import pytest

from morsescape.errors import ArgumentError
from morsescape.experiments.citation import Published
from morsescape.page.engine import Page, render
from paper.protocols.figure import ProtocolRow, protocol_dots
from paper.protocols.kinds import Protocol, Variant
from paper.protocols.study import ProtocolsResult, ProtocolsSettings
from paper.protocols.table import ProtocolCounts, ProtocolTable, Setting
from paper.protocols.words import protocols_section

CNN, MLP = Setting("cnn", "mnist", "trained"), Setting("mlp2", "mnist", "trained")
PAPER = {CNN: Published(232.9, 2.88), MLP: Published(1980.1, 130.4)}
ONCE, TWICE = Protocol("once"), Protocol("twice", double_softmax=True)
LONG = Protocol("eigvals", route="rows", solver="eigvals")


def result(paper=PAPER, runs=1, complete=True, remarks=()):
    """Three protocols on two settings; the third could not count one of them."""
    counts = ({CNN: (46, 50), MLP: (500, 500)}, {CNN: (200, 230), MLP: (2001, 2003)}, {CNN: (3, 3)})
    rows = tuple(
        ProtocolCounts(
            protocol,
            {s: values[:runs] for s, values in count.items()},
            {} if MLP in count else {MLP: "too many rows"},
            paper,
        )
        for protocol, count in zip((ONCE, TWICE, LONG), counts, strict=True)
    )
    bounds, sizes = {CNN: 52, MLP: 110}, {CNN: 552, MLP: 7960}
    table = ProtocolTable(rows, (CNN, MLP), paper, bounds, sizes, runs)
    settings = ProtocolsSettings(("cnn", "mlp2"), ("mnist",), runs=runs, root="here")
    accuracy = {(CNN, Variant()): 0.95, (CNN, Variant(double_softmax=True)): 0.75}
    return ProtocolsResult(settings, table, complete, accuracy, remarks)


def sentences_of(result):
    section = protocols_section(result)
    return [*section.lead, *section.details]


def test_the_table_has_the_published_numbers_first_and_then_the_closest():
    table = protocols_section(result()).tables[0]
    rows = {row[0]: row[1:] for row in table.rows}
    assert list(rows) == ["published", "structural bound", "twice", "once", "eigvals"]
    assert rows["twice"] == ("1.11", "1 of 2", "200", "2,001")
    assert rows["eigvals"] == ("–", "0 of 2", "3", "–")
    assert table.columns[3:] == ("cnn, mnist, trained", "mlp2, mnist, trained")


def test_a_spread_is_shown_where_there_is_one():
    section = protocols_section(result(runs=2))
    (twice,) = (row for row in section.tables[0].rows if row[0] == "twice")
    assert twice[3:] == ("215.0 ± 21.2", "2,002.0 ± 1.4")
    assert "mean ± standard deviation over 2 networks" in section.tables[0].note


def test_the_section_says_what_follows_and_what_does_not():
    section = protocols_section(result())
    first, closest, cnn, mlp, nets, proof, above = section.lead
    assert "none is within 2 published standard deviations in all 2 settings" in first
    assert "Closest is “twice”" in first
    assert "weak evidence" in first
    assert cnn.startswith("cnn: all ways with one softmax count ")
    assert mlp.startswith("mlp2: all ways with one softmax count ")
    assert "farthest off for cnn, mnist, trained: 200 against 232.9 ± 2.88" in closest
    assert "“twice” is closest for mlp2" in nets
    assert "552 − 500 = 52" in proof
    assert "7,960 − 7,850 = 110" in proof
    assert above.startswith("2 of 2 published numbers are above this bound")
    lost = "Not counted by “eigvals”: mlp2, mnist, trained: too many rows."
    assert lost in section.details
    assert section.command == ("python -m paper.protocols --data mnist --root DIR --net cnn mlp2")


def test_without_published_numbers_nothing_is_compared():
    sentences = sentences_of(result(paper={}))
    assert sentences[0].startswith("Nothing is concluded: no number is published")
    assert "3 ways to count give 3 to 200" in sentences[0]
    assert not any("published standard deviations" in sentence for sentence in sentences)
    rows = protocols_section(result(paper={})).tables[0].rows
    assert [row[0] for row in rows] == ["structural bound", "once", "twice", "eigvals"]


def test_what_is_not_finished_or_went_wrong_is_said():
    sentences = sentences_of(result(complete=False, remarks=("cnn on mnist: died",)))
    assert sentences[0].startswith("Not finished: some networks are missing. Of 2 ways to count")
    assert "Training: cnn on mnist: died." in sentences


def test_the_page_can_be_written_and_the_picture_has_every_count():
    section = protocols_section(result())
    assert "What happened to the published counts" in render(Page("t", "s", (), (section,)))
    (ax,) = section.pictures[0].figure.axes
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "cnn, mnist, trained", "mlp2, mnist, trained",
    ]  # fmt: skip
    marks = {line.get_label(): list(line.get_xdata()) for line in ax.lines[:4]}
    assert [46.0, 3.0] in marks.values()
    assert [52] in marks.values()
    assert ax.get_xlim()[1] > 1980.1 + 2 * 130.4


@pytest.mark.parametrize("rows", [[], [ProtocolRow("a", {"x": [1.0], "y": [2.0], "z": [3.0]})]])
def test_what_cannot_be_drawn_is_refused(rows):
    with pytest.raises(ArgumentError, match="rows: expected at least one"):
        protocol_dots(rows)


def test_a_row_of_nothing_can_be_drawn():
    ax = protocol_dots([ProtocolRow("empty"), ProtocolRow("zero", {"x": [0.0]}, closest=0.0)])
    ax.figure.canvas.draw()
    assert ax.get_xlim()[0] < 0
