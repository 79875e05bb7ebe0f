"""One HTML document that holds everything it shows: findings, tables, pictures, commands."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from matplotlib.figure import Figure

from morsescape.errors import ArgumentError
from morsescape.page.svg import Drawn, svg_of
from morsescape.store import write_bytes_atomic

_TEMPLATES = "morsescape.page"
_SCRIPTS = ("page.js", "graph.js", "level.js")
_OPEN = 2  # pictures of a section that are not folded away
_OWN_ANCHORS = ("main", "contents", "findings")
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
        graph: what is pointed at in a row is marked in all tables and pictures of this name.
        data: of each row, as of a mark in a picture (`words_at`); empty for none.

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
    graph: str = ""
    data: tuple[Mapping[str, object], ...] = ()

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

    @property
    def told(self) -> PageTable:
        """Without the columns that have a dash or nothing in every row.

        Example:
            >>> PageTable("Counts", ("network", "published"), (("cnn", "–"),)).told.columns
            ('network',)
        """
        keep = [
            k for k in range(len(self.columns))
            if k == 0 or not self.rows or any(row[k] not in ("–", "") for row in self.rows)
        ]  # fmt: skip
        rows = tuple(tuple(row[k] for k in keep) for row in self.rows)
        return replace(self, columns=tuple(self.columns[k] for k in keep), rows=rows)


@dataclass(frozen=True, eq=False)
class Picture:
    """A figure with the words for those who cannot see it.

    Attributes:
        figure: drawn already, at most four inches wide, so that a phone shows it as it is; or
            several, which stand side by side where there is room.
        alt: what can be seen, in a sentence.
        caption: what it means.
        graph: what is pointed at here is marked in all tables and pictures of this name.
    """

    figure: Figure | tuple[Figure, ...]
    alt: str
    caption: str
    graph: str = ""

    @property
    def figures(self) -> tuple[Figure, ...]:
        """All of them."""
        return self.figure if isinstance(self.figure, tuple) else (self.figure,)


@dataclass(frozen=True)
class Section:
    """One experiment.

    Attributes:
        title: its heading.
        anchor: its name in links: small letters, digits and hyphens.
        lead: paragraphs; the first says what was found.
        tables, pictures: in their order; tables are folded away.
        beside: tables that stand open beside the pictures.
        command: how to reproduce each number of the section; empty for none.
        details: further paragraphs, folded away.
        plain: what this is about, for those who have not read the paper; empty for nothing.

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
    plain: str = ""
    beside: tuple[PageTable, ...] = ()

    def __post_init__(self) -> None:
        if not _ANCHOR.fullmatch(self.anchor) or self.anchor in _OWN_ANCHORS:
            raise ArgumentError(
                "anchor",
                expected=f"small letters, digits and hyphens, none of {', '.join(_OWN_ANCHORS)}",
                got=repr(self.anchor),
                cure="take another name",
            )


@dataclass(frozen=True, eq=False)
class Story:
    """A question of the first screen, and its answer in plain words.

    Attributes:
        question: short.
        number, unit: the one number of the answer, and what it counts.
        answer: a sentence or two.
        picture: what shows it.
        anchor: of the section that has more; empty for none.
    """

    question: str
    number: str
    unit: str
    answer: str
    picture: Picture
    anchor: str = ""


@dataclass(frozen=True)
class Page:
    """A page: questions with their answers on the first screen, then the sections.

    Attributes:
        title, subtitle: its heading.
        findings: short sentences.
        sections: in their order, each with an anchor of its own.
        stories: the questions of the first screen.
        footer: versions and settings.

    Raises:
        ArgumentError: two sections with one anchor, or a story with that of none.
    """

    title: str
    subtitle: str
    findings: tuple[str, ...]
    sections: tuple[Section, ...]
    stories: tuple[Story, ...] = ()
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
        lost = [s.anchor for s in self.stories if s.anchor and s.anchor not in counts]
        if lost:
            raise ArgumentError(
                "stories", expected="anchors of sections", got=", ".join(lost),
                cure="leave the anchor out",
            )  # fmt: skip


def render(page: Page) -> str:
    """The page as one HTML document that needs no other file and asks for none.

    All text is escaped. Pictures are SVG inside the document, in its colours, which follow light
    and dark. The one script reads out their marks, shows what is pointed at in all pictures and
    rows of one graph, and moves levels; its digest is in the policy of the page, which lets no
    other run. The same page gives the same document.

    Example:
        >>> page = Page("Counts", "A page", ("No index is above 52.",), ())
        >>> "<h1>Counts</h1>" in render(page)
        True
    """
    count = iter(range(1_000_000))

    def draw(figure: Figure) -> tuple[str, Drawn]:
        name = f"picture-{next(count)}"
        return name, svg_of(figure, name)

    script = _script()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return _template().render(page=page, draw=draw, script=script, digest=digest, open=_OPEN)


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
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip


@cache
def _template() -> Template:
    return _environment().get_template("page.html.j2")


@cache
def _script() -> str:
    """As it stands between its tags, to the letter: its digest is of that."""
    environment = _environment()
    assert environment.loader is not None
    return "".join(environment.loader.get_source(environment, name)[0] for name in _SCRIPTS)
