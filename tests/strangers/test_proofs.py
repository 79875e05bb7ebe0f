"""Nothing false is proved: by any route, of any function."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import pytest
import torch
from torch import Tensor

import morsescape as ms
from morsescape.critical.krawczyk import krawczyk
from planted_hessian import planted
from strangers.proofs import answers, built, point, proved
from strangers.truth import clear, normal


def no_false_index(f: ms.Objective, theta: Tensor, index: int) -> None:
    """If anything is proved of the Hessian at θ or of a critical point near it, it is `index`."""
    for result in answers(f, theta):
        assert not proved(result) or result.negative == (index, index), result
    for prove in (ms.certify, krawczyk):
        try:
            proof = prove(f, theta)
        except ms.MorsescapeError as error:
            clear(error)
            continue
        assert not proved(proof) or proof.index == (index, index), proof


# -- steps that are taken for the identity --------------------------------------------------------

STEPS: dict[str, Callable[[Tensor], Tensor]] = {
    "long": lambda t: t.long().double(),
    "int, detached": lambda t: t.detach().int().double(),
    "int32": lambda t: t.to(torch.int32).double(),
    "uint8": lambda t: t.to(torch.uint8).to(torch.float64),
    "bool": lambda t: (t * 0 + (t > 0.5)).double(),
    "floor": torch.floor,
    "round": lambda t: torch.round(t / 2) * 2,
    "round to decimals": lambda t: torch.round(t * 0.1, decimals=0),
    "trunc": torch.trunc,
    "floor division": lambda t: torch.div(t, 1.0, rounding_mode="floor"),
    "trunc division": lambda t: torch.div(t, 1.0, rounding_mode="trunc"),
    "floor division by operator": lambda t: t // 1,
    "remainder": lambda t: t - torch.remainder(t, 1),
    "fmod": lambda t: t - torch.fmod(t, 1),
    "frac": lambda t: t - torch.frac(t),
    "copied into integers": lambda t: torch.zeros(1, dtype=torch.long).copy_(t.detach()).double(),
    "written into integers": lambda t: torch.zeros(1, dtype=torch.long).index_put(
        (torch.tensor([0]),), t.detach().long()
    ).double(),
    "a number": lambda t: torch.tensor([float(int(t.detach()))], dtype=torch.float64),
    "heaviside": lambda t: torch.heaviside(t - 1, torch.zeros(1, dtype=t.dtype)),
    "type as": lambda t: t.type_as(torch.zeros(1, dtype=torch.int64)).double(),
    "compared": lambda t: (t >= 1).to(t.dtype),
    "floor of a sum": lambda t: (t + 0.25).floor(),
}  # fmt: skip


@pytest.mark.parametrize("name", STEPS)
def test_a_step_is_not_the_identity(name: str) -> None:
    """On [0, 1/2) the step is zero and f = (t - 1)²/2; were it the identity, 1/4 were critical."""
    step, theta = STEPS[name], point(0.25)
    assert float(step(theta)) == 0

    def fn(t: Tensor) -> Tensor:
        return ((t - 1 + 3 * step(t)) ** 2 / 2).sum()

    for prove in (krawczyk, ms.certify):
        try:
            proof = prove(ms.Objective.from_function(fn, 1), theta)
        except ms.MorsescapeError as error:
            clear(error, name, "detach", "number", "item", "Function", "integer", "int", "floor",
                  "rule", "round", "trunc", "long", "gradient", "derivative", "differ")  # fmt: skip
        else:
            assert not proved(proof), proof
    f = built(fn, 1)
    for result in [] if f is None else answers(f, theta):
        assert not proved(result) or result.positive == (1, 1)


# -- two precisions -------------------------------------------------------------------------------

TINY = 2e-9  # below half of the spacing of float32 numbers above one
MIXED: dict[str, Callable[[Tensor], Tensor]] = {  # each is TINY in real arithmetic, or 0 if rounded
    "sub": lambda t: t[0] - torch.ones(1),
    "rsub": lambda t: -(torch.ones(1) - t[0]),
    "add": lambda t: t[0] + torch.full((1,), -1.0),
    "mul": lambda t: (t[0] * torch.ones(1)).double() - 1,
    "div": lambda t: (t[0] / torch.ones(1)).double() - 1,
    "times and minus": lambda t: t[0] * torch.ones(1) - torch.ones(1),
    "addcmul": lambda t: torch.addcmul(torch.full((1,), -1.0), torch.ones(1), t[0].float()),
    "where": lambda t: torch.where(torch.tensor([True]), t[0].float(), torch.ones(1)) - 1,
    "to float32": lambda t: t[:1].float() - 1,
    "a sum in float32": lambda t: t[:1].sum(dtype=torch.float32)[None] - 1,
    "a full tensor": lambda t: torch.ones(1).mul(t[0]) - 1,
    "a product of three": lambda t: t[0] * torch.ones(1) * torch.ones(()) - 1,
}


@pytest.mark.parametrize("name", MIXED)
def test_two_roundings_of_mixed_precision(name: str) -> None:
    """f = d³/6 - ε t²: its second derivative d - 2ε is positive only for the real d."""
    small = MIXED[name]

    def fn(t: Tensor) -> Tensor:
        return (small(t).double() ** 3).sum() / 6 - TINY / 4 * t[0] ** 2

    theta = point(1 + TINY)
    true = Fraction(float(theta)) - 1 - 2 * Fraction(TINY / 4)
    assert true > 0
    f = built(fn, 1)
    if f is None:
        return
    for result in answers(f, theta):
        assert not (proved(result) and result.negative == (1, 1)), result
    try:
        assert ms.certify(f, theta).index != (1, 1)
    except ms.MorsescapeError as error:
        clear(error)


BIG = 2**53 + 1
INTEGERS: dict[str, Callable[[Tensor], Tensor]] = {  # each is its argument in real arithmetic
    "a number": lambda q: q * BIG - q * 2**53,
    "a tensor": lambda q: q * torch.tensor(BIG) - q * torch.tensor(2**53),
    "a tensor with a dimension": lambda q: (
        q * torch.tensor([BIG]) - q * torch.tensor([2**53])
    ).sum(),
    "alpha": lambda q: torch.sub(q * 0, q * 2**53, alpha=1) + torch.mul(q, BIG),
    "a sum of integers": lambda q: q * (torch.tensor(2**53) + torch.tensor(1)) - q * 2**53,
    "a matrix": lambda q: (torch.stack([q, -q]) * torch.tensor([BIG, 2**53])).sum(),
    "more digits": lambda q: q * (2**60 + 1) - q * 2**60,
    "negative": lambda q: q * -(2**53) - q * -BIG,
    "full": lambda q: (q * torch.full((1,), BIG) - q * torch.full((1,), 2**53)).sum(),
}


@pytest.mark.parametrize("name", INTEGERS)
def test_integers_that_float64_does_not_hold(name: str) -> None:
    """The Hessian is ((1, 1.3), (1.3, 1)) with a saddle; with the integers rounded it is not."""
    whole = INTEGERS[name]

    def fn(t: Tensor) -> Tensor:
        return whole(t[0] * t[1]) + 0.3 * t[0] * t[1] + t.square().sum() / 2

    f = built(fn, 2)
    if f is None:
        return
    for result in answers(f, point(0.0, 0.0)):
        assert not (proved(result) and result.negative == (0, 0)), result
    try:
        proof = ms.certify(f, point(0.0, 0.0))
        assert not (proved(proof) and proof.index == (0, 0)), proof
    except ms.MorsescapeError as error:
        clear(error)


# -- a Hessian that is handed over ----------------------------------------------------------------


def double_well() -> ms.Objective:
    return ms.Objective.from_function(lambda t: t[0] ** 4 / 4 - t[0] ** 2 / 2 + t[1] ** 2, 2)


@pytest.mark.parametrize("how", ["another point", "another function", "negated", "one entry"])
def test_a_hessian_of_something_else_is_found(how: str) -> None:
    f, theta = double_well(), point(1.0, 0.0)
    hessian = f.enclosed_hessian(theta)
    if how == "another point":
        hessian = f.enclosed_hessian(point(0.0, 0.0))
    elif how == "another function":
        other = ms.Objective.from_function(lambda t: -t.square().sum(), 2)
        hessian = other.enclosed_hessian(theta)
    elif how == "negated":
        hessian.matrix.neg_()
    else:
        hessian.matrix[0, 0] = -1.0
    for analysis in (ms.certify, ms.inertia):
        try:
            answer = analysis(planted(f, theta, hessian))
        except ms.MorsescapeError as error:
            clear(error, "hessian")
        else:
            assert not proved(answer), answer


def test_the_right_hessian_is_believed() -> None:
    f, theta = double_well(), point(1.0, 0.0)
    proof = ms.certify(f.hessian_at(theta))
    assert proved(proof)
    assert proof.index == (0, 0)


# -- writing twice to one place -------------------------------------------------------------------

ZEROS, TWICE = torch.zeros(2, dtype=torch.float64), torch.tensor([1, 1])


def index_copy(t: Tensor) -> Tensor:
    return ZEROS.index_copy(0, TWICE, t)


def in_place(t: Tensor) -> Tensor:
    z = torch.zeros_like(t)
    z[TWICE] = t
    return z


WRITES: dict[str, Callable[[Tensor], Tensor]] = {
    "scatter": lambda t: torch.scatter(ZEROS, 0, TWICE, t),
    "index_put": lambda t: ZEROS.index_put((TWICE,), t),
    "index_copy": index_copy,
    "in place": in_place,
    "put": lambda t: ZEROS.put(TWICE, t),
    "scatter of three": lambda t: torch.scatter(
        torch.zeros(3, dtype=t.dtype), 0, torch.tensor([0, 0, 0]), torch.cat([t, t[1:] * 1.0])
    ),
}


@pytest.mark.parametrize("name", WRITES)
def test_the_last_write_wins(name: str) -> None:
    """f = t₁² + t₀²/10: positive definite, whatever autograd says."""
    f = built(lambda t: WRITES[name](t).square().sum() + t[0] ** 2 / 10, 2)
    if f is not None:
        no_false_index(f, point(0.0, 0.0), 0)


ADDS: dict[str, Callable[[Tensor], Tensor]] = {
    "scatter_add": lambda t: torch.scatter_add(ZEROS, 0, TWICE, t),
    "index_add": lambda t: ZEROS.index_add(0, TWICE, t),
    "accumulated": lambda t: ZEROS.index_put((TWICE,), t, accumulate=True),
}


@pytest.mark.parametrize("name", ADDS)
def test_sums_into_one_place_are_sums(name: str) -> None:
    """f = (t₀ + t₁)² - t₀²/10: one positive, one negative."""
    f = ms.Objective.from_function(lambda t: ADDS[name](t).square().sum() - t[0] ** 2 / 10, 2)
    for result in answers(f, point(0.0, 0.0)):
        assert result.negative[0] <= 1 <= result.negative[1]
        assert not proved(result) or result.negative == (1, 1)


# -- estimates are called estimates ---------------------------------------------------------------

UNRULED: dict[str, Callable[[Tensor], Tensor]] = {
    "atan2": lambda t: torch.atan2(t[0], t[1] + 3) ** 2 + t[0] ** 2 - t[1] ** 2 / 2 + t[1] ** 4,
    "lgamma": lambda t: torch.lgamma(t[0].square() + 2) + t[0] ** 2 - t[1] ** 2 / 2 + t[1] ** 4,
    "Bessel": lambda t: torch.special.i0(t[0]) - t[1] ** 2 / 2 + t[1] ** 4,
    "logdet": lambda t: t[0] ** 2 - t[1] ** 2 / 2 + t[1] ** 4 + torch.logdet(
        torch.eye(2, dtype=t.dtype) + torch.outer(t, t)
    ) / 100,
}  # fmt: skip


@pytest.mark.parametrize("name", UNRULED)
def test_nothing_estimated_is_called_certified(name: str) -> None:
    f = ms.Objective.from_function(UNRULED[name], 2)
    way = ms.escape(f, point(0.2, 0.0))
    found = ms.find_critical_point(f, point(0.2, 0.3), max_steps=60)
    for answer in (way, found):
        result = answer.inertia
        if result is not None and result.status is ms.InertiaStatus.ESTIMATE:
            text = str(answer).lower()
            assert "certified" not in text
            assert "proved" not in text.replace("not proved", "")


# -- what is added last ---------------------------------------------------------------------------


@pytest.mark.parametrize("l2", [0.1, 1e-3, 7.7e10, 3.3e-12, 1 / 3])
@pytest.mark.parametrize("scale", [1.0, 0.3, 1e-8, 2.7e9])
def test_the_ridge_is_within_the_radius(l2: float, scale: float) -> None:
    """Hess f = diag(2c, -2c/3 …) + 2λ, exactly: each eigenvalue is within the radius of it."""
    third = scale / 3

    def fn(t: Tensor) -> Tensor:
        return scale * t[0] ** 2 - third * t[1] ** 2

    f = ms.Objective.from_function(fn, 2, l2=l2)
    result = ms.inertia(f, point(0.3, 0.7), method="eigh")
    exact = sorted(2 * Fraction(l2) + 2 * Fraction(c) for c in (scale, -third))
    assert result.eigenvalues is not None
    for computed, true in zip(sorted(result.eigenvalues), exact, strict=True):
        assert abs(Fraction(computed) - true) <= Fraction(result.radius)
    below = sum(true < 0 for true in exact)
    assert result.negative[0] <= below <= result.negative[1]


@pytest.mark.parametrize("l2", [0.1, 1 / 3, 1e-3])
@pytest.mark.parametrize("seed", range(3))
def test_the_critical_point_is_within_its_distance(l2: float, seed: int) -> None:
    """f = c t² - b t + λ t² has its minimum at b / (2c + 2λ), which no float64 holds."""
    c, b = (abs(float(x)) + 0.1 for x in normal(2, seed=seed).double())
    f = ms.Objective.from_function(lambda t: (c * t * t - b * t).sum(), 1, l2=l2)
    true = Fraction(b) / (2 * Fraction(c) + 2 * Fraction(l2))
    for theta in (point(float(true)), point(float(true) * (1 + 1e-13))):
        proof = ms.certify(f, theta)
        assert proof.holds
        assert abs(Fraction(float(theta)) - true) <= Fraction(proof.distance)
    found = ms.find_critical_point(f, point(0.0))
    distance = found.certificate.distance  # type: ignore[union-attr]
    assert abs(Fraction(float(found.theta)) - true) <= Fraction(distance)
