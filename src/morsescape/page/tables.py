"""Tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.table import Table


def printed_table(columns: Sequence[str], rows: Iterable[Iterable[str]]) -> Table:
    """A table for the console; the first column names the rows, the others are flush right.

    Example:
        >>> printed_table(("", "negative"), [("start", "[3, 4]")]).row_count
        1
    """
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table
