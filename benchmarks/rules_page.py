"""docs/rules.md: which operation of torch is of which kind, and which number system has its rule.

    python benchmarks/rules_page.py

Read off the table of operations itself; nothing is measured.
"""

from __future__ import annotations

from pathlib import Path

import torch

from morsescape.rounding import double_machine, enclose, written_out  # noqa: F401  register their rules
from morsescape.rounding.decompositions import compound
from morsescape.rounding.formulas import WRITTEN_OUT
from morsescape.rounding.operations import COLUMNS, OPERATIONS, Kind, Operation

try:
    from morsescape.rounding import arb  # noqa: F401  as above
except ImportError as missing:  # python-flint is optional
    raise SystemExit("python-flint is not installed: the column of Arb would be empty") from missing

PAGE = Path(__file__).parents[1] / "docs" / "rules.md"
HEAD = """\
# Rules

Made by `benchmarks/rules_page.py` from the table of operations (`rounding/operations.py`,
`rounding/functions.py`). A program recorded of a model or a function consists of these operations,
named as torch's `aten` names them.

*Kinks*: not twice differentiable everywhere. *Balls*: the rounding of its result is bounded, and so
is a Hessian made of such operations; without, the radius is an estimate. *Twice*: it is carried out
in twice the precision, so that the bound is one rounding wide; without, the bound is wider. *Arb*:
`krawczyk` takes it. A rule may refuse some arguments: then the operation is named, and nothing is
claimed.
"""
ORDER = [kind for kind in Kind if kind is not Kind.OTHER] + [Kind.OTHER]


def row(entry: Operation) -> str:
    """One operation."""
    marks = (entry.kinks, *(entry.name in column for column in COLUMNS.values()))
    return f"| `{entry.name}` | " + " | ".join("yes" if mark else "" for mark in marks) + " |"


def page() -> str:
    """The whole page."""
    lines, written = [HEAD], compound()
    for kind in ORDER:
        entries = [e for e in OPERATIONS.values() if e.kind is kind and e.name not in written]
        if entries:
            lines.append(f"\n## {kind.value.capitalize()}\n")
            lines.append("| | kinks | balls | twice | Arb |\n|---|---|---|---|---|")
            lines += [row(e) for e in sorted(entries, key=lambda e: e.name)]
    own = sorted({name_of(function) for function in WRITTEN_OUT})
    lines.append("\n## Written out by others before rules apply\n")
    lines.append("Operations: " + ", ".join(f"`{name}`" for name in sorted(written)) + ".\n")
    lines.append("Calls from Python: " + ", ".join(f"`{name}`" for name in own) + ".")
    return "\n".join(lines) + "\n"


def name_of(function: object) -> str:
    """As a person calls it."""
    return torch.overrides.resolve_name(function) or getattr(function, "__name__", str(function))


if __name__ == "__main__":
    PAGE.write_text(page())
