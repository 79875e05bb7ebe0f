"""The types that the installed package shows to its user."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from morsescape.critical import find, steppers
from morsescape.paths.connect import METHODS, Method
from released import python

SCRIPT = Path(__file__).with_name("typed.py")


def test_mypy_finds_what_is_wrong_in_a_users_script_and_nothing_else(installed, tmp_path):
    pytest.importorskip("mypy", reason="mypy is not here")
    strict = ["--strict", "--config-file=", "--no-error-summary", "--cache-dir", tmp_path]
    said = python("-m", "mypy", *strict, SCRIPT, cwd=tmp_path, path=[installed], check=False)
    found = re.findall(r"^.*typed\.py:(\d+): error: .*\[([\w-]+)\]$", said, flags=re.M)
    assert len(found) == said.count(": error:"), said
    lines = enumerate(SCRIPT.read_text().splitlines(), 1)
    marked = [(str(n), line.split("# wrong: ")[1]) for n, line in lines if "# wrong: " in line]
    assert found == marked, said


def test_the_types_name_the_methods_there_are():
    assert get_args(find.Method) == ("auto", *steppers.STEPPERS)
    assert get_args(Method) == tuple(METHODS)
