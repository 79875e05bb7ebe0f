"""f on the plane through three points."""

from __future__ import annotations

import pytest
import torch

import morsescape as ms

POINTS = torch.tensor([[1.0, 0, 2, 0], [1, 3, 2, 0], [0, 1, 2, 1]], dtype=torch.float64)


def square() -> ms.Objective:
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
    return ms.Objective.from_function(lambda t: (weights * t * t).sum(), 4)


def test_the_values_are_those_of_f_at_combinations_of_the_points():
    f, (a, b, c) = square(), POINTS
    seen = ms.plane(f, a, b, c, grid=4)
    (_, _), (bx, _), (cx, cy) = seen.points.tolist()
    for row, y in enumerate(seen.y.tolist()):
        for column, x in enumerate(seen.x.tolist()):
            t = y / cy
            s = (x - t * cx) / bx
            theta = a + s * (b - a) + t * (c - a)
            assert float(seen.values[row, column]) == pytest.approx(f.value(theta), rel=1e-12)
    assert seen.at_points.tolist() == pytest.approx([f.value(p) for p in POINTS])


def test_the_points_keep_their_distances_and_are_marked():
    seen = ms.plane(square(), *POINTS, grid=3)
    assert torch.allclose(torch.cdist(seen.points, seen.points), torch.cdist(POINTS, POINTS))
    ax = seen.plot()
    (marks,) = ax.lines
    assert torch.equal(torch.from_numpy(marks.get_xydata()), seen.points)
    assert [text.get_text() for text in ax.texts] == ["a", "b", "c"]
    (low, high), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    assert low < 0 < float(seen.points[1, 0]) < high
    assert bottom < 0 < float(seen.points[2, 1]) < top
    assert seen._repr_html_().startswith("<svg")


@pytest.mark.parametrize("offset", [0.0, 1e5])
def test_levels_are_told_apart_in_the_bar(offset):
    f = ms.Objective.from_function(lambda t: offset + t @ t, 4)
    ax = ms.plane(f, *POINTS, grid=5).plot()
    ax.figure.canvas.draw()
    (bar,) = [other for other in ax.figure.axes if other is not ax]
    labels = [text for label in bar.get_yticklabels() if (text := label.get_text())]
    assert len({*labels}) == len(labels) > 3


@pytest.mark.parametrize("third", [0, 1, 0.5])
def test_three_points_on_a_line_span_no_plane(third):
    a, b = POINTS[0], POINTS[1]
    with pytest.raises(ms.ArgumentError, match="on no line"):
        ms.plane(square(), a, b, a + third * (b - a))
    with pytest.raises(ms.ArgumentError, match="on no line"):
        ms.plane(square(), a, a, b)
