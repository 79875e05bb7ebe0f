"""The command line: tables, files, exit codes, and one clear line for everything that fails."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

import idx_files
import own_model
from faults import fail_at_call, names
from morsescape.app import app
from morsescape.data import files
from morsescape.nets import build
from morsescape.store import read_json, save_checkpoint

SMALL = ["--net", "cnn", "--samples", "60", "--at", "random"]


def run(*arguments):
    return CliRunner(env={"COLUMNS": "130"}).invoke(app, [str(argument) for argument in arguments])


def one_line(result, status):
    """The one line on stderr, after a failure that is no crash."""
    assert result.exit_code == status, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    (line,) = failures(result.stderr)
    return line


def failures(stderr):
    """Its lines, without the one that says what the work will take."""
    return [line for line in stderr.splitlines() if "time, an estimate at" not in line]


def runs(file):
    """The runs of a JSON file, without the times."""
    return [{k: v for k, v in r.items() if k != "seconds"} for r in read_json(file)["runs"]]


@pytest.fixture
def own(tmp_path):
    return own_model.write(tmp_path)


# --- what is printed and written


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Two runs with everything kept."""
    folder = tmp_path_factory.mktemp("swept")
    result = run(
        "index", *SMALL, "--runs", 2, "--seed", 3, "--out", folder / "out", "--json",
        folder / "index.json",
    )  # fmt: skip
    return result, folder


def test_index_prints_a_table_and_sentences(swept):
    result, _ = swept
    assert result.exit_code == 0, result.output
    values = read_json(swept[1] / "index.json")
    text = result.stdout
    for word in ("seed", "loss", "accuracy", "|grad f|", "negative", "null", "positive", "radius"):
        assert word in text
    for kept in values["runs"]:
        low, high = kept["negative"]
        assert (str(low) if low == high else f"[{low}, {high}]") in text
        assert f"{kept['loss']:.4f}" in text
    assert "Structural bound: the index is at most 52 of 102, because" in text
    assert "softmax shift explained; left unexplained" in text
    assert "not a Morse index" in text
    assert "mean ± sd over 2 runs" in text
    assert "(estimates: rounding decides their signs)" in text
    assert "Published" not in text


def test_index_keeps_runs_a_figure_and_json(swept):
    _, folder = swept
    assert names(folder / "out") == {
        "settings.json", "seed-3.json", "seed-3.safetensors", "seed-4.json", "seed-4.safetensors",
        "index.png", "index.pdf",
    }  # fmt: skip
    values = json.loads((folder / "index.json").read_text())
    assert values["complete"]
    assert (values["net"], values["data"], values["at"]) == ("cnn", "digits", "random")
    assert [kept["seed"] for kept in values["runs"]] == [3, 4]


def test_the_same_command_resumes_and_says_so(swept, tmp_path):
    _, folder = swept
    again = run(
        "index", *SMALL, "--runs", 2, "--seed", 3, "--out", folder / "out", "--json",
        tmp_path / "again.json",
    )  # fmt: skip
    assert again.exit_code == 0
    assert "morsescape: resumed: 2 of 2 runs" in again.stderr
    assert runs(tmp_path / "again.json") == runs(folder / "index.json")


def test_a_folder_of_other_settings(swept):
    _, folder = swept
    line = one_line(run("index", *SMALL, "--activation", "tanh", "--out", folder / "out"), 1)
    assert "expected activation = 'relu'; got activation = 'tanh'" in line


def test_spectrum_draws_and_says_what_is_proved(own, tmp_path):
    out, file = tmp_path / "spectrum", tmp_path / "spectrum.json"
    arguments = ("spectrum", "--objective", f"{own}:seeded", "--out", out, "--json", file)
    result = run(*arguments, "--format", "png,svg")
    assert result.exit_code == 0, result.output
    assert names(out) == {
        "settings.json", "point.json", "point.safetensors", "spectrum.png", "spectrum.svg",
    }  # fmt: skip
    assert len(read_json(file)["eigenvalues"]) == 6
    assert "Outliers: " in result.stdout
    assert "every eigenvalue is within" in result.stdout
    again = run(*arguments)
    assert "resumed" in again.stderr
    assert (out / "spectrum.pdf").exists()


def test_spectrum_of_a_checkpoint(tmp_path):
    save_checkpoint(tmp_path / "cnn.safetensors", build("cnn", image_shape=(8, 8), seed=0))
    file, out = tmp_path / "a.json", tmp_path / "out"
    checkpoint = ("--checkpoint", tmp_path / "cnn.safetensors")
    result = run(
        "spectrum", "--net", "cnn", "--samples", 60, *checkpoint, "--json", file, "--out", out
    )
    assert result.exit_code == 0, result.output
    assert read_json(file)["at"] == "given"


@pytest.mark.parametrize("command", ["index", "spectrum"])
def test_help_has_examples(command):
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"morsescape {command} --" in result.stdout


def test_version():
    assert run("--version").stdout.startswith("morsescape 0.")


# --- wrong usage: exit 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--net", "mlp9"], "--net: expected mlp2 | mlp3 | cnn; got 'mlp9'"),
        (["--data", "cifar"], "--data: expected digits | mnist | fashion-mnist; got 'cifar'"),
        (["--l2", "-1"], "--l2: expected a finite number, 0 or more; got -1.0"),
        (["--l2", "nan"], "--l2: expected a finite number, 0 or more; got nan"),
        (["--runs", "0"], "--runs: expected 1 or more; got 0"),
        (["--samples", "0"], "--samples: expected 1 or more; got 0"),
        (["--seed", "-1"], "--seed: expected 0 or more; got -1"),
        (["--method", "guess"], "--method: expected ldl | eigh; got 'guess'"),
        (["--device", "abacus"], "--device: expected a device of this machine"),
        (["--objective", "own.py"], "--objective: expected FILE.py:FUNCTION; got 'own.py'"),
        (["--objective", "a.py:f", "--net", "cnn"], "--objective: expected no --net beside it"),
        (["--objective", "a.py:f", "--at", "random"], "--objective: expected no --at beside it"),
        (["--pool", "avg"], "--pool: expected --net cnn beside it; got mlp2"),
        (["--at", "random", "--lr", "1"], "--at: expected trained, with --lr; got random"),
        (["--epochs", "0"], "--epochs: expected 1 or more; got 0; cure: --at random"),
    ],
)
def test_wrong_usage_of_index(arguments, message):
    assert message in one_line(run("index", *arguments), 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "png,bmp"], "--format: expected png, pdf, svg; got 'bmp'"),
        (["--format", "svg"], "--format: expected --out DIR with it, for the figure; got none"),
        (["--checkpoint", "a", "--epochs", "3"], "--checkpoint: expected no --epochs beside it"),
    ],
)
def test_wrong_usage_of_spectrum(arguments, message):
    assert message in one_line(run("spectrum", *arguments), 2)


def test_spectrum_without_a_folder_keeps_nothing(own, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.iterdir())
    done = run("spectrum", "--objective", f"{own}:seeded")
    assert done.exit_code == 0, done.output
    assert "variables" in done.stderr
    assert {p for p in tmp_path.iterdir() if p.name != "__pycache__"} == before


@pytest.mark.parametrize("arguments", [["--nets", "cnn"], ["--runs", "many"], ["surplus"]])
def test_what_the_parser_refuses(arguments):
    result = run("index", *arguments)
    assert result.exit_code == 2
    assert arguments[0] in result.stderr


# --- failures: exit 1


def test_more_samples_than_there_are():
    line = one_line(run("index", "--samples", 99999), 1)
    assert "samples: expected 1 to 1,797, all that digits has; got 99,999" in line


def test_a_root_that_is_missing(tmp_path):
    line = one_line(run("index", "--data", "mnist", "--root", tmp_path / "no"), 1)
    assert "expected the file train-images-idx3-ubyte" in line
    assert "got no such folder" in line


def test_a_damaged_data_file(tmp_path, monkeypatch):
    monkeypatch.setitem(files.SOURCES, "mnist", idx_files.SMALL)
    folder = idx_files.write_all(tmp_path / "MNIST" / "raw", gzipped=False)
    images = folder / "train-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:-1])
    line = one_line(run("index", "--data", "mnist", "--root", tmp_path), 1)
    assert str(images) in line
    assert "cure: delete this file and fetch it once more" in line


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("missing", "expected a function missing in"),
        ("number", "expected a function that returns a morsescape.Objective; got int"),
        ("fails", "got ValueError: two lines"),
        ("refused", "loss: expected 'cross_entropy', 'mse' or a function"),
    ],
)
@pytest.mark.parametrize("command", ["index", "spectrum"])
def test_an_objective_that_is_none(
    command, function, message, own, tmp_path, monkeypatch, unchecked
):
    monkeypatch.chdir(tmp_path)
    assert message in one_line(run(command, "--objective", f"{own}:{function}"), 1)


def test_an_objective_file_that_is_missing(tmp_path):
    line = one_line(run("index", "--objective", f"{tmp_path}/no.py:f"), 1)
    assert "expected a Python file; got no file" in line


def test_checkpoints_that_cannot_be_used(tmp_path):
    file = tmp_path / "mlp2.safetensors"
    save_checkpoint(file, build("mlp2", image_shape=(8, 8)))
    arguments = ("spectrum", "--net", "cnn", "--checkpoint", file, "--out", tmp_path / "out")
    assert "cure: build the model with the same net" in one_line(run(*arguments), 1)
    file.write_bytes(file.read_bytes()[:-7])
    line = one_line(run(*arguments[:-1], tmp_path / "other"), 1)
    assert str(file) in line
    assert "expected a whole safetensors file" in line
    gone = ("spectrum", "--checkpoint", tmp_path / "gone", "--out", tmp_path / "third")
    assert "got No such file or directory" in one_line(run(*gone), 1)


@pytest.mark.parametrize("command", ["index", "spectrum"])
def test_a_json_file_that_cannot_be_written_is_found_before_the_work(
    command, tmp_path, monkeypatch
):
    run_name = f"morsescape.experiments.{command}.study.run_{command}"
    monkeypatch.setattr(run_name, lambda *_, **__: pytest.fail("it has begun"))
    (tmp_path / "file").write_text("")
    line = one_line(run(command, "--json", tmp_path / "file" / "a.json"), 1)
    assert "expected a file that can be written; got " in line
    assert "it is a folder" in one_line(run(command, "--json", tmp_path), 1)


def test_an_out_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    line = one_line(run("index", "--out", tmp_path / "file" / "out"), 1)
    assert "expected a folder that can be written; got Not a directory; cure: name a folder" in line


def test_a_full_disk(own, tmp_path, monkeypatch):
    arguments = ("index", "--objective", f"{own}:seeded", "--runs", 2, "--out", tmp_path / "out")
    # The settings, then two files a run: the fourth rename is that of the second run's tensors.
    fail_at_call(monkeypatch, 4, OSError(errno.ENOSPC, "No space left on device"))
    line = one_line(run(*arguments), 1)
    assert "got No space left on device" in line
    assert names(tmp_path / "out") == {"settings.json", "seed-0.json", "seed-0.safetensors"}
    assert "resumed: 1 of 2 runs" in run(*arguments).stderr


def test_too_little_memory(own, monkeypatch):
    def greedy(*_, **__):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 2 TB\nmore")

    monkeypatch.setattr("morsescape.experiments.index.study.run_index", greedy)
    line = one_line(run("index"), 1)
    assert line.startswith("morsescape: not enough memory (DefaultCPUAllocator")


def test_an_interrupt_is_one_line(monkeypatch, tmp_path):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("morsescape.experiments.index.study.run_index", interrupted)
    out = tmp_path / "out"
    line = one_line(run("index", "--out", out), 130)
    assert line == f"morsescape: interrupted; finished runs are in {out}, the same command resumes"
    assert "nothing is kept without --out DIR" in one_line(run("index"), 130)


# --- a real interrupt of a real process

SLOW = """
import time
def delayed(seed):
    time.sleep(0.2)
    return seeded(seed)
"""


def command(*arguments):
    code = "from morsescape.app import main; main()"
    return [sys.executable, "-c", code, *map(str, arguments)]


@pytest.mark.skipif(os.name != "posix", reason="SIGINT cannot be sent to one process elsewhere")
def test_interrupted_in_the_middle_then_resumed_gives_the_same_results(own, tmp_path):
    own.write_text(own.read_text() + SLOW)
    out, kept, other = tmp_path / "out", tmp_path / "kept.json", tmp_path / "other.json"
    arguments = ("index", "--objective", f"{own}:delayed", "--no-raw")
    process = subprocess.Popen(
        command(*arguments, "--runs", 500, "--out", out), stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 600
    while not Path(out, "seed-1.json").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=600)
    assert process.returncode == 130
    (line,) = failures(stderr)
    assert line == f"morsescape: interrupted; finished runs are in {out}, the same command resumes"
    done = len(list(out.glob("seed-*.json")))
    assert 2 <= done < 500
    again = run(*arguments, "--runs", done + 1, "--out", out, "--json", kept)
    assert f"resumed: {done} of {done + 1} runs" in again.stderr
    assert run(*arguments, "--runs", done + 1, "--json", other).exit_code == 0
    assert runs(kept) == runs(other)


# --- polish


def test_polish_prints_where_it_began_and_where_it_ended(tmp_path):
    smooth = ["--activation", "tanh", "--pool", "avg", "--l2", "0.1"]
    command = ("polish", *SMALL, *smooth, "--out", tmp_path / "out", "--json", tmp_path / "a.json")
    result = run(*command)
    assert result.exit_code == 0, result.output
    values = read_json(tmp_path / "a.json")
    assert values["found"]["grad_norm"] < 1e-9 < values["start"]["grad_norm"]
    assert values["found"]["index"] == 0
    assert "Index: 0" in result.stdout
    assert "|grad f|" in result.stdout
    again = run(*command)
    assert "resumed: the critical point was found already" in again.stderr
    assert again.stdout == result.stdout


def test_polish_refuses_an_unknown_method():
    assert "--method: expected auto | lbfgs" in one_line(run("polish", "--method", "sgd"), 2)


# --- what it will take, said before


@pytest.mark.parametrize("command", ["index", "spectrum", "polish", "connect"])
def test_a_command_says_what_it_takes_before_it_trains(command, tmp_path, monkeypatch):
    def untrained(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("morsescape.experiments.point._train", untrained)
    result = run(command, "--net", "cnn", "--samples", 20, "--out", tmp_path / "out")
    said, *more, interrupted = result.stderr.splitlines()
    assert said.startswith("morsescape: 102 variables; memory: about 0.0")
    assert "time, an estimate at " in said
    assert " for signs at a point, " in said
    assert interrupted.startswith("morsescape: interrupted")
    hopeless = "not provable: max_pool2d, relu is not twice differentiable; cure: --activation tanh"
    assert [line.startswith(f"morsescape: {hopeless}") for line in more] == (
        [True] if command == "polish" else []
    )


def test_a_tree_says_what_it_takes_and_refuses_kinks_before_it_trains(tmp_path, monkeypatch):
    def untrained(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("morsescape.experiments.point._train", untrained)
    usual = ["tree", "--net", "cnn", "--samples", 20, "--out", tmp_path / "out"]
    smooth = ["--activation", "tanh", "--pool", "avg", "--l2", "0.1"]
    said, interrupted = run(*usual, *smooth).stderr.splitlines()
    assert said.startswith("morsescape: 102 variables; memory: about 0.0")
    assert " for signs at a point, " in said
    assert interrupted.startswith("morsescape: interrupted")
    said, hopeless, refused = run(*usual).stderr.splitlines()
    assert said.startswith("morsescape: 102 variables; memory: about 0.0")
    assert "not provable: max_pool2d, relu" in hopeless
    assert "--activation: expected a network that is twice differentiable" in refused


def test_a_smooth_polish_is_not_told_that_it_cannot_succeed(tmp_path):
    smooth = ["--activation", "tanh", "--pool", "avg", "--l2", "0.1"]
    result = run("polish", *SMALL, *smooth)
    (said,) = result.stderr.splitlines()
    assert "for a search" in said
