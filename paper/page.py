"""The measured part of docs/paper.md, from a folder of `morsescape reproduce`.

    python -m paper.page --folder DIR

Takes what is finished in DIR and computes nothing. Rewrites what stands between
`<!-- measured -->` and `<!-- end of measured -->` in docs/paper.md, draws docs/pictures/paper/*.png
and writes docs/results/paper/: results.json, and in pieces/ the finished pieces. A copy of pieces/
is a folder from which `morsescape reproduce --out COPY` goes on; --page-only makes its page. The
tensors of most pieces, which no page shows, are left out.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from benchmarks.marked import rewrite
from morsescape.experiments import ReproduceResult, run_reproduce
from morsescape.experiments.citation import CITATION
from morsescape.experiments.reproduce.study import ASKED, asked
from morsescape.experiments.reproduce.words import (
    reproduce_page,
    reproduce_sections,
    reproduce_sentences,
)
from morsescape.page import PageTable, Picture, Section, save_figure
from morsescape.store import RunFolder, write_json_atomic

DOCS = Path(__file__).parents[1] / "docs"
RESULTS = DOCS / "results" / "paper"
DOTS = 90  # per inch; small files
WITH_TENSORS = ("spectra", "scatter", "linear")  # parts whose figures are of their tensors


def measured(result: ReproduceResult) -> Iterator[str]:
    """The sections of the page, with all their pictures, in Markdown."""
    footer = reproduce_page(result).footer
    made = (line for line in footer if not line.startswith(("Settings", "Source")))
    yield " ".join([f"{result.settings}. Published numbers: {CITATION}.", *made])
    yield "\n".join(f"- {finding}" for finding in reproduce_sentences(result))
    for section in reproduce_sections(result):
        yield from markdown(section)


def markdown(section: Section) -> Iterator[str]:
    yield f"## {section.title}"
    yield from section.lead
    for number, picture in enumerate(section.pictures):
        yield drawn(picture, f"{section.anchor}-{number}")
    for table in section.tables:
        yield from tabled(table.told)
    yield from section.details
    if section.command:
        yield f"Made by\n\n```\n{section.command}\n```"


def tabled(table: PageTable) -> Iterator[str]:
    yield f"**{table.caption}**"
    rule = "|".join("---:" if numeric else "---" for numeric in table.numeric)
    rows = [table.columns, *table.rows]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    yield "\n".join([lines[0], f"|{rule}|", *lines[1:]])
    if table.note:
        yield table.note


def drawn(picture: Picture, stem: str) -> str:
    many = len(picture.figures) > 1
    stems = [f"{stem}-{k}" if many else stem for k in range(len(picture.figures))]
    for figure, name in zip(picture.figures, stems, strict=True):
        save_figure(figure, DOCS / "pictures" / "paper" / name, ("png",), dots=DOTS)
    shown = " ".join(f"![{picture.alt}](pictures/paper/{name}.png)" for name in stems)
    return f"{shown}\n\n*{picture.caption}*"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="--out of morsescape reproduce")
    folder = parser.parse_args().folder
    result = run_reproduce(asked(folder), folder, compute=False)
    text = "\n\n".join(measured(result))
    rewrite(DOCS / "paper.md", "measured", f"\n\n{text}\n\n")
    write_json_atomic(RESULTS / "results.json", result.to_json())
    keep(result)


def keep(result: ReproduceResult) -> None:
    """The pieces of `result` in docs/results/paper/pieces."""
    write_json_atomic(RESULTS / "pieces" / ASKED, result.settings.to_json())
    for part in result.parts:
        folder = RunFolder(RESULTS / "pieces" / part.folder, part.identity)
        for key, piece in part.own(result.pieces).items():
            if folder.load(key) is None:
                shown = piece.tensors if part.kind in WITH_TENSORS else None
                folder.save(key, piece.payload, shown, made_with=piece.made_with)


if __name__ == "__main__":
    main()
