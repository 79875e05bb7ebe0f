"""The table of operations: its rows, and what it says of parts that are known."""

import pytest
import torch
from campaign.recipes import ACTIVATIONS, LAYERS, LOSSES
from operations_page import measured, unnamed
from torch import nn


def test_every_module_of_torch_has_a_row_or_a_reason():
    if torch.__version__.split("+")[0] != "2.13.0":
        pytest.skip("other versions of torch have other modules")
    assert unnamed() == []


def test_a_linear_layer_is_proved_throughout():
    row = measured("Linear", LAYERS["Linear"])
    assert (row.hessian, row.inertia, row.critical) == ("proved", "proved", "proved")


def test_kinks_and_refusals_are_named():
    assert "not smooth" in measured("ReLU", ACTIVATIONS["ReLU"]).critical

    def noisy():
        model, loss, data = LOSSES['"mse"']()
        return nn.Sequential(model, Noise()), loss, data

    class Noise(nn.Module):
        def forward(self, x):
            return x + torch.rand_like(x)

    assert measured("noise", noisy).hessian.startswith("refused: ")


def test_an_error_of_another_kind_is_shown_as_one():
    def broken():
        raise TypeError("of | something")

    assert measured("broken", broken).hessian == "**error**: TypeError: of \\| something"
