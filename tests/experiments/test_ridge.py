"""The index over λ as a proved interval, and the gaps in which it is one number."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from morsescape.errors import ArgumentError
from morsescape.experiments.ridge.study import RidgeCurve
from morsescape.spectrum.inertia import inertia
from networks import classifier, double_backward

RADIUS = 1e-6
VALUES = [-3.0, -2.9, -0.5, -1e-3, -1e-7, 0.0, 1e-8, 1e-4, 2.0]


def curve(values=VALUES, radius=RADIUS, most=None):
    return RidgeCurve(torch.tensor(values, dtype=torch.float64), radius, most)


@pytest.mark.parametrize(
    ("l2", "expected"),
    [(0.0, (4, 7)), (1e-6, (4, 4)), (5e-4, (3, 4)), (1e-2, (3, 3)), (1.46, (1, 1)), (1.6, (0, 0))],
)
def test_the_index_at_some_ridges(l2, expected):
    assert curve().index(l2) == expected


@given(
    st.lists(st.floats(-4, 4), min_size=1, max_size=12),
    st.floats(0, 0.1),
    st.floats(0, 3),
    st.randoms(use_true_random=False),
)
def test_no_true_spectrum_within_the_radius_leaves_the_interval(values, radius, l2, random):
    values = sorted(values)
    low, high = curve(values, radius).index(l2)
    for shift in (-radius, radius, None):
        true = [v + (random.uniform(-radius, radius) if shift is None else shift) for v in values]
        # Eigenvalues that are zero up to rounding of this sum are counted either way.
        surely = sum(v + 2 * l2 < -1e-12 for v in true)
        perhaps = sum(v + 2 * l2 < 1e-12 for v in true)
        assert low <= perhaps
        assert surely <= high


@given(
    st.lists(st.floats(-4, 4), min_size=1, max_size=12),
    st.floats(1e-9, 0.1),
    st.integers(0, 10),
    st.floats(0.001, 0.999),
)
def test_inside_a_gap_the_index_is_the_number_it_says(values, radius, which, part):
    own = curve(sorted(values), radius)
    for gap in (*own.gaps()[which : which + 1], own.widest_gap(), own.convex):
        end = gap.above if math.isfinite(gap.above) else 2 * gap.below + 1
        inside = gap.below + part * (end - gap.below)
        if gap.below < inside < end:
            low, high = own.index(inside)
            assert low <= gap.index <= high
        assert own.index(gap.l2) == (gap.index, gap.index)


def test_the_widest_gap_is_the_one_of_the_largest_ratio():
    gap = curve().widest_gap()
    # Between -1e-3 and the null space, whose upper end is the radius above -1e-7.
    assert gap.index == 4
    assert gap.below == pytest.approx((1e-7 + RADIUS) / 2)
    assert gap.above == pytest.approx((1e-3 - RADIUS) / 2)
    assert gap.l2 == pytest.approx(math.sqrt(gap.below * gap.above))
    assert gap.ratio == pytest.approx(gap.above / gap.below)


def test_the_widest_by_difference_is_another():
    gap = curve().widest_by_difference()
    assert gap.index == 2
    assert (gap.below, gap.above) == pytest.approx((0.25, 1.45), abs=1e-6)


def test_no_gap_is_narrower_than_what_the_radius_leaves():
    close = curve([-1.0, -1.0 + 1e-6, 1.0], radius=1e-6)
    assert [gap.index for gap in close.gaps()] == [2]
    far = curve([-1.0, -1.0 + 3e-6, 1.0], radius=1e-6)
    assert [gap.index for gap in far.gaps()] == [2, 1]


def test_where_nothing_is_near_zero_no_ridge_is_needed():
    gap = curve([-2.0, -1.0, 3.0]).widest_gap()
    assert (gap.l2, gap.below, gap.index, gap.ratio) == (0.0, 0.0, 2, math.inf)


def test_where_nothing_is_proved_negative_the_half_line_is_left():
    gap = curve([-1e-9, 0.0, 1.0]).widest_gap()
    assert (gap.index, gap.above) == (0, math.inf)
    assert curve([-1e-9, 0.0, 1.0]).index(gap.l2) == (0, 0)
    positive = curve([1.0, 2.0]).widest_gap()
    assert (positive.l2, positive.below, positive.index) == (0.0, 0.0, 0)


def test_what_is_known_otherwise_bounds_every_index():
    assert curve(most=5).index(0.0) == (4, 5)
    assert curve(most=5).index(1e-3) == (3, 3)


def test_the_steps_are_the_curve():
    own = curve()
    starts, low, high = own.steps()
    assert starts[0] == 0
    assert np.all(np.diff(starts) > 0)
    assert (int(low[0]), int(high[0])) == (4, 7)
    assert (int(low[-1]), int(high[-1])) == (0, 0)
    ends = np.append(starts[1:], 2 * starts[-1])
    for start, end, least, most in zip(starts, ends, low, high, strict=True):
        for part in (0.1, 0.5, 0.9):
            assert own.index(float(start + part * (end - start))) == (least, most)


@pytest.mark.parametrize("l2", [0.0, 1e-4, 0.003, 0.02, 1.0])
def test_it_agrees_with_the_inertia_of_an_objective_with_this_ridge(l2):
    f = classifier()
    values = torch.linalg.eigvalsh(double_backward(f))
    own = RidgeCurve(values, 1e-12).index(l2)
    proved = inertia(f.at_l2(l2)).negative
    assert max(own[0], proved[0]) <= min(own[1], proved[1])
    if l2:
        assert own == proved


@pytest.mark.parametrize(
    ("values", "radius", "message"),
    [
        ([1.0, 0.0], 1e-9, "eigenvalues: expected finite numbers, ascending"),
        ([0.0, math.nan], 1e-9, "eigenvalues: expected finite numbers, ascending"),
        ([0.0], math.inf, "radius: expected a finite bound"),
        ([0.0], -1.0, "radius: expected a finite bound"),
    ],
)
def test_what_is_no_spectrum_is_refused(values, radius, message):
    with pytest.raises(ArgumentError, match=message):
        curve(values, radius)


@pytest.mark.parametrize("l2", [-1.0, math.inf, math.nan])
def test_what_is_no_ridge_is_refused(l2):
    with pytest.raises(ArgumentError, match="l2: expected 0 or more"):
        curve().index(l2)


def test_json_has_both_gaps():
    values = curve().to_json()
    assert values["index_without_ridge"] == [4, 7]
    assert values["widest_gap"]["index"] == 4
    assert values["widest_by_difference"]["index"] == 2
    assert values["convex_above"] == pytest.approx(1.5, abs=1e-6)
