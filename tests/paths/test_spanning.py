"""The tree of paths between solutions: its highest edge searched anew, its folder resumed."""

import sys

import pytest
import torch

import morsescape as ms
from morsescape.paths.height import Height
from morsescape.paths.path import Path
from morsescape.paths.spanning import Spanning, spanning_tree

WELLS = ms.Objective.from_function(lambda t: (t[0] ** 2 - 1) ** 2 + (t[1] ** 2 - 1) ** 2, 2)
POINTS = [torch.tensor(p).double() for p in ((-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0))]


def searches(heights, asked):
    """A search that finds paths of these heights."""

    def joined(a, b):
        asked.append((a, b))
        high = heights[a, b]
        ends = ((0.0, 0.0), (0.0, 0.0))
        return Path(torch.stack([POINTS[a], POINTS[b]])[None], Height(high, high, ends, 0.5, 0.1),
                    "line")  # fmt: skip

    return joined


def test_the_highest_edge_gives_way_to_a_lower_path():
    """Lines round the square are lower than the diagonals; the search finds (0, 1) high."""
    heights = {(0, 1): 9.0, (1, 2): 1.0, (2, 3): 2.0, (0, 3): 3.0, (0, 2): 4.0, (1, 3): 0.5}
    asked = []
    search = Spanning(WELLS, POINTS, searches(heights, asked), None)
    first = set(spanning_tree(search.tops, 4))
    kept = search.run(3, None)
    assert first < {(0, 1), (1, 2), (2, 3), (0, 3)}
    assert asked[:3] == sorted(first)
    assert len(asked) == len(set(asked)) > 3
    assert (0, 1) not in kept
    assert max(path.height.high for path in kept.values()) == 3.0


def test_a_path_that_is_no_lower_is_not_taken():
    heights = dict.fromkeys([(0, 1), (1, 2), (2, 3), (0, 3)], 1.0) | {(0, 2): 5.0, (1, 3): 5.0}
    asked = []
    search = Spanning(WELLS, POINTS, searches(heights, asked), None)
    assert sorted(search.run(9, None)) == sorted(spanning_tree(search.tops, 4))


def test_what_is_kept_is_not_searched_again(tmp_path, monkeypatch):
    minima = [ms.find_critical_point(WELLS, p) for p in POINTS]
    whole = ms.connected(WELLS, minima, method="line", out=tmp_path)

    def never(*_, **__):
        raise AssertionError("searched again")

    monkeypatch.setattr(sys.modules["morsescape.paths.connected"], "connect", never)
    again = ms.connected(WELLS, minima, method="line", out=tmp_path)
    assert again.joined_at == whole.joined_at
    assert torch.equal(again.paths[0].pieces, whole.paths[0].pieces)
    other = ms.Objective.from_function(lambda t: (t @ t) ** 2, 2)
    with pytest.raises(ms.ArgumentError, match="values at two points"):
        ms.connected(other, POINTS, method="line", out=tmp_path)


def test_a_tree_is_saved_without_its_paths(tmp_path):
    whole = ms.connected(WELLS, POINTS, method="line")
    whole.save(tmp_path / "tree.json")
    again = type(whole).load(tmp_path / "tree.json")
    assert (again.joined_at, again.edges, again.paths) == (whole.joined_at, whole.edges, ())


def test_tops_are_the_maxima_that_stand_out():
    """Two hills and a ripple on one of them, the higher hill first."""
    f = ms.Objective.from_function(
        lambda t: torch.sin(t[0]) ** 2 * (1 + t[0] / 10) + 0.03 * torch.sin(40 * t[0]), 1
    )
    ends = torch.zeros(1).double(), torch.full((1,), 2 * torch.pi).double()
    path = ms.connect(f, *ends, method="line", height_tol=1e-3)
    high, low = path.tops()
    assert abs(high - 0.75) < 0.03
    assert abs(low - 0.25) < 0.03
