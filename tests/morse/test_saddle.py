"""Passes: index exactly 1 from every kind of start, both sides with proof."""

import sys
from collections import namedtuple
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

import morsescape as ms
from morsescape import zoo
from morsescape.critical.certificate import CertificateStatus
from morsescape.critical.climb import Climb, lowest_modes
from morsescape.critical.climb_models import Modes
from morsescape.critical.curvature import metric_at
from morsescape.critical.evaluations import Counted
from morsescape.critical.quadratic_model import Euclidean
from morsescape.errors import ArgumentError
from morsescape.hessian import regime as regimes
from morsescape.morse import sides
from morsescape.morse.flow import descent_in, descent_in_metrics
from morsescape.morse.sides import Pass, pass_over
from morsescape.paths.curve import Curve
from morsescape.paths.height import Height, height_of

Line = namedtuple("Line", "points end")


def vector(*numbers):
    return torch.tensor(numbers).double()


def wells():
    """Four minima, four passes at f = 1, a maximum at the origin: the middle of both diagonals."""
    return ms.Objective.from_function(lambda t: ((t * t - 1) ** 2).sum(), 2)


def certain(point):
    return point.index == 1 and point.certificate.status is CertificateStatus.PROVED


@pytest.mark.parametrize("landscape", [zoo.himmelblau, zoo.mueller_brown, zoo.six_hump])
def test_between_minima_of_the_zoo(landscape):
    f = landscape.objective()
    minima = [vector(*where) for where, signs in landscape.critical if signs == (0, 0)]
    for k in range(1, len(minima)):
        saddle = ms.find_saddle(f, (minima[0], minima[k]))
        assert certain(saddle), str(saddle)
        assert landscape.signs_at(saddle.theta) == (1, 0)


@pytest.mark.parametrize("tilt", [0.1, 0.3])
@pytest.mark.parametrize("order", [1, -1])
def test_where_the_segment_is_the_ridge_and_runs_close_by_the_pass(tilt, order):
    """Lines from there start nearest the pass, and only leave it: the dip of the norm is first."""
    f = ms.Objective.from_function(lambda t: (t[0] ** 2 - 1) ** 2 + t[1] ** 2 + tilt * t[0], 2)
    minima = [ms.find_critical_point(f, vector(x, 0.1)) for x in (-1.0, 1.0)]
    saddle = ms.find_saddle(f, tuple(minima[::order]))
    assert certain(saddle), str(saddle)
    assert abs(float(saddle.theta[0])) < 0.1


@pytest.mark.parametrize(
    "start", [vector(0.3, 0.9), vector(0.0, 0.0), vector(1.0, 1.0), vector(0.01, 0.0)]
)
def test_from_a_point_a_maximum_and_a_minimum(start):
    f = wells()
    saddle = ms.find_saddle(f, start)
    assert certain(saddle), str(saddle)
    assert saddle.value == pytest.approx(1.0, abs=1e-12)
    assert saddle.target == "saddle"


def test_a_trap_on_a_plane_of_symmetry_is_left():
    f = wells()
    saddle = ms.find_saddle(f, (vector(-1, -1), vector(1, 1)))
    assert certain(saddle), str(saddle)
    assert saddle.value == pytest.approx(1.0, abs=1e-12)


def test_from_a_path():
    f = zoo.himmelblau.objective()
    path = ms.connect(f, vector(3, 2), vector(3.584428, -1.848126), method="line")
    saddle = ms.find_saddle(f, path)
    assert certain(saddle)
    assert saddle.value <= path.height.high


@pytest.mark.parametrize(("where", "tol"), [(-1.0, 1e-9), (1.7, 1e-9), (1.001, 1e-2)])
def test_in_one_dimension(where, tol):
    """A pass is a maximum there, and a climb that ends at a minimum has one mode to leave by."""
    saddle = ms.find_saddle(zoo.double_wells(1).objective(), vector(where), tol=tol)
    assert certain(saddle), str(saddle)
    assert abs(float(saddle.theta)) < 1e-12


@pytest.mark.parametrize(
    ("landscape", "start"),
    [
        (zoo.double_well, vector(1.1, 0.05)),  # the lowest mode is the one that leads nowhere
        (zoo.linear_pair, vector(1.0, 0.8)),
    ],
    ids=["double well", "linear network"],
)
def test_where_climbing_from_the_start_leads_uphill(landscape, start):
    f = landscape.objective()
    at_once = Climb(Counted(f))(
        start, lowest_modes(Counted(f), start, 1)[1][:, 0], gap=1.0, ceiling=1e9, tol=1e-9
    )
    assert "uphill" in at_once.why  # so the start itself is no help
    saddle = ms.find_saddle(f, start)
    assert certain(saddle), str(saddle)
    assert landscape.signs_at(saddle.theta) == (1, 0)


def test_the_correction_agrees_with_the_gradients():
    """H⁺s = ∇f(θ + s) - ∇f(θ), H⁺ is symmetric, and nothing changes where the model was right."""
    g = torch.Generator().manual_seed(3)
    matrix = torch.randn(5, 5, generator=g).double()
    matrix = matrix + matrix.t()
    step, change = torch.randn(2, 5, generator=g).double()
    model = Modes(*torch.linalg.eigh(matrix), step)
    after = model.corrected(step, change)
    assert torch.allclose(after.product(step), change)
    dense = torch.stack([after.product(e) for e in torch.eye(5).double()])
    assert torch.allclose(dense, dense.t())
    assert not after.exact
    same = model.corrected(step, matrix @ step)
    assert torch.allclose(same.values, model.values)


def test_corrected_hessians_save_hessians_and_the_last_one_is_computed():
    f, start = zoo.double_wells(6).objective(), torch.full((6,), 0.6).double()
    start[0] = 0.2
    counts = {}
    for keep in (0, 8):
        problem = Counted(f)
        mode = lowest_modes(Counted(f), start, 1)[1][:, 0]
        climbed = Climb(problem)(start, mode, gap=1.0, ceiling=9.0, tol=1e-9, keep=keep)
        assert not climbed.why
        assert zoo.double_wells(6).signs_at(climbed.point.theta) == (1, 0)
        assert torch.equal(problem.hessian_at(climbed.point.theta).theta, climbed.point.theta)
        counts[keep] = problem.evaluations.hessian
    assert counts[8] <= counts[0] - 2


def test_where_there_is_none():
    f = ms.Objective.from_function(lambda t: t @ t, 2)
    found = ms.find_saddle(f, vector(1.0, 0.5), max_steps=20)
    assert found.index != 1
    assert found.status is ms.SearchStatus.NO_PASS
    assert found.reason


def test_what_is_refused():
    f = wells()
    with pytest.raises(ArgumentError, match="one network, twice"):
        ms.find_saddle(f, (vector(1, 1), vector(1, 1)))
    with pytest.raises(ArgumentError, match="start"):
        ms.find_saddle(f, vector(1, 1, 1))


def test_both_sides_are_proved_and_kept(tmp_path):
    f = zoo.himmelblau.objective()
    saddle = ms.find_saddle(f, (vector(3, 2), vector(-2.805118, 3.131313)))
    over = pass_over(f, saddle)
    assert over.proved
    low, high = over.height
    assert low <= saddle.value <= high < low + 1e-7
    for side in over.sides:
        assert torch.equal(side.chain[0], saddle.theta)
        assert torch.equal(side.chain[-1], side.minimum.theta)
        samples = [f.value(Curve.chain(side.chain)(k / 400)) for k in range(401)]
        assert max(samples) <= high
        bent = side.chain.clone()
        bent[1] += vector(2.0, 2.0)  # what does not stay below is not proved to
        assert height_of(f, Curve.chain(bent)).low > high
    over.save(tmp_path / "pass")
    again = Pass.load(tmp_path / "pass")
    assert torch.equal(again.sides[1].chain, over.sides[1].chain)
    assert torch.equal(again.saddle.theta, saddle.theta)
    assert again.height == over.height


def test_a_side_does_not_stray_across_the_ridge():
    """A soft double well in a stiff curved valley: two digits of the flow go uphill there."""

    def valley(t):
        x, rest = t[0], t[1:]
        k = torch.arange(1, len(rest) + 1, dtype=t.dtype)
        floor = 1 + 0.5 * torch.sin(3 * k * x)
        return 1e-4 * (x * x - 1) ** 2 + 0.5 * (k * (rest - floor) ** 2).sum()

    f = ms.Objective.from_function(valley, 6)
    top = torch.cat([torch.zeros(1), torch.ones(5)]).double()
    start = top.clone()
    start[0] = 0.02
    start[1:] += 0.5 * torch.sin(3 * torch.arange(1, 6).double() * 0.02)
    metric = metric_at(Counted(f), top)
    fine = descent_in(Counted(f), start, metric, time=60.0, rtol=sides._RTOL)
    assert float(fine.values.diff().max()) < 1e-11
    assert float(descent_in(Counted(f), start, metric, time=60.0).values.diff().max()) > 1e-7


def test_a_stiff_line_takes_new_metrics_and_ends_where_the_other_does():
    f = ms.Objective.from_function(
        lambda t: (t[0] ** 2 - 1) ** 2 + 500 * (t[1] - t[0] ** 2) ** 2, 2
    )
    start, metric = vector(0.1, 0.8), Euclidean()
    slow, fast = Counted(f), Counted(f)
    line = descent_in(slow, start, metric, time=60.0)
    other = descent_in_metrics(fast, start, metric, time=60.0)
    assert not line.reached  # 2,000 steps do not do
    assert other.reached
    assert (other.end - vector(1, 1)).norm() < 0.05
    assert fast.hessians > 0
    assert fast.gradients < slow.gradients / 3
    assert bool((other.times.diff() > 0).all())
    assert len(other.times) == len(other.points) == len(other.norms)


@pytest.mark.parametrize(("route", "most"), [(0, 500), (1, 2500)], ids=["implicit", "metrics"])
def test_a_stiff_line_is_short_on_either_route(route, most, monkeypatch):
    monkeypatch.setattr(regimes, "REGIMES", (replace(regimes.REGIMES[route], most=sys.maxsize),))
    f = ms.Objective.from_function(
        lambda t: (t[0] ** 2 - 1) ** 2 + 500 * (t[1] - t[0] ** 2) ** 2, 2
    )
    problem = Counted(f)
    line = descent_in_metrics(problem, vector(0.1, 0.8), Euclidean(), time=60.0)
    assert line.reached
    assert (line.end - vector(1, 1)).norm() < 0.05
    assert problem.hessians > 0
    assert bool((line.times.diff() > 0).all())
    assert problem.gradients < most  # explicitly, 6,000 do not do


def test_a_side_takes_the_flow_only_where_the_search_went_over_a_ridge(monkeypatch):
    f = wells()
    saddle = ms.find_saddle(f, vector(0.1, 1.2))
    flows, search = [], sides.find_critical_point
    flow = sides.descent_in_metrics
    monkeypatch.setattr(
        sides, "descent_in_metrics", lambda *a, **k: flows.append(1) or flow(*a, **k)
    )
    assert pass_over(f, saddle).proved
    assert not flows

    def leaping(f, theta, **kwargs):
        return search(f, theta * vector(1, 1 if flows else -1), seed=kwargs["seed"])

    monkeypatch.setattr(sides, "find_critical_point", leaping)
    over = pass_over(f, saddle)
    assert flows
    assert over.proved
    assert over.height[1] < saddle.value + 1e-8
    assert all(round(float(s.minimum.theta[1])) == 1 for s in over.sides)


def test_where_no_metric_is_worth_its_price_a_stiff_line_goes_on_in_the_old(monkeypatch):
    monkeypatch.setattr(regimes, "REGIMES", (regimes.REGIMES[2],))
    f = ms.Objective.from_function(
        lambda t: (t[0] ** 2 - 1) ** 2 + 500 * (t[1] - t[0] ** 2) ** 2, 2
    )
    start, problem = vector(0.1, 0.8), Counted(f)
    line = descent_in_metrics(problem, start, Euclidean(), time=0.5)
    assert line.reached
    assert len(line.times) > 200
    assert problem.hessians == 0


@pytest.mark.parametrize("route", [1, 2], ids=["factor", "products"])
def test_the_lowest_modes_without_eigenpairs(route, monkeypatch):
    monkeypatch.setattr(regimes, "REGIMES", (replace(regimes.REGIMES[route], most=sys.maxsize),))
    f = zoo.double_wells(3).objective()
    values, vectors = lowest_modes(Counted(f), vector(0, 0.1, 1), 2, seed=1)
    exact = torch.linalg.eigvalsh(f.hessian(vector(0, 0.1, 1)))
    assert torch.allclose(values, exact[:2])
    assert vectors.shape == (3, 2)


def test_a_side_goes_round_what_lies_between_the_places_looked_at(monkeypatch):
    def narrow(t):
        hill = torch.exp(-((t[0] - 0.17) ** 2 + (t[1] - 0.002) ** 2) / 1e-4)
        return (t[0] ** 2 - 1) ** 2 + 5 * t[1] ** 2 + 0.3 * hill

    f = ms.Objective.from_function(narrow, 2)
    saddle = ms.find_critical_point(f, torch.tensor([0.01, 0.0]).double(), target="nearest")
    assert saddle.certificate.proves(1)
    line = torch.tensor([[0.02, 0], [0.12, 0], [0.17, 0.05], [0.22, 0], [0.9, 0]]).double()
    monkeypatch.setattr(sides, "descent_in_metrics", lambda *_, **__: Line(line, line[-1]))

    def sampled(f, chain, top):
        points = [a + t * (b - a) for a, b in pairwise(chain) for t in torch.linspace(0, 1, 300)]
        high = max(map(f.value, points))
        return Height(low=high, high=high, ends=((top, top), (0.0, 0.0)), at=0.0, tolerance=0.0)

    monkeypatch.setattr(sides, "height_below", sampled)
    way = torch.tensor([1.0, 0.0]).double()

    def rise():
        side = sides._side(Counted(f), saddle, way, 0)
        return side.height.high - saddle.value

    assert rise() < 1e-8
    monkeypatch.setattr(sides, "_LOOKS", (8,))
    assert rise() > 0.1
