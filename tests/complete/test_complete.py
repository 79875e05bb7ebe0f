"""Complete lists: against the zoo, against Newton from many starts, and where they must not be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import grad, hessian, vmap

import morsescape as ms
from morsescape.complete import CriticalSet, all_critical_points
from morsescape.complete.tree import lower_end
from morsescape.errors import ArgumentError
from morsescape.morse.merge_tree import Join
from morsescape.zoo import double_wells
from morsescape.zoo.landscape import Landscape

X = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
Y = torch.tensor([[-1.0], [1.0], [1.0], [-1.0]])  # XOR
OR = torch.tensor([[-1.0], [1.0], [1.0], [1.0]])


class Tiny(nn.Module):
    """A tanh unit without a bias: three parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(2, 1, bias=False), nn.Linear(1, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.outer(torch.tanh(self.inner(x)))
        return out


def function(fn: object, dim: int) -> ms.Objective:
    return ms.Objective.from_function(fn, dim)  # type: ignore[arg-type]


def by_newton(f: ms.Objective, radius: float, starts: int) -> list[Tensor]:
    """Critical points that Newton's method finds from random starts in [-r, r]^D, each once."""
    fn = f.source.on(*next(f.source.chunks(f.source.samples)))

    def whole(t: Tensor) -> Tensor:
        return fn(t) + f.l2 * (t * t).sum()

    g = torch.Generator().manual_seed(0)
    x = radius * (2 * torch.rand(starts, f.dim, generator=g, dtype=torch.float64) - 1)
    for _ in range(40):
        step, _ = torch.linalg.solve_ex(vmap(hessian(whole))(x), vmap(grad(whole))(x)[..., None])
        x = x - step[..., 0].nan_to_num(nan=torch.inf, posinf=torch.inf, neginf=torch.inf)
    found: list[Tensor] = []
    for point in x:
        good = bool(point.abs().max() <= radius) and float(f.gradient(point).abs().max()) < 1e-10
        if good and all(float((point - p).norm()) > 1e-5 for p in found):
            found.append(point)
    return found


ZOO = [
    (ms.zoo.himmelblau, 6.0, None), (ms.zoo.plane_trap, 3.0, None), (ms.zoo.three_hump, 3.0, None),
    (ms.zoo.mueller_brown, [[-1.5, -0.5], [1.2, 2.0]], None), (double_wells(3), 2.0, None),
    (ms.zoo.one_unit, 4.0, None), (double_wells(4), 2.0, 0.3),
]  # fmt: skip


@pytest.mark.parametrize(("landscape", "box", "level"), ZOO, ids=[x.name for x, *_ in ZOO])
def test_all_points_of_the_zoo(landscape: Landscape, box: Any, level: float | None) -> None:
    """Roots of double wells lie on faces that boxes share, and count once."""
    f = landscape.objective()
    found = all_critical_points(f, level, box=box)
    assert found.complete
    listed = [(torch.tensor(p, dtype=torch.float64), index) for p, (index, _) in landscape.critical]
    if level is not None:
        listed = [(p, index) for p, index in listed if f.value(p) <= level]
    assert len(found.points) == len(listed)
    for where, index in listed:
        near = [p for p in found.points if float((p.theta - where).norm()) < 1e-4]
        assert [p.index for p in near] == [index]
        low, high = near[0].value
        assert low <= f.value(near[0].theta) + 1e-12
        assert high - low < 1e-8
        assert near[0].radius < near[0].box
        assert near[0].contraction < 1
    if level is None:
        assert found.euler_characteristic == 1


def test_a_network_in_the_ball_of_its_level() -> None:
    """The box comes from ε and λ; Newton's method from many starts finds nothing else."""
    torch.manual_seed(0)
    f = ms.Objective(Tiny(), "mse", (X, OR), l2=0.03)
    found = all_critical_points(f, 1.05)
    assert found.complete
    assert found.sealed
    assert float(found.box[1].min()) >= (1.05 / 0.03) ** 0.5
    newton = [p for p in by_newton(f, float(found.box[1].min()), 300) if f.value(p) <= 1.05]
    assert len(newton) == len(found.points) == 3
    for p in newton:
        assert min(float((p - q.theta).norm()) for q in found.points) < 1e-8
    negative = [int((torch.linalg.eigvalsh(f.hessian(q.theta)) < 0).sum()) for q in found.points]
    assert [q.index for q in found.points] == negative


# -- what must stay open --------------------------------------------------------------------------


@pytest.mark.parametrize("landscape", [ms.zoo.quartic, ms.zoo.held_monkey], ids=lambda x: x.name)
def test_a_degenerate_point_stays_undecided(landscape: Landscape) -> None:
    found = all_critical_points(landscape.objective(), box=2.0)
    assert not found.complete
    assert found.euler_characteristic is None
    assert found.reasons == ("narrower than the width",)
    low, high = found.undecided[:, 0], found.undecided[:, 1]
    assert bool(((low <= 0) & (high >= 0)).all(1).any())
    assert float((high - low).max()) <= found.width
    proper = sum(nullity == 0 for _, (_, nullity) in landscape.critical)
    assert len(found.points) == proper
    assert "perhaps not all" in str(found)


@pytest.mark.parametrize(("c", "many"), [(1e-10, 0), (-1e-10, 2)])
def test_two_points_about_to_be_born(c: float, many: int) -> None:
    """A gradient t² + c: nothing for c > 0 however near to zero, two points for c < 0."""
    f = function(lambda t: t[0] ** 3 / 3 + c * t[0] + t[1] ** 2, 2)
    found = all_critical_points(f, box=1.7)
    assert found.complete
    assert [p.index for p in found.points] == [0, 1][:many]


def test_rounding_is_not_forgotten() -> None:
    """In float64 the gradient is 1/4 everywhere here; in real numbers it vanishes at -1/4."""
    f = function(lambda t: ((t[0] + 1e16) - 1e16) ** 2 / 2 + t[0] / 4, 1)
    assert float(f.gradient(torch.tensor([-0.25]).double())) == 0.25
    found = all_critical_points(f, box=[-0.9, 0.8], most=300)
    assert len(found.points) + len(found.undecided) > 0
    held = [(float(a), float(b)) for a, b in found.undecided[:, :, 0]]
    held += [(float(p.theta) - p.radius, float(p.theta) + p.radius) for p in found.points]
    assert any(low <= -0.25 <= high for low, high in held)


def test_a_point_at_the_edge_or_at_the_level_is_not_decided() -> None:
    f = ms.zoo.double_well.objective()  # minima at ±1 with f = 0, a saddle at 0 with f = 1
    edge = all_critical_points(f, box=[[-1.0, -1.0], [0.5, 1.0]])
    assert edge.reasons == ("a point at the edge of the box",)
    assert edge.counts == (0, 1, 0)
    level = all_critical_points(f, 1.0, box=2.0)
    assert level.reasons == ("a point at the level",)
    assert level.counts == (2, 0, 0)
    assert all_critical_points(f, 0.99, box=2.0).complete


def test_a_box_too_many_leaves_the_rest_undecided() -> None:
    found = all_critical_points(ms.zoo.himmelblau.objective(), box=6.0, most=10)
    assert not found.complete
    assert "at the limit of boxes" in found.reasons


def test_where_f_is_not_defined_nothing_is_claimed() -> None:
    f = function(lambda t: (t[0] + 1).log() * t[1] + t[0] ** 2, 2)
    found = all_critical_points(f, box=2.0, most=3000, width=0.01)
    assert found.counts == (0, 1, 0)
    assert not found.complete


# -- refused by name ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fn", "name"),
    [
        (lambda t: t[0].abs() + t[1] ** 2, "abs"),
        (lambda t: torch.special.i0e(t[0]) + t[1] ** 2, "special_i0e"),
        (lambda t: t[0].round() + (t**2).sum(), "round"),
    ],
)
def test_what_has_kinks_or_no_rule_is_refused_by_name(fn: object, name: str) -> None:
    with pytest.raises(ArgumentError, match=name):
        all_critical_points(function(fn, 2), box=1.0)


def test_a_network_with_kinks_is_refused() -> None:
    model = nn.Sequential(nn.Linear(2, 1), nn.ReLU())
    with pytest.raises(ArgumentError, match="relu"):
        all_critical_points(ms.Objective(model, "mse", (X, Y), l2=0.1), 1.0)


def test_a_box_is_asked_for_where_none_follows() -> None:
    cases = [
        (ms.zoo.himmelblau.objective(), 1.0, "no ridge"),
        (ms.zoo.himmelblau.objective().at_l2(0.1), 1.0, "not known to be nonnegative"),
        (ms.Objective(Tiny(), "mse", (X, Y), l2=0.1), None, "no level"),
        (ms.Objective(Tiny(), "mse", (X, Y)), 1.0, "no ridge"),
        (
            ms.Objective(Tiny(), lambda out, y: ((out - y) ** 2).mean(), (X, Y), l2=0.1),
            1.0,
            "nonnegative",
        ),
    ]
    for f, level, why in cases:
        with pytest.raises(ArgumentError, match=why):
            all_critical_points(f, level)
    for box in ("2", [1.0, -1.0], torch.zeros(2, 3), float("inf")):
        with pytest.raises(ArgumentError, match="corners"):
            all_critical_points(ms.zoo.himmelblau.objective(), box=box)


# -- what follows from a complete list ------------------------------------------------------------


def test_the_tree_of_sublevel_sets_is_exact(tmp_path: Path) -> None:
    f = ms.zoo.double_well.objective()
    found = all_critical_points(f, 1.5, box=2.0)
    assert found.complete
    assert found.sealed
    tree = found.merge_tree()
    assert not tree.uncertain
    assert tree.threshold == pytest.approx((1.0, 1.0), abs=1e-6)
    assert tree.threshold is not None
    assert tree.threshold[0] <= 1.0 <= tree.threshold[1]
    assert found.threshold == tree.threshold
    assert replace(found, sealed=False).threshold == (-torch.inf, tree.threshold[1])
    assert str(tree).endswith("no pass is missing, proved")
    for known in (replace(found, sealed=False), replace(found, undecided=found.box[None])):
        known.__dict__["_joins"] = found._joins  # the same passes
        assert str(known.merge_tree()).endswith("can only lower the passes")
    assert found.handles().audit().startswith("nothing speaks")
    found.save(tmp_path / "set")
    again = CriticalSet.load(tmp_path / "set")
    assert str(again) == str(found)
    assert torch.equal(again.points[0].theta, found.points[0].theta)
    with pytest.raises(ArgumentError, match="landscape"):
        again.merge_tree()


def test_a_box_is_sealed_only_where_f_is_above_the_level_all_round() -> None:
    f = ms.zoo.himmelblau.objective()
    lower = all_critical_points(f, 100.0, box=6.0)
    assert lower.sealed
    assert lower.counts == (4, 2, 0)
    assert lower.euler_characteristic == 2
    assert "missing" in lower.handles().audit()  # of all of R²
    assert not all_critical_points(f, 100.0, box=[-6.0, 3.0]).sealed


def test_of_passes_that_overlap_the_lowest_end_counts() -> None:
    """Kruskal by upper ends keeps the second, whose lower end is higher than ε* need be."""
    joins = [Join(0, 1, (1.0, 3.0), "saddle", True), Join(0, 1, (1.5, 2.0), "saddle", True),
             Join(1, 2, (0.5, 0.6), "saddle", False)]  # fmt: skip
    assert lower_end([(0.0, 0.0)] * 2, joins[:2]) == 1.0
    assert lower_end([(0.0, 0.0)] * 3, joins) == 1.0
    assert lower_end([(0.0, 0.0)] * 3, joins[:2]) == -torch.inf
