"""`morsescape connect`: what it prints, keeps, resumes and refuses."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from morsescape.app import app
from morsescape.errors import ArgumentError
from morsescape.experiments.connect.figure import connect_figure
from morsescape.experiments.connect.put_to_use import Used
from morsescape.experiments.connect.study import (
    ConnectResult,
    ConnectSettings,
    connect_parts,
    run_connect,
)
from morsescape.experiments.connect.words import connect_command, connect_section
from morsescape.experiments.point import PointSettings
from morsescape.experiments.reproduce.study import ReproduceSettings
from morsescape.nets import build
from morsescape.paths import METHODS, robustness, uses
from morsescape.store import RunFolder, read_json, save_checkpoint

SMALL = ["connect", "--samples", "80", "--epochs", "3", "--activation", "tanh", "--l2", "0.01"]


def run(*arguments):
    return CliRunner(env={"COLUMNS": "140"}).invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def connected(tmp_path_factory):
    folder = tmp_path_factory.mktemp("connect")
    more = ("--methods", "line,bezier", "--polish")
    return run(*SMALL, *more, "--out", folder / "out", "--json", folder / "a.json"), folder


def test_it_prints_writes_and_draws(connected):
    result, folder = connected
    assert result.exit_code == 0, result.output
    assert "lie in one component of the sublevel set" in result.stdout
    assert "2 of the 2 ends are proved to be strict local minima" in result.stdout
    values = read_json(folder / "a.json")
    heights = {way["method"]: way["height"] for way in values["ways"]}
    assert heights["bezier"]["high"] < heights["line"]["low"]
    assert all(h["estimate"] is None for h in heights.values())
    assert (folder / "out" / "connect.png").exists()


def test_the_same_command_resumes(connected):
    first, folder = connected
    again = run(*SMALL, "--methods", "line,bezier", "--polish", "--out", folder / "out")
    assert again.exit_code == 0
    assert again.stdout == first.stdout
    assert "both solutions are there already" in again.stderr


def test_a_killed_run_goes_on_with_the_paths_it_has(tmp_path, monkeypatch):
    monkeypatch.setattr("morsescape.paths.trained._STEPS", 50)  # the curve need not be good
    point = PointSettings(samples=60, epochs=2, activation="tanh")
    settings = ConnectSettings(point, methods=("line", "bezier"))
    seen = []

    def killed(what, done, total):
        seen.append(what)
        if what.startswith("proof, bezier"):
            raise KeyboardInterrupt

    folder = RunFolder(tmp_path / "run", settings.identity())
    with pytest.raises(KeyboardInterrupt):
        run_connect(settings, folder, killed)
    assert folder.load("way-line") is not None
    assert folder.load("way-bezier") is None
    result = run_connect(settings, folder)
    assert [way.method for way in result.ways] == ["line", "bezier"]
    whole = run_connect(settings)
    assert [w.height for w in whole.ways] == [w.height for w in result.ways]


def test_two_checkpoints(tmp_path):
    files = [tmp_path / f"{seed}.safetensors" for seed in (0, 1)]
    for seed, file in enumerate(files):
        save_checkpoint(file, build("mlp2", image_shape=(8, 8), seed=seed))
    result = run("connect", "--samples", 60, "--checkpoint", files[0], "--to", files[1],
                 "--methods", "line", "--no-align")  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "relu" in result.stdout  # kinks are named
    wrong = run("connect", "--net", "mlp3", "--samples", 60, "--checkpoint", files[0],
                "--to", files[1])  # fmt: skip
    assert wrong.exit_code == 1
    assert "morsescape: " in wrong.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--methods", "tunnel"], "tunnel"),
        (["--other", "0"], "another seed"),
        (["--to", "b.safetensors"], "--checkpoint for the first"),
        (["--tol", "0"], "--tol"),
        (["--to", "b.safetensors"], "morsescape: --to: "),
        (["--attack", "pgd"], "morsescape: --eps: expected the radius of --attack pgd"),
        (["--eps", "0.1"], "morsescape: --eps: expected --attack beside it"),
        (["--attack", "deepfool", "--eps", "0.1"], "fgsm | pgd"),
        (["--attack", "pgd", "--eps", "0"], "--eps"),
    ],
)
def test_bad_options_are_one_line(arguments, words):
    result = run("connect", *arguments)
    assert result.exit_code == 2
    assert words in result.stderr


def test_a_network_of_ones_own(tmp_path):
    (tmp_path / "model.py").write_text(
        "import torch, morsescape as ms\n"
        "def own(seed=0):\n"
        "    g = torch.Generator().manual_seed(seed)\n"
        "    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.GELU(),"
        " torch.nn.Linear(4, 2))\n"
        "    with torch.no_grad():\n"
        "        for p in net.parameters():\n"
        "            p.copy_(torch.randn(p.shape, generator=g))\n"
        "    x = torch.linspace(-1, 1, 30).reshape(10, 3)\n"
        "    return ms.Objective(net, 'mse', (x, x[:, :2] ** 2), l2=1e-2)\n"
    )
    result = run("connect", "--objective", tmp_path / "model.py:own", "--methods", "line")
    assert result.exit_code == 0, result.output
    assert "proved" in result.stdout.lower()


def test_a_function_that_gives_one_solution_is_told_of_seeds(tmp_path):
    (tmp_path / "model.py").write_text(
        "import morsescape as ms\n"
        "def own():\n"
        "    return ms.Objective.from_function(lambda t: (t**2).sum(), 2)\n"
    )
    result = run("connect", "--objective", tmp_path / "model.py:own", "--methods", "line")
    assert result.exit_code == 1
    assert "got the same parameters for seeds 0 and 1; cure: write `def f(seed)" in result.stderr


OWN = """\
import torch, morsescape as ms
def squares(seed=0):
    torch.manual_seed(seed)
    x = torch.linspace(0, 1, 30).reshape(10, 3)
    return ms.Objective(torch.nn.Linear(3, 2), 'mse', (x, x[:, :2]))
def normalised(seed=0):
    torch.manual_seed(seed)
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Tanh(),
                              torch.nn.Linear(4, 2)).eval()
    x = torch.linspace(0, 1, 30).reshape(10, 3)
    return ms.Objective(net, 'cross_entropy', (x, torch.arange(10) % 2))
"""


@pytest.fixture
def own(tmp_path):
    (tmp_path / "model.py").write_text(OWN)
    return tmp_path / "model.py"


def test_what_paths_are_good_for_is_that_of_the_functions(connected):
    """With what is kept there: the means and the attack need no path again."""
    _, folder = connected
    more = ("--methods", "line,bezier", "--polish", "--uses", "--attack", "fgsm", "--eps", "0.1")
    json = folder / "b.json"
    result = run(*SMALL, *more, "--out", folder / "out", "--json", json)
    assert result.exit_code == 0, result.output
    assert "both solutions are there already" in result.stderr
    point = PointSettings(samples=80, epochs=3, activation="tanh", l2=0.01)
    settings = ConnectSettings(point, methods=("line", "bezier"), polish=True)
    whole = run_connect(settings, RunFolder(folder / "out", settings.identity()))
    assert whole.used == ()
    f, best = whole.path.f, read_json(json)["used"][1]
    means, left = uses(f, whole.path.curve), robustness(f, whole.path.curve, eps=0.1, attack="fgsm")
    assert Used.from_json(best).means == means
    assert best["attacked"]["attacked"] == left.attacked.tolist()
    assert best["attacked"]["clean"] == left.clean.tolist()
    assert best["attacked"]["images"] == "training"  # digits has no others
    shares = [f"{means.train.average.accuracy:.2%}", f"{means.train.ensemble.accuracy:.2%}"]
    shares += [f"{left.attacked.min():.2%}"]
    row = next(line for line in result.stdout.splitlines() if line.startswith(" bezier   training"))
    assert [word for word in row.split() if word.rstrip(",") in shares]
    assert all(share in row for share in shares)
    assert "Attacked by fgsm, ε = 0.1" in result.stdout


def test_the_figure_has_a_panel_for_each_thing_asked(connected):
    _, folder = connected
    point = PointSettings(samples=80, epochs=3, activation="tanh", l2=0.01)
    settings = ConnectSettings(point, methods=("line", "bezier"), polish=True, uses=True,
                               attack="pgd", eps=0.1)  # fmt: skip
    result = run_connect(settings, RunFolder(folder / "out", settings.identity()))
    panels = [ax for ax in connect_figure(result).axes if ax.get_label() != "<colorbar>"]
    assert [ax.get_xlabel() for ax in panels] == [
        "t along the curve", "along the chord", "error (%), training data", "t along the curve",
    ]  # fmt: skip
    assert [line.get_label() for line in panels[3].lines] == [
        "line", "line, attacked", "bezier", "bezier, attacked"
    ]  # fmt: skip
    drawn = [float(x) for line in panels[2].lines for x in line.get_xdata()]
    means = result.used[0].means.train
    assert drawn[:3] == pytest.approx(
        [100 * (1 - s.accuracy) for s in (means.first, means.last, means.average)]
    )


def test_without_labels_there_is_no_attack_and_means_are_told_by_their_loss(own):
    asked = ("connect", "--objective", f"{own}:squares", "--methods", "line")
    refused = run(*asked, "--attack", "pgd", "--eps", 0.1)
    assert refused.exit_code == 1
    assert "--attack: expected cross-entropy of class labels; got the loss mse" in refused.stderr
    assert "or leave --attack out" in refused.stderr
    result = run(*asked, "--uses")
    assert result.exit_code == 0, result.output
    assert "Numbers are losses: there are no labels." in result.stdout
    assert "%" not in result.stdout.partition("mean of weights")[2]


def test_statistics_of_normalisation_fit_each_point(own):
    result = run("connect", "--objective", f"{own}:normalised", "--methods", "line", "--uses",
                 "--attack", "fgsm", "--eps", 0.1)  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "running statistics" not in result.stdout  # no warning: they were computed anew


def test_reproduce_has_a_pair_of_each_network_and_few_images_for_the_cnn():
    asked = {part.folder: part.identity["samples"] for part in connect_parts(ReproduceSettings())}
    assert asked == {
        "connect/mlp2-digits-trained": None, "connect/mlp3-digits-trained": None,
        "connect/cnn-digits-trained": 200,
    }  # fmt: skip
    fewer = {p.identity["samples"] for p in connect_parts(ReproduceSettings(samples=50))}
    assert fewer == {50}
    mnist = {p.folder: p.seconds for p in connect_parts(ReproduceSettings(data=("mnist",)))}
    assert mnist["connect/cnn-mnist-trained"] < 100
    assert mnist["connect/mlp2-mnist-trained"] > 300


def test_help_does_not_break_names_of_methods():
    result = CliRunner(env={"COLUMNS": "80"}).invoke(app, ["connect", "--help"])
    words = result.stdout.replace(",", " ").split()
    assert set(METHODS) <= set(words)
    assert not {"stri", "ng"} & set(words)


def test_its_section_and_command():
    point = PointSettings(samples=60, epochs=2, activation="tanh")
    result = run_connect(ConnectSettings(point, 3, methods=("line",), align=False))
    assert connect_command(result) == (
        "morsescape connect --samples 60 --activation tanh --epochs 2 --methods line --seed 3 "
        "--no-align"
    )
    section = connect_section(result)
    assert "Proved" in section.lead[0]
    again = ConnectResult.from_json(result.to_json(), settings=result.settings)
    assert again.ways == result.ways


def test_solutions_of_two_sizes_are_not_compared(tmp_path):
    with pytest.raises(ArgumentError, match="--checkpoint"):
        ConnectSettings(PointSettings(), to=str(tmp_path / "b.safetensors"))
