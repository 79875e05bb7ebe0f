"""Writes "the answer" into README.md and docs/paper.md from what is kept of trees and counts."""

from __future__ import annotations

import math
import textwrap
from pathlib import Path
from typing import Any

from marked import rewrite
from morse_page import tree_of

from morsescape.page.readable import rounded_down, rounded_up
from morsescape.store import read_json

MORSE = Path("docs/results/morse")
TREE, INDICES = MORSE / "mlp2-digits-0.0001-12.json", MORSE / "index-against-loss.json"
MARK = "answer"


def answer(r: dict[str, Any], counts: list[dict[str, Any]]) -> str:
    """In four sentences, each proved, and what limits them."""
    tree, by_saddles = tree_of(r), tree_of(r, paths=False)
    top, saddles = tree.first_together(r["given"]), by_saddles.first_together(r["given"])
    assert top is not None
    stopped = [row["negative"] for row in counts if row["at"].startswith("trained")]
    values = sorted(m["value"][1] for m in r["minima"][: r["given"]])
    split, join = r["split_at"], top.height[1]
    proved = [p for p in r["passes"] if p["proved"]]
    copies = r.get("copies") or {}
    whole = ""
    if copies.get("joined_at") is not None:
        everywhere = rounded_up(max(copies["joined_at"], join), 6)
        whole = (
            " With all copies under permutations and flips of units, "
            f"{float(copies['copies']):.2g} of each, they lie in one component of M_ε for every "
            f"ε ≥ {everywhere}."
        )
    alone = (
        f"by certified saddles alone from {rounded_up(saddles.height[1], 6)} on"
        if saddles is not None
        else "by certified saddles alone not all of them yet"
    )
    ways_down = f"{min(n[0] for n in stopped)} to {max(n[1] for n in stopped)}"
    share = f"{math.ceil(1000 * (join - values[0]) / values[0]) / 10:g}%"
    said = (
        "Why are solutions connected: because what is taken for minima are saddles, or because low "
        f"passes join true minima? On {r['net']} (tanh, {r['n_params']} parameters) on "
        f"{r['data']}, λ = {r['l2']:g}, first the one, then the other. Where SGD stops nothing is "
        f"critical, and {ways_down} directions lead down, certified ({len(stopped)} networks). "
        f"Going on, {r['given']} of {r['given']} trainings end at minima, different and proved, f "
        f"from {values[0]:.5f} to {values[-1]:.5f}: M_ε is disconnected at an "
        f"ε ≥ {rounded_down(split, 6)}. For every ε ≥ {rounded_up(join, 6)} one component holds "
        f"all {r['given']}, each up to a symmetry ({alone}): a thickening by at most "
        f"{rounded_up(join - split, 2)}, to {share} above the lowest of them.{whole} "
        f"{len(proved)} passes are proved: index exactly 1, and both sides down to minima "
        "([the tree](docs/morse.md)). All of this is one small network with a ridge; without one "
        "f has no minima. Passes that were not found can only lower the numbers from which on all "
        "is joined."
    )
    return "\n" + textwrap.fill(said, 115, break_long_words=False, break_on_hyphens=False) + "\n"


def main() -> None:
    text = answer(read_json(TREE), read_json(INDICES)["counts"])
    rewrite(Path("README.md"), MARK, text)
    rewrite(Path("docs/paper.md"), MARK, text.replace("(docs/", "("))


if __name__ == "__main__":
    main()
