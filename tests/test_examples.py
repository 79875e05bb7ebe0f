"""Every example runs, and its assertions hold."""

from pathlib import Path

import pytest

import fresh

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_example(file):
    fresh.run(file, timeout=1800)


def test_there_are_examples():
    assert EXAMPLES
