"""`run_spectrum`: eigenvalues with a proved radius, outliers, gaps."""

import json

import pytest
import torch

import own_model
from morsescape.errors import ArgumentError
from morsescape.experiments import PointSettings, SpectrumSettings, run_spectrum
from morsescape.experiments.point import make_point
from morsescape.experiments.spectrum import top_gaps
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
    monkeypatch.setattr("morsescape.experiments.spectrum.make_point", None)
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


def test_planted_outliers_are_found():
    generator = torch.Generator().manual_seed(0)
    bulk = torch.rand(500, generator=generator, dtype=torch.float64) * 0.1 - 0.02
    planted = torch.tensor([1.0, 1.3, 1.9, 2.2, 3.0, 3.1, 4.0, 5.5, 7.0], dtype=torch.float64)
    (widest, *others) = top_gaps(torch.cat([bulk, planted]).sort().values, 1e-9)
    assert widest.above == 9
    assert (widest.upper, widest.ratio) == (1.0, 1.0 / float(bulk.max()))
    assert all(gap.ratio <= widest.ratio for gap in others)
    assert len(others) == 18


def test_eigenvalues_that_are_not_proved_positive_make_no_gap():
    values = torch.tensor([-1.0, 1e-13, 2.0, 3.0], dtype=torch.float64)
    assert [(gap.above, gap.ratio) for gap in top_gaps(values, 1e-9)] == [(1, 1.5)]
    assert top_gaps(values[:3], 1e-9) == ()


def test_a_negative_seed():
    with pytest.raises(ArgumentError, match="--seed: expected 0 or more; got -1"):
        SpectrumSettings(seed=-1)
