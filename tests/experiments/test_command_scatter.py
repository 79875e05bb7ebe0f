"""`morsescape scatter`: what it prints, writes, resumes and refuses."""

import pytest
from typer.testing import CliRunner

from morsescape.app import app
from morsescape.store import read_json

SMALL = ["scatter", "--net", "cnn", "--samples", "60", "--epochs", "1", "--members", "6"]


def run(*arguments):
    return CliRunner(env={"COLUMNS": "130"}).invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scatter")
    return run(*SMALL, "--out", folder / "out", "--json", folder / "a.json"), folder


def test_it_prints_writes_and_draws(trained):
    result, folder = trained
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(
        "6 × cnn (relu, max pooling) on digits, trained: 102 parameters"
    )
    assert "Two points that differ by a symmetry are one solution." in result.stdout
    values = read_json(folder / "a.json")
    assert [member["seed"] for member in values["runs"]] == list(range(6))
    assert values["complete"] is True
    assert (folder / "out" / "scatter.png").exists()
    assert f"figure in {folder / 'out' / 'scatter.png'}" in result.stderr


def test_the_same_command_resumes(trained):
    first, folder = trained
    again = run(*SMALL, "--out", folder / "out", "--json", folder / "b.json")
    assert again.exit_code == 0
    assert again.stdout == first.stdout
    assert "resumed: 1 of 1 runs" in again.stderr
    assert read_json(folder / "b.json") == read_json(folder / "a.json")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--net", "mlp3"], "--net: expected cnn | mlp2; got 'mlp3'"),
        (["--members", "1"], "--members: expected 2 or more; got 1"),
        (["--workers", "0"], "--workers: expected 1 or more; got 0"),
        (["--l2", "0.1"], "--l2: expected none"),
    ],
)
def test_wrong_usage_is_one_line(arguments, message):
    result = run("scatter", *arguments)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert message in line


def test_more_samples_than_there_are_is_one_line_about_the_option():
    result = run("scatter", "--samples", "5000", "--members", "300")
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert "samples: expected 1 to 1,797, all that digits has; got 5,000" in line
    assert "runs failed" not in line
