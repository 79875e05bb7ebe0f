"""What a program holds is what the function computed, whatever it did to its tensors."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import grad, jacfwd

from function_hessian import function_hessian
from morsescape.rounding.balls import NoErrorRule
from morsescape.rounding.enclose import Enclosure, Values
from morsescape.rounding.program import NotTraceable, OtherBranch, record


def at(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


POINT, OTHER = at(0.3, -1.2, 2.0, 0.7), at(-0.4, 0.9, 1.1, -2.0)


def through_a_view(v: Tensor) -> Tensor:
    z = v.clone()
    early = z[2:]
    z[1:3].mul_(v[:2])
    return torch.cat([z, early, z.view(2, 2).t().reshape(-1)])


def into_a_buffer(v: Tensor) -> Tensor:
    buffer = torch.zeros(3, 4, dtype=torch.float64)
    column = buffer[:, 1]
    before = buffer * 2
    buffer[0] = v**2
    buffer[1:, ::2].add_(v[:2])
    buffer[2].fill_(0.5)
    return torch.cat([buffer.reshape(-1), column * v[0], before.reshape(-1)])


def constant_that_is_written_later(v: Tensor) -> Tensor:
    one = torch.ones(4, dtype=torch.float64) * 0.3
    first = v * one
    one += 2.0
    return first * one


def turned_in_place(v: Tensor) -> Tensor:
    z = (v * v).view(2, 2)
    z.t_()
    z.as_strided_((2, 2), (1, 2))
    z.t_()
    return z.reshape(-1) * z.unsqueeze_(0).reshape(-1)


def other_types(v: Tensor) -> Tensor:
    z = torch.zeros(4, dtype=torch.float64)
    z += v.float() * 2
    out = torch.empty(4, dtype=torch.float64)
    torch.mul(v, 3.0, out=out)
    return z.double() + out


WRITES = [through_a_view, into_a_buffer, constant_that_is_written_later, turned_in_place,
          other_types]  # fmt: skip


@pytest.mark.parametrize("function", WRITES)
def test_writes_in_place(function) -> None:  # type: ignore[no-untyped-def]
    program = record(function, POINT)
    for point in (POINT, OTHER):
        assert torch.equal(program.run(Values(), point), function(point))
        assert torch.allclose(program.run(Enclosure(), point).mid, function(point), rtol=1e-15)


@pytest.mark.parametrize("function", [through_a_view, into_a_buffer, turned_in_place])
def test_writes_in_place_under_differentiation(function) -> None:  # type: ignore[no-untyped-def]
    def scalar(v: Tensor) -> Tensor:
        return function(v).sin().sum()

    h = function_hessian(scalar, POINT)
    truth = torch.autograd.functional.hessian(scalar, POINT)
    assert h.estimate is None
    assert float((h.matrix - truth).abs().max()) <= h.radius + 1e-14


def test_constants_of_torchs_own_formulas_are_kept() -> None:
    def fraction(v: Tensor) -> Tensor:  # its gradient divides a constant in place
        return (torch.addcdiv(v, v, v**2 + 1, value=0.3) ** 2).sum()

    program = record(jacfwd(grad(fraction)), POINT)
    assert torch.allclose(program.run(Values(), OTHER), jacfwd(grad(fraction))(OTHER), rtol=1e-13)


def test_the_callers_tensors_are_never_written() -> None:
    point, constant = POINT.clone(), at(1.0, 2.0, 3.0, 4.0)
    record(lambda v: v.mul_(2.0).sum(), point)
    assert torch.equal(point, POINT)
    with pytest.raises(NotTraceable, match="add_ writes into a tensor from outside"):
        record(lambda v: constant.add_(v).sum(), point)
    assert constant.tolist() == [1, 2, 3, 4]


def test_a_branch_holds_where_it_was_taken() -> None:
    def branching(v: Tensor) -> Tensor:
        if (v > 0.5).any():
            return (v**2).sum()
        return (v**3).sum()

    program = record(branching, POINT)
    assert float(program.run(Values(), POINT)) == float((POINT**2).sum())
    with pytest.raises(OtherBranch):
        program.run(Values(), -POINT.abs())
    h = function_hessian(branching, POINT)
    assert h.estimate is None
    assert h.kinks == 0
    assert function_hessian(branching, at(0.5, 0.1)).kinks > 0


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda v: v * float(v.sum()), "reads a number"),
        (lambda v: v[v > 0], "takes a shape"),
        (lambda v: v * torch.rand(4).double(), "draws random numbers"),
        (lambda v: F.dropout(v, 0.5), "draws random numbers"),
        (lambda v: v * v.clone().normal_(), "draws random numbers"),
    ],
)
def test_what_no_program_holds(function, why) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(NotTraceable, match=why):
        record(function, POINT)


def test_torch_is_left_as_it_was() -> None:
    def keys() -> str:
        included = torch._C._dispatch_tls_local_include_set()
        return f"{included} {torch._C._dispatch_tls_local_exclude_set()}"

    class Broken(Exception):
        pass

    def broken(v: Tensor) -> Tensor:
        autograd = torch._C.DispatchKeySet(torch._C.DispatchKey.AutogradCPU)
        with torch._C._ExcludeDispatchKeyGuard(autograd):
            guard = torch._C._DisableFuncTorch()  # as torch's printing has one, which outlives this
            raise Broken(str(guard))

    before = keys()
    for function in (broken, lambda v: v.quantile(0.3), lambda v: v.norm(3)):
        with contextlib.suppress(Broken):
            function_hessian(function, POINT)
        assert keys() == before
        assert torch._C._functorch.get_dynamic_layer_stack_depth() == 0
        square = torch.autograd.functional.hessian(lambda v: v.square().sum(), torch.ones(3))
        assert square.diagonal().tolist() == [2.0] * 3


def test_steps_know_what_moves() -> None:
    program = record(lambda v, x: (v * x.sin()).sum(), POINT, OTHER)
    moves = {s.target.overloadpacket.__name__: s.moves for s in program.steps}
    assert moves == {"sin": False, "mul": True, "sum": True}
    assert program.operations == ("mul", "sin", "sum")


def test_complex_numbers_do_not_pass_for_integers() -> None:
    for function in (
        lambda v: torch.fft.fft(v).abs().sum(),
        lambda v: (v * torch.tensor([1j, 2j, 1, 1])).abs().sum(),
        lambda v: torch.polar(v, v).real.sum(),
        lambda v: v.to(torch.complex128).real.sum(),
    ):
        h = function_hessian(lambda v, f=function: f(v) + (v**2).sum(), POINT)
        assert h.estimate is not None
    why = function_hessian(lambda v: v.to(torch.complex128).real.square().sum(), POINT).estimate
    assert "complex numbers" in str(why)


def test_a_rule_that_does_not_take_the_arguments_refuses_by_name() -> None:
    h = function_hessian(lambda v: (v.cumsum(0, dtype=torch.float32).double() ** 2).sum(), POINT)
    assert "cumsum" in str(h.estimate)


@torch.library.custom_op("elsewhere::neg", mutates_args=())
def neg_elsewhere(x: Tensor) -> Tensor:
    return x.square()


def test_an_operation_of_another_library_is_not_the_one_of_that_name():
    program = record(lambda v: neg_elsewhere(v).sum(), POINT)
    assert program.operations == ("elsewhere::neg", "sum")
    assert program.run(Values(), OTHER) == OTHER.square().sum()
    with pytest.raises(NoErrorRule, match="elsewhere::neg"):
        program.run(Enclosure(), OTHER)


@pytest.mark.parametrize(
    "read",
    [Tensor.tolist, Tensor.numpy, np.asarray, np.from_dlpack],
    ids=["tolist", "numpy", "asarray", "dlpack"],
)
def test_numbers_that_leave_torch_are_noticed(read):
    fixed = at(1.0, 2.0)
    assert record(lambda v: v.sum() * float(read(fixed)[0]), POINT).run(Values(), OTHER) == (
        OTHER.sum()
    )
    with pytest.raises(NotTraceable, match="reads a number"):
        record(lambda v: v.sum() * float(read(v * 1)[0]), POINT)
