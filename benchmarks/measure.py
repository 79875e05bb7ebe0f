"""What the benchmarks share: clocks, the rate of matrix products, the machine, kept results."""

from __future__ import annotations

import argparse
import platform
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from morsescape.data import Dataset, load
from morsescape.store import read_json, write_json_atomic


def clock(function: Callable[[], Any], repeats: int = 1) -> list[float]:
    """Seconds of each call."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return seconds


def product_rate(n: int = 2048, repeats: int = 7) -> float:
    """Flops per second of a float64 matrix product: the best of a few."""
    a = torch.randn(n, n, dtype=torch.float64)
    b, c = a.clone(), a.clone()
    torch.mm(a, b, out=c)
    return 2 * n**3 / min(clock(lambda: torch.mm(a, b, out=c), repeats))


def peak_memory() -> int:
    """Bytes that this process had in memory at most, so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def resident() -> int:
    """Bytes that this process has in memory now (Linux; elsewhere its peak so far)."""
    file = Path("/proc/self/statm")
    return 4096 * int(file.read_text().split()[1]) if file.exists() else peak_memory()


def machine() -> dict[str, Any]:
    """What it ran on."""
    import morsescape

    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    model = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), "")
    return {
        "processor": model or platform.processor(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "morsescape": morsescape.__version__,
        "day": time.strftime("%Y-%m-%d"),
    }


def arguments(doc: str | None) -> argparse.ArgumentParser:
    """The options that all benchmarks have."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("build/bench"), help="folder of results")
    parser.add_argument("--root", default=None, help="folder of MNIST in torchvision's layout")
    return parser


def mnist(root: str | None, samples: int | None = None) -> Dataset:
    """The first so many training images."""
    return load("mnist", root=root, samples=samples)


def kept(path: Path, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The result in `path`; measured and written if it is not there."""
    if path.exists():
        return read_json(path)
    result = measure() | {"machine": machine()}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json_atomic(path, result)
    return result
