"""What a campaign came to: counts by family and by part, and the page of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import torch

import morsescape

from .breaks import BREAKS

Outcomes = list[dict[str, Any]]
ANSWERS = ("proved", "interval", "estimate", "on a kink", "refused", "not finite")
NAMES = {
    "proved": "decided exactly", "interval": "undecided", "estimate": "estimate",
    "on a kink": "on a kink", "refused": "refused", "not finite": "not finite",
}  # fmt: skip
HEAD = """\
# A standing campaign

`make campaign` draws random cases and compares every answer with an exact oracle;
`benchmarks/campaign.py --page` wrote this page. Five families:

* *models*: random chains of torch's layers, activations and losses, 1 to 64 parameters, 1 to 8
  samples; time-first and siamese ones among them, parameters of size 1e-300 to 1e150, zeros and
  duplicates in the data, and networks that keep torch from differentiating them (`detach`,
  `no_grad`, casts);
* *functions*: random programs of torch's operations on 1 to 5 variables, some with a critical
  point planted;
* *planted*: matrices with known signs, gaps from 1e-6 to 1e-14, graded up to 1e24;
* *searches*: `find_critical_point` on models and functions like these;
* *paths*: heights of random curves, of degree 1 to 3, on models and functions like these.

The oracle carries value, gradient and Hessian of the formula through python-flint's real balls, of
192 bits, up to 3,072 where branches or signs need them. It is written from the definitions of the
layers (`benchmarks/campaign/`) and knows nothing of torch's derivatives. Signs are counted by
Sylvester's law, for planted matrices in rational arithmetic. An eigenvalue that 768 bits do not
tell from zero counts as zero.

A claim is wrong if the Hessian is farther from the true one than its radius, an interval misses the
true count, an eigenvalue is not within its radius, a critical point is not within the distance of a
certificate or has another index, anything is proved exactly on a kink, or f is higher on a curve
than proved, or nowhere as high. Numbers without a proof
(`value`, `gradient`, `hvp`, the Hessian of an estimate) are wrong if they are farther from the
truth than rounding explains. An error other than the package's own is a crash.

`--break` damages one rule of the package on purpose; the tests see the campaign find each of:
{breaks}.
"""


def counted(found: Outcomes) -> dict[str, Counter[str]]:
    """Answers by family."""
    out: dict[str, Counter[str]] = defaultdict(Counter)
    for o in found:
        out[o["family"]][o["answer"]] += 1
    return dict(out)


def kinds(found: Outcomes) -> Counter[str]:
    """Cases with a wrong claim, a wrong number without a claim, a crash: the worst of each case."""
    order = ("claim", "crash", "estimate", "derivative")
    out: Counter[str] = Counter()
    for o in found:
        words = {w.split(":")[0] for w in o["wrong"]}
        if words:
            out[next(k for k in order if k in words)] += 1
    return out


def short(found: Outcomes) -> str:
    """A few lines for a terminal."""
    lines = []
    for family, answers in counted(found).items():
        shares = ", ".join(f"{n} {a}" for a, n in answers.most_common())
        lines.append(f"{family}: {sum(answers.values())} cases: {shares}")
    wrong = kinds(found)
    lines.append(
        f"{wrong['claim']} wrong claims, {wrong['crash']} crashes, {wrong['estimate']} wrong "
        f"estimates, {wrong['derivative']} wrong values or derivatives"
    )
    return "\n".join(lines)


def by_part(found: Outcomes) -> dict[str, Counter[str]]:
    """Answers by layer, activation, loss or operation: every case counts for each of its parts."""
    out: dict[str, Counter[str]] = defaultdict(Counter)
    for o in found:
        for part in o["parts"]:
            out[part][o["answer"]] += 1
            out[part]["wrong"] += bool(o["wrong"])
    return dict(out)


def page(found: Outcomes) -> str:
    return "\n".join(_page(found)) + "\n"


def _page(found: Outcomes) -> Iterator[str]:
    yield HEAD.format(breaks="; ".join(BREAKS))
    yield (
        f"\n## {len(found):,} cases, morsescape {morsescape.__version__}, torch "
        f"{torch.__version__.split('+')[0]}\n"
    )
    yield f"| family | cases | {' | '.join(NAMES.values())} | late |"
    yield "|---|---|" + "---|" * (len(NAMES) + 1)
    for family, answers in counted(found).items():
        total = sum(answers.values())
        shares = " | ".join(f"{answers[a] / total:.1%}" for a in ANSWERS)
        yield f"| {family} | {total:,} | {shares} | {answers['late']} |"
    wrong = kinds(found)
    yield (
        f"\nWrong claims: **{wrong['claim']}**. Crashes: {wrong['crash']}. Estimates far from the "
        f"truth: {wrong['estimate']}. Values or derivatives far from it: {wrong['derivative']}.\n"
    )
    for family in counted(found):
        yield from _table(family, [o for o in found if o["family"] == family])
    yield from _reasons("Why estimates", [o for o in found if o["answer"] == "estimate"])
    yield from _reasons("Why refusals", [o for o in found if o["answer"] == "refused"])


def _table(family: str, found: Outcomes) -> Iterator[str]:
    yield f"\n## By part: {family}\n"
    yield (
        "Every case counts for each of its parts; what makes a case an estimate may be another "
        "part of it.\n"
    )
    yield f"| part | cases | {' | '.join(NAMES.values())} | wrong |"
    yield "|---|---|" + "---|" * (len(NAMES) + 1)
    for part, answers in sorted(by_part(found).items(), key=lambda kv: kv[0].lower()):
        total = sum(n for a, n in answers.items() if a != "wrong")
        shares = " | ".join(f"{answers[a] / total:.0%}" for a in ANSWERS)
        yield f"| {part} | {total:,} | {shares} | {answers['wrong'] or '–'} |"


def _reasons(title: str, found: Outcomes) -> Iterator[str]:
    counts = Counter(reason(o["why"]) for o in found)
    if not counts:
        return
    yield f"\n## {title}\n\n| cases | reason |\n|---|---|"
    for text, n in counts.most_common(40):
        yield f"| {n:,} | {text} |"


def reason(text: str) -> str:
    """A sentence with its numbers and the cure left out, so that like ones are counted together."""
    text = text.split("; cure:")[0].replace("|", "\\|")
    words = ["…" if any(c.isdigit() for c in w) and "." in w else w for w in text.split()]
    return " ".join(words)[:160]
