"""Two solutions in, a path with a proved height out; many, a bracket of the threshold."""

from __future__ import annotations

import pytest
import torch

import morsescape as ms
from morsescape import zoo
from morsescape.paths import height, symmetries


def point(*numbers: float) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def wells() -> ms.Objective:
    """Minima near (±1, 0) of which the left one is lower; the pass is near 0 and of height 1."""
    return ms.Objective.from_function(lambda t: (t[0] ** 2 - 1) ** 2 + t[0] / 10 + t[1] ** 2 / 2, 2)


def test_a_line_over_the_pass_has_its_height():
    path = ms.connect(wells(), point(-1, 0), point(1, 0), method="line")
    assert torch.equal(path(0.0), point(-1, 0))
    assert torch.equal(path(1.0), point(1, 0))
    assert path.height.low <= 1.00125 <= path.height.high  # 1 + s/10 - 2 s² at s = 1/40
    assert path.barrier[1] < 0.92
    assert path.length == 2
    assert "proved" in str(path)
    assert not path.same


def test_an_unproved_path_is_an_estimate():
    path = ms.connect(wells(), point(-1, 0), point(1, 0), method="line", prove=False)
    assert path.height.estimate == "no proof was asked for"
    assert path.height.low == path.height.high
    proved = path.proved()
    assert proved.height.estimate is None
    assert proved.height.low <= proved.height.high


def test_results_of_searches_are_ends():
    f = wells()
    a, b = (ms.find_critical_point(f, point(x, 0.1)) for x in (-1, 1))
    path = ms.connect(f, a, b)
    assert torch.equal(path(0.0), a.theta)
    assert torch.equal(path(1.0), b.theta)


def test_a_path_is_kept(tmp_path):
    path = ms.connect(wells(), point(-1, 0), point(1, 0), method="line")
    path.save(tmp_path / "path")
    again = ms.Path.load(tmp_path / "path")
    assert torch.equal(again.pieces, path.pieces)
    assert again.height == path.height
    with pytest.raises(ms.ArgumentError, match="a path that was loaded has none"):
        again.proved()
    assert again.proved(wells()).height == path.height


@pytest.mark.parametrize(
    ("a", "b", "more", "words"),
    [
        (point(1, 0), point(1, 0), {}, "another point than a"),
        (point(1, 0), point(float("nan"), 0), {}, "finite"),
        (point(1, 0), point(1, 0, 0), {}, "shape"),
        (point(1, 0), point(0, 1), {"method": "tunnel"}, "line"),
    ],
)
def test_bad_ends_and_methods_are_refused(a, b, more, words):
    with pytest.raises(ms.ArgumentError, match=words):
        ms.connect(wells(), a, b, **more)


def test_a_landscape_of_another_size_is_refused():
    path = ms.connect(wells(), point(-1, 0), point(1, 0), method="line")
    with pytest.raises(ms.ArgumentError, match="2 variables"):
        path.proved(ms.Objective.from_function(lambda t: t.sum(), 3))


def four_wells() -> tuple[ms.Objective, list[ms.CriticalPoint]]:
    f = ms.Objective.from_function(
        lambda t: (t[0] ** 2 - 1) ** 2 + 2 * (t[1] ** 2 - 1) ** 2 + t[0] / 10 + t[1] / 20, 2
    )
    starts = [point(x, y) for x in (-1, 1) for y in (-1, 1)]
    return f, [ms.find_critical_point(f, s) for s in starts]


def test_the_threshold_is_bracketed():
    """Passes between wells that differ in the first coordinate are lower: 1 against 2."""
    f, minima = four_wells()
    bracket = ms.connected(f, minima, method="line")
    assert len(bracket.edges) == 3
    # Two minima are joined along y for each x, at about 2; then one pair along x, at about 1.
    assert 1.85 < bracket.joined_at < 2.2
    highest = max(m.value for m in minima)
    assert bracket.split_at == pytest.approx(highest, abs=1e-12)
    assert bracket.split_at <= highest
    assert bracket.lowest_split_at == pytest.approx(sorted(m.value for m in minima)[1], abs=1e-12)
    assert not bracket.up_to_symmetry
    assert "one component" in str(bracket)


def test_points_that_are_not_proved_minima_split_nothing():
    f, minima = four_wells()
    bracket = ms.connected(f, [m.theta for m in minima], method="line")
    assert bracket.split_at is None
    assert bracket.joined_at is not None


def test_one_estimate_and_nothing_is_proved_of_all(monkeypatch):
    f, minima = four_wells()

    def refuse(*_):
        raise height.NoErrorRule("floor")

    monkeypatch.setattr(height, "pieces_on", refuse)
    bracket = ms.connected(f, minima, method="line")
    assert bracket.joined_at is None
    assert "floor" in bracket.estimate
    assert "not proved" in str(bracket)


def test_fewer_than_two_solutions_are_refused():
    f, minima = four_wells()
    with pytest.raises(ms.ArgumentError, match="two or more"):
        ms.connected(f, minima[:1])


@pytest.mark.parametrize("method", ["bezier", "chain", "string", "neb"])
def test_every_method_goes_round_a_hill(method):
    """A ring of radius 1 around a hill of height 1: the line goes over it, the others round it."""
    f = ms.Objective.from_function(lambda t: (t @ t - 1) ** 2 + t[1] / 20, 2)
    a, b = point(-1, 0.01), point(1, 0.01)
    line, path = ms.connect(f, a, b, method="line"), ms.connect(f, a, b, method=method)
    assert path.height.high < 0.3 < line.height.low
    assert path.method == method
    assert torch.equal(path(0.0), a)
    assert torch.equal(path(1.0), b)


def test_an_option_that_a_method_does_not_take_is_refused():
    with pytest.raises(ms.ArgumentError, match="help"):
        ms.connect(wells(), point(-1, 0), point(1, 0), method="string", degree=3)


def test_ends_that_differ_by_a_symmetry_are_said_to_be_one():
    g = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 2))
    f = ms.Objective(net, "mse", (torch.randn(9, 3, generator=g), torch.randn(9, 2, generator=g)))
    known = symmetries(f)
    copy = known.apply(f.theta, known.random(seed=1))
    path = ms.connect(f, f.theta, copy)
    assert path.same
    assert path.barrier[1] < 1e-6
    assert "one network" in str(path)
    apart = ms.connect(f, f.theta, copy, method="line", align=False)
    assert not apart.same
    assert apart.length > 0.1


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("mueller_brown", "string"), ("two_wells", "string"), ("banana", "string"),
        ("ring", "string"), ("ring", "neb"),
    ],
)  # fmt: skip
def test_the_proved_height_holds_the_known_pass(name, method):
    """Between two minima of the zoo, over its passes; a band of images meets them to 1e-8.

    The line between the minima of the ring is mapped to itself by a symmetry, and leads over a
    point of index 1 that is higher than both passes.
    """
    known = getattr(zoo, name)
    f = known.objective()
    minima = [torch.tensor(p).double() for p, signs in known.critical if signs == (0, 0)]
    path = ms.connect(f, minima[0], minima[1], method=method, images=9, height_tol=1e-6)
    pass_ = min(known.passes, key=lambda x: abs(x - path.height.high))
    assert path.height.estimate is None
    assert path.height.low - 1e-8 * max(1, abs(pass_)) <= pass_
    assert pass_ <= path.height.high + 1e-8 * max(1, abs(pass_))
    assert abs(path.height.low - pass_) < 2 * path.height.tolerance + 1e-8 * max(1, abs(pass_))
