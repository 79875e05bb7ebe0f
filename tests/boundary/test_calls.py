"""Every public call with what it cannot use: one clear error, before any work is done."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from morsescape import critical, experiments, nets, store
from morsescape.data import Dataset, load
from morsescape.errors import ArgumentError, DataError, MorsescapeError
from morsescape.experiments.citation import published
from morsescape.experiments.linear.study import LinearSettings
from morsescape.experiments.reproduce.study import asked
from morsescape.experiments.scatter.study import ScatterSettings, run_scatter
from morsescape.experiments.sweep.dask_cluster import DaskCluster
from morsescape.experiments.sweep.processes import Processes
from morsescape.experiments.sweep.run import Task, run_tasks
from morsescape.experiments.sweep.schedulers import Here, scheduler_from
from morsescape.objective import Objective

pytestmark = pytest.mark.usefixtures("unchecked")

BAD = {
    "none": None,
    "nan": math.nan,
    "infinity": math.inf,
    "negative": -1,
    "huge": 10**400,
    "bool": True,
    "fraction": 0.5,
    "name": "sgdd",
    "empty": "",
    "bytes": b"3",
    "object": object(),
    "list": [3, 4, 5],
    "dictionary": {3: 4},
    "complex": 3j,
    "class": int,
    "array": np.ones(3, np.float32),
    "objects": np.array([object()]),
    "tensor": torch.ones(3),
    "no value": torch.ones((), device="meta"),
    "sparse": torch.ones(2).double().to_sparse(),
    "complex tensor": torch.ones(2, dtype=torch.complex128),
    "long": "a" * 5000,
    "zero byte": "a\0b",
    "set": {3},
    "ragged": [[1], [1, 2]],
    "module": nn.Linear(3, 3),
}
DIGITS = load("digits", samples=12)
F = Objective.from_function(lambda t: t @ t, 2)
THETA = torch.ones(2).double()
POINT = experiments.PointSettings(net="cnn", samples=20, at="random")
# What some of the bad values are good for.
SEED, COUNT, FLAG, RATE, TEXT = (), (), ("bool",), ("fraction",), ("name", "long", "zero byte")
PATH, CALLED = ("name", "long"), ("class", "module")
FIELDS = {
    "seed": SEED, "runs": COUNT, "raw": FLAG, "samples": ("none",), "l2": ("none", *RATE),
    "optimizer": ("none",), "lr": ("none", *RATE), "epochs": ("none",), "device": (),
    "root": ("none", *PATH), "checkpoint": ("none", *PATH), "objective": ("none",),
    "tol": RATE, "optimizers": (),
}  # fmt: skip


def all_fields(kind):
    """The call of a class of settings, with what each field takes of the bad values."""
    good = {f.name: FIELDS.get(f.name, ()) for f in dataclasses.fields(kind)}
    return kind, {name: values for name, values in good.items() if values is not None}


def with_point(function):
    """A run that needs settings only."""
    return lambda **given: function(**given)


def search(**changed):
    critical.find_critical_point(**({"f": F, "theta": THETA} | changed))


def certify(**changed):
    critical.certify(**({"f": F, "theta": THETA} | changed))


def escape(**changed):
    critical.escape(**({"f": F, "theta": THETA} | changed))


def third_order(**changed):
    critical.third_order_minimum(**({"f": F, "theta": THETA} | changed))


def krawczyk(**changed):
    critical.krawczyk(**({"f": F, "theta": THETA} | changed))


def train(**changed):
    model = nets.build("mlp2", image_shape=(8, 8))
    recipe = nets.Recipe("sgd", 0.1, 0)
    nets.train(**({"model": model, "dataset": DIGITS, "seed": 0, "recipe": recipe} | changed))


def dataset(**changed):
    Dataset(**({"name": "a", "x": DIGITS.x, "y": DIGITS.y, "classes": 10} | changed))


def read(**changed):
    load(**({"name": "mnist", "root": "nowhere"} | changed))


def build(**changed):
    nets.build(**({"name": "mlp2", "image_shape": (4, 4)} | changed))


def recipe(**changed):
    nets.Recipe(**({"optimizer": "sgd", "lr": 0.1, "epochs": 1} | changed))


def tasks(**changed):
    run_tasks(**({"tasks": [], "scheduler": Here()} | changed))


def index_run(**changed):
    experiments.index_run(**({"settings": experiments.IndexSettings(POINT), "seed": 0} | changed))


CALLS = {
    "find_critical_point": (
        search,
        {
            "f": (), "theta": ("none",), "target": (), "method": (), "tol": RATE, "max_steps": (),
            "seed": SEED, "progress": ("none", "bool", *CALLED), "callback": ("none", *CALLED),
        },
    ),
    "certify": (certify, {"f": (), "theta": ("none",), "tol": RATE, "seed": SEED}),
    "escape": (
        escape,
        {
            "f": (), "theta": ("none",), "max_rounds": (), "seed": SEED,
            "progress": ("none", "bool", *CALLED), "callback": ("none", *CALLED),
        },
    ),
    "third_order_minimum": (
        third_order,
        {
            "f": (), "theta": (), "lipschitz": ("none", *RATE), "tol": RATE, "curvature_tol": RATE,
            "tensor_tol": RATE, "max_rounds": (), "seed": SEED,
        },
    ),
    "krawczyk": (krawczyk, {"f": (), "theta": (), "radius": ("none", *RATE), "bits": ()}),
    "load": (read, {"name": (), "root": None, "train": FLAG, "samples": None}),
    "load samples": (lambda **x: load("digits", **x), {"samples": ("none",), "train": FLAG}),
    "Dataset": (dataset, {"name": TEXT, "x": (), "y": (), "classes": ()}),
    "Dataset.first": (DIGITS.first, {"samples": ()}),
    "build": (
        build,
        {
            "name": (), "image_shape": (), "classes": (), "activation": (), "pool": (), "seed": SEED
        },
    ),
    "Recipe": (
        recipe,
        {"optimizer": (), "lr": RATE, "epochs": COUNT, "batch_size": (), "momentum": RATE},
    ),
    "default_recipe": (
        lambda **x: nets.default_recipe(**({"model": nn.Linear(1, 1), "samples": 3} | x)),
        {"model": ("module",), "samples": (), "optimizer": ("none",)},
    ),
    "train": (
        train,
        {
            "model": (), "dataset": (), "seed": SEED, "recipe": ("none",),
            "progress": ("none", *CALLED),
        },
    ),
    "PointSettings": all_fields(experiments.PointSettings),
    "IndexSettings": all_fields(experiments.IndexSettings),
    "PolishSettings": all_fields(experiments.PolishSettings),
    "SpectrumSettings": all_fields(experiments.SpectrumSettings),
    "ReproduceSettings": all_fields(experiments.ReproduceSettings),
    "ScatterSettings": all_fields(ScatterSettings),
    "LinearSettings": all_fields(LinearSettings),
    "published": (published, {"settings": ()}),
    "index_run": (index_run, {"settings": (), "seed": SEED, "dataset": None}),
    "run_index": (experiments.run_index, {"settings": ()}),
    "run_polish": (experiments.run_polish, {"settings": ()}),
    "run_spectrum": (experiments.run_spectrum, {"settings": ()}),
    "run_scatter": (run_scatter, {"settings": ()}),
    "run_reproduce": (lambda **x: experiments.run_reproduce(path="a", **x), {"settings": ()}),
    "asked": (asked, {"path": ()}),
    "scheduler_from": (
        lambda **x: scheduler_from(**({"address": None, "workers": None} | x)),
        {"address": ("none", *TEXT), "workers": ("none",)},
    ),
    "DaskCluster": (lambda **x: DaskCluster(**({"address": "a"} | x)), {"timeout": RATE}),
    "Processes": (Processes, {"workers": ("none",), "memory": RATE}),
    "run_tasks": (tasks, {"tasks": (), "scheduler": None, "progress": ("none", *CALLED)}),
    "RunFolder": (
        lambda **x: store.RunFolder(**({"path": "folder", "settings": {}} | x)),
        {"path": ("name",), "settings": (), "on_damaged": ("none", *CALLED)},
    ),
    "RunFolders": (
        lambda **x: store.RunFolders(**({"path": "folder", "settings": {}} | x)),
        {"path": PATH, "settings": (), "on_damaged": ("none", *CALLED)},
    ),
    "RunFolder.save": (
        lambda **x: store.RunFolder("folder", {}).save(**({"key": "a", "payload": {}} | x)),
        {"key": ("name",), "payload": (), "tensors": ("none",), "made_with": ("none",)},
    ),
    "RunFolder.save of one": (
        lambda tensor: store.RunFolder("folder", {}).save("a", {}, {"t": tensor}),
        {"tensor": ("tensor", "complex tensor")},
    ),
    "RunFolder.load": (store.RunFolder("folder", {}).load, {"key": ("name",)}),
    "RunFolders.load": (store.RunFolders("folder", {"a": {}}).load, {"key": ()}),
    "write_json_atomic": (
        lambda **x: store.write_json_atomic(**({"path": "json", "value": 1} | x)),
        {
            "path": ("name",),
            "value": (
                "none", "nan", "infinity", "negative", "huge", "bool", "fraction", "name", "empty",
                "list", "long", "zero byte", "ragged",
            ),
        },
    ),
    "write_bytes_atomic": (
        lambda **x: store.write_bytes_atomic(**({"path": "bytes", "content": b"1"} | x)),
        {"path": ("name",), "content": ("bytes",)},
    ),
    "read_json": (store.read_json, {"path": ()}),
    "save_checkpoint": (
        lambda **x: store.save_checkpoint(**({"path": "c", "model": nn.Linear(1, 1)} | x)),
        {"path": ("name",), "model": ("module",)},
    ),
    "load_checkpoint": (
        lambda **x: store.load_checkpoint(**({"path": "none", "model": nn.Linear(1, 1)} | x)),
        {"path": (), "model": ()},
    ),
    "CriticalPoint.load": (critical.CriticalPoint.load, {"path": ()}),
    "Escape.load": (critical.Escape.load, {"path": ()}),
    "Certificate.from_json": (critical.Certificate.from_json, {"values": ()}),
    "CriticalPoint.from_json": (
        lambda values: critical.CriticalPoint.from_json(values, THETA), {"values": ()}
    ),
}  # fmt: skip
TRIED = [(call, argument) for call, (_, good) in CALLS.items() for argument in good]


@pytest.mark.parametrize(("name", "argument"), TRIED, ids=[f"{c}-{a}" for c, a in TRIED])
def test_bad_arguments_are_one_clear_error(name, argument, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call, arguments = CALLS[name]
    good = arguments[argument]
    for kind, value in BAD.items():
        if good is not None and kind in good:
            continue
        if good is None and value is None:
            continue
        with pytest.raises(MorsescapeError) as caught:
            call(**{argument: value})
        assert "\n" not in str(caught.value), kind
        assert caught.value.cure, kind
        assert len(str(caught.value)) < 1500, kind


def test_what_was_taken_before_is_taken_still(tmp_path):
    """The accepted side of the table: nothing is refused that has a meaning."""
    search(theta=[0.5, 1], tol=1, max_steps=np.int64(3), seed=np.int32(1), progress=None)
    certify(theta=(1.0, 2.0), tol=0)
    build(image_shape=[4, 4], classes=np.int64(3))
    recipe(lr=np.float32(0.5), epochs=torch.tensor(3), momentum=0)
    DIGITS.first(np.int64(3))
    load("digits", samples=np.int64(3), root=tmp_path)
    store.write_json_atomic(tmp_path / "a", 10**3000)
    experiments.PointSettings(l2=0, device=torch.device("cpu"), root=Path("a"))
    experiments.ReproduceSettings(data=["digits"], optimizers=[])


def test_a_task_that_returns_no_outcome_is_named(tmp_path):
    for wrong in (None, 3, ({}, 3), {}):
        with pytest.raises(MorsescapeError, match="expected JSON values and tensors, in two dict"):
            run_tasks([Task("a", lambda wrong=wrong: wrong)], scheduler=Here())


# --- data and training


@pytest.mark.parametrize(
    ("y", "classes", "message"),
    [
        (DIGITS.y.double(), 10, "int64 labels"),
        (DIGITS.y, 3, r"integers in \[0, 3\)"),
        (DIGITS.y.tolist(), 10, "int64 labels .*; got a list of 12"),
        (DIGITS.y.numpy(), 10, "int64 labels .*; got int64 of shape"),
        (torch.zeros(12, 2).long(), 10, r"shape \(n,\)"),
    ],
)
def test_labels_that_are_none(y, classes, message):
    with pytest.raises(ArgumentError, match=message):
        Dataset("a", DIGITS.x, y, classes)


def test_data_that_is_part_of_a_graph_or_of_inference_mode_is_taken_out_of_it():
    with torch.inference_mode():
        inferred = DIGITS.x * 1
    for x in (DIGITS.x.clone().requires_grad_(), inferred):
        data = Dataset("a", x, DIGITS.y, 10)
        assert not data.x.requires_grad
        assert not data.x.is_inference()
        assert torch.equal(data.x, DIGITS.x)


@pytest.mark.parametrize(
    "mirror", ["nope/", "nope", "gopher://a/", "http://127.0.0.1:1/", "file:///"]
)
def test_mirrors_that_are_none(mirror, tmp_path, monkeypatch):
    monkeypatch.setattr("morsescape.data.files.cache_folder", lambda: tmp_path)
    monkeypatch.delenv("MORSESCAPE_DATA", raising=False)
    with pytest.raises(DataError, match="expected a download from"):
        load("mnist", mirror=mirror)


@pytest.mark.parametrize("root", ["~nobody-here/data", "a" * 5000])
def test_roots_that_are_none(root):
    with pytest.raises(DataError, match="no such folder"):
        load("mnist", root)


MODELS = {
    "another size": (nn.Sequential(nn.Flatten(), nn.Linear(5, 10)), "takes images of shape"),
    "too few outputs": (nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), "logits of shape"),
    "no logits": (nn.Conv2d(1, 1, 1), "logits of shape"),
    "no values": (nn.Linear(64, 10, device="meta"), "parameters with values"),
}


@pytest.mark.parametrize(("model", "message"), MODELS.values(), ids=MODELS)
def test_models_that_do_not_fit_the_data(model, message):
    with pytest.raises(ArgumentError, match=f"model: expected .*{message}"):
        nets.train(model, DIGITS, seed=0)


def test_sizes_for_which_no_memory_is_enough():
    for sizes in ({"image_shape": (10**6, 10**7)}, {"classes": 2**62}):
        with pytest.raises(ArgumentError, match="sizes for which the memory is enough"):
            nets.build("mlp2", **sizes)
