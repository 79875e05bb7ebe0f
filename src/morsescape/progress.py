"""How long work tells how far it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

Progress = Callable[[str, int, int], None]  # of a stage: name, done, total
StageProgress = Callable[[int, int], None]  # within one: done, total
# As a public function takes it; its rule makes bars of True, so that the body has a function.
Asked = Progress | Literal[True] | None


def stage(progress: Progress | None, name: str) -> StageProgress | None:
    """The progress of one stage, for what knows nothing of stages."""
    return None if progress is None else lambda done, total: progress(name, done, total)
