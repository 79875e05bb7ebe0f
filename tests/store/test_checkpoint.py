"""A model's parameters on disk: they come back as they were, or not at all."""

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from morsescape import store
from morsescape.errors import ArgumentError, DataError


def sparse():
    """A layer with a buffer that no safetensors file can have."""
    layer = nn.Linear(1, 1)
    layer.register_buffer("mask", torch.eye(3).to_sparse())
    return layer


def net(*, hidden=3, seed=0) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(4, hidden), nn.BatchNorm1d(hidden), nn.Linear(hidden, 2))


def state(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def equal(a, b) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_checkpoint_brings_back_parameters_and_buffers(tmp_path):
    model, other = net(seed=0), net(seed=1)
    model(torch.randn(5, 4, generator=torch.Generator().manual_seed(0)))  # moves the buffers
    store.save_checkpoint(tmp_path / "model", model)
    assert not equal(state(model), state(other))
    store.load_checkpoint(tmp_path / "model", other)
    assert equal(state(model), state(other))
    assert all(p.requires_grad for p in other.parameters())


def error_of_loading(file, model) -> Exception | None:
    try:
        store.load_checkpoint(file, model)
    except (DataError, ArgumentError) as error:
        return error
    return None


@given(at=st.integers(0, 10**6), bit=st.integers(0, 7), cut=st.booleans())
def test_a_truncated_or_altered_checkpoint_never_gives_other_values(tmp_path_factory, at, bit, cut):
    file = tmp_path_factory.mktemp("checkpoint") / "model"
    store.save_checkpoint(file, net(seed=0))
    content = bytearray(file.read_bytes())
    if cut:
        content = content[: at % len(content)]
    else:
        content[at % len(content)] ^= 1 << bit
    file.write_bytes(content)
    other = net(seed=1)
    error = error_of_loading(file, other)
    # Without harm, only a bit of the checksum's own name can change.
    assert equal(state(other), state(net(seed=0 if error is None else 1)))
    assert not cut or str(file) in str(error)


def test_an_altered_value_is_refused_with_both_checksums(tmp_path):
    file = tmp_path / "model"
    store.save_checkpoint(file, net())
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DataError, match=r"tensors with SHA-256 [0-9a-f]{64}; got [0-9a-f]{64}"):
        store.load_checkpoint(file, net())


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (net(hidden=5), r"0.bias in .*shape \(5,\), as the model has it; got .*shape \(3,\)"),
        (net().double(), "0.bias in .*expected torch.float64 .*; got torch.float32"),
        (net()[:1], "1.bias in .*expected none, .*; got torch.float32"),
        (nn.Sequential(*net(), nn.Linear(2, 2)), "3.bias in .*; got none"),
    ],
)
def test_a_checkpoint_of_another_model_is_refused_and_nothing_is_copied(tmp_path, model, message):
    store.save_checkpoint(tmp_path / "model", net(seed=9))
    before = state(model)
    with pytest.raises(ArgumentError, match=message):
        store.load_checkpoint(tmp_path / "model", model)
    assert equal(before, state(model))


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone: expected a whole safetensors file"):
        store.load_checkpoint(tmp_path / "gone", net())


def test_a_safetensors_file_from_elsewhere_is_taken(tmp_path):
    safetensors.torch.save_file(state(net(seed=4)), tmp_path / "model")
    model = net()
    store.load_checkpoint(tmp_path / "model", model)
    assert equal(state(model), state(net(seed=4)))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_parameter_that_is_no_number_is_named_with_its_file(tmp_path, value):
    diverged, model = net(), net(seed=4)
    name, first = next(iter(diverged.named_parameters()))
    with torch.no_grad():
        first.view(-1)[0] = value
    store.save_checkpoint(tmp_path / "diverged", diverged)
    with pytest.raises(DataError, match=f"diverged: expected parameters that are finite.*{name}"):
        store.load_checkpoint(tmp_path / "diverged", model)
    assert equal(state(model), state(net(seed=4)))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.LazyLinear(3), "a tensor with values"),
        (nn.Linear(2, 2, device="meta"), "a tensor with values"),
        (sparse(), "a dense tensor"),
    ],
    ids=["lazy", "meta", "sparse"],
)
def test_models_without_values_of_the_usual_kinds(tmp_path, model, message):
    with pytest.raises(ArgumentError, match=message):
        store.save_checkpoint(tmp_path / "a", model)
    assert not list(tmp_path.iterdir())


def test_what_torch_save_wrote_is_named_as_such_and_not_unpickled(tmp_path):
    torch.save(nn.Linear(2, 1).state_dict(), tmp_path / "a.pt")
    with pytest.raises(DataError, match=r"one that torch.save wrote; cure: .*weights_only=True"):
        store.load_checkpoint(tmp_path / "a.pt", nn.Linear(2, 1))


def test_a_checkpoint_that_lacks_a_tensor_or_has_another(tmp_path):
    file = tmp_path / "a.safetensors"
    for bias, other in ((False, True), (True, False)):
        store.save_checkpoint(file, nn.Linear(2, 1, bias=bias))
        with pytest.raises(ArgumentError, match=r"bias in .*: expected .*, as the model has it"):
            store.load_checkpoint(file, nn.Linear(2, 1, bias=other))


@pytest.mark.parametrize(
    "tensors",
    [
        {"__metadata__": torch.ones(1)},
        {3: torch.ones(1)},
        {"a": [1.0]},
        {"a": torch.ones(1).to_sparse()},
        {"a": torch.ones(1, device="meta")},
    ],
    ids=["reserved", "no name", "list", "sparse", "meta"],
)
def test_tensors_that_cannot_be_kept(tmp_path, tensors, unchecked):
    folder = store.RunFolder(tmp_path, {})
    with pytest.raises(ArgumentError, match="tensors"):
        folder.save("a", {}, tensors)
    assert folder.load("a") is None
