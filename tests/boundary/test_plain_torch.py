"""What the caller has switched on around a call changes nothing in it, and is on afterwards."""

import warnings

import pytest
import torch

from around import AROUND
from morsescape.boundary import checked, plain_torch
from morsescape.critical import certify, find_critical_point, third_order_minimum
from morsescape.data import load
from morsescape.nets import Recipe, build, train
from morsescape.objective import Objective


@pytest.fixture(params=AROUND)
def around(request):
    with warnings.catch_warnings(), AROUND[request.param]():
        yield request.param


def state():
    """What torch does now, as far as it can be seen."""
    x = torch.ones(2, 2, requires_grad=True)
    product = x @ x
    return (
        type(product).__name__, product.dtype, product.device.type, product.requires_grad,
        product.is_inference(), torch.get_default_dtype(),
    )  # fmt: skip


def test_the_state_inside_is_plain_and_the_one_outside_comes_back(around):
    before = state()
    with plain_torch():
        kind, dtype, place, graded, inference, default = state()
        x = torch.ones(2, 2)
        assert float((x @ x)[0, 0]) == 2.0
        with torch.no_grad(), plain_torch():  # within each other
            assert torch.is_grad_enabled()
    assert (kind, place, graded, inference) == ("Tensor", "cpu", True, False)
    assert dtype == default  # which is the caller's
    assert state() == before


def test_the_state_comes_back_after_an_error(around):
    before = state()
    with pytest.raises(ZeroDivisionError), plain_torch():
        1 / 0  # noqa: B018
    assert state() == before


def test_every_checked_call_is_in_it(around):
    found = checked()(state)()
    assert found[:1] + found[2:5] == ("Tensor", "cpu", True, False)


FUNCTION = Objective.from_function(lambda t: (t[0] ** 2 - 1) ** 2 + t[1] ** 2, 2)


def test_searches_and_certificates_do_not_depend_on_what_is_around(around):
    found = find_critical_point(FUNCTION, [0.5, 0.5])
    assert found.index == 0
    with plain_torch():
        assert abs(abs(float(found.theta[0])) - 1) < 1e-8
    proof = certify(FUNCTION, found.theta)
    assert proof.status.name == "PROVED"
    assert third_order_minimum(FUNCTION, [0.5, 0.5]).status.name == "THIRD_ORDER"


def test_training_does_not_depend_on_what_is_around():
    recipe = Recipe("sgd", lr=0.1, epochs=1)

    def loss():
        digits = load("digits", samples=40)
        model = build("mlp2", image_shape=digits.image_shape)
        return train(model, digits, seed=0, recipe=recipe).loss

    expected = loss()
    for name, make in AROUND.items():
        with make():
            assert loss() == expected, name
