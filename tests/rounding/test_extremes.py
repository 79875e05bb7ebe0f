"""Every rule of arithmetic, move and write: exact rational numbers, all magnitudes, all types."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
import torch
from torch import Tensor

from morsescape.rounding import ball_rules, ball_writes
from morsescape.rounding.ball_rules import RULES
from morsescape.rounding.balls import Ball, NoErrorRule, Rounded, as_ball
from morsescape.rounding.enclose import Enclosure

aten = torch.ops.aten
SLACK = 1 + Fraction(1, 10**6)  # by which every final radius is enlarged
INF, NAN = math.inf, math.nan
VALUES = [
    0.0, -0.0, 5e-324, -1.5e-320, 2.2250738585072014e-308, -3.1e-308, 1.3e-300, 3e-200, -1e-160,
    1.0, -1.0, 1 / 3, 1 + 2.0**-52, 1e160, -7e200, 1e300, 1.7976931348623157e308, INF, -INF, NAN,
]  # fmt: skip
RADII: list[float | None] = [None, 0.0, 5e-324, 1e-320, 1e-200, 1e-9, 1e300, INF]
Bounds = tuple[float, float | None]


def f64(x: Any) -> Tensor:
    """Not by way of float32."""
    return torch.tensor(x, dtype=torch.float64)


def ball(x: Bounds, dtype: torch.dtype = torch.float64) -> Ball:
    mid, rad = x
    held = None if rad is None else torch.tensor([rad], dtype=torch.float64)
    return Ball(torch.tensor([mid], dtype=dtype), held)


def members(mid: float, rad: float | None) -> list[Fraction]:
    """The middle and the ends of a ball, exactly; none if it is not finite."""
    if not math.isfinite(mid) or not math.isfinite(rad or 0.0):
        return []
    return [Fraction(mid) + k * Fraction(rad or 0) for k in ((-1, 0, 1) if rad else (0,))]


def holds(out: Ball, truth: list[Fraction]) -> None:
    """One entry: every true value is within the radius, if that is finite."""
    mid, rad = float(out.mid.double()), float(out.radius())
    if not math.isfinite(rad):
        return
    assert math.isfinite(mid), "a radius beside what is not finite"
    for true in truth:
        assert abs(Fraction(mid) - true) <= Fraction(rad) * SLACK, (mid, rad, float(true))


BINARY: dict[str, tuple[Callable[..., Any], Callable[[Fraction, Fraction], Fraction]]] = {
    "add": (lambda r, a, b: RULES["add"](r, aten.add.Tensor, a, b), lambda x, y: x + y),
    "sub": (lambda r, a, b: RULES["sub"](r, aten.sub.Tensor, a, b), lambda x, y: x - y),
    "add 0.1": (
        lambda r, a, b: RULES["add"](r, aten.add.Tensor, a, b, alpha=0.1),
        lambda x, y: x + Fraction(0.1) * y,
    ),
    "sub 3e200": (
        lambda r, a, b: RULES["sub"](r, aten.sub.Tensor, a, b, alpha=3e200),
        lambda x, y: x - Fraction(3e200) * y,
    ),
    "mul": (lambda r, a, b: RULES["mul"](r, aten.mul.Tensor, a, b), lambda x, y: x * y),
    "div": (lambda r, a, b: RULES["div"](r, aten.div.Tensor, a, b), lambda x, y: x / y),
    "mm": (
        lambda r, a, b: RULES["mm"](r, aten.mm.default, matrix(a), matrix(b)), lambda x, y: x * y,
    ),
}  # fmt: skip


def matrix(x: Ball) -> Ball:
    return Ball(x.mid[None], None if x.rad is None else x.rad[None])


def exactly_infinite(a: Bounds, b: Bounds, out: Ball) -> bool:
    """Infinities that came in as they are, beside what is finite, stay what they are."""
    loose = [x for x in (a, b) if math.isinf(x[0]) and not x[1]]
    return bool(loose) and float(out.radius()) == 0 and math.isinf(float(out.mid))


@pytest.mark.parametrize("family", [False, True])
@pytest.mark.parametrize("name", BINARY)
def test_two_operands_of_any_magnitude(name: str, family: bool) -> None:
    rule, exact = BINARY[name]
    run = Enclosure()
    run.family = family  # takes magnitudes as majorants: the balls must still hold the truth
    radii: list[float | None] = [None, 5e-324, 1e-200, 1e-9] if not family else [None, 1e-320]
    operands = list(itertools.product(VALUES, radii))
    certain = 0
    for k, (a, b) in enumerate(itertools.product(operands, operands)):
        if k % 7:  # one in seven pairs, so that each operand meets many others
            continue
        out = rule(run, ball(a), ball(b))
        if exactly_infinite(a, b, out) or (name == "div" and math.isinf(b[0])):
            continue
        pairs = itertools.product(members(*a), members(*b))
        singular = name == "div" and 0 in members(*b)
        holds(out, [] if singular else [exact(x, y) for x, y in pairs])
        if singular or not members(*a) or not members(*b):
            assert not math.isfinite(float(out.radius())), (a, b, out)
        certain += math.isfinite(float(out.radius()))
    assert certain > 30  # and it is not by saying nothing


@pytest.mark.parametrize("seed", range(30))
def test_sums_and_products_of_any_magnitude(seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    finite = [v for v in VALUES if math.isfinite(v)]
    for k in (2, 5, 300):
        few = torch.randperm(len(finite), generator=g)[: 2 + seed % 4].tolist()
        pick = torch.randint(0, len(few), (2, k), generator=g).tolist()
        x, y = ([finite[few[i]] for i in row] for row in pick)
        rad = RADII[seed % 5] or 0.0
        row, column = f64([x]), f64(y)[:, None]
        wide = Ball(row, torch.full_like(row, rad) if rad else None)
        for out, terms in (
            (RULES["mm"](Enclosure(), aten.mm.default, wide, Ball(column)), y),
            (RULES["sum"](Enclosure(), aten.sum.dim_IntList, wide, [1], True), [1.0] * k),
            (RULES["scatter_add"](
                Enclosure(), aten.scatter_add.default, torch.zeros(1, 1).double(), 1,
                torch.zeros(1, k).long(), wide), [1.0] * k),
            (RULES["index_put"](
                Enclosure(), aten.index_put.default, torch.zeros(1).double(),
                [torch.zeros(k).long()], Ball(row[0], wide.radius()[0]), True), [1.0] * k),
        ):  # fmt: skip
            middle = sum(Fraction(a) * Fraction(b) for a, b in zip(x, terms, strict=True))
            reach = sum(Fraction(rad) * abs(Fraction(b)) for b in terms)
            flat = Ball(out.mid.reshape(1), out.radius().reshape(1))
            holds(flat, [middle - reach, middle, middle + reach])


def test_a_small_factor_of_a_radius_does_not_vanish_before_a_large_one() -> None:
    left, right = (torch.tensor([[v]], dtype=torch.float64) for v in (1e300, 1.1e-308))
    out = RULES["mm"](Enclosure(), aten.mm.default, Ball(left), Ball(right))
    assert float(out.radius()) > 0
    holds(Ball(out.mid.view(1), out.radius().view(1)), [Fraction(1e300) * Fraction(1.1e-308)])


# -- types --------------------------------------------------------------------------------------

WIDE = [1 + 1e-9, 0.1, 1e-50, 1e39, -3.0]


@pytest.mark.parametrize("name", ["add", "sub", "add 0.1", "mul", "div"])
@pytest.mark.parametrize("kind", ["tensor", "number"])
def test_what_torch_rounds_to_float32_first(name: str, kind: str) -> None:
    rule, exact = BINARY[name]
    for value, other in itertools.product(WIDE, [1.0, 0.3, 1e-30]):
        narrow = torch.tensor([other], dtype=torch.float32)
        single = Fraction(float(narrow))
        wide = Ball(torch.tensor(value, dtype=torch.float64)) if kind == "tensor" else value
        for a, b, true in (
            (wide, Ball(narrow), exact(Fraction(value), single)),
            (Ball(narrow), wide, exact(single, Fraction(value))),
        ):
            out = rule(Enclosure(), a, b)
            assert out.mid.dtype == torch.float32
            holds(out, [true])


WHOLE = {
    torch.int64: [2**53 + 1, -(2**53) - 1, 2**62 + 1, -(2**63), 2**24 + 1, 3],
    torch.int32: [2**24 + 1, -(2**31), 7],
    torch.uint8: [255, 0],
    torch.bool: [True, False],
}
PARTNERS: dict[torch.dtype, float] = {
    torch.float64: 1.0, torch.float32: 1.0, torch.float16: 1.0, torch.bfloat16: 1.0,
}  # fmt: skip


@pytest.mark.parametrize("dtype", PARTNERS)
@pytest.mark.parametrize("whole", WHOLE)
def test_integers_meet_floats(whole: torch.dtype, dtype: torch.dtype) -> None:
    one = torch.ones(1, dtype=dtype)
    for value in WHOLE[whole]:
        x = torch.tensor([value], dtype=whole)
        for number in (x, value):  # a tensor and a Python number
            exact = Fraction(int(value))
            holds(RULES["mul"](Enclosure(), aten.mul.Tensor, Ball(one), number), [exact])
            if whole is not torch.bool:
                holds(RULES["sub"](Enclosure(), aten.sub.Tensor, number, Ball(one)), [exact - 1])
        condition = torch.tensor([True])
        holds(RULES["where"](Enclosure(), aten.where.self, condition, x, Ball(one)), [exact])
        parts = [Ball(one), x]
        out = RULES["cat"](Enclosure(), aten.cat.default, parts)
        holds(out.get(slice(1, 2)), [exact])
        copied = RULES["copy"](Enclosure(), aten.copy.default, Ball(one), x)
        holds(as_ball(copied), [exact])
        for rule in ("maximum", "minimum"):
            out = RULES[rule](Enclosure(), getattr(aten, rule).default, Ball(one), x)
            holds(out, [(max if rule == "maximum" else min)(exact, Fraction(1))])


@pytest.mark.parametrize("value", [0.1, 2**24 + 1, 1e-50, 3, 2**53 + 1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_fills_hold_what_was_meant(value: float, dtype: torch.dtype) -> None:
    x, run = torch.ones(1, dtype=dtype), Enclosure()
    mask = torch.tensor([True])
    for out in (
        RULES["full_like"](run, aten.full_like.default, Ball(x), value),
        RULES["new_full"](run, aten.new_full.default, Ball(x), [1], value),
        RULES["fill"](run, aten.fill.Scalar, Ball(x), value),
        RULES["masked_fill"](run, aten.masked_fill.Scalar, Ball(x), mask, value),
        RULES["scatter"](run, aten.scatter.value, Ball(x), 0, torch.tensor([0]), value),
        RULES["constant_pad_nd"](run, aten.constant_pad_nd.default, Ball(x[:0]), [0, 1], value),
    ):
        holds(as_ball(out), [Fraction(value)])
    wide = Ball(torch.tensor(float(value), dtype=torch.float64), f64(1e-3))
    out = RULES["fill"](run, aten.fill.Tensor, Ball(x), wide)
    holds(out, [Fraction(float(value)) + Fraction(1e-3)])


def test_conversions_between_floating_types() -> None:
    run = Enclosure()
    for source, target in itertools.permutations(PARTNERS, 2):
        for value in (0.1, 1e-30, 1e30, 70000.0, 1.0, 1e-7):
            x = torch.tensor([value], dtype=source)
            out = RULES["_to_copy"](run, aten._to_copy.default, Ball(x), dtype=target)
            if math.isfinite(float(x)):
                holds(out, members(float(x), None))
    infinite = Ball(torch.tensor([INF], dtype=torch.float64))
    out = RULES["_to_copy"](run, aten._to_copy.default, infinite, dtype=torch.float32)
    assert float(out.radius()) == 0


def test_the_radius_of_a_conversion_holds_for_all_that_are_smaller() -> None:
    """The middle may be a majorant of many directions, of which others are rounded."""
    for dtype in (torch.float32, torch.bfloat16):
        one = as_ball(Ball(torch.ones(1, dtype=torch.float64)), dtype)
        assert float(one.radius()) >= torch.finfo(dtype).eps / 2
    zero = as_ball(Ball(torch.zeros(1, dtype=torch.float64)), torch.float32)
    assert float(zero.radius()) == 0


def test_a_number_of_torchs_own_formulas_covers_what_it_was_rounded_from() -> None:
    one = Ball(torch.ones(1, dtype=torch.float64))
    for hi, true in ((2 / 3, Fraction(2, 3)), (1 / 6, Fraction(1, 6)), (-0.9, Fraction(0.1) - 1)):
        for number in (Rounded(hi), abs(Rounded(-hi)) if hi > 0 else -Rounded(-hi)):
            holds(RULES["mul"](Enclosure(), aten.mul.Scalar, one, number), [true, Fraction(hi)])


@pytest.mark.parametrize(
    ("name", "operation", "args"),
    [
        ("_to_copy", aten._to_copy.default, (Ball(torch.ones(1), torch.ones(1).double()),)),
        ("copy", aten.copy.default, (torch.zeros(1).long(), Ball(torch.ones(1), torch.ones(1)))),
        ("fill", aten.fill.Scalar, (torch.zeros(1).long(), 0.5)),
        ("empty_like", aten.empty_like.default, (torch.zeros(1).long(),)),
        ("div", aten.div.Tensor_mode, (Ball(torch.ones(1)), 2.0)),
        ("view", aten.view.dtype, (Ball(torch.ones(1)), torch.int32)),
        ("add", aten.add.Tensor, (Ball(torch.ones(1)), torch.ones(1) * 1j)),
        ("mul", aten.mul.Tensor, (Ball(torch.ones(1)), 1j)),
        ("sum", aten.sum.default, (Ball(torch.ones(1)),)),
    ],
)
def test_steps_and_other_types_are_refused(
    name: str, operation: Any, args: tuple[Any, ...]
) -> None:
    kwargs: dict[str, Any] = {
        "_to_copy": {"dtype": torch.int64}, "div": {"rounding_mode": "floor"},
        "sum": {"dtype": torch.complex64},
    }.get(name, {})  # fmt: skip
    with pytest.raises(NoErrorRule):
        RULES[name](Enclosure(), operation, *args, **kwargs)


def test_a_sum_is_converted_before_it_is_taken() -> None:
    x = torch.tensor([1 + 1e-9, -1.0], dtype=torch.float64)
    out = RULES["sum"](Enclosure(), aten.sum.default, Ball(x), dtype=torch.float32)
    holds(out, [Fraction(1 + 1e-9) - 1])


def test_what_memory_held_is_not_known_until_it_is_written_over() -> None:
    x = Ball(torch.ones(2, dtype=torch.float64))
    out = RULES["empty_like"](Enclosure(), aten.empty_like.default, x)
    assert bool(out.rad.isinf().all())
    written = RULES["copy"](Enclosure(), aten.copy.default, out, x)
    assert float(as_ball(written).radius().max()) == 0
    with pytest.raises(NoErrorRule, match="empty"):
        Enclosure()(aten.empty_like.default, (torch.ones(2).long(),), {})
    with pytest.raises(NoErrorRule, match="rand"):
        Enclosure()(aten.randint_like.default, (torch.ones(2).long(), 5), {})


@pytest.mark.parametrize("name", ["scatter", "index_put", "_unsafe_index_put"])
def test_an_entry_that_is_written_twice_is_refused(name: str) -> None:
    x, y = torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    for index, fine in ((torch.tensor([1, 0]), True), (torch.tensor([0, 0]), False)):
        args = (0, index, Ball(y)) if name == "scatter" else ([index], Ball(y))
        operation = aten.scatter.src if name == "scatter" else getattr(aten, name).default
        if fine:
            assert RULES[name](Enclosure(), operation, x, *args).mid.tolist() == [1.0, 1.0]
            continue
        with pytest.raises(NoErrorRule, match="twice"):
            RULES[name](Enclosure(), operation, x, *args)


# -- moves --------------------------------------------------------------------------------------

INDEX = torch.tensor([[1, 0, 1], [0, 1, 1]])
MOVED: dict[str, tuple[Any, ...]] = {
    "view": ([3, 2],), "_unsafe_view": ([3, 2],), "reshape": ([6],), "permute": ([1, 0],),
    "transpose": (0, 1), "t": (), "expand": ([2, 3],), "slice": (1, 0, 2), "select": (1, 2),
    "squeeze": (), "unsqueeze": (1,), "alias": (), "detach": (), "gather": (0, INDEX),
    "unfold": (1, 2, 1), "flip": ([1],), "diagonal": (), "repeat": ([2, 1],), "tril": (),
    "triu": (), "roll": ([1], [1]), "contiguous": (), "index_select": (0, torch.tensor([1, 1])),
    "movedim": (0, 1), "_reshape_alias": ([3, 2], [2, 1]), "lift_fresh": (), "lift_fresh_copy": (),
    "broadcast_in_dim": ([2, 3], [0, 1]), "clone": (), "split": (2, 1),
    "split_with_sizes": ([1, 2], 1), "unbind": (1,), "index": ([None, torch.tensor([2, 0])],),
    "_unsafe_index": ([None, torch.tensor([2, 0])],), "neg": (), "abs": (),
}  # fmt: skip
OVERLOADS = {"transpose": "int", "select": "int", "slice": "Tensor", "movedim": "int",
             "unbind": "int", "split": "Tensor", "index": "Tensor", "_unsafe_index": "Tensor",
             "transpose_copy": "int", "select_copy": "int", "slice_copy": "Tensor",
             "unbind_copy": "int", "split_copy": "Tensor"}  # fmt: skip
ELSEWHERE = set(BINARY) | {
    "reciprocal", "bmm", "sum", "stack", "cat", "zeros_like", "ones_like", "new_zeros", "new_ones",
    "_new_zeros_with_same_feature_meta", "full_like", "new_full", "fill", "empty_like", "new_empty",
    "new_empty_strided", "_to_copy", "convert_element_type", "constant_pad_nd", "slice_scatter",
    "select_scatter", "copy", "diagonal_scatter", "scatter", "scatter_add", "index_put",
    "_unsafe_index_put",
}  # fmt: skip
OWN = {n for n, r in RULES.items() if r.__module__ in (ball_rules.__name__, ball_writes.__name__)}


def test_every_rule_is_among_the_tables() -> None:
    assert {name.removesuffix("_copy") for name in OWN - ELSEWHERE} <= set(MOVED)


@pytest.mark.parametrize("name", sorted(OWN - ELSEWHERE))
def test_moves_take_the_radius_along(name: str) -> None:
    args = MOVED[name if name in MOVED else name.removesuffix("_copy")]
    namespace = torch.ops.prims if name == "broadcast_in_dim" else aten
    operation = getattr(getattr(namespace, name), OVERLOADS.get(name, "default"))
    x = Ball(torch.arange(6.0).double().view(2, 3), torch.arange(10.0, 16.0).double().view(2, 3))
    out = RULES[name](Enclosure(), operation, x, *args)
    for found in out if isinstance(out, list | tuple) else [out]:
        place = found.mid.abs()
        assert torch.equal(found.radius(), torch.where(place > 0, place + 10, found.radius()))
        outside = name.removesuffix("_copy") in ("tril", "triu")
        assert outside or bool((found.radius() >= 10).all())


def overwritten(name: str, *args: Any, operation: Any) -> None:
    """Radii 1 of x and 2 of y go where 1 and 2 go."""
    part = {"select_scatter": (2,), "diagonal_scatter": (2,), "slice_scatter": (2, 1)}[name]
    x, y = torch.full((2, 3), 1.0).double(), torch.full(part, 2.0).double()
    out = RULES[name](Enclosure(), operation, Ball(x, x), Ball(y, y), *args)
    assert torch.equal(out.mid, out.radius())
    assert int((out.mid == 2).sum()) == 2


def test_writing_over_a_part_writes_over_its_radius() -> None:
    overwritten("slice_scatter", 1, 0, 1, operation=aten.slice_scatter.default)
    overwritten("select_scatter", 1, 2, operation=aten.select_scatter.default)
    overwritten("diagonal_scatter", operation=aten.diagonal_scatter.default)


def test_integers_that_move_stay_integers() -> None:
    whole = torch.tensor([1, 2])
    for name, args in (("split", (1,)), ("cat", ())):
        x: Any = [whole, whole] if name == "cat" else whole
        out = RULES[name](Enclosure(), getattr(getattr(aten, name), OVERLOADS.get(name, "default")),
                          x, *args)  # fmt: skip
        leaves = out if isinstance(out, list | tuple) else [out]
        assert all(isinstance(v, Tensor) and v.dtype == torch.int64 for v in leaves)


@pytest.mark.parametrize("mask", [-INF, INF])
def test_a_mask_of_infinities_is_exact(mask: float) -> None:
    scores = Ball(f64([0.3, 0.4]), f64([1e-16, 1e-16]))
    masked = RULES["add"](Enclosure(), aten.add.Tensor, scores, f64([0.0, mask]))
    assert masked.radius()[1] == 0
    assert 0 < masked.radius()[0] < 1e-15
    shifted = RULES["sub"](Enclosure(), aten.sub.Tensor, masked, scores.get(0))
    assert shifted.mid[1] == mask
    assert shifted.radius()[1] == 0
    unknown = Ball(f64([1.0]), f64([INF]))
    lost = RULES["add"](Enclosure(), aten.add.Tensor, Ball(f64([mask])), unknown)
    assert not lost.radius().isfinite().all()
