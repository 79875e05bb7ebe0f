"""What is refused before any number is computed, with the message a person reads."""

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from morsescape.errors import ArgumentError
from morsescape.objective import Objective
from networks import double_backward, labelled, mlp

X, Y = labelled(6, 4, 3)


class Noisy(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x):
        return self.layer(x) + torch.rand(())


class Mixing(nn.Module):
    """Each output depends on the whole batch, and no module says so."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x):
        return self.layer(x - x.mean(0))


def chain(extra):
    return nn.Sequential(nn.Linear(4, 8), extra, nn.Linear(8, 3))


def spoiled(value):
    x = X.clone()
    x[4, 1] = value
    return x


def diverged():
    model = mlp((4, 3))
    with torch.no_grad():
        model[0].bias[0] = float("nan")
    return model


CASES = {
    "dropout": (
        lambda: Objective(chain(nn.Dropout(0.5)), "cross_entropy", (X, Y)),
        "Dropout '1' in training mode, whose output depends on noise; cure: call model.eval()",
    ),
    "batch norm": (
        lambda: Objective(chain(nn.BatchNorm1d(8)), "cross_entropy", (X, Y)),
        "BatchNorm1d '1' in training mode, whose output depends on the other samples",
    ),
    "noise": (
        lambda: Objective(Noisy().eval(), "cross_entropy", (X, Y)),
        "expected the same output for the same input",
    ),
    "batch statistics by hand": (
        lambda: Objective(Mixing().eval(), "cross_entropy", (X, Y)),
        "expected an output for each sample that does not depend on the others",
    ),
    "nan": (
        lambda: Objective(mlp((4, 3)), "cross_entropy", (spoiled(float("nan")), Y)),
        "data inputs: expected finite numbers; got nan or inf, first in sample 4",
    ),
    "inf": (
        lambda: Objective(mlp((4, 3)), "cross_entropy", (spoiled(float("inf")), Y)),
        "data inputs: expected finite numbers; got nan or inf, first in sample 4",
    ),
    "empty": (
        lambda: Objective(mlp((4, 3)), "cross_entropy", (X[:0], Y[:0])),
        "same number of samples, at least one; got shapes (0, 4) and (0,)",
    ),
    "lengths": (
        lambda: Objective(mlp((4, 3)), "cross_entropy", (X, Y[:-1])),
        "got shapes (6, 4) and (5,)",
    ),
    "label too large": (
        lambda: Objective(mlp((4, 3)), "cross_entropy", (X, Y + 1)),
        "targets: expected labels of shape (N,) in 0 .. 2",
    ),
    "probabilities that do not sum to one": (
        lambda: Objective(mlp((4, 3)), "cross_entropy", (X, torch.rand(6, 3).double())),
        "targets: expected class probabilities: not negative, each row summing to 1",
    ),
    "mse shape": (
        lambda: Objective(mlp((4, 3)), "mse", (X, torch.rand(6, 2).double())),
        "targets: expected shape (N, 3) like the output; got (6, 2)",
    ),
    "unknown loss": (
        lambda: Objective(mlp((4, 3)), "hinge", (X, Y)),
        "loss: expected 'cross_entropy', 'mse' or a function",
    ),
    "sum instead of mean": (
        lambda: Objective(
            mlp((4, 3)), lambda z, y: nn.functional.cross_entropy(z, y, reduction="sum"), (X, Y)
        ),
        "cure: return the mean (reduction='mean' in torch's losses)",
    ),
    "diverged": (
        lambda: Objective(diverged(), "cross_entropy", (X, Y)),
        "model: expected finite outputs at its own parameters; got nan or inf",
    ),
    "all frozen": (
        lambda: Objective(mlp((4, 3)).requires_grad_(False), "cross_entropy", (X, Y)),
        "model: expected at least one parameter that requires a gradient; got none",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_refused_with_the_cure(name, unchecked):
    make, message = CASES[name]
    with pytest.raises(ArgumentError) as error:
        make()
    assert message in str(error.value)
    assert "cure:" in str(error.value)


def test_dropout_that_does_nothing_is_no_reason_to_refuse():
    assert Objective(chain(nn.Dropout(0.0)), "cross_entropy", (X, Y)).dim == 67
    assert Objective(chain(nn.Dropout(0.5)).eval(), "cross_entropy", (X, Y)).dim == 67


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.bool])
def test_labels_may_be_of_any_integer_type(dtype):
    x, y = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)), torch.arange(6) % 2
    model = mlp((4, 2))
    own, usual = (Objective(model, "cross_entropy", (x, t)) for t in (y.to(dtype), y))
    assert own.value(own.theta) == usual.value(usual.theta)
    assert torch.equal(own.hessian(own.theta), usual.hessian(usual.theta))


def test_attention_whose_fused_kernels_have_no_second_derivative_is_right():
    layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True).eval()
    model = nn.Sequential(layer, nn.Flatten(), nn.Linear(12, 2))
    x, y = torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(0)), torch.arange(5) % 2
    f = Objective(model, "cross_entropy", (x, y))
    hessian = f.hessian(f.theta)
    torch.testing.assert_close(hessian @ f.theta, f.hvp(f.theta, f.theta))
    with sdpa_kernel(SDPBackend.MATH):
        expected = double_backward(f)
    torch.testing.assert_close(hessian, expected, rtol=1e-9, atol=1e-12)


def test_frozen_parameters_are_no_variables():
    model = mlp((4, 5, 3))
    model[0].requires_grad_(False)
    assert Objective(model, "cross_entropy", (X, Y)).dim == 18


def test_a_loss_of_ones_own_equals_the_named_one():
    own = Objective(mlp((4, 3)), nn.functional.cross_entropy, (X, Y))
    named = Objective(mlp((4, 3)), "cross_entropy", (X, Y))
    torch.testing.assert_close(own.hessian(own.theta), named.hessian(named.theta))


class _MixesImaginaryParts(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x):
        z = self.layer(x)
        return torch.complex(z, z - z.mean(0))


@pytest.mark.filterwarnings("error:Casting complex")
def test_imaginary_parts_that_mix_samples_are_refused():
    with pytest.raises(ArgumentError, match="does not depend on the others"):
        Objective(_MixesImaginaryParts(), lambda z, y: z.abs().square().mean(), (X, Y))
