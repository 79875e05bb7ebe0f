"""Solutions are compared up to the symmetries of their network."""

from dataclasses import replace
from itertools import permutations, product

import pytest
import torch
from torch import nn

import morsescape as ms
from morsescape.nets import build
from morsescape.paths import matching
from morsescape.paths.alignment import align, same_solution
from morsescape.paths.canonical import balanced, canonical
from morsescape.paths.moves import Move
from morsescape.paths.symmetry import symmetries
from planted_symmetry import objective, outputs, point, residual, residual_cnn


@pytest.fixture(autouse=True)
def _the_same_networks():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def mlp(activation):
    return objective(build("mlp3", image_shape=(3, 3), activation=activation), (1, 3, 3))


def cnn():
    net = nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 5, 1), nn.ReLU(),
        nn.Flatten(), nn.Linear(20, 3),
    )  # fmt: skip
    return objective(net, (2, 4, 4))


def stream():
    return objective(residual(blocks=2, width=8, hidden=12), (8,))


NETWORKS = {
    "tanh": lambda: mlp("tanh"),
    "relu": lambda: mlp("relu"),
    "cnn": cnn,
    "batch norm": lambda: objective(residual_cnn(), (2, 4, 4)),
    "layer norm": stream,
}


@pytest.fixture(params=NETWORKS)
def f(request):
    return NETWORKS[request.param]()


# -- copies are found ---------------------------------------------------------------------------


def test_a_planted_permutation_of_a_residual_network_is_recovered_every_time():
    f = objective(residual(blocks=3, width=32, hidden=64), (8,))
    known = symmetries(f)
    for seed in range(20):
        a = point(f, seed)
        found = align(f, a, known.apply(a, known.random(seed=seed)), seed=seed)
        assert torch.equal(found.theta, a)
        assert found.distance_before > 30
        assert found.distance_after == found.gap == 0


@pytest.mark.parametrize("start", ["from_known", "from_signatures"])
def test_so_do_starts_by_weights_alone(start):
    f = objective(residual(blocks=3, width=16, hidden=24), (8,))
    known = symmetries(f)
    for seed in range(5):
        a = f.source.unflatten(point(f, seed))
        b = f.source.unflatten(known.apply(point(f, seed), known.random(seed=seed)))
        begun = getattr(matching, start)(known.groups, a, matching.Matched(b))
        generator = torch.Generator().manual_seed(seed)
        found, _ = matching.descend(known.groups, a, begun, generator)
        assert all(torch.equal(found.parameters[name], a[name]) for name in a)


@pytest.mark.parametrize("by", ["weights", "activations"])
def test_a_copy_is_found(f, by):
    known = symmetries(f)
    for seed in range(3):
        a = point(f, seed)
        move = known.random(seed=seed)
        b = known.apply(a, move)
        found = align(f, a, b, by=by)
        assert torch.equal(found.theta, a)
        # It is the inverse that was found.
        for name, order in move.permutations.items():
            assert torch.equal(found.permutations[name], order.argsort())


def test_a_disturbed_copy_comes_as_near_as_the_disturbance(f):
    known = symmetries(f)
    a = point(f)
    noise = point(f, 1, 0.01)
    found = align(f, a, known.apply(a + noise, known.random(seed=2)))
    assert found.distance_after == pytest.approx(float(noise.norm()), rel=1e-12)
    assert found.least <= found.distance_after * (1 + 1e-12)


def test_wide_layers():
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))
    f = objective(net, (1, 8, 8))
    known = symmetries(f)
    a = point(f)
    found = align(f, a, known.apply(a, known.random(seed=3)))
    assert torch.equal(found.theta, a)
    assert found.least == 0


# -- what alignment says of itself --------------------------------------------------------------


def test_the_moved_point_is_what_the_permutations_and_signs_make_of_b(f):
    known = symmetries(f)
    a, b = point(f, 0), point(f, 1)
    found = align(f, a, b)
    assert torch.equal(known.apply(b, Move(found.permutations, found.signs)), found.theta)
    assert found.distance_after == float((a - found.theta).norm())
    assert found.least < found.distance_after < found.distance_before
    before, after = outputs(f, b), outputs(f, found.theta)
    assert float((before - after).abs().max()) <= 1e-12 * float(before.abs().max())
    assert abs(f.value(b) - f.value(found.theta)) <= 1e-12 * f.value(b)


def test_the_nearest_of_all_copies_is_found_and_the_bound_holds():
    net = nn.Sequential(
        nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 1)
    )  # fmt: skip
    f = objective(net, (2,))
    known = symmetries(f)
    first, second = known.groups
    orders = [torch.tensor(order) for order in permutations(range(3))]
    flips = [torch.tensor([s], dtype=torch.float64) for s in product((1, -1), repeat=3)]
    moves = list(product(orders, flips))
    for seed in range(3):
        a, b = point(f, seed, 1.0), point(f, 10 + seed, 1.0)
        best = min(
            float((a - known.apply(b, Move({first.name: p, second.name: q},
                                           {first.name: s, second.name: t}))).norm())
            for (p, s), (q, t) in product(moves, moves)
        )  # fmt: skip
        found = align(f, a, b)
        assert found.distance_after == pytest.approx(best, rel=1e-12)
        assert found.least <= best * (1 + 1e-12)


def test_one_hidden_layer_has_no_gap():
    f = objective(build("mlp2", image_shape=(3, 3), activation="tanh"), (1, 3, 3))
    found = align(f, point(f, 0), point(f, 1))
    assert 1 < found.least == pytest.approx(found.distance_after, rel=1e-12)
    deeper = mlp("tanh")
    assert align(deeper, point(deeper, 0), point(deeper, 1)).gap > 0.1


def test_the_same_seed_gives_the_same(f):
    a, b = point(f, 0), point(f, 1)
    assert torch.equal(align(f, a, b, seed=7).theta, align(f, a, b, seed=7).theta)


class Recurrent(nn.Module):
    """One matrix on both of whose axes the same units stand: no linear assignment."""

    def __init__(self):
        super().__init__()
        self.into, self.out = nn.Linear(2, 6), nn.Linear(6, 2)
        self.back = nn.Parameter(torch.zeros(6, 6))

    def forward(self, x):
        h = torch.tanh(self.into(x))
        return self.out(h + torch.tanh(h @ self.back.T))


def test_descent_never_climbs():
    f = objective(Recurrent(), (2,))
    known = symmetries(f)
    assert [place.name for place in known.groups[0].places].count("back") == 2
    generator = torch.Generator().manual_seed(0)
    for seed in range(40):
        a, b = (f.source.unflatten(point(f, 2 * seed + k)) for k in range(2))
        a["back"], b["back"] = 10 * a["back"], 10 * b["back"]
        found, square = matching.descend(known.groups, a, matching.Matched(b), generator)
        assert square == matching.apart(a, found.parameters) <= matching.apart(a, b)


def test_restarts_come_no_farther():
    f = stream()
    a, b = point(f, 0), point(f, 1)
    few, many = (align(f, a, b, restarts=n) for n in (0, 20))
    assert many.distance_after <= few.distance_after


# -- refusals ------------------------------------------------------------------------------------


def test_a_symmetry_that_is_none_is_refused_by_its_group(monkeypatch):
    f = mlp("tanh")
    known = symmetries(f)
    first, second = known.groups
    wrong = replace(known, groups=(first, replace(second, places=second.places[:2])))
    monkeypatch.setattr("morsescape.paths.alignment.symmetries", lambda f: wrong)
    with pytest.raises(ms.ArgumentError, match=r"others, by 3\.weight\[0\]; cure"):
        align(f, point(f, 0), point(f, 1))


def test_bad_arguments():
    f = mlp("tanh")
    with pytest.raises(ms.ArgumentError, match="weights"):
        align(f, f.theta, f.theta, by="names")
    with pytest.raises(ms.ArgumentError, match="b: expected a float64 vector"):
        align(f, f.theta, f.theta[1:])
    with pytest.raises(ms.ArgumentError, match="a: expected finite"):
        align(f, f.theta * torch.nan, f.theta)


def test_a_function_without_symmetries_is_left_alone():
    f = ms.Objective.from_function(lambda t: (t**2 - 1).square() @ torch.arange(3.0).double(), 3)
    a, b = torch.ones(3).double(), -torch.ones(3).double()
    found = align(f, a, b)
    assert torch.equal(found.theta, b)
    assert found.distance_after == found.distance_before == pytest.approx(found.least)
    assert found.left_out == ("theta[0], 3 units: a constant tells them apart",)
    assert not same_solution(f, a, b)


def test_results_of_a_search_are_points():
    f = ms.Objective.from_function(lambda t: (t**2 - 1).square().sum(), 3)
    a, b = (ms.find_critical_point(f, torch.full((3,), x).double()) for x in (0.9, -0.9))
    assert torch.equal(align(f, a, b).theta, align(f, a.theta, b.theta).theta)
    assert same_solution(f, a, b).distance == same_solution(f, a.theta, b.theta).distance
    assert torch.equal(canonical(f, a), canonical(f, a.theta))


def test_activations_of_a_function_are_refused():
    f = ms.Objective.from_function(lambda t: (t**2).sum(), 3)
    with pytest.raises(ms.ArgumentError, match=r"no activations of theta\[0\]"):
        align(f, torch.ones(3).double(), torch.zeros(3).double(), by="activations")


# -- the same solution ---------------------------------------------------------------------------


def test_the_same_solution_up_to_symmetry(f):
    known = symmetries(f)
    a = point(f)
    copy = known.apply(a, known.random(seed=4, scales=True))
    found = same_solution(f, a, copy)
    assert found
    assert found.relative < 1e-12
    assert not same_solution(f, a, 1.001 * copy)
    assert same_solution(f, a, 1.001 * copy, tol=0.01)
    assert not same_solution(f, a, point(f, 9))


def test_factors_are_no_symmetry_with_a_ridge():
    f = mlp("relu")
    known = symmetries(f)
    a = point(f)
    permuted = known.apply(a, known.random(seed=1))
    rescaled = known.apply(a, known.random(seed=1, scales=True))
    assert same_solution(f, a, rescaled)
    ridge = f.at_l2(0.1)
    assert ridge.value(rescaled) != pytest.approx(ridge.value(a), rel=1e-3)
    assert same_solution(ridge, a, permuted)
    assert not same_solution(ridge, a, rescaled)


# -- representatives -----------------------------------------------------------------------------


def test_all_copies_have_one_representative(f):
    known = symmetries(f)
    a = point(f)
    chosen = canonical(f, a)
    before, after = outputs(f, a), outputs(f, chosen)
    assert float((before - after).abs().max()) <= 1e-12 * float(before.abs().max())
    for seed in range(5):
        copy = known.apply(a, known.random(seed=seed, scales=True))
        assert float((copy - a).norm()) > 0.1 * float(a.norm())
        assert float((canonical(f, copy) - chosen).norm()) <= 1e-12 * float(a.norm())
    assert float((canonical(f, chosen) - chosen).norm()) <= 1e-12 * float(a.norm())
    assert float((canonical(f, point(f, 1)) - chosen).norm()) > 0.1


def test_the_representative_is_balanced_sorted_and_positive():
    f = mlp("relu")
    parts = f.source.unflatten(canonical(f, point(f)))
    into = parts["1.weight"].square().sum(1) + parts["1.bias"] ** 2
    assert torch.allclose(into, parts["3.weight"].square().sum(0), rtol=1e-12)
    f = mlp("tanh")
    parts = f.source.unflatten(canonical(f, point(f)))
    first = torch.cat([parts["1.weight"], parts["1.bias"][:, None]], 1)
    second = torch.cat([parts["3.weight"], parts["3.bias"][:, None], parts["5.weight"].T], 1)
    for rows in (first, second):
        assert bool((rows.gather(1, rows.abs().argmax(1, keepdim=True)) > 0).all())


def test_balancing_makes_the_norm_smallest():
    f = mlp("relu")
    known = symmetries(f)
    low = balanced(known, point(f))
    for seed in range(10):
        move = known.random(seed=seed, scales=True)
        assert float(known.apply(low, Move(scales=move.scales)).norm()) > float(low.norm())


def test_dead_units_keep_their_scale():
    f = mlp("relu")
    theta = point(f)
    parts = {name: p.clone() for name, p in f.source.unflatten(theta).items()}
    parts["1.weight"][2], parts["1.bias"][2] = 0.0, 0.0
    dead = symmetries(f).flatten(parts)
    chosen = canonical(f, dead)
    assert bool(chosen.isfinite().all())
    assert torch.allclose(outputs(f, chosen), outputs(f, dead), rtol=1e-10)


def test_signs_that_no_weight_shows_alone_are_refused():
    layer = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True, dropout=0.0).eval()
    f = objective(layer, (4, 8))
    known = symmetries(f)
    a = point(f)
    copy = known.apply(a, known.random(seed=1))
    assert same_solution(f, a, copy)
    with pytest.raises(ms.ArgumentError, match=r"self_attn\.in_proj_weight\[0\]"):
        canonical(f, a)
