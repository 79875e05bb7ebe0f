"""How the package is built and what was built is run, away from the sources."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def python(*arguments, cwd, path=(), check=True):
    """What Python prints. The paths come first; the sources are not among them."""
    inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    others = [p for p in inherited if p and Path(p).resolve() != ROOT / "src"]
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([*map(str, path), *others])},
        check=check,
        capture_output=True,
        text=True,
    ).stdout


def files(folder):
    """The names of all files below, but for what Python compiled."""
    found = (file.relative_to(folder) for file in folder.rglob("*") if file.is_file())
    return {file.as_posix() for file in found if "__pycache__" not in file.parts}
