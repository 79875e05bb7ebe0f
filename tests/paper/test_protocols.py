"""The networks are those that it says, and the comparison claims no more than the numbers say."""

import json
import math
from dataclasses import replace
from functools import partial

import numpy
import pytest
import torch

from morsescape.data import load
from morsescape.errors import ArgumentError
from morsescape.experiments.citation import Published
from morsescape.experiments.point import PointSettings, make_point
from morsescape.nets import Recipe, build, train
from morsescape.store import Piece, RunFolder
from paper.protocols import study as protocols
from paper.protocols.kinds import Protocol, Variant
from paper.protocols.study import (
    ProtocolsSettings,
    assemble_protocols,
    protocol_run,
    protocol_tasks,
    run_protocols,
)
from paper.protocols.table import ProtocolCounts, ProtocolTable, Setting

DIGITS = load("digits", samples=50)
PLAIN = Protocol("plain")
CNN, MLP = Setting("cnn", "mnist", "trained"), Setting("mlp2", "mnist", "random")


# --- one piece


@pytest.fixture
def short(monkeypatch):
    """Trainings of two epochs."""
    recipe = Recipe("sgd", 0.1, 2)
    monkeypatch.setattr(protocols, "train", partial(train, recipe=recipe))


def test_the_plain_network_is_that_of_the_tables(monkeypatch):
    settings = ProtocolsSettings(("cnn",), samples=50, protocols=(Protocol("a", batch=8),))
    for at in ("random", "trained"):
        monkeypatch.setattr(protocols, "train", partial(train, recipe=Recipe("adam", 3e-3, 2)))
        point = make_point(PointSettings("cnn", at=at, samples=50, epochs=2), 4)
        payload, tensors = protocol_run(settings, Setting("cnn", "digits", at), Variant(), 4)
        assert torch.equal(tensors["theta"], point.theta)
        assert payload["n_params"] == 102
        assert payload["structural_upper_bound"] == 52


def test_a_variant_is_trained_as_it_is_looked_at(short):
    (standard, twice) = (Protocol("s", inputs="standardised"), Protocol("t", double_softmax=True))
    settings = ProtocolsSettings(("cnn",), samples=50, protocols=(standard, twice))
    for protocol in (standard, twice):
        variant, setting = protocol.variant, Setting("cnn", "digits", "trained")
        payload, tensors = protocol_run(settings, setting, variant, 1)
        model = variant.model(build("cnn", image_shape=(8, 8), seed=1))
        train(model, variant.dataset(DIGITS), seed=1, recipe=Recipe("sgd", 0.1, 2))
        theta = torch.cat([p.detach().flatten() for p in model.parameters()]).double()
        assert torch.equal(tensors["theta"], theta)
        assert set(payload["counts"]) == {protocol.name}
    assert payload["structural_upper_bound"] == 102  # nothing is known when softmax comes twice


def test_an_interrupted_count_resumes(short, tmp_path):
    settings = ProtocolsSettings(
        ("mlp2",), samples=50, protocols=(PLAIN, Protocol("t", double_softmax=True))
    )
    whole = run_protocols(settings)
    stopped = RunFolder(tmp_path, settings.identity())

    def stop(stage, done, total):
        if (stage, done) == ("runs", 3):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_protocols(settings, stopped, stop)
    said = []
    again = run_protocols(settings, RunFolder(tmp_path, settings.identity()), notice=said.append)
    assert said == [f"resumed: 3 of 4 runs are in {tmp_path} already"]
    assert again.to_json() == whole.to_json()
    assert whole.complete
    json.dumps(whole.to_json(), allow_nan=False)


def test_a_training_that_died_is_remarked():
    settings = ProtocolsSettings(("cnn",), ("mnist",), protocols=(PLAIN,))
    dead = planted(settings, {CNN: 3}, training_done=False, training="died")
    assert assemble_protocols(settings, dead).remarks == ("cnn on mnist, plain, seed 0: died",)


# --- the comparison


def planted(settings, counts, missing=None, seed=0, **changes):
    """Pieces as `protocol_run` makes them, for one protocol of the plain variant."""
    (protocol,) = settings.protocols
    pieces = {}
    for setting, count in counts.items():
        payload = {
            **setting._asdict(), "inputs": "unit", "double_softmax": False, "seed": seed,
            "structural_upper_bound": 52, "n_params": 552, "accuracy": 0.9, "training": None,
            "training_done": True,
            "counts": {protocol.name: count}, "rows": {protocol.name: 552},
            "missing": {} if missing is None else {protocol.name: missing},
        }  # fmt: skip
        key = f"{setting.key}-plain-seed-{seed}"
        pieces[key] = Piece(key, payload | changes, {})
    return pieces


def table(*rows, runs=1):
    """Protocols with planted counts for two settings, published as 100 ± 10 and 1,000 ± 50."""
    paper = {CNN: Published(100.0, 10.0), MLP: Published(1000.0, 50.0)}
    made = tuple(
        ProtocolCounts(Protocol(name), dict(zip((CNN, MLP), counts, strict=False)), {}, paper)
        for name, *counts in rows
    )
    return ProtocolTable(made, (CNN, MLP), paper, {CNN: 52}, {CNN: 552, MLP: 7960}, runs)


def test_the_distance_is_that_of_the_logarithms():
    row = table(("a", (200,), (500,))).rows[0]
    assert row.distance() == pytest.approx(math.log(2))
    assert row.factor() == pytest.approx(2)
    assert (row.within(), row.within("cnn")) == (0, 0)
    one = table(("a", (119, 121), (4000,))).rows[0]
    assert one.factor("cnn") == pytest.approx(1.2)
    assert one.distance() == pytest.approx(math.sqrt((math.log(1.2) ** 2 + math.log(4) ** 2) / 2))
    assert one.within() == one.within("cnn") == 1
    assert one.spread(CNN) == (120.0, pytest.approx(math.sqrt(2)))
    assert one.worst == MLP
    none = table(("a", (0,), (1000,))).rows[0]
    assert none.factor("cnn") == pytest.approx(200)


def test_the_closest_is_found_and_called_a_selection():
    compared = table(("far", (300,), (3000,)), ("near", (150,), (1010,)))
    assert [row.protocol.name for row in compared.ranked] == ["near", "far"]
    said = compared.conclusion
    assert "Of 2 ways to count none is within 2 published standard deviations in all 2" in said
    assert "Closest is “near”: within them in 1 of 2, and off by" in said
    assert "off by a factor of 1.33" in said  # exp of the root mean square of log 1.5, log 1.01
    assert "chosen after the fact, from one network a setting" in said
    assert "weak evidence that the paper counted so" in said
    assert compared.closest.worst == CNN


def test_even_a_full_agreement_is_no_proof():
    said = table(("same", (110, 90), (1000, 1002)), ("far", (1,), (9,)), runs=2).conclusion
    assert "Of 2 ways to count 1 is within 2 published standard deviations in all 2" in said
    assert "weak evidence that the paper counted so" in said
    assert "from 2 networks a setting" in said


def test_a_protocol_must_beat_one_fitted_share_of_the_parameters():
    compared = table(("near", (104,), (990,)), ("far", (300,), (3000,)))
    share, off = compared.constant
    assert share == pytest.approx(math.sqrt(100 / 552 * 1000 / 7960))
    assert off == pytest.approx(math.sqrt(100 / 552 / (1000 / 7960)))  # either is off by as much
    assert "To say 15% of the parameters everywhere is off by 1.20; 1 of the ways" in (
        compared.conclusion
    )


def test_how_often_the_right_way_would_be_within():
    """As often as runs of one normal distribution are, by simulation."""
    draws = numpy.random.default_rng(0).normal(size=(100_000, 13))
    paper, own = draws[:, :10], draws[:, 10:]
    for runs in (1, 3):
        off = abs(own[:, :runs].mean(1) - paper.mean(1))
        share = (off <= 2 * paper.std(1, ddof=1)).mean()
        assert table(("a", (1,), (2,)), runs=runs).likely == pytest.approx(share, abs=0.004)


def test_a_published_number_may_be_so_uncertain_that_every_way_agrees():
    compared = table(("a", (90,), (1000,)), ("b", (120,), (9000,)))
    assert compared.easy == 1
    assert "within them in 2 of 2 (in 1 every way is), and" in compared.conclusion


def test_families_are_told_apart_by_the_softmax():
    paper = {CNN: Published(100.0, 10.0)}
    made = [
        ProtocolCounts(Protocol(name, double_softmax=twice), {CNN: counts}, {}, paper)
        for name, twice, counts in (("a", False, (1, 9)), ("b", False, (5,)), ("c", True, (40,)))
    ]
    compared = ProtocolTable(tuple(made), (CNN,), paper, {CNN: 52}, {CNN: 552}, 1)
    assert compared.families("cnn") == {False: (1, 9), True: (40, 40)}
    assert compared.families("mlp2") == {}


def test_different_protocols_may_be_closest_for_different_networks():
    compared = table(("a", (100,), (9000,)), ("b", (300,), (1000,)))
    assert compared.closest_for("cnn").protocol.name == "a"
    assert compared.closest_for("mlp2").protocol.name == "b"


def test_a_protocol_without_all_counts_is_not_ranked():
    compared = table(("half", (100,)), ("far", (300,), (3000,)))
    half, _ = compared.rows
    assert half.distance() is None
    assert half.distance("cnn") == 0
    assert compared.closest.protocol.name == "far"
    assert "“far”" in compared.conclusion
    assert table(("half", (100,)), ("other", (7, 9))).conclusion == (
        "Nothing is concluded: no protocol has a count for every setting that has a published "
        "number. On one and the same setting (cnn, mnist, trained) 2 ways to count give 7 to 100."
    )


def test_pieces_become_counts_by_setting():
    settings = ProtocolsSettings(("cnn", "mlp2"), ("mnist",), runs=2, protocols=(PLAIN,))
    pieces = planted(settings, {CNN: 30}) | planted(settings, {CNN: 40}, seed=1)
    result = assemble_protocols(settings, pieces)
    (row,) = result.table.rows
    assert not result.complete
    assert result.table.settings == (CNN,)
    assert row.counts == {CNN: (30, 40)}
    assert result.table.published == {CNN: Published(232.9, 2.88)}
    assert result.table.bounds == {CNN: 52}
    assert result.accuracy == {(CNN, Variant()): pytest.approx(0.9)}
    lost = pieces | planted(settings, {CNN: None}, "did not converge", seed=1)
    (row,) = assemble_protocols(settings, lost).table.rows
    assert row.counts == {}
    assert row.missing == {CNN: "did not converge"}


def test_nothing_is_published_for_fewer_images():
    settings = ProtocolsSettings(("cnn",), ("mnist",), samples=600, protocols=(PLAIN,))
    table = assemble_protocols(settings, planted(settings, {CNN: 30})).table
    assert table.published == {}
    assert table.closest is None
    assert "no number is published" in table.conclusion


def test_pieces_do_not_depend_on_the_folder_of_the_data_nor_on_the_length_of_the_sweep():
    settings = ProtocolsSettings()
    assert replace(settings, root="a", runs=3, nets=("cnn",)).identity() == settings.identity()
    assert replace(settings, samples=9).identity() != settings.identity()
    keys = [task.key for task in protocol_tasks(replace(settings, runs=2))]
    assert len(set(keys)) == len(keys) == 3 * 2 * 4 * 2


# --- wrong arguments


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nets": ("mlp9",)}, "--net: expected mlp2 | mlp3 | cnn; got 'mlp9'"),
        ({"data": ()}, "--data: expected digits"),
        ({"runs": 0}, "--runs: expected 1 or more; got 0"),
        ({"samples": 0}, "--samples: expected 1 or more; got 0"),
        ({"protocols": ()}, "protocols: expected at least one"),
        ({"protocols": (PLAIN, PLAIN)}, "protocols: expected at least one, each with a name"),
    ],
)
def test_wrong_settings(change, message):
    with pytest.raises(ArgumentError) as caught:
        ProtocolsSettings(**change)
    assert message in str(caught.value)
