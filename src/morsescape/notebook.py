"""What a notebook shows of a result: a short table, escaped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import Field, fields, is_dataclass
from enum import Enum
from html import escape
from typing import Any


class Shown:
    """Mixin of what is shown in notebooks: its sentence, then those of its fields that are short.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True)
        ... class Count(Shown):
        ...     negative: tuple[int, int]
        >>> Count((3, 4))._repr_html_()
        '<table><tr><th>negative</th><td>(3, 4)</td></tr></table>'
    """

    def _shown(self) -> dict[str, object]:
        """The rows of the table."""
        said: dict[str, object] = {"": str(self)} if "__str__" in type(self).__dict__ else {}
        own: tuple[Field[Any], ...] = fields(self) if is_dataclass(self) else ()
        for field in own:
            value = getattr(self, field.name)
            value = value.name if isinstance(value, Enum) else value
            if _is_short(value):
                said[field.name] = value
        return said

    def _repr_html_(self) -> str:
        return html_table([(name, str(value)) for name, value in self._shown().items()])


def html_table(rows: Sequence[Sequence[str]], head: Sequence[str] = (), below: str = "") -> str:
    """A table for a notebook, escaped; without a head the first cell of each row names it."""
    names, first = [f"<th>{escape(cell)}</th>" for cell in head], "td" if head else "th"
    lines = ["".join(names)] if head else []
    for name, *cells in rows:
        rest = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        lines.append(f"<{first}>{escape(name)}</{first}>{rest}")
    table = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table>{table}</table>" + (f"<p>{escape(below)}</p>" if below else "")


def _is_short(value: Any) -> bool:
    """A number or a text, or one or two of them."""
    if isinstance(value, tuple) and 0 < len(value) < 3:
        return all(map(_is_short, value)) and not any(isinstance(v, tuple) for v in value)
    return isinstance(value, str | int | float) and value != ""
