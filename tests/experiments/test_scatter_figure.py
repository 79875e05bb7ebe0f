"""The plane of solutions and the histogram of their distances say what the numbers say."""

import math

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from morsescape.errors import ArgumentError
from morsescape.experiments.point import PointSettings
from morsescape.experiments.scatter.figure import distance_histogram, scatter_figure, scatter_plane
from morsescape.experiments.scatter.study import ScatterSettings, run_scatter
from morsescape.figures.style import GREY

PLACES = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0], [6.0, 7.0]])
LOSS = [0.1, 2.3, 0.3, 0.2]
DEAD = [False, True, False, False]


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


@pytest.mark.parametrize("kind", [np.array, torch.tensor, list])
def test_live_solutions_are_coloured_by_loss_and_dead_ones_are_crosses(kind):
    ax = scatter_plane(PLACES, kind(LOSS), kind(DEAD))
    (drawn,) = ax.collections
    assert drawn.get_offsets().tolist() == [[0, 1], [4, 5], [6, 7]]
    np.testing.assert_allclose(drawn.get_array(), [0.1, 0.3, 0.2], rtol=1e-6)
    assert drawn.get_cmap().name == "viridis"
    (crosses,) = ax.lines
    assert crosses.get_xydata().tolist() == [[2, 3]]
    assert to_hex(crosses.get_color()) == GREY.lower()
    assert labels(ax) == ["3 solutions", "1 dead: constant output"]
    assert "loss" in [a.get_ylabel() for a in ax.figure.axes]


def test_the_axes_say_how_much_of_the_variance_they_show():
    ax = scatter_plane(PLACES, LOSS, shares=(0.25, 0.125))
    assert ax.get_xlabel() == "first component (25.0% of variance)"
    assert ax.get_ylabel() == "second component (12.5% of variance)"
    assert labels(ax) == ["4 solutions"]


def test_all_dead_and_a_single_point_can_be_drawn():
    for places, loss, dead in ((PLACES, LOSS, [True] * 4), (PLACES[:1], [0.5], None)):
        scatter_plane(places, loss, dead, Figure().subplots()).figure.canvas.draw()


@pytest.mark.parametrize(
    ("places", "loss", "dead"),
    [(np.zeros((0, 2)), [], []), (PLACES, [0.1], None), (PLACES, LOSS, [True])],
)
def test_what_does_not_fit_together_is_refused(places, loss, dead):
    with pytest.raises(ArgumentError, match="coordinates: expected a point of the plane"):
        scatter_plane(places, loss, dead)


def test_every_pair_is_in_one_bar():
    before, after = np.array([0.0, 0.5, 1.0, math.sqrt(2)]), np.array([0.0, 0.0, 0.4, 1.1])
    ax = distance_histogram(before, after)
    filled = [sum(bar.get_height() for bar in c) for c in ax.containers]
    assert filled == [4, 4]
    assert labels(ax) == ["as they are", "modulo symmetries", "right angle"]
    assert ax.get_xlim()[0] == 0


def test_a_histogram_needs_pairs():
    with pytest.raises(ArgumentError, match="distances: expected at least one"):
        distance_histogram([])


def test_one_figure_of_a_result():
    point = PointSettings("cnn", samples=40, epochs=1)
    result = run_scatter(ScatterSettings(point, members=5))
    figure = scatter_figure(result, title="a title")
    figure.canvas.draw()
    plane, histogram, _ = figure.axes
    assert len(plane.collections[0].get_offsets()) == 5 - int(result.dead.sum())
    assert histogram.get_ylabel() == "pairs of solutions"
