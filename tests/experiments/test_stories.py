"""The first screen says of a result what is proved of it, and shows each picture once."""

from dataclasses import replace

import pytest
import torch

import morsescape as ms
from morsescape.critical import CertificateStatus
from morsescape.experiments import IndexResult, IndexSettings, PointSettings, ReproduceSettings
from morsescape.experiments.connect.study import ConnectResult, ConnectSettings, End, Way
from morsescape.experiments.connect.words import connect_section
from morsescape.experiments.index.words import index_section
from morsescape.experiments.reproduce.stories import stories
from morsescape.experiments.reproduce.study import ReproduceResult
from morsescape.experiments.reproduce.words import reproduce_page
from morsescape.experiments.tree.study import TreeResult, TreeSettings
from morsescape.experiments.tree.words import tree_section
from morsescape.page import render
from morsescape.paths import Height
from morsescape.spectrum.inertia import InertiaStatus
from runs_of_index import a_run

POINT = PointSettings(activation="tanh", l2=1e-3)
NAIVE = a_run(0, (3, 5), naive=(4, 9)), a_run(1, (7, 7), naive=(7, 7)), a_run(2, (0, 1))


@pytest.fixture(scope="module")
def graph():
    f = ms.Objective.from_function(lambda t: (t[0] ** 2 - 1) ** 2 + t[1] ** 2, 2)
    starts = (torch.tensor([x, 0.1]).double() for x in (-1.0, 1.0))
    return ms.morse_graph(f, [ms.find_critical_point(f, start) for start in starts])


def a_tree(graph):
    return TreeResult(TreeSettings(POINT), "f", 2, 1, graph, (0.5, 0.75), None, ())


def a_pair(high, estimate=None):
    def way(method, low, high):
        height = Height(low, high, ((0.1, 0.1), (0.2, 0.2)), 0.5, 1.0,
                        samples=((0.5, low),), estimate=estimate)  # fmt: skip
        return Way(method, height, 1.0, 1, True, (1.0, 1.0), False, None, (1.0, 1.0))

    ends = End(0.1, 0.9, False), End(0.2, 0.9, False)
    ways = way("line", 0.41239, 0.42), way("bezier", 0.03, high)
    return ConnectResult(ConnectSettings(POINT), "f", 2, 1, (), ends, ways)


def counts(*runs):
    return IndexResult(IndexSettings(PointSettings(), runs=len(runs)), runs)


def told(**found):
    """A reproduction that found this, its stories, and its sections without their pictures."""
    result = ReproduceResult(ReproduceSettings(), (), {})
    result.__dict__["_results"] = {kind: [one] for kind, one in found.items()}
    make = {
        "tables": lambda one: index_section([one]), "connect": connect_section,
        "tree": tree_section,
    }  # fmt: skip
    return stories(result, tuple(make[kind](one) for kind, one in found.items()))


def test_four_questions_each_with_a_picture_that_no_section_shows_again(graph):
    tree, tables, pair = a_tree(graph), counts(*NAIVE), a_pair(0.5)
    questions, sections = told(tables=tables, connect=pair, tree=tree)
    assert [story.anchor for story in questions] == [
        "tree-mlp2-digits", "tables", "connect-mlp2-digits", "tree-mlp2-digits",
    ]  # fmt: skip
    assert all(not section.pictures for section in sections)
    said = " ".join(paragraph for section in sections for paragraph in section.lead)
    assert not any(story.answer in said for story in questions)


def test_points_are_counted_that_are_proved_critical(graph):
    (first, _), _ = told(tree=a_tree(graph))
    assert (first.number, first.unit) == ("3", "points proved critical, each with its index")
    assert "2 minima (index 0) and 1 pass (index 1, one way down)" in first.answer
    likely = replace(graph.minima[0].certificate, status=CertificateStatus.ESTIMATE)
    fewer = replace(graph, minima=(replace(graph.minima[0], certificate=likely), *graph.minima[1:]))
    (first, _), _ = told(tree=a_tree(fewer))
    assert first.number == "2"


@pytest.mark.parametrize(("norm", "where"), [(0.25, "at no critical point"), (1e-9, "near")])
def test_where_training_stops_is_called_what_it_is(graph, norm, where):
    run = replace(NAIVE[0], grad_norm=norm)
    (first, *_), _ = told(tables=counts(run), tree=a_tree(graph))
    assert where in first.answer


def test_naive_counts_are_wrong_where_they_are_outside_of_what_is_proved():
    rough = replace(NAIVE[2], status=InertiaStatus.ESTIMATE)
    (story,), _ = told(tables=counts(*NAIVE))
    assert story.number == "2 of 3"
    (story,), _ = told(tables=counts(*NAIVE[:2], rough))
    assert story.number == "1 of 2"
    unknown = replace(NAIVE[0], raw_negative={"float32": None, "float64": None})
    assert told(tables=counts(unknown))[0] == ()


def test_the_level_of_a_path_is_rounded_up_and_that_of_the_line_down():
    (story,), _ = told(connect=a_pair(0.030621))
    assert story.number == "ε = 0.0307"
    assert "rises to 0.412 or more" in story.answer


def test_an_estimate_is_no_answer():
    questions, (section,) = told(connect=a_pair(0.5, "erf: nothing is known of it"))
    assert questions == ()
    assert len(section.pictures) == 1


def test_minima_that_are_not_joined_are_no_answer(graph):
    questions, _ = told(tree=a_tree(replace(graph, passes=(), ends=())))
    assert [story.number for story in questions] == ["2"]
    _, joined = told(tree=a_tree(graph))[0]
    assert joined.number.startswith("ε ≥ 1")
    assert float(joined.number[4:]) >= graph.threshold[1]


def test_the_page_has_the_questions_then_what_answers_them(graph):
    result = ReproduceResult(ReproduceSettings(), (), {})
    result.__dict__["_results"] = {"tree": [a_tree(graph)], "tables": [counts(*NAIVE)]}
    page = reproduce_page(result)
    assert [section.anchor for section in page.sections] == ["tables", "tree-mlp2-digits"]
    assert "index 0, proved, accuracy 50.00%" in render(page)
