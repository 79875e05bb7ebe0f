"""Tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich import box
from rich.console import Console, ConsoleOptions
from rich.table import Table


class _Fitting(Table):
    """Where it is wider than the terminal, its columns in several tables below each other.

    No number is ever broken: each table has the first column and as many of the others as fit.
    """

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table]:
        columns = [[str(column.header), *map(str, column.cells)] for column in self.columns]
        least = max(len(word) for cell in columns[0] for word in (cell.split() or [""]))
        room = options.max_width - 1 - (least + 2)
        parts: list[list[int]] = [[]]
        left = room
        for place, column in enumerate(columns[1:], 1):
            width = max(len(line) for cell in column for line in (cell.splitlines() or [""])) + 3
            if width > left and parts[-1]:
                parts.append([])
                left = room
            parts[-1].append(place)
            left -= width
        for part in parts:
            chosen = [columns[place] for place in (0, *part)]
            heads, *rows = zip(*chosen, strict=True)
            yield _filled(Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False), heads, rows)


def printed_table(columns: Sequence[str], rows: Iterable[Iterable[str]]) -> Table:
    """A table for the console; the first column names the rows, the others are flush right.

    In a terminal that is too narrow for it, its columns come in several tables.

    Example:
        >>> printed_table(("", "negative"), [("start", "[3, 4]")]).row_count
        1
    """
    return _filled(_Fitting(), columns, rows)


def _filled(table: Table, columns: Sequence[str], rows: Iterable[Iterable[str]]) -> Table:
    for place, column in enumerate(columns):
        table.add_column(
            column, justify="right" if place else "left", no_wrap=place > 0, overflow="fold"
        )
    for row in rows:
        table.add_row(*row)
    return table
