"""Objectives and inertia: what they cannot use, and what around them changes nothing."""

import json
import math

import numpy as np
import pytest
import torch
from torch import nn

import morsescape as ms
from around import AROUND
from morsescape.boundary import plain_torch
from morsescape.errors import ArgumentError, DataError, MorsescapeError

pytestmark = pytest.mark.usefixtures("unchecked")


def quadratic():
    return ms.Objective.from_function(lambda t: t[0] ** 2 - 3 * t[1] ** 2 + t[0] * t[1] ** 3, 2)


def network():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    x = torch.linspace(-1, 1, 15).double().reshape(5, 3)
    return ms.Objective(model, "cross_entropy", (x, torch.tensor([0, 1, 0, 1, 1])), l2=0.01)


F = quadratic()
THETA = [1.0, 2.0]
NO_POINT = [
    None, 3.0, "12", [1.0], [1.0, "2"], [True, False], torch.ones(2), torch.ones(3).double(),
    torch.ones(2).double().to_sparse(), torch.ones(2, device="meta").double(),
    torch.ones(2, dtype=torch.complex128), np.ones(2, np.float32), np.ones((2, 1)), object(),
]  # fmt: skip
NO_NUMBER = [None, "1", b"1", 1j, [1.0], torch.ones(2), math.nan, math.inf, -1.0, True, 10**400]
NO_FLAG = [None, 0, 1, "no", []]
NO_COUNT = [None, "2", 2.0, True, 0, -1, 10**400, [2], math.nan]
CALLED = {
    "value": (lambda x: F.value(x), NO_POINT),
    "gradient": (lambda x: F.gradient(x), NO_POINT),
    "value_and_gradient": (lambda x: F.value_and_gradient(x), NO_POINT),
    "hvp": (lambda x: F.hvp(x, THETA), NO_POINT),
    "hvp v": (lambda x: F.hvp(THETA, x), NO_POINT),
    "hessian": (lambda x: F.hessian(x), NO_POINT),
    "enclosed_hessian": (lambda x: F.enclosed_hessian(x), NO_POINT),
    "at_l2": (lambda x: F.at_l2(x), NO_NUMBER),
    "from_function fn": (lambda x: ms.Objective.from_function(x, 2), [None, 3, "f", lambda: 0]),
    "from_function dim": (lambda x: ms.Objective.from_function(lambda t: t.sum(), x), NO_COUNT),
    "from_function l2": (
        lambda x: ms.Objective.from_function(lambda t: t.sum(), 2, l2=x), NO_NUMBER
    ),
    "Objective l2": (
        lambda x: ms.Objective(nn.Linear(1, 1), "mse", (torch.ones(2, 1), torch.ones(2, 1)), l2=x),
        NO_NUMBER,
    ),
    "Objective model": (
        lambda x: ms.Objective(x, "mse", (torch.ones(2, 1), torch.ones(2, 1))),
        [None, "model", [nn.Linear(1, 1)], nn.Linear, lambda x: x],
    ),
    "inertia f": (lambda x: ms.inertia(x), [None, nn.Linear(1, 1), "f", torch.ones(2)]),
    "inertia theta": (lambda x: ms.inertia(F, x), NO_POINT[1:]),
    "inertia method": (lambda x: ms.inertia(F, THETA, method=x), [None, "qr", 3, ["ldl"]]),
    "inertia raw": (lambda x: ms.inertia(F, THETA, raw=x), NO_FLAG),
    "inertia of a Hessian": (ms.inertia, ["hessian", F.enclosed_hessian(THETA)]),
    "inertia of a Hessian elsewhere": (lambda x: ms.inertia(F.hessian_at(THETA), x), [THETA]),
    "certify of a Hessian": (ms.certify, ["hessian", F.enclosed_hessian(THETA)]),
    "certify of a Hessian elsewhere": (lambda x: ms.certify(F.hessian_at(THETA), x), [THETA]),
    "hessian_at": (lambda x: F.hessian_at(x), NO_POINT),
    "hessian_at bounded": (lambda x: F.hessian_at(THETA, bounded=x), NO_FLAG),
    "mv": (lambda x: F.hessian_at(THETA).mv(x), NO_POINT),
    "inertia progress": (lambda x: ms.inertia(F, THETA, progress=x), [3, "p", lambda a: a]),
}  # fmt: skip


@pytest.mark.parametrize(("call", "bad"), CALLED.values(), ids=CALLED)
def test_what_cannot_be_used_is_one_clear_error(call, bad):
    for value in bad:
        with pytest.raises(ArgumentError) as caught:
            call(value)
        assert "\n" not in str(caught.value)
        assert caught.value.cure


def test_points_of_every_form_are_one_point_and_stay_as_they_are():
    plain = torch.tensor(THETA).double()
    v = torch.ones(1).double().expand(2)
    with torch.inference_mode():
        inferred = plain.clone()
    forms = [
        THETA, tuple(THETA), plain.numpy(), plain.clone().requires_grad_(), inferred,
        torch.tensor([1.0, 0.0, 2.0]).double()[::2],
        torch.imag(torch.complex(torch.zeros(2).double(), -plain).conj()),
    ]  # fmt: skip
    for theta in forms:
        assert F.value(theta) == F.value(plain)
        assert torch.equal(F.gradient(theta), F.gradient(plain))
        assert torch.equal(F.hvp(theta, v), F.hvp(plain, torch.ones(2).double()))
        assert torch.equal(F.hessian(theta), F.hessian(plain))
        assert ms.inertia(F, theta).negative == (1, 1)
        assert not F.gradient(theta).requires_grad
    assert plain.tolist() == THETA


def numbers(f, theta):
    """All that may depend on what is around."""
    signs = ms.inertia(f, theta, method="eigh")
    tensors = (f.gradient(theta), f.hvp(theta, [1.0] * f.dim), f.hessian(theta))
    radius = f.enclosed_hessian(theta).radius
    proof = str(ms.certify(f, theta))
    with plain_torch():
        return f.value(theta), [t.tolist() for t in tensors], radius, proof, signs


@pytest.mark.parametrize("around", AROUND)
def test_nothing_depends_on_what_is_around_a_call(around):
    for f in (quadratic(), network()):
        theta = [0.25] * f.dim
        value, expected = f.value(theta), numbers(f, theta)
        with AROUND[around]():
            assert numbers(f, theta) == expected
            assert f.value(theta) == value


@pytest.mark.parametrize("around", [name for name in AROUND if "device" not in name])
def test_an_objective_may_be_made_there(around):
    expected = network()
    model, data = expected.network.model, (expected.network.x, expected.network.y)
    with AROUND[around]():
        f = ms.Objective(model, "cross_entropy", data, l2=0.01)
        g = ms.Objective.from_function(lambda t: t @ t, 2)
    assert torch.equal(f.theta, expected.theta)
    assert f.value(f.theta) == expected.value(expected.theta)
    assert g.gradient([1.0, 2.0]).tolist() == [2.0, 4.0]


# --- an inertia that is read back


@pytest.mark.parametrize(
    "change",
    [
        {"status": "NOPE"}, {"negative": 3}, {"negative": [1]}, {"negative": [0, 1.5]},
        {"dim": "2"}, {"radius": None}, {"kinks": 0.5}, {"not_smooth": [3]}, {"surplus": 1},
        {"null_explained": {"a": "b"}},
    ],
    ids=str,
)  # fmt: skip
def test_an_inertia_that_was_altered(tmp_path, change):
    values = json.loads(json.dumps(ms.inertia(F, THETA).to_json())) | change
    with pytest.raises(DataError, match=r"values: expected what Inertia.to_json gave"):
        ms.Inertia.from_json(values)
    (tmp_path / "a.json").write_text(json.dumps(values))
    with pytest.raises(DataError, match=r"a.json: expected what Inertia.save wrote"):
        ms.Inertia.load(tmp_path / "a.json")


@pytest.mark.parametrize("content", ["", "null", "3", '"text"', "[]", "{}"])
def test_a_file_without_an_inertia(tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(MorsescapeError, match=r"a.json: expected "):
        ms.Inertia.load(tmp_path / "a.json")


def test_what_was_saved_comes_back(tmp_path):
    for f, theta in ((F, THETA), (network(), network().theta)):
        signs = ms.inertia(f, theta, method="eigh")
        signs.save(tmp_path / "a.json")
        assert ms.Inertia.load(tmp_path / "a.json") == signs
