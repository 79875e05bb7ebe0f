"""Points, lines and distances are drawn where they are."""

import numpy as np
import pytest

from morsescape.errors import ArgumentError
from morsescape.figures.linear_regression import descent_curves, separating_line

X = np.array([[0.5, 0.5], [-0.5, 0.2], [0.1, -0.9]])
Y = np.array([1.0, -1.0, -1.0])


def test_each_class_has_its_points_and_the_line_is_where_it_is_zero():
    theta = np.array([1.0, 2.0, -0.5])
    ax = separating_line(X, Y, theta)
    first, second, line = ax.lines
    assert first.get_xydata().tolist() == X[:1].tolist()
    assert second.get_xydata().tolist() == X[1:].tolist()
    for point in (line.get_xy1(), line.get_xy2()):
        assert np.dot(theta[:2], point) + theta[2] == pytest.approx(0.0, abs=1e-15)


def test_one_entry_of_the_legend_for_all_starts():
    starts = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.1], [0.0, 0.0, 1.0]])  # the last is no line
    ax = separating_line(X, Y, starts[0], first=starts, last=starts[:2])
    assert len(ax.lines) == 2 + 2 + 1 + 2
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["class +1", "class -1", "starts", "least squares", "ends, all alike"]
    ax.figure.canvas.draw()


def test_distances_of_zero_stay_on_the_log_axis():
    ax = descent_curves(np.array([0, 1, 10]), np.array([[1.0, 0.1, 0.0], [2.0, 0.3, 1e-3]]))
    assert len(ax.lines) == 2
    assert ax.lines[0].get_xdata().tolist() == [0.5, 1, 10]
    assert ax.lines[0].get_ydata().min() > 0
    ax.figure.canvas.draw()


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ArgumentError, match="x: expected points"):
        separating_line(X[:, :1], Y, np.ones(3))
    with pytest.raises(ArgumentError, match="distances: expected shape"):
        descent_curves(np.arange(3), np.ones((2, 2)))
