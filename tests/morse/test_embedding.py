"""Zero units: the predicted index against the certificate of the wider network."""

import pytest
import torch
from torch import nn

import morsescape as ms
from morsescape.errors import ArgumentError
from morsescape.morse import embedding, pass_over
from morsescape.morse.embedding import Embedding, embed, flip_path

CORNERS = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]]).double()
XOR = torch.tensor([[-1.0], [1], [1], [-1]]).double()


def two_layers(units, inputs=2, outputs=1, act=nn.Tanh):
    return nn.Sequential(nn.Linear(inputs, units), act(), nn.Linear(units, outputs)).double()


def xor(units, l2=0.01):
    return ms.Objective(two_layers(units), "mse", (CORNERS, XOR), l2=l2)


def drawn(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def taught(units, l2, seed=1):
    """A student with two outputs on the outputs of a teacher with four units."""
    x, w, v = drawn(seed, 20, 3), drawn(seed + 1, 3, 4), drawn(seed + 2, 4, 2)
    return ms.Objective(two_layers(units, 3, 2), "mse", (x, torch.tanh(x @ w) @ v), l2=l2)


def minimum(f, seed=0):
    found = ms.find_critical_point(f, drawn(seed, f.dim))
    assert found.certificate.proves(0)
    return found


def same_index(found, wide):
    """The truth: an interval proof in the wider network, which knows nothing of embeddings."""
    proof = ms.certify(wide, found.theta)
    assert proof.status.name == "PROVED"
    assert found.reason == ""
    assert found.index == proof.index
    return proof.index[0]


def test_zero_units_in_xor():
    f = xor(2)
    m = minimum(f)
    assert same_index(embed(f, m.theta, xor(3)), xor(3)) == 1
    assert same_index(embed(f, m.theta, xor(3), units=(1,)), xor(3)) == 1
    assert same_index(embed(f, m.theta, xor(4), units=(0, 2)), xor(4)) == 2


def test_a_ridge_between_two_singular_values():
    narrow, wide = taught(1, 0.2), taught(2, 0.2)
    found = embed(narrow, minimum(narrow).theta, wide)
    one, two = found.singular_values.tolist()
    assert two < 0.4 < one
    assert same_index(found, wide) == 1
    assert len(found.directions) == 1
    v = found.directions[0]
    curvature = float(v @ wide.hvp(found.theta, v))
    assert curvature == pytest.approx(0.4 - one, abs=1e-12)


def test_m_is_the_error_times_the_input():
    narrow = taught(2, 0.05)
    m = minimum(narrow).theta
    found = embed(narrow, m, taught(3, 0.05))
    # By hand: L = mean over 20 samples and 2 outputs of (z - y)².
    x, w, v = drawn(1, 20, 3), drawn(2, 3, 4), drawn(3, 4, 2)
    weight, bias, out, shift = m[:6].view(2, 3), m[6:8], m[8:12].view(2, 2), m[12:]
    z = torch.tanh(x @ weight.t() + bias) @ out.t() + shift
    delta = 2 * (z - torch.tanh(x @ w) @ v) / 40
    by_hand = delta.t() @ torch.cat([x, torch.ones(20, 1).double()], 1)
    expected = torch.linalg.svdvals(by_hand)
    assert float((found.singular_values - expected).abs().max()) <= found.radius < 1e-11


def test_from_a_saddle_of_the_narrower_network():
    narrow, wide = taught(1, 0.2), taught(2, 0.2)
    start = torch.zeros(narrow.dim).double()
    found = embed(narrow, ms.find_critical_point(narrow, start, target="nearest").theta, wide)
    assert found.certificate.index == (1, 1)
    assert same_index(found, wide) == 2


def test_a_deep_network_and_another_activation():
    x, y = drawn(1, 20, 3), drawn(2, 20, 2)

    def deep(*units):
        torch.manual_seed(0)
        a, b = units
        return nn.Sequential(
            nn.Linear(3, a), nn.GELU(), nn.Linear(a, b), nn.GELU(), nn.Linear(b, 2)
        )

    narrow, wide = (ms.Objective(deep(2, b), "mse", (x, y), l2=0.02) for b in (2, 3))
    m = ms.find_critical_point(narrow)
    found = embed(narrow, m.theta, wide)
    assert found.group == "2.weight[0]"
    same_index(found, wide)


def test_an_error_wider_than_the_gap_is_undecided(monkeypatch):
    f = xor(2)
    m = minimum(f).theta
    assert embed(f, m, xor(3)).singular_values[0] - 0.02 < 0.01
    monkeypatch.setattr(embedding, "_error", lambda *_: 0.01)
    found = embed(f, m, xor(3))
    assert found.index == (0, 1)
    assert not found.decided


def test_off_a_critical_point_nothing_is_known():
    f = xor(2)
    found = embed(f, drawn(3, f.dim), xor(3))
    assert found.index == (0, xor(3).dim)
    assert "narrower network" in found.reason


@pytest.mark.parametrize("act", [nn.Softplus, nn.Sigmoid])
def test_units_that_are_not_zero_at_zero_are_refused(act):
    narrow, wide = (
        ms.Objective(two_layers(k, act=act), "mse", (CORNERS, XOR), l2=0.01) for k in (2, 3)
    )
    with pytest.raises(ArgumentError, match="their incoming or their outgoing"):
        embed(narrow, narrow.theta, wide)


def test_refusals():
    f = xor(2)
    with pytest.raises(ArgumentError, match="more units in one group"):
        embed(f, f.theta, xor(2))
    deeper = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 1))
    with pytest.raises(ArgumentError, match="more units in one group"):
        embed(f, f.theta, ms.Objective(deeper, "mse", (CORNERS, XOR), l2=0.01))
    with pytest.raises(ArgumentError, match="1 of the 3 units"):
        embed(f, f.theta, xor(3), units=(0, 1))
    with pytest.raises(ArgumentError, match="value of the narrower network"):
        embed(f, f.theta, ms.Objective(two_layers(3), "mse", (CORNERS, -XOR), l2=0.01))
    with pytest.raises(ArgumentError, match="different places"):
        embed(f, f.theta, xor(3), units=(1, 1))


def on_a_line(units):
    """The identity on three points, without a bias at the end."""
    x = torch.tensor([[-1.0], [0.0], [1.0]]).double()
    layers = nn.Linear(1, units), nn.Tanh(), nn.Linear(units, 1, bias=False)
    return ms.Objective(nn.Sequential(*layers), "mse", (x, x), l2=0.1)


def test_a_pass_for_nothing_and_the_flip_over_it(tmp_path):
    narrow, wide = on_a_line(1), on_a_line(2)
    found = embed(narrow, minimum(narrow).theta, wide)
    found.save(tmp_path / "embedding")
    assert Embedding.load(tmp_path / "embedding").index == (1, 1)
    saddle = ms.find_saddle(wide, found.theta)
    over = pass_over(wide, saddle)
    assert over.proved
    ends = [side.minimum.theta for side in over.sides]
    assert ms.same_solution(wide, *ends)
    assert float((ends[0] - ends[1]).norm()) > 0.1
    path = flip_path(narrow, wide, over.sides[0].minimum, 1)
    assert path.height.estimate is None
    assert path.height.low - 1e-15 <= saddle.value <= path.height.high
    assert path.height.high < saddle.value + 1e-5
    assert wide.value(path(1.0)) == pytest.approx(wide.value(path(0.0)), abs=1e-15)
    assert float((path(0.0) - path(1.0)).norm()) > 0.1


def test_an_unstable_direction_leads_to_a_lower_minimum():
    narrow, wide = xor(2), xor(4)
    found = embed(narrow, minimum(narrow).theta, wide)
    below = ms.find_critical_point(wide, found.theta + 0.05 * found.directions.sum(0))
    assert below.certificate.proves(0)
    assert below.value < wide.value(found.theta) - 1e-5
    saddle = ms.find_saddle(wide, found.theta + 0.05 * found.directions[1])
    assert saddle.certificate.proves(1)
