"""A Dataset refuses what cannot be data."""

import pytest
import torch
from jaxtyping import TypeCheckError

from morsescape.data import Dataset
from morsescape.errors import ArgumentError

X = torch.rand(4, 1, 2, 3, dtype=torch.float64)
Y = torch.tensor([0, 1, 2, 1])


def with_value(value: float) -> torch.Tensor:
    x = X.clone()
    x[2, 0, 1, 1] = value
    return x


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (with_value(float("nan")), Y, "NaN or infinity in 1 images, the first at sample 2"),
        (with_value(float("inf")), Y, "NaN or infinity in 1 images, the first at sample 2"),
        (X, torch.tensor([0, 1, 3, 1]), r"integers in \[0, 3\); got 3 at sample 2"),
        (X, torch.tensor([0, -1, 2, 1]), r"integers in \[0, 3\); got -1 at sample 1"),
        (X[:0], Y[:0], "at least one, .*; got 0 images"),
        (X[:, :, :, :0], Y, r"at least one pixel; got 4 images of \(2, 0\) pixels"),
        (X[:3], Y, "as many labels as images.*; got 3 images .* and 4 labels"),
        (X.float(), Y, "float64 images .*; got torch.float32"),
        (X.squeeze(1), Y, r"shape \(n, 1, h, w\); got torch.float64 of shape \(4, 2, 3\)"),
        (X, Y.double(), "int64 labels .*; got torch.float64"),
        (X, torch.eye(4).long(), r"shape \(n,\); got torch.int64 of shape \(4, 4\)"),
    ],
)
def test_bad_data_is_refused_with_what_came(x, y, message, unchecked):
    with pytest.raises(ArgumentError, match=message):
        Dataset("mine", x, y, 3)


def test_first_takes_the_first_and_shares_memory():
    data = Dataset("mine", X, Y, 3)
    part = data.first(3)
    assert torch.equal(part.x, X[:3])
    assert torch.equal(part.y, Y[:3])
    assert part.x.data_ptr() == data.x.data_ptr()
    assert (len(part), part.image_shape, part.classes) == (3, (2, 3), 3)


@pytest.mark.parametrize("samples", [0, -1, 5])
def test_more_samples_than_there_are_or_none_are_refused(samples):
    with pytest.raises(ArgumentError, match=f"samples: expected 1 to 4, .*; got {samples};"):
        Dataset("mine", X, Y, 3).first(samples)


def test_signatures_are_checked_while_the_tests_run():
    with pytest.raises(TypeCheckError):
        Dataset("mine", X.squeeze(1), Y, 3)
