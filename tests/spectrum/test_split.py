"""H = G + R at both ends, against dense parts; what cannot be split says why."""

import json

import pytest
import torch
from torch import nn
from torch.func import jacrev

from morsescape.hessian.enclosed_matrix import EnclosedMatrix
from morsescape.objective import Objective
from morsescape.spectrum import extreme
from morsescape.spectrum.split import Split, SplitStatus, split_ends
from networks import classifier, double_backward, labelled, mlp


def split(f, radius=1e-12, **options):
    hessian = f.enclosed_hessian(f.theta)
    values = torch.linalg.eigvalsh(hessian.matrix)
    return split_ends(f.source, f.theta, hessian, values, radius, **options), values


def dense(net):
    jacobian = jacrev(lambda t: net.output(net.unflatten(t), net.x))(net.theta)
    p = net.output(net.unflatten(net.theta), net.x).detach().softmax(1)
    bend = (torch.diag_embed(p) - p[:, :, None] * p[:, None, :]) / net.samples
    return torch.einsum("ncd,nck,nke->de", jacobian, bend, jacobian)


@pytest.mark.parametrize("steps", [12, 48])
def test_the_parts_are_those_of_the_dense_matrices(steps, monkeypatch):
    monkeypatch.setattr(extreme, "_STEPS", steps)  # 12 leaves room for a Krylov space
    f = classifier((12, 16, 4), samples=60)
    parts, values = split(f, most=5)
    h, g = f.hessian(f.theta), dense(f.network)
    true, vectors = torch.linalg.eigh(h)
    assert parts.status is SplitStatus.SPLIT
    assert len(parts.top) == len(parts.bottom) == 5
    for one, v, value in zip(parts.top, vectors.flip(1).t(), true.flip(0), strict=False):
        assert one.eigenvalue == pytest.approx(float(value), abs=1e-12)
        assert one.gauss_newton == pytest.approx(float(v @ g @ v), abs=1e-9)
        assert one.rest == pytest.approx(float(v @ (h - g) @ v), abs=1e-9)
    for one, v, value in zip(parts.bottom, vectors.t(), true, strict=False):
        assert one.eigenvalue == pytest.approx(float(value), abs=1e-12)
        assert one.gauss_newton == pytest.approx(float(v @ g @ v), abs=1e-9)
        assert one.rest <= one.eigenvalue < 0
    assert parts.semidefinite
    assert values[0] < 0


def test_ritz_values_are_below_the_eigenvalues_of_g_and_near_some():
    f = classifier((6, 8, 4), samples=60)
    parts, _ = split(f, most=6)
    true = torch.linalg.eigvalsh(dense(f.network)).flip(0)
    assert len(parts.own) == 6
    for k, (value, residual) in enumerate(parts.own):
        assert value <= float(true[k]) + 1e-14
        assert float((true - value).abs().min()) <= residual + 1e-14
    assert max(residual for _, residual in parts.own) > 1e-6  # they are not those of H


def test_at_an_interpolating_point_there_is_no_rest():
    generator = torch.Generator().manual_seed(0)
    model = mlp((3, 6, 2))
    x = torch.rand(20, 3, generator=generator)
    with torch.no_grad():
        y = model.double()(x.double())
    parts, _ = split(Objective(model, "mse", (x.double(), y)))
    assert parts.bottom == ()
    assert all(abs(one.rest) < 1e-14 for one in parts.top)


def test_only_proved_signs_are_split():
    f = classifier()
    parts, values = split(f, radius=0.02)
    assert len(parts.top) == int((values > 0.02).sum()) < 15
    assert len(parts.bottom) == int((values < -0.02).sum())


def test_a_loss_that_is_not_convex_is_not_called_so():
    x, _ = labelled(12, 3, 2)
    y = torch.rand(12, 2, generator=torch.Generator().manual_seed(1)).double()
    f = Objective(mlp((3, 3, 2)), lambda output, target: (output - target).pow(4).mean(), (x, y))
    assert not split(f)[0].semidefinite


def test_a_function_has_nothing_to_split():
    f = Objective.from_function(lambda t: t[0] ** 2 - t[1] ** 2, 2)
    parts, _ = split(f)
    assert (parts.status, parts.top, parts.bottom) == (SplitStatus.NO_NETWORK, (), ())


class Backward(nn.Module):
    """An operation of which torch has no forward derivative."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(4, 3)

    def forward(self, x):
        return _Reverse.apply(self.last(x))


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(x):
        return 2 * x

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, grad):
        return 2 * grad


def test_a_model_without_forward_derivatives_says_so():
    f = Objective(Backward(), "cross_entropy", labelled(9, 4, 3))
    matrix = double_backward(f)
    values = torch.linalg.eigvalsh(matrix)
    parts = split_ends(f.source, f.theta, EnclosedMatrix(matrix, 1e-12, {}), values, 1e-12)
    assert (parts.status, parts.top) == (SplitStatus.NO_FORWARD, ())


def test_a_hessian_that_is_not_finite_is_not_split():
    f = classifier()
    matrix = torch.full((f.dim, f.dim), float("nan"), dtype=torch.float64)
    broken, none = EnclosedMatrix(matrix, float("inf"), {}), torch.zeros(0, dtype=torch.float64)
    parts = split_ends(f.source, f.theta, broken, none, float("inf"))
    assert (parts.status, parts.top) == (SplitStatus.NOT_FINITE, ())


def test_vectors_at_other_eigenvalues_are_called_rough():
    f = classifier()
    hessian = f.enclosed_hessian(f.theta)
    values = torch.linalg.eigvalsh(hessian.matrix) * 1.5
    assert split_ends(f.source, f.theta, hessian, values, 1e-12).status is SplitStatus.ROUGH


def test_it_survives_json():
    parts, _ = split(classifier())
    assert Split.from_json(json.loads(json.dumps(parts.to_json()))) == parts


def test_progress_counts_both_passes():
    steps = []
    split(classifier(samples=40), progress=lambda *step: steps.append(step))
    assert steps[-1] == (80, 80)
    assert all(total == 80 for _, total in steps)
    assert steps == sorted(steps)
