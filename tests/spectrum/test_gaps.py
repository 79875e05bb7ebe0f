"""Outliers are counted by the largest ratio, with the error of each ratio."""

from fractions import Fraction

import pytest
import torch

from morsescape.spectrum.gaps import top_gaps, typical_ratio, window


def spectrum(*largest, bulk=500, seed=0):
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(bulk, generator=generator, dtype=torch.float64) * 0.1 - 0.02
    return torch.cat([values, torch.tensor(largest, dtype=torch.float64)]).sort().values


def test_planted_outliers_are_found():
    planted = (1.0, 1.3, 1.9, 2.2, 3.0, 3.1, 4.0, 5.5, 7.0)
    values = spectrum(*planted)
    (widest, *others) = top_gaps(values, 1e-9, top=30)
    bulk = float(values[-10])
    assert (widest.above, widest.upper, widest.ratio) == (9, 1.0, 1.0 / bulk)
    assert all(gap.ratio <= widest.ratio for gap in others)
    assert sorted(gap.above for gap in (widest, *others)) == list(range(1, 30))


@pytest.mark.parametrize("classes", [2, 3, 10, 100])
def test_the_window_holds_the_expected_outliers_and_as_many_again(classes):
    assert window(classes) >= 2 * (classes - 1)
    planted = torch.linspace(1.0, 2.0, classes - 1, dtype=torch.float64).tolist()
    gaps = top_gaps(spectrum(*planted), 1e-9, window(classes))
    assert gaps[0].above == classes - 1
    assert len(gaps) == window(classes) - 1


def test_the_scale_does_not_matter():
    values = spectrum(1.0, 2.0, 2.5)
    small = top_gaps(values * 2.0**-40, 1e-25)
    assert [(g.above, g.ratio) for g in small] == [
        (g.above, g.ratio) for g in top_gaps(values, 0.0)
    ]


def test_a_flat_top_has_no_ratio_above_the_typical_one():
    gaps = top_gaps(torch.linspace(0.9, 1.0, 400, dtype=torch.float64), 1e-9)
    assert gaps[0].ratio < 1.0003
    assert typical_ratio(gaps) == pytest.approx(gaps[0].ratio, abs=1e-5)


def test_eigenvalues_that_are_not_proved_positive_make_no_gap():
    values = torch.tensor([-1.0, 1e-13, 2.0, 3.0], dtype=torch.float64)
    assert [(gap.above, gap.ratio) for gap in top_gaps(values, 1e-9)] == [(1, 1.5)]
    assert top_gaps(values[:3], 1e-9) == ()
    assert typical_ratio(()) is None


def test_the_error_covers_every_pair_of_true_eigenvalues():
    radius = 0.125
    (gap,) = top_gaps(torch.tensor([0.5, 1.0], dtype=torch.float64), radius)
    ends = [
        Fraction(1 + up) / Fraction(0.5 + down)
        for up in (-radius, radius)
        for down in (-radius, radius)
    ]
    assert max(abs(end - 2) for end in ends) == Fraction(gap.error)
