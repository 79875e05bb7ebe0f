"""The zoo itself: every entry verified with 50 digits, before anything is measured against it."""

from __future__ import annotations

import math

import mpmath as mp
import pytest
import torch

import morsescape as ms
from morsescape.zoo import ZOO, Landscape, needle

NULL = mp.mpf(10) ** -14  # families are listed in binary64, so their Hessians are off by this


@pytest.fixture(autouse=True)
def fifty_digits():
    with mp.workdps(60):
        yield


def derivative(z: Landscape, x: list, orders: list[int]):
    return mp.diff(lambda *t: z.fn(t, mp), tuple(x), tuple(orders))


def gradient(z: Landscape, x: list):
    return mp.matrix([derivative(z, x, [int(i == k) for i in range(z.dim)]) for k in range(z.dim)])


def hessian(z: Landscape, x: list):
    h = mp.matrix(z.dim, z.dim)
    for i in range(z.dim):
        for j in range(i, z.dim):
            h[i, j] = h[j, i] = derivative(z, x, [(i == k) + (j == k) for k in range(z.dim)])
    return h


def polished(z: Landscape, point: tuple[float, ...]) -> list:
    """Newton's method in 60 digits; a listed point moves by its missing digits only."""
    x = [mp.mpf(v) for v in point]
    for _ in range(8):
        step = mp.lu_solve(hessian(z, x), -gradient(z, x))
        x = [a + b for a, b in zip(x, step, strict=True)]
        if mp.norm(step) < mp.mpf(10) ** -52:
            break
    return x


def signs(z: Landscape, x: list) -> tuple[int, int]:
    values = mp.eigsy(hessian(z, x), eigvals_only=True)
    return sum(v < -NULL for v in values), sum(abs(v) <= NULL for v in values)


def test_size():
    assert len(ZOO) >= 15
    assert len({z.name for z in ZOO}) == len(ZOO)
    assert all(z.source for z in ZOO)


@pytest.mark.parametrize("z", ZOO, ids=lambda z: z.name)
def test_listed_points_are_critical_and_their_signs_right(z):
    for point, expected in z.critical:
        x = polished(z, point) if expected[1] == 0 else [mp.mpf(v) for v in point]
        assert mp.norm(mp.matrix(x) - mp.matrix(point)) < 1e-6
        assert mp.norm(gradient(z, x)) < (1e-45 if expected[1] == 0 else 1e-14)
        assert signs(z, x) == expected
        assert z.signs_at(torch.tensor(point).double()) == expected


@pytest.mark.parametrize("z", [z for z in ZOO if z.coercive and z.morse], ids=lambda z: z.name)
def test_poincare_hopf(z):
    total = sum((-1) ** index for _, (index, _) in z.critical)
    assert total == 1 if z.complete else z.critical


@pytest.mark.parametrize("z", [z for z in ZOO if z.coercive], ids=lambda z: z.name)
def test_coercive_ones_grow(z):
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        d = torch.randn(z.dim, generator=generator, dtype=torch.float64)
        far = (100 * d / d.norm()).tolist()
        try:
            assert z.fn([mp.mpf(v) for v in far], mp) > 10 * abs(z.fn([mp.mpf(0)] * z.dim, mp)) + 1
        except OverflowError:
            assert z.name == "Müller–Brown"  # exp(10⁴)


@pytest.mark.parametrize("z", [z for z in ZOO if z.family], ids=lambda z: z.name)
def test_families_know_what_is_not_critical(z):
    for start in z.starts(20, seed=1):
        f = z.objective()
        if float(f.gradient(start).norm()) > 0.1:
            assert z.signs_at(start) is None


def test_a_wrong_index_would_be_seen():
    himmelblau = next(z for z in ZOO if z.name == "Himmelblau")
    point, expected = himmelblau.critical[4]
    assert expected == (2, 0)
    assert signs(himmelblau, polished(himmelblau, point)) != (1, 0)
    assert not math.isclose(point[0], himmelblau.critical[0][0][0])


BETWEEN = [z for z in (*ZOO, needle(), needle(1e-5)) if z.passes]


@pytest.mark.parametrize("z", BETWEEN, ids=lambda z: z.name)
def test_passes_have_the_height_that_is_listed(z):
    saddles = [point for point, signs in z.critical if signs == (1, 0)]
    for point, height in zip(saddles, z.passes, strict=True):
        assert abs(z.fn(polished(z, point), mp) - mp.mpf(height)) < 1e-10


@pytest.mark.parametrize("z", BETWEEN, ids=lambda z: z.name)
def test_float64_finds_the_signs_where_passes_are_listed(z):
    f = z.objective()
    for point, (index, nullity) in z.critical:
        theta = torch.tensor([float(x) for x in polished(z, point)], dtype=torch.float64)
        scale = float(f.hessian(theta).norm())
        assert float(f.gradient(theta).norm()) <= 1e-12 * scale
        found = ms.inertia(f, theta)
        assert found.negative == (index, index)
        assert found.null == (nullity, nullity)


def test_an_even_sampling_misses_the_needle():
    f = needle(1e-4).objective()
    even = [f.value(torch.tensor([k / 60, 0.0], dtype=torch.float64)) for k in range(61)]
    assert max(even) < 1e-100
    assert f.value(torch.tensor(needle().critical[0][0], dtype=torch.float64)) == 1
