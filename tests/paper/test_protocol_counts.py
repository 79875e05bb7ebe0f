"""Each protocol counts what it says it counts, and what cannot be counted is not guessed."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy

from morsescape.data import load
from morsescape.errors import ArgumentError
from morsescape.nets import Recipe, build, train
from paper.protocols import counts as protocol_counts
from paper.protocols.counts import NotCounted, count_at, naive_hessian
from paper.protocols.kinds import PROTOCOLS, Protocol, Variant

DIGITS = load("digits", samples=50)
VARIANTS = (Variant(), Variant("standardised"), Variant(double_softmax=True))


def network(net="cnn", seed=0):
    return build(net, image_shape=(8, 8), seed=seed).eval()


def oracle(model, variant, x, y, dtype=torch.float64):
    """The Hessian by PyTorch alone, with the inputs and the outputs as the variant has them."""
    if variant.inputs == "standardised":
        x = (x - x.mean()) / x.var(correction=0).sqrt()
    model = build_copy(model).to(dtype)
    shapes = {name: p.shape for name, p in model.named_parameters()}
    theta = torch.cat([p.detach().flatten() for p in model.parameters()])

    def loss(theta):
        parts = theta.split([shape.numel() for shape in shapes.values()])
        pairs = zip(shapes.items(), parts, strict=True)
        parameters = {name: part.view(shape) for (name, shape), part in pairs}
        outputs = torch.func.functional_call(model, parameters, (x.to(dtype),))
        return cross_entropy(outputs.softmax(1) if variant.double_softmax else outputs, y)

    return torch.func.hessian(loss)(theta)


def build_copy(model):
    copy = network()
    copy.load_state_dict(model.state_dict())
    return copy


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_the_matrix_is_the_hessian_of_the_variant(variant):
    model = network()
    true = oracle(model, variant, DIGITS.x, DIGITS.y)
    dataset, varied = variant.dataset(DIGITS), variant.model(model)
    for route, dtype, error in (
        ("symmetric", "float64", 1e-13),
        ("rows", "float64", 1e-13),
        ("symmetric", "float32", 1e-5),
        ("rows", "float32", 1e-5),
    ):
        matrix = naive_hessian(varied, dataset, 0, Protocol("a", dtype, route=route))
        assert matrix.dtype == getattr(torch, dtype)
        assert float((matrix.double() - true).abs().max()) < error * float(true.abs().max())


def test_rows_are_left_as_they_come_out():
    rows, symmetric = (
        naive_hessian(network(), DIGITS, 0, Protocol("a", "float32", route=route))
        for route in ("rows", "symmetric")
    )
    assert not torch.equal(rows, rows.t())
    assert torch.equal(symmetric, symmetric.t())


def test_the_mini_batch_is_the_first_that_the_training_saw():
    seen = []
    model = network()
    hook = model.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    train(model, DIGITS, seed=5, recipe=Recipe("adam", 1e-3, 1, batch_size=20))
    hook.remove()
    x = seen[0].double()
    matrix = naive_hessian(model, DIGITS, 5, Protocol("a", batch=20))
    y = torch.stack([DIGITS.y[(DIGITS.x == image).flatten(1).all(1)][0] for image in x])
    assert len(x) == 20
    assert torch.allclose(matrix, oracle(model, Variant(), x, y), atol=1e-13)


def test_counts_are_those_of_an_independent_hessian():
    thresholds = {"a": 1e-2, "b": 1e-3, "c": 1e-9}
    protocols = [Protocol(name, threshold=t) for name, t in thresholds.items()]
    relative = Protocol("relative", threshold=0.1, relative=True)
    counts = count_at(network(), DIGITS, 0, [*protocols, relative]).negative
    values = torch.linalg.eigvalsh(oracle(network(), Variant(), DIGITS.x, DIGITS.y))
    for name, threshold in thresholds.items():
        assert counts[name] == int((values < -threshold).sum())
    assert counts["relative"] == int((values < -0.1 * values.abs().max()).sum())
    assert 0 < counts["a"] < counts["b"] < counts["c"] <= 52
    assert 0 < counts["relative"] < counts["a"]


def test_zero_rows_are_left_out_and_noise_with_them():
    model = network("mlp2")
    pixels = DIGITS.x.flatten(1)
    active = pixels @ model[1].weight.double().t() + model[1].bias > 0
    alive = int(active.any(0).sum())
    seen = int((active.double().t() @ pixels != 0).sum())
    protocols = [Protocol("all"), Protocol("nonzero", drop_zero_rows=True)]
    counts = count_at(model, DIGITS, 0, protocols)
    assert counts.rows == {"all": 760, "nonzero": seen + alive + 10 * alive + 10}
    assert counts.negative["nonzero"] < counts.negative["all"]


def test_each_spectrum_is_computed_once(monkeypatch):
    solved, really = [], torch.linalg.eigvalsh
    monkeypatch.setattr(torch.linalg, "eigvalsh", lambda m: solved.append(len(m)) or really(m))
    plain = [p for p in PROTOCOLS if p.variant == Variant() and p.batch is None]
    counts = count_at(network(), DIGITS, 0, plain)
    assert len(plain) == 9
    assert len(solved) == len({protocol.spectrum_key for protocol in plain}) == 4
    assert set(counts.negative) == {protocol.name for protocol in plain}
    assert set(counts.eigenvalues) == {protocol.spectrum_key for protocol in plain}


def test_eigvals_takes_the_matrix_as_it_is():
    """A matrix whose lower triangle alone would say that nothing is negative."""
    matrix = torch.tensor([[1.0, 5.0], [0.2, 0.5]])
    assert float(protocol_counts._eigenvalues(matrix, "eigvalsh").min()) > 0
    values = protocol_counts._eigenvalues(matrix, "eigvals")
    assert values.tolist() == pytest.approx([0.75 - math.sqrt(1.0625), 0.75 + math.sqrt(1.0625)])


@pytest.mark.parametrize("reason", list(NotCounted))
def test_what_cannot_be_counted_is_said_and_not_guessed(reason, monkeypatch):
    def fail(_):
        raise torch.linalg.LinAlgError("too many repeated eigenvalues")

    if reason is NotCounted.NOT_FINITE:
        monkeypatch.setattr(
            protocol_counts, "naive_hessian", lambda *_: torch.full((2, 2), math.nan)
        )
    elif reason is NotCounted.NOT_CONVERGED:
        monkeypatch.setattr(torch.linalg, "eigvals", fail)
    else:
        monkeypatch.setattr(protocol_counts, "_LARGEST_UNSYMMETRIC", 10)
    protocol = Protocol("a", "float32", 8, "rows", "eigvals")
    counts = count_at(network(), DIGITS, 0, [protocol])
    assert counts.negative == {"a": None}
    assert counts.missing == {"a": reason.value}
    assert counts.eigenvalues == {}


@pytest.mark.real_data("mnist")
def test_the_structural_bound_holds_for_one_softmax_and_not_for_two():
    data, model = load("mnist", samples=60), build("cnn", seed=0).eval()
    once, twice = (
        Protocol(name, threshold=1e-12, relative=True, double_softmax=name == "twice")
        for name in ("once", "twice")
    )
    assert count_at(model, data, 0, [once]).negative["once"] <= 52
    assert count_at(twice.variant.model(model), data, 0, [twice]).negative["twice"] > 52


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dtype": "float16"}, "--dtype: expected float64 | float32; got 'float16'"),
        ({"route": "columns"}, "--route: expected symmetric | rows"),
        ({"inputs": "whitened"}, "--inputs: expected unit | standardised"),
        ({"batch": 0}, "protocol plain, batch: expected 1 or more"),
        ({"threshold": -1.0}, "protocol plain, threshold: expected a finite number"),
        ({"solver": "eigvals"}, "protocol plain, solver: expected eigvalsh unless"),
    ],
)
def test_wrong_protocols(change, message):
    with pytest.raises(ArgumentError) as caught:
        replace(Protocol("plain"), **change)
    assert message in str(caught.value)
