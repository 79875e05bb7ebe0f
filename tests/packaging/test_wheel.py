"""What is released: the sdist, and the wheel made from it, installed away from the sources."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="Hatchling, which builds the package, is not installed")
pytest.importorskip("pip", reason="pip, which installs the wheel, is not installed")

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "morsescape"


def run(*arguments, cwd, path=()):
    """What Python prints. The paths come first; the sources are not among them."""
    inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    others = [p for p in inherited if p and Path(p).resolve() != ROOT / "src"]
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([*map(str, path), *others])},
        check=True,
        capture_output=True,
        text=True,
    ).stdout


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    """The sdist, unpacked."""
    folder = tmp_path_factory.mktemp("sdist")
    run("-m", "hatchling", "build", "-t", "sdist", "-d", folder, cwd=ROOT)
    (archive,) = folder.glob("morsescape-*.tar.gz")
    run("-m", "tarfile", "-e", archive, folder, cwd=folder)
    return folder / archive.name.removesuffix(".tar.gz")


@pytest.fixture(scope="module")
def installed(sdist, tmp_path_factory):
    """The folder into which the wheel made from the sdist is installed."""
    folder = tmp_path_factory.mktemp("installed")
    run("-m", "hatchling", "build", "-t", "wheel", "-d", folder / "dist", cwd=sdist)
    (wheel,) = (folder / "dist").iterdir()
    options = "--quiet --no-deps --no-index --no-compile --disable-pip-version-check".split()
    run("-m", "pip", "install", *options, "--target", folder / "lib", wheel, cwd=folder)
    return folder / "lib"


def files(folder):
    found = (file.relative_to(folder) for file in folder.rglob("*") if file.is_file())
    return {file.as_posix() for file in found if "__pycache__" not in file.parts}


def test_the_wheel_is_the_package_and_no_more(installed):
    assert files(installed / "morsescape") == files(PACKAGE)
    assert {"py.typed", "version.py"} < files(installed / "morsescape")
    suffixes = {file.suffix for file in (installed / "morsescape" / "page" / "templates").iterdir()}
    assert suffixes >= {".css", ".js", ".j2"}
    beside = {file.name for file in installed.iterdir()} - {"morsescape", "bin"}
    assert [re.sub(r"-.*\.", ".", name) for name in beside] == ["morsescape.dist-info"]


def test_it_runs_and_its_versions_agree(installed, tmp_path):
    (found,) = distributions(path=[str(installed)])
    said = run("-m", "morsescape", "--version", cwd=tmp_path, path=[installed])
    assert said.split() == ["morsescape", found.version]
    code = "import morsescape as ms; print(ms.__version__, ms.__file__)"
    version, _, file = run("-c", code, cwd=tmp_path, path=[installed]).strip().partition(" ")
    assert version == found.version
    assert Path(file) == installed / "morsescape" / "__init__.py"


def test_its_page_is_drawn(installed, tmp_path):
    """Template, style and script are read from where the wheel put them."""
    code = (
        "from morsescape.page.engine import Page, save_page\n"
        "save_page(Page('Of the wheel', '', (), ()), 'page.html')"
    )
    run("-c", code, cwd=tmp_path, path=[installed])
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
    said = run("-m", "pytest", *quiet, *chosen, cwd=sdist, path=[sdist / "src"])
    assert re.search(r"\b[1-9]\d* passed", said)
    assert "skipped" not in said
