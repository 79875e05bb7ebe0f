"""Interval proofs: no step passes for the identity, and torch's derivatives are asked twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from morsescape.critical import ProofStatus, krawczyk
from morsescape.objective import Objective
from morsescape.rounding.balls import Ball, NoErrorRule, Rounded
from morsescape.rounding.constants import _SQRT_HALF, constant_ball
from morsescape.rounding.operations import ARB, Kind, operation

flint = pytest.importorskip("flint")
from morsescape.rounding.arb import ArbMachine, balls  # noqa: E402

aten, prims = torch.ops.aten, torch.ops.prims


@pytest.fixture(autouse=True)
def _precision() -> Iterator[None]:
    before, flint.ctx.prec = flint.ctx.prec, 256
    yield
    flint.ctx.prec = before


def f64(*x: float) -> Tensor:
    return torch.tensor(x, dtype=torch.float64)


def proof_of(fn: Callable[[Tensor], Tensor], *at: float, l2: float = 0.0) -> Any:
    return krawczyk(Objective.from_function(fn, len(at), l2=l2), f64(*at))


class Doubled(torch.autograd.Function):
    """The identity, whose derivative is said to be 2."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return 2 * grad

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> Tensor:
        return 2 * tangent


STEPS: dict[str, Callable[[Tensor], Tensor]] = {
    "long": lambda t: t.long().double(),
    "int": lambda t: t.detach().int(),
    "bool": lambda t: t.bool().double(),
    "floor": lambda t: torch.div(t, 1.0, rounding_mode="floor"),
    "trunc": lambda t: torch.div(t, 1.0, rounding_mode="trunc"),
    "floor_divide": lambda t: torch.floor_divide(t, 1.0),
    "round": torch.round,
    "ceil": torch.ceil,
    "sign": torch.sign,
    "remainder": lambda t: t - torch.remainder(t, 1.0),
    "copy_": lambda t: torch.zeros(1, dtype=torch.long).copy_(t.detach()),
    "float": lambda t: t.float().double(),
    "bfloat16": lambda t: t.bfloat16().double(),
    "comparison": lambda t: (t > 0.5).double(),
    "where": lambda t: torch.where(t > 0.5, t, 0.0),
    "single": lambda t: (t[0] - torch.ones(1)).double() + 1,
    "view of bits": lambda t: t.detach().view(torch.int64).double(),
    "sum as int": lambda t: t.detach().sum(dtype=torch.int64).double(),
}


@pytest.mark.usefixtures("unprobed")
@pytest.mark.parametrize("name", STEPS)
def test_a_step_is_not_carried_out_as_the_identity(name: str) -> None:
    step = STEPS[name]
    proof = proof_of(lambda t: ((t - 2 + 4 * step(t)) ** 2 / 2).sum(), 0.4)
    assert proof.status is not ProofStatus.PROVED
    assert proof.reason


def test_a_step_that_the_gradient_does_not_know_is_found_in_the_value() -> None:
    proof = proof_of(lambda t: (t**2 / 2 + torch.floor(t)).sum(), 1e-7)  # it jumps at 0
    assert proof.status is ProofStatus.NO_RULE
    assert "floor" in proof.reason


NOT_F: dict[str, Callable[[Tensor], Tensor]] = {
    "a factor that is detached": lambda t: (t * t.detach() / 2 + t**2).sum(),
    "a term that is detached": lambda t: (t**2 / 2 - t + t.detach() * t).sum(),
    "a wrong custom function": lambda t: (Doubled.apply(t) ** 2 / 2).sum(),
    "a wrong custom slope": lambda t: (t**2 / 2 - t + Doubled.apply(t)).sum(),
}


@pytest.mark.usefixtures("unprobed")
@pytest.mark.parametrize("name", NOT_F)
def test_what_torch_differentiates_must_be_f(name: str) -> None:
    for at in (0.0, 0.5, -1.0):
        proof = proof_of(NOT_F[name], at)
        assert proof.status is not ProofStatus.PROVED, at


@pytest.mark.usefixtures("unprobed")
def test_the_reason_is_told() -> None:
    assert "second differences" in str(proof_of(NOT_F["a factor that is detached"], 0.0))
    assert "gradient" in str(proof_of(NOT_F["a term that is detached"], 0.5))


@pytest.mark.parametrize(
    ("fn", "at"),
    [
        (lambda t: torch.sin(1e6 * t).sum(), 1.5707963267948966e-6),
        (lambda t: (t**2).sum() + 1e10, 1e-3),
        (lambda t: 1e-20 * (t**2).sum(), 1e-3),
        (lambda t: 1e20 * (t - 3).square().sum(), 3 + 1e-9),
        (lambda t: (t**0.3 - 0.3 * t).sum(), 1.0),
        (lambda t: torch.nn.functional.gelu(t).sum(), -0.7517915246935645),
        (lambda t: (torch.log2(t) - 3 * t).sum(), 0.4808983469629878),
    ],
)
def test_honest_functions_of_any_scale_pass_the_second_opinion(fn: Any, at: float) -> None:
    assert proof_of(fn, at).status is ProofStatus.PROVED


def test_the_distance_is_to_the_true_point_where_torch_rounds_its_constants() -> None:
    import mpmath as mp

    mp.mp.dps = 60
    proof = proof_of(lambda t: (torch.erf(t) - t).sum(), 0.34778)
    true = mp.sqrt(mp.log(2 / mp.sqrt(mp.pi)))  # 2/sqrt(pi) exp(-t^2) = 1
    assert abs(true - mp.mpf(0.34778)) <= proof.distance
    near = float(true)
    proof = proof_of(lambda t: (torch.erf(t) - t).sum(), near)
    assert proof.status is ProofStatus.PROVED
    assert abs(true - mp.mpf(near)) <= proof.distance
    power = proof_of(lambda t: (t**0.1 - t).sum(), near := 0.07742636826811271)
    assert power.status is ProofStatus.PROVED
    assert abs(mp.mpf(0.1) ** (1 / (1 - mp.mpf(0.1))) - mp.mpf(near)) <= power.distance


def test_places_and_values_are_told_apart() -> None:
    assert proof_of(
        lambda t: ((torch.cat([t, torch.tensor([1, 2])]) - 1.5) ** 2).sum(), 1.5, 1.5
    ).index == 0  # fmt: skip
    out = ArbMachine()(aten.constant_pad_nd.default, (balls(f64(5.0)), [1, 1], 2), {})
    assert [float(x.mid()) for x in out] == [2.0, 5.0, 2.0]
    out = ArbMachine()(aten.cat.default, ([balls(f64(5.0)), torch.tensor([2**53 + 1, 0])],), {})
    assert out[1] == 2**53 + 1


def test_numbers_are_what_they_are() -> None:
    out = ArbMachine()(aten.mul.Tensor, (balls(f64(1.0)), 2**53 + 1), {})
    assert out[0] == 2**53 + 1
    out = ArbMachine()(aten.add.Tensor, (balls(f64(1.0)), f64(1.0)), {"alpha": 2**53 + 1})
    assert out[0] == 2**53 + 2
    wide = ArbMachine()(aten.mul.Scalar, (balls(f64(1.0)), Rounded(2 / 3)), {})[0]
    assert wide.contains(flint.arb(2) / 3)
    assert float(wide.rad()) < 1e-15
    root = balls(constant_ball(_SQRT_HALF))[()]
    assert root.contains((flint.arb(1) / 2).sqrt())
    assert float(root.rad()) < 1e-30


# -- every entry of the tables ------------------------------------------------------------------

X, Y, P = f64(0.3, -0.7, 1.2), f64(-1.1, 0.4, 2.5), f64(0.3, 0.7, 0.2)
M, N = X.view(1, 3), Y.view(3, 1)
MASK, PLACE = torch.tensor([True, False, True]), torch.tensor([2, 0])
EXAMPLES: dict[str, tuple[Any, ...]] = {
    "add.Tensor": (X, Y), "add.Scalar": (X, 0.1), "sub.Tensor": (X, Y), "sub.Scalar": (X, 3),
    "mul.Tensor": (X, Y), "mul.Scalar": (X, 0.3), "div.Tensor": (X, Y), "div.Scalar": (X, 0.3),
    "div.default": (X, 7.0), "pow.Tensor_Scalar": (P, 2.5), "pow.Tensor_Tensor": (P, Y),
    "pow.Scalar": (2.0, Y), "where.self": (MASK, X, Y), "where.ScalarOther": (MASK, X, 0.5),
    "where.ScalarSelf": (MASK, 0.5, X), "mm.default": (M, N),
    "bmm.default": (M[None], N[None]), "sum.default": (M,), "sum.dim_IntList": (M, [1], True),
    "logsumexp.default": (M, [1]), "zeros_like.default": (X,), "ones_like.default": (X,),
    "new_zeros.default": (X, [2]), "new_ones.default": (X, [2, 1]),
    "_new_zeros_with_same_feature_meta.default": (X, M), "full_like.default": (X, 0.1),
    "new_full.default": (X, [2], 0.1), "fill.Scalar": (X, 0.3), "fill.Tensor": (X, Y[0]),
    "broadcast_in_dim.default": (X, [2, 3], [1]), "copy.default": (X, Y[0]),
    "_to_copy.default": (X,), "convert_element_type.default": (X, torch.float64),
    "constant_pad_nd.default": (X, [1, 2], 0.5),
    "permute.default": (M, [1, 0]), "transpose.int": (M, 0, 1), "expand.default": (M, [2, 3]),
    "slice.Tensor": (X, 0, 1), "select.int": (X, 0, 1), "squeeze.dim": (M, 0),
    "squeeze.dims": (M, [0]), "unsqueeze.default": (X, 0), "gather.default": (X, 0, PLACE),
    "flip.default": (X, [0]), "diagonal.default": (M,), "repeat.default": (X, [2]),
    "index_select.default": (X, 0, PLACE), "movedim.int": (M, 0, 1),
    "movedim.intlist": (M, [0], [1]), "unfold.default": (X, 0, 2, 1), "roll.default": (X, [1]),
    "index.Tensor": (X, [PLACE]), "_unsafe_index.Tensor": (X, [PLACE]),
    "_reshape_alias.default": (X, [3, 1], [1, 1]), "split.Tensor": (X, 2),
    "split_with_sizes.default": (X, [1, 2]), "unbind.int": (X,), "cat.default": ([X, Y],),
    "stack.default": ([X, Y],), "slice_scatter.default": (X, Y[:1], 0, 1, 2),
    "select_scatter.default": (X, Y[0], 0, 1), "diagonal_scatter.default": (M, Y[:1]),
    **{name: (M, [3]) for name in ("view.default", "_unsafe_view.default", "reshape.default")},
}  # fmt: skip


def example(name: str) -> tuple[Any, ...]:
    plain = name.replace("_copy.", ".")
    if name in EXAMPLES or plain in EXAMPLES:
        return EXAMPLES.get(name) or EXAMPLES[plain]
    return (M,) if operation(name.split(".")[0]).kind in (Kind.MOVES, Kind.CHOOSES) else (P,)


UNLIKE = {"acosh.default": (1 + P,)}  # where P is not in its domain
SHOWN = {x.split(".")[0] for x in EXAMPLES}
COPIES = {f"{x.split('.')[0]}_copy.{x.split('.')[1]}" for x in EXAMPLES}
PRIMS = ("div.default", "convert_element_type.default", "broadcast_in_dim.default")


def torchs(name: str) -> Any:
    """The operation of torch's, if there is one of this name."""
    packet, overload = name.split(".")
    found = getattr(prims if name in PRIMS else aten, packet, None)
    return getattr(found, overload) if overload in getattr(found, "overloads", list)() else None


OTHERS = {f"{name}.default" for name in ARB if name.removesuffix("_copy") not in SHOWN}
NAMED = sorted({*EXAMPLES, *OTHERS, *(x for x in COPIES if x.split(".")[0] in ARB)})


def test_every_rule_has_an_example() -> None:
    assert {x.split(".")[0] for x in NAMED} == set(ARB)


@pytest.mark.parametrize("name", NAMED)
def test_every_operation_of_the_tables_is_torchs(name: str) -> None:
    target, args = torchs(name), UNLIKE.get(name) or example(name)
    true = target(*args)

    def lifted(part: Any) -> Any:
        if isinstance(part, list):
            return [lifted(p) for p in part]
        return balls(part) if isinstance(part, Tensor) and part.is_floating_point() else part

    for made in (lifted, lambda part: part):  # arrays, and constants of the function
        found = ArbMachine()(target, tuple(map(made, args)), {})
        pairs = zip(found, true, strict=True) if isinstance(true, list | tuple) else [(found, true)]
        for out, expected in pairs:
            values = np.vectorize(lambda a: float(a.mid()))(balls(out))
            assert values.shape == tuple(expected.shape)
            assert np.allclose(values, expected.numpy(), rtol=1e-13, atol=1e-13)


X32 = torch.ones(3, dtype=torch.float32)
REFUSED: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = [
    (aten._to_copy.default, (balls(X),), {"dtype": torch.float32}),
    (aten._to_copy.default, (balls(X),), {"dtype": torch.int64}),
    (aten._to_copy.default, (balls(X),), {"dtype": torch.bool}),
    (aten.copy.default, (torch.zeros(3).long(), balls(X)), {}),
    (aten.copy.default, (Ball(X32), balls(X)), {}),
    (aten.fill.Tensor, (torch.zeros(3).long(), balls(X[0])), {}),
    (aten.sum.default, (balls(X),), {"dtype": torch.float32}),
    (aten.mul.Tensor, (balls(X[0]), Ball(X32)), {}),
    (aten.add.Tensor, (balls(X), 1j), {}),
    (aten.mul.Tensor, (balls(X), torch.ones(3) * 1j), {}),
    (aten.view.dtype, (balls(X), torch.int64), {}),
    (aten.where.self, (balls(X), balls(X), balls(X)), {}),
    (aten.slice_scatter.default, (torch.zeros(3).long(), balls(X[:1]), 0, 0, 1), {}),
    (aten.index.Tensor, (balls(X), [balls(X)]), {}),
    (aten.pow.Tensor_Scalar, (balls(X), 1e-17), {}),
    (aten.full_like.default, (balls(X), 0.1), {"dtype": torch.float32}),
    (aten.empty_like.default, (balls(X),), {}),
    (aten.randint_like.default, (torch.zeros(3).long(), 5), {}),
    (aten.div.Tensor, (torch.ones(3).long(), 3), {}),
    (aten._to_copy.default, (torch.tensor([2**53 + 1]),), {"dtype": torch.float64}),
    (aten.scatter.src, (balls(X), 0, PLACE, balls(Y)), {}),
]
if "dtype" in aten.mm.overloads():  # not in every version of torch
    REFUSED.append((aten.mm.dtype, (balls(M), balls(N), torch.float64), {}))


@pytest.mark.parametrize("k", range(len(REFUSED)))
def test_other_arguments_are_refused(k: int) -> None:
    target, args, kwargs = REFUSED[k]
    with pytest.raises(NoErrorRule):
        ArbMachine()(target, args, kwargs)
