"""Groups of units are read off the network, and hold for its outputs."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import morsescape as ms
from morsescape.nets import build
from morsescape.paths import axis_rules
from morsescape.paths.symmetry import symmetries
from planted_symmetry import objective, outputs, point, residual, residual_cnn


@pytest.fixture(autouse=True)
def _the_same_networks():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def places(group):
    return [(place.name, place.dim) for place in group.places]


def assert_holds(f, known, *, scales=True, seeds=3):
    """Random elements leave the outputs as they are at random points."""
    for seed in range(seeds):
        theta = point(f, seed)
        moved = known.apply(theta, known.random(seed=seed, scales=scales))
        before, after = outputs(f, theta), outputs(f, moved)
        assert float((before - after).abs().max()) <= 1e-12 * float(before.abs().max())


@pytest.mark.parametrize(
    ("activation", "signs", "scales"),
    [
        ("tanh", ((1, 1, 1),), ()),
        ("relu", (), ((-1, -1, 1),)),
        ("gelu", (), ()),
        ("softplus", (), ()),
    ],
)
def test_the_units_of_an_mlp(activation, signs, scales):
    f = objective(build("mlp3", image_shape=(3, 3), activation=activation), (1, 3, 3))
    known = symmetries(f)
    first, second = known.groups
    assert places(first) == [("1.weight", 0), ("1.bias", 0), ("3.weight", 1)]
    assert places(second) == [("3.weight", 0), ("3.bias", 0), ("5.weight", 1)]
    assert (first.size, first.signs, first.scales) == (10, signs, scales)
    assert (second.size, second.signs, second.scales) == (10, signs, scales)
    assert known.unknown == ()
    assert_holds(f, known)


@pytest.mark.parametrize(
    ("odd", "function"),
    [
        (True, torch.sin),
        (True, torch.erf),
        (True, F.hardtanh),
        (True, F.softsign),
        (True, F.tanhshrink),
        (True, lambda x: x**3),
        (False, torch.cos),
        (False, torch.sigmoid),
        (False, F.silu),
        (False, F.elu),
        (False, lambda x: torch.tanh(x) + 1),
    ],
)
def test_signs_of_odd_functions_alone(odd, function):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.into, self.out = nn.Linear(3, 4), nn.Linear(4, 2)

        def forward(self, x):
            return self.out(function(self.into(x)))

    f = objective(Net(), (3,))
    known = symmetries(f)
    (group,) = known.groups
    # What is even needs no sign of the next layer, but flips the incoming weights all the same.
    assert group.signs == (((1, 1, 1),) if odd else ((1, 1, 0),) if function is torch.cos else ())
    assert_holds(f, known)


@pytest.mark.parametrize(
    ("function", "has"),
    [(F.relu, True), (F.leaky_relu, True), (torch.abs, True), (F.relu6, False), (F.elu, False)],
)
def test_factors_of_homogeneous_functions_alone(function, has):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.into, self.out = nn.Linear(3, 4), nn.Linear(4, 2)

        def forward(self, x):
            return self.out(function(self.into(x)))

    f = objective(Net(), (3,))
    known = symmetries(f)
    assert known.groups[0].scales == (((-1, -1, 1),) if has else ())
    assert_holds(f, known)


def test_a_channel_is_a_block_of_columns_after_flattening():
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(16, 3)
    )
    f = objective(net, (2, 4, 4))
    known = symmetries(f)
    (group,) = known.groups
    assert places(group) == [("0.weight", 0), ("0.bias", 0), ("4.weight", 1)]
    assert group.places[2].positions.tolist() == torch.arange(16).view(4, 4).tolist()
    assert len(group.signs) == 1
    assert_holds(f, known)


def test_the_maximum_takes_no_signs():
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.Tanh(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 3)
    )
    (group,) = symmetries(objective(net, (2, 4, 4))).groups
    assert group.signs == ()


def test_one_channel_has_no_order():
    f = objective(build("cnn", image_shape=(8, 8)), (1, 8, 8))
    assert symmetries(f).groups == ()


def test_a_residual_stream_is_one_group():
    f = objective(residual(blocks=2, width=6, hidden=5), (8,))
    known = symmetries(f)
    stream, *inner = known.groups
    assert (stream.size, [group.size for group in inner]) == (6, [5, 5])
    assert {("0.weight", 0), ("1.down.weight", 0), ("2.up.weight", 1), ("2.norm.weight", 0),
            ("3.weight", 1)} <= set(places(stream))  # fmt: skip
    assert_holds(f, known)


def test_equal_buffers_are_no_obstacle_and_different_ones_are_named():
    net = residual_cnn()
    f = objective(net, (2, 4, 4))
    known = symmetries(f)
    stream, inner = known.groups
    assert ("1.second.weight", 0) in places(stream)
    assert places(inner) == [("1.first.weight", 0), ("1.second.weight", 1),
                             ("1.norms.0.weight", 0), ("1.norms.0.bias", 0)]  # fmt: skip
    assert_holds(f, known)

    net[1].norms[0].running_var.copy_(torch.linspace(1, 2, 5))
    known = symmetries(objective(net, (2, 4, 4)))
    assert [group.name for group in known.groups] == [stream.name]
    assert known.unknown == (
        "1.first.weight[0], 5 units: '1.norms.0.running_var', no part of θ, tells them apart",
    )


class Functional(nn.Module):
    """Nothing but parameters and functions: a group convolution, a gate, a recurrence."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        shapes = {
            "kernel": (6, 2, 3), "mixed": (6, 1, 2), "gates": (8, 18), "back": (4, 4), "out": (2, 8)
        }  # fmt: skip
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.randn(shape, generator=generator)))

    def forward(self, x):
        h = F.conv1d(F.conv1d(x, self.kernel).relu(), self.mixed, groups=6)
        value, gate = torch.chunk(torch.einsum("nct,gct->ng", h, self.gates.view(8, 6, 3)), 2, -1)
        h = value * torch.sigmoid(gate)
        for _ in range(2):
            h = torch.tanh(h + F.linear(h, self.back))
        return torch.cat([h, h**3], 1) @ self.out.T


def test_a_module_of_ones_own():
    f = objective(Functional(), (2, 6))
    known = symmetries(f)
    channels, units = known.groups
    assert places(channels) == [("kernel", 0), ("mixed", 0), ("gates", 1)]
    assert places(units) == [("gates", 0), ("gates", 0), ("back", 0), ("back", 1),
                             ("out", 1), ("out", 1)]  # fmt: skip
    assert units.places[1].positions.flatten().tolist() == [4, 5, 6, 7]
    assert units.signs == ((1, 0, 1, 1, 1, 1),)
    assert_holds(f, known)


def test_attention_heads_and_groups_of_channels():
    layer = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True, dropout=0.0).eval()
    f = objective(layer, (4, 8))
    known = symmetries(f)
    assert [group.size for group in known.groups] == [2, 4, 12]
    assert_holds(f, known)
    grouped = nn.Sequential(
        nn.Conv2d(2, 6, 1), nn.GroupNorm(2, 6), nn.SiLU(), nn.Flatten(), nn.Linear(24, 2)
    )
    f = objective(grouped, (2, 2, 2))
    known = symmetries(f)
    assert [group.size for group in known.groups] == [2, 3]
    assert_holds(f, known)


def test_a_recurrent_layer_of_torchs():
    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.cells, self.out = nn.RNN(3, 5, batch_first=True), nn.Linear(5, 2)

        def forward(self, x):
            return self.out(self.cells(x)[0][:, -1])

    f = objective(Last(), (4, 3))
    known = symmetries(f)
    (group,) = known.groups
    assert ("cells.weight_hh_l0", 0) in places(group)
    assert ("cells.weight_hh_l0", 1) in places(group)
    assert len(group.signs) == 1
    assert_holds(f, known)


def test_tied_weights():
    class Autoencoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.into, self.shift = nn.Linear(6, 4), nn.Parameter(torch.zeros(6))

        def forward(self, x):
            return torch.sigmoid(self.into(x)) @ self.into.weight + self.shift

    f = objective(Autoencoder(), (6,))
    known = symmetries(f)
    (group,) = known.groups
    assert places(group) == [("into.weight", 0), ("into.bias", 0)]
    assert_holds(f, known)


class Turned(nn.Module):
    def __init__(self):
        super().__init__()
        self.into, self.out = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x):
        h = torch.tanh(self.into(x))
        return self.out(h + h.flip(1))


def test_what_is_not_understood_is_named():
    class Sorted(Turned):
        def forward(self, x):
            return self.out(torch.fft.rfft(self.into(x)).abs().repeat(1, 2)[:, :4])

    known = symmetries(objective(Sorted(), (3,)))
    assert known.groups == ()
    assert any(reason.startswith("into.weight[0], 4 units: ") for reason in known.unknown)


def test_a_wrong_rule_gives_no_wrong_symmetry(monkeypatch):
    assert symmetries(objective(Turned(), (3,))).unknown == (
        "into.weight[0], 4 units: flip turns it round",
    )
    monkeypatch.setitem(axis_rules._RULES, "flip", axis_rules._same)
    known = symmetries(objective(Turned(), (3,)))
    assert known.groups == ()
    assert known.unknown == ("into.weight[0], 4 units: permuting them changes an output",)


def test_frozen_parameters_are_constants():
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    net[2].weight.requires_grad_(False)
    known = symmetries(objective(net, (3,)))
    assert known.groups == ()
    assert known.unknown == ("0.weight[0], 4 units: '2.weight', no part of θ, tells them apart",)


def test_a_function_has_the_symmetries_that_it_shows():
    f = ms.Objective.from_function(lambda t: (t**2).sum() + t[0] ** 4, 5)
    known = symmetries(f)
    assert known.groups == ()
    assert known.unknown == ("theta[0], 5 units: select takes single entries",)
    f = ms.Objective.from_function(lambda t: (t**2).sum() + t.sum() ** 2, 5)
    (group,) = symmetries(f).groups
    assert (group.name, group.size, group.signs) == ("theta[0]", 5, ())


def test_nothing_of_the_callers_changes():
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    before, state = [p.detach().clone() for p in net.parameters()], torch.get_rng_state()
    f = objective(net, (3,))
    theta = f.theta.clone()
    known = symmetries(f)
    known.apply(f.theta, known.random(seed=3, scales=True))
    assert torch.equal(f.theta, theta)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(p, q) for p, q in zip(before, net.parameters(), strict=True))


@pytest.mark.parametrize(
    ("activation", "moved"), [(nn.Tanh, "permuted or flipped"), (nn.ReLU, "permuted or rescaled")]
)
def test_channels_between_convolutions_are_moved(activation, moved):
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1), activation(), nn.Conv2d(3, 4, 3, stride=2), activation(),
        nn.Conv2d(4, 3, 1), activation(), nn.Flatten(), nn.Linear(27, 3),
    )  # fmt: skip
    f = ms.Objective(net, "cross_entropy", (torch.randn(9, 2, 8, 8), torch.randint(0, 3, (9,))))
    found = symmetries(f)
    assert [group.size for group in found.groups] == [3, 4, 3]
    assert str(found).count(f"units that may be {moved}") == 3
