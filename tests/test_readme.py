"""What the README and the docs show is run, and their table is what the results say."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
RESULTS = sorted((ROOT / "docs" / "results").glob("*.json"))


def test_there_is_something_to_run():
    assert BLOCKS
    assert RESULTS


@pytest.mark.parametrize("block", BLOCKS)
def test_python_blocks_run(block):
    subprocess.run([sys.executable, "-c", block], check=True, timeout=120)


@pytest.mark.parametrize("file", RESULTS, ids=lambda file: file.stem)
def test_results_are_what_the_table_says_and_keep_the_bound(file):
    result = json.loads(file.read_text())
    activation = result["settings"]["point"]["activation"]
    smooth = "" if activation == "relu" else f", {activation}"
    row = next(
        line
        for line in (ROOT / "README.md").read_text().splitlines()
        if line.startswith(f"| {result['net']}, {result['data']}, {result['at']}{smooth};")
    )
    for run in result["runs"]:
        low, high = run["negative"]
        assert (str(low) if low == high else f"[{low}, {high}]") in row
        assert high <= result["structural_upper_bound"]
        assert run["null"][0] >= run["null_explained"]["softmax shift"]
