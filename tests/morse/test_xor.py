"""2-2-1 on XOR by two methods without common code: what the library finds, Newton's method has."""

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import morsescape as ms

H, L2 = 2, 0.03


@pytest.fixture(scope="module")
def xor():
    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
    import xor
    import xor_newton

    narrow = xor.by_newton(H - 1, L2, 60, [])
    return xor, xor_newton, narrow, xor.by_newton(H, L2, 600, narrow.orbits)


def rows(orbits):
    return [{"value": o.value, "index": o.index, "size": o.size} for o in orbits]


def test_the_list_passes_the_audit(xor):
    bench, _, narrow, points = xor
    assert sorted(o.index for o in points.orbits) == [0, 0, 0, 1, 1, 1, 1, 2, 2, 2]
    assert bench.audit(rows(narrow.orbits), 5)[0] == 1
    assert bench.audit(rows(points.orbits), 9)[0] == 1
    for orbit in points.orbits:
        left = [o for o in points.orbits if o is not orbit]
        assert "missing" in bench.audit(rows(left), 9)[1]


def test_orbits_are_counted_as_by_hand(xor):
    _, newton, _, points = xor
    for orbit in points.orbits:
        found = set()
        for k in range(8):
            units, c = newton.units_of(newton.turned(orbit.theta, k))
            for order in itertools.permutations(range(H)):
                for signs in itertools.product((1, -1), repeat=H):
                    moved = np.append((units[list(order)] * np.array(signs)[:, None]).ravel(), c)
                    found.add(tuple(np.round(moved, 6) + 0.0))
        assert len(found) == orbit.size


def test_what_the_library_finds_is_in_the_list(xor):
    bench, _, _, points = xor
    f = bench.objective(H, L2)
    for orbit in points.orbits:
        theta = torch.as_tensor(orbit.theta)
        assert f.value(theta) == pytest.approx(orbit.value, abs=1e-12)
        assert ms.certify(f, theta).proves(orbit.index)
    starts = bench.starts(f, 4, 0)
    minima = [ms.find_critical_point(f, start) for start in starts]
    saddles = [ms.find_saddle(f, start) for start in starts]
    for found, index in [*((m, 0) for m in minima), *((s, 1) for s in saddles)]:
        assert found.certificate.proves(index)
        assert points.find(found.theta.numpy()).index == index


def test_both_methods_join_one_unit_at_the_same_height(xor):
    bench, newton, narrow, _ = xor
    f = bench.objective(H - 1, L2)
    tree, lost = narrow.tree()
    assert not lost
    assert len(tree) == 5  # θ = 0, and 4 copies under the square
    best, zero = sorted((o for o in narrow.orbits if o.index == 0), key=lambda o: o.value)
    ends = tuple(torch.as_tensor(o.theta) for o in (best, zero))
    a, b = (newton.place([m for _, m in tree.nodes(data="theta")], e.numpy()) for e in ends)
    assert ms.find_saddle(f, ends).value == pytest.approx(newton.minimax(tree, a, b), abs=1e-9)
