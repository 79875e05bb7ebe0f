"""The page says what it was given, whatever it was given, in a document that needs nothing else."""

import base64
import errno
import struct
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from faults import fail_at_call
from morsescape.errors import ArgumentError, DataError
from morsescape.page import engine as module
from morsescape.page.engine import Page, PageTable, Picture, Section, render, save_page
from sample_page import figure, sample_page

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


def png(attributes):
    kind, _, content = attributes["src"].partition(",")
    assert kind == "data:image/png;base64"
    return base64.b64decode(content, validate=True)


# --- what it says


def test_the_findings_come_first_then_contents_then_sections(document):
    assert document.text("h1") == ["What was found"]
    assert document.text("h2") == ["What was found", "Contents", "Tables", "Pictures"]
    assert document.text("li")[:2] == ["No index is above 52.", "The rest is noise."]
    assert document.text("summary") == ["More"]
    assert document.text("code")[0].startswith("morsescape index --net cnn\nmorsescape index")


def test_every_element_is_closed_and_every_id_is_used_once(document):
    assert document.inside == []
    ids = Counter(attributes["id"] for _, attributes in document.tags if "id" in attributes)
    assert set(ids.values()) == {1}
    links = [attributes["href"] for attributes in document.of("a")]
    assert {"#main", "#tables", "#pictures", "#key-table", "#key-picture"} == set(links)
    labels = [a["aria-labelledby"] for _, a in document.tags if "aria-labelledby" in a]
    assert {link[1:] for link in links} | set(labels) <= set(ids)


def test_it_has_what_readers_and_their_programs_look_for(document):
    assert document.of("html") == [{"lang": "en"}]
    assert document.text("title") == ["What was found"]
    assert len(document.of("main")) == len(document.of("nav")) == len(document.of("h1")) == 1
    named = {m["name"]: m["content"] for m in document.of("meta") if "name" in m}
    assert named["viewport"] == "width=device-width, initial-scale=1"
    assert named["color-scheme"] == "light dark"
    assert len(document.of("figure")) == len(document.of("figcaption")) == 3
    assert [attributes["alt"] for attributes in document.of("img")] == [
        "A line that goes up and down.", "Broad.", "B.",
    ]  # fmt: skip


def test_tables_have_captions_and_heads(document):
    tables = document.of("table")
    assert len(tables) == len(document.of("caption")) == len(document.of("thead")) == 2
    scopes = Counter(attributes["scope"] for attributes in document.of("th"))
    assert scopes == {"col": 2 + 31, "row": 2 + 3}
    assert len(document.of("td")) == 2 * 1 + 3 * 30


def test_key_table_and_picture_are_shown_once(document):
    text = render(sample_page())
    assert text.count(">Counts</span>") == 1
    assert len(document.of("img")) == 3


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
        text(), "one", (text(),), (table,), (picture,), command=text(), details=(text(),)
    )
    page = Page(text(), text(), (text(),), (section,), footer=(text(),))
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
    seen += "\n".join(attributes["alt"] for attributes in document.of("img"))
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


# --- nothing else is needed


def test_nothing_is_fetched_from_anywhere(document):
    policy = document.of("meta")[1]
    assert policy["http-equiv"] == "Content-Security-Policy"
    assert policy["content"].startswith(
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    )
    addresses = [a[key] for _, a in document.tags for key in ("src", "href") if key in a]
    assert all(address.startswith(("#", "data:")) for address in addresses)
    (style,) = document.text("style")
    assert "url(" not in style
    assert "@import" not in style
    assert not any(name.startswith("on") for _, a in document.tags for name in a)
    assert document.of("script") == []


def test_pictures_are_twice_as_dense_as_they_are_shown(document):
    for attributes in document.of("img"):
        size = struct.unpack(">II", png(attributes)[16:24])
        assert size == (2 * int(attributes["width"]), 2 * int(attributes["height"]))
    assert [a["width"] for a in document.of("img")] == ["384", "864", "384"]


def test_the_same_page_is_the_same_document():
    page = sample_page()
    assert render(page) == render(page) == render(sample_page())


def test_pictures_say_nothing_of_when_and_by_what_they_were_made(document):
    for attributes in document.of("img"):
        content, kinds, at = png(attributes), set(), 8
        while at < len(content):
            (length,) = struct.unpack(">I", content[at : at + 4])
            kinds.add(content[at + 4 : at + 8])
            at += length + 12
        assert kinds == {b"IHDR", b"pHYs", b"IDAT", b"IEND"}


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


@pytest.mark.parametrize("anchor", ["", "A", "1a", "a b", "a#b", "ä", "main", "key-table", "a\n"])
def test_anchors_can_stand_in_links(anchor):
    with pytest.raises(ArgumentError, match="anchor: expected small letters"):
        Section("t", anchor, ())


def test_anchors_are_different():
    with pytest.raises(ArgumentError, match="one more than once"):
        Page("t", "", (), (Section("a", "one", ()), Section("b", "one", ())))


def test_the_names_that_the_page_uses_itself_are_refused(document):
    sections = {"tables", "pictures", "tables-title", "pictures-title"}
    ids = {attributes["id"] for _, attributes in document.tags if "id" in attributes}
    assert ids - sections <= set(module._OWN_ANCHORS) | {"findings-title"}
