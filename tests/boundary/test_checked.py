"""The decorator, and every rule with what it takes, what it refuses and what it says."""

import math
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from morsescape import boundary
from morsescape.boundary import checked
from morsescape.errors import ArgumentError, shown
from morsescape.objective import Objective

pytestmark = pytest.mark.usefixtures("unchecked")


class Landscape:
    dim = 2


def taken(rule, value, **others):
    """What the rule makes of a value."""

    @checked(x=rule)
    def same(f=None, x=...):
        return x

    return same(x=value, **others)


def number0(value):
    return torch.tensor(value)


TAKEN = {
    "a number": (boundary.a_number(), 3, 3.0),
    "a NumPy number": (boundary.a_number(), np.float32(0.5), 0.5),
    "a tensor without dimensions": (boundary.a_number(), number0(0.5), 0.5),
    "the end of a range": (boundary.a_number(least=0, most=1), 1, 1.0),
    "an integer": (boundary.a_count(1), np.int16(3), 3),
    "an integer of torch": (boundary.a_count(), number0(3), 3),
    "a large seed": (boundary.a_seed(), 2**53, 2**53),
    "a bool": (boundary.a_boolean(), np.bool_(True), True),
    "a name": (boundary.choice(("sgd", "adam")), "adam", "adam"),
    "names": (boundary.choices(("a", "b")), ["b", "a"], ("b", "a")),
    "a text": (boundary.a_text(), "a", "a"),
    "a path": (boundary.a_path(), Path("a"), "a"),
    "a pair": (boundary.pair(boundary.a_count(), "a pair"), [1, 2], (1, 2)),
    "a device": (boundary.a_device(), torch.device("cpu"), "cpu"),
    "a function": (boundary.a_function(1), abs, abs),
    "a function with more arguments that have defaults": (boundary.a_function(1), round, round),
    "None for what is None by default": (boundary.a_count(1), ..., ...),
}


@pytest.mark.parametrize(("rule", "value", "expected"), TAKEN.values(), ids=TAKEN)
def test_what_is_taken(rule, value, expected):
    found = taken(rule, value)
    assert found == expected
    assert type(found) is type(expected)


ODD = [
    None, "3", b"3", [3], {3}, {}, object(), 3j, int, math.nan, np.ones(2), torch.ones(2),
    torch.ones((), device="meta"), np.array(["3"]),
]  # fmt: skip
REFUSED = {
    "a_number": (boundary.a_number(), [*ODD, True, 10**400, math.inf], "a finite number"),
    "a_number, 0 or more": (boundary.a_number(least=0), [*ODD, -1, -5e-324], "number, 0 or more"),
    "a_number, positive": (boundary.a_number(above=0), [*ODD, 0, 0.0, -1], "a positive number"),
    "a_number, in a range": (boundary.a_number(least=0, most=1), [*ODD, 1.5], "0 to 1"),
    "a_count": (boundary.a_count(1), [*ODD, True, 0, -1, 3.0, np.float64(3), 2**70], "1 or more"),
    "an_integer": (boundary.an_integer(), [*ODD, True, 3.0], "an integer"),
    "a_seed": (boundary.a_seed(), [*ODD, -1, 2**53 + 1, 0.0], "0 or more"),
    "a_boolean": (boundary.a_boolean(), [*ODD, 0, 1, "no"], "True or False"),
    "choice": (boundary.choice(("sgd", "adam")), [*ODD, "", "Adam", np.array("adam")], "sgd | ad"),
    "choices": (boundary.choices(("a", "b")), [None, "a", 3, ["a", 3], ["c"], ["a", "a"]], ""),
    "a_text": (boundary.a_text(), [v for v in ODD if not isinstance(v, str)] + [""], "a string"),
    "a_path": (boundary.a_path(), [None, 3, b"a", "", "a\0b", object(), ["a"]], "the name of a f"),
    "pair": (boundary.pair(boundary.a_count(), "a pair"), [3, None, "12", (1,), (1, 2, 3)], "pair"),
    "a_device": (boundary.a_device(), [None, 3, "abacus", "cuda:77", object()], "a device of this"),
    "a_function": (boundary.a_function(), [None, 3, "f"], "a function"),
    "a_function of 2": (boundary.a_function(2), [None, lambda: 0, lambda a: 0], "of 2 arguments"),
    "instance": (boundary.instance(nn.Module, "pass one"), [None, "a", nn.Linear], "a Module"),
    "a_tensor": (
        boundary.a_tensor("a tensor"),
        [None, [1.0], np.ones(2), torch.ones(2).to_sparse(), torch.ones(2, device="meta")],
        "a tensor",
    ),
}


@pytest.mark.parametrize(("rule", "values", "expected"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_is_one_line_with_a_cure(rule, values, expected):
    for value in values:
        with pytest.raises(ArgumentError) as caught:
            taken(rule, value)
        message = str(caught.value)
        assert message.startswith("x"), value
        assert expected in message.partition("; got ")[0]
        assert caught.value.cure
        assert "\n" not in message
        assert len(message) < 500


# --- points


def test_a_point_is_a_copy_that_is_contiguous_whatever_came():
    plain = torch.tensor([1.0, 2.0]).double()
    complex_ = torch.complex(torch.tensor([0.0, 0.0]).double(), -plain)
    with torch.inference_mode():
        inferred = plain.clone()
    read_only = plain.numpy().copy()
    read_only.flags.writeable = False
    came = {
        "a view": torch.tensor([1.0, 9.0, 2.0]).double()[::2],
        "a parameter": nn.Parameter(plain),
        "one with a gradient": plain.clone().requires_grad_(),
        "a negative view": torch.imag(complex_.conj()),
        "one of inference mode": inferred,
        "NumPy": plain.numpy(),
        "NumPy backwards": np.array([2.0, 1.0])[::-1],
        "read-only NumPy": read_only,
        "a list": [1, 2.0],
        "a tuple of tensors": (torch.tensor(1.0), np.float64(2.0)),
    }
    assert came["a negative view"].is_neg()
    for name, value in came.items():
        found = taken(boundary.a_vector("f"), value, f=Landscape())
        assert torch.equal(found, plain), name
        assert found.is_contiguous()
        assert [found.requires_grad, found.is_neg(), found.is_inference()] == [False] * 3, name
        found.zero_()
        assert float(torch.as_tensor(value[1]).detach()) == 2.0, name
    expanded = torch.ones(1).double().expand(2)
    assert taken(boundary.a_vector("f"), expanded, f=Landscape()).stride() == (1,)


class Own(torch.Tensor):
    """A subclass, which may mean anything by its elements."""


NO_POINTS = {
    "another size": torch.zeros(3).double(),
    "another shape": torch.zeros(1, 2).double(),
    "no vector": 3.0,
    "float32": torch.zeros(2),
    "NumPy float32": np.zeros(2, np.float32),
    "integers": torch.zeros(2).long(),
    "complex": torch.zeros(2, dtype=torch.complex128),
    "sparse": torch.zeros(2).double().to_sparse(),
    "meta": torch.zeros(2, device="meta").double(),
    "a subclass": torch.zeros(2).double().as_subclass(Own),
    "masked": np.ma.masked_array([1.0, 2.0], [0, 1]),
    "bytes in the other order": np.zeros(2, ">f8"),
    "a string": "12",
    "strings": ["1", "2"],
    "bools": [True, False],
    "ragged": [[1.0], 2.0],
    "more than float64 holds": [2**53 + 1, 0],
    "more than any float holds": [10**400, 0],
    "none": None,
}


@pytest.mark.parametrize("value", NO_POINTS.values(), ids=NO_POINTS)
def test_what_is_no_point(value):
    with pytest.raises(ArgumentError, match=r"x: expected a float64 vector of shape \(2,\)"):
        taken(boundary.a_vector("f"), value, f=Landscape())


def test_finite_points():
    assert math.isnan(float(taken(boundary.a_vector("f"), [math.nan, 0], f=Landscape())[0]))
    with pytest.raises(ArgumentError, match="finite numbers"):
        taken(boundary.a_vector("f", finite=True), [math.nan, 0], f=Landscape())


# --- the decorator


def test_what_is_not_given_and_what_is_the_default_is_not_looked_at():
    @checked(a=boundary.a_count(1), b=boundary.a_count(1))
    def f(a, b=None, *, c=0):
        return a, b, c

    assert f(1) == (1, None, 0)
    assert f(1, None, c="c") == (1, None, "c")
    assert f(b=2, a=3) == (3, 2, 0)
    with pytest.raises(TypeError, match="missing"):
        f()
    with pytest.raises(TypeError, match="takes from 1 to 2"):
        f(1, 2, 3)
    with pytest.raises(TypeError, match="unexpected keyword"):
        f(1, d=2)
    with pytest.raises(ArgumentError, match="b: expected 1 or more; got 0; cure: leave it out"):
        f(1, 0)


def test_a_rule_for_no_argument_is_a_mistake_that_shows_at_once():
    with pytest.raises(TypeError, match="has no argument steps"):
        checked(steps=boundary.a_count())(lambda theta: theta)


def test_the_fields_of_a_class_are_checked_and_brought_to_form():
    @checked(boundary.option, max_steps=boundary.a_count(1), names=boundary.choices("ab"))
    @dataclass(frozen=True)
    class Settings:
        max_steps: int = 5
        names: tuple[str, ...] = ()

    assert Settings(np.int64(2), ["a"]) == Settings(2, ("a",))
    with pytest.raises(ArgumentError, match=r"--max-steps: .*; cure: leave it out to take 5"):
        Settings(max_steps="2")
    with pytest.raises(ArgumentError, match="--max-steps"):
        replace(Settings(), max_steps=0)


@pytest.mark.parametrize("kind", [ZeroDivisionError, ArgumentError, KeyboardInterrupt])
def test_what_the_users_own_code_raises_passes_through_as_it_is(kind):
    own = kind("x", expected=1, got=2, cure="3") if kind is ArgumentError else kind("mine")

    def callback(*_):
        raise own

    @checked(callback=boundary.a_function(2))
    def work(callback):
        callback(1, 2)

    with pytest.raises(kind) as caught:
        work(callback)
    assert caught.value is own


def test_what_torch_says_of_shapes_is_said_in_our_words_and_the_users_is_not():
    with (
        pytest.raises(ArgumentError, match="model: expected 3 features; got RuntimeError: mat1"),
        boundary.fitting("model", expected="3 features", cure="build it so"),
    ):
        nn.Linear(2, 1)(torch.ones(4, 3))
    for error in (RuntimeError("mine"), ValueError("mine")):
        with pytest.raises(type(error), match="mine"), boundary.fitting("", expected="", cure=""):
            raise error


# --- what came, in words


class Strange:
    def __repr__(self):
        raise RuntimeError

    dtype = property(lambda self: 1 / 0)


WORDS = [
    (None, "None"),
    (True, "True"),
    (10**5000, "an integer of 16610 bits"),
    (torch.ones(2), "float32 of shape (2,) on cpu, a Tensor"),
    (np.ones((2, 3)), "float64 of shape (2, 3), a ndarray"),
    ("a" * 100, "'" + "a" * 60 + "…"),
    ([torch.ones(2)] * 3, "a list of 3"),
    (Strange(), "a Strange"),
    (Strange, "the class Strange"),
    (nn.Linear(1, 1), "a Linear"),
]


@pytest.mark.parametrize(("value", "words"), WORDS, ids=[words for _, words in WORDS])
def test_what_came_is_said_in_a_few_words(value, words):
    assert shown(value) == words


def test_a_long_name_does_not_make_a_long_message():
    error = ArgumentError("a" * 5000, expected="less", got="b" * 5000, cure="c")
    assert len(str(error)) < 1000
    assert error.what == "a" * 5000
    assert os.sep not in str(error)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("theta", [torch.zeros(3), np.zeros(3, dtype=np.float32)])
def test_a_point_of_the_right_shape_and_another_dtype_is_told_how_to_mend_it(theta):
    f = Objective.from_function(lambda t: t @ t, 3)
    with pytest.raises(ArgumentError, match="cure: make it float64, on the CPU"):
        f.value(theta)
    with pytest.raises(ArgumentError, match=r"cure: start from f\.theta, or flatten"):
        f.value(theta[:2])
