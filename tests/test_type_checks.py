"""What the tests check of every signature is checked, with and without shapes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import torch
from beartype import beartype
from jaxtyping import Float, TypeCheckError
from torch import Tensor

from morsescape.data.dataset import Dataset
from morsescape.rounding.steps import Step
from type_checks import jaxtyped

check = jaxtyped(typechecker=beartype)


@check
def half(x: int, wrong: bool = False) -> int:
    return "half" if wrong else x // 2  # type: ignore[return-value]


@check
@dataclass
class Pair:
    a: int
    b: int


@check
class Child(Pair):
    pass


class Holder:
    @check
    @classmethod
    def of(cls, x: int) -> int:
        return x

    @check
    @staticmethod
    def same(x: int) -> int:
        return x

    @check
    @property
    def wrong(self) -> int:
        return "wrong"  # type: ignore[return-value]


WRONG = {
    "argument": lambda: half("4"),
    "result": lambda: half(4, wrong=True),
    "dataclass": lambda: Pair(1, "2"),
    "inherited": lambda: Child(1, "2"),
    "class method": lambda: Holder.of("1"),
    "static method": lambda: Holder.same("1"),
    "property": lambda: Holder().wrong,
    "the package's own": lambda: Step("add", ["no tuple"], {}, (), False),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_has_no_shape_is_checked(what: str) -> None:
    with pytest.raises(TypeCheckError):
        WRONG[what]()


def test_what_is_right_passes() -> None:
    assert (half(4), Child(1, 2).b, Holder.of(1), Holder.same(2)) == (2, 2, 1, 2)


def test_shapes_are_compared() -> None:
    @check
    def dot(x: Float[Tensor, "n"], y: list[Float[Tensor, "n"]]) -> Tensor:
        return x @ y[0]

    assert float(dot(torch.ones(2), [torch.ones(2)])) == 2
    with pytest.raises(TypeCheckError):
        dot(torch.ones(2), [torch.ones(3)])
    with pytest.raises(TypeCheckError):
        Dataset("mine", torch.zeros(4, 3), torch.zeros(4).long(), 3)


def test_generators_are_checked() -> None:
    @check
    def counted(most: int) -> Iterator[int]:
        yield from range(most)

    assert list(counted(2)) == [0, 1]
    with pytest.raises(TypeCheckError):
        counted("2")


def test_names_that_are_not_there_yet_are_not_checked() -> None:
    @check
    def later(x: Unknown, y: int) -> Unknown:  # type: ignore[name-defined]
        return x

    assert later("anything", 1) == "anything"
    with pytest.raises(TypeCheckError):
        later("anything", "1")


def test_a_nested_function_is_checked_each_time_and_keeps_what_it_closes_over() -> None:
    def adding(k: int):
        @check
        def added(x: int) -> int:
            return x + k

        return added

    one, ten = adding(1), adding(10)
    assert (one(1), ten(1), one(2)) == (2, 11, 3)
    for nested in (one, ten):
        with pytest.raises(TypeCheckError):
            nested("1")
    with pytest.raises(TypeCheckError):
        adding(0.5)(1)  # the result


def test_checks_can_be_left_out(unchecked: None) -> None:
    assert half(4, wrong=True) == "half"
