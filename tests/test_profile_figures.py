"""Pictures of curves: what is drawn is what was measured."""

import numpy as np
import pytest
import torch

from morsescape import zoo
from morsescape.errors import ArgumentError
from morsescape.figures import (
    plane_figure,
    plane_of,
    profile_accuracy,
    profile_figure,
    profile_loss,
)
from morsescape.paths.curve import Curve
from morsescape.paths.profile import profile
from networks import classifier, labelled


def bend(*points):
    return Curve(torch.tensor([points], dtype=torch.float64))


@pytest.fixture(scope="module")
def measured():
    f = classifier()
    ends = torch.stack([f.theta, -f.theta])
    return profile(f, Curve.chain(ends), points=7, test=labelled(20, 5, 3, seed=5), refine=False)


def test_the_lines_are_the_profile(measured):
    own, test = profile_loss(measured).lines
    assert np.array_equal(own.get_xdata(), measured.t.numpy())
    assert np.array_equal(own.get_ydata(), measured.loss.numpy())
    assert np.array_equal(test.get_ydata(), measured.test.data_loss.numpy())
    own, test = profile_accuracy(measured).lines
    assert np.array_equal(own.get_ydata(), 100 * measured.accuracy.numpy())
    assert np.array_equal(test.get_ydata(), 100 * measured.test.accuracy.numpy())


def test_the_band_reaches_from_the_lower_samples_to_the_upper_segments(measured):
    upper = [(0.5, 1.0, 9.0), (0.0, 0.5, 7.0)]
    ax = profile_loss(measured, upper=upper, lower=[(0.0, 1.0), (0.25, 2.0), (1.0, 0.5)])
    left, right = (c.get_paths()[0].vertices for c in ax.collections)
    assert left[:, 0].max() == right[:, 0].min() == 0.5
    assert (left[:, 1].max(), right[:, 1].max()) == (7.0, 9.0)
    assert [0.25, 2.0] in left.tolist()
    assert (left[:, 1].min(), right[:, 1].min()) == (1.0, 0.5)


@pytest.mark.parametrize("segment", [(0.5, 0.5, 1.0), (0.6, 0.5, 1.0), (0.5, 1.5, 1.0)])
def test_what_is_no_segment_is_refused(measured, segment):
    with pytest.raises(ArgumentError, match="upper: expected segments"):
        profile_loss(measured, upper=[segment])


def test_one_panel_without_labels_two_with_them(measured):
    f = zoo.ring.objective()
    plain = profile(f, Curve.chain(torch.tensor([[-1.0, 0], [1, 0]], dtype=torch.float64)))
    assert [len(profile_figure(p).axes) for p in (plain, measured)] == [1, 2]
    with pytest.raises(ArgumentError, match="an accuracy"):
        profile_accuracy(plain)
    profile_figure(measured, title="a title").canvas.draw()


def test_a_curve_in_the_plane_is_seen_whole_and_where_it_is():
    plane = plane_of(bend([1.0, 1, 1], [2, 4, 1], [5, 1, 1]))
    assert plane.unseen < 1e-28
    assert torch.allclose(plane.axes @ plane.axes.T, torch.eye(2).double(), atol=1e-15)
    point = torch.tensor([[2.0, 3.0, 1.0]], dtype=torch.float64)
    ((a, b),) = plane.seen(point).tolist()
    assert (a, b) == (1.0, 2.0)
    assert torch.equal(plane.at(a, b), point[0])


def test_the_share_off_the_plane_is_that_of_two_bumps():
    # Two half-waves at right angles: off the chord by sin(πt) e₂ + h sin(2πt) e₃, and the plane
    # through t = ½ sees e₂ alone, so that h² / (1 + h²) is unseen.
    h, t = 0.5, torch.linspace(0, 1, 201, dtype=torch.float64)
    points = torch.stack([t, (torch.pi * t).sin(), h * (2 * torch.pi * t).sin()], 1)
    points[-1] = torch.tensor([1.0, 0.0, 0.0])
    plane = plane_of(Curve.chain(points))
    assert plane.unseen == pytest.approx(h**2 / (1 + h**2), rel=1e-6)
    title = plane_figure(zoo.bowl.objective(), Curve.chain(points), grid=5).get_title()
    assert title == "off the plane: 20.0% of the bending"


def test_the_drawn_curve_and_its_ends_are_the_projection():
    curve = bend([-1.0, 0], [0, 2], [1, 0])
    ax = plane_figure(zoo.banana.objective(), curve, grid=9)
    line, ends = ax.lines
    assert np.allclose(line.get_xydata()[100], [1.0, 1.0])  # γ(½) = (0, 1) from (-1, 0)
    assert np.allclose(ends.get_xydata(), [[0, 0], [2, 0]])
    (low, high), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    assert low < 0 < 2 < high
    assert bottom < 0 < 1 < top


def test_no_plane_through_a_line():
    straight = Curve.chain(torch.tensor([[0.0, 0], [1, 1]], dtype=torch.float64))
    with pytest.raises(ArgumentError, match="third: expected a point off the line"):
        plane_of(straight)
    assert plane_of(straight, torch.tensor([1.0, 0.0], dtype=torch.float64)).unseen == 0
    with pytest.raises(ArgumentError, match="two different ends"):
        plane_of(bend([0.0, 0], [1, 1], [0, 0]))


def test_a_constant_has_no_contours_and_a_wall_is_left_out():
    from morsescape.objective import Objective

    curve = bend([-1.0, 0], [0, 2], [1, 0])
    flat = Objective.from_function(lambda t: 0 * t.sum() + 1, 2)
    assert not plane_figure(flat, curve, grid=3).collections
    wall = Objective.from_function(lambda t: t[0] ** 2 + (t[1] + 0.05 + 0 * t[0]).log(), 2)
    plane_figure(wall, curve, grid=9).figure.canvas.draw()
