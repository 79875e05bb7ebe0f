"""Counts whose radius is a number for each row, and null vectors that a pattern of zeros proves."""

import itertools
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from morsescape import Objective, inertia
from morsescape.errors import ArgumentError
from morsescape.spectrum import ldl, shifts
from morsescape.spectrum.counts import CountStatus, count_by_ldl, sharpened
from morsescape.spectrum.inertia import InertiaStatus
from morsescape.spectrum.near_null import near_null
from morsescape.spectrum.overfull import unmatched
from spectrum.planted import FAMILIES, exact_inertia, family


def graded(n, decades, seed=0):
    """D B D with entries of B near 1 and D from 1 down by half as many decades; symmetric."""
    generator = torch.Generator().manual_seed(seed)
    b = torch.randint(-8, 9, (n, n), generator=generator).double()
    d = 2.0 ** -torch.linspace(0, decades * 1.66, n).round().double()
    a = (b + b.t()) * d[:, None] * d
    return a, d


def contains(counts, inertia):
    intervals = (counts.negative, counts.null, counts.positive)
    return all(lo <= x <= hi for (lo, hi), x in zip(intervals, inertia, strict=True))


@pytest.mark.parametrize("center", [0.0, -0.25])
@pytest.mark.parametrize(("n", "seed"), list(itertools.product([2, 5, 9], range(3))))
def test_holds_for_every_matrix_between(n, seed, center):
    """Of A + diag(±r), which lie between, the exact inertia is in the intervals."""
    a, d = graded(n, 12, seed)
    r = 2.0**-20 * d.square()
    counts = count_by_ldl(a, r, center=center)
    assert counts.status is CountStatus.COUNTED
    assert counts.by_rows
    signs = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=n)))[:: max(1, 2**n // 16)]
    for sign in signs:
        between = a + torch.diag(sign * r - center)
        assert contains(counts, exact_inertia(between))


@pytest.mark.parametrize("decades", [12, 18, 24])
def test_small_eigenvalues_of_a_graded_matrix_are_decided(decades):
    """They lie far below the norm of the error; a bound for each row knows better."""
    n = 24
    a, d = graded(n, decades, seed=decades)
    r = 2.0**-30 * d.square()
    by_rows = count_by_ldl(a, r)
    assert by_rows.null == (0, 0)
    assert (by_rows.negative[0], 0, by_rows.positive[0]) == exact_inertia(a)
    by_norm = count_by_ldl(a, float(r.max()))
    assert by_norm.null[1] > 0


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("n", [1, 2, 8, 17])
def test_contains_the_exact_inertia(name, n):
    matrix = family(name, n)
    before = matrix.clone()
    sums = matrix.abs().sum(1)
    assert contains(count_by_ldl(matrix, 1e-14 * sums), exact_inertia(matrix))
    assert torch.equal(matrix, before)


def test_the_error_of_a_factorisation_is_bounded_row_by_row():
    """L D Lᵀ - A is formed in exact arithmetic; it lies between -diag(e) and diag(e)."""
    a, d = graded(14, 16, seed=3)
    a = a + 2.0**-30 * d[:, None] * d * torch.randn(14, 14).double()
    a = (a + a.t()) / 2
    work = a.clone()
    result = ldl.factor(work, 0.0)
    lower = work.tril(-1) + torch.eye(14).double()
    e = result.spread(np.ones(14))  # takes absolute values of L in place
    wide = result.spread((1 / d).numpy())
    lower, order = lower.numpy().astype(object), result.order
    exact = np.vectorize(Fraction)
    middle = np.diag(exact(result.diagonal)) + 0
    for k in np.flatnonzero(result.coupling):
        middle[k, k + 1] = middle[k + 1, k] = Fraction(result.coupling[k])
    lower = exact(lower.astype(float))
    error = lower @ middle @ lower.T - exact(a.numpy()[np.ix_(order, order)])
    assert any(error.ravel())
    for bound in (e, wide):
        scale = bound[order] ** -0.5
        scaled = torch.from_numpy(error.astype(float) * scale[:, None] * scale)
        assert float(torch.linalg.eigvalsh(scaled).abs().max()) <= 1
    assert wide[-1] < e.max()


def test_a_wide_band_is_made_narrower_where_too_many_stay_open(monkeypatch):
    """A guess that is far too large leaves small eigenvalues open; it is made again."""
    a, d = graded(24, 16)
    r = 2.0**-30 * d.square()
    monkeypatch.setattr(shifts._Rows, "guess", lambda self, numbers: self.sums * 0.01)
    assert count_by_ldl(a, r, enough=24).null[1] > 0
    assert count_by_ldl(a, r).null == (0, 0)


def test_directions_that_stay_open_are_found():
    """x with xᵀAx between 0 and the shift, of either sign; neither null vectors nor far ones."""
    n = 30
    generator = torch.Generator().manual_seed(0)
    q, _ = torch.linalg.qr(torch.randn(n, n, generator=generator).double())
    values = torch.linspace(1, 2, n).double()
    values[:4] = torch.tensor([5e-7, -6e-7, 0.0, 4e-5])
    a = q @ torch.diag(values) @ q.t()
    a = (a + a.t()) / 2
    shift = np.full(n, -1e-6)
    found = torch.from_numpy(near_null(ldl.factor(a.clone(), shift), shift, 3))
    assert found.shape == (n, 2)
    overlap = torch.linalg.svdvals(torch.linalg.qr(found).Q.t() @ q[:, :2])
    assert overlap.tolist() == pytest.approx([1, 1], abs=1e-6)
    assert near_null(ldl.factor(a.clone(), shift), shift, 0).shape == (n, 0)


@pytest.mark.parametrize("seed", range(4))
def test_a_second_measure_decides_what_the_first_leaves_open(seed, monkeypatch):
    """A measure that is blind to grading, raised where signs are open, and without that."""
    a, d = graded(40, 30, seed)
    monkeypatch.setattr(shifts, "_POWER", 1e-3)
    closer = count_by_ldl(a, 2.0**-44 * d.square())
    monkeypatch.setattr(shifts, "near_null", lambda _, shift, __: np.zeros((len(shift), 0)))
    blind = count_by_ldl(a, 2.0**-44 * d.square())
    assert contains(closer, exact_inertia(a))
    assert contains(blind, exact_inertia(a))
    assert 0 <= closer.null[1] < blind.null[1]


def test_a_second_look_that_fails_takes_nothing_back(monkeypatch):
    a, d = graded(40, 34)
    monkeypatch.setattr(shifts, "_POWER", 1e-3)
    side, looks = shifts.Sides._side, []

    def fails(self, sign, *more):
        looks.append(sign)
        if len(looks) > 3:
            raise shifts.Refused("NO_SHIFT")
        return side(self, sign, *more)

    monkeypatch.setattr(shifts.Sides, "_side", fails)
    counts = count_by_ldl(a, 2.0**-44 * d.square())
    assert looks == [1, -1, 1, -1]
    assert counts.status is CountStatus.COUNTED
    assert contains(counts, exact_inertia(a))


def test_two_counts_are_joined():
    a = torch.diag(torch.tensor([-1.0, 1e-9, 1.0])).double()
    loose, sharp = count_by_ldl(a, 1e-6), count_by_ldl(a, torch.full((3,), 1e-12).double())
    both = sharpened(loose, sharp)
    assert (both.negative, both.null, both.positive) == ((1, 1), (0, 0), (2, 2))
    assert both.by_rows
    assert both.radius == loose.radius
    assert sharpened(sharp, loose) == sharp


@pytest.mark.parametrize("radius", [torch.tensor([1.0, -1.0, 1.0]), torch.full((3,), torch.nan)])
def test_refuses_a_bad_radius(radius):
    with pytest.raises(ArgumentError, match="radius"):
        count_by_ldl(torch.eye(3).double(), radius.double())


# -- patterns -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_unmatched_columns_are_as_many_as_the_rank_is_short(seed):
    """The structural rank is the rank of the pattern with random numbers."""
    generator = torch.Generator().manual_seed(seed)
    pattern = torch.rand(7, 9, generator=generator) < 0.25
    numbers = torch.rand(7, 9, generator=generator).double() * pattern
    chosen = unmatched(pattern.numpy())
    rows = int(pattern[:, chosen].any(1).sum())
    assert len(chosen) - rows == 9 - int(torch.linalg.matrix_rank(numbers))


def sparse_data(samples=60, features=8):
    """Inputs 5 and 6 are nonzero on sample 0 alone, 7 on samples 0 and 1."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(samples, features, generator=generator).double()
    x[1:, 5:7] = 0
    x[2:, 7] = 0
    return x, torch.arange(samples) % 3


def test_inputs_on_too_few_samples_are_null_and_counted_exactly():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 4), nn.Tanh(), nn.Linear(4, 3))
    f = Objective(model, "cross_entropy", sparse_data())
    result = inertia(f)
    # Of inputs 5, 6 and 7, three on two samples, one combination a unit does nothing.
    assert result.null_explained == {"inputs on too few samples": 4, "softmax shift": 5}
    assert result.null_residuals["inputs on too few samples"] < 1e-15
    assert result.status is InertiaStatus.PROVED
    assert result.null == (9, 9)
    values = torch.linalg.eigvalsh(f.hessian(f.theta))
    assert int((values.abs() < 1e-14).sum()) == 9


def test_a_unit_that_is_active_on_few_samples_has_many_null_inputs():
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(6, 3), nn.ReLU(), nn.Linear(3, 2)).double()
    x = torch.rand(50, 6, generator=torch.Generator().manual_seed(1)).double()
    with torch.no_grad():
        model[0].weight[1], model[0].bias[1] = -1.0, 2.0  # active where the sum is below 2
        active = (model[0](x) > 0).sum(0)
    assert 0 < int(active[1]) < 7
    f = Objective(model, "cross_entropy", (x, torch.arange(50) % 2))
    expected = sum(7 - n for n in active.tolist() if 0 < n < 7)
    assert inertia(f).null_explained["inputs on too few samples"] == expected


def test_the_last_layer_on_the_data_has_no_direction_twice():
    """Softmax regression: some shifts of inputs on too few samples are among those of the units."""
    torch.manual_seed(0)
    f = Objective(nn.Linear(8, 3), "cross_entropy", sparse_data())
    result = inertia(f)
    values = torch.linalg.eigvalsh(f.hessian(f.theta))
    assert int((values.abs() < 1e-14).sum()) == 3 * 1 + (9 - 1) == 11
    assert result.null == (10, 11)
    assert result.negative == (0, 0)


def test_rounded_inputs_are_no_zeros():
    """An input that is computed as zero may not be: 0.1 * 3 - 0.3 on the samples, say."""

    class Shifted(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, x):
            return self.layer(torch.cat([x[:, :1], (x[:, 1:] * 3) / 3 - x[:, 1:]], 1))

    x = torch.rand(30, 4, generator=torch.Generator().manual_seed(0)).double()
    f = Objective(Shifted(), "cross_entropy", (x, torch.arange(30) % 3))
    result = inertia(f)
    assert set(result.null_explained) <= {"softmax shift", "dependent inputs"}
    assert result.null[0] == result.null_explained.get("softmax shift", 0)


def test_by_rows_decides_what_the_norm_leaves_open():
    """An input that is 1e-8 on a few samples and 0 on the others has eigenvalues near 1e-18."""
    torch.manual_seed(0)
    x = torch.rand(200, 4, generator=torch.Generator().manual_seed(0)).double()
    x[:, 3] *= 1e-8 * (torch.arange(200) < 20)
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3))
    f = Objective(model, "cross_entropy", (x, torch.arange(200) % 3))
    h = f.hessian_at(f.theta)
    sharp = inertia(h)
    h.made["Hessian.enclose"] = replace(h.enclose(), spread=None)
    blunt = inertia(h)
    assert (sharp.by_rows, blunt.by_rows) == (True, False)
    assert sharp.status is InertiaStatus.PROVED
    assert blunt.null[1] - blunt.null[0] == 3
