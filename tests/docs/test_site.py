"""The site of the docs: pages, links, names, pictures; and, where Zensical is, what it builds."""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import re
import shutil
import subprocess
import sys
import unicodedata
from enum import Enum
from pathlib import Path

import pytest
import yaml

import chromium
import morsescape as ms
from morsescape.nets.training import TrainingStatus
from morsescape.spectrum.split import SplitStatus

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
SITE = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def named(page):
    return page.relative_to(ROOT).as_posix()


def prose(page):
    """The page without its blocks and spans of code, in which brackets are no links."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    return re.sub(r"`[^`\n]*`", "", text)


def slug(heading):
    """The anchor of a heading, as GitHub makes it."""
    text = re.sub(r"\]\([^)]*\)", "", heading).strip().lower()
    kept = (c for c in text if c in " -_" or unicodedata.category(c)[0] in "LN")
    return "".join(kept).replace(" ", "-")


def anchors(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    found = {slug(line) for line in re.findall(r"^#+ (.*)$", text, flags=re.M)}
    return found | set(re.findall(r'\bid="([^"]+)"', text))


def in_nav(part=None):
    """The files that the navigation names."""
    for entry in SITE["nav"] if part is None else part:
        if isinstance(entry, str):
            yield entry
        else:
            for below in entry.values():
                yield from [below] if isinstance(below, str) else in_nav(below)


def test_the_navigation_names_each_page_once():
    assert sorted(in_nav()) == sorted(page.relative_to(DOCS).as_posix() for page in PAGES)


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=named)
def test_links_lead_somewhere(page):
    for picture, text, target in LINK.findall(prose(page)):
        assert text.strip(), f"{target} has no text"
        if re.match(r"[a-z]+:", target):
            assert not picture, f"{target} is a picture from elsewhere"
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{target} does not exist"
        if page != ROOT / "README.md":
            assert file.is_relative_to(DOCS), f"{target} is not in the site"
        if anchor:
            assert anchor in anchors(file), f"{target}: no such heading"


def documented():
    text = "\n".join(page.read_text() for page in (DOCS / "api").glob("*.md"))
    return set(re.findall(r"^::: ([\w.]+)$", text, flags=re.M))


@pytest.mark.parametrize("name", [name for name in ms.__all__ if name != "__version__"])
def test_every_public_name_is_in_the_reference(name):
    public = getattr(ms, name)
    home = public.__name__ if name == "zoo" else f"{public.__module__}.{public.__name__}"
    assert home in documented()


def test_what_the_reference_names_is_there():
    for name in documented() - {"morsescape.zoo"}:
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name


def statuses():
    """The public ones, and those of the command line."""
    public = [getattr(ms, name) for name in ms.__all__]
    yield from (kind for kind in public if isinstance(kind, type) and issubclass(kind, Enum))
    yield from (TrainingStatus, SplitStatus)


@pytest.mark.parametrize("kind", list(statuses()), ids=lambda kind: kind.__name__)
def test_every_status_has_its_row(kind):
    """Of the page that says what to do: a table headed by the enum, a row for each member."""
    text = (DOCS / "undecided.md").read_text()
    head = f"| `{kind.__name__}` | what it means | what to do |"
    table = text.partition(head)[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, flags=re.M) == [member.name for member in kind]


def test_the_table_of_the_zoo_is_the_zoo():
    rows = re.findall(
        r"^\| ([^|]+?) \| (\d+) \| (\d+) \|", (DOCS / "api" / "zoo.md").read_text(), re.M
    )
    assert [(n, int(d), int(k)) for n, d, k in rows] == [
        (land.name, land.dim, len(land.critical)) for land in ms.zoo.ZOO
    ]


def test_each_example_is_in_the_gallery_with_its_picture():
    text = (DOCS / "gallery.md").read_text()
    for file in (ROOT / "examples").glob("*.py"):
        assert f'--8<-- "examples/{file.name}"' in text
        assert f"(pictures/gallery-{file.stem.replace('_', '-')}.svg)" in text


WITH_SESSIONS = [page for page in (ROOT / "README.md", *PAGES) if "```pycon" in page.read_text()]


@pytest.mark.parametrize("page", WITH_SESSIONS, ids=named)
def test_sessions_say_what_the_page_says(page):
    blocks = "\n".join(re.findall(r"^```pycon\n(.*?)^```", page.read_text(), re.M | re.S))
    test = doctest.DocTestParser().get_doctest(blocks, {}, named(page), str(page), 0)
    assert test.examples
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    said = []
    runner.run(test, out=said.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(said)


# -- built ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The site, by the environment of `make docs` where it is, else by what is installed."""
    own = ROOT / ".venv-docs" / "bin" / "zensical"
    if not own.exists() and importlib.util.find_spec("zensical") is None:
        pytest.skip("Zensical is not here: `make docs` brings it")
    root = tmp_path_factory.mktemp("site")
    shutil.copy(ROOT / "mkdocs.yml", root)
    for folder in ("docs", "examples", "src"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("results"))
    command = [str(own)] if own.exists() else [sys.executable, "-m", "zensical"]
    subprocess.run([*command, "build", "--strict"], cwd=root, check=True, timeout=300)
    return root / "build" / "site"


def text_of(html):
    plain = re.sub(r"<(script|style).*?</\1>", " ", html, flags=re.S)
    return " ".join(re.sub(r"<[^>]*>", "", plain).split())


def test_every_page_holds_its_text(built):
    for page in PAGES:
        html = (built / page.relative_to(DOCS)).with_suffix(".html").read_text()
        title = re.search(r"^# (.*)$", page.read_text(), flags=re.M)[1]
        assert re.sub(r"[`*]", "", title) in text_of(html), page
        for name in re.findall(r"^::: ([\w.]+)$", page.read_text(), flags=re.M):
            assert f'id="{name}"' in html, f"{name} is not on {page.name}"


def test_the_gallery_shows_the_scripts(built):
    html = text_of((built / "gallery.html").read_text())
    for file in (ROOT / "examples").glob("*.py"):
        assert file.read_text().splitlines()[0].strip('"') in html


def test_docstrings_come_with_their_parts(built):
    html = text_of((built / "api" / "critical.html").read_text())
    for part in ("Parameters:", "Raises:", "Source", "Examples:", "trust-region minimiser of the"):
        assert part in html


def test_no_page_asks_the_network(built):
    asks = re.compile(r'<(?:script|link|img|iframe|source)\b[^>]*(?:src|href)=["\']?(?:https?:)?//')
    for html in built.rglob("*.html"):
        assert not asks.search(html.read_text()), html


def test_the_search_knows_the_pages(built):
    index = (built / "search.json").read_text()
    for word in ("find_critical_point", "capture_ball", "GRADIENT_FLAT"):
        assert word in index


@pytest.mark.skipif(chromium.PROGRAM is None, reason="chromium is not installed")
def test_pages_fit_a_phone_and_a_desk_and_ask_for_nothing(built):
    beyond = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    missing = "[...document.images].filter(image => !image.naturalWidth).length"
    with chromium.browser() as browser:
        for name in ("learn.html", "choose.html", "paths.html", "api/critical.html"):
            for width in (420, 1280):
                look = browser.open(built / name, width=width, dark=width == 420)
                assert browser.evaluate(beyond) == 0, (name, width)
                assert browser.evaluate(missing) == 0, (name, width)
                assert look.external == [], (name, width)
