"""What a published table is to `reproduce --paper`: its source, its rows, how they are measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from morsescape.experiments.sweep import Task
from morsescape.page import PageTable

Payloads = Mapping[str, Mapping[str, Any]]  # of the finished pieces, by key


@dataclass(frozen=True)
class Beside:
    """One row as a picture shows it: (value, lower end, upper end), None where there is none."""

    width: int
    published: tuple[float, float, float] | None
    measured: tuple[float, float, float] | None


@dataclass(frozen=True, eq=False)
class PublishedTable:
    """One line of the registry.

    Attributes:
        name: what `--paper` calls it.
        title: of its section.
        citation: the paper, and the table in it or the file beside it.
        quantity: what the rows have, for the axis of the picture.
        width: what a row is of, "w" or "k"; `least` is the smallest that there is.
        widths: rows by default; they take minutes on two cores.
        counted: "pairs" or "runs", the option that says how many make a row; `many` by default.
        of_images: whether --samples and --root mean something.
        plain: what this is about, and how it is measured.
        tasks: tasks(width, many, seed, samples, root) make a row.
        seconds: seconds(*arguments of a task), roughly, on one core.
        row: row(width, payloads) is what the finished pieces of a row come to; a dataclass with
            `to_json` and a `beside`.
        tables: of the rows, as they are printed.
        sentences: what follows.
    """

    name: str
    title: str
    citation: str
    quantity: str
    width: str
    least: int
    widths: tuple[int, ...]
    counted: str
    many: int
    of_images: bool
    plain: str
    tasks: Callable[[int, int, int, int | None, str | None], Iterator[Task]]
    seconds: Callable[..., float]
    row: Callable[[int, Payloads], Any]
    tables: Callable[[Sequence[Any]], list[PageTable]]
    sentences: Callable[[Sequence[Any]], list[str]]
