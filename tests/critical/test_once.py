"""What is computed for a judged point, counted: one Hessian with its proof, decomposed once."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch

import morsescape as ms
from morsescape.critical.find import Find
from morsescape.hessian.regime import REGIMES
from morsescape.nets import build
from morsescape.rounding import kept

GENERATOR = torch.Generator().manual_seed(0)


def network(activation: str = "tanh", l2: float = 1e-2) -> ms.Objective:
    x = torch.rand(40, 1, 6, 6, generator=GENERATOR)
    model = build("mlp2", image_shape=(6, 6), classes=3, activation=activation)
    return ms.Objective(model, "cross_entropy", (x, torch.arange(40) % 3), l2=l2)


def function() -> ms.Objective:
    return ms.Objective.from_function(lambda t: ((t**2 - 1) ** 2).sum() + t[0] * t[1], 3)


class Seen(Counter[str]):
    """How often each thing was computed since the last `clear`."""

    def watch(self, patch: pytest.MonkeyPatch, where: str, name: str) -> None:
        module, _, last = where.rpartition(".")
        found: Callable[..., Any] = pytest.importorskip(module).__dict__[last]

        def counted(*args: Any, **kwargs: Any) -> Any:
            self[name] += 1
            return found(*args, **kwargs)

        patch.setattr(where, counted)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    seen = Seen()
    eigh, cholesky, lu = torch.linalg.eigh, torch.linalg.cholesky_ex, torch.linalg.lu_factor_ex

    def decomposes(way: Any) -> Any:
        def counted(matrix: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            seen["decompositions"] += 1
            return way(matrix, *args, **kwargs)

        return counted

    monkeypatch.setattr(torch.linalg, "eigh", decomposes(eigh))
    monkeypatch.setattr(torch.linalg, "eigvalsh", decomposes(torch.linalg.eigvalsh))
    monkeypatch.setattr(torch.linalg, "cholesky_ex", decomposes(cholesky))
    monkeypatch.setattr(torch.linalg, "lu_factor_ex", decomposes(lu))
    for where, name in (
        ("morsescape.hessian.value.exact_hessian", "Hessians"),
        ("morsescape.hessian.value.second_opinion", "second opinions"),
        ("morsescape.spectrum.signs.count_by_ldl", "counts by LDL"),
        ("morsescape.spectrum.index_bound._model", "traces"),
        ("morsescape.hessian.layers._find_layers", "traces"),
        ("morsescape.hessian.assembly.record_chunk", "recordings"),
        ("morsescape.hessian.gradient.record_chunk", "recordings"),
        ("morsescape.hessian.entrywise.record", "recordings"),
    ):
        seen.watch(monkeypatch, where, name)
    return seen


ONCE = {"decompositions": 1, "Hessians": 1, "second opinions": 1}


@pytest.mark.parametrize("make", [network, function])
def test_one_value_serves_whoever_asks(make: Callable[[], ms.Objective], seen: Seen) -> None:
    f = make()
    theta = f.theta + 0.1
    seen.clear()
    hessian = f.hessian_at(theta)
    assert not seen
    signs, proof = ms.inertia(hessian, method="eigh"), ms.certify(hessian)
    values, vectors = hessian.eigh()
    assert {k: seen[k] for k in ONCE} == ONCE
    assert seen["counts by LDL"] == 0
    assert signs == ms.inertia(f, theta, method="eigh")
    assert proof == ms.certify(f, theta)
    torch.testing.assert_close(hessian.mm(vectors), vectors * values, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("make", [network, function])
def test_a_point_is_judged_by_one_of_each(
    make: Callable[[], ms.Objective], seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a search, and again from elsewhere: nothing is recorded or traced that was before."""
    f, judged, before = make(), [], Find._judged

    def judge(self: Find, point: Any) -> Any:
        seen.clear()
        found = before(self, point)
        judged.append(Counter(seen))
        return found

    monkeypatch.setattr(Find, "_judged", judge)
    for start in (0.1, 0.2):
        found = ms.find_critical_point(f, f.theta + start)
        assert found.inertia is not None
        assert found.certificate.status is ms.critical.CertificateStatus.PROVED
    later = judged[1:]
    assert len(later) >= 1
    for counts in judged:
        # The certificate needs the Hessian on a box as well: that is no second one at the point.
        assert {k: counts[k] for k in ONCE} == ONCE
        assert counts["counts by LDL"] == 0
    for counts in later:
        assert counts["recordings"] == counts["traces"] == 0


def test_an_escape_and_its_first_direction_share_the_decomposition(seen: Seen) -> None:
    f = ms.Objective.from_function(lambda t: (t[0] ** 2 - 1) ** 2 + t[1] ** 2, 2)
    seen.clear()
    way = ms.escape(f, torch.zeros(2).double())
    assert way.status is ms.EscapeStatus.INDEX_ZERO
    assert seen["decompositions"] == seen["Hessians"] == way.evaluations.hessian


def test_a_third_order_point_is_decomposed_once_wherever_it_looks(seen: Seen) -> None:
    f = ms.Objective.from_function(
        lambda t: t[0] ** 3 - 3 * t[0] * t[1] ** 2 + (t @ t) ** 2, 2
    )  # a monkey saddle
    seen.clear()
    found = ms.third_order_minimum(f, torch.zeros(2).double())
    assert seen["decompositions"] == seen["Hessians"] == found.evaluations.hessian


def test_above_all_eigenpairs_the_certificate_counts_for_both(
    seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    for where in ("spectrum.signs", "critical.certify"):
        monkeypatch.setattr(sys.modules[f"morsescape.{where}"], "regime", lambda dim: REGIMES[1])
    f = network()
    point = ms.find_critical_point(f).theta
    usual = ms.inertia(f, point)
    seen.clear()
    hessian = f.hessian_at(point)
    proof, signs = ms.certify(hessian), ms.inertia(hessian)
    assert seen["counts by LDL"] == 1
    assert proof.status is ms.critical.CertificateStatus.PROVED
    assert (signs.negative, signs.null, signs.positive, signs.status) == (
        usual.negative, usual.null, usual.positive, usual.status,
    )  # fmt: skip
    assert signs.radius <= 10 * usual.radius


# -- programs that are kept -----------------------------------------------------------------------


def branching(t: torch.Tensor) -> torch.Tensor:
    """Another function on each side, chosen by a boolean that is read."""
    return t.square().sum() if bool(t[0] > 0) else (t**4).sum() + t.square().sum() / 2


def test_a_program_is_recorded_again_where_the_function_branches(seen: Seen) -> None:
    f = ms.Objective.from_function(branching, 2)
    right, left = torch.tensor([[1.0, 2.0], [-1.0, 2.0]]).double()
    seen.clear()
    for theta, recordings in ((right, 1), (2 * right, 1), (left, 2), (2 * left, 2), (right, 3)):
        enclosed = f.enclosed_hessian(theta)
        assert seen["recordings"] == recordings
        assert enclosed.estimate is None
        true = 2 * torch.ones(2) if theta[0] > 0 else 12 * theta**2 + 1
        off = enclosed.matrix - torch.diag(true.double())
        assert float(torch.linalg.matrix_norm(off, 2)) <= enclosed.radius
        gradient = f.hessian_at(theta).gradient
        torch.testing.assert_close(gradient, f.gradient(theta), rtol=1e-14, atol=0)
        seen["recordings"] = recordings


class Branching(torch.nn.Module):
    """A layer whose slope changes with the sign of its own first weight."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.layer(x)
        return torch.tanh(h) if bool(self.layer.weight[0, 0] > 0) else h**3


def test_so_is_a_network() -> None:
    x = torch.randn(6, 2, generator=GENERATOR)
    f = ms.Objective(Branching(), "mse", (x, x), l2=0.1)
    for sign in (1.0, -1.0, 1.0):
        theta = f.theta.clone()
        theta[0] = 0.7 * sign
        hessian = f.hessian_at(theta)
        point = theta.clone().requires_grad_()
        true = torch.autograd.functional.hessian(f.source.on(f.network.x, f.network.y), point)
        off = torch.linalg.matrix_norm(hessian.enclose().matrix - true, 2)
        assert float(off) <= hessian.radius + 1e-14
        torch.testing.assert_close(hessian.gradient, f.gradient(theta), rtol=1e-12, atol=1e-14)


class Masked(torch.nn.Module):
    """It looks at some samples only: a program that holds which is that of one chunk."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        some = x[:, 0] > 0
        out = torch.zeros(len(x), 2, dtype=x.dtype)
        out[some] = torch.tanh(self.layer(x[some]))
        return out


def test_a_program_of_one_chunk_is_kept_for_its_numbers(seen: Seen) -> None:
    """Until they change: then it is recorded anew."""
    x = torch.randn(6, 2, generator=GENERATOR)
    f = ms.Objective(Masked(), "mse", (x, x))
    assert f.enclosed_hessian(f.theta).estimate is None
    before = seen["recordings"]
    assert before > 0
    f.enclosed_hessian(f.theta + 1)
    assert seen["recordings"] == before
    f.network.x.neg_()
    hessian = f.enclosed_hessian(f.theta)
    assert seen["recordings"] > before
    point = f.theta.clone().requires_grad_()
    true = torch.autograd.functional.hessian(f.source.on(f.network.x, f.network.y), point)
    assert float(torch.linalg.matrix_norm(hessian.matrix - true, 2)) <= hessian.radius + 1e-14


def test_a_function_that_has_changed_is_recorded_again() -> None:
    """It reads a number that is nobody's but the caller's."""
    held = {"scale": 1.0}
    f = ms.Objective.from_function(lambda t: held["scale"] * (t.square() + t**4).sum(), 2)
    theta = torch.tensor([0.5, -0.3]).double()
    for scale in (1.0, -2.0, 3.0):
        held["scale"] = scale
        hessian = f.hessian_at(theta)
        gradient = hessian.gradient  # before the matrix, and after it
        true = torch.diag(scale * (2 + 12 * theta**2))
        torch.testing.assert_close(gradient, scale * (2 * theta + 4 * theta**3))
        torch.testing.assert_close(hessian.dense(), true)
        assert hessian.estimate is None
        again = f.hessian_at(theta)
        torch.testing.assert_close(again.dense(), true)
        torch.testing.assert_close(again.gradient, gradient)


def test_what_was_used_longest_ago_is_forgotten() -> None:
    programs, made = kept.Kept(), []

    def make(number: int) -> Callable[[], int]:
        return lambda: made.append(number) or number

    for number in range(kept._GROUPS):
        programs.get(number, None, make(number))
    programs.get(0, None, make(0))  # used again
    programs.get(kept._GROUPS, None, make(kept._GROUPS))
    assert made == list(range(kept._GROUPS + 1))
    programs.get(0, None, make(0))
    programs.get(1, None, make(1))
    assert made == [*range(kept._GROUPS + 1), 1]
