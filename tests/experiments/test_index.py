"""`run_index`: the numbers are those of the network that it says, and a sweep loses nothing."""

import errno
import json
from dataclasses import replace

import pytest
import torch

import own_model
from faults import fail_at_call, names
from morsescape.data import load
from morsescape.errors import ArgumentError, DataError
from morsescape.experiments import IndexSettings, PointSettings, index_run, run_index
from morsescape.experiments.index import study as module
from morsescape.nets import Recipe, build, train
from morsescape.store import RunFolder

POINT = PointSettings(net="cnn", activation="tanh", pool="avg", samples=60, epochs=3)
SETTINGS = IndexSettings(POINT, seed=5, runs=1)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Three runs of the user's model with 6 parameters."""
    file = own_model.write(tmp_path_factory.mktemp("own"))
    return IndexSettings(PointSettings(objective=f"{file}:seeded"), runs=3)


@pytest.fixture(scope="module")
def whole(small):
    """The same, never interrupted."""
    return run_index(small)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def timeless(result):
    """Everything but the times."""
    runs = [{k: v for k, v in run.items() if k != "seconds"} for run in result.to_json()["runs"]]
    return result.to_json() | {"runs": runs}


@pytest.fixture(scope="module")
def result():
    return run_index(SETTINGS)


@pytest.fixture(scope="module")
def oracle():
    """The run with seed 5 by PyTorch alone: loss, accuracy, gradient, eigenvalues."""
    data = load("digits", samples=60)
    model = build("cnn", image_shape=(8, 8), activation="tanh", pool="avg", seed=5)
    train(model, data, seed=5, recipe=Recipe("adam", 3e-3, 3))
    model = model.double()
    shapes = {name: p.shape for name, p in model.named_parameters()}
    theta = torch.cat([p.detach().flatten() for p in model.parameters()])

    def loss(theta):
        parts = theta.split([shape.numel() for shape in shapes.values()])
        pairs = zip(shapes.items(), parts, strict=True)
        parameters = {name: part.view(shape) for (name, shape), part in pairs}
        logits = torch.func.functional_call(model, parameters, (data.x,))
        return torch.nn.functional.cross_entropy(logits, data.y)

    right = (model(data.x).argmax(1) == data.y).double().mean()
    gradient, hessian = torch.func.grad(loss)(theta), torch.func.hessian(loss)(theta)
    eigenvalues = torch.linalg.eigvalsh((hessian + hessian.t()) / 2)
    return float(loss(theta)), float(right), float(gradient.norm()), eigenvalues


def test_a_run_says_of_its_network_what_pytorch_says(result, oracle):
    run, (loss, right, norm, eigenvalues) = result.runs[0], oracle
    assert run.seed == 5
    assert run.loss == pytest.approx(loss, rel=1e-12)
    assert run.accuracy == right
    assert run.grad_norm == pytest.approx(norm, rel=1e-10)
    assert run.smallest == pytest.approx(float(eigenvalues[0]), rel=1e-9)
    assert run.largest == pytest.approx(float(eigenvalues[-1]), rel=1e-12)


def test_the_intervals_hold_what_an_independent_hessian_has(result, oracle):
    run, eigenvalues = result.runs[0], oracle[3]
    # The oracle's own rounding is far below this, and no eigenvalue here is as close to it.
    assert not bool(((eigenvalues.abs() > 1e-14) & (eigenvalues.abs() < 1e-12)).any())
    for name, there in (
        ("negative", eigenvalues < -1e-13),
        ("null", eigenvalues.abs() < 1e-13),
        ("positive", eigenvalues > 1e-13),
    ):
        low, high = getattr(run, name)
        assert low <= int(there.sum()) <= high
    assert run.negative[0] > 0
    assert run.negative[1] - run.negative[0] <= 10


def test_the_json_has_the_names_of_the_schema(result):
    values = json.loads(json.dumps(result.to_json()))
    assert {"net", "data", "at", "n_params", "n_samples", "l2", "structural_upper_bound"} <= set(
        values
    )
    assert (values["net"], values["at"], values["n_params"], values["n_samples"]) == (
        "cnn", "trained", 102, 60,
    )  # fmt: skip
    assert values["structural_upper_bound"] == 52
    assert [run["seed"] for run in values["runs"]] == [5]
    for run in values["runs"]:
        assert set(run["raw_negative"]) == {"float32", "float64"}
        assert {"train", "hessian", "inertia"} <= set(run["seconds"])
        assert run["null_explained"]["softmax shift"] == 5
        assert {"loss", "accuracy", "grad_norm", "radius", "smallest", "largest"} <= set(run)
        assert all(len(run[name]) == 2 for name in ("negative", "null", "positive"))


def test_naive_counts_are_those_of_the_computed_eigenvalues(result, oracle):
    naive, eigenvalues = result.runs[0].raw_negative, oracle[3]
    unsure = int((eigenvalues.abs() < 1e-5).sum())
    least = int((eigenvalues < -1e-5).sum())
    assert least <= naive["float32"] <= least + unsure
    unsure = int((eigenvalues.abs() < 1e-13).sum())
    least = int((eigenvalues < -1e-13).sum())
    assert least <= naive["float64"] <= least + unsure


def test_the_spread_is_that_of_the_ends(small, whole):
    ends = [run.positive[1] for run in whole.runs]
    mean, sd = whole.spread("positive", 1)
    assert mean == pytest.approx(sum(ends) / 3)
    assert sd == pytest.approx(torch.tensor(ends).double().std().item())
    one = module.IndexResult(small, whole.runs[:1])
    assert one.spread("positive", 1) == (ends[0], None)
    assert not one.complete
    naive = [replace(run, raw_negative={"float32": None, "float64": None}) for run in whole.runs]
    assert module.IndexResult(small, tuple(naive)).spread("raw_negative", "float32") is None


def test_a_run_depends_on_its_seed_alone(small, whole):
    payload, tensors = index_run(small, 2)
    assert payload | {"seconds": 0} == whole.runs[2].to_json() | {"seconds": 0}
    assert set(tensors) == {"theta", "eigenvalues"}
    assert tensors["theta"].shape == tensors["eigenvalues"].shape == (6,)


@pytest.mark.parametrize("method", ["ldl", "eigh"])
def test_the_ends_of_the_spectrum_without_naive_counts(method, small, whole):
    payload, _ = index_run(replace(small, raw=False, method=method), 1)
    assert payload["raw_negative"] == {"float32": None, "float64": None}
    for name in ("smallest", "largest"):
        assert payload[name] == pytest.approx(getattr(whole.runs[1], name), rel=1e-9)


def test_l2_shifts_the_spectrum_and_not_the_point(small):
    plain, shifted = (
        index_run(replace(small, point=replace(small.point, l2=l2)), 1)[0] for l2 in (0.0, 0.5)
    )
    assert shifted["loss"] == plain["loss"]
    assert shifted["value"] > plain["value"]
    assert shifted["smallest"] == pytest.approx(plain["smallest"] + 1, abs=1e-12)
    assert plain["null"][1] >= 2
    assert shifted["null"] == (0, 0)


def test_what_was_written_is_read_back(result):
    written = json.loads(json.dumps(result.to_json()))
    assert module.IndexResult.from_json(written) == result


# --- sweeps


def test_each_run_is_on_disk_before_the_next_starts(small, out):
    folder = RunFolder(out, small.identity())
    seen = []

    def progress(stage, done, total):
        if stage == "runs":
            seen.append((done, total, sum(name.startswith("seed-") for name in names(out))))

    run_index(small, folder, progress)
    assert seen == [(0, 3, 0), (1, 3, 2), (2, 3, 4), (3, 3, 6)]


def test_an_interrupted_sweep_resumes_with_the_same_results(small, whole, out, monkeypatch):
    computed, really = [], index_run

    def run(settings, seed, **options):
        if seed == 2 and computed.count(2) == 0:
            computed.append(2)
            raise KeyboardInterrupt
        computed.append(seed)
        return really(settings, seed, **options)

    monkeypatch.setattr(module, "index_run", run)
    with pytest.raises(KeyboardInterrupt):
        run_index(small, RunFolder(out, small.identity()))
    said = []
    again = run_index(small, RunFolder(out, small.identity()), notice=said.append)
    assert computed == [0, 1, 2, 2]
    assert timeless(again) == timeless(whole)
    assert said[0] == f"resumed: 2 of 3 runs are in {out} already"


def test_a_longer_sweep_takes_over_the_runs_of_a_shorter_one(small, out, monkeypatch):
    short = IndexSettings(small.point, seed=1, runs=1)
    run_index(short, RunFolder(out, short.identity()))
    computed, really = [], index_run
    monkeypatch.setattr(
        module, "index_run", lambda s, seed, **o: computed.append(seed) or really(s, seed, **o)
    )
    run_index(small, RunFolder(out, small.identity()))
    assert computed == [0, 2]


def test_a_damaged_run_is_named_and_computed_again(small, whole, out):
    run_index(small, RunFolder(out, small.identity()))
    file = out / "seed-1.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    said = []
    again = run_index(small, RunFolder(out, small.identity(), said.append))
    assert timeless(again) == timeless(whole)
    assert len(said) == 1
    assert str(file) in said[0]


def test_a_full_disk_loses_no_finished_run(small, whole, out, monkeypatch):
    folder = RunFolder(out, small.identity())
    # Two files a run: the fourth rename is that of the second run's JSON.
    fail_at_call(monkeypatch, 4, OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(DataError, match="No space left"):
        run_index(small, folder)
    assert names(out) == {"settings.json", "seed-0.json", "seed-0.safetensors"}
    again = run_index(small, RunFolder(out, small.identity()))
    assert timeless(again) == timeless(whole)


def test_the_result_so_far_is_told_after_each_run(small):
    told = []
    run_index(small, finished=told.append)
    assert [(len(part.runs), part.complete) for part in told] == [(1, False), (2, False), (3, True)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"runs": 0}, "--runs: expected 1 or more; got 0"),
        ({"seed": -1}, "--seed: expected 0 or more; got -1"),
        ({"method": "guess"}, "--method: expected ldl | eigh; got 'guess'"),
    ],
)
def test_wrong_settings(change, message):
    with pytest.raises(ArgumentError) as caught:
        IndexSettings(**change)
    assert message in str(caught.value)
