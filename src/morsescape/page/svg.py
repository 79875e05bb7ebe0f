"""A figure as SVG inside a page: in the page's colours, and with words at its marks."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as Tree

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_WORDS, _DATA, _LEVELS = "morsescape_words", "morsescape_data", "morsescape_levels"
_CSS_PIXELS = 96  # an inch, as browsers count
# What figures are drawn in, and the names that the style sheet gives it in light and in dark.
_COLOURS = {
    "#000000": "currentColor", "#ffffff": "var(--ground)", "#0072b2": "var(--blue)",
    "#d55e00": "var(--vermillion)", "#e69f00": "var(--orange)", "#cc79a7": "var(--pink)",
    "#999999": "var(--grey)", "#009e73": "var(--green)", "#f0e442": "var(--yellow)",
    "#555555": "var(--soft)", "#666666": "var(--soft)", "#d9d9d9": "var(--rule)",
}  # fmt: skip
_NO_IDS = re.compile(r"#[0-9a-f]{6}\b")
_FONT = re.compile(r"font: ([\d.]+)px [^;]*")
_PLACES = ("d", "x", "y", "transform", "width", "height")
_LONG = re.compile(r"-?\d+\.\d{3,}")


def words_at(
    artist: Artist, words: Sequence[str], data: Sequence[Mapping[str, object]] = ()
) -> None:
    """What a reader who points at the marks of an artist is told: a text for each, or one for all.

    The script of the page finds `data` at each mark as its data-* attributes, as many as texts.

    Example:
        >>> from morsescape.figures.style import own_axes
        >>> (line,) = own_axes(None, 3.0, 2.0).plot([0, 1], [2, 3], "o")
        >>> words_at(line, ["first", "second"])
        >>> svg_of(line.figure, "p").words
        2
    """
    setattr(artist, _WORDS, tuple(words))
    setattr(artist, _DATA, tuple(data))


def levels_at(ax: Axes, floor: float, said: Mapping[str, str]) -> None:
    """A page shows a level that the reader moves up and down in these axes.

    Args:
        ax: linear axes.
        floor: what is told on the vertical axis is this much less than the level.
        said: words that the sentence at a level is made of, by names that the script knows.
    """
    setattr(ax, _LEVELS, (floor, dict(said)))


@dataclass(frozen=True)
class Drawn:
    """A figure inside a page.

    Attributes:
        body: what goes between <svg> and </svg>.
        box: its viewBox.
        width: in pixels of CSS, at the size at which it was drawn.
        words: how many marks say something.
        levels: JSON of what a moving level needs: x and y, the corners in the units of the box, at
            and f, the axes' limits there, and what is said; empty where none moves.
    """

    body: str
    box: str
    width: int
    words: int
    levels: str = ""


def svg_of(figure: Figure, prefix: str) -> Drawn:
    """The figure without background, its text as text, its ids all beginning with `prefix`.

    Colours of the palette become those of the style sheet, so that the picture follows light and
    dark. The same figure gives the same text.
    """
    told = [artist for artist in figure.findobj() if hasattr(artist, _WORDS)]
    for k, artist in enumerate(told):
        artist.set_gid(f"words-{k}")
    content = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "morsescape"}):
        figure.savefig(
            content, format="svg", transparent=True,
            metadata=dict.fromkeys(("Date", "Creator", "Type", "Format")),
        )  # fmt: skip
    root = Tree.fromstring(content.getvalue())
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    _without(root, {"metadata", "style"})
    for path in root.iterfind(".//defs/path"):  # each use has all of it, and may be marked alone
        path.attrib.pop("style", None)
    words = sum(
        _tell(root.find(f".//*[@id='words-{k}']"), getattr(artist, _WORDS), getattr(artist, _DATA))
        for k, artist in enumerate(told)
    )
    _rename(root, prefix)
    body = "".join(Tree.tostring(child, encoding="unicode") for child in root)
    width = round(figure.get_size_inches()[0] * _CSS_PIXELS)
    body = re.sub(r"\s*\n\s*", " ", body)
    return Drawn(body, root.attrib["viewBox"], width, words, _levels(figure))


# -- inside ---------------------------------------------------------------------------------------


def _without(root: Tree.Element, tags: set[str]) -> None:
    for parent in list(root.iter()):
        for child in [child for child in parent if child.tag in tags]:
            parent.remove(child)


def _marks(element: Tree.Element) -> Iterator[Tree.Element]:
    """What is drawn inside, in its order, without what is only defined."""
    for child in element:
        if child.tag in ("use", "path"):
            yield child
        elif child.tag != "defs":
            yield from _marks(child)


def _levels(figure: Figure) -> str:
    """Of the first axes that have any; they are where the drawing has put them."""
    for ax in figure.axes:
        if not hasattr(ax, _LEVELS):
            continue
        floor, said = getattr(ax, _LEVELS)
        place, (width, height) = ax.get_position(), 72 * figure.get_size_inches()
        ends = {
            "x": [round(width * x, 2) for x in (place.x0, place.x1)],
            "y": [round(height * (1 - y), 2) for y in (place.y0, place.y1)],
            "at": [float(end) for end in ax.get_xlim()],
            "f": [floor + float(end) for end in ax.get_ylim()],
        }
        return json.dumps(ends | said, ensure_ascii=False)
    return ""


def _tell(
    group: Tree.Element | None, words: Sequence[str], data: Sequence[Mapping[str, object]]
) -> int:
    """Put the words at the marks; where some marks were not drawn, nobody knows whose they are."""
    if group is None:
        return 0
    marks = [group] if len(words) == 1 else list(_marks(group))
    if len(marks) != len(words):
        return 0
    for mark, text, known in zip(marks, words, data or [{}] * len(words), strict=True):
        title = Tree.Element("title")
        title.text = text
        mark.insert(0, title)
        mark.set("class", "mark")
        for name, value in known.items():
            mark.set(f"data-{name}", str(value))
    return len(marks)


def _rename(root: Tree.Element, prefix: str) -> None:
    """Colours and fonts of the page; ids of this picture alone, and only those that are used."""
    used: set[str] = set()
    for element in root.iter():
        for name, value in list(element.attrib.items()):
            del element.attrib[name]
            plain = name.rpartition("}")[2]
            if plain in ("style", "fill", "stroke"):
                value = _NO_IDS.sub(lambda c: _COLOURS.get(c[0], c[0]), value)
                value = _FONT.sub(r"font-size: \1px", value)
            if plain in _PLACES:
                value = _LONG.sub(lambda number: f"{float(number[0]):.2f}", value)
            used |= set(re.findall(r"url\(#([^)]*)\)", value))
            if plain == "href" and value.startswith("#"):
                used.add(value[1:])
                value = f"#{prefix}-{value[1:]}"
            element.set(plain, re.sub(r"url\(#", f"url(#{prefix}-", value))
    for element in root.iter():
        if "id" in element.attrib:
            name = element.attrib.pop("id")
            if name in used:
                element.set("id", f"{prefix}-{name}")
