"""Every example runs, and its assertions hold."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_example(file):
    subprocess.run([sys.executable, str(file)], check=True, timeout=1800)


def test_there_are_examples():
    assert EXAMPLES
