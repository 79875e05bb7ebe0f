"""Group elements on edges: against the graph of all copies, written out, and of a network."""

import itertools
import random

import networkx as nx
import pytest
import torch

import morsescape as ms
from morsescape.errors import ArgumentError
from morsescape.morse import sides
from morsescape.morse.graph import MorseGraph
from morsescape.morse.orbits import Ways
from morsescape.paths.element import Element
from morsescape.paths.moves import Group
from morsescape.paths.symmetry import symmetries

GROUP = Group("w", 3, (), ((1,),))  # three units that may be permuted and flipped


def key(g):
    return g.orders.get("w", (0, 1, 2)), g.signs.get("w", ((1, 1, 1),))


ALL = [
    Element._least({"w": order}, {"w": (signs,)})
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]


def written_out(minima, edges):
    """The graph of all copies (a, g), and its components."""
    graph = nx.Graph()
    graph.add_nodes_from((k, key(g)) for k in range(minima) for g in ALL)
    for a, g, b, h in edges:
        graph.add_edges_from(((a, key(k @ g)), (b, key(k @ h))) for k in ALL)
    return list(nx.connected_components(graph))


@pytest.mark.parametrize("seed", range(12))
def test_closed_ways_count_the_components_of_all_copies(seed):
    r = random.Random(seed)
    few = r.sample(ALL, 3)  # so that subgroups are proper ones too
    edges = [
        (r.randrange(4), r.choice(few), r.randrange(4), r.choice(few)) for _ in range(1 + seed // 2)
    ]
    if seed % 2:  # ways that are closed before parts meet
        edges = [(k, Element(), k, r.choice(ALL)) for k in range(3)] + edges
    ways = Ways((GROUP,), 4)
    for edge in edges:
        ways.join(*edge)
    parts = written_out(4, edges)
    for k in range(4):
        own = [part for part in parts if any(minimum == k for minimum, _ in part)]
        assert ways.whole // ways.order(k) == len(own)
    for a, b, h in itertools.product((0, 1), (0, 1, 2), ALL[::5]):
        g = r.choice(ALL)
        together = any((a, key(g)) in part and (b, key(h)) in part for part in parts)
        assert ways.leads(a, g, b, h) == together


def test_closed_ways_are_carried_along_where_parts_meet():
    """A symmetry of one minimum acts on another by what the way between them makes of it."""
    r = random.Random(0)
    for _ in range(4):
        edges = [(1, Element(), 1, r.choice(ALL)), (0, Element(), 1, r.choice(ALL))]
        ways = Ways((GROUP,), 2)
        for edge in edges:
            ways.join(*edge)
        (part,) = (p for p in written_out(2, edges) if (0, key(Element())) in p)
        for h in ALL:
            assert ways.leads(0, Element(), 0, h) == ((0, key(h)) in part)


def test_elements_are_a_group():
    g, h, k = random.Random(0).sample(ALL, 3)
    assert (g @ h) @ k == g @ (h @ k)
    assert g @ g.inverse == g.inverse @ g == Element()
    assert g @ Element() == Element() @ g == g
    assert Element.from_json(g.to_json()) == g
    assert len({key(x) for x in ALL}) == 48


@pytest.fixture(scope="module")
def f():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))
    x = torch.randn(20, 2)
    return ms.Objective(net, "mse", (x, x[:, :1] * x[:, 1:]), l2=1e-2)


@pytest.fixture(scope="module")
def minimum(f):
    g = torch.Generator().manual_seed(1)
    return ms.find_critical_point(f, torch.randn(f.dim, generator=g, dtype=torch.float64))


@pytest.fixture(scope="module")
def graph(f, minimum):
    with pytest.MonkeyPatch().context() as patch:  # a coarser flow: what is proved is no flow
        patch.setattr(sides, "_RTOL", 1e-2, raising=False)
        patch.setattr(sides, "_TIME", 8.0, raising=False)
        return ms.morse_graph(f, [minimum], copies=ms.joined_copies(f, minimum, method="line"))


def test_products_do_to_points_what_they_say(f, minimum):
    known = symmetries(f)
    for seed in range(6):
        g, h = (Element.of(known.random(seed=2 * seed + j)) for j in (0, 1))
        assert torch.equal((g @ h).apply(f, minimum.theta), g.apply(f, h.apply(f, minimum.theta)))
        assert torch.equal(g.inverse.apply(f, g.apply(f, minimum.theta)), minimum.theta)


def test_feet_of_passes_are_the_copies_that_the_edge_names(f, graph):
    """And these differ: each of these edges is a way to another copy."""
    assert len(graph.minima) == 1
    assert graph.passes
    for over, ends, elements in zip(graph.passes, graph.ends, graph.elements, strict=True):
        for side, k, g in zip(over.sides, ends, elements, strict=True):
            off = (g.apply(f, graph.minima[k].theta) - side.chain[-1]).norm()
            assert float(off) <= 1e-6
            assert float((side.minimum.theta - side.chain[-1]).norm()) <= 1e-5
        g, h = elements
        assert g.inverse @ h != Element()


def test_all_copies_of_a_network_are_joined_by_saddles_alone(f, minimum, graph, tmp_path):
    """48 = 3! 2³ copies: at the height at which the graph of all copies, written out, is one."""
    found = graph.copies_joined()
    assert found.order == 48
    assert found.joined_at == found.stages[-1].height
    for stage in found.stages:
        low = [
            (a, g, b, h)
            for over, (a, b), (g, h) in zip(
                graph.passes, graph.ends, _named(graph.elements), strict=True
            )
            if over.height[1] <= stage.height
        ]  # fmt: skip
        assert found.parts(stage.height) == len(written_out(1, low)) == 48 // stage.order
    assert "all copies of the given minima under 48 symmetries" in str(found)
    assert all(over.proved for over in graph.passes)
    graph.save(tmp_path / "graph")
    again = MorseGraph.load(tmp_path / "graph")
    assert again.elements == graph.elements
    assert again.copies_joined(f) == found
    with pytest.raises(ArgumentError, match="f: expected the landscape"):
        again.copies_joined()


def _named(elements):
    """The group is called w above."""
    return [tuple(_renamed(g) for g in pair) for pair in elements]


def _renamed(g):
    return Element(*(dict(zip(["w"], part.values(), strict=False)) for part in (g.orders, g.signs)))


def test_paths_of_another_network_are_refused(f, minimum):
    other = minimum.theta + 0.1
    with pytest.raises(ArgumentError, match="copies"):
        ms.morse_graph(f, [minimum], copies=ms.joined_copies(f, other, method="line"))


def test_what_leaves_a_minimum_where_it_is_joins_its_copies():
    """Strong ridge: the network is zero, every symmetry leaves it, and no pass is needed."""
    x = torch.linspace(-1, 1, 8)[:, None]
    net = torch.nn.Sequential(torch.nn.Linear(1, 2), torch.nn.Tanh(), torch.nn.Linear(2, 1))
    f = ms.Objective(net, "mse", (x, x.sin()), l2=5.0)
    zero = ms.find_critical_point(f, torch.full((f.dim,), 0.01).double())
    assert float(zero.theta.norm()) < 1e-6
    found = ms.morse_graph(f, [zero]).copies_joined()
    assert found.order == 8
    assert found.joined_at == pytest.approx(zero.value)
