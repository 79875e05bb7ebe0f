"""What the section of linear regression says follows from the result."""

from dataclasses import replace

import pytest

from morsescape.critical import CertificateStatus
from morsescape.experiments.linear_regression import LinearResult, LinearSettings, linear_run
from morsescape.report.linear_regression import linear_section, linear_sentences
from morsescape.report.page import Page, render


@pytest.fixture(scope="module")
def result():
    settings = LinearSettings(starts=3, steps=10_000, seed=4)
    return LinearResult.from_piece(settings, *linear_run(settings))


def test_it_says_what_is_proved(result):
    lines = linear_sentences(result)
    assert "100 separable points has one critical point" in lines[0]
    assert "of index 0" in lines[0]
    assert lines[2].startswith("Proved: an exact critical point of index 0 lies within ")
    assert any("proved positive" in line for line in lines)


def test_what_is_not_proved_is_not_said_to_be(result):
    weak = replace(result.certificate, status=CertificateStatus.ESTIMATE)
    high = replace(result.inertia, radius=1.0)
    lines = linear_sentences(replace(result, certificate=weak, inertia=high))
    assert not any(line.startswith("Proved") for line in lines)
    assert any("not proved positive" in line for line in lines)


def test_the_section_has_tables_pictures_and_a_command(result):
    section = linear_section(result)
    assert section.command == "morsescape reproduce --parts linear --seed 4"
    assert [table.caption for table in section.tables] == [
        "The one critical point",
        "Distance of 3 descents from the least-squares solution",
    ]
    assert section.tables[1].rows[1][1] == "10,000"
    assert render(Page("Title", "", (), (section,))).count("<figure") == 2
