"""Results that are read back: what is wrong in a file is one error that names it."""

import json
from dataclasses import dataclass, replace
from enum import Enum

import pytest
import torch

import morsescape
from morsescape.critical import Certificate, CriticalPoint, Escape, escape, find_critical_point
from morsescape.errors import DataError
from morsescape.experiments.reproduce.study import asked
from morsescape.objective import Objective
from morsescape.store import RunFolder, Saved, Settings, write_json_atomic

WELL = Objective.from_function(lambda t: (t[0] ** 2 - 1) ** 2 + t[1] ** 2, 2)


class Word(Enum):
    GOOD = "good"


@dataclass(frozen=True)
class Result(Saved):
    number: float
    whole: int
    interval: tuple[int, int]
    many: tuple[str, ...]
    parts: dict[str, int]
    perhaps: float | None
    word: Word


GOOD = {
    "number": 1, "whole": 2, "interval": [1, 2], "many": ["a"], "parts": {"a": 1}, "perhaps": None,
    "word": "GOOD",
}  # fmt: skip
WRONG = [
    {"number": "1"}, {"number": None}, {"number": True}, {"whole": 2.5}, {"whole": "2"},
    {"interval": [1]}, {"interval": [1, 2.5]}, {"interval": 3}, {"interval": "ab"}, {"many": [1]},
    {"parts": {"a": "b"}}, {"parts": []}, {"perhaps": "x"}, {"word": "NOPE"}, {"word": 3},
    {"surplus": 1},
]  # fmt: skip


def test_what_was_written_comes_back(tmp_path):
    write_json_atomic(tmp_path / "a.json", GOOD)
    assert Result.load(tmp_path / "a.json") == Result(
        1, 2, (1, 2), ("a",), {"a": 1}, None, Word.GOOD
    )


@pytest.mark.parametrize("change", WRONG, ids=[str(change) for change in WRONG])
def test_wrong_values_are_an_error_that_names_the_file(tmp_path, change):
    file = tmp_path / "a.json"
    write_json_atomic(file, GOOD | change)
    with pytest.raises(DataError, match=r"a.json: expected what Result.save wrote; got "):
        Result.load(file)
    with pytest.raises(DataError, match=r"values: expected what Result.to_json gave; got "):
        Result.from_json(GOOD | change)


@pytest.mark.parametrize("content", ["", "null", "3", '"text"', "[]", "{}", "[" * 5000, "\0", "{"])
def test_wrong_content_is_an_error_that_names_the_file(tmp_path, content):
    file = tmp_path / "a.json"
    file.write_text(content)
    with pytest.raises(DataError, match=r"a.json: expected "):
        Result.load(file)


@pytest.mark.parametrize("name", list(GOOD))
def test_a_value_that_is_missing(name):
    with pytest.raises(DataError, match=r"expected what Result.to_json gave"):
        Result.from_json({key: value for key, value in GOOD.items() if key != name})


@dataclass(frozen=True, eq=False)
class TwoParts(Saved):
    word: Word
    perhaps: Result | None
    theta: torch.Tensor
    shift: torch.Tensor
    reason: str = ""
    further: torch.Tensor | None = None


def test_tensors_are_kept_apart_and_come_back(tmp_path):
    nested = Result.from_json(GOOD)
    there = TwoParts(Word.GOOD, nested, torch.ones(2), torch.zeros(3), "why")
    there.save(tmp_path)
    again = TwoParts.load(tmp_path)
    assert (again.word, again.perhaps, again.reason) == (Word.GOOD, nested, "why")
    assert torch.equal(again.theta, there.theta)
    assert torch.equal(again.shift, there.shift)
    assert again.further is None
    more = replace(there, further=torch.eye(2))
    more.save(tmp_path)
    assert torch.equal(TwoParts.load(tmp_path).further, more.further)
    there.save(tmp_path)
    piece = RunFolder(tmp_path, {"kind": "two parts"}).load("two-parts")
    assert set(piece.tensors) == {"theta", "shift"}
    file = tmp_path / "two-parts.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(DataError, match=r"a folder that TwoParts.save wrote; got .*expected SHA"):
        TwoParts.load(tmp_path)
    with pytest.raises(DataError, match="got no such folder"):
        TwoParts.load(tmp_path / "elsewhere")


def test_a_field_that_a_file_does_not_have_takes_its_default():
    values = {"word": "GOOD", "perhaps": None}
    made = TwoParts.from_json(values, torch.ones(1), torch.ones(1))
    assert (made.perhaps, made.reason) == (None, "")


@dataclass(frozen=True)
class Whole(Settings):
    EXPERIMENT = "whole"
    APART = ("runs",)
    seed: int = 0
    runs: int = 1


def test_what_a_result_depends_on():
    own = Whole(3).identity()
    assert own == {"experiment": "whole", "seed": 3, "morsescape": morsescape.__version__}
    assert Whole(3, runs=9).identity() == own != Whole(4).identity()


# --- the results of the package


def spoilt(change):
    """The values of a found point, changed."""
    values = find_critical_point(WELL, torch.tensor([0.5, 0.5]).double()).to_json()
    change(values)
    return json.loads(json.dumps(values))


CHANGES = {
    "status": lambda v: v.update(status="NOPE"),
    "steps": lambda v: v.update(steps="many"),
    "no certificate": lambda v: v.pop("certificate"),
    "certificate": lambda v: v.update(certificate=3),
    "index": lambda v: v["certificate"].update(index=[0, 1.5]),
    "evaluations": lambda v: v.update(evaluations={"values": 3}),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_critical_point_that_was_altered(tmp_path, change):
    folder = RunFolder(tmp_path, {"kind": "critical point"})
    folder.save("critical-point", spoilt(change), {"theta": torch.zeros(2)})
    with pytest.raises(DataError, match="CriticalPoint"):
        CriticalPoint.load(tmp_path)


def test_an_escape_that_was_altered(tmp_path):
    escape(WELL, torch.zeros(2).double()).save(tmp_path)
    values = RunFolder(tmp_path, {"kind": "escape"}).load("escape").payload
    for change in ({"status": "NOPE"}, {"trajectory": 3}, {"seconds": "1"}, {"inertia": {}}):
        folder = RunFolder(tmp_path, {"kind": "escape"})
        folder.save("escape", values | change, {"theta": torch.zeros(2)})
        with pytest.raises(DataError, match="expected what "):
            Escape.load(tmp_path)
    folder.save("escape", values, {})
    with pytest.raises(DataError, match=r"expected what Escape.save wrote; got KeyError: 'theta'"):
        Escape.load(tmp_path)


@pytest.mark.parametrize("values", [None, 3, "text", [], {}, {"status": "PROVED"}])
def test_a_certificate_that_is_none(values):
    with pytest.raises(DataError, match=r"values: expected what Certificate.to_json gave"):
        Certificate.from_json(values)


@pytest.mark.parametrize(
    "content", ["", "null", "[1]", '{"runs": "x"}', '{"surplus": 1}', '{"data": ["cifar"]}']
)
def test_what_a_reproduction_asked_for(tmp_path, content):
    (tmp_path / "asked.json").write_text(content)
    with pytest.raises(DataError, match=str(tmp_path)):
        asked(tmp_path)


def test_a_result_shows_itself_in_a_few_lines():
    f = morsescape.Objective.from_function(lambda t: ((t**2 - 1) ** 2).sum(), 60)
    found = morsescape.find_critical_point(f, [1.0] * 60)
    counted = morsescape.inertia(f, found.theta, method="eigh")
    path = morsescape.connect(f, [-1.0] * 60, found, method="line", prove=False)
    for shown in (
        f,
        found,
        found.certificate,
        counted,
        path,
        path.curve,
        path.height,
        morsescape.plan(f),
    ):
        text = repr(shown)
        assert text.startswith(f"{type(shown).__name__}(")
        assert len(text) < 600
        assert "\n" not in text
    assert "status=PROVED" in repr(counted)
    assert "eigenvalues=<a tuple of 60>" in repr(counted)
