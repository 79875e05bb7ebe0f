"""Writes docs/saddles.md from docs/results/saddles/*.json, which benchmarks/saddle_peers.py wrote."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import median
from typing import Any

from morsescape.store.json_values import read_json

METHODS = {
    "find_saddle": "`ms.find_saddle`",
    "dimer": "ASE, dimer",
    "sella": "Sella",
    "sella-exact": "Sella, exact Hessian",
}
SAME_SADDLE = 1e-5
Z = 1.959963984540054  # of a normal distribution, 95 %


def wilson(good: int, count: int) -> tuple[float, float]:
    """A 95 % interval for a share (Wilson, J. Amer. Statist. Assoc. 22 (1927))."""
    if count == 0:
        return 0.0, 1.0
    p, n = good / count, count
    middle = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def distinct(runs: list[dict[str, Any]]) -> int:
    """End points that are farther than 10⁻⁵ apart."""
    kept: list[list[float]] = []
    for run in runs:
        if all(math.dist(run["theta"], other) > SAME_SADDLE for other in kept):
            kept.append(run["theta"])
    return len(kept)


def share(runs: list[dict[str, Any]]) -> str:
    good = sum(r["proved"] for r in runs)
    low, high = wilson(good, len(runs))
    return f"{good}/{len(runs)} | {100 * low:.0f}–{100 * high:.0f} %"


def row(what: str, dim: int | str, method: str, runs: list[dict[str, Any]]) -> str:
    good = [r for r in runs if r["proved"]]
    cost = f"{median(r['cost'] for r in good):.0f}" if good else "–"
    seconds = f"{1000 * median(r['seconds'] for r in good):.0f}" if good else "–"
    whole = sum(r["cost"] for r in runs) / len(good) if good else math.inf
    each = f"{whole:.0f}" if good else "–"
    return (
        f"| {what} | {dim} | {METHODS[method]} | {share(runs)} | {cost} | {each} | {seconds} | "
        f"{distinct(good)} |"
    )


HEAD = (
    "| f | D | method | proved | 95 % | gradients | spent for each | ms | distinct |\n"
    "|---|---|---|---|---|---|---|---|---|\n"
)


def write_page(results: Path, page: Path, names: list[str]) -> None:
    pass


def total(results: list[dict[str, Any]], start: int) -> str:
    """All landscapes; the starts near minima (start 0), or those of the box (start 1)."""
    rows = []
    for method in METHODS:
        runs = [r for x in results for r in x["methods"].get(method, [])[start::2]]
        if not runs:
            continue
        good = [r for r in runs if r["proved"]]
        spent = sum(r["cost"] for r in runs) / max(len(good), 1)
        seconds = sum(r["seconds"] for r in runs) / max(len(good), 1)
        rows.append(f"| {METHODS[method]} | {share(runs)} | {spent:.0f} | {1000 * seconds:.0f} |")
    return (
        "| method | proved | 95 % | gradients for each | ms for each |\n|---|---|---|---|---|\n"
        + "\n".join(rows)
        + "\n"
    )
