"""What is computed once for all programs of a chunk is what each would have computed."""

import torch

from morsescape.nets import build
from morsescape.objective import Objective
from morsescape.rounding.common_values import Shared
from morsescape.rounding.enclose import Enclosure, Values

aten = torch.ops.aten


def test_sharing_changes_no_bit_of_matrix_and_bound(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(12, 1, 8, 8, generator=generator).relu()  # zeros: windows with ties
    f = Objective(build("cnn", image_shape=(8, 8)), "cross_entropy", (x, torch.arange(12) % 10))
    shared = f.enclosed_hessian(f.theta)
    calls = []

    def alone(self, target, args, kwargs):
        calls.append(target)
        before = self.machine.kinks
        result = self.machine(target, args, kwargs)
        self.kinks += self.machine.kinks - before
        return result

    monkeypatch.setattr(Shared, "__call__", alone)
    own = f.enclosed_hessian(f.theta)
    assert calls
    assert torch.equal(shared.matrix, own.matrix)
    assert shared.radius_parts == own.radius_parts
    assert shared.kinks == own.kinks


def test_what_is_known_is_not_computed_again():
    known, x = {}, torch.ones(3).double()
    first = Shared(Values(), known, keep=True)(aten.mul.Tensor, (x, 2.0), {})
    assert Shared(Values(), known)(aten.mul.Tensor, (x, 2.0), {}) is first
    assert Shared(Values(), known)(aten.mul.Tensor, (x.clone(), 2.0), {}) is not first


def test_equal_numbers_of_other_types_are_other_arguments():
    known, x = {}, torch.ones(3, dtype=torch.int64)
    Shared(Values(), known, keep=True)(aten.add.Tensor, (x, 1.0), {})
    assert Shared(Values(), known)(aten.add.Tensor, (x, 1), {}).dtype == torch.int64


def test_only_a_keeping_machine_makes_results_known():
    known, x = {}, torch.ones(3).double()
    Shared(Values(), known)(aten.neg.default, (x,), {})
    assert not known


def test_kinks_are_counted_by_each_program_that_meets_them():
    known, x = {}, torch.zeros(3).double()
    first = Shared(Enclosure(), known, keep=True)
    first(aten.relu.default, (x,), {})
    second = Shared(Enclosure(), known)
    second(aten.relu.default, (x,), {})
    assert first.kinks == second.kinks == 3
