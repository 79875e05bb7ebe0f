"""The table of operations: nothing twice, nothing forgotten, and what it says of each is so."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from morsescape.critical import CertificateStatus, find_critical_point
from morsescape.model.network import Network
from morsescape.objective import Objective
from morsescape.rounding import double_machine, enclose
from morsescape.rounding.affine import Flow, Shape, flows_of
from morsescape.rounding.balls import Ball, NoErrorRule
from morsescape.rounding.dependence import Dependence, Shadow, rows_of_samples
from morsescape.rounding.operations import (
    BALL,
    COLUMNS,
    DOUBLE,
    OPERATIONS,
    Kind,
    declare,
    lacking,
    of_kind,
    rule,
)
from morsescape.rounding.program import record
from morsescape.spectrum.index_bound import structure_of

ROOT = Path(__file__).parents[2]
aten = torch.ops.aten


def test_an_operation_is_entered_once_and_has_rules_only_if_it_is() -> None:
    with pytest.raises(LookupError, match="add"):
        declare("add", Kind.LINEAR)
    with pytest.raises(LookupError, match="no_such_operation"):
        rule(BALL, "no_such_operation")(print)
    assert all(column.keys() <= OPERATIONS.keys() for column in COLUMNS.values())


def test_every_operation_of_the_table_is_torchs() -> None:
    for name in OPERATIONS:
        assert hasattr(aten, name) or hasattr(torch.ops.prims, name), name


@pytest.mark.parametrize("column", [BALL, DOUBLE])
def test_what_moves_entries_has_a_rule_everywhere(column: dict[str, Any]) -> None:
    assert of_kind(Kind.MOVES, Kind.CHOOSES) <= column.keys()


def test_what_is_missing_is_named_with_its_cost() -> None:
    program = record(lambda v: torch.special.i0e(v).abs().sum(), torch.ones(3).double())
    (ball,) = lacking(program.operations)
    assert ball == "no ball rule for aten.special_i0e: the radius of the Hessian is an estimate"
    assert len(lacking(program.operations, "double-double")) == 2
    with pytest.raises(NoErrorRule, match="special_i0e"):
        program.run(enclose.Enclosure(), Ball(torch.ones(3).double()))


def test_the_page_of_rules_is_that_of_the_table() -> None:
    pytest.importorskip("flint")
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        from rules_page import PAGE, page
    finally:
        sys.path.pop(0)
    assert PAGE.read_text() == page()


def test_an_entry_of_a_function_suffices_for_a_proved_critical_point() -> None:
    """erfcx is known by its line in `functions` alone; log_ndtr is written out with it."""
    for fn in (torch.special.erfcx, lambda t: -torch.special.log_ndtr(t)):
        f = Objective.from_function(lambda t, fn=fn: (fn(t) + t**2).sum(), 2)
        found = find_critical_point(f, torch.zeros(2).double())
        assert found.certificate.status is CertificateStatus.PROVED
        assert found.index == 0


# -- affine, piecewise affine, and kinks --------------------------------------------------------


def shape_of(function: Any, *, rough: str = "") -> Shape | None:
    """How the result depends on the first of two inputs."""
    x = torch.linspace(-1, 1, 6).double().view(2, 3)
    program = record(function, x, x + 0.5)
    (out,), found = flows_of(program, Flow(x=Shape.AFFINE), Flow(y=Shape.AFFINE))
    assert found == frozenset(rough.split())
    return out.get("x")


def test_how_a_value_depends_on_a_group() -> None:
    assert shape_of(lambda x, y: (x @ y.t()).sum() - 2 * x.mean()) is Shape.AFFINE
    assert shape_of(lambda x, y: x.t()[[0, 1]].flatten() * y.exp()[0, 0]) is Shape.AFFINE
    assert shape_of(lambda x, y: x / y) is Shape.AFFINE
    assert shape_of(lambda x, y: y / x) is Shape.BENT
    assert shape_of(lambda x, y: x * x) is Shape.BENT
    assert shape_of(lambda x, y: x.tanh() * 0.5) is Shape.BENT
    assert shape_of(lambda x, y: torch.zeros_like(x) + y) is None
    assert shape_of(lambda x, y: torch.where(y > 0, x, 2 * x), rough="gt") is Shape.AFFINE


def test_steps_make_pieces() -> None:
    assert shape_of(lambda x, y: x * (x > 0), rough="gt") is Shape.PIECES
    assert shape_of(lambda x, y: x + x.sign(), rough="sign") is Shape.PIECES
    assert shape_of(lambda x, y: y.tanh() * x.round(), rough="round") is Shape.STEP
    assert shape_of(lambda x, y: y.gather(1, x.argmax(1, True)), rough="argmax") is Shape.STEP
    assert shape_of(lambda x, y: x.sort(1)[0] + 1, rough="sort") is Shape.PIECES
    assert shape_of(lambda x, y: x * (x.square() > 0.1), rough="gt") is Shape.BENT
    assert shape_of(lambda x, y: x.long() + y, rough="_to_copy") is Shape.STEP


def test_a_branch_of_the_formula_is_no_kink_of_the_function() -> None:
    for smooth in (torch.nn.functional.softplus, torch.nn.functional.mish, torch.sinc):
        assert shape_of(lambda x, y, f=smooth: f(x)) is Shape.BENT
    assert shape_of(lambda x, y: torch.nn.functional.elu(x), rough="elu") is Shape.BENT
    leaky = torch.nn.functional.leaky_relu
    assert shape_of(lambda x, y: leaky(x), rough="leaky_relu") is Shape.PIECES


class Residual(nn.Module):
    """One hidden layer beside the identity, with shrinkage, which is affine in pieces."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(x + nn.functional.softshrink(self.first(x)))


def test_the_index_bound_of_pieces_written_out_holds() -> None:
    x = torch.randn(9, 4, generator=torch.Generator().manual_seed(0)).double()
    data = x, torch.arange(9) % 2
    net = Network(Residual().eval(), "cross_entropy", data, torch.float64)
    assert structure_of(net).upper_bound == 10
    hessian = torch.autograd.functional.hessian(net.on(*data), 3 * net.theta)
    assert int((torch.linalg.eigvalsh(hessian) < -1e-12).sum()) <= 10


# -- which sample -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mixed",
    [
        lambda x: x.topk(3, 0)[0],
        lambda x: x.kthvalue(1, 0, keepdim=True)[0].expand(3, 3),
        lambda x: torch.sort(x, dim=0, stable=True)[0],
        lambda x: x.softmax(0),
        lambda x: torch.clamp(x, min=x.flip(0)),
    ],
)
def test_what_runs_over_the_samples_mixes_them(mixed: Any) -> None:
    x = torch.randn(3, 3, generator=torch.Generator().manual_seed(0)).double()
    machine = Dependence(3)
    out = machine.run(record(mixed, x), rows_of_samples(x, 3))
    assert isinstance(out, Shadow)
    other = ~torch.eye(3, dtype=torch.bool)
    assert bool(out.all_sets.any(2)[other].any())


def test_rules_that_are_derived_are_those_of_the_kind() -> None:
    assert BALL["unfold"] is BALL["roll"] is BALL["gather"]
    assert double_machine.DOUBLE["unfold"] is DOUBLE["flip"]
    assert BALL["clone"] is not BALL["roll"]
