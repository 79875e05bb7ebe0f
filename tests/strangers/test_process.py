"""Whatever a model does, the process is as before: torch differentiates, and no setting moved."""

from __future__ import annotations

import subprocess
import sys
import warnings
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

import morsescape as ms
from morsescape.critical import Certificate
from strangers.truth import agrees, labels, normal, plain, seeded, truth

# Each of these chooses among values; some have broken torch's later derivatives, or the process.
CHOOSING = """
import torch, morsescape as ms
from torch import nn
CHOICES = {
    "quantile": lambda h: h.quantile(0.8, dim=1, keepdim=True),
    "quantile of all": lambda h: h.quantile(0.5),
    "nanquantile": lambda h: h.nanquantile(0.8, dim=1, keepdim=True),
    "median": lambda h: h.median(1, keepdim=True).values,
    "median of all": lambda h: h.median(),
    "nanmedian": lambda h: h.nanmedian(1, keepdim=True).values,
    "mode": lambda h: h.mode(1, keepdim=True).values,
    "kthvalue": lambda h: h.kthvalue(2, 1, keepdim=True).values,
    "msort": lambda h: torch.msort(h.t()).t()[:, :1],
    "topk": lambda h: h.topk(1, 1).values,
    "histc": lambda h: h + torch.histc(h.detach(), 3).sum(),
    "unique": lambda h: h + torch.unique((h * 0).detach()).sum(),
    "nonzero": lambda h: h + (h > 9).nonzero().sum(),
    "masked_select": lambda h: h + h[h > -99].sum() * 0,
    "searchsorted": lambda h: h + torch.searchsorted(torch.zeros(1).double(), h.detach()),
    "bincount": lambda h: h + torch.bincount(h.argmax(1)).sum(),
    "cummax": lambda h: h.cummax(1).values,
    "svd": lambda h: torch.linalg.svdvals(h)[:1],
    "no such choice": lambda h: h.no_such_choice(),
}
class M(nn.Module):
    def __init__(self, choice):
        super().__init__()
        torch.manual_seed(0)
        self.l, self.o, self.choice = nn.Linear(3, 3), nn.Linear(3, 2), choice
    def forward(self, x):
        h = self.l(x)
        return self.o(torch.tanh(h / (2 + self.choice(h))))
x, y = torch.randn(6, 3, generator=torch.Generator().manual_seed(1)), torch.arange(6) % 2
for name, choice in CHOICES.items():
    if name == "no such choice":  # the user's own mistake comes through as it is
        try:
            ms.Objective(M(choice), "cross_entropy", (x, y))
        except AttributeError:
            print(name, "ok")
        continue
    try:
        f = ms.Objective(M(choice), "cross_entropy", (x, y))
        for ask in (f.value, f.gradient, f.hessian, lambda t: ms.inertia(f, t)):
            try:
                ask(f.theta)
            except ms.MorsescapeError as error:
                assert "cure: " in str(error) and "attention" not in str(error), error
    except ms.MorsescapeError as error:
        assert "cure: " in str(error)
    H = torch.autograd.functional.hessian(lambda v: v.square().sum(), torch.ones(3))
    assert torch.equal(H, 2 * torch.eye(3)), f"torch is broken after {name}"
    by_func = torch.func.hessian(lambda v: v.pow(3).sum())(torch.ones(2))
    assert torch.equal(by_func, 6 * torch.eye(2)), f"torch.func is broken after {name}"
    print(name, "ok", flush=True)
"""


def test_operations_that_choose_leave_the_process_alive() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CHOOSING],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-600:]
    assert done.stdout.count(" ok") == 19


class Fails(nn.Module):
    """Raises in its n-th call."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.l, self.left = nn.Linear(3, 2), [after]

    def forward(self, x: Tensor) -> Tensor:
        self.left[0] -= 1
        if self.left[0] < 0:
            raise KeyError("the model's own error")
        return self.l(x)

    def __deepcopy__(self, memo: object) -> Fails:
        return self  # the count is shared with the copy


def settings() -> tuple[object, ...]:
    return (
        torch.get_default_dtype(), torch.is_grad_enabled(), torch.is_inference_mode_enabled(),
        torch.get_num_threads(), torch.is_anomaly_enabled(), torch.get_default_device(),
        torch.are_deterministic_algorithms_enabled(), torch.is_autocast_enabled("cpu"),
        torch.backends.cuda.math_sdp_enabled(), torch.backends.cuda.flash_sdp_enabled(),
        torch.backends.mkldnn.enabled, torch.get_float32_matmul_precision(),
        tuple(warnings.filters),
        torch._C._functorch.peek_interpreter_stack(),
    )  # fmt: skip


@pytest.mark.parametrize("after", range(0, 40, 3))
def test_a_model_that_fails_in_the_middle(after: int) -> None:
    """Its own error comes through as it is, and nothing of the process has moved."""
    before, state = settings(), torch.get_rng_state()
    model = seeded(lambda: Fails(after)).double()
    data = normal(5, 3), labels(5)
    try:
        f = ms.Objective(model, "cross_entropy", data, l2=0.1)
        ms.inertia(f)
        ms.find_critical_point(f, max_steps=5)
    except KeyError as error:
        assert "the model's own error" in str(error)  # noqa: PT017 - or it did not come so far
    assert settings() == before
    assert torch.equal(torch.get_rng_state(), state)
    healthy = ms.Objective(seeded(lambda: nn.Linear(3, 2)), "cross_entropy", data)
    agrees(healthy, truth(lambda: nn.Linear(3, 2), plain("cross_entropy", data)))


CONTEXTS = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "enable_grad": torch.enable_grad,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "anomaly": lambda: torch.autograd.set_detect_anomaly(True),
    "a device": lambda: torch.device("cpu"),
    "the meta device": lambda: torch.device("meta"),
}


def rectified() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


class Answers(NamedTuple):
    gradient: Tensor
    hessian: Tensor
    inertia: ms.Inertia
    certificate: Certificate


@pytest.fixture(scope="module")
def outside() -> Answers:
    """What is answered in no context at all."""
    f = ms.Objective(seeded(rectified), "cross_entropy", (normal(5, 3), labels(5)))
    theta = f.theta
    return Answers(f.gradient(theta), f.hessian(theta), ms.inertia(f), ms.certify(f, theta))


@pytest.mark.filterwarnings("ignore:Anomaly Detection:UserWarning")
@pytest.mark.parametrize("name", CONTEXTS)
def test_in_any_context_the_answer_is_the_same(name: str, outside: Answers) -> None:
    data = normal(5, 3), labels(5)
    model = seeded(rectified)
    with CONTEXTS[name]():
        again = ms.Objective(model, "cross_entropy", data)
        gradient, hessian = again.gradient(again.theta), again.hessian(again.theta)
        result = ms.inertia(again)
        certificate = ms.certify(again, again.theta)
    assert torch.equal(hessian, outside.hessian)
    assert torch.equal(gradient, outside.gradient)
    assert not hessian.is_inference()
    assert result == outside.inertia
    assert certificate.status is outside.certificate.status


def test_with_another_default_dtype() -> None:
    def make() -> nn.Module:
        return nn.Sequential(nn.Linear(3, 2), nn.Softplus(), nn.Linear(2, 2)).float()

    data = normal(5, 3), labels(5)
    expected = truth(make, plain("cross_entropy", data))
    model = seeded(make)
    try:
        torch.set_default_dtype(torch.float64)
        agrees(ms.Objective(model, "cross_entropy", data), expected)
        torch.set_default_dtype(torch.bfloat16)
        agrees(ms.Objective(model, "cross_entropy", data), expected)
    finally:
        torch.set_default_dtype(torch.float32)


class Autocasts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return self.b(torch.tanh(self.a(x)))


def test_autocast_inside_forward_is_said() -> None:
    """In half precision f is a step function: refused, or said in the answer."""
    data = normal(5, 3), labels(5)
    try:
        result = ms.inertia(ms.Objective(seeded(Autocasts), "cross_entropy", data))
    except ms.MorsescapeError as error:
        assert any(word in str(error) for word in ("autocast", "bfloat16"))  # noqa: PT017
    else:
        assert result.status is not ms.InertiaStatus.PROVED
        assert "autocast" in str(result) or "bfloat16" in str(result)
