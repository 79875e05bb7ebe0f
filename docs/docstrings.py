"""Read by mkdocstrings: what docstrings have that Google's style, as Griffe reads it, has not.

"Example:" is a section of doctests, several words of a return value are one value, and a table
between lines of "=" stays as it is written.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

_TABLE = re.compile(r"^(=+ +=+)\n(.*?)\n\1(?=\n|\Z)(?!\n\S)", re.M | re.S)


class Docstrings(griffe.Extension):
    """Rewrites each docstring before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """The same text in the words and marks that are understood."""
        if obj.docstring is not None:
            text = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.M)
            obj.docstring.value = _TABLE.sub(_as_written, text)


def _as_written(table: re.Match[str]) -> str:
    return f"```text\n{table[0]}\n```"
