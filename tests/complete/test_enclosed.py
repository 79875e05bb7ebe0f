"""Enclosures on boxes hold what they should: against exact fractions, and against autograd."""

from fractions import Fraction

import pytest
import torch
from torch.func import grad, hessian

import morsescape as ms
from morsescape.complete.contract import contracted, quotients
from morsescape.complete.intervals import Interval, product
from morsescape.complete.on_boxes import Enclosures
from morsescape.complete.points import krawczyk_test, proved
from morsescape.complete.subdivision import Limits, Search
from morsescape.complete.wide import Wide
from morsescape.rounding.balls import Ball
from morsescape.zoo import himmelblau, six_hump

aten = torch.ops.aten


def boxes(count: int, dim: int, widest: float) -> Interval:
    g = torch.Generator().manual_seed(count)
    ends = 2 * torch.rand(2, count, dim, generator=g, dtype=torch.float64) - 1
    mid, rad = ends[0] * 2, ends[1].abs() ** 3 * widest
    return Interval(mid - rad, mid + rad)


def inside(box: Interval, seed: int = 0) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    t = torch.rand(box.low.shape, generator=g, dtype=torch.float64)
    return torch.minimum(torch.maximum(box.low + t * (box.high - box.low), box.low), box.high)


def exactly(low: Fraction, high: Fraction, found: Interval, k: int) -> bool:
    return Fraction(float(found.low[k])) <= low and high <= Fraction(float(found.high[k]))


def test_interval_arithmetic_holds_the_exact_result() -> None:
    a, b = boxes(40, 1, 1.0).each(lambda x: x[:, 0]), boxes(41, 1, 1.0).each(lambda x: x[:40, 0])
    for k in range(40):
        ends = [(Fraction(float(x[k])), Fraction(float(y[k]))) for x in a.ends for y in b.ends]
        products, sums = [x * y for x, y in ends], [x + y for x, y in ends]
        assert exactly(min(products), max(products), a * b, k)
        assert exactly(min(sums), max(sums), a + b, k)
    least, most = (sum((Fraction(float(x)) for x in end), Fraction(0)) for end in a.ends)
    assert exactly(least, most, a[None].sum(1), 0)
    matrix = torch.full((1, 2), 0.1, dtype=torch.float64)
    tenth = Fraction(0.1)
    row = product(matrix, Interval(matrix.mT, matrix.mT))
    assert exactly(2 * tenth**2, 2 * tenth**2, row.each(lambda x: x[0]), 0)


def test_what_is_not_known_stays_so() -> None:
    nothing = Interval(torch.tensor([-torch.inf]).double(), torch.tensor([torch.inf]).double())
    zero = Interval(torch.zeros(1).double(), torch.zeros(1).double())
    for x in (nothing * zero, nothing - nothing, nothing + zero):
        assert float(x.low) == -torch.inf
        assert float(x.high) == torch.inf


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_wide_powers_are_their_ranges(n: int) -> None:
    x = Ball(torch.tensor([0.5, -3.0]).double(), torch.tensor([1.5, 0.25]).double())
    power = Interval.of(Wide()(aten.pow.Tensor_Scalar, (x, n), {}))
    least = 0.0 if n % 2 == 0 else -1.0
    ends = sorted([(-3.25) ** n, (-2.75) ** n])
    assert power.low.tolist() == pytest.approx([least, ends[0]], rel=1e-5, abs=1e-4)
    assert power.high.tolist() == pytest.approx([2.0**n, ends[1]], rel=1e-5)
    assert bool((power.low <= torch.tensor([least, ends[0]])).all())
    assert bool((power.high >= torch.tensor([2.0**n, ends[1]])).all())


def test_a_square_of_one_ball_is_not_negative_and_a_product_of_two_may_be() -> None:
    x, y = (Ball(torch.zeros(1).double(), torch.ones(1).double()) for _ in range(2))
    run = Wide()
    assert float(Interval.of(run(aten.mul.Tensor, (x, x), {})).low) > -1e-5
    assert float(Interval.of(run(aten.mul.Tensor, (x, y), {})).low) <= -1.0
    wide = Ball(torch.zeros(1).double(), torch.full((1,), 9.0).double())
    assert float(Interval.of(run(aten.tanh.default, (wide,), {})).high) < 1.001


@pytest.mark.parametrize("landscape", [himmelblau, six_hump], ids=lambda x: x.name)
def test_derivatives_at_points_of_a_box_are_enclosed(landscape: ms.zoo.Landscape) -> None:
    f = landscape.objective()
    known, box = Enclosures(f), boxes(30, 2, 0.5)
    (value, gradient), second = known.first(box), known.hessian(box)
    mid = inside(box, 9)
    slopes, (_, at_mid) = known.slopes(box, mid), known.first(Interval(mid, mid))
    fn = f.source.on(None, None)
    for seed in range(3):
        x = inside(box, seed)
        change = (slopes * Interval(x - mid, x - mid)[:, None, :]).sum(-1) + at_mid
        for k in range(30):
            g, near = grad(fn)(x[k]), 1e-9 * (1 + at_mid.mag[k])  # of autograd's rounding
            assert value.low[k] - 1e-9 <= fn(x[k]) <= value.high[k] + 1e-9
            for held in (gradient, change):
                assert bool(((held.low[k] - near <= g) & (g <= held.high[k] + near)).all())
            h, near = hessian(fn)(x[k]), 1e-9 * (1 + second.mag[k])
            assert bool(((second.low[k] - near <= h) & (h <= second.high[k] + near)).all())


def test_contraction_keeps_every_solution_and_names_the_gap() -> None:
    """On t³ - t = 0 in [-2, 2] no root is lost; around 0.6 the box shrinks to the root near 1."""
    f = Enclosures(ms.Objective.from_function(lambda t: t[0] ** 4 / 4 - t[0] ** 2 / 2, 1))
    low, high = torch.tensor([[-2.0], [0.7], [1.35]]), torch.tensor([[2.0], [1.5], [1.9]])
    box = Interval(low.double(), high.double())
    mid = torch.tensor([[0.5], [1.1], [1.5]]).double()
    steps = Interval(box.low - mid, box.high - mid)
    new = contracted(f.slopes(box, mid), f.first(Interval(mid, mid))[1], steps)
    left = Interval(mid + new.rest.low, mid + new.rest.high)
    for root in (-1.0, 0.0, 1.0):
        assert float(left.low[0]) <= root <= float(left.high[0])
        assert not float(mid[0] + new.gap.low[0]) < root < float(mid[0] + new.gap.high[0])
    assert float(new.gap.high[0]) > float(new.gap.low[0])
    assert float(left.low[1]) <= 1.0 <= float(left.high[1])
    assert float(left.high[1] - left.low[1]) < 0.4
    assert bool(left.low[2] > left.high[2])  # empty


def test_quotients_keep_every_solution() -> None:
    """For t and b in their intervals, ends included, t/b is in what is left of the steps."""
    top, bottom = (boxes(n, 1, 3.0).each(lambda x: x[:200, 0]) for n in (200, 201))
    steps = Interval(torch.full((200,), -5.0).double(), torch.full((200,), 5.0).double())
    low, high, gap = quotients(top, bottom, steps)
    assert int((gap.high > gap.low).sum()) > 5
    share = torch.linspace(0, 1, 21).double()[:, None]
    t, b = (x.low + share * (x.high - x.low) for x in (top, bottom))
    x = t[:, None] / b[None]
    inside = (x.abs() <= 5) & (b[None] != 0)
    assert bool((~inside | ((low - 1e-12 <= x) & (x <= high + 1e-12))).all())
    assert not bool((inside & (gap.low + 1e-12 < x) & (x < gap.high - 1e-12)).any())


def test_a_box_with_two_points_is_not_settled_by_one() -> None:
    """Newton's method leads from the middle to one of them, which is proved."""
    f = Enclosures(ms.zoo.double_well.objective())  # minima at (±1, 0)
    box = Interval(torch.tensor([[-2.0, -1.0]]).double(), torch.tensor([[2.0, 1.0]]).double())
    search = Search(f, box[0], Limits(torch.inf, 0.0, 1e-6, 100))
    assert search.settled(box, torch.tensor([[0.9, 0.1]]).double()).tolist() == [False]
    assert search.found is not None
    assert len(search.found) == 1
    part = Interval(torch.tensor([[0.8, -1.0]]).double(), box.high)
    assert search.settled(part, torch.tensor([[1.1, 0.1]]).double()).tolist() == [True]


def test_existence_is_proved_only_where_a_point_is() -> None:
    """Of t³/3 + c t, c > 0, no Newton step is inside its own box, however small the gradient."""
    f = Enclosures(ms.Objective.from_function(lambda t: t[0] ** 3 / 3 + 1e-10 * t[0], 1))
    starts = torch.tensor([[1e-5], [-3e-5], [1e-4], [0.3], [0.0]]).double()
    assert not bool(proved(f, starts)[0].any())
    # t + t²/4 vanishes at 0, beside [0.05, 1.95], which K of that box overlaps; H ≥ 1 there.
    bent = Enclosures(ms.Objective.from_function(lambda t: t[0] ** 2 / 2 + t[0] ** 3 / 12, 1))
    inverse = torch.full((1, 1, 1), 1 / 1.5).double()
    for where, rho, holds in ((1.0, 0.95, False), (0.1, 0.3, True)):
        point, radius = (torch.full((1, 1), x).double() for x in (where, rho))
        value, gradient = bent.first(Interval(point, point))
        step = product(inverse, gradient[..., None])[..., 0]
        good, _ = krawczyk_test(bent, point, radius, inverse, step, value)
        assert good.tolist() == [holds]
    well = Enclosures(ms.Objective.from_function(lambda t: t[0] ** 4 / 4 - t[0] ** 2 / 2, 1))
    good, found = proved(well, torch.tensor([[1 + 1e-3], [0.4], [1e-9], [-1.0]]).double())
    assert good.tolist() == [True, False, True, True]
    roots = torch.tensor([[1.0], [0.0], [-1.0]]).double()
    assert bool(Interval(roots, roots).within(found.place).all())
    assert bool(found.place.within(found.only).all())
    assert found.index.tolist() == [0, 1, 0]
    values = torch.tensor([-0.25, 0.0, -0.25]).double()
    assert bool(Interval(values, values).within(found.value).all())
