"""Files that are whole or not there, and JSON that says every float."""

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from faults import fail_at_call, names
from morsescape import store
from morsescape.errors import ArgumentError, DataError


def test_an_interrupted_write_keeps_the_old_file(tmp_path, monkeypatch):
    file = tmp_path / "result"
    store.write_bytes_atomic(file, b"old")
    fail_at_call(monkeypatch, 1, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        store.write_bytes_atomic(file, b"new")
    assert file.read_bytes() == b"old"
    assert names(tmp_path) == {"result"}


def json_values():
    floats = st.floats() | st.sampled_from([math.nan, math.inf, -math.inf, -0.0, 5e-324])
    leaves = st.none() | st.booleans() | st.integers() | floats | st.text()
    keys = st.text().filter(lambda key: key != "$float")
    return st.recursive(leaves, lambda v: st.lists(v) | st.dictionaries(keys, v), max_leaves=20)


@given(value=json_values())
def test_every_value_comes_back_nan_and_infinities_included(tmp_path_factory, value):
    file = tmp_path_factory.mktemp("json") / "value.json"
    store.write_json_atomic(file, value)
    assert repr(store.read_json(file)) == repr(value)
    json.loads(file.read_bytes(), parse_constant=pytest.fail)  # NaN is no word of JSON


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"runs": [{"theta": torch.ones(2)}]}, r"value.runs\[0\].theta: .* got Tensor"),
        ({"n": torch.ones(2).numpy()}, "value.n: .* got ndarray"),
        ({1: "one"}, "value: expected names that are strings.* got 1"),
        ({"a": {"$float": "nan"}}, r"value.a: expected names .* got '\$float'"),
    ],
)
def test_what_json_cannot_say_is_refused_with_its_place(tmp_path, value, message):
    with pytest.raises(ArgumentError, match=message):
        store.write_json_atomic(tmp_path / "value.json", value)
    assert names(tmp_path) == set()


def test_a_missing_json_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone.json: .* got FileNotFoundError"):
        store.read_json(tmp_path / "gone.json")


def cyclic():
    value: list = []
    value.append({"again": value})
    return value


def nested(depth):
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (cyclic(), r"value: expected values in values at most 100 deep, and none in itself"),
        (nested(2000), r"value: expected values in values at most 100 deep"),
        ({"n": [10**5000]}, r"value.n\[0\]: expected integers of at most 4,000 digits"),
    ],
    ids=["in itself", "deep", "huge"],
)
def test_what_no_reader_would_take_is_refused(tmp_path, value, message):
    for write in (
        lambda: store.write_json_atomic(tmp_path / "a", value),
        lambda: store.RunFolder(tmp_path / "out", {"value": value}),
        lambda: store.RunFolder(tmp_path / "out", {}).save("a", {"value": value}),
    ):
        with pytest.raises(ArgumentError, match=message.partition(":")[2].strip()):
            write()
    with pytest.raises(ArgumentError, match=message):
        store.write_json_atomic(tmp_path / "a", value)
    assert not (tmp_path / "a").exists()


def test_what_is_deep_or_large_within_the_limits_comes_back(tmp_path):
    for value in (nested(100), 10**3999, -(10**3999)):
        store.write_json_atomic(tmp_path / "a", value)
        assert store.read_json(tmp_path / "a") == value
