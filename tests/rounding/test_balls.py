"""Each rounding rule against 50-digit arithmetic, over all magnitudes a double can have."""

from __future__ import annotations

from collections.abc import Callable

import mpmath as mp
import pytest
import torch
from torch import Tensor

from morsescape.rounding.ball_rules import RULES
from morsescape.rounding.balls import Ball, NoErrorRule
from morsescape.rounding.enclose import Enclosure
from morsescape.rounding.program import NotTraceable, record
from morsescape.rounding.sums import longest_run, product, total

mp.mp.dps = 50
SCALES = [1e-310, 1e-160, 1e-20, 1e-3, 1.0, 30.0]

UNARY: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[mp.mpf], mp.mpf]]] = {
    "exp": (torch.exp, mp.exp),
    "expm1": (torch.expm1, mp.expm1),
    "tanh": (torch.tanh, mp.tanh),
    "sigmoid": (torch.sigmoid, lambda x: 1 / (1 + mp.exp(-x))),
    "erf": (torch.erf, mp.erf),
    "sin": (torch.sin, mp.sin),
    "cos": (torch.cos, mp.cos),
    "atan": (torch.atan, mp.atan),
    "sinh": (torch.sinh, mp.sinh),
    "cosh": (torch.cosh, mp.cosh),
    "pow": (lambda x: x**3, lambda x: x**3),
    "abs": (torch.abs, abs),
    "log": (lambda x: x.abs().log(), lambda x: mp.log(abs(x))),
    "log1p": (lambda x: x.abs().log1p(), lambda x: mp.log1p(abs(x))),
    "sqrt": (lambda x: x.abs().sqrt(), lambda x: mp.sqrt(abs(x))),
    "rsqrt": (lambda x: x.abs().rsqrt(), lambda x: 1 / mp.sqrt(abs(x))),
}
BINARY: dict[str, Callable[..., Tensor]] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / y,
    "maximum": torch.maximum,
}


def numbers(scale: float, n: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    spread = 10 ** (2 * torch.rand(n, generator=generator, dtype=torch.float64) - 2)
    sign = torch.randint(0, 2, (n,), generator=generator) * 2 - 1
    return (spread * sign * scale).to(dtype)


def inside(x: Tensor, rad: Tensor, seed: int) -> list[mp.mpf]:
    """A number somewhere in each ball, at its ends among others."""
    where = torch.randint(-1, 2, x.shape, generator=torch.Generator().manual_seed(seed))
    pairs = zip(x.double().tolist(), rad.tolist(), where.tolist(), strict=True)
    return [mp.mpf(m) + mp.mpf(r) * w for m, r, w in pairs]


def run(function: Callable[..., Tensor], *balls: Ball) -> Ball:
    out = record(function, *(b.mid for b in balls)).run(Enclosure(), *balls)
    assert isinstance(out, Ball)
    return out


def check(out: Ball, truth: list[mp.mpf]) -> None:
    triples = zip(out.mid.double().tolist(), out.radius().tolist(), truth, strict=True)
    for mid, rad, true in triples:
        if rad != float("inf"):
            assert abs(mp.mpf(mid) - true) <= mp.mpf(rad) * (1 + mp.mpf("1e-6")), (mid, rad, true)


@pytest.mark.parametrize("relative", [0.0, 1e-12, 1e-2])
@pytest.mark.parametrize("name", UNARY)
def test_functions_of_one_variable(name: str, relative: float) -> None:
    function, exact = UNARY[name]
    for k, scale in enumerate(SCALES):
        for dtype in (torch.float64, torch.float32):
            x = numbers(scale, 20, k, dtype)
            if not x.all():  # 1e-310 in single precision
                continue
            rad = relative * x.abs().double()
            out = run(function, Ball(x, rad if relative else None))
            check(out, [exact(v) for v in inside(x, rad, k)])
            assert relative or not bool(out.radius().isinf().all())


@pytest.mark.parametrize("relative", [0.0, 1e-12, 1e-2])
@pytest.mark.parametrize("name", BINARY)
def test_functions_of_two_variables(name: str, relative: float) -> None:
    exact = {
        "add": lambda x, y: x + y, "sub": lambda x, y: x - y, "mul": lambda x, y: x * y,
        "div": lambda x, y: x / y, "maximum": max,
    }[name]  # fmt: skip
    for k, scale in enumerate(SCALES):
        for m, other in enumerate(SCALES):
            x, y = numbers(scale, 12, k), numbers(other, 12, 100 + m)
            a, b = relative * x.abs(), relative * y.abs()
            out = run(BINARY[name], Ball(x, a if relative else None), Ball(y, b))
            pairs = zip(inside(x, a, k), inside(y, b, m), strict=True)
            finite = out.mid.isfinite().tolist()
            truth = [exact(*p) if ok else mp.mpf(0) for p, ok in zip(pairs, finite, strict=True)]
            keep = out.mid.isfinite()
            check(Ball(out.mid.where(keep, 0.0), out.radius().where(keep, 0.0)), truth)


@pytest.mark.parametrize("k", [3, 300, 5000])
@pytest.mark.parametrize("relative", [0.0, 1e-9])
def test_products_and_sums(k: int, relative: float) -> None:
    x, y = numbers(1.0, 2 * k, 1).view(2, k), numbers(1.0, k, 2).view(k, 1)
    a, b = relative * x.abs(), relative * y.abs()
    xs, ys = inside(x.view(-1), a.view(-1), 1), inside(y.view(-1), b.view(-1), 2)
    out = run(torch.mm, Ball(x, a if relative else None), Ball(y, b))
    truth = [mp.fdot(xs[:k], ys), mp.fdot(xs[k:], ys)]
    check(Ball(out.mid.view(-1), out.radius().view(-1)), truth)
    out = run(lambda x: x.sum(1), Ball(x, a))
    check(out, [mp.fsum(xs[:k]), mp.fsum(xs[k:])])
    if not relative:  # the rule must not be far too wide either: the blocks are what they say
        scale = float(mp.fsum(map(abs, xs[:k])))
        assert float(out.radius().max()) < 3 * longest_run(k) * 2**-53 * scale


@pytest.mark.parametrize("scale", [1.0, 40.0, 700.0])
def test_logsumexp(scale: float) -> None:
    x = numbers(scale, 30, 3).view(5, 6)
    rad = 1e-6 * x.abs()
    out = run(lambda x: x.logsumexp(1), Ball(x, rad))
    values = inside(x.view(-1), rad.view(-1), 4)
    rows = [values[6 * i : 6 * i + 6] for i in range(5)]
    check(out, [mp.log(mp.fsum(map(mp.exp, row))) for row in rows])
    assert float(out.radius().max()) < 1e-5 * scale


def test_average_pooling() -> None:
    x = numbers(1.0, 16, 3).view(1, 4, 4)
    rad = 1e-10 * x.abs()
    out = run(lambda x: torch.nn.functional.avg_pool2d(x, 2), Ball(x, rad))
    v = inside(x.view(-1), rad.view(-1), 4)
    truth = [(v[i] + v[i + 1] + v[i + 4] + v[i + 5]) / 4 for i in (0, 2, 8, 10)]
    check(Ball(out.mid.view(-1), out.radius().view(-1)), truth)


def test_products_and_sums_compute_what_they_say() -> None:
    for k in (1, 255, 257, 4097, 70001):
        a, b = numbers(1.0, 3 * k, k).view(3, k), numbers(1.0, 2 * k, k + 1).view(k, 2)
        assert torch.allclose(product(a, b), a @ b, rtol=1e-12, atol=1e-12 * k)
        assert torch.allclose(product(a[None].expand(2, 3, k), b[None].expand(2, k, 2))[1], a @ b)
        assert torch.allclose(total(a, [1], True), a.sum(1, keepdim=True), atol=1e-12 * k)
        assert torch.allclose(total(a), a.sum())


def test_zero_stays_exact_and_underflow_does_not_pass_for_zero() -> None:
    tiny = torch.tensor([1e-200, 0.0], dtype=torch.float64)
    out = run(lambda x, y: x * y, Ball(tiny), Ball(tiny))
    assert out.mid.tolist() == [0.0, 0.0]
    assert out.upper[0] > 0
    assert out.upper[1] == 0
    out = run(lambda x, y: x @ y, Ball(tiny[:1, None]), Ball(tiny[None]))
    assert out.upper[0, 0] > 0
    assert out.upper[0, 1] == 0


def test_windows_know_the_smallest_entry_of_the_image() -> None:
    x = numbers(1.0, 60, 3).reshape(2, 30)
    x[0, 3] = 0.0
    for rad in (None, x.abs() * 1e-3):
        image = Ball(x, rad)
        windows = run(lambda x: x.unfold(1, 5, 2).permute(0, 2, 1).reshape(10, -1), image)
        upper = windows.mid.abs() if rad is None else windows.mid.abs() + windows.radius()
        true = float(upper[upper > 0].min())
        assert windows.__dict__["smallest"] == image.smallest  # not looked for among the copies
        assert windows.smallest <= true
        part = run(lambda x: x[:1, :9], image)
        assert part.smallest <= float(part.upper[part.upper > 0].min())


def test_operations_without_a_rule_are_named() -> None:
    with pytest.raises(NoErrorRule, match="special_bessel_j0"):
        run(torch.special.bessel_j0, Ball(torch.ones(2, dtype=torch.float64)))
    assert "special_bessel_j0" not in RULES


def test_reading_a_number_out_of_a_tensor_cannot_be_recorded() -> None:
    with pytest.raises(NotTraceable):
        record(lambda x: x * float(x.sum()), torch.ones(2))
