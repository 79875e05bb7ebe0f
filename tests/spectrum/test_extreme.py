"""Both ends of a spectrum, with the small full decomposition as oracle for the Krylov one."""

import pytest
import torch

from morsescape.spectrum import extreme
from morsescape.spectrum.extreme import extreme_eigenvectors


def matrix(values, seed=0):
    values = torch.as_tensor(values, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    turned = torch.randn(len(values), len(values), generator=generator, dtype=torch.float64)
    vectors = torch.linalg.qr(turned)[0]
    made = vectors * values @ vectors.t()
    return (made + made.t()) / 2


def hessian_like(n=300):
    """A few large, a bulk, a null space, and small negative ones close together."""
    large = torch.tensor([40.0, 30.0, 9.0, 8.5], dtype=torch.float64)
    bulk = torch.logspace(-9, 0, n - 144, dtype=torch.float64)
    small = -torch.logspace(-6, -2, 40, dtype=torch.float64)
    return torch.cat([large, bulk, torch.zeros(100, dtype=torch.float64), small])


@pytest.fixture
def krylov(monkeypatch):
    monkeypatch.setattr(extreme, "_STEPS", 12)  # so that there is room for the basis


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("values", [hessian_like(), torch.linspace(-1, 1, 300).double()])
def test_the_krylov_space_finds_what_the_decomposition_finds(krylov, values, largest):
    a = matrix(values)
    known, vectors = torch.linalg.eigh(a)
    found = extreme_eigenvectors(a, known, 15, largest=largest)
    expected = known.flip(0)[:15] if largest else known[:15]
    true = vectors.flip(1)[:, :15] if largest else vectors[:, :15]
    quotients = (found * (a @ found)).sum(0)
    assert torch.allclose(quotients, expected, rtol=1e-9, atol=0)
    assert torch.allclose(found.t() @ found, torch.eye(15).double(), atol=1e-12)
    # The spaces are the same, whatever the signs.
    assert float((found - true @ (true.t() @ found)).norm()) < 1e-5


def test_the_same_input_gives_the_same_vectors(krylov):
    a = matrix(hessian_like())
    known = torch.linalg.eigvalsh(a)
    before = torch.random.get_rng_state()
    first, again = (extreme_eigenvectors(a, known, 4, largest=False) for _ in range(2))
    assert torch.equal(first, again)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_many_equal_eigenvalues(krylov):
    a = matrix([5.0] * 12 + [1.0] * 100 + [-1.0] * 88)
    known = torch.linalg.eigvalsh(a)
    found = extreme_eigenvectors(a, known, 8, largest=True)
    assert float((a @ found - 5 * found).norm(dim=0).max()) < 1e-6
    assert torch.allclose(found.t() @ found, torch.eye(8).double(), atol=1e-12)


def test_none_are_asked_for():
    a = matrix([1.0, 2.0])
    assert extreme_eigenvectors(a, torch.tensor([1.0, 2.0]).double(), 0, largest=True).shape == (
        2,
        0,
    )


def test_the_small_case_is_sorted_from_the_end_inwards():
    a = torch.diag(torch.tensor([2.0, -3.0, 5.0, -1.0], dtype=torch.float64))
    known = torch.linalg.eigvalsh(a)
    for largest, expected in ((True, [5.0, 2.0]), (False, [-3.0, -1.0])):
        found = extreme_eigenvectors(a, known, 2, largest=largest)
        assert (found * (a @ found)).sum(0).tolist() == pytest.approx(expected)
