"""How much memory is free, as far as the system says."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path


def free_memory() -> float:
    """In GiB; infinite where the system does not say."""
    free = float("inf")
    with contextlib.suppress(OSError):
        found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
        free = int(found[1]) / 2**20 if found else free
    with contextlib.suppress(OSError, ValueError):  # "max" is no number
        free = min(free, int(Path("/sys/fs/cgroup/memory.max").read_text()) / 2**30)
    return free
