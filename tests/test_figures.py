"""Figures say what the numbers say; they are drawn without a screen and without pyplot."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from morsescape.errors import ArgumentError
from morsescape.experiments.index.figure import CountRow, index_bars
from morsescape.figures import (
    spectrum_figure,
    spectrum_histogram,
    spectrum_linear,
)
from morsescape.page import rounded_up

VALUES = [-3.0, -1e-3, 0.0, 1e-12, -1e-12, 2e-4, 5e-3, 0.7, 20.0, 40.0]
RADIUS = 1e-9


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


@pytest.mark.parametrize("draw", [spectrum_histogram, spectrum_linear])
@pytest.mark.parametrize("kind", [list, np.array, torch.tensor])
def test_the_legend_counts_by_the_radius(draw, kind):
    assert labels(draw(kind(VALUES), RADIUS)) == [
        "negative: 2",
        "undecided: 3",
        "positive: 5",
        "sign not proved: |λ| ≤ 1.0e-09",
    ]


@pytest.mark.parametrize("draw", [spectrum_histogram, spectrum_linear])
def test_every_eigenvalue_is_in_one_bar_of_its_sign(draw):
    figure = Figure()
    ax = draw(VALUES, RADIUS, figure.subplots())
    bars = [c for c in ax.containers if len(c)]
    assert [sum(int(bar.get_height()) for bar in c) for c in bars] == [2, 5, 3]


def test_no_bar_of_the_symlog_axis_reaches_into_the_band():
    ax = spectrum_histogram(VALUES, RADIUS)
    for container in ax.containers[:2]:
        for bar in container:
            if bar.get_height():
                ends = bar.get_x(), bar.get_x() + bar.get_width()
                assert max(ends) <= -RADIUS * (1 - 1e-9) or min(ends) >= RADIUS * (1 - 1e-9)


def test_proved_intervals_replace_what_the_radius_says():
    intervals = {"negative": (2, 4), "null": (1, 3), "positive": (5, 5)}
    ax = spectrum_histogram(VALUES, RADIUS, intervals=intervals, outliers=2)
    assert labels(ax)[:3] == ["negative: 2 to 4", "null: 1 to 3", "positive: 5"]
    assert labels(ax)[-1] == "2 outliers"


def test_outliers_are_marked_at_the_largest_eigenvalues():
    ax = spectrum_linear(VALUES, RADIUS, outliers=2)
    (marks,) = ax.lines
    assert sorted(marks.get_xdata()) == [20.0, 40.0]


@pytest.mark.parametrize("radius", [0.0, 1e-30, 1e-9, 1e9, math.inf])
@pytest.mark.parametrize("values", [[0.0], [0.0, 0.0], [5.0], [-2.0, -1.0], [1e-300, 1.0]])
def test_any_spectrum_can_be_drawn(values, radius):
    figure = spectrum_figure(values, radius, title="a title")
    figure.canvas.draw()
    assert len(figure.axes) == 2


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf], np.zeros((2, 2))])
def test_what_is_no_spectrum_is_refused(values):
    with pytest.raises(ArgumentError, match="eigenvalues: expected finite numbers"):
        spectrum_histogram(values, RADIUS)


def test_one_legend_for_both_panels():
    figure = spectrum_figure(VALUES, RADIUS)
    assert [ax.get_legend() for ax in figure.axes] == [None, None]
    assert len(figure.legends) == 1


def test_bars_show_what_is_claimed_and_what_is_proved():
    rows = [
        CountRow("cnn", (18, 20), (232.9, 2.88), (120.0, 3.0), (40.0, None), 52),
        CountRow("mine", (0, 0)),
    ]
    ax = index_bars(rows)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["cnn", "mine"]
    assert labels(ax) == [
        "structural bound",
        "certified interval",
        "naive, float32",
        "naive, float64",
        "published",
    ]
    low, high = ax.get_xlim()
    assert low < 0 < 232.9 + 2.88 < high


def test_bars_need_rows():
    with pytest.raises(ArgumentError, match="rows: expected at least one"):
        index_bars([])


@pytest.mark.parametrize("bound", [1.01e-11, 9.99, 1e-9, 3.14159e5, 1.05e-3])
def test_a_bound_is_never_shown_smaller_than_it_is(bound):
    assert bound <= float(rounded_up(bound)) <= bound * 1.1


def test_drawing_neither_needs_nor_starts_pyplot():
    code = (
        "import sys, morsescape.figures as f; f.spectrum_figure([1.0], 1e-9).canvas.draw(); "
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
