"""Models and losses as people wrap them: right, or refused in a sentence."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import prune

import morsescape as ms
from strangers.small import EXPECTED, N, X, Y, small
from strangers.truth import (
    agrees,
    clear,
    labels,
    normal,
    plain,
    right_or_refused,
    rows,
    seeded,
    truth,
)

# -- models ---------------------------------------------------------------------------------------


def pruned(structured: bool) -> nn.Module:
    model = seeded(small)
    if structured:
        prune.ln_structured(model[2], "weight", 0.5, n=2, dim=0)
    else:
        prune.l1_unstructured(model[0], "weight", 0.5)
        prune.random_unstructured(model[0], "bias", 1)
    return model


@pytest.mark.parametrize("structured", [False, True])
def test_pruned(structured: bool) -> None:
    """θ is what prune calls weight_orig; where it is masked nothing depends on it."""
    model = pruned(structured).double()
    named = dict(model.named_parameters()) | dict(model.named_buffers())
    x = X.double()
    for i, layer in enumerate(model):  # type: ignore[arg-type]
        if isinstance(layer, nn.Linear):
            w, b = (
                named[f"{i}.{n}_orig"] * named[f"{i}.{n}_mask"]
                if f"{i}.{n}_orig" in named
                else named[f"{i}.{n}"]
                for n in ("weight", "bias")
            )
            x = F.linear(x, w, b)
        else:
            x = layer(x)
    expected = rows(F.cross_entropy(x, Y), list(model.parameters()))
    result = agrees(ms.Objective(pruned(structured), "cross_entropy", (X, Y)), expected)
    assert result.null[1] >= sum(int((b == 0).sum()) for b in model.buffers())


def test_hooked() -> None:
    """Hooks that look on, before and behind a layer, and one that doubles what passes."""
    seen: list[int] = []
    model = seeded(small)
    model[0].register_forward_hook(lambda m, i, o: seen.append(len(o)))
    model[0].register_forward_pre_hook(lambda m, i: seen.append(len(i[0])))
    agrees(ms.Objective(model, "cross_entropy", (X, Y)), EXPECTED)
    model[1].register_forward_hook(lambda m, i, o: 2 * o)

    def doubled(model: nn.Module) -> Tensor:
        return F.cross_entropy(model[2](2 * model[:2](X.double())), Y)  # type: ignore[index]

    agrees(ms.Objective(model, "cross_entropy", (X, Y)), truth(small, doubled))


def test_in_parallel() -> None:
    f = ms.Objective(nn.DataParallel(seeded(small)), "cross_entropy", (X, Y))
    agrees(f, EXPECTED)


def test_parallel_inside() -> None:
    def made() -> nn.Module:
        model = seeded(small)
        return nn.Sequential(nn.DataParallel(model[0]), model[1], model[2])  # type: ignore[index]

    agrees(ms.Objective(made(), "cross_entropy", (X, Y)), EXPECTED)


def test_averaged() -> None:
    averaged = torch.optim.swa_utils.AveragedModel(seeded(small))
    agrees(ms.Objective(averaged, "cross_entropy", (X, Y)), EXPECTED)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.parametrize("form", ["script", "trace", "inside"])
def test_scripted(form: str) -> None:
    model = seeded(small)
    made = {
        "script": lambda: torch.jit.script(model),
        "trace": lambda: torch.jit.trace(model, X),
        "inside": lambda: nn.Sequential(torch.jit.script(model), nn.Identity()),
    }[form]()
    result = right_or_refused(
        lambda: ms.Objective(made, "cross_entropy", (X, Y)), EXPECTED, "script"
    )
    assert result is None or form == "inside"


@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature:UserWarning")
def test_lazy() -> None:
    model = seeded(lambda: nn.Sequential(nn.LazyLinear(2), nn.Tanh(), nn.LazyLinear(2)))
    with pytest.raises(ms.MorsescapeError) as refusal:
        ms.Objective(model, "cross_entropy", (X, Y))
    clear(refusal.value, "lazy", "uninitialized", "initial")
    with torch.no_grad():
        model(X)
    state = model.state_dict()

    def made() -> nn.Module:
        other = small()
        other.load_state_dict(state)
        return other

    f = ms.Objective(model, "cross_entropy", (X, Y))
    agrees(f, truth(made, plain("cross_entropy", (X, Y))))


def test_on_the_meta_device() -> None:
    with torch.device("meta"):
        model = small()
    with pytest.raises(ms.MorsescapeError) as refusal:
        ms.Objective(model, "cross_entropy", (X, Y))
    clear(refusal.value, "meta")


@pytest.mark.parametrize("model", [None, [nn.Linear(3, 2)], nn.Linear, lambda x: x, "mlp"])
def test_what_is_no_model(model: Any) -> None:
    with pytest.raises(ms.MorsescapeError) as refusal:
        ms.Objective(model, "cross_entropy", (X, Y))
    clear(refusal.value, "model")


class Subclass(Tensor):
    """A tensor with a class of its own."""


def test_inputs_of_a_subclass() -> None:
    f = ms.Objective(seeded(small), "cross_entropy", (X.as_subclass(Subclass), Y))
    agrees(f, EXPECTED)
    assert type(f.hessian(f.theta)) is Tensor


# -- loss modules ---------------------------------------------------------------------------------

W = torch.tensor([1.0, 3.0])  # float32, as everybody's
MODULES: dict[str, tuple[nn.Module, Any]] = {
    "class weights": (nn.CrossEntropyLoss(weight=W), Y),
    "class weights, ignored, smoothed": (
        nn.CrossEntropyLoss(weight=W, ignore_index=1, label_smoothing=0.2),
        Y,
    ),
    "probabilities": (nn.CrossEntropyLoss(), torch.tensor([[0.3, 0.7], [1.0, 0.0]]).repeat(3, 1)),
    "weighted probabilities": (
        nn.CrossEntropyLoss(weight=W),
        torch.tensor([[0.3, 0.7], [1.0, 0.0]]).repeat(3, 1),
    ),
    "pos_weight": (nn.BCEWithLogitsLoss(pos_weight=W), (normal(N, 2, seed=3) > 0).float()),
    "bce weights": (nn.BCEWithLogitsLoss(weight=W), (normal(N, 2, seed=3) > 0).float()),
    "multilabel": (nn.MultiLabelSoftMarginLoss(weight=W), (normal(N, 2, seed=3) > 0).float()),
}


@pytest.mark.parametrize("name", MODULES)
def test_loss_modules_with_weights_of_float32(name: str) -> None:
    loss, y = MODULES[name]
    f = ms.Objective(seeded(small), loss, (X, y))
    wide = {k: v.double() for k, v in loss.state_dict().items()}

    def value(model: nn.Module) -> Tensor:
        y64 = y.double() if y.is_floating_point() else y
        return torch.func.functional_call(loss, wide, (model(X.double()), y64))

    agrees(f, truth(small, value))
    assert all(v.dtype == torch.float32 for v in loss.state_dict().values())


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weight", [None, W])
def test_cross_entropy_modules_are_known_for_what_they_are(smoothing: float, weight: Any) -> None:
    """Convex in the logits and blind to their shift: the bound and the null space are known."""
    loss = nn.CrossEntropyLoss(weight=weight, label_smoothing=smoothing)
    f = ms.Objective(seeded(small), loss, (X, Y))
    result, named = ms.inertia(f), ms.inertia(ms.Objective(seeded(small), "cross_entropy", (X, Y)))
    assert result.structural_upper_bound == named.structural_upper_bound
    assert result.null_explained == named.null_explained
    assert result.status is ms.InertiaStatus.PROVED


@pytest.mark.parametrize("reduction", ["none", "sum"])
def test_other_reductions(reduction: str) -> None:
    loss = nn.CrossEntropyLoss(reduction=reduction)
    try:
        f = ms.Objective(seeded(small), loss, (X, Y))
    except ms.MorsescapeError as error:
        clear(error, "scalar" if reduction == "none" else "mean")
    else:
        pytest.fail(f"a loss that is no mean was accepted: {f}")


@pytest.mark.parametrize(
    "loss",
    [
        nn.MSELoss,
        "hinge",
        None,
        3,
        lambda o, y: None,
        lambda o, y: 3.0,
        lambda o, y: o,
        lambda o, y: o.argmax() + 1,
    ],
)
def test_what_is_no_loss(loss: Any) -> None:
    with pytest.raises(ms.MorsescapeError) as refusal:
        ms.Objective(seeded(small), loss, (X, normal(N, 2)))
    clear(refusal.value, "loss")


# -- size -----------------------------------------------------------------------------------------


def test_a_million_parameters() -> None:
    """The gradient as ever; the Hessian is refused with what it would take."""
    model = nn.Sequential(nn.Linear(784, 1200), nn.Tanh(), nn.Linear(1200, 100), nn.Tanh(),
                          nn.Linear(100, 4))  # fmt: skip
    f = ms.Objective(model, "cross_entropy", (normal(4, 784), labels(4, 4)))
    assert f.dim > 10**6
    assert f.gradient(f.theta).isfinite().all()
    assert f.hvp(f.theta, f.theta).isfinite().all()
    for ask in (f.hessian, f.enclosed_hessian, lambda t: ms.inertia(f, t)):
        with pytest.raises(ms.MorsescapeError) as refusal:
            ask(f.theta)
        clear(refusal.value, "memory", "GiB", "TiB")
    assert "parameters" in str(f.hessian_plan())
