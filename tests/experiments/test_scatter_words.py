"""What a person reads of an ensemble: the table, the sentences, the section of the page."""

from dataclasses import replace

import pytest
import torch
from rich.console import Console

from morsescape.experiments.point import PointSettings
from morsescape.experiments.scatter.cloud import quantiles
from morsescape.experiments.scatter.study import ScatterSettings, run_scatter
from morsescape.experiments.scatter.words import (
    scatter_command,
    scatter_section,
    scatter_sentences,
    scatter_table,
)
from morsescape.page.engine import Page, render

SETTINGS = ScatterSettings(PointSettings("cnn", samples=60, epochs=1), seed=2, members=6)


@pytest.fixture(scope="module")
def result():
    found = run_scatter(SETTINGS)
    return replace(found, dead=torch.tensor([False] * 5 + [True]))


def text_of(table):
    console = Console(width=130, file=None, highlight=False)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def test_the_table_has_the_quantiles_of_the_live(result):
    text = text_of(scatter_table(result))
    loss = quantiles(result.loss[:5].numpy())
    for value in loss.values():
        assert f"{value:.4f}" in text
    for distances in (result.before, result.after):
        for value in quantiles(distances.relative).values():
            assert f"{value:.3f}" in text
    assert text.count("modulo symmetries") == 3


def test_the_sentences_say_what_a_symmetry_means(result):
    text = " ".join(scatter_sentences(result))
    assert text.startswith("cnn on digits: 6 trainings, 1 of which died (constant output). No two")
    assert "Two points that differ by a symmetry are one solution." in text
    assert "positive rescaling and softmax shift" in text
    assert "an upper bound on the distance of the orbits" in text
    assert "The plane shows" in text


def test_pairs_that_coincide_are_called_one_solution(result):
    relative = result.after.relative.copy()
    relative[0] = 1e-6
    text = scatter_sentences(replace(result, after=replace(result.after, relative=relative)))[0]
    assert f"1 of {len(relative)} pairs coincide to within 0.001: each may be one solution." in text


def test_what_is_missing_is_said(result):
    short = replace(result, settings=replace(SETTINGS, members=9), diverged=(8,))
    first = scatter_sentences(short)[0]
    assert "7 trainings of 9 that were asked for" in first
    assert "and 1 diverged and are left out" in first
    alone = replace(result, before=None, after=None)
    assert "Fewer than two solutions are not dead" in scatter_sentences(alone)[0]
    assert len(scatter_section(alone).tables[0].rows) == 2
    dead = replace(alone, dead=torch.ones(6, dtype=torch.bool))
    assert scatter_section(dead).tables == ()


def test_the_section_renders_with_its_picture_and_command(result):
    section = scatter_section(result)
    assert section.anchor == "scatter-cnn-digits"
    page = render(Page("A", "B", (), (section,)))
    assert "data:image/png;base64," in page
    assert section.command == (
        "morsescape scatter --net cnn --samples 60 --epochs 1 --members 6 --seed 2"
    )
    assert section.tables[0].numeric[1:] == (True,) * 5


def test_the_command_names_the_folder_of_files(result):
    point = PointSettings("mlp2", "mnist", root="somewhere")
    there = replace(result, settings=ScatterSettings(point, members=500))
    assert scatter_command(there) == "morsescape scatter --data mnist --root DIR --members 500"
