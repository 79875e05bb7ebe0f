"""Inputs and outputs of several parts, in the forms that people have them."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import morsescape as ms
from strangers.small import EXPECTED, N, X, Y, small
from strangers.truth import agrees, clear, normal, rows, seeded, truth

# -- inputs ---------------------------------------------------------------------------------------


@dataclass
class Batch:
    values: Tensor
    scale: Tensor


torch.utils._pytree.register_dataclass(Batch)
Pair = namedtuple("Pair", ["values", "scale"])


class Positional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = small()

    def forward(self, values: Tensor, scale: Tensor) -> Tensor:
        return self.net(values * scale)


class Whole(Positional):
    """One argument that holds all."""

    def forward(self, batch: Any) -> Tensor:  # type: ignore[override]
        if isinstance(batch, dict):
            return self.net(batch["values"] * batch["scale"])
        values, scale = (batch.values, batch.scale) if hasattr(batch, "values") else batch
        return self.net(values * scale)


class Optional(Positional):
    """As the models of transformers: keywords, most of which are left out."""

    def forward(  # type: ignore[override]
        self, values: Tensor | None = None, mask: Tensor | None = None, scale: Tensor | None = None
    ) -> dict[str, Tensor]:
        assert values is not None
        assert mask is None
        return {"logits": self.net(values if scale is None else values * scale)}


SCALE = normal(N, 1, seed=11).abs() + 0.5
SCALED = truth(small, lambda model: F.cross_entropy(model(X.double() * SCALE.double()), Y))
INPUTS: dict[str, tuple[type[nn.Module], Any]] = {
    "a tuple over the arguments": (Positional, (X, SCALE)),
    "a list as a whole": (Whole, [X, SCALE]),
    "a dictionary over the names": (Positional, {"scale": SCALE, "values": X}),
    "a tuple as a whole": (Whole, (X, SCALE)),
    "a dictionary as a whole": (Whole, {"values": X, "scale": SCALE}),
    "a dataclass as a whole": (Whole, Batch(X, SCALE)),
    "a named tuple as a whole": (Whole, Pair(X, SCALE)),
    "some of the keywords": (Optional, {"values": X, "scale": SCALE}),
    "NumPy in a tuple": (Positional, (X.numpy(), SCALE.numpy())),
}


@pytest.mark.parametrize("name", INPUTS)
def test_inputs_of_several_parts(name: str) -> None:
    make, x = INPUTS[name]

    def made() -> nn.Module:
        model = make()
        model.net = seeded(small)
        return model

    agrees(ms.Objective(made(), "cross_entropy", (x, Y)), SCALED)


def test_parts_of_different_lengths_are_refused() -> None:
    with pytest.raises(ms.MorsescapeError) as refusal:
        ms.Objective(Positional(), "cross_entropy", ((X, SCALE[:-1]), Y))
    clear(refusal.value, "samples")


def test_parts_of_other_names_are_refused() -> None:
    with pytest.raises((ms.MorsescapeError, TypeError)) as refusal:
        ms.Objective(Positional(), "cross_entropy", ({"values": X, "size": SCALE}, Y))
    assert "size" in str(refusal.value) or "scale" in str(refusal.value)


# -- outputs --------------------------------------------------------------------------------------


@dataclass
class Out:
    logits: Tensor
    hidden: Tensor


class Several(nn.Module):
    def __init__(self, form: str) -> None:
        super().__init__()
        self.net, self.form = small(), form

    def forward(self, x: Tensor) -> Any:
        h = self.net[:2](x)
        logits = self.net[2](h)
        return {
            "dict": lambda: {"hidden": h, "logits": logits},
            "other": lambda: {"a": h, "scores": logits},
            "tuple": lambda: (logits, h),
            "list": lambda: [h, logits],
            "dataclass": lambda: Out(logits, h),
            "named": lambda: namedtuple("O", ["hidden", "scores"])(h, logits),
            "nested": lambda: {"head": {"first": (logits, None)}, "loss": None},
        }[self.form]()


def several(form: str) -> nn.Module:
    model = Several(form)
    model.net = seeded(small)
    return model


CHOSEN: dict[str, tuple[str, Any]] = {
    "a key": ("other", "scores"),
    "an index": ("tuple", 0),
    "a negative index": ("list", -1),
    "a field": ("dataclass", "logits"),
    "a field of a named tuple": ("named", "scores"),
    "a function": ("nested", lambda out: out["head"]["first"][0]),
    "logits though they would be found": ("dict", "logits"),
}


@pytest.mark.parametrize("name", CHOSEN)
def test_output_chooses(name: str) -> None:
    form, output = CHOSEN[name]
    loss: Any = nn.CrossEntropyLoss() if form in ("tuple", "nested") else "cross_entropy"
    agrees(ms.Objective(several(form), loss, (X, Y), output=output), EXPECTED)


def test_logits_need_no_choice() -> None:
    agrees(ms.Objective(several("dict"), "cross_entropy", (X, Y)), EXPECTED)


@pytest.mark.parametrize("form", ["other", "tuple", "nested"])
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_without_a_choice_it_is_asked_for(form: str, loss: str) -> None:
    with pytest.raises(ms.MorsescapeError) as refusal:
        ms.Objective(several(form), loss, (X, Y))
    clear(refusal.value, "output=")


@pytest.mark.parametrize("output", ["nothing", 7, lambda out: out, lambda out: None])
def test_a_choice_that_is_not_there(output: Any) -> None:
    with pytest.raises(ms.MorsescapeError) as refusal:
        ms.Objective(several("dict"), "cross_entropy", (X, Y), output=output)
    clear(refusal.value, "output")


LOSSES: dict[str, tuple[str, Any]] = {
    "dict": ("dict", lambda out, y: F.cross_entropy(out["logits"], y)),
    "tuple": ("tuple", lambda out, y: F.cross_entropy(out[0], y)),
    "dataclass": ("dataclass", lambda out, y: F.cross_entropy(out.logits, y)),
    "list": ("list", lambda out, y: F.cross_entropy(out[1], y) + 0 * out[0].sum()),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_of_the_whole_output(name: str) -> None:
    form, loss = LOSSES[name]
    agrees(ms.Objective(several(form), loss, (X, Y)), EXPECTED)


def test_two_outputs_in_one_loss() -> None:
    """A classifier with a penalty on what it hides, and two kinds of targets."""

    def loss(out: Any, y: Any) -> Tensor:
        return F.cross_entropy(out["logits"], y["class"]) + F.mse_loss(out["hidden"], y["hidden"])

    hidden = normal(N, 2, seed=12)

    def value(model: nn.Module) -> Tensor:
        h = model[:2](X.double())  # type: ignore[index]
        return F.cross_entropy(model[2](h), Y) + F.mse_loss(h, hidden.double())  # type: ignore[index]

    data = X, {"class": Y, "hidden": hidden}
    agrees(ms.Objective(several("dict"), loss, data), truth(small, value))


def test_a_recurrent_layer_alone() -> None:
    def make() -> nn.Module:
        return nn.GRU(2, 2, batch_first=True)

    x, y = normal(4, 3, 2), normal(4, 2, seed=2)
    model = seeded(make).double()
    expected = rows(F.mse_loss(model(x.double())[0][:, -1], y.double()), list(model.parameters()))
    f = ms.Objective(seeded(make), lambda out, y: (out[0][:, -1] - y).square().mean(), (x, y))
    agrees(f, expected)
