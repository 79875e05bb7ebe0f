"""The page of `morsescape reproduce`: what was found, then each experiment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from morsescape.experiments.citation import CITATION
from morsescape.experiments.registry import STUDIES
from morsescape.experiments.reproduce.study import ReproduceResult
from morsescape.page.engine import Page, Section
from morsescape.page.readable import duration

TITLE = "The loss landscape, re-measured"


def reproduce_page(result: ReproduceResult) -> Page:
    """Findings, the table of counts and their picture, then a section for each experiment."""
    sections = tuple(_sections(result))
    tables = next((s for s in sections if s.anchor == "tables"), None)
    return Page(
        TITLE,
        f"{result.settings}. Published numbers: {CITATION}.",
        tuple(_findings(result, sections)),
        sections,
        key_table=tables.tables[0] if tables else None,
        key_picture=tables.pictures[0] if tables and tables.pictures else None,
        footer=tuple(_footer(result)),
    )


def _sections(result: ReproduceResult) -> Iterator[Section]:
    for study in STUDIES:
        if study.kind in result.settings.parts and (results := result.of(study.kind)):
            yield from study.sections(results)


def _findings(result: ReproduceResult, sections: tuple[Section, ...]) -> Iterator[str]:
    if not result.complete:
        yield (
            f"Not finished: {len(result.pieces)} of {result.expected} pieces are there; what "
            "follows is of those."
        )
    for section in sections:
        if section.lead:
            yield section.lead[0]


def _footer(result: ReproduceResult) -> Iterator[str]:
    made = result.provenance
    yield f"morsescape {made['morsescape']}; {'; '.join(map(_made_with, made['made_with']))}."
    if len(made["made_with"]) > 1:
        yield "Naive counts of one network may differ between parts that other versions made."
    yield f"Settings: {result.settings}; seed {result.settings.seed}."
    yield f"The runs took {duration(result.seconds)} together, each on one thread."
    yield f"Source: {made['source']}."


def _made_with(made: dict[str, Any]) -> str:
    """The versions behind so many pieces."""
    names = [name for name in made if name not in ("pieces", "parts")]
    versions = ", ".join(f"{name} {made[name]}" for name in names) or "versions not recorded"
    return f"{made['pieces']} pieces ({', '.join(made['parts'])}) by {versions}"
