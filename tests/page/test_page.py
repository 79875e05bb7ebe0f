"""The page says what it was given, whatever it was given, in a document that needs nothing else."""

import base64
import errno
import hashlib
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest

from faults import fail_at_call
from morsescape.errors import ArgumentError, DataError
from morsescape.page import engine as module
from morsescape.page.engine import Page, PageTable, Picture, Section, Story, render, save_page
from morsescape.page.svg import svg_of, words_at
from sample_page import WORD, figure, sample_page

VOID = {"meta", "link", "img", "br"}


class Document(HTMLParser):
    """Tags with their attributes, and the text of each element, as a browser would read them."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.inside = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.inside.append(tag)

    def handle_endtag(self, tag):
        assert self.inside.pop() == tag

    def handle_data(self, data):
        if data.strip():
            self.texts.append((self.inside[-1] if self.inside else "", data.strip()))

    def of(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    def text(self, tag):
        return [text for name, text in self.texts if name == tag]


@pytest.fixture(scope="module")
def document():
    return Document(render(sample_page()))


# --- what it says


def test_the_questions_come_first_then_contents_then_sections(document):
    assert document.text("h1") == ["What was found"]
    asked = ["Is it so?", f"And {WORD}"]
    assert document.text("h2") == [*asked, "Contents", "Tables", "Pictures"]
    assert document.text("strong") == ["52", "ε ≥ 0.123456"]
    assert document.text("li")[:2] == ["No index is above 52.", "The rest is noise."]
    assert document.text("summary") == [
        "1 more picture", "All numbers: Counts; Counts by protocol",
        "How this was found, and how to find it again", "1 more picture",
    ]  # fmt: skip
    assert document.text("code")[0].startswith("morsescape index --net cnn\nmorsescape index")


def test_every_element_is_closed_and_every_id_is_used_once(document):
    assert document.inside == []
    ids = Counter(attributes["id"] for _, attributes in document.tags if "id" in attributes)
    assert set(ids.values()) == {1}
    links = [attributes["href"] for attributes in document.of("a")]
    assert {"#main", "#tables", "#pictures"} == set(links)
    named = [a["aria-labelledby"] for _, a in document.tags if "aria-labelledby" in a]
    labels = [name for names in named for name in names.split()]
    assert {link[1:] for link in links} | set(labels) <= set(ids)


def test_it_has_what_readers_and_their_programs_look_for(document):
    assert document.of("html") == [{"lang": "en"}]
    assert document.text("title")[0] == "What was found"
    assert len(document.of("main")) == len(document.of("nav")) == len(document.of("h1")) == 1
    named = {m["name"]: m["content"] for m in document.of("meta") if "name" in m}
    assert named["viewport"] == "width=device-width, initial-scale=1"
    assert named["color-scheme"] == "light dark"
    assert len(document.of("figure")) == len(document.of("figcaption")) == 7


def test_every_picture_has_a_name_and_says_what_can_be_seen(document):
    pictures = document.of("svg")
    assert len(pictures) == 9
    for picture in pictures:
        assert picture["role"] == "img"
        title, words = picture["aria-labelledby"].split()
        assert {"id": title} in document.of("title")
        assert {"id": words} in document.of("desc")
    assert document.text("desc") == [
        "A line that goes up and down.", "Another line.", "One.", "Two.",
        "A line that goes up and down.", "Three.", "Three.", "Three.", "B.",
    ]  # fmt: skip
    assert document.of("img") == []


def test_headings_go_down_one_step_at_a_time(document):
    levels = [int(tag[1]) for tag, _ in document.tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    assert 1 not in levels[1:]


def test_what_is_folded_away_has_a_name_first(document):
    tags = [tag for tag, _ in document.tags]
    after = [tags[k + 1] for k, tag in enumerate(tags) if tag == "details"]
    assert after == ["summary"] * 4


# --- what pictures say


def test_a_mark_says_what_it_is():
    text = svg_of(figure(), "p").body
    assert re.findall(r"<title>([^<]*)</title>", text) == ["first", "second &lt;b&gt;", "third"]
    assert text.count('class="mark"') == 3


def test_marks_that_were_not_drawn_say_nothing_for_others():
    drawn = figure()
    (dots,) = drawn.axes[0].plot([0.5, np.nan], [0.5, np.nan], "o")
    words_at(dots, ["there", "nowhere"])
    svg = svg_of(drawn, "p")
    assert svg.words == 3
    assert "there" not in svg.body


def test_pictures_take_their_colours_from_the_page():
    drawn = figure()
    drawn.axes[0].plot([0, 1], [0, 1], color="#0072B2")
    text = svg_of(drawn, "p").body
    assert "stroke: var(--blue)" in text
    assert "stroke: currentColor" in text
    assert "#000000" not in text
    assert "#0072b2" not in text


def test_a_picture_keeps_its_ids_to_itself():
    text = svg_of(figure(), "p").body
    ids = re.findall(r' id="([^"]*)"', text)
    assert ids
    assert all(name.startswith("p-") for name in ids)
    used = {*re.findall(r"url\(#([^)]*)\)", text), *re.findall(r'href="#([^"]*)"', text)}
    assert used == set(ids)


def test_numbers_that_are_read_are_not_rounded():
    drawn = figure()
    drawn.axes[0].set_title("at most 0.041899")
    assert ">at most 0.041899<" in svg_of(drawn, "p").body


# --- colours


def luminance(colour):
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(a, b):
    """WCAG's, between 1 and 21."""
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def palettes(document):
    (style,) = document.text("style")
    light, dark = (
        dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block))
        for block in re.findall(r":root \{([^}]*)\}", style)[:2]
    )
    return {"light": light, "dark": dark}


def test_contrast_is_that_of_wcag():
    assert contrast("#000000", "#ffffff") == 21
    assert round(contrast("#767676", "#ffffff"), 2) == 4.54


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_marks_stand_out_from_every_ground(document, scheme):
    colours = palettes(document)[scheme]
    for ground in (colours["ground"], colours["raised"]):
        for text in ("ink", "soft", "link"):
            assert contrast(colours[text], ground) >= 4.5
        for mark in ("blue", "vermillion", "orange", "pink", "green", "yellow", "grey"):
            assert contrast(colours[mark], ground) >= 3


# --- tables


def test_tables_have_captions_and_heads(document):
    tables = document.of("table")
    assert len(tables) == len(document.of("caption")) == len(document.of("thead")) == 2
    scopes = Counter(attributes["scope"] for attributes in document.of("th"))
    assert scopes == {"col": 2 + 31, "row": 2 + 3}
    assert len(document.of("td")) == 2 * 1 + 3 * 30


def test_a_column_of_dashes_is_left_out():
    rows = (("cnn", "–", "52", ""), ("mlp2", "–", "–", ""))
    table = PageTable("Counts", ("network", "published", "at most", "note"), rows)
    section = Section("Tables", "tables", (), (table,))
    document = Document(render(Page("t", "", (), (section,))))
    assert document.text("th")[:2] == ["network", "at most"]
    assert document.text("span")[1:] == ["cnn", "52", "mlp2", "–"]


def test_a_page_with_nothing_in_it():
    document = Document(render(Page("Empty", "", (), ())))
    assert document.inside == []
    assert document.of("nav") == document.of("table") == document.of("footer") == []


def every_text(mark):
    """A page with a mark of its own in each text, and the marks."""
    count = iter(range(1000))

    def text():
        return f"{mark}{next(count):03}"

    table = PageTable(text(), (text(), text()), ((text(), text()),), text())
    picture = Picture(figure(1, 1), text(), text())
    section = Section(
        text(),
        "one",
        (text(),),
        (table,),
        (picture,),
        command=text(),
        details=(text(),),
        plain=text(),
    )
    story = Story(text(), text(), text(), text(), picture, "one")
    page = Page(text(), text(), (text(),), (section,), (story,), footer=(text(),))
    return page, [f"{mark}{n:03}" for n in range(next(count))]


@pytest.mark.parametrize(
    "mark",
    [
        "<script>alert(1)</script>",
        "<b>",
        "\"'><br onload=x>",
        "&lt;",
        "{{ 7 * 7 }}",
        "λ ≤ ∞",
    ],
)
def test_all_text_comes_out_as_text(mark):
    page, marks = every_text(mark)
    document, plain = Document(render(page)), Document(render(every_text("x")[0]))
    assert [tag for tag, _ in document.tags] == [tag for tag, _ in plain.tags]
    seen = "\n".join(text for _, text in document.texts)
    assert [m for m in marks if m not in seen] == []


@pytest.mark.parametrize(
    ("cells", "numeric"),
    [
        (("52", "1,083", "–", ""), True),
        (("[79, 1,083]", "4"), True),
        (("232.9 ± 2.88", "–"), True),
        (("[10, 11] (est.)", "3 (estimate)"), True),
        (("1.1e-11", "-0.5", "−3", "inf", "nan", "12 s", "97.1%"), True),
        (("51; 51", "[10, 11]; 14"), True),
        (("8 to 14", "-0.14% to +0.59%", "8 to 14 (est.)"), True),
        (("from 0 to 1",), False),
        (("52", "none"), False),
        (("2-MLP",), False),
        (("1,000 images",), False),
        (("cnn",), False),
    ],
)
def test_numbers_are_told_from_words(cells, numeric):
    assert PageTable("", ("",), tuple((cell,) for cell in cells)).numeric == (numeric,)


# --- what the script finds at marks and in rows


def test_without_levels_there_is_nothing_to_move(document):
    assert document.of("input") == []
    assert not any(name.startswith("data-") for _, a in document.tags for name in a)


def test_contents_of_one_section_are_left_out():
    assert "<nav" not in render(Page("t", "", (), (Section("a", "one", ()),)))


# --- nothing else is needed


def test_nothing_is_fetched_from_anywhere(document):
    policy = document.of("meta")[1]
    assert policy["http-equiv"] == "Content-Security-Policy"
    assert policy["content"].startswith(
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-"
    )
    keys = ("src", "href", "xlink:href")
    addresses = [a[key] for _, a in document.tags for key in keys if key in a]
    assert all(address.startswith(("#", "data:")) for address in addresses)
    (style,) = document.text("style")
    assert "url(" not in style
    assert "@import" not in style
    assert not any(name.startswith("on") for _, a in document.tags for name in a)
    assert "http" not in render(sample_page()).replace("http-equiv", "")


def test_the_policy_lets_the_one_script_run_and_no_other():
    text = render(sample_page())
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in text


def test_the_same_page_is_the_same_document():
    page = sample_page()
    assert render(page) == render(page) == render(sample_page())


def test_pictures_say_nothing_of_when_and_by_what_they_were_made(document):
    assert document.of("metadata") == []
    assert "atplotlib" not in render(sample_page())


def test_it_is_saved_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "new" / "index.html"
    save_page(sample_page(), path)
    assert path.read_text(encoding="utf-8") == render(sample_page())
    fail_at_call(monkeypatch, 1, OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(DataError, match="No space left"):
        save_page(replace(sample_page(), title="Another"), path)
    assert path.read_text(encoding="utf-8") == render(sample_page())


# --- what cannot be a page


@pytest.mark.parametrize(
    ("columns", "rows", "message"),
    [
        (("a", "b"), (("1",),), "expected 2 cells in every row; got rows of 1, 2"),
        (("a",), (("1",), ("1", "2")), "expected 1 cells in every row; got rows of 1, 2"),
        ((), (), "expected 1 cells in every row"),
        ((), ((),), "expected 1 cells in every row"),
    ],
)
def test_tables_are_rectangles(columns, rows, message):
    with pytest.raises(ArgumentError, match=message):
        PageTable("t", columns, rows)


@pytest.mark.parametrize("anchor", ["", "A", "1a", "a b", "a#b", "ä", "main", "findings", "a\n"])
def test_anchors_can_stand_in_links(anchor):
    with pytest.raises(ArgumentError, match="anchor: expected small letters"):
        Section("t", anchor, ())


def test_plain_words_of_several_sections_are_said_once():
    both = tuple(Section("t", anchor, (), plain="It is flat.") for anchor in ("a", "b"))
    assert render(Page("t", "", (), both)).count("It is flat.") == 1


def test_anchors_are_different():
    with pytest.raises(ArgumentError, match="one more than once"):
        Page("t", "", (), (Section("a", "one", ()), Section("b", "one", ())))


def test_a_story_leads_to_a_section_that_is_there():
    story = Story("q", "1", "u", "a", Picture(figure(), "", ""), "nowhere")
    with pytest.raises(ArgumentError, match="stories: expected anchors of sections; got nowhere"):
        Page("t", "", (), (Section("a", "one", ()),), (story,))


def test_the_names_that_the_page_uses_itself_are_refused(document):
    sections = {"tables", "pictures", "tables-title", "pictures-title"}
    ids = {attributes["id"] for _, attributes in document.tags if "id" in attributes}
    own = {name for name in ids if not re.match(r"picture-\d+-", name)}
    assert own - sections <= set(module._OWN_ANCHORS)
