"""Merge trees against brute force, and their picture."""

import itertools
import random

import pytest

from morsescape.errors import ArgumentError
from morsescape.figures import disconnectivity_figure
from morsescape.figures.disconnectivity import leaf_places
from morsescape.morse.merge_tree import Join, MergeTree


def drawn(seed, n=7, edges=12):
    r = random.Random(seed)
    minima = [(r.random(),) * 2 for _ in range(n)]
    joins = []
    for _ in range(edges):
        a, b = r.sample(range(n), 2)
        h = max(minima[a][0], minima[b][0]) + r.random()
        joins.append(Join(a, b, (h, h), r.choice(["saddle", "path"]), r.random() < 0.8))
    return minima, joins


def minimax(minima, joins, a, b):
    """The lowest over all simple ways of their highest join, by trying all."""
    best = None
    others = [k for k in range(len(minima)) if k not in (a, b)]
    low = {}
    for j in joins:
        if j.proved:
            key = frozenset((j.a, j.b))
            low[key] = min(j.height[1], low.get(key, float("inf")))
    for size in range(len(others) + 1):
        for middle in itertools.permutations(others, size):
            way = (a, *middle, b)
            steps = [low.get(frozenset(p)) for p in itertools.pairwise(way)]
            if None not in steps and (best is None or max(steps) < best):
                best = max(steps)
    return best


@pytest.mark.parametrize("seed", range(6))
def test_passes_are_minimax_and_uncertain_joins_never_enter(seed):
    minima, joins = drawn(seed, n=6)
    tree = MergeTree.of(minima, joins)
    for a, b in itertools.combinations(range(6), 2):
        found = tree.pass_between(a, b)
        assert (found and found.height[1]) == minimax(minima, joins, a, b)
        for eps in (0.5, 1.0, 1.5):
            together = any({a, b} <= part for part in tree.components(eps))
            assert together == (found is not None and found.height[1] <= eps)
    assert all(join.proved for join in tree.joins)
    assert len(tree.uncertain) == sum(not join.proved for join in joins)
    deaths = sorted(death for _, death in tree.persistence if death is not None)
    assert deaths == [join.height[1] for join in tree.joins]


def test_what_is_not_decided_is_said():
    joins = [Join(0, 1, (2.0, 2.2), "saddle", True), Join(1, 2, (2.1, 2.3), "saddle", True)]
    tree = MergeTree.of([(0.0, 0.0)] * 3, joins)
    assert tree.ambiguous == 1
    assert "order of 1 merges is not decided" in str(tree)
    assert "can only lower" in str(tree)
    unsure = MergeTree.of([(0.0, 0.0)] * 2, [Join(0, 1, (1.0, 1.0), "saddle", False)])
    assert unsure.threshold is None
    assert unsure.pass_between(0, 1) is None
    assert "2 parts" in str(unsure)
    with pytest.raises(ArgumentError, match="joins"):
        MergeTree.of([(0.0, 0.0)], joins)


def test_it_is_kept(tmp_path):
    tree = MergeTree.of(*drawn(1))
    tree.save(tmp_path / "tree.json")
    assert MergeTree.load(tmp_path / "tree.json") == tree


@pytest.mark.parametrize("seed", range(4))
def test_no_lines_cross_in_the_picture(seed):
    minima, joins = drawn(seed, n=12, edges=30)
    tree = MergeTree.of(minima, joins)
    places = leaf_places(tree)
    assert sorted(places) == list(range(12))
    for node in tree.nodes:  # what merges stands side by side
        own = sorted(places[leaf] for leaf in node.leaves)
        assert own == list(range(int(own[0]), int(own[0]) + len(own)))


def test_the_picture():
    minima, joins = drawn(2, n=12, edges=30)
    shares = [k / 12 for k in range(12)]
    tree = MergeTree.of(minima, joins)
    ax = disconnectivity_figure(tree, colours=shares, label="accuracy", given=5)
    dashed = [line for line in ax.get_lines() if line.get_linestyle() == "--"]
    assert len(dashed) == sum(not join.proved for join in joins)
    assert ax.get_ylabel() == f"f - {min(m for m, _ in minima):.8g}"
    for lines, by in zip(ax.collections[:2], ("saddle", "path"), strict=True):
        assert len(lines.get_segments()) == 2 * sum(join.by == by for join in tree.joins)
    assert len(ax.collections[3].get_offsets()) == 12 - 5  # hollow: not given
    ax.figure.canvas.draw()
    with pytest.raises(ArgumentError, match="colours"):
        disconnectivity_figure(MergeTree.of(minima, joins), colours=[1.0])


@pytest.mark.parametrize(
    ("low", "label"), [(-1e-30, "f"), (0.0, "f"), (-0.25, "f + 0.25"), (0.5, "f - 0.5")]
)
def test_heights_are_told_above_the_lowest(low, label):
    tree = MergeTree.of([(low, low), (0.75, 0.75)], [Join(0, 1, (1.0, 1.0), "saddle", True)])
    assert disconnectivity_figure(tree).get_ylabel() == label


def test_a_notebook_shows_the_sentence_and_no_insides():
    tree = MergeTree.of(*drawn(2))
    shown = tree._repr_html_()
    assert str(tree).split(";")[0] in shown
    assert "{" not in shown
