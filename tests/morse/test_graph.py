"""Morse graphs: minima joined by passes, resumed, copies counted once."""

import re
from dataclasses import replace

import pytest
import torch

import morsescape as ms
from morsescape import zoo
from morsescape.errors import ArgumentError
from morsescape.figures.graph_page import plane_pictures
from morsescape.morse import attempt, growth
from morsescape.morse.graph import MorseGraph
from morsescape.page.svg import svg_of
from morsescape.paths.symmetry import symmetries
from morsescape.store import RunFolder

HIMMELBLAU = ((3, 2), (3.584428, -1.848126), (-2.805118, 3.131313), (-3.77931, -3.283186))


def minima(f):
    return [ms.find_critical_point(f, torch.tensor(p).double()) for p in HIMMELBLAU]


def test_himmelblau_is_joined_at_its_third_lowest_pass(tmp_path):
    f = zoo.himmelblau.objective()
    graph = ms.morse_graph(f, minima(f), retries=6)
    heights = sorted(f.value(torch.tensor(w).double())
                     for w, signs in zoo.himmelblau.critical if signs == (1, 0))  # fmt: skip
    assert len(graph.minima) == 4
    low, high = graph.threshold
    assert low <= heights[2] + 1e-9
    assert high >= heights[2] - 1e-9
    assert high - low < 1e-6
    graph.save(tmp_path / "graph")
    again = MorseGraph.load(tmp_path / "graph")
    graph.html(tmp_path / "graph.html", "Four valleys")
    page = (tmp_path / "graph.html").read_text()
    assert "<h1>Four valleys</h1>" in page
    assert page.count("<svg") == 2
    tops = {*re.findall(r'<tr data-minima="([^"]*)" data-height="([^"]*)"', page)}
    assert {(f"{min(e)} {max(e)}", str(p.height[1]))
            for e, p in zip(graph.ends, graph.passes, strict=True)} <= tops  # fmt: skip
    again.html(tmp_path / "again.html")  # without f there is no plane
    assert (tmp_path / "again.html").read_text().count("<svg") == 1
    assert again.threshold == graph.threshold
    assert torch.equal(again.passes[0].saddle.theta, graph.passes[0].saddle.theta)


def test_the_plane_of_a_pass_has_its_minima_and_the_saddle():
    f = zoo.himmelblau.objective()
    graph = ms.morse_graph(f, minima(f))
    top = graph.highest()
    (picture,) = plane_pictures(graph, "g")
    (ax, _) = picture.figure.axes
    k = next(k for k, over in enumerate(graph.passes) if over.height == top.height)
    points = [graph.minima[top.a].theta, graph.minima[top.b].theta, graph.passes[k].saddle.theta]
    seen, known = torch.from_numpy(ax.lines[0].get_xydata()), torch.stack(points)
    assert torch.allclose(torch.cdist(seen, seen), torch.cdist(known, known), atol=1e-6)
    assert [text.get_text() for text in ax.texts] == [f"{top.a}", f"{top.b}", f"pass {k}"]
    marks = re.findall(r"data-minima=\"([^\"]*)\"", svg_of(picture.figure, "p").body)
    assert marks == [f"{top.a}", f"{top.b}", " ".join(map(str, sorted((top.a, top.b))))]
    assert plane_pictures(replace(graph, passes=(), ends=()), "g") == ()


def test_no_plane_goes_through_a_pass_between_its_minima():
    f = ms.Objective.from_function(lambda t: (t[0] ** 2 - 1) ** 2 + t[1] ** 2, 2)
    ends = [ms.find_critical_point(f, torch.tensor([x, 0.0]).double()) for x in (-1.0, 1.0)]
    graph = ms.morse_graph(f, ends)
    assert graph.threshold is not None
    assert plane_pictures(graph, "g") == ()


def test_it_resumes_without_a_search(tmp_path, monkeypatch):
    f = zoo.himmelblau.objective()
    found = minima(f)
    half = ms.morse_graph(f, found, most=2, out=tmp_path)
    assert half.attempts == 2
    whole = ms.morse_graph(f, found, out=tmp_path)

    def never(*_, **__):
        raise AssertionError("searched again")

    monkeypatch.setattr(attempt, "find_saddle", never)
    again = ms.morse_graph(f, found, out=tmp_path)
    assert again.threshold == whole.threshold
    other = ms.Objective.from_function(lambda t: (t @ t - 1) ** 2 + t[0], 2)
    with pytest.raises(ArgumentError, match="values at two points"):
        ms.morse_graph(other, [ms.find_critical_point(other, found[0].theta)], out=tmp_path)
    with pytest.raises(ArgumentError, match="minima"):
        ms.morse_graph(f, [])


def test_a_finished_graph_is_not_grown_by_the_same_call(tmp_path):
    f = zoo.himmelblau.objective()
    found = minima(f)
    first, again, more = (
        ms.morse_graph(f, found, retries=retries, out=tmp_path).attempts for retries in (1, 1, 2)
    )
    assert again == first > 3
    assert more == first + 1


def test_copies_of_a_network_count_once():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))
    x = torch.randn(20, 2)
    f = ms.Objective(net, "mse", (x, x[:, :1] * x[:, 1:]), l2=1e-2)
    start = torch.randn(f.dim, generator=torch.Generator().manual_seed(1)).double()
    a = ms.find_critical_point(f, start)
    known = symmetries(f)
    b = ms.find_critical_point(f, known.apply(a.theta, known.random(seed=3)))
    assert not torch.equal(a.theta, b.theta)
    graph = ms.morse_graph(f, [a, b])
    assert (len(graph.minima), graph.attempts) == (1, 0)
    assert graph.threshold == graph.values[0]
    assert "nothing is to be joined" in str(graph)


def test_where_a_path_is_lower_than_all_passes_one_is_missing_and_is_found(tmp_path):
    """On lines Himmelblau's minima are joined, but higher than the passes that their tops find."""
    f = zoo.himmelblau.objective()
    found = minima(f)
    paths = ms.connected(f, found, method="line")
    bare = ms.morse_graph(f, found, paths=paths, most=0)
    assert bare.threshold[1] == paths.joined_at
    assert bare.highest().by == "path"
    assert bare.highest(paths=False) is None
    tops = sum(len(path.tops()) for path in paths.paths)
    ms.morse_graph(f, found, paths=paths, most=1, out=tmp_path)
    whole = ms.morse_graph(f, found, paths=paths, most=tops, out=tmp_path)
    assert whole.highest().by == "saddle"
    assert whole.threshold[1] < paths.joined_at - 1
    assert "proved by a saddle" in str(whole)
    kept = RunFolder(tmp_path, growth.Growth(f, found, 0, None)._settings())
    pieces = [kept.load(f"attempt-{k:05}") for k in range(whole.attempts)]
    assert all(piece.payload["top"] is not None for piece in pieces)
    with pytest.raises(ArgumentError, match="solutions"):
        ms.morse_graph(f, found[:2], paths=paths)


def test_paths_follow_minima_that_were_given_twice():
    f = zoo.himmelblau.objective()
    found = minima(f)
    twice = [found[0], *found]
    graph = ms.morse_graph(f, twice, paths=ms.connected(f, twice, method="line"), most=0)
    assert (graph.given, len(graph.paths)) == (4, 3)
    assert all(join.a != join.b for join in graph.paths)
    assert graph.threshold is not None


def test_a_minimum_of_which_all_pairs_were_tried_in_vain():
    f = zoo.himmelblau.objective()
    grown = growth.Growth(f, minima(f)[:3], 0, None)
    grown.tried |= {(0, 1, None), (0, 2, None)}
    assert grown._gaps(1) == []  # the pair that is left leads to no way from the first


def test_where_the_segments_lie_on_the_ridges_all_are_joined():
    """By symmetry both passes of the three-hump camel lie next to the segments of its minima."""
    f = zoo.three_hump.objective()
    known = [torch.tensor(w).double() for w, signs in zoo.three_hump.critical if signs == (0, 0)]
    graph = ms.morse_graph(f, [ms.find_critical_point(f, point) for point in known])
    assert graph.threshold is not None
    assert {zoo.three_hump.signs_at(saddle.theta) for saddle in graph.saddles} == {(1, 0)}
    assert len(graph.passes) == 2


def test_two_graphs_add_up(tmp_path):
    """Parts on two machines, one of them kept, are the whole; another landscape is refused."""
    f = zoo.himmelblau.objective()
    found = minima(f)
    first = ms.morse_graph(f, found[:3], paths=ms.connected(f, found[:3], method="line"))
    second = ms.morse_graph(f, [found[3], found[0]])
    second.save(tmp_path / "second")
    kept = MorseGraph.load(tmp_path / "second")
    both = first.merged(kept)
    assert both.given == 4
    assert both.attempts == first.attempts + second.attempts
    points = [m.theta for m in both.minima]
    for k in range(4):
        assert torch.equal(points[k], found[k].theta)
    for graph in (first, kept):
        for saddle in graph.saddles:
            assert any(float((s.theta - saddle.theta).norm()) < 1e-6 for s in both.saddles)
    for i, saddle in enumerate(both.saddles):
        assert all(float((s.theta - saddle.theta).norm()) > 1e-3 for s in both.saddles[:i])
    for over, ends in zip(both.passes, both.ends, strict=True):
        for side, k in zip(over.sides, ends, strict=True):
            assert float((side.chain[-1] - points[k]).norm()) < 1e-6
    assert both.threshold[1] >= second.threshold[1] - 1e-9
    assert len(both.paths) == len(first.paths)
    assert len(kept.merged(second, f).passes) == len(second.passes)
    other = zoo.three_hump.objective()
    with pytest.raises(ArgumentError, match="graphs of the landscape f"):
        first.merged(kept, other)
    strange = ms.morse_graph(other, [ms.find_critical_point(other, torch.zeros(2).double())])
    with pytest.raises(ArgumentError, match="graphs of the landscape f"):
        first.merged(strange)
    with pytest.raises(ArgumentError, match="f: expected the landscape"):
        kept.merged(kept)


def test_a_minimum_of_another_landscape_is_refused():
    def tilted(by, across=1.0):
        return ms.Objective.from_function(
            lambda t: (t[0] ** 2 - 1) ** 2 + across * t[1] ** 2 + by * t[0], 2
        )

    f, other, third = tilted(0.1), tilted(0.1, across=2.0), tilted(0.12)
    starts = [torch.tensor([x, 0.1]).double() for x in (-1.0, 1.0)]
    own, foreign = ([ms.find_critical_point(g, x) for x in starts] for g in (f, third))
    for take in (ms.morse_graph, ms.connected):
        with pytest.raises(ArgumentError, match=r"\[1\].*of another landscape"):
            take(f, [own[0], foreign[1]])
    assert ms.connected(other, [m.theta for m in own]).joined_at is not None


def test_components_go_down_and_meet_before_pairs_are_searched(tmp_path):
    """Four wells in a row: from the two outermost, through the one between, to the lowest."""

    def row(t: torch.Tensor) -> torch.Tensor:
        return 0.05 * (t[0] - 4.5) ** 2 - torch.cos(3 * t[0]) + t[1] ** 2

    f = ms.Objective.from_function(row, 2)
    ends = [ms.find_critical_point(f, torch.tensor([x, 0.1]).double()) for x in (0.1, 8.3)]
    searched = []

    def here(searches, folder):
        for key, search in searches.items():
            searched.append(search.name)
            made = search.carried_out(f, 0)
            folder.save(key, *made.to_piece())
            yield made

    graph = ms.morse_graph(f, ends, downhill=True, out=tmp_path, together=here)
    assert graph.threshold is not None
    assert all(a == b for a, b, _ in searched)  # no pair was
    assert [*graph.merge_tree().components(graph.threshold[1])] == [{0, 1, *range(2, 5)}]
    lowest = [graph.minima[a].value for a, _, _ in searched]
    assert lowest[2:] == sorted(lowest[2:], reverse=True)
    again = ms.morse_graph(f, ends, downhill=True, out=tmp_path)
    assert again.attempts == graph.attempts == len(searched)
    assert again.threshold == graph.threshold


def test_where_no_search_between_two_minima_succeeds_they_are_led_out_of():
    f = ms.Objective.from_function(lambda t: (t[0] ** 2 - 1) ** 2 + t[1] ** 2, 2)
    ends = [ms.find_critical_point(f, torch.tensor([x, 0.1]).double()) for x in (-1.1, 1.1)]

    def out_of_one_only(searches, folder):
        for search in searches.values():
            pair = search.pair
            made = search.carried_out(f, 0)
            yield made if pair[0] == pair[1] else attempt.Attempt(pair, None, "none was found")

    graph = ms.morse_graph(f, ends, together=out_of_one_only)
    assert graph.attempts == 2
    assert {*graph.ends[0]} == {0, 1}
    assert graph.threshold is not None
