"""The section of tables 5.2 and 5.5 says of its runs what is true of them."""

from dataclasses import replace
from statistics import mean, stdev

import pytest

from morsescape.errors import ArgumentError
from morsescape.experiments import IndexResult, IndexSettings, PointSettings
from morsescape.experiments.index.words import index_command, index_section
from morsescape.spectrum.inertia import InertiaStatus
from runs_of_index import a_run

CNN = PointSettings("cnn", "mnist")

RUNS = (
    a_run(0, (10, 11), (50, 51)),
    a_run(1, (14, 14), naive=(41, 30)),
    a_run(2, (10, 10), naive=(35, 10), null_explained={"softmax shift": 47, "dead units": 3}),
)


def result(*runs, point=CNN, asked=None):
    return IndexResult(IndexSettings(point, runs=asked or len(runs)), runs)


@pytest.fixture
def section():
    tanh = result(a_run(0, (9, 9)), point=replace(CNN, activation="tanh"))
    return index_section([result(*RUNS), tanh])


def test_published_beside_certified(section):
    assert section.tables[0].rows == (
        ("cnn, mnist, trained", "232.9 ± 2.88", "[10, 14]", "52"),
        ("cnn, mnist, trained, tanh", "–", "9", "52"),
    )
    assert section.tables[0].numeric == (False, True, True, True)


def test_means_are_those_of_the_runs(section):
    def shown(values):
        return f"{mean(values):.1f} ± {stdev(values):.1f}"

    first, second = section.tables[1].rows
    naive = shown([36, 41, 35]), shown([24, 30, 10])
    ends = shown([10, 14, 10]), shown([11, 14, 10])
    assert first == ("cnn, mnist, trained", "3", "232.9 ± 2.88", *naive, *ends, "52")
    assert second == ("cnn, mnist, trained, tanh", "1", "–", "36", "24", "9", "9", "52")


def test_the_null_space_is_that_of_all_runs(section):
    table = section.tables[2]
    assert table.columns[1:] == (
        "certified nullity", "softmax shift", "dead units", "left unexplained",
    )  # fmt: skip
    assert table.rows[0][1:] == ("[50, 51]", "47 to 50", "0 to 3", "0 to 1")
    assert table.rows[1][1:] == ("50", "50", "0", "0")


def test_it_says_what_was_found_first(section):
    assert section.lead == (
        "1 of 1 published means is above the largest index that the structure of the network "
        "allows: no mean of indices of this Hessian. Farthest is cnn, mnist, trained: published "
        "232.9 ± 2.88, at most 52, certified [10, 14].",
        "The number of negative eigenvalues is proved exactly in 3 of 4 runs, to an interval in 1; "
        "in 0 of these its upper end is the bound from structure. The naive count in float64 is "
        "outside the interval in 3 of 4.",
        "The gradient norm is 0.25, far above rounding: these are not critical points, and the "
        "numbers are negative curvature counts, not Morse indices.",
    )


def test_runs_that_are_proved_exactly_and_differ_are_no_interval():
    section = index_section([result(*RUNS[1:])])
    assert section.tables[0].rows[0][2] == "10 to 14"
    wide = index_section([result(a_run(0, (9, 52)), a_run(1, (12, 12)))])
    assert wide.tables[0].rows[0][2] == "[9, 52]"
    assert "in 1 of these its upper end is the bound from structure" in wide.lead[1]


def test_a_small_gradient_may_be_rounding():
    (*_, said) = index_section([result(a_run(0, (9, 9), grad_norm=1e-9))]).lead
    assert "1e-09: these points are not proved critical" in said


def test_details_are_said_once(section):
    assert section.details == (
        "cnn (relu); cnn (tanh): at most 52 of 552, because it is affine; there the Hessian is "
        "positive semidefinite, and each dimension of such a subspace takes one from the number of "
        "possible negative eigenvalues.",
        "cnn (relu); cnn (tanh): not twice differentiable (relu); the Hessian exists almost "
        "everywhere, but Morse theory does not apply.",
        "cnn, mnist: trained with optimizer adam, lr 0.003, epochs 15, batch size 64.",
    )


def test_the_picture_has_a_line_for_each_setting(section):
    (picture,) = section.pictures
    (ax,) = picture.figure.axes
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "cnn, mnist, trained", "cnn, mnist, trained, tanh",
    ]  # fmt: skip
    assert len(picture.figure.legends[0].get_texts()) == 5


def test_an_estimate_is_called_one():
    rough = a_run(1, (3, 60), status=InertiaStatus.ESTIMATE, conclusion="it could not be bounded")
    section = index_section([result(RUNS[1], rough)])
    assert section.tables[0].rows[0][2] == "[3, 60] (est.)"
    assert section.tables[1].rows[0][5].endswith(" (est.)")
    assert section.tables[2].rows[0][1] == "50 (est.)"
    assert section.lead[1].startswith(
        "The number of negative eigenvalues is proved exactly in 1 of 2"
    )
    assert section.lead[2] == "1 of 2 runs are not proved: see More."
    assert section.details[-1] == "cnn, mnist, trained, seed 1: it could not be bounded."


def test_what_is_missing_is_said():
    broken = a_run(0, (10, 10), training_done=False, training="the loss is no longer finite")
    section = index_section([result(broken, asked=10)])
    assert section.tables[1].rows[0][1] == "1 of 10"
    assert "cnn, mnist, trained, seed 0: training: the loss is no longer finite." in section.details


def test_without_naive_counts_and_published_numbers():
    runs = [a_run(0, (4, 4), naive=(None, None), l2=0.5, not_smooth=(), grad_norm=0.0, recipe=None)]
    section = index_section([result(*runs, point=PointSettings("mlp2", l2=0.5))])
    assert section.tables[0].rows == (("mlp2, digits, trained, λ = 0.5", "–", "4", "52"),)
    assert section.tables[1].rows[0][3:5] == ("–", "–")
    assert section.tables[2].rows[0][-1] == "–"
    assert "Hess f has 2λ there" in section.tables[2].note
    assert section.lead == ("The number of negative eigenvalues is proved exactly in 1 of 1 runs.",)
    assert len(section.details) == 1


def test_a_published_number_below_the_bound_is_not_called_impossible():
    runs = [replace(run, structural_upper_bound=300) for run in RUNS]
    assert index_section([result(*runs)]).lead[0] == (
        "None of the 1 published means here is above the structural bound."
    )


@pytest.mark.parametrize(
    ("point", "command"),
    [
        (PointSettings(), "--runs 3"),
        (replace(CNN, at="random", root="/data", samples=300),
         "--net cnn --data mnist --root DIR --at random --samples 300 --runs 3"),
        (replace(CNN, activation="tanh", pool="avg", l2=1e-3, optimizer="sgd", lr=0.1, epochs=2),
         "--net cnn --data mnist --root DIR --activation tanh --pool avg --l2 0.001 "
         "--optimizer sgd --lr 0.1 --epochs 2 --runs 3"),
    ],
)  # fmt: skip
def test_the_command_makes_the_same_settings(point, command, monkeypatch):
    written = index_command(IndexResult(IndexSettings(point, runs=3), ()))
    assert written == f"morsescape index {command}"
    asked = []
    from typer.testing import CliRunner

    from morsescape.app import app
    from morsescape.experiments.index import study

    monkeypatch.setattr(
        study, "run_index", lambda settings, *_, **__: asked.append(settings) or 1 / 0
    )
    CliRunner().invoke(app, written.split()[1:])
    assert replace(asked[0].point, root=None) == replace(point, root=None)
    assert asked[0].runs == 3


@pytest.mark.parametrize("results", [[], [result(*RUNS), result(asked=2)]])
def test_there_must_be_something_to_say(results):
    with pytest.raises(ArgumentError, match="results: expected at least one, with runs"):
        index_section(results)
