"""The message of an error, and its way through pickle."""

import pickle

import pytest

from morsescape.errors import ArgumentError, DataError, MorsescapeError


@pytest.mark.parametrize("kind", [MorsescapeError, ArgumentError, DataError])
def test_one_line_says_what_was_expected_what_came_and_the_cure(kind):
    error = kind("file", expected="3\n bytes", got="2", cure="fetch it again")
    assert str(error) == "file: expected 3 bytes; got 2; cure: fetch it again"


@pytest.mark.parametrize("kind", [MorsescapeError, ArgumentError, DataError])
def test_survives_the_way_back_from_a_worker_process(kind):
    error = kind("l2", expected="0 or more", got=-1.0, cure="use 0")
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is kind
    assert str(back) == str(error)
    assert (back.what, back.cure) == ("l2", "use 0")


def test_argument_error_is_a_value_error_and_data_error_is_not():
    assert issubclass(ArgumentError, ValueError)
    assert not issubclass(DataError, ValueError)
