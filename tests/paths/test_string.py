"""String and nudged elastic band: known passes, and a low curve between two trained networks."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.integrate import solve_ivp

import morsescape as ms
from morsescape import zoo
from morsescape.critical.climb import Climb
from morsescape.critical.evaluations import Counted
from morsescape.data import load
from morsescape.errors import ArgumentError
from morsescape.hessian import regime as regimes
from morsescape.nets import build
from morsescape.objective import Objective
from morsescape.paths.band import Band, along
from morsescape.paths.curve import Curve
from morsescape.paths.found import Found, line
from morsescape.paths.images import Images
from morsescape.paths.metrics import Metrics
from morsescape.paths.string import neb, string

METHODS = pytest.mark.parametrize("method", [string, neb], ids=lambda m: m.__name__)


def vector(*numbers: float) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def height(f: Objective, curve: Curve, each: int = 8) -> float:
    count = each * len(curve.pieces)
    return max(f.value(curve(k / count)) for k in range(count + 1))


def top_joint(f: Objective, found: Found) -> float:
    return max(f.value(joint) for joint in found.curve.joints)


def polished(f: Objective, start: torch.Tensor, target: str = "minimum") -> torch.Tensor:
    return ms.find_critical_point(f, start, target=target).theta


def ring(t):
    """Two minima on a circle, a hill in the middle, and a low and a high pass."""
    return 8 * (t[0] ** 2 + t[1] ** 2 - 1) ** 2 - 0.5 * t[0] ** 2 + 0.1 * t[1]


def valley(t):
    """A double well along a curve that is far from the straight line."""
    return (t[0] ** 2 - 1) ** 2 + 20 * (t[1] - torch.sin(2 * t[0])) ** 2


def passes():
    """A name, f, starts of both minima, and a start of the pass between them."""
    return [
        ("Müller–Brown, both passes", zoo.mueller_brown.objective(),
         vector(-0.558, 1.442), vector(0.623, 0.028), vector(-0.822, 0.624)),
        ("Müller–Brown, the lower", zoo.mueller_brown.objective(),
         vector(-0.05, 0.467), vector(0.623, 0.028), vector(0.212, 0.293)),
        ("double well", zoo.double_well.objective(),
         vector(-1, 0), vector(1, 0), vector(0.01, 0)),
        ("ring", Objective.from_function(ring, 2),
         vector(-1.01, -0.1), vector(1.01, -0.1), vector(0, -1)),
        ("valley", Objective.from_function(valley, 2),
         vector(-1, -0.909), vector(1, 0.909), vector(0.01, 0.02)),
        ("linear network", zoo.linear_pair.objective(),
         vector(0.9, 0.9), vector(-0.9, -0.9), vector(0.01, 0)),
        ("Himmelblau", zoo.himmelblau.objective(),
         vector(3, 2), vector(-2.8, 3.13), vector(0.087, 2.884)),
    ]  # fmt: skip


@METHODS
@pytest.mark.parametrize("case", passes(), ids=lambda c: c[0])
def test_the_climbing_image_reaches_the_known_pass(method, case):
    _, f, a, b, saddle = case
    a, b, saddle = polished(f, a), polished(f, b), polished(f, saddle, "nearest")
    known = f.value(saddle)
    found = method(f, a, b, images=9)
    assert torch.equal(found.curve(0.0), a)
    assert torch.equal(found.curve(1.0), b)
    assert top_joint(f, found) == pytest.approx(known, abs=1e-8 * max(1, abs(known)))
    nearest = min(float((joint - saddle).norm()) for joint in found.curve.joints)
    assert nearest < 1e-6
    straight = height(f, Curve.chain(torch.stack([a, b])), 100)
    rise = known - max(f.value(a), f.value(b))
    assert known <= height(f, found.curve) <= known + 0.05 * rise
    assert height(f, found.curve) <= straight + 1e-3 * rise  # of the line only samples are known
    assert "index 1 as computed" in found.note
    assert "highest of all" in found.note


@METHODS
def test_it_goes_round_the_hill(method):
    f = Objective.from_function(ring, 2)
    a, b = polished(f, vector(-1.01, -0.1)), polished(f, vector(1.01, -0.1))
    straight = height(f, Curve.chain(torch.stack([a, b])), 100)
    assert straight > 7
    assert height(f, method(f, a, b, images=9, climb=False).curve) < 0.1


def flow_line(f: Objective, saddle: torch.Tensor) -> torch.Tensor:
    """Points of the steepest descent from the saddle to both sides."""
    direction = torch.linalg.eigh(f.hessian(saddle)).eigenvectors[:, 0]
    sides = []
    for sign in (-1e-3, 1e-3):
        way = solve_ivp(
            lambda _, x: -f.gradient(torch.from_numpy(x)).numpy(), (0, 3),
            (saddle + sign * direction).numpy(), method="LSODA", rtol=1e-8, max_step=1e-3,
        )  # fmt: skip
        sides.append(torch.from_numpy(way.y.T.copy()))
    return torch.cat(sides)


@pytest.fixture(scope="module")
def descent():
    """From the lower pass of Müller and Brown's landscape."""
    f = zoo.mueller_brown.objective()
    return flow_line(f, polished(f, vector(0.212, 0.293), "nearest"))


@METHODS
def test_the_band_comes_to_rest_on_the_line_of_steepest_descent(method, descent):
    f = zoo.mueller_brown.objective()
    a, b = polished(f, vector(-0.05, 0.467)), polished(f, vector(0.623, 0.028))
    joints = method(f, a, b, images=15, climb=False, max_steps=60).curve.joints
    distances = torch.cdist(joints, descent).min(1).values
    assert float(distances.max()) < 0.01  # of a length of 0.8
    gaps = joints.diff(dim=0).norm(dim=1)
    assert float(gaps.max() / gaps.min()) < 1.2


@METHODS
def test_images_are_inserted_where_they_are_missing(method):
    f = zoo.mueller_brown.objective()
    a, b = polished(f, vector(-0.558, 1.442)), polished(f, vector(0.623, 0.028))
    few = method(f, a, b, images=3, most=3)
    more = method(f, a, b, images=3, most=12)
    assert len(few.curve.joints) == 5
    assert 5 < len(more.curve.joints) <= 14


@METHODS
def test_one_call_is_as_the_other(method):
    f = Objective.from_function(ring, 2)
    a, b = vector(-1.01, -0.1), vector(1.01, -0.1)
    first, again = method(f, a, b, images=7), method(f, a, b, images=7)
    assert torch.equal(first.curve.pieces, again.curve.pieces)
    assert (first.gradients, first.note) == (again.gradients, again.note)


@METHODS
def test_without_all_eigenpairs_and_without_a_hessian(method, monkeypatch):
    f = Objective.from_function(valley, 2)
    a, b = polished(f, vector(-1, -0.909)), polished(f, vector(1, 0.909))
    _, factor, products = regimes.REGIMES
    for route in (factor, products):
        monkeypatch.setattr(regimes, "REGIMES", (route,))
        assert top_joint(f, method(f, a, b, images=8)) == pytest.approx(1.0, abs=1e-8)


@METHODS
def test_steps_are_limited_and_reported(method):
    f = Objective.from_function(ring, 2)
    a, b = vector(-1.01, -0.1), vector(1.01, -0.1)
    seen = []
    method(f, a, b, images=5, max_steps=7, climb=False, progress=lambda *at: seen.append(at))
    assert seen == [(k, 7) for k in range(1, 8)]


def test_an_image_where_f_is_not_finite_is_taken_back():
    f = Objective.from_function(lambda t: torch.log(t[1]) + t[0] ** 2, 2)
    images, metrics = Images(f), Metrics(f, 1)
    band = Band(f, line(vector(-1, 1), vector(1, 1), 5), images, metrics, None)
    before, values = band.points.clone(), band.values.clone()
    band.points[2, 1] = -1.0
    band.points[3, 1] = 2.0
    band.evaluate()
    assert math.isinf(float(band.values[2]))
    band._take_back(before, values)
    assert torch.equal(band.points[2], before[2])
    assert torch.equal(band.gradients[2], f.gradient(before[2]))
    assert band.points[3, 1] == 2.0
    assert band.shares[2] < band.shares[3]
    assert math.isfinite(band.height)


@pytest.mark.parametrize("route", [0, 1], ids=["eigenpairs", "factor"])
def test_a_saddle_is_found_from_where_no_curvature_is_negative(route, monkeypatch):
    monkeypatch.setattr(regimes, "REGIMES", (regimes.REGIMES[route],))
    f = zoo.double_well.objective()
    start = vector(0.7, 0.3)
    assert float(torch.linalg.eigvalsh(f.hessian(start)).min()) > 0
    problem = Counted(f)
    climb = Climb(problem)
    found = climb(start, vector(1, 0), gap=0.5, ceiling=2.0, tol=1e-9)
    assert not found.why
    assert float(found.point.theta.norm()) < 1e-9
    assert problem.gradients > 4
    low = climb(start, vector(1, 0), gap=0.5, ceiling=0.5, tol=1e-9)
    assert "uphill" in low.why


def test_a_start_and_its_shape(unchecked):
    f = Objective.from_function(ring, 2)
    a, b = vector(-1.01, -0.1), vector(1.01, -0.1)
    over = Curve.chain(torch.stack([a + 0.1, vector(0, 1.2), b + 0.1]))
    found = string(f, a, b, images=9, start=over)
    assert torch.equal(found.curve(0.0), a)
    assert torch.equal(found.curve(1.0), b)
    high = f.value(polished(f, vector(0, 1), "nearest"))
    assert top_joint(f, found) == pytest.approx(high, abs=1e-8)  # the pass on that side
    with pytest.raises(ArgumentError, match="start"):
        string(f, a, b, start=Curve.chain(torch.eye(3).double()))


@METHODS
def test_what_is_refused(method, unchecked):
    f = Objective.from_function(ring, 2)
    a = vector(-1.01, -0.1)
    with pytest.raises(ArgumentError, match="another point than a"):
        method(f, a, a.clone())
    with pytest.raises(ArgumentError, match="finite"):
        method(f, a, a * math.nan)
    with pytest.raises(ArgumentError, match=r"shape \(2,\)"):
        method(f, a, torch.ones(3).double())
    with pytest.raises(ArgumentError, match="images"):
        method(f, a, -a, images=0)


def test_between_two_networks_the_string_is_far_below_the_line():
    data = load("digits", samples=300)

    def at(seed: int) -> Objective:
        model = build("mlp2", image_shape=(8, 8), activation="tanh", seed=seed)
        return Objective(model, "cross_entropy", (data.x, data.y), l2=1e-3)

    f = at(0)
    a, b = (ms.find_critical_point(f, at(seed).theta).theta for seed in (0, 1))
    straight = height(f, Curve.chain(torch.stack([a, b])), 20)
    found = string(f, a, b, images=7, max_steps=40, climb=False)
    ends = max(f.value(a), f.value(b))
    assert height(f, found.curve, 3) - ends < 0.25 * (straight - ends)
    assert torch.equal(found.curve(1.0), b)


def test_a_polygon_is_divided_by_length():
    corner = vector(0, 0, 3, 0, 3, 1).view(3, 2)
    assert along(corner, vector(0, 0.5, 0.75, 1)).tolist() == [[0, 0], [2, 0], [3, 0], [3, 1]]
