"""Where the command line writes: streams of every kind, and what it names and hides."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import own_model
from morsescape.app import app
from morsescape.store import read_json

INDEX = ["index", "--net", "cnn", "--samples", "20", "--at", "random", "--runs", "1", "--no-raw"]
posix = pytest.mark.skipif(os.name != "posix", reason="devices and pipes as POSIX has them")


def run(*arguments):
    return CliRunner(env={"COLUMNS": "130"}).invoke(app, [str(argument) for argument in arguments])


def process(*arguments, **given):
    """A process of its own, whose standard output is a file or a pipe."""
    code = "from morsescape.app import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], check=False, timeout=300, **given
    )


def test_a_dash_is_standard_output_and_tables_go_to_standard_error():
    result = run(*INDEX, "--json", "-")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["complete"]
    assert "Structural bound" in result.stderr


@posix
def test_standard_output_by_its_name_is_written_once_and_stays_what_it_is(tmp_path):
    file = tmp_path / "out.json"
    with file.open("wb") as out:
        done = process(*INDEX, "--json", "/dev/stdout", stdout=out, stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr
    assert json.loads(file.read_text())["complete"]
    assert b"Structural bound" in done.stderr
    assert stat.S_ISREG(file.stat().st_mode)
    assert not Path("/dev/stdout").is_file() or Path("/dev/stdout").is_symlink()


@posix
def test_a_reader_that_goes_is_no_traceback(tmp_path):
    for arguments in (INDEX, [*INDEX, "--json", "-"], [*INDEX, "--json", "/dev/stdout"]):
        reader, writer = os.pipe()
        os.close(reader)
        done = process(*arguments, stdout=writer, stderr=subprocess.PIPE, text=True)
        os.close(writer)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert "BrokenPipe" not in done.stderr


@posix
@pytest.mark.parametrize("command", ["index", "spectrum", "polish", "scatter"])
def test_a_json_file_whose_name_is_too_long_is_found_before_the_work(command, monkeypatch):
    run_name = f"morsescape.experiments.{command}.study.run_{command}"
    monkeypatch.setattr(run_name, lambda *_, **__: pytest.fail("it has begun"))
    result = run(command, "--json", "a" * 300)
    assert result.exit_code == 1
    assert "got File name too long" in result.stderr


def test_nothing_is_named_that_was_not_used(tmp_path):
    own, file = own_model.write(tmp_path), tmp_path / "a.json"
    result = run("index", "--objective", f"{own}:seeded", "--no-raw", "--json", file)
    assert result.exit_code == 0, result.output
    values = read_json(file)
    assert (values["net"], values["data"]) == (None, None)
    assert values["settings"]["point"] == {"objective": f"{own}:seeded", "l2": None}


@posix
def test_a_finished_folder_that_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    out = tmp_path / "out"
    assert run(*INDEX, "--out", out).exit_code == 0
    replace = os.replace

    def refused(source, target):
        if str(target).startswith(str(out)):
            raise PermissionError(13, "Permission denied")
        replace(source, target)

    monkeypatch.setattr(os, "replace", refused)
    result = run(*INDEX, "--out", out)
    assert result.exit_code == 1
    assert "Structural bound" in result.stdout
    (line,) = (
        x for x in result.stderr.splitlines() if "resumed" not in x and "an estimate" not in x
    )
    assert "index.png: expected to write" in line
    assert "got Permission denied" in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["index", "--lr", "0"], "--lr: expected a positive number; got 0.0; cure: leave it out"),
        (["index", "--seed", str(2**60)], "--seed: expected 0 or more, and at most 9,007,199,254"),
        (["index", "--pool", "max"], "--pool: expected --net cnn beside it; got mlp2"),
        (["index", "--objective", "a.py:f", "--at", "trained"], "--objective: expected no --at"),
        (["index", "--objective", "a.py:f", "--pool", "max"], "--objective: expected no --pool"),
        (["index", "--root", ""], "--root: expected the name of a file or folder"),
        (["reproduce", "--net", "vgg"], "--net: expected mlp2 | mlp3 | cnn; got 'vgg'"),
        (["reproduce", "--optimizer", "adam"], "--optimizer: expected lbfgs; got 'adam'"),
        (["reproduce", "--workers", "0"], "--workers: expected 1 or more; got 0"),
        (["polish", "--method", "levenberg"], "--method: expected levenberg for target 'nearest'"),
        (["polish", "--tol", "nan"], "--tol: expected a positive number; got nan"),
        (["scatter", "--device", "meta"], "--device: expected cpu; got 'meta'"),
    ],
)
def test_messages_name_the_option(arguments, message):
    result = run(*arguments)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"morsescape: {message}")


def test_samples_that_are_too_many_are_named_by_their_option():
    result = run("index", "--samples", 99999)
    assert result.stderr.startswith("morsescape: --samples: expected 1 to 1,797")


def test_help_shows_no_option_that_is_refused():
    shown = run("scatter", "--help").stdout
    for name in ("--objective", "--l2", "--device", "--checkpoint"):
        assert name not in shown
    assert "--activation" in shown
    assert "--l2" in run("index", "--help").stdout


@pytest.mark.parametrize("damage", ["missing", "nan", "pickled", "short", "text"])
def test_checkpoints_that_cannot_be_used_are_one_line(tmp_path, damage):
    import torch

    from morsescape.nets import build
    from morsescape.store import save_checkpoint

    file, model = tmp_path / "cnn.safetensors", build("cnn", image_shape=(8, 8))
    if damage == "nan":
        torch.nn.init.constant_(model[0].weight, float("nan"))
    save_checkpoint(file, model)
    if damage == "pickled":
        torch.save(model.state_dict(), file)
    elif damage == "short":
        file.write_bytes(file.read_bytes()[:40])
    elif damage == "text":
        file.write_text("no tensors")
    elif damage == "missing":
        file.unlink()
    out = ["--out", tmp_path / "out", "--checkpoint", file]
    result = run("spectrum", "--net", "cnn", "--samples", 20, *out)
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("morsescape: ")
    assert "cure: " in line
