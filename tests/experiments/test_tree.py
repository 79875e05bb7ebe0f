"""`morsescape tree`: from seeds to the threshold, resumed, and what it refuses."""

import json
from dataclasses import replace

import pytest
import torch
from typer.testing import CliRunner

import morsescape as ms
from morsescape.app import app
from morsescape.errors import ArgumentError, MorsescapeError
from morsescape.experiments.point import PointSettings
from morsescape.experiments.reproduce.study import ReproduceSettings
from morsescape.experiments.sweep import Here, Processes
from morsescape.experiments.tree.figure import tree_figure
from morsescape.experiments.tree.study import (
    TreeResult,
    TreeSettings,
    run_tree,
    tree_parts,
    tree_run,
)  # fmt: skip
from morsescape.experiments.tree.words import tree_page, tree_section, tree_sentences, tree_table
from morsescape.page.svg import svg_of
from morsescape.store import RunFolder

POINT = PointSettings("mlp2", samples=40, activation="tanh", l2=3e-2, epochs=5)


def test_from_seeds_to_a_tree_and_again(tmp_path):
    settings = TreeSettings(POINT, runs=2, retries=0, most=1, paths=False)
    result = run_tree(settings, RunFolder(tmp_path, settings.identity()))
    told = []
    again = run_tree(settings, RunFolder(tmp_path, settings.identity()), notice=told.append)
    assert told[-1] == "resumed: 2 minima are there already"
    assert again.to_json()["minima"] == result.to_json()["minima"]
    assert again.graph.attempts == result.graph.attempts
    assert any("proved" in line for line in tree_sentences(result))
    assert tree_table(result).row_count == len(result.graph.passes)
    assert tree_figure(result).get_ylabel().startswith("f - ")
    (section,) = tree_page(result).sections
    passes, minima = section.beside
    assert [d["minima"] for d in minima.data] == [row[0] for row in minima.rows]
    joined = [" ".join(sorted(row[1].split(" – "), key=int)) for row in passes.rows]
    assert [d["minima"] for d in passes.data] == joined
    assert {t.graph for t in (*section.pictures, passes, minima)} == {section.anchor}
    assert all("up to a symmetry" in svg_of(p.figure, "p").levels for p in section.pictures[:1])


def test_the_method_of_the_paths_is_the_one_that_was_asked_for(monkeypatch):
    f = ms.Objective.from_function(lambda t: (t[0] ** 2 - 1) ** 2 + t[0] / 10, 1)
    found = [ms.find_critical_point(f, torch.tensor([x]).double()) for x in (-1.0, 1.0)]
    study = "morsescape.experiments.tree.study."
    monkeypatch.setattr(study + "minima_of", lambda *_: (f, found, []))
    made = []

    def connected(*args, **options):
        made.append(ms.connected(*args, **options))
        return made[-1]

    monkeypatch.setattr(study + "connected", connected)
    result = run_tree(TreeSettings(POINT, retries=0, most=0, path_method="chain"))
    assert [path.method for path in made[0].paths] == ["chain"]
    assert len(result.graph.paths) == 1
    with pytest.raises(ArgumentError, match="--path-method"):
        TreeSettings(POINT, path_method="straight")


def test_a_piece_of_the_whole_is_the_tree():
    """What a worker gives back makes the section of the page, numbers and tensors as they were."""
    point = PointSettings("cnn", samples=20, activation="tanh", pool="avg", l2=0.1, epochs=1)
    settings = TreeSettings(point, runs=2, retries=0, most=1, copies=True)
    values, tensors = tree_run(settings)
    (part,) = tree_parts(ReproduceSettings(nets=("cnn", "mlp2"), parts=("tree",)))
    result = TreeResult.from_json(json.loads(json.dumps(values)), settings=settings, **tensors)
    assert part.folder == "tree/mlp2-digits-trained"
    assert result.graph.given == 1
    assert result.copies is None  # one channel a layer: nothing may be permuted
    assert result.joined_everywhere is None
    section = tree_section(result)
    assert "ended at one minimum" in section.lead[0]
    assert section.command.startswith("morsescape tree --net cnn --samples 20 --activation")
    assert section.command.endswith("--retries 0 --most 1 --copies")


def test_several_at_once_by_processes_are_the_same_as_here(tmp_path):
    model = tmp_path / "student.py"
    model.write_text(STUDENT.replace("2 * x", "3 * x").replace("1e-2", "1e-3"))  # more minima
    point = PointSettings(objective=f"{model}:landscape")
    settings = TreeSettings(point, runs=3, retries=1, most=4, paths=False, at_once=2)
    here = run_tree(settings)
    folder = RunFolder(tmp_path / "out", settings.identity())
    there = run_tree(settings, folder, scheduler=Processes(2))
    assert there.graph.attempts == here.graph.attempts == 3
    assert there.to_json()["minima"] == here.to_json()["minima"]
    assert there.graph.ends == here.graph.ends
    assert there.graph.threshold == here.graph.threshold

    searches = tmp_path / "out" / "searches"
    before = {p.name: p.read_bytes() for p in searches.glob("attempt-*.json")}
    assert len(before) == 3
    (searches / "attempt-00001.json").unlink()  # as if killed: of the first two only one came back
    told = []
    again = run_tree(settings, folder, scheduler=Processes(2), notice=told.append)
    assert again.graph.threshold == there.graph.threshold
    assert {p.name for p in searches.glob("attempt-*.json")} == set(before)
    assert any("resumed: 3 of 3" in line for line in told)


@pytest.mark.parametrize("scheduler", [None, Here()])
def test_an_f_that_depends_on_the_seed_is_refused(tmp_path, scheduler):
    model = tmp_path / "data.py"
    model.write_text(STUDENT.replace("(2 * x)", "(2 * x + 0.01 * torch.randn(12, 1))"))
    point = PointSettings(objective=f"{model}:landscape")
    with pytest.raises(MorsescapeError, match=r"one f for every seed.*seed 1"):
        run_tree(TreeSettings(point, runs=2, most=0), scheduler=scheduler)


def test_a_minimum_above_the_threshold_is_no_lower_end_of_it(tmp_path):
    result = run_tree(TreeSettings(POINT, runs=2, retries=0, most=0))
    top = result.graph.threshold[1]
    for split, words in ((top - 1e-3, "1.0e-03 lower"), (top + 1, "other components still")):
        told = " ".join(tree_sentences(replace(result, split_at=split)))
        assert (words in told) == (result.graph.given > 1)
        assert "-1.0e" not in told


def test_kinks_are_refused():
    with pytest.raises(ArgumentError, match="twice differentiable"):
        run_tree(TreeSettings(PointSettings("mlp2", samples=40, l2=1e-2, epochs=1), runs=2))


def test_the_command(tmp_path):
    line = (
        "tree --net cnn --activation tanh --pool avg --samples 20 --l2 0.1 --epochs 1 --runs 2 "
        f"--json {tmp_path / 'tree.json'} --out {tmp_path / 'tree'}"
    )
    answer = CliRunner().invoke(app, line.split())
    assert answer.exit_code == 0, answer.output
    assert f"page in {tmp_path / 'tree' / 'tree.html'}" in answer.output
    page = (tmp_path / "tree" / "tree.html").read_text()
    assert "All searches ended at one minimum" in page
    assert page.count("data-levels=") == 1
    values = json.loads((tmp_path / "tree.json").read_text())
    assert len(values["minima"]) == values["given"] == 1
    assert values["threshold"] == values["minima"][0]["value"]


def test_copies_of_the_lowest_minimum_are_joined_too(tmp_path):
    model = tmp_path / "student.py"
    model.write_text(STUDENT)
    point = PointSettings(objective=f"{model}:landscape")
    settings = TreeSettings(point, runs=2, retries=0, most=4, copies=True)
    result = run_tree(settings, RunFolder(tmp_path / "out", settings.identity()))
    assert result.copies.copies == 8
    assert result.joined_everywhere == max(result.copies.joined_at, result.graph.threshold[1])
    assert any("all copies of all these minima" in line for line in tree_sentences(result))


STUDENT = """
import torch, morsescape as ms


def landscape(seed):
    torch.manual_seed(seed)
    x = torch.linspace(-2, 2, 12)[:, None]
    net = torch.nn.Sequential(torch.nn.Linear(1, 2), torch.nn.Tanh(), torch.nn.Linear(2, 1))
    return ms.Objective(net, "mse", (x, (2 * x).sin()), l2=1e-2)
"""
