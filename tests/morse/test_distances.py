"""Bounds of distances up to symmetry, and that growth chooses the pairs that it always chose."""

from dataclasses import replace
from itertools import combinations, pairwise

import networkx as nx
import pytest
import torch

import morsescape as ms
from morsescape import zoo
from morsescape.morse import distances
from morsescape.morse.distances import Distances, in_order
from morsescape.morse.growth import Growth
from morsescape.nets import build
from morsescape.paths.alignment import align
from morsescape.paths.symmetry import symmetries

TEMPLATE = ms.find_critical_point(zoo.himmelblau.objective(), torch.tensor([3.0, 2.0]).double())


def at(theta):
    """Something with a place: no more is asked of a minimum here."""
    return replace(TEMPLATE, theta=theta)


def network(name):
    torch.manual_seed(0)
    model = build(name, image_shape=(8, 8), classes=3, activation="tanh", pool="avg", seed=0)
    data = torch.rand(6, 1, 8, 8, dtype=torch.float64), torch.arange(6) % 3
    return ms.Objective(model, "cross_entropy", data, l2=1e-2)


@pytest.mark.parametrize("name", ["mlp2", "mlp3", "cnn"])
def test_bounds_are_below_what_alignment_finds(name):
    f = network(name)
    known = symmetries(f)
    points = [torch.randn(f.dim, generator=torch.Generator().manual_seed(k)).double()
              for k in range(4)]  # fmt: skip
    near = Distances(f, [at(p) for p in points], 0)
    for a, b in combinations(range(4), 2):
        bound = near.bound(a, b)
        assert 0 < bound <= align(f, points[a], points[b]).distance_after
    copy = known.apply(points[0], known.random(seed=5))
    assert torch.equal(in_order(known, copy), in_order(known, points[0]))


def before(growth, distance):
    """The pair that the distances of all pairs give, as once it was chosen."""
    parts = growth._parts()
    part = [growth._part_of(parts, k) for k in range(len(growth.minima))]
    ways = nx.Graph()
    ways.add_nodes_from(range(len(part)))
    for a in range(len(part)):
        for b in range(a):
            if part[a] == part[b]:
                ways.add_edge(a, b, weight=0.0)
            elif (b, a, None) not in growth.tried:
                ways.add_edge(a, b, weight=distance(b, a) ** 2)
    lengths, routes = nx.single_source_dijkstra(ways, 0)
    apart = [k for k in range(growth.given) if part[k] != part[0] and k in lengths]
    if not apart:
        return None
    route = routes[min(apart, key=lambda k: lengths[k])]
    gaps = [(min(p), max(p)) for p in pairwise(route)]
    return next(p for p in gaps if part[p[0]] != part[p[1]])


def grown(f, points):
    growth = Growth(f, [], 0, None)
    growth.minima += [at(p) for p in points]
    growth.values += [(0.0, 0.0)] * len(points)
    growth.given = len(points) // 2
    return growth


def test_the_pairs_are_those_of_all_distances(monkeypatch):
    f = network("mlp2")
    draws = torch.Generator().manual_seed(0)
    centres = torch.randn(3, f.dim, generator=draws).double()
    points = [centres[k % 3] + 0.3 * torch.randn(f.dim, generator=draws).double()
              for k in range(9)]  # fmt: skip
    exact = Distances(f, [at(p) for p in points], 0).exact
    searched = 0
    aligned = distances.moved_next_to

    def counted(*args):
        nonlocal searched
        searched += 1
        return aligned(*args)

    monkeypatch.setattr(distances, "moved_next_to", counted)
    growth = grown(f, points)
    chosen, lazily = [], 0
    while pairs := growth._gaps(1):
        (pair,) = pairs
        lazily = lazily or searched  # for the first
        assert pair == before(growth, exact)
        chosen.append(pair)
        growth.tried.add((*pair, None))
    assert len(set(chosen)) == len(chosen) == 8
    pairs = list(combinations(range(9), 2))
    assert growth._near.nearest(pairs) == min(pairs, key=lambda p: exact(*p))
    assert 0 < lazily < len(pairs)


@pytest.mark.parametrize("landscape", [zoo.himmelblau, zoo.three_hump], ids=lambda x: x.name)
def test_of_functions_too(landscape):
    f = landscape.objective()
    points = [torch.tensor(w).double() for w, signs in landscape.critical if signs == (0, 0)]
    growth = grown(f, points)
    growth.given = len(points)
    while pairs := growth._gaps(1):
        (pair,) = pairs
        assert pair == before(growth, lambda a, b: float((points[a] - points[b]).norm()))
        growth.tried.add((*pair, None))
    assert growth.tried
