"""What the README and the docs show is run, and their table is what the results say."""

import json
import re
from pathlib import Path

import pytest

import fresh

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
BLOCKS = [
    block for page in PAGES for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.S)
]
PAPER = json.loads((ROOT / "docs" / "results" / "paper" / "results.json").read_text())
ROWS = ROOT / "docs" / "results" / "rows"  # counted again
for table in PAPER["tables"]:
    for run in table["runs"]:
        newer = ROWS / f"{table['net']}-{table['data']}-{table['at']}-{run['seed']}.json"
        run |= json.loads(newer.read_text()) if newer.exists() else {}
FILES = sorted((ROOT / "docs" / "results").glob("*.json"))
RESULTS = [*PAPER["tables"], *(json.loads(file.read_text()) for file in FILES)]


def setting(result):
    activation = result["settings"]["point"]["activation"]
    smooth = "" if activation == "relu" else f", {activation}"
    return f"{result['net']}, {result['data']}, {result['at']}{smooth}"


def test_there_is_something_to_run():
    assert BLOCKS
    assert RESULTS


@pytest.mark.parametrize("block", BLOCKS)
def test_python_blocks_run(block, tmp_path):
    script = tmp_path / "block.py"
    script.write_text(block)
    fresh.run(script, timeout=1200)


@pytest.mark.parametrize("result", RESULTS, ids=setting)
def test_results_are_what_the_table_says_and_keep_the_bound(result):
    lines = (ROOT / "docs" / "noise.md").read_text().splitlines()
    row = next(line for line in lines if line.startswith(f"| {setting(result)} |"))
    counts = [run["negative"] for run in result["runs"]]
    exact = sum(low == high for low, high in counts)
    low, high = min(low for low, _ in counts), max(high for _, high in counts)
    word = f"{low} to {high}" if exact == len(counts) else f"[{low}, {high}]"
    assert f"| **{low if low == high else word}** | {exact} of {len(counts)} |" in row
    for run in result["runs"]:
        assert run["negative"][1] <= result["structural_upper_bound"]
        assert run["null"][0] >= run["null_explained"]["softmax shift"]


def test_the_protocols_are_concluded_as_in_the_results():
    said = " ".join((ROOT / "docs" / "noise.md").read_text().split())
    study = json.loads((ROOT / "docs" / "results" / "paper" / "protocols.json").read_text())
    assert study["conclusion"] in said


@pytest.mark.parametrize("page", ["README.md", "docs/paper.md"])
def test_the_answer_is_what_the_results_say(page, monkeypatch):
    """The text between the marks is written anew from what is kept."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import answer

    morse = ROOT / "docs" / "results" / "morse"
    read = [json.loads((morse / file.name).read_text()) for file in (answer.TREE, answer.INDICES)]
    said = answer.answer(read[0], read[1]["counts"])
    assert said.replace("(docs/", "(") in (ROOT / page).read_text().replace("(docs/", "(")


def test_the_page_of_one_number_is_what_its_rows_say(monkeypatch):
    """And no new interval lies outside the one that was measured before."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import one_number

    rows = one_number.rows()
    page = (ROOT / "docs" / "one_number.md").read_text()
    assert one_number.sentence(rows) in page
    assert one_number.table(rows) in page
    cnn = [run for (net, *_), run in one_number.old_runs().items() if net == "cnn"]
    counts = [run["negative"] for run in (*rows, *cnn)]
    decided = sum(low == high for low, high in counts)
    assert f"now **{decided} are**" in page
    said = f"{decided} of the paper's {len(counts)} networks"
    assert said in " ".join((ROOT / "README.md").read_text().split())
