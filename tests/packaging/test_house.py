"""How the sources are laid out: the house rules of CONTRIBUTING.md that can be counted."""

import ast
import re
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "morsescape"
FILES = sorted(SOURCE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text()) for path in FILES}
FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef


def module_of(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in FILES}


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def imported(nodes: list[ast.stmt], *, later: bool) -> set[str]:
    """Modules of the package that the statements import, those within functions only if `later`."""
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("morsescape"):
            names = {f"{node.module}.{a.name}" for a in node.names}
            found |= {name if name in MODULES else str(node.module) for name in names}
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        elif not isinstance(node, FUNCTIONS) or later:
            for field in ("body", "orelse", "handlers", "finalbody"):
                found |= imported(getattr(node, field, []), later=later)
    return found


def graph(*, later: bool) -> dict[str, set[str]]:
    return {m: imported(TREES[path].body, later=later) - {m} for m, path in MODULES.items()}


def ranks() -> dict[str, int]:
    """By room, its place in the chain of CONTRIBUTING.md, counted from below."""
    rules = (ROOT / "CONTRIBUTING.md").read_text()
    chain = rules.partition("- Imports point one way: ")[2].partition(".\n")[0].partition(". ")[0]
    steps = [re.findall(r"`(\w+)`", step) for step in chain.split("→")]
    return {name: -k for k, step in enumerate(steps) for name in step}


@pytest.mark.parametrize("later", [False, True])
def test_imports_point_one_way(later: bool) -> None:
    rank = ranks()
    assert {room(m) for m in MODULES} - rank.keys() <= {"", "__main__"}
    arrows = {(room(m), room(d)) for m, found in graph(later=later).items() for d in found}
    upward = {
        (a, b) for a, b in arrows if a != b and a in rank and b in rank and rank[a] <= rank[b]
    }
    if later:  # what is drawn, or shown in a terminal, is imported when it is
        upward = {(a, b) for a, b in upward if b not in ("figures", "bars")}
    assert upward == set()


def test_no_module_imports_itself_by_others() -> None:
    list(TopologicalSorter(graph(later=False)).static_order())  # raises CycleError


def test_a_file_name_stands_in_one_room() -> None:
    of_studies = {"study.py", "words.py", "figure.py", "command.py", "__init__.py"}
    names = Counter(path.name for path in FILES if path.name not in of_studies)
    assert {name for name, times in names.items() if times > 1} == set()


def test_files_stay_below_400_lines_and_functions_fit_on_a_screen() -> None:
    assert [str(path) for path in FILES if path.read_text().count("\n") >= 400] == []
    long = [
        f"{path.name}: {node.name}"
        for path, tree in TREES.items() for node in ast.walk(tree) if isinstance(node, FUNCTIONS)
        if _lines(node) > 60
    ]  # fmt: skip
    assert long == []


def _lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Of its body, without its docstring."""
    said = ast.get_docstring(function) is not None
    body = function.body[1:] if said else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0
