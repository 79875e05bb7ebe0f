"""Lanczos against the full decomposition, and against spectra that are known."""

import math

import pytest
import torch

from morsescape.errors import ArgumentError
from morsescape.spectrum.lanczos import Ended, ends, lanczos, largest, random_start, smallest


def turned(values, seed=0):
    """A dense matrix with these eigenvalues, and its eigenvectors."""
    values = torch.as_tensor(values, dtype=torch.float64)
    q = torch.linalg.qr(random_start(len(values), len(values), seed=seed))[0]
    made = q * values @ q.t()
    return (made + made.t()) / 2, q


CLUSTERS = torch.cat([
    -2 - 1e-5 * torch.arange(5), torch.linspace(-1, 1, 180), 3 + 1e-7 * torch.arange(15),
]).double()  # fmt: skip


@pytest.mark.parametrize("block", [None, 1, 4])
@pytest.mark.parametrize("order", [smallest, largest, ends])
def test_the_wanted_pairs_are_those_of_the_full_decomposition(block, order):
    a, _ = turned(torch.logspace(-6, 1, 200) * torch.tensor([1.0, -1.0]).repeat(100))
    truth = torch.linalg.eigvalsh(a)
    found = lanczos(lambda v: a @ v, random_start(200, block), count=6, order=order, tol=1e-11)
    assert found.ended is Ended.SETTLED
    assert torch.allclose(found.values, truth[order(truth)[:6]], rtol=0, atol=1e-9)
    assert torch.allclose(found.vectors.t() @ found.vectors, torch.eye(6).double(), atol=1e-12)


@pytest.mark.parametrize("block", [None, 3])
@pytest.mark.parametrize("size", [None, 30])
@pytest.mark.parametrize("values", [CLUSTERS, CLUSTERS * 1e150, CLUSTERS * 1e-150])
def test_an_eigenvalue_lies_within_each_residual(values, size, block):
    """On a diagonal operator each product is rounded once, and the eigenvalues are exact."""
    product = lambda v: (values[:, None] if v.ndim == 2 else values) * v  # noqa: E731
    found = lanczos(product, random_start(200, block), count=8, size=size, products=150)
    near = (values - found.values[:, None]).abs().min(1).values
    assert bool((near <= found.residuals).all())
    direct = product(found.vectors) if block else values[:, None] * found.vectors
    direct = (direct - found.vectors * found.values) / values.abs().max()  # squares underflow
    assert bool((direct.norm(dim=0) <= found.residuals / values.abs().max()).all())
    assert float(found.residuals.min()) <= 1e-6 * float(values.abs().max())


def test_residuals_are_no_larger_than_need_be():
    found = lanczos(lambda v: CLUSTERS * v, random_start(200), count=3, products=40)
    direct = CLUSTERS[:, None] * found.vectors - found.vectors * found.values
    assert torch.allclose(found.residuals, direct.norm(dim=0), rtol=1e-6, atol=1e-12)


def test_restarts_settle_a_cluster_in_little_room():
    found = lanczos(lambda v: CLUSTERS * v, random_start(200), count=5, size=20, tol=1e-9)
    assert found.ended is Ended.SETTLED
    assert torch.allclose(found.values, CLUSTERS[:5].sort().values, rtol=0, atol=1e-8)
    assert found.projected.shape[0] <= 20


@pytest.mark.parametrize("copies", [1, 2, 4])
def test_a_block_finds_as_many_copies_as_it_has_columns(copies):
    values = torch.cat([-torch.ones(4), torch.linspace(0, 5, 96)]).double()
    a, _ = turned(values)
    found = lanczos(lambda v: a @ v, random_start(100, copies), count=copies, tol=1e-10)
    assert torch.allclose(found.values, -torch.ones(copies).double())
    assert found.ended is Ended.SETTLED


def test_an_invariant_space_ends_the_process_and_gives_eigenpairs():
    a, q = turned(torch.linspace(-1, 2, 60))
    found = lanczos(lambda v: a @ v, q[:, 7] + 2 * q[:, 30] - q[:, 50])
    assert found.ended is Ended.INVARIANT
    assert found.products == 3
    assert torch.allclose(found.values, torch.linspace(-1, 2, 60).double()[[7, 30, 50]])
    assert float(found.residuals.max()) < 1e-12


def test_out_of_an_invariant_space_random_vectors_lead():
    values = torch.cat([-torch.ones(3), 2 * torch.ones(57)]).double()
    a, q = turned(values)
    found = lanczos(lambda v: a @ v, q[:, 10], count=4)
    assert found.ended is Ended.INVARIANT
    assert float(found.values[0]) == pytest.approx(-1)
    assert len(found.values) == 4
    near = (values - found.values[:, None]).abs().min(1).values
    assert bool((near <= found.residuals).all())


@pytest.mark.parametrize("block", [None, 2])
def test_a_zero_operator(block):
    found = lanczos(torch.zeros_like, random_start(20, block), count=5)
    assert torch.equal(found.values, torch.zeros(5).double())
    assert found.ended in (Ended.INVARIANT, Ended.SETTLED)
    assert float(found.residuals.max()) <= 1e-300


def test_the_whole_space_of_a_small_operator():
    a, _ = turned([3.0, -1.0, 2.0, 2.0])
    found = lanczos(lambda v: a @ v, random_start(4, 2), count=9)
    assert torch.allclose(found.values, torch.tensor([-1.0, 2.0, 2.0, 3.0]).double())
    assert len(lanczos(lambda v: 5 * v, torch.ones(1).double(), count=1).values) == 1


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e308])
@pytest.mark.parametrize("after", [0, 5])
def test_a_product_that_is_not_finite_ends_it_with_what_was_known(bad, after):
    calls = 0

    def product(v):
        nonlocal calls
        calls += 1
        return CLUSTERS * v if calls <= after else torch.full_like(v, bad)

    found = lanczos(product, random_start(200), count=3)
    assert found.ended is Ended.NOT_FINITE
    assert len(found.values) == min(3, after)
    near = (CLUSTERS - found.values[:, None]).abs()
    assert after == 0 or bool((near.min(1).values <= found.residuals).all())


def test_known_vectors_are_kept_out():
    values = torch.linspace(-3, 4, 80).double()
    a, q = turned(values)
    found = lanczos(lambda v: a @ v, random_start(80), count=2, known=q[:, :3], tol=1e-11)
    assert torch.allclose(found.values, values[3:5], atol=1e-9)
    assert float((q[:, :3].t() @ found.vectors).abs().max()) < 1e-13


def test_what_is_kept_out_wrongly_shows_in_the_residuals():
    """`known` need not be eigenvectors: the pairs are those of PAP, the residuals those of A."""
    values = torch.linspace(-3, 4, 80).double()
    a, _ = turned(values)
    known = torch.linalg.qr(random_start(80, 2, seed=5))[0]
    found = lanczos(lambda v: a @ v, random_start(80), known=known, size=78)
    direct = (a @ found.vectors - found.vectors * found.values).norm(dim=0)
    assert float(direct.max()) > 0.1
    assert torch.allclose(found.residuals, direct, atol=1e-11)


def test_a_single_run_is_tridiagonal_and_starts_at_the_start():
    """What quadrature needs: moments of the spectrum seen from the start."""
    start = random_start(200, seed=3)
    found = lanczos(lambda v: CLUSTERS * v, start, size=12)
    assert found.ended is Ended.LIMIT
    t = found.projected
    off = t - t.triu(-1).tril(1)
    assert not bool(off.any())
    unit = start / start.norm()
    for power in range(5):
        moment = float((unit * CLUSTERS**power * unit).sum())
        assert float(torch.linalg.matrix_power(t, power)[0, 0]) == pytest.approx(moment)


def test_the_same_seed_gives_the_same_and_the_callers_state_is_untouched():
    before = torch.random.get_rng_state()
    runs = [lanczos(torch.zeros_like, torch.ones(9).double(), count=4, seed=2) for _ in range(2)]
    assert torch.equal(runs[0].vectors, runs[1].vectors)
    other = lanczos(torch.zeros_like, torch.ones(9).double(), count=4, seed=3)
    assert not torch.equal(other.vectors, runs[0].vectors)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_memory_bounds_the_basis():
    values = torch.linspace(-1, 1, 4000).double()
    found = lanczos(
        lambda v: values * v, random_start(4000), count=2, memory=8 * 4000 * 10, products=200
    )
    assert found.projected.shape[0] <= 10
    assert found.products == 200


@pytest.mark.parametrize(
    "start", [torch.zeros(3), torch.tensor([1.0, math.nan, 0.0]), torch.tensor([1.0, 0.0, 0.0])]
)
def test_a_start_that_leads_nowhere_is_refused(start):
    known = torch.tensor([[1.0], [0.0], [0.0]]).double()
    with pytest.raises(ArgumentError, match="start"):
        lanczos(lambda v: v, start.double(), known=known)


@pytest.mark.parametrize("change", [{"count": 0}, {"size": 0}])
def test_sizes_below_one_are_refused(change):
    with pytest.raises(ArgumentError, match="1 or more"):
        lanczos(lambda v: v, torch.ones(3).double(), **change)
