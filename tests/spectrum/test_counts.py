"""Intervals of inertia: always containing the truth, the same by both routes, honest near zero."""

import itertools
import math
from fractions import Fraction

import flint
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from morsescape.errors import ArgumentError
from morsescape.spectrum import ldl
from morsescape.spectrum.counts import CountStatus, count_by_eigh, count_by_ldl
from morsescape.spectrum.enclosed_eigenvalues import enclosed_eigenvalues
from spectrum.planted import FAMILIES, exact_inertia, family, gap

ROUTES = {"ldl": count_by_ldl, "eigh": count_by_eigh}


def contains(counts, inertia):
    """The true numbers lie in the intervals, and the intervals are consistent."""
    n = sum(inertia)
    intervals = (counts.negative, counts.null, counts.positive)
    inside = all(lo <= x <= hi for (lo, hi), x in zip(intervals, inertia, strict=True))
    (a, b), (z, y), (c, d) = intervals
    assert (b, z, y, d) == (n - c, 0, n - a - c, n - a)
    return inside and counts.status is CountStatus.COUNTED


@pytest.mark.parametrize("n", [1, 2, 3, 8, 17])
@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("route", ROUTES)
def test_contains_the_exact_inertia(route, name, n):
    matrix = family(name, n)
    before = matrix.clone()
    assert contains(ROUTES[route](matrix, 0.0), exact_inertia(matrix))
    assert torch.equal(matrix, before)


@pytest.mark.parametrize("n", [127, 128, 129, 300])
@pytest.mark.parametrize("size", [1e-6, 1e-8, 1e-10, 1e-14])
@pytest.mark.parametrize("route", ROUTES)
def test_planted_gaps(route, size, n):
    """Decided where the gap is above the radius, undecided where it is far below."""
    matrix, inertia = gap(n, size, seed=n)
    rounding = 2.0**-53 * n
    counts = ROUTES[route](matrix, rounding)
    assert contains(counts, inertia)
    decided = counts.negative[0] == counts.negative[1]
    if size > 1.01 * counts.radius:
        assert decided
    if size < rounding / 2:
        assert not decided
    assert counts.radius < 1e-9


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("n", [40, 129])
def test_both_routes_agree_at_the_same_radius(name, n):
    """The other route, given what the first left over, decides the same outside the band."""
    matrix = family(name, n)
    scale = float(matrix.abs().max())
    by_ldl = count_by_ldl(matrix, 1e-9 * scale)
    by_eigh = count_by_eigh(matrix, by_ldl.radius)
    values, error = enclosed_eigenvalues(matrix)
    edge = abs(values.abs() - by_ldl.radius) <= 2 * by_ldl.solver_radius + error
    same = by_ldl.negative == by_eigh.negative and by_ldl.positive == by_eigh.positive
    assert same or edge.any()
    assert by_ldl.negative[0] >= by_eigh.negative[0]
    assert by_ldl.positive[0] >= by_eigh.positive[0]


def test_most_families_have_no_eigenvalue_at_the_edge():
    """Or else the test above would prove nothing."""
    agree = 0
    for name in FAMILIES:
        matrix = family(name, 40)
        by_ldl = count_by_ldl(matrix, 1e-9 * float(matrix.abs().max()))
        by_eigh = count_by_eigh(matrix, by_ldl.radius)
        agree += by_ldl.negative == by_eigh.negative and by_ldl.positive == by_eigh.positive
    assert agree >= len(FAMILIES) - 2


@st.composite
def integer_matrices(draw):
    """Small integers, often singular: a Gram-like product of a thin integer matrix."""
    n, rank = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    entry = st.integers(-3, 3)
    x = draw(st.lists(st.lists(entry, min_size=n, max_size=n), min_size=rank, max_size=rank))
    d = draw(st.lists(entry, min_size=rank, max_size=rank))
    x, d = np.array(x, dtype=float), np.array(d, dtype=float)
    return torch.from_numpy(x.T @ (d[:, None] * x))


@settings(max_examples=60)
@given(integer_matrices(), st.integers(-2, 2))
def test_integer_matrices_with_any_null_space(matrix, center):
    truth = exact_inertia(matrix - center * torch.eye(len(matrix)).double())
    for route in ROUTES.values():
        counts = route(matrix, 0.0, center=float(center))
        assert contains(counts, truth)
        # Integer matrices of this size have no nonzero eigenvalue near zero: all else is decided.
        assert counts.null[1] >= truth[1]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("route", ROUTES)
def test_perturbations_within_the_radius_stay_inside(route, seed):
    """The claim is about every H within the radius, not about the matrix alone."""
    matrix, radius = family("low rank", 24), 1e-5
    counts = ROUTES[route](matrix, radius)
    noise = torch.randn(24, 24, generator=torch.Generator().manual_seed(seed)).double()
    noise = noise + noise.T
    noise *= 0.99 * radius / torch.linalg.matrix_norm(noise, 2)
    assert contains(counts, exact_inertia(matrix + noise))
    assert counts.null[1] > 0


def test_an_unshifted_factorisation_is_wrong_where_the_count_is_undecided():
    """The reason for the shifts: signs of D are those of a matrix nearby, here of the wrong one."""
    wrong = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((6, 12))
        matrix = torch.from_numpy(x.T @ x)
        matrix = matrix.tril() + matrix.tril(-1).T
        truth = exact_inertia(matrix)
        naive = ldl.factor(matrix.clone(), 0.0).signs()
        counts = count_by_ldl(matrix, 0.0)
        assert contains(counts, truth)
        if naive != (truth[0], truth[2]):
            wrong += 1
            assert counts.negative[0] < counts.negative[1]
    assert wrong > 0


def test_center_counts_below_a_number():
    matrix = family("random", 60)
    values = torch.linalg.eigvalsh(matrix)
    for k in (0, 10, 31, 60):
        padded = torch.cat([values[:1] - 2, values, values[-1:] + 2])
        center = float((padded[k] + padded[k + 1]) / 2)
        for route in ROUTES.values():
            assert route(matrix, 1e-12, center=center).negative == (k, k)


def test_a_huge_center_ends_in_an_honest_interval():
    counts = count_by_ldl(family("random", 20), 0.0, center=1e17)
    assert contains(counts, (20, 0, 0))


def test_triangle_reads_the_upper_triangle_only():
    matrix = family("random", 70)
    expected = count_by_ldl(matrix, 1e-9)
    scratch = matrix.clone()
    scratch[torch.ones(70, 70).tril(-1).bool()] = math.nan
    counts = count_by_ldl(scratch, 1e-9, triangle=True)
    assert (counts.negative, counts.positive) == (expected.negative, expected.positive)
    assert torch.equal(scratch.triu(), matrix.triu())


def test_overwrite_restores_the_matrix_even_when_interrupted():
    matrix = family("random", 300)
    before = matrix.clone()
    count_by_ldl(matrix, 0.0, overwrite=True)
    assert torch.equal(matrix, before)

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        count_by_ldl(matrix, 0.0, overwrite=True, progress=stop)
    assert torch.equal(matrix, before)


def test_a_transposed_or_sliced_matrix_is_counted_as_well():
    wide = torch.zeros(70, 140).double()
    wide[:, ::2] = family("random", 70)
    view = wide[:, ::2]
    expected = count_by_ldl(family("random", 70), 0.0)
    for options in ({}, {"overwrite": True}):
        assert count_by_ldl(view, 0.0, **options).negative == expected.negative
        assert count_by_ldl(view.T, 0.0, **options).negative == expected.negative


@pytest.mark.parametrize("route", ROUTES)
def test_refuses_an_altered_entry(route):
    matrix = family("random", 300)
    matrix[7, 290] += 1e-3
    with pytest.raises(ArgumentError, match=r"\(7, 290\) and \(290, 7\).*0\.001"):
        ROUTES[route](matrix, 1e-6)
    counts = ROUTES[route](matrix, 2e-3)
    assert counts.solver_radius >= 0.5e-3


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("place", [(0, 0), (3, 299), (299, 3)])
@pytest.mark.parametrize("route", ROUTES)
def test_refuses_what_is_not_finite(route, place, bad):
    matrix = family("random", 300)
    matrix[place] = bad
    with pytest.raises(ArgumentError, match="finite"):
        ROUTES[route](matrix, 1.0)


@pytest.mark.parametrize(
    ("matrix", "radius", "center", "what"),
    [
        (torch.eye(3), 0.0, 0.0, "matrix"),
        (torch.zeros(2, 3).double(), 0.0, 0.0, "matrix"),
        (torch.eye(3).double(), -1.0, 0.0, "radius"),
        (torch.eye(3).double(), math.nan, 0.0, "radius"),
        (torch.eye(3).double(), 0.0, math.inf, "center"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_refuses_bad_arguments(matrix, radius, center, what):
    for route in ROUTES.values():
        with pytest.raises(ArgumentError, match=f"^{what}"):
            route(matrix, radius, center=center)


def test_nothing_is_known_at_an_infinite_radius_or_after_overflow():
    for route in ROUTES.values():
        counts = route(family("random", 4), math.inf)
        assert counts.status is CountStatus.RADIUS
        assert counts.negative == counts.null == counts.positive == (0, 4)
    matrix = torch.full((3, 3), 1.7e308, dtype=torch.float64)
    matrix[0, 1] = matrix[1, 0] = -1.7e308
    counts = count_by_ldl(matrix, 0.0)
    assert counts.status is CountStatus.OVERFLOW
    assert counts.negative == (0, 3)


@pytest.mark.parametrize("route", ROUTES)
def test_an_empty_matrix(route):
    counts = ROUTES[route](torch.zeros(0, 0).double(), 0.0)
    assert (counts.negative, counts.null, counts.positive) == ((0, 0), (0, 0), (0, 0))


def test_no_shift_is_proved_if_the_bound_outgrows_it(monkeypatch):
    """Honest failure: a bound that grows with each try ends in a refusal, not in a count."""
    sizes = iter(10.0**k for k in range(20))
    monkeypatch.setattr(ldl.Factor, "bound", lambda self: next(sizes))
    counts = count_by_ldl(family("random", 5), 0.0)
    assert counts.status is CountStatus.NO_SHIFT
    assert counts.negative == (0, 5)


def test_progress_ends_where_it_says():
    seen = []
    count_by_ldl(family("random", 600), 0.0, progress=lambda *x: seen.append(x))
    assert seen[-1][0] == seen[-1][1]
    assert all(a[0] < b[0] for a, b in itertools.pairwise(seen))


@pytest.mark.parametrize("name", FAMILIES)
def test_eigenvalues_are_within_their_radius(name):
    """The characteristic polynomial's exact count at both ends of each enclosure says so."""
    matrix = family(name, 9 if name != "pairs" else 8)
    values, error = enclosed_eigenvalues(matrix)
    exact = [[Fraction(x) for x in row] for row in matrix.tolist()]
    for k, value in enumerate(values.tolist()):
        low, high = Fraction(value) - Fraction(error), Fraction(value) + Fraction(error)
        assert _below(exact, low, strict=True) <= k
        assert _below(exact, high, strict=False) >= k + 1


def _below(rows, level, *, strict):
    """How many eigenvalues are below the level (or at it), in rational arithmetic."""
    n = len(rows)
    shifted = [[rows[i][j] - (level if i == j else 0) for j in range(n)] for i in range(n)]
    rational = [[flint.fmpq(x.numerator, x.denominator) for x in row] for row in shifted]
    polynomial = flint.fmpq_mat(rational).charpoly()
    signs = [polynomial[k] for k in range(n + 1)]
    zero = next(k for k, c in enumerate(signs) if c != 0)
    signs = [c > 0 for c in signs if c != 0]
    positive = sum(a != b for a, b in itertools.pairwise(signs))
    return n - positive - (zero if strict else 0)


def test_eigenvalue_radius_is_useful():
    matrix, _ = gap(300, 1e-6)
    _, error = enclosed_eigenvalues(matrix)
    assert error < 1e-12
