"""Homology of sublevel sets: against handles, against what is sampled, and what is refused."""

import sys
from itertools import pairwise

import numpy as np
import pytest
import torch

import morsescape as ms
from morsescape import zoo
from morsescape.complete import Barcode, sublevel_homology
from morsescape.complete.on_boxes import Enclosures
from morsescape.complete.triangulation import Grid, Sandwich, enclosed_values
from morsescape.errors import ArgumentError
from morsescape.morse.handles import handles

LANDSCAPES = {
    "himmelblau": (zoo.himmelblau, 6.0, 100, 200.0),
    "plane trap": (zoo.plane_trap, 3.0, 60, 2.0),
    "three wells": (zoo.double_wells(3), 1.8, 20, None),
}


def listed(landscape):
    f = landscape.objective()
    values = [f.value(torch.tensor(w).double()) for w, _ in landscape.critical]
    return handles(
        [((v, v), index) for v, (_, (index, _)) in zip(values, landscape.critical, strict=True)],
        f.dim,
    )


@pytest.mark.parametrize("name", LANDSCAPES)
def test_bars_are_the_handles(name):
    landscape, box, resolution, level = LANDSCAPES[name]
    built = listed(landscape)
    code = sublevel_homology(landscape.objective(), box, resolution, level=level)
    # Each handle begins a bar or ends one of a degree less.
    counts = [0] * (len(code.box) + 1)
    for bar in code.bars:
        counts[bar.degree] += 1
        counts[bar.degree + 1] += bar.death < np.inf
    assert tuple(counts) == built.counts()
    assert len(code.proved) == len(code.bars)
    heights = sorted({h.low for h in built.handles})
    for low, high in pairwise(heights):
        middle = (low + high) / 2
        betti, least = code.betti(middle), code.least_betti(middle)
        if high - low > 3:  # the grid tells the two apart
            assert sum((-1) ** k * b for k, b in enumerate(betti)) == built.euler(middle)[0]
        assert all(a <= b for a, b in zip(least, betti, strict=True))


def test_himmelblau_level_by_level():
    code = sublevel_homology(zoo.himmelblau.objective(), 6.0, level=200.0)
    assert [code.least_betti(e) for e in (5.0, 50.0, 90.0, 150.0, 180.0, 190.0)] == [
        (4, 0), (3, 0), (2, 0), (1, 0), (1, 1), (1, 0)
    ]  # fmt: skip


def interpolated(grid, values, points):
    """g at points: down the ladder of sorted coordinates, from the lowest corner of the cell."""
    found = []
    for x in points.tolist():
        place, share = [], []
        for axis, t in zip(grid.axes, x, strict=True):
            k = min(int(torch.searchsorted(axis, t, right=True)) - 1, len(axis) - 2)
            place.append(k)
            share.append(float((t - axis[k]) / (axis[k + 1] - axis[k])))
        table, here = values.reshape(grid.shape), list(place)
        total, at = table[tuple(here)], table[tuple(here)]
        for j in sorted(range(len(x)), key=lambda j: -share[j]):
            here[j] += 1
            total, at = total + share[j] * (table[tuple(here)] - at), table[tuple(here)]
        found.append(total)
    return np.array(found)


@pytest.mark.parametrize(("landscape", "box"), [(zoo.himmelblau, 5.0), (zoo.double_wells(3), 1.8)])
def test_f_lies_between_what_is_proved(landscape, box):
    f = landscape.objective()
    grid = Grid(torch.tensor([[-box] * f.dim, [box] * f.dim]).double(), [9] * f.dim)
    values, bound = enclosed_values(Enclosures(f), grid)
    sandwich = Sandwich(grid.corners(values).min(0), bound)
    draw = torch.Generator().manual_seed(0)
    points = box * (2 * torch.rand(1000, f.dim, generator=draw, dtype=torch.float64) - 1)
    g = interpolated(grid, values, points)
    exact = np.array([f.value(p) for p in points])
    off = np.abs(exact - g).max()
    assert off <= bound.max() <= 20 * off
    assert all(a <= sandwich.up(b) for a, b in zip(exact, g, strict=True))
    tight = [b / a for a, b in zip(exact, g, strict=True) if a > 0]
    assert min(tight) < 1 < max(tight)  # g is on both sides of f
    for t in np.quantile(exact, np.linspace(0.02, 1, 40)):
        s = sandwich.down(float(t))
        assert s < t
        assert all(g[exact < s] < t)


def test_a_plane_of_a_network():
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Tanh(), torch.nn.Linear(2, 1))
    x = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    f = ms.Objective(net, "mse", (x, -x.prod(1, keepdim=True)), l2=0.03)
    start = torch.tensor([2.0, 2.0, -2.0, -2.0, -1.0, -1.0, 1.5, -1.5, 0.5]).double()
    minimum = ms.find_critical_point(f, start)
    other = torch.eye(9, dtype=torch.float64)[8]
    plane = torch.zeros(9, dtype=torch.float64), torch.stack([minimum.theta, other])
    code = sublevel_homology(f, ((-1.5, 1.5), (-1.0, 1.0)), 41, subspace=plane)
    assert code.estimate is None
    assert min(bar.birth for bar in code.bars) == pytest.approx(minimum.value, abs=0.01)
    assert code.least_betti(0.85) == (2, 0)  # on the plane, not around it
    assert len(code.proved) < len(code.bars)  # near f = 1, where it is flat, the grid cannot tell


def test_kinks_are_an_estimate_on_cubes(tmp_path):
    f = ms.Objective.from_function(lambda t: (t.abs() - 1).abs().sum(), 2)
    code = sublevel_homology(f, 3.0, 31)
    assert code.estimate
    assert code.proved == ()
    assert code.betti(0.5) == (4, 0)
    assert code.betti(1.5) == (1, 1)
    code.save(tmp_path / "code.json")
    assert Barcode.load(tmp_path / "code.json") == code
    assert code.plot().get_title() == "an estimate"


def test_what_is_refused(monkeypatch):
    f = zoo.double_well.objective()
    with pytest.raises(ArgumentError, match="least value"):
        sublevel_homology(f, 2.0, 20, level=-1.0)
    with pytest.raises(ArgumentError, match=r"at most 0\.5"):
        sublevel_homology(f, 2.0, 20, level=0.5).betti(0.6)
    with pytest.raises(ArgumentError, match="4 dimensions"):
        sublevel_homology(zoo.double_wells(5).objective(), 2.0)
    with pytest.raises(ArgumentError, match="simplices"):
        sublevel_homology(f, 2.0, 4000)
    with pytest.raises(ArgumentError, match="subspace"):
        sublevel_homology(f, 2.0, subspace=(torch.zeros(2).double(), torch.ones(2, 2).double()))
    with pytest.raises(ArgumentError, match="low < high"):
        sublevel_homology(f, ((1.0, 1.0), (0.0, 1.0)))
    monkeypatch.setitem(sys.modules, "gudhi", None)
    with pytest.raises(ArgumentError, match=r"morsescape\[homology\]"):
        sublevel_homology(f, 2.0)
