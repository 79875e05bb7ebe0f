"""Copies under symmetries: generators that make the whole group, joined by proved paths."""

import math

import pytest
import torch

import morsescape as ms
from morsescape.paths.copies import _generators
from morsescape.paths.symmetry import symmetries


def student(hidden, out=1):
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Linear(2, hidden), torch.nn.Tanh(), torch.nn.Linear(hidden, out)
    )
    x = torch.randn(20, 2)
    return ms.Objective(net, "mse", (x, (x[:, :1] * x[:, 1:]).repeat(1, out)), l2=1e-2)


@pytest.fixture(scope="module")
def f():
    return student(3)


@pytest.fixture(scope="module")
def minimum(f):
    g = torch.Generator().manual_seed(1)
    return ms.find_critical_point(f, torch.randn(f.dim, generator=g, dtype=torch.float64))


def test_the_generators_make_every_copy(f, minimum):
    """All 3! 2^3 = 48 copies are reached from the minimum by the moves, one after the other."""
    known = symmetries(f)
    (group,) = known.groups
    moves = [move for _, move in _generators(known, group, minimum.theta)]
    assert len(moves) == 3
    seen, edge = {}, [minimum.theta]
    while edge:
        here = edge.pop()
        key = tuple(here.round(decimals=9).tolist())
        if key not in seen:
            seen[key] = here
            edge += [known.apply(here, move) for move in moves]
    assert len(seen) == math.factorial(3) * 2**3
    assert all(abs(f.value(copy) - minimum.value) < 1e-12 for copy in seen.values())


def test_all_copies_are_joined_at_a_proved_height(f, minimum):
    copies = ms.joined_copies(f, minimum)
    line = ms.joined_copies(f, minimum, method="line")
    assert copies.copies == 48
    assert minimum.value < copies.joined_at <= line.joined_at
    assert copies.joined_at == max(e.height.high for e in copies.exchanges)
    assert all(
        torch.equal(path(0.0), minimum.theta)
        and abs(f.value(path(1.0)) - minimum.value) < 1e-12
        and not torch.equal(path(1.0), minimum.theta)
        for path in copies.paths
    )
    assert "48 copies" in str(copies)


def test_resumed_and_refused(f, minimum, tmp_path, monkeypatch):
    whole = ms.joined_copies(f, minimum, method="line", out=tmp_path)
    monkeypatch.setattr("morsescape.paths.copies.connect", None)
    assert ms.joined_copies(f, minimum, method="line", out=tmp_path).joined_at == whole.joined_at
    plain = ms.Objective.from_function(lambda t: t[0] ** 2 + 2 * t[1] ** 2, 2)
    with pytest.raises(ms.ArgumentError, match="symmetries"):
        ms.joined_copies(plain, torch.ones(2).double())
