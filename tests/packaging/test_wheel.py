"""What is released: the sdist, and the wheel made from it, installed away from the sources."""

from __future__ import annotations

import re
from importlib.metadata import distributions
from pathlib import Path

from released import ROOT, files, python

PACKAGE = ROOT / "src" / "morsescape"


def test_the_wheel_is_the_package_and_no_more(installed):
    assert files(installed / "morsescape") == files(PACKAGE)
    assert {"py.typed", "version.py"} < files(installed / "morsescape")
    suffixes = {file.suffix for file in (installed / "morsescape" / "page" / "templates").iterdir()}
    assert suffixes >= {".css", ".js", ".j2"}
    beside = {file.name for file in installed.iterdir()} - {"morsescape", "bin"}
    assert [re.sub(r"-.*\.", ".", name) for name in beside] == ["morsescape.dist-info"]


def test_it_runs_and_its_versions_agree(installed, tmp_path):
    (found,) = distributions(path=[str(installed)])
    said = python("-m", "morsescape", "--version", cwd=tmp_path, path=[installed])
    assert said.split() == ["morsescape", found.version]
    code = "import morsescape as ms; print(ms.__version__, ms.__file__)"
    version, _, file = python("-c", code, cwd=tmp_path, path=[installed]).strip().partition(" ")
    assert version == found.version
    assert Path(file) == installed / "morsescape" / "__init__.py"


def test_its_page_is_drawn(installed, tmp_path):
    """Template, style and script are read from where the wheel put them."""
    code = (
        "from morsescape.page.engine import Page, save_page\n"
        "save_page(Page('Of the wheel', '', (), ()), 'page.html')"
    )
    python("-c", code, cwd=tmp_path, path=[installed])
    page = (tmp_path / "page.html").read_text()
    assert "<h1>Of the wheel</h1>" in page
    assert "<style" in page


def test_the_sdist_has_what_its_tests_read(sdist):
    """All that is beside the package, but for the runs that no test reads."""
    for folder in ("src", "tests", "paper", "examples", "benchmarks", "docs"):
        missing = {f"{folder}/{name}" for name in files(ROOT / folder) - files(sdist / folder)}
        assert {name for name in missing if "/pieces/scatter/" not in name} == set()
    for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "CITATION.cff", "mkdocs.yml"):
        assert (sdist / name).read_bytes() == (ROOT / name).read_bytes()


def test_the_tests_of_the_sdist_run(sdist):
    """Those that read README, docs and navigation, without the slow check of every signature."""
    chosen = ["tests/docs/test_site.py", "-k", "navigation or lead_somewhere"]
    quiet = ["-q", "-p", "no:cacheprovider", "-o", "addopts=--import-mode=importlib"]
    said = python("-m", "pytest", *quiet, *chosen, cwd=sdist, path=[sdist / "src"])
    assert re.search(r"\b[1-9]\d* passed", said)
    assert "skipped" not in said
