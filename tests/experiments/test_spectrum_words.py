"""What the section of spectra says follows from the results."""

from dataclasses import replace

import pytest
import torch

import own_model
from morsescape.errors import ArgumentError
from morsescape.experiments import PointSettings, SpectrumSettings, run_spectrum
from morsescape.experiments.ridge.words import ridge_section, ridge_sentences
from morsescape.experiments.spectrum.figure import spectrum_picture
from morsescape.experiments.spectrum.words import spectra_section, spectrum_sentences
from morsescape.page.engine import Page, render
from morsescape.spectrum.split import Direction


@pytest.fixture(scope="module")
def trained():
    point = PointSettings(net="mlp2", samples=300, epochs=60)
    return run_spectrum(SpectrumSettings(point))


@pytest.fixture(scope="module")
def random():
    return run_spectrum(SpectrumSettings(PointSettings(net="cnn", samples=40, at="random"), seed=2))


@pytest.fixture(scope="module")
def function(tmp_path_factory):
    file = own_model.write(tmp_path_factory.mktemp("own"))
    return run_spectrum(SpectrumSettings(PointSettings(objective=f"{file}:saddle")))


def with_outliers(result, number):
    """The same spectrum, but for `number` large eigenvalues."""
    values = result.eigenvalues.clone()
    values[-number:] = 1e3 * torch.arange(1, number + 1) / number + 1e3
    return replace(result, eigenvalues=values)


def test_sentences_name_outliers_gap_and_parts(trained):
    lines = spectrum_sentences(trained)
    (outliers,) = (line for line in lines if line.startswith("Outliers: ") and "ratio" in line)
    gap = trained.gaps[0]
    assert f"Outliers: {gap.above}, above the largest ratio" in outliers
    assert f"= {gap.ratio:.2f}" in outliers
    assert "classes - 1 = 9 are expected" in outliers
    assert any(line.startswith("Split H = G + R: all parts are estimates") for line in lines)
    assert any("so they are R's" in line for line in lines)


def test_a_function_says_that_it_is_not_split(function):
    lines = spectrum_sentences(function)
    assert "Split H = G + R: not split: a function has no output at which to split." in lines


def test_the_section_counts_trained_and_random_apart(trained, random):
    nine, three = with_outliers(trained, 9), with_outliers(random, 3)
    lead = spectra_section([nine, three]).lead[0]
    assert "end of the spectrum in 1 of 1 trained network and 0 of 1 random network; " in lead


def test_the_section_says_where_the_rest_is_small_and_where_not(trained, random):
    def mixed(result, share):
        top = (Direction(10.0, 10.0 * (1 - share), 10.0 * share, 1e-12),)
        return replace(with_outliers(result, 1), split=replace(result.split, top=top))

    lead = spectra_section([mixed(trained, 0.01), mixed(random, -0.3)]).lead[1]
    assert "less than 10% of every outlier in 1 of 1 trained network and 0 of 1" in lead
    assert lead.endswith("elsewhere up to 30%.")


def test_values_of_g_below_the_gap_do_not_count(trained):
    lower, upper = trained.gaps[0].lower, trained.gaps[0].upper
    own = ((upper, 0.0), (1.01 * lower, 0.0), (0.99 * lower, 0.0))
    result = replace(trained, split=replace(trained.split, own=own))
    assert spectra_section([result]).tables[1].rows[0][3] == "2"


def test_every_setting_has_its_rows_and_its_picture(trained, random):
    section = spectra_section([trained, random])
    assert [row[0] for row in section.tables[0].rows] == [
        "mlp2, digits, trained",
        "cnn, digits, random",
    ]
    assert len(section.tables[1].rows) == len(section.pictures) == 2
    assert section.command.splitlines() == [
        "morsescape spectrum --samples 300 --epochs 60 --out DIR",
        "morsescape spectrum --net cnn --at random --samples 40 --seed 2 --out DIR",
    ]
    assert section.tables[0].rows[0][4] == str(trained.outliers)


def test_estimates_are_called_so(trained):
    from morsescape.spectrum.inertia import InertiaStatus

    rough = replace(trained, inertia=replace(trained.inertia, status=InertiaStatus.ESTIMATE))
    assert spectra_section([rough]).tables[0].rows[0][1].endswith(" (est.)")
    assert ridge_section([rough]).tables[0].rows[0][1].endswith(" (est.)")


def test_what_is_not_there_is_a_dash(function):
    section = spectra_section([function])
    assert section.tables[1].rows[0][1:] == ("0", "–", "–", "0", "–", "–")
    assert section.tables[0].rows[0][-3:] == ("–", "–", "–")


def test_a_picture_of_what_was_split_and_of_what_was_not(trained, function):
    assert len(spectrum_picture(trained).axes) == 4
    assert len(spectrum_picture(function).axes) == 2


def test_a_hessian_that_is_not_finite_is_told_not_drawn(trained):
    none = torch.zeros(0, dtype=torch.float64)
    gone = replace(trained.split, top=(), bottom=())
    broken = replace(trained, eigenvalues=none, split=gone)
    section = spectra_section([broken])
    assert section.pictures == ()
    assert section.tables[0].rows[0][3:6] == ("–", "0", "–")


def test_the_ridge_section_has_a_row_for_each_curve(trained, random, function):
    section = ridge_section([trained, random, function])
    assert len(section.tables[0].rows) == 3
    gap = trained.ridge.widest_gap()
    assert section.tables[0].rows[0][4:6] == (f"{gap.l2:.1e}", f"{gap.index:,}")
    assert section.tables[0].rows[2][2:6] == ("from 0 to 9.9e-01", "∞", "0", "1")
    assert section.lead[0].startswith("A ridge makes the index of L + λ‖θ‖² one proved number: ")
    assert len(section.pictures) == 1


def test_sentences_of_a_ridge_that_is_not_needed(function):
    assert "Widest gap for -2λ, by ratio: λ from 0 to 9.9e-01, index 1 (no ridge is needed)." in (
        ridge_sentences(function.ridge)
    )


def test_no_results():
    for section in (spectra_section, ridge_section):
        with pytest.raises(ArgumentError, match="results: expected at least one"):
            section([])


def test_both_sections_can_be_on_one_page(trained, function):
    results = [trained, function]
    page = Page("Title", "", (), (spectra_section(results), ridge_section(results)))
    assert render(page).count("<figure") == 3
