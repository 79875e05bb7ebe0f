"""What `reproduce --paper` prints and its page: published beside measured."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from matplotlib.figure import Figure
from rich.table import Table

import morsescape
from morsescape.experiments.papers.figure import beside_figure
from morsescape.experiments.papers.study import PaperResult
from morsescape.page import Page, Picture, Section
from morsescape.page.tables import printed_table


def paper_tables(result: PaperResult) -> Iterator[tuple[str, Table, str]]:
    """Caption, table and note of each table, for a terminal."""
    for table in result.settings.table.tables(result.rows):
        told = table.told
        yield told.caption, printed_table(told.columns, told.rows), told.note


def paper_sentences(result: PaperResult) -> list[str]:
    """What follows from the tables, and where the published numbers are."""
    table = result.settings.table
    return [*_warnings(result), *table.sentences(result.rows), f"Published: {table.citation}."]


def paper_page(result: PaperResult) -> Page:
    """The page: one section."""
    made = "; ".join(
        ", ".join(f"{name} {version}" for name, version in made.items())
        for made in result.made_with
    )
    footer = f"morsescape {morsescape.__version__}; pieces made by {made}."
    section = paper_section(result)
    return Page(section.title, result.settings.table.plain, (), (section,), (), (footer,))


def paper_section(result: PaperResult) -> Section:
    """The tables, the picture, and the command that makes them."""
    table = result.settings.table
    samples = result.settings.samples
    quantity = table.quantity + ("" if samples is None else f", {samples:,} images")
    figure = Figure(figsize=(4.0, 2.4), layout="constrained")
    beside_figure([row.beside for row in result.rows], table.width, quantity, figure.subplots())
    first, *rest = paper_sentences(result)
    picture = Picture(
        figure, f"Published and measured {table.quantity}, by {table.width}, with intervals.",
        "Published with its standard deviation, where there is one; measured with the 95 % "
        "interval of the table.",
    )  # fmt: skip
    return Section(
        table.title, table.name, (first,), tuple(t.told for t in table.tables(result.rows)),
        (picture,), paper_command(result), tuple(rest),
    )  # fmt: skip


def paper_command(result: PaperResult) -> str:
    """The command that measures this."""
    own = result.settings
    words = ["morsescape", "reproduce", "--paper", own.paper]
    words += ["--widths", ",".join(map(str, own.rows)), f"--{own.table.counted}", str(own.count)]
    words += ["--seed", str(own.seed)] if own.seed else []
    words += [] if own.samples is None else ["--samples", str(own.samples)]
    return shlex.join(words)


def _warnings(result: PaperResult) -> Iterator[str]:
    if not result.complete:
        yield (
            f"Not finished: {result.done} of {result.expected} pieces are there; what follows is "
            "of those."
        )
    if result.settings.samples is not None:
        yield (
            f"Of the first {result.settings.samples:,} images only: not the setting of the "
            "published numbers."
        )
