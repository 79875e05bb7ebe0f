"""Intervals that hold, are tight where they can be, and say so where they cannot."""

import itertools

import pytest
import torch
from torch import nn

import morsescape as ms
from morsescape.hessian.enclosed_matrix import EnclosedMatrix
from morsescape.spectrum.inertia import InertiaStatus, inertia_of
from morsescape.spectrum.naive import raw_eigenvalues
from morsescape.spectrum.signs import released_core
from networks import classifier, double_backward, labelled, mlp
from planted_hessian import planted


def quadratic(eigenvalues):
    d = torch.tensor(eigenvalues, dtype=torch.float64)
    return ms.Objective.from_function(lambda t: 0.5 * (d * t * t).sum(), len(d))


@pytest.mark.parametrize("method", ["ldl", "eigh"])
def test_a_morse_point_is_proved(method):
    result = ms.inertia(quadratic([-2.0, -1e-3, 1.0, 5.0, 1e-3]), method=method)
    assert (result.negative, result.null, result.positive) == ((2, 2), (0, 0), (3, 3))
    assert result.status is InertiaStatus.PROVED
    assert result.index == 2
    assert "computed gradient is zero" in result.conclusion


@pytest.mark.parametrize("method", ["ldl", "eigh"])
def test_a_zero_eigenvalue_is_undecided_and_never_claimed(method):
    f = ms.Objective.from_function(lambda t: t[0] ** 2 - t[1] ** 2 + t[2] ** 4, 3)
    result = ms.inertia(f, torch.zeros(3).double(), method=method)
    assert (result.negative, result.null, result.positive) == ((1, 2), (0, 1), (1, 2))
    assert result.status is InertiaStatus.UNDECIDED
    assert result.index is None


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh])
@pytest.mark.parametrize("method", ["ldl", "eigh"])
def test_intervals_hold_for_small_networks(seed, activation, method):
    f = classifier((5, 4, 3), activation, seed=seed)
    result = ms.inertia(f, method=method)
    exact = torch.linalg.eigvalsh(double_backward(f))
    true = int((exact < -1e-10).sum()), int((exact > 1e-10).sum())
    assert result.negative[0] <= true[0] <= result.negative[1]
    assert result.positive[0] <= true[1] <= result.positive[1]
    zeros = f.dim - sum(true)
    assert 5 <= sum(result.null_explained.values()) <= zeros
    assert result.null == (sum(result.null_explained.values()), zeros)
    if activation is nn.Tanh:  # ReLU units that are always active leave more, for other reasons
        assert result.index == true[0]
    assert result.radius < 1e-9


def test_l2_moves_the_null_space_to_the_positive_side():
    f = classifier((5, 4, 3), l2=0.01)
    exact = torch.linalg.eigvalsh(double_backward(f))
    result = ms.inertia(f)
    assert result.null == (0, 0)
    assert result.negative == ((exact < 0).sum(), (exact < 0).sum())
    assert result.positive == ((exact > 0).sum(), (exact > 0).sum())
    eigen = ms.inertia(f, method="eigh")
    assert (eigen.negative, eigen.positive) == (result.negative, result.positive)
    torch.testing.assert_close(
        torch.tensor(eigen.eigenvalues, dtype=torch.float64), exact, rtol=0, atol=1e-12
    )


def test_the_count_falls_as_l2_grows():
    f = classifier((5, 4, 3), seed=2)
    f.theta *= 4
    counts = [ms.inertia(f.at_l2(l2)).negative for l2 in (0.0, 0.001, 0.01, 10.0)]
    assert all(a[0] >= b[1] for a, b in itertools.pairwise(counts))
    assert counts[-1] == (0, 0)


def test_eigenvalues_are_those_of_the_hessian_with_the_null_space_put_back():
    x, y = labelled(50, 5, 3)
    x[:, 2] = 0
    f = ms.Objective(mlp((5, 4, 3)), "cross_entropy", (x, y))
    result = ms.inertia(f, method="eigh")
    exact = torch.linalg.eigvalsh(double_backward(f))
    torch.testing.assert_close(
        torch.tensor(result.eigenvalues, dtype=torch.float64), exact, rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("method", ["ldl", "eigh"])
@pytest.mark.parametrize("l2", [0.0, 1e-300, 1e-14, 1e-13, 1e-3])
def test_exact_null_vectors_are_counted_as_what_the_ridge_makes_of_them(method, l2):
    """Zeros without a ridge, positive with one, however far below the radius it is."""
    f = classifier((5, 4, 3))
    f.network.x[:, 2] = 0  # rows to cut out, beside the softmax shift
    bare, result = ms.inertia(f), ms.inertia(f.at_l2(l2), method=method)
    exact = bare.null_explained["softmax shift"] + bare.null_explained["dead inputs"]
    assert bare.null == (exact, exact) == (9, 9)
    assert bare.negative[0] == bare.negative[1] > 0
    if l2 == 0:
        assert (result.negative, result.null) == (bare.negative, bare.null)
        return
    assert result.null == (0, 0)
    assert result.positive[0] >= bare.positive[0] + exact
    assert l2 > 1e-12 or result.negative == bare.negative


def test_the_core_has_the_signs_of_the_whole_and_leaves_it_as_it_was():
    f = classifier((5, 4, 3))
    f.network.x[:, 2] = 0
    hessian = f.hessian_at(f.theta)
    whole = hessian.enclose().matrix.clone()
    core, kept = hessian.core()
    assert torch.equal(core, whole[kept][:, kept])
    assert torch.equal(whole, whole.t())
    assert f.dim - len(core) == 4
    assert torch.equal(hessian.enclose().matrix, whole)
    assert torch.equal(released_core(hessian), core)
    values, vectors = hessian.eigh()
    torch.testing.assert_close(vectors @ (values[:, None] * vectors.t()), whole)
    torch.testing.assert_close(vectors.t() @ vectors, torch.eye(f.dim).double())


def test_the_structural_bound_closes_the_interval():
    f = classifier((5, 4, 3), nn.ReLU)
    tight = ms.inertia(f)
    vague = EnclosedMatrix(f.hessian(f.theta), 1e3, {"assembly": 1e3})
    result = ms.inertia(planted(f, f.theta, vague))
    assert result.negative == (0, tight.structural_upper_bound)


def test_single_precision_is_undecided():
    """The Hessian in float32 with its true radius: near-null eigenvalues get no sign."""
    from morsescape.hessian.dense import exact_hessian
    from morsescape.model.network import Network

    x, y = labelled(40, 8, 3)
    x[:, 7] = x[:, 6] + 1e-3 * x[:, 5] ** 2  # eigenvalues far below single precision, but not zero
    model = mlp((8, 4, 3), nn.Tanh)
    f = ms.Objective(model, "cross_entropy", (x, y))
    net = Network(model, "cross_entropy", (x, y), torch.float32)
    low = exact_hessian(net, net.theta)
    assert low.radius > 1e-6
    raised = EnclosedMatrix(low.matrix.double(), low.radius, low.radius_parts)
    single = ms.inertia(planted(f, f.theta, raised))
    double = ms.inertia(f)
    assert double.negative[0] == double.negative[1]
    assert single.negative[0] < single.negative[1]
    assert single.status is InertiaStatus.UNDECIDED
    assert single.negative[0] <= double.negative[0] <= single.negative[1]


@pytest.mark.parametrize("method", ["ldl", "eigh"])
@pytest.mark.parametrize("entries", [((3, 7),), ((3, 7), (7, 3)), ((5, 5),)])
def test_a_hessian_altered_by_one_entry_is_refused(method, entries):
    f = classifier()
    hessian = f.hessian_at(f.theta)
    for i, j in entries:
        hessian.enclose().matrix[i, j] += 1e-9
    if method == "ldl" and len(entries) == 1 and entries[0] == (3, 7):
        with pytest.raises(ms.ArgumentError, match="a symmetric matrix"):
            ms.inertia(hessian, method=method)
        return
    result = ms.inertia(hessian, method=method)
    assert result.status is InertiaStatus.ESTIMATE
    assert "products with a unit vector that differ" in result.estimate


def test_the_hessian_of_another_point_proves_nothing():
    f = classifier()
    result = ms.inertia(planted(f, f.theta + 1e-6, f.enclosed_hessian(f.theta)))
    assert result.status is InertiaStatus.ESTIMATE
    assert "products with a unit vector that differ" in result.estimate


def test_in_place_gives_the_same_answer():
    f = classifier((5, 4, 3), nn.ReLU)
    f.network.x[:, 2] = 0  # rows to cut out
    hessian = f.hessian_at(f.theta)
    before = hessian.enclose().matrix.clone()
    beside = ms.inertia(hessian)
    assert torch.equal(hessian.enclose().matrix, before)
    spent = f.hessian_at(f.theta)
    assert inertia_of(spent, method="ldl", spend=True) == beside == ms.inertia(f)
    assert "Hessian.enclose" not in spent.made
    assert torch.equal(spent.enclose().matrix, before)  # made once more
    assert beside.null_explained["dead inputs"] == 4


def test_not_finite_is_a_status():
    f = ms.Objective.from_function(lambda t: torch.log(t[0]) + t[1] ** 2, 2)
    result = ms.inertia(f, torch.tensor([-1.0, 0.0]).double())
    assert result.status is InertiaStatus.NOT_FINITE
    assert result.negative == (0, 2)


def test_an_operation_without_a_rule_makes_it_an_estimate():
    f = ms.Objective.from_function(lambda t: torch.special.i0e(t).sum() + (t**2).sum(), 2)
    try:
        result = ms.inertia(f, torch.ones(2).double())
    except (RuntimeError, NotImplementedError):
        pytest.fail("an operation without a rule must not raise")
    assert result.status is InertiaStatus.ESTIMATE
    assert "the operation special_i0e has no error rule" in str(result)


def test_raw_counts_stand_beside():
    result = ms.inertia(classifier((5, 4, 3), nn.ReLU), raw=True)
    assert set(result.raw_negative) == {"float32", "float64"}
    assert len(result.eigenvalues) == result.dim
    with pytest.raises(ms.ArgumentError, match="raw: expected an objective made from a network"):
        ms.inertia(quadratic([1.0]), raw=True)


def test_saved_and_read_again(tmp_path):
    result = ms.inertia(classifier(), method="eigh")
    result.save(tmp_path / "inertia.json")
    assert ms.Inertia.load(tmp_path / "inertia.json") == result


def test_what_a_person_reads():
    result = ms.inertia(classifier((5, 4, 3), nn.ReLU))
    assert "not proved critical, so this is a negative curvature count, not a Morse index" in str(
        result
    )
    assert "not twice differentiable (relu)" in str(result)
    assert "<table>" in result._repr_html_()


def test_a_certificate_of_the_same_hessian_makes_the_count_an_index():
    f = ms.Objective.from_function(lambda t: t[0] ** 2 - t[1] ** 2 + t[2] ** 2 - t[2], 3)
    at = torch.tensor([0.0, 1e-9, 0.5]).double()
    hessian = f.hessian_at(at)
    assert "not proved critical" in str(ms.inertia(hessian))
    proof = ms.certify(hessian)
    said = ms.inertia(hessian)
    assert said.critical_within == proof.distance < 2e-9
    assert said.negative == proof.index
    assert f"of this index is proved within {proof.distance:.2g}" in str(said)
    assert "not proved critical" in str(ms.inertia(f, at))
    far = f.hessian_at(at + 1.0)
    ms.certify(far)
    assert ms.inertia(far).critical_within is None or ms.certify(far).holds


def test_an_unknown_method_is_refused():
    with pytest.raises(ms.ArgumentError, match=r"method: expected ldl \| eigh; got 'qr'"):
        ms.inertia(quadratic([1.0]), method="qr")


def test_naive_eigenvalues_are_there_where_qr_does_not_converge(monkeypatch):
    """As once happened in float32: a run must not be lost for a number that is an estimate."""

    def fails(matrix):
        raise torch.linalg.LinAlgError("failed to converge")

    f = classifier()
    usual = raw_eigenvalues(f.hessian_at(f.theta))
    monkeypatch.setattr(torch.linalg, "eigvalsh", fails)
    other = raw_eigenvalues(f.hessian_at(f.theta))
    torch.testing.assert_close(other["float64"], usual["float64"], rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(other["float32"], usual["float32"], rtol=1e-3, atol=1e-5)
    assert other["float32"].dtype == torch.float32


def test_the_sentence_says_what_the_ridge_makes_positive():
    model = torch.nn.Linear(2, 3).double()
    data = torch.eye(2).double(), torch.tensor([0, 1])
    said = ms.inertia(ms.Objective(model, "cross_entropy", data, l2=0.5)).conclusion
    assert "null directions of f without its ridge are positive by it" in said
