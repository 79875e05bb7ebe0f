"""The factorisation and the bound on its error, held against 60-digit arithmetic."""

import math
import tracemalloc

import mpmath
import numpy as np
import pytest
import torch

from morsescape.spectrum import ldl
from spectrum.planted import FAMILIES, family, spectral_norm

SIZES = (1, 2, 3, 7, 18)


@pytest.fixture
def narrow(monkeypatch):
    """Panels of 4 and tiles of 8, so that small matrices pass through every branch."""
    monkeypatch.setattr(ldl, "BLOCK", 4)
    monkeypatch.setattr(ldl, "_ROWS", 8)
    monkeypatch.setattr(ldl, "_COLUMNS", 8)


def dense_parts(result):
    """(L, D) of a factorisation, before `bound` takes absolute values."""
    lower = result.lower.tril(-1).numpy() + np.eye(len(result.diagonal))
    c = result.coupling[:-1]
    return lower, np.diag(result.diagonal) + np.diag(c, 1) + np.diag(c, -1)


def true_error(matrix, shift, result):
    """‖Pᵀ L D Lᵀ P - (A + shift I)‖₂ in 60 digits, and ‖A + shift I‖₂."""
    lower, middle = (mpmath.matrix(x.tolist()) for x in dense_parts(result))
    rows = matrix[result.order][:, result.order].tolist()
    exact = mpmath.matrix(rows) + mpmath.mpf(shift) * mpmath.eye(len(rows))
    return spectral_norm(lower * middle * lower.T - exact), spectral_norm(exact)


def check_bound(matrix, shift):
    work = matrix.clone()
    result = ldl.factor(work, shift)
    assert torch.equal(work.triu(), matrix.triu()), "the upper triangle was written to"
    with mpmath.workdps(60):
        error, norm = true_error(matrix, shift, result)
    bound = result.bound()
    assert error <= bound
    assert torch.equal(work.triu(), matrix.triu()), "the bound wrote to the upper triangle"
    return error, bound, norm


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("name", FAMILIES)
def test_the_bound_is_never_exceeded(name, n, narrow):
    matrix = family(name, n)
    for shift in (0.0, 0.3 * float(matrix.abs().max())):
        check_bound(matrix, shift)


@pytest.mark.parametrize("name", ["random", "low rank", "saddle point"])
def test_the_bound_is_not_absurdly_loose(name):
    """At n = 40 with panels of 128, m is 137: the bound is some hundred times the error."""
    error, bound, norm = check_bound(family(name, 40), 0.0)
    assert bound < 1e4 * error
    assert bound < 1e-10 * norm


@pytest.mark.parametrize("n", [127, 128, 129, 257])
@pytest.mark.parametrize("name", ["random", "saddle point", "low rank", "pairs"])
def test_factors_reproduce_the_matrix(name, n):
    """Around the sizes of panel and tile; the product in float64 has its own small error."""
    matrix = family(name, n)
    work, shift = matrix.clone(), 1e-3
    result = ldl.factor(work, shift)
    lower, middle = dense_parts(result)
    order = result.order
    assert sorted(order.tolist()) == list(range(len(matrix)))
    exact = (matrix.numpy() + shift * np.eye(len(matrix)))[np.ix_(order, order)]
    error = np.linalg.norm(lower @ middle @ lower.T - exact, 2)
    noise = n * 2.0**-53 * np.linalg.norm(abs(lower) @ abs(middle) @ abs(lower).T, 2)
    assert error <= result.bound() + noise
    negative, positive = result.signs()
    values = np.linalg.eigvalsh(exact)
    assert (negative, positive) == ((values < 0).sum(), (values > 0).sum())


def test_both_kinds_of_pivots_and_all_moves_are_taken():
    result = ldl.factor(family("random", 300), 0.0)
    two = np.flatnonzero(result.coupling)
    assert 0 < len(two) < 150
    assert (result.order != np.arange(300)).sum() > 100
    # |a b| <= 0.42 c^2 by the pivot rule, which the proof of the 2x2 solution needs.
    ratio = result.diagonal[two] * result.diagonal[two + 1] / result.coupling[two] ** 2
    assert np.abs(ratio).max() < 0.42


def test_norm_bound_against_the_norm_itself():
    """‖M‖₂ ≤ bound ≤ ‖M‖_∞, and the power method comes near to ‖M‖₂."""
    result = ldl.factor(family("random", 200), 0.0)
    lower, middle = dense_parts(result)
    weight = np.array([ldl.gamma(ldl.BLOCK + t + 8) for t in range(4)])[result.panel]
    product = abs(lower) @ abs(middle) @ (weight[:, None] * abs(lower).T)
    product = (product + product.T) / 2
    bound = result.bound()
    assert np.linalg.norm(product, 2) <= bound <= 1.1 * np.linalg.norm(product, 2)
    assert bound < 0.9 * product.sum(1).max()


def test_zero_matrix_has_zero_pivots():
    result = ldl.factor(torch.zeros(5, 5).double(), 0.0)
    assert result.signs() == (0, 0)
    assert result.bound() < 1e-300


def test_signs_refuse_a_pivot_block_that_is_not_certain():
    result = ldl.factor(family("pairs", 4), 0.0)
    assert result.signs() == (2, 2)
    result.diagonal[:2] = 0.9
    assert result.signs() is None


def test_overflow_is_seen():
    matrix = torch.full((3, 3), 1.7e308, dtype=torch.float64)
    matrix[0, 1] = matrix[1, 0] = -1.7e308
    result = ldl.factor(matrix, 0.0)
    assert result.signs() is None or not math.isfinite(result.bound())


def test_restore_copies_the_upper_triangle(narrow):
    matrix = family("random", 21)
    scratch = matrix.clone()
    scratch[torch.ones(21, 21).tril(-1).bool()] = math.nan
    ldl.restore(scratch)
    assert torch.equal(scratch, matrix)


def test_no_temporary_of_the_size_of_the_matrix(monkeypatch):
    """Nothing that NumPy allocates is larger than the two panels and a few tiles."""
    monkeypatch.setattr(ldl, "BLOCK", 16)
    work = family("random", 600)
    tracemalloc.start()
    ldl.factor(work, 0.0).bound()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.25 * work.numel() * 8
