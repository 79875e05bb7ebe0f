"""Random cases against exact oracles: is anything proved that is not so?

    python benchmarks/campaign.py --cases 20000 [--seed 0] [--family models] [--workers 2]
    python benchmarks/campaign.py --again models:17        # one case, in full
    python benchmarks/campaign.py --break conv             # with a rule damaged on purpose
    python benchmarks/campaign.py --page                   # docs/campaign.md from --out

Every case follows from its family and seed alone. Outcomes are lines of JSON in --out; what is
there is not run again. Exit 1 where something is wrong.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from contextlib import nullcontext
from pathlib import Path

from campaign.breaks import BREAKS, broken
from campaign.runner import FAMILIES, outcomes, run, run_one, tasks_of
from campaign.summary import page, short

DOCS = Path(__file__).parents[1] / "docs"


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=1000, help="in all, shared by the families")
    parser.add_argument("--seed", type=int, default=0, help="the first of each family")
    parser.add_argument("--family", choices=FAMILIES, action="append", help="all, if not given")
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) // 2))
    parser.add_argument("--limit", type=float, default=60.0, help="seconds for a case")
    parser.add_argument("--out", type=Path, default=Path("build/campaign.jsonl"))
    parser.add_argument("--again", metavar="FAMILY:SEED", help="one case, printed")
    parser.add_argument("--break", dest="damage", choices=sorted(BREAKS), help="damage this rule")
    parser.add_argument("--page", action="store_true", help="write docs/campaign.md and stop")
    return parser


def main() -> int:
    asked = arguments().parse_args()
    families = asked.family or FAMILIES
    if asked.again:
        family, seed = asked.again.split(":")
        with broken(asked.damage) if asked.damage else nullcontext():
            outcome = importlib.import_module(f"campaign.{family}").case(int(seed))
        for name, value in outcome.to_json().items():
            print(f"{name}: {value}")
        return int(bool(outcome.wrong))
    if asked.page:
        (DOCS / "campaign.md").write_text(page(outcomes(asked.out)))
        return 0
    tasks = tasks_of(families, asked.cases, asked.seed)
    if asked.damage:
        with broken(asked.damage):
            found = [run_one(*task, asked.limit) for task in tasks]
        print(short(found))
        return int(any(o["wrong"] for o in found))
    run(tasks, asked.out, asked.workers, asked.limit)
    wanted = set(tasks)
    found = [o for o in outcomes(asked.out) if (o["family"], o["seed"]) in wanted]
    print(short(found))
    return int(any(o["wrong"] for o in found))


if __name__ == "__main__":
    sys.exit(main())
