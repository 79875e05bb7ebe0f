"""The page of `morsescape reproduce`: four questions, then each experiment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from morsescape.experiments.registry import STUDIES
from morsescape.experiments.reproduce.stories import stories
from morsescape.experiments.reproduce.study import ReproduceResult
from morsescape.page.engine import Page, Section
from morsescape.page.readable import duration, listed

_FIRST = ("tables", "connect", "tree")
TITLE = "What does the landscape under a neural network look like?"
_INTRODUCTION = (
    "Training goes downhill on the loss, a surface over all weights of the network. Here is what "
    "lies on that surface, for {}. “Proved” means that no rounding error can change it."
)


def reproduce_page(result: ReproduceResult) -> Page:
    """The questions that the result answers, then a section for each experiment."""
    told, sections = stories(result, reproduce_sections(result))
    own = result.settings
    nets = f"{listed(own.nets)}, trained on {listed(own.data)}"
    sections = tuple(sorted(sections, key=_place))
    return Page(
        TITLE, _INTRODUCTION.format(nets), tuple(_warnings(result)), sections, told,
        tuple(_footer(result)),
    )  # fmt: skip


def reproduce_sentences(result: ReproduceResult) -> list[str]:
    """What the command says at its end: the first sentence of each section."""
    return [*_warnings(result), *(s.lead[0] for s in reproduce_sections(result) if s.lead)]


def reproduce_sections(result: ReproduceResult) -> tuple[Section, ...]:
    """Those of each experiment, with all their pictures."""
    return tuple(
        section
        for study in STUDIES
        if study.kind in result.settings.parts and (results := result.of(study.kind))
        for section in study.sections(results)
    )


def _warnings(result: ReproduceResult) -> Iterator[str]:
    if not result.complete:
        yield (
            f"Not finished: {len(result.pieces)} of {result.expected} pieces are there; what "
            "follows is of those."
        )


def _place(section: Section) -> int:
    """What answers the questions comes first, the others in the order of the studies."""
    kind = section.anchor.partition("-")[0]
    return _FIRST.index(kind) if kind in _FIRST else len(_FIRST)


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
