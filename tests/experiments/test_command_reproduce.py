"""`morsescape reproduce` on the command line."""

import pytest
from typer.testing import CliRunner

from morsescape.app import app
from morsescape.store import read_json

SIZE = ["reproduce", "--net", "cnn", "--runs", "1", "--samples", "60"]
FEW = [*SIZE, "--parts", "tables,linear"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("reproduced")
    done = CliRunner().invoke(app, [*FEW, "--workers", "1", "--out", str(out)])
    assert done.exit_code == 0, done.output
    return out


def test_the_page_needs_no_options_again(folder):
    before = (folder / "results.json").read_text()
    (folder / "results.json").unlink()
    again = CliRunner().invoke(app, ["reproduce", "--out", str(folder), "--page-only"])
    assert again.exit_code == 0, again.output
    assert (folder / "results.json").read_text() == before
    assert (
        "cnn on digits, the first 60 images, 1 run a setting" in (folder / "index.html").read_text()
    )


def test_options_say_what_the_page_shows(folder):
    tables = [*SIZE, "--parts", "linear", "--page-only", "--out", str(folder)]
    shown = CliRunner().invoke(app, tables)
    assert shown.exit_code == 0, shown.output
    assert "curve downwards" not in (folder / "index.html").read_text()


def test_an_option_of_names_may_be_given_again(folder):
    again = [*SIZE, "--parts", "tables", "--parts", "linear,tables", "--page-only"]
    shown = CliRunner().invoke(app, [*again, "--out", str(folder)])
    assert shown.exit_code == 0, shown.output
    assert read_json(folder / "results.json")["settings"]["parts"] == ["tables", "linear"]


def test_no_page_of_a_folder_that_is_none(tmp_path):
    refused = CliRunner().invoke(app, ["reproduce", "--out", str(tmp_path), "--page-only"])
    assert refused.exit_code == 1
    assert "expected a folder of `morsescape reproduce`" in refused.stderr


@pytest.mark.parametrize("command", ["index", "spectrum", "scatter", "polish", "reproduce"])
def test_every_example_has_a_line_of_its_own(command):
    shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "100"})
    examples = shown.output.partition("Examples:")[2].split("\n")
    lines = [line.strip() for line in examples if "morsescape" in line]
    assert len(lines) >= 3
    assert all(line.startswith(f"morsescape {command}") for line in lines)
    assert all(line.count("morsescape") == 1 for line in lines)
