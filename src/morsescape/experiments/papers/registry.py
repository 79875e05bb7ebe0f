"""All tables of other papers that `reproduce --paper` measures again."""

from __future__ import annotations

from morsescape.experiments.papers import barriers, students

TABLES = {table.name: table for table in (barriers.TABLE, students.TABLE)}
