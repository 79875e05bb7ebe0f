"""The level over a tree: what the page is given, and in a browser what it says and marks."""

import json
import re
from html import unescape
from itertools import pairwise
from xml.etree import ElementTree as Tree

import pytest
from matplotlib.figure import Figure

import chromium
import sample_page as sample
from morsescape.figures import disconnectivity_figure
from morsescape.figures.graph_page import tree_picture
from morsescape.morse.merge_tree import Join, MergeTree
from morsescape.page import Page, PageTable, Picture, Section, render, save_page
from morsescape.page.svg import svg_of, words_at

MINIMA = [0.02, 0.031, 0.04, 0.0451, 0.05]
HEIGHTS = [(0, 1, 0.0432), (2, 3, 0.0487), (1, 2, 0.0531)]  # 4 is joined by nothing that is proved
JOINS = [
    *(Join(a, b, (h - 1e-4, h), "saddle", True) for a, b, h in HEIGHTS),
    Join(0, 3, (0.046, 0.046), "path", False),
    Join(3, 4, (0.051, 0.051), "saddle", False),
    Join(0, 2, (0.06, 0.06), "path", True),
]
TREE = MergeTree.of([(m - 1e-6, m) for m in MINIMA], JOINS)


def drawn(tree=TREE, **options):
    figure = Figure(figsize=(4.0, 3.0), layout="constrained")
    disconnectivity_figure(tree, figure.subplots(), **options)
    return figure


def marks(body):
    root = Tree.fromstring(f"<svg>{body}</svg>")
    return [e for e in root.iter() if "data-minima" in e.attrib]


def test_leaves_and_proved_joins_tell_their_minima_and_heights():
    told = {
        e.get("data-minima"): float(e.get("data-height")) for e in marks(svg_of(drawn(), "p").body)
    }
    leaves = {str(k): high for k, high in enumerate(MINIMA)}
    assert told == leaves | {f"{a} {b}": h for a, b, h in HEIGHTS}


def test_marks_stand_where_the_levels_say():
    svg = svg_of(drawn(), "p")
    ends = json.loads(svg.levels)
    (x0, x1), (y0, y1), (p0, p1), (f0, f1) = (ends[key] for key in ("x", "y", "at", "f"))
    for mark in marks(svg.body):
        share = (float(mark.get("data-height")) - f0) / (f1 - f0)
        assert float(mark.get("y")) == pytest.approx(y0 + share * (y1 - y0), abs=0.02)
        if "data-place" in mark.attrib:
            share = (float(mark.get("data-place")) - p0) / (p1 - p0)
            assert float(mark.get("x")) == pytest.approx(x0 + share * (x1 - x0), abs=0.02)


def test_what_is_said_is_what_the_tree_says():
    said = json.loads(svg_of(drawn(), "p").levels)
    assert (said["of"], said["rest"]) == ("minima", TREE.missing)
    assert str(TREE).endswith(TREE.missing)
    both = json.loads(svg_of(drawn(symmetric=True), "p").levels)
    assert both["of"] == "minima, each up to a symmetry of f"


def test_marks_and_rows_have_their_data_escaped():
    ax = sample.figure().axes[0]
    (dots,) = ax.plot([0.1, 0.2], [0.1, 0.2], "o")
    bad = '"><b>'
    words_at(dots, ["a", "b"], [{"minima": "0 1", "height": 0.1}, {"minima": bad}])
    rows = PageTable("t", ("a", "empty"), (("x", "–"), ("y", "–")), "", "g",
                     ({"minima": 3}, {"minima": bad}))  # fmt: skip
    section = Section("s", "s", (), (rows,), (Picture(ax.figure, "", "", bad),), beside=(rows,))
    page = render(Page("t", "", (), (section,)))
    assert bad not in page
    told = re.findall(r'<(\w+) [^>]*?data-(minima|height|graph)="([^"]*)"', page)
    own = [("table", "graph", "g"), ("tr", "minima", "3"), ("tr", "minima", bad)]
    marks = [("svg", "graph", bad), ("use", "minima", "0 1"), ("use", "minima", bad)]
    # beside the picture, and folded away
    assert [(*tag, unescape(value)) for *tag, value in told] == [*marks, *own, *own]
    assert page.count('data-minima="0 1" data-height="0.1"') == 1


def test_what_is_drawn_once_and_used_often_takes_its_outline_where_it_is_used():
    body = svg_of(drawn(), "p").body
    definitions = re.findall(r"<defs> (<path[^>]*>)", body)
    assert definitions
    assert all("style=" not in path for path in definitions)
    assert all("style=" in use for use in re.findall(r"<use [^>]*>", body))


# --- in a browser

needs_browser = pytest.mark.skipif(chromium.PROGRAM is None, reason="chromium is not installed")
SLIDER = "document.querySelector('.level input')"
SAID = "document.querySelector('.at-level').textContent"
PARTS = "[...document.querySelectorAll('.parts li')].map(e => e.textContent)"
PICKED = "[...document.querySelectorAll('.picked')].map(e => [e.tagName, e.dataset.minima])"


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    data = [{"minima": f"{a} {b}", "height": h} for a, b, h in HEIGHTS]
    data += [{"minima": "0 2", "height": 0.06}, {"minima": "4", "height": 0.05}]
    data += [{"minima": "0 1", "height": 0.07}]  # another pass between two that are joined lower
    rows = tuple((d["minima"], str(d["height"])) for d in data)
    tables = [PageTable(name, ("joins", "f"), rows, graph=name, data=tuple(data)) for name in "gh"]
    sections = (
        Section("One", "one", (), pictures=(tree_picture(drawn(), "g"),), beside=(tables[0],)),
        Section("Another", "another", (), beside=(tables[1],)),
    )
    file = tmp_path_factory.mktemp("level") / "index.html"
    save_page(Page("Levels", "", (), sections), file)
    return file


def moved(browser, k):
    browser.evaluate(f"{SLIDER}.value = {k}; {SLIDER}.dispatchEvent(new Event('input'))")
    return browser.evaluate(SAID)


def key(browser, target, name):
    pressed = f"new KeyboardEvent('keydown', {{key: '{name}', bubbles: true, cancelable: true}})"
    browser.evaluate(f"{target}.dispatchEvent({pressed})")


@needs_browser
def test_at_every_level_the_sentence_is_that_of_the_tree(browser, path):
    assert browser.open(path, width=1280).console == []
    low, high = (int(browser.evaluate(f"{SLIDER}.{end}")) for end in ("min", "max"))
    assert 300 <= high - low <= 3000
    seen = set()
    for k in range(low, high + 1, 3):
        said = moved(browser, k)
        found = re.fullmatch(
            r"At ε = ([\d.]+): (none|\d) of 5 minima(?:, proved to lie in "
            rf"(one component|at most \d components) of M_ε; {TREE.missing})?",
            said,
        )
        assert found, said
        parts = TREE.components(float(found[1]))
        assert found[2] == (str(sum(map(len, parts))) if parts else "none")
        count = "one component" if len(parts) == 1 else f"at most {len(parts)} components"
        assert found[3] == (count if parts else None)
        listed = [
            {int(n) for n in part.split(" ", 2)[2].split(", ")} for part in browser.evaluate(PARTS)
        ]
        assert sorted(listed, key=min) == parts
        seen.add((found[2], found[3]))
    assert {("4", "at most 3 components"), ("5", "at most 2 components"), ("none", None)} <= seen


@needs_browser
@pytest.mark.parametrize(
    ("lowest", "apart"), [(1.0, 4e-15), (1.0, 1e-11), (0.0, 1e-9), (-7.0, 1e6), (3e15, 4.0)]
)
def test_differences_of_every_size_are_told(browser, tmp_path, lowest, apart):
    minima = [(lowest, lowest), (lowest + apart / 2,) * 2]
    tree = MergeTree.of(minima, [Join(0, 1, (lowest + apart,) * 2, "saddle", True)])
    section = Section("One", "one", (), pictures=(tree_picture(drawn(tree), "g"),))
    save_page(Page("Small", "", (), (section,)), tmp_path / "index.html")
    assert browser.open(tmp_path / "index.html", width=1280).console == []
    said = moved(browser, browser.evaluate(f"{SLIDER}.max"))
    assert "2 of 2 minima, proved to lie in one component" in said
    moved(browser, browser.evaluate(f"{SLIDER}.min"))
    counts = []
    for _ in range(3):
        key(browser, SLIDER, "PageUp")
        said = browser.evaluate(SAID)
        counts.append(len(tree.components(float(re.search(r"ε = (-?[\d.]+):", said)[1]))))
        parts = "one component" if counts[-1] == 1 else "at most 2 components"
        assert parts in said
    assert counts == [1, 2, 1]


@needs_browser
def test_the_line_is_as_high_as_the_level_and_each_component_has_its_number(browser, path):
    browser.open(path, width=1280)
    moved(browser, browser.evaluate(f"{SLIDER}.max"))
    top, parts, leaves, line, frame = browser.evaluate(
        """(() => {
            const svg = document.querySelector("svg"), { y, f } = JSON.parse(svg.dataset.levels)
            const line = svg.querySelector(".at")
            const said = document.querySelector(".at-level").textContent
            const at = Number(said.match(/[\\d.]+\\d/)[0])
            return [
                y[0] + (at - f[0]) / (f[1] - f[0]) * (y[1] - y[0]),
                [...svg.querySelectorAll(".part-name")].map(e => e.textContent),
                svg.querySelectorAll('.mark[style*="--part"]').length,
                Number(line.getAttribute("y1")), y,
            ]
        })()"""
    )
    assert line == pytest.approx(top)
    assert frame[1] - 1 <= line <= frame[0]
    assert parts == ["1", "2"]
    assert leaves == 5
    assert browser.evaluate(f"{SLIDER}.labels[0].textContent") == "level ε"
    assert browser.evaluate(f"{SLIDER}.getAttribute('aria-valuetext')") == browser.evaluate(SAID)


@needs_browser
def test_page_keys_go_to_every_height_at_which_something_happens(browser, path):
    browser.open(path, width=1280)
    moved(browser, browser.evaluate(f"{SLIDER}.min"))
    levels = []
    for _ in range(len(MINIMA) + len(HEIGHTS)):
        key(browser, SLIDER, "PageUp")
        levels.append(float(re.search(r"ε = ([\d.]+)", browser.evaluate(SAID))[1]))
    events = sorted([*MINIMA, *(h for *_, h in HEIGHTS)])
    assert all(event <= level < event + 2e-4 for event, level in zip(events, levels, strict=True))
    key(browser, SLIDER, "PageDown")
    assert f"ε = {levels[-2]}" in browser.evaluate(SAID)
    assert all(a < b for a, b in pairwise(levels))


@needs_browser
def test_what_is_pointed_at_is_marked_in_the_pictures_and_rows_of_its_graph(browser, path):
    browser.open(path, width=1280)
    join = "document.querySelector('svg [data-minima=\"0 1\"]')"
    row = "document.querySelector('tr[data-minima=\"0 2\"]')"
    leaf = "document.querySelector('svg [data-minima=\"4\"]')"
    browser.evaluate(f"{join}.dispatchEvent(new PointerEvent('pointerover', {{bubbles: true}}))")
    over = [["TR", "0 1"], ["use", "0 1"], ["use", "0"], ["use", "1"]]
    assert sorted(browser.evaluate(PICKED)) == sorted(over)
    browser.evaluate("document.querySelector('svg').dispatchEvent(new Event('pointerleave'))")
    assert browser.evaluate(PICKED) == []
    browser.evaluate(f"{row}.focus()")  # a pass that the tree does not need
    both = [["TR", "0 2"], ["use", "0"], ["use", "2"]]
    assert sorted(browser.evaluate(PICKED)) == sorted(both)
    browser.evaluate(f"{row}.blur()")
    assert browser.evaluate(PICKED) == []
    browser.evaluate(f"{leaf}.dispatchEvent(new MouseEvent('click', {{bubbles: true}}))")
    assert sorted(browser.evaluate(PICKED)) == [["TR", "4"], ["use", "4"]]
    key(browser, "document.body", "Escape")
    assert browser.evaluate(PICKED) == []


@needs_browser
def test_keys_alone_mark_too(browser, path):
    browser.open(path, width=1280)
    key(browser, "document.querySelector('svg')", "Home")
    assert ["TR", "0 1"] in browser.evaluate(PICKED)
    key(browser, "document.querySelector('svg')", "Escape")
    assert browser.evaluate(PICKED) == []
    browser.evaluate("document.querySelector('tr[data-minima]').focus()")
    assert ["TR", "0 1"] in browser.evaluate(PICKED)
    key(browser, "document.activeElement", "ArrowDown")
    assert ["TR", "2 3"] in browser.evaluate(PICKED)
    stops = "[...document.querySelectorAll('tr')].filter(r => r.tabIndex === 0).length"
    assert browser.evaluate(stops) == 2  # one for each table


@needs_browser
@pytest.mark.parametrize("width", [320, 390, 1280])
def test_the_level_fits_the_screen_and_can_be_read(browser, path, width):
    browser.open(path, width=width)
    over, sizes = browser.evaluate(
        """(() => {
            const root = document.documentElement, svg = document.querySelector("svg")
            const size = t => parseFloat(getComputedStyle(t).fontSize) * svg.getScreenCTM().a
            return [root.scrollWidth - root.clientWidth,
                    [...svg.querySelectorAll("text")].map(size)]
        })()"""
    )
    assert over == 0
    assert min(sizes) >= (9 if width >= 390 else 8)  # on the narrowest, pictures move in frames


@needs_browser
def test_without_scripts_the_page_shows_no_level(browser, path):
    file = path.with_name("still.html")
    file.write_text(re.sub(r"<script>.*?</script>", "", path.read_text(), flags=re.DOTALL))
    browser.open(file, width=1280)
    assert browser.evaluate("document.querySelector('.level').checkVisibility()") is False
    assert browser.evaluate("document.querySelectorAll('svg rect.part, svg .at').length") == 0
