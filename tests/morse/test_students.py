"""Safran & Shamir's students: the formula in three arithmetics, a spurious minimum, its exit."""

import mpmath
import pytest
import torch

import morsescape as ms
from morsescape import zoo

SEVEN = zoo.safran_shamir(7, 7)


@pytest.fixture(scope="module")
def spurious():
    f = SEVEN.objective()
    return f, ms.find_critical_point(f, torch.tensor(SEVEN.critical[1][0]).double())


def drawn(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("n", "k"), [(1, 2), (2, 3), (4, 2), (7, 7)])
def test_both_forms_agree_with_fifty_digits(n, k):
    landscape = zoo.safran_shamir(n, k)
    t = drawn(n, n * k)
    with mpmath.workdps(50):
        exact = float(landscape.fn([mpmath.mpf(x) for x in t.tolist()], mpmath))
    assert landscape.objective().value(t) == pytest.approx(exact, rel=1e-13)
    assert float(landscape.fn(t.unbind(), torch)) == pytest.approx(exact, rel=1e-13)


def test_it_is_the_mean_over_gaussian_inputs():
    w, x = drawn(1, 3, 3), drawn(2, 200_000, 3)
    losses = ((x @ w.t()).relu().sum(1) - x.relu().sum(1)).square() / 2
    sampled, off = float(losses.mean()), float(losses.std()) / 200_000**0.5
    assert zoo.safran_shamir(3, 3).objective().value(w.reshape(-1)) == pytest.approx(
        sampled, abs=5 * off
    )


def test_the_teachers():
    landscape = zoo.safran_shamir(4, 4)
    teachers = torch.tensor(landscape.critical[0][0]).double()
    f = landscape.objective()
    assert abs(f.value(teachers)) < 1e-15
    least = torch.linalg.eigvalsh(f.hessian(teachers + 1e-9 * drawn(0, 16)))[0]
    assert float(least) == pytest.approx(0.25 - 0.5 / torch.pi, abs=1e-6)
    # s = 0: no derivative there, and no certificate.
    assert not ms.certify(f, teachers).holds


def test_a_spurious_minimum_is_proved(spurious):
    f, minimum = spurious
    assert minimum.certificate.proves(0)
    assert minimum.value == pytest.approx(0.0232027149, abs=1e-10)
    w = minimum.theta.view(7, 7)
    generator = torch.Generator().manual_seed(0)
    rows, columns = (torch.randperm(7, generator=generator) for _ in range(2))
    copy = w[rows][:, columns].reshape(-1)
    assert f.value(copy) == pytest.approx(minimum.value, abs=1e-14)
    assert ms.certify(f, copy).proves(0)


def test_an_exit_is_proved_and_low(spurious):
    f, minimum = spurious
    saddle = ms.find_saddle(f, minimum)
    assert saddle.certificate.proves(1)
    assert saddle.value - minimum.value == pytest.approx(2.2832e-4, abs=1e-8)
