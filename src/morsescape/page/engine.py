"""One HTML document that holds everything it shows: findings, tables, pictures, commands."""

from __future__ import annotations

import base64
import io
import os
import re
import struct
from collections import Counter
from dataclasses import dataclass
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from matplotlib.figure import Figure

from morsescape.errors import ArgumentError
from morsescape.store import write_bytes_atomic

_CSS_PIXELS = 96  # an inch, as browsers count
_DENSITY = 2
_OWN_ANCHORS = ("main", "contents", "findings", "key-table", "key-picture")
_ANCHOR = re.compile(r"[a-z][a-z0-9-]*")
# A number, an interval, a mean with its spread, a power of ten, a duration, a dash for nothing.
_PLAIN = r"[\d\s.,;:±+\-−–∞≤≥<>≈\[\]()%×/e]*"
_NUMBER = re.compile(rf"{_PLAIN}( to {_PLAIN})?(nan|inf| s| min| h| \(est(\.|imate)\))?")


@dataclass(frozen=True)
class PageTable:
    """A table; columns that hold numbers only are set flush right.

    Attributes:
        caption: what the table shows.
        columns: their heads; the first column names the rows.
        rows: the cells, as many in each row as there are columns.
        note: a sentence below; empty for none.

    Raises:
        ArgumentError: no columns, or a row of another length.

    Example:
        >>> table = PageTable("Counts", ("network", "at most"), (("cnn", "52"), ("mlp2", "110")))
        >>> table.numeric
        (False, True)
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def __post_init__(self) -> None:
        lengths = {len(row) for row in self.rows} | {max(1, len(self.columns))}
        if lengths != {len(self.columns)}:
            raise ArgumentError(
                f"table {self.caption!r}",
                expected=f"{max(1, len(self.columns))} cells in every row",
                got=f"rows of {', '.join(map(str, sorted(lengths)))}",
                cure="pass a cell for every column, '–' where there is nothing to say",
            )

    @property
    def numeric(self) -> tuple[bool, ...]:
        """Which columns hold numbers and nothing else."""
        if not self.rows:
            return (False,) * len(self.columns)
        columns = zip(*self.rows, strict=True)
        return tuple(all(_NUMBER.fullmatch(cell) for cell in column) for column in columns)


@dataclass(frozen=True, eq=False)
class Picture:
    """A figure with the words for those who cannot see it.

    Attributes:
        figure: drawn already.
        alt: what can be seen, in a sentence.
        caption: what it means.
    """

    figure: Figure
    alt: str
    caption: str


@dataclass(frozen=True)
class Section:
    """One experiment.

    Attributes:
        title: its heading.
        anchor: its name in links: small letters, digits and hyphens.
        lead: paragraphs; the first says what was found.
        tables, pictures: in their order.
        command: how to reproduce each number of the section; empty for none.
        details: further paragraphs, folded away.

    Raises:
        ArgumentError: an anchor that cannot stand in a link.
    """

    title: str
    anchor: str
    lead: tuple[str, ...]
    tables: tuple[PageTable, ...] = ()
    pictures: tuple[Picture, ...] = ()
    command: str = ""
    details: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not _ANCHOR.fullmatch(self.anchor) or self.anchor in _OWN_ANCHORS:
            raise ArgumentError(
                "anchor",
                expected=f"small letters, digits and hyphens, none of {', '.join(_OWN_ANCHORS)}",
                got=repr(self.anchor),
                cure="take another name",
            )


@dataclass(frozen=True)
class Page:
    """A page: what was found on the first screen, then the sections.

    Attributes:
        title, subtitle: its heading.
        findings: short sentences.
        sections: in their order, each with an anchor of its own.
        key_table, key_picture: beside the findings. A section that has the same object links to
            it instead of showing it twice.
        footer: versions and settings.

    Raises:
        ArgumentError: two sections with one anchor.
    """

    title: str
    subtitle: str
    findings: tuple[str, ...]
    sections: tuple[Section, ...]
    key_table: PageTable | None = None
    key_picture: Picture | None = None
    footer: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        counts = Counter(section.anchor for section in self.sections)
        twice = [anchor for anchor, count in counts.items() if count > 1]
        if twice:
            raise ArgumentError(
                "sections",
                expected="an anchor of its own for each",
                got=f"{', '.join(twice)} more than once",
                cure="name the data or the network in the anchor",
            )


def render(page: Page) -> str:
    """The page as one HTML document that needs no other file and asks for none.

    All text is escaped. Pictures are PNG inside the document, drawn for screens of double density.
    The same page gives the same document.

    Example:
        >>> page = Page("Counts", "A page", ("No index is above 52.",), ())
        >>> "<h1>Counts</h1>" in render(page)
        True
    """
    return _template().render(page=page, image=_image)


def save_page(page: Page, path: str | os.PathLike[str]) -> None:
    """Write the page, whole or not at all.

    Raises:
        DataError: the disk is full, or the folder cannot be written.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> path = Path(tempfile.mkdtemp(), "index.html")
        >>> save_page(Page("Counts", "", (), ()), path)
        >>> path.read_text(encoding="utf-8").splitlines()[0]
        '<!doctype html>'
    """
    write_bytes_atomic(path, render(page).encode())


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("morsescape.page"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    return environment.get_template("page.html.j2")


@dataclass(frozen=True)
class _Image:
    """A picture inside the document; the size, in pixels of CSS, keeps its place while it loads."""

    source: str
    width: int
    height: int


def _image(picture: Picture) -> _Image:
    content = io.BytesIO()
    picture.figure.savefig(
        content, format="png", dpi=_DENSITY * _CSS_PIXELS, facecolor="white",
        metadata={"Software": None},
    )  # fmt: skip
    png = content.getvalue()
    width, height = struct.unpack(">II", png[16:24])  # where the first chunk of a PNG says so
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    return _Image(source, round(width / _DENSITY), round(height / _DENSITY))
