"""`run_spectrum`: eigenvalues with a proved radius, outliers, gaps, the split, the ridge."""

import json
from dataclasses import replace

import pytest
import torch

import own_model
from morsescape.errors import ArgumentError
from morsescape.experiments import PointSettings, SpectrumSettings, run_spectrum
from morsescape.experiments.point import make_point
from morsescape.experiments.spectrum.study import SpectrumResult, spectrum_task
from morsescape.spectrum.inertia import inertia
from morsescape.spectrum.split import SplitStatus
from morsescape.store import RunFolder


@pytest.fixture
def settings(tmp_path):
    file = own_model.write(tmp_path)
    return SpectrumSettings(PointSettings(objective=f"{file}:seeded", l2=0.0), seed=1)


def test_the_eigenvalues_are_within_the_radius_of_the_true_ones(settings):
    result = run_spectrum(settings)
    # Softmax regression: the Hessian is (1/N) sum of (diag p - p p^T) times (x, 1)(x, 1)^T.
    f = make_point(settings.point, 1).f
    x = torch.cat([f.network.x, torch.ones(12, 1).double()], 1)
    weights = torch.cat([result.theta[:4].view(2, 2), result.theta[4:].view(2, 1)], 1)
    p = (x @ weights.t()).softmax(1)
    cores = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    blocks = torch.einsum("nij,na,nb->iajb", cores, x, x) / 12
    true = torch.linalg.eigvalsh(blocks.reshape(6, 6))
    assert result.inertia.radius < 1e-12
    assert float((result.eigenvalues - true).abs().max()) <= result.inertia.radius
    assert result.inertia.negative == (0, 0)


def test_what_is_in_the_folder_is_not_computed_again(settings, tmp_path, monkeypatch):
    folder = tmp_path / "out"
    first = run_spectrum(settings, RunFolder(folder, settings.identity()))
    monkeypatch.setattr("morsescape.experiments.spectrum.study.make_point", None)
    said = []
    again = run_spectrum(settings, RunFolder(folder, settings.identity()), notice=said.append)
    assert again.to_json() == first.to_json()
    assert torch.equal(again.theta, first.theta)
    assert said == [f"resumed: the eigenvalues are in {folder} already"]


def test_the_json_has_what_is_needed_to_draw_again(settings):
    values = json.loads(json.dumps(run_spectrum(settings).to_json()))
    assert len(values["eigenvalues"]) == values["n_params"] == 6
    assert values["eigenvalues"] == sorted(values["eigenvalues"])
    assert values["outliers"]["number"] == len(values["outliers"]["values"])
    assert values["radius"] > 0
    assert {"negative", "null", "positive", "gaps", "conclusion", "status"} <= set(values)


@pytest.fixture(scope="module")
def digits():
    settings = SpectrumSettings(PointSettings(net="mlp2", samples=300, epochs=60))
    return settings, *spectrum_task(settings)


def test_a_task_gives_back_all_that_the_result_needs(digits):
    settings, payload, tensors = digits
    first = SpectrumResult.from_piece(settings, payload, tensors)
    written = json.loads(json.dumps(payload))
    again = SpectrumResult.from_piece(settings, written, tensors)
    assert again.to_json() == first.to_json()
    assert set(tensors) == {"eigenvalues", "theta"}
    assert set(first.seconds) == {"train", "hessian", "eigenvalues", "split"}


def test_outliers_are_looked_for_among_three_per_class(digits):
    result = SpectrumResult.from_piece(*digits)
    assert (result.classes, result.window, result.expected) == (10, 30, 9)
    assert len(result.gaps) == 29
    place, gap = result.expected_gap
    assert gap.above == 9
    assert result.gaps[place - 1] == gap
    assert result.to_json()["outliers"]["expected_gap_place"] == place


def test_the_outliers_of_a_trained_network_are_those_of_g(digits):
    split = SpectrumResult.from_piece(*digits).split
    outliers = split.top[: SpectrumResult.from_piece(*digits).outliers]
    assert outliers
    assert all(abs(one.rest) < 0.1 * one.eigenvalue for one in outliers)
    assert len(split.bottom) == 15
    assert all(one.rest < one.eigenvalue < 0 <= one.gauss_newton for one in split.bottom)


def test_the_split_is_at_the_eigenvalues_that_are_reported(digits):
    result = SpectrumResult.from_piece(*digits)
    reach = 1e-12 + result.inertia.radius
    for one, value in zip(result.split.top, result.eigenvalues.flip(0), strict=False):
        assert abs(one.eigenvalue - float(value)) < reach
    for one, value in zip(result.split.bottom, result.eigenvalues, strict=False):
        assert abs(one.eigenvalue - float(value)) < reach


def test_the_ridge_starts_where_the_inertia_ends(digits):
    result = SpectrumResult.from_piece(*digits)
    assert result.ridge.index(0.0) == result.inertia.negative
    gap = result.ridge.widest_gap()
    with_ridge = inertia(make_point(result.settings.point, 0).f.at_l2(gap.l2), result.theta)
    assert with_ridge.negative == (gap.index, gap.index)


def test_eigenvalues_of_f_are_taken_back_to_those_of_the_loss(settings):
    own = SpectrumSettings(replace(settings.point, l2=None), seed=1)  # its λ is 0.25
    shifted, plain = run_spectrum(own), run_spectrum(settings)
    assert shifted.inertia.l2 == 0.25
    assert torch.allclose(shifted.ridge.eigenvalues, plain.ridge.eigenvalues, atol=1e-14)
    off = (shifted.ridge.eigenvalues - plain.eigenvalues).abs().max()
    assert float(off) <= shifted.ridge.radius + plain.inertia.radius
    assert [one.eigenvalue for one in shifted.split.top] == pytest.approx(
        [one.eigenvalue for one in plain.split.top]
    )


def test_a_function_has_no_classes_and_no_split(tmp_path):
    file = own_model.write(tmp_path)
    result = run_spectrum(SpectrumSettings(PointSettings(objective=f"{file}:saddle")))
    assert (result.classes, result.expected, result.expected_gap) == (None, None, None)
    assert result.split.status is SplitStatus.NO_NETWORK
    assert result.samples is None
    assert result.ridge.index(0.0) == (1, 1)


def test_a_negative_seed():
    with pytest.raises(ArgumentError, match="--seed: expected 0 or more; got -1"):
        SpectrumSettings(seed=-1)
