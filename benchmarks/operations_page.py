"""docs/operations.md: what is proved of models with each of torch's layers, activations and losses.

    python benchmarks/operations_page.py [--only NAME] [--out docs/operations.md]

Every cell is measured: a model of a few parameters with that part is built, and its Hessian,
inertia and a critical point are asked for. Half an hour.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from campaign.recipes import ACTIVATIONS, FUNCTIONS, LAYERS, LEFT_OUT, LOSSES, Recipe
from campaign.runner import TookTooLong, within
from torch import nn

import morsescape as ms

LIMIT = 180  # seconds for a cell
PAGE = Path(__file__).parents[1] / "docs" / "operations.md"
HEAD = """\
# What is proved of which operation

Made by `benchmarks/operations_page.py` with torch {torch}: each cell is what a model of a few
parameters with that part got, in float64, with random parameters, six samples and λ = 0.01.

*Hessian*: whether its distance from the true one is bounded. *Inertia*: `proved` where all signs
are, `interval` where some eigenvalue is too near zero. *Critical point*: what `find_critical_point`
came to, by its certificate. An **estimate** says which operation has no error rule; its numbers are
as good as float64 makes them, and nothing is claimed of signs. A part with kinks can have a proved
Hessian, that of the smooth piece at θ; there are no critical points to be certified on it.
"""


@dataclass(frozen=True)
class Row:
    """One part, and the three answers."""

    name: str
    hessian: str
    inertia: str
    critical: str


def objective(recipe: Recipe) -> ms.Objective:
    """The model of a recipe, its parameters drawn anew."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model, loss, data = recipe()
        model = model.double().eval()
        with torch.no_grad():
            for p in model.parameters():
                p.copy_(0.5 * torch.randn(p.shape))
    return ms.Objective(model, loss, data, l2=0.01)


def measured(name: str, recipe: Recipe) -> Row:
    """The row of a part."""
    made: list[ms.Objective] = []
    refusal = _asked(lambda: made.append(objective(recipe)) or "")
    if not made:
        return Row(name, refusal, refusal, refusal)
    f = made[0]
    return Row(
        name,
        _asked(lambda: _hessian(f)),
        _asked(lambda: _inertia(f)),
        _asked(lambda: _critical(f)),
    )


def _asked(question: Callable[[], str]) -> str:
    """The answer, or why there is none."""
    try:
        with within(LIMIT):
            return question()
    except TookTooLong:
        return f"not in {LIMIT} s"
    except ms.MorsescapeError as refusal:
        return f"refused: {_plain(refusal.got)}"
    except Exception as error:
        return f"**error**: {type(error).__name__}: {_plain(error)}"


def _plain(text: Any) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")[:110]


def _hessian(f: ms.Objective) -> str:
    hessian = f.enclosed_hessian(f.theta)
    if not hessian.finite:
        return "not finite"
    return "proved" if hessian.estimate is None else f"estimate: {_short(hessian.estimate)}"


def _short(why: str) -> str:
    """The operation's name, where that is all there is to say."""
    return _plain(why.replace("the operation ", "").replace(" has no error rule", ""))


def _inertia(f: ms.Objective) -> str:
    result = ms.inertia(f)
    names = {"PROVED": "proved", "UNDECIDED": "interval", "NOT_FINITE": "not finite"}
    return names.get(result.status.name) or f"estimate: {_short(result.estimate or '')}"


def _critical(f: ms.Objective) -> str:
    found = ms.find_critical_point(f.at_l2(0.1), max_steps=400)
    status, reason = found.certificate.status.name, _first(found.certificate.reason)
    if status in ("PROVED", "NOT_SMOOTH", "ESTIMATE"):
        word = status.lower().replace("_", " ")
        return f"{word}: {reason}" if reason else word
    return f"{status.lower().replace('_', ' ')} ({found.status.name.lower().replace('_', ' ')})"


def _first(reason: str) -> str:
    """What a certificate lacks: the operation without a rule, where there is one."""
    parts = [p.split("is an estimate: ")[-1] for p in reason.split("; ") if "an estimate: " in p]
    return _short(parts[0] if parts else reason.split("; ")[0])


def section(title: str, recipes: dict[str, Recipe], only: str) -> Iterator[str]:
    yield f"\n## {title}\n\n| | Hessian | inertia | critical point |\n|---|---|---|---|"
    for name, recipe in recipes.items():
        if only in name:
            row = measured(name, recipe)
            line = f"| {name} | {row.hessian} | {row.inertia} | {row.critical} |"
            print(line, flush=True)
            yield line


def unnamed() -> list[str]:
    """Torch's modules that no row measures and that are not left out for a reason."""
    known = " ".join((*LAYERS, *ACTIVATIONS, *LOSSES))
    words = set(known.replace(",", " ").replace("(", " ").split())
    kinds = (getattr(nn, n) for n in dir(nn))
    modules = {k.__name__ for k in kinds if isinstance(k, type) and issubclass(k, nn.Module)}
    return sorted(m for m in modules if m not in words and m not in LEFT_OUT)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="rows whose name has this")
    parser.add_argument("--out", type=Path, default=PAGE)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    tables = (
        ("Layers", LAYERS), ("Activations", ACTIVATIONS), ("Losses", LOSSES),
        ("Functions and forms of models", FUNCTIONS),
    )  # fmt: skip
    lines = [HEAD.format(torch=torch.__version__.split("+")[0])]
    for title, recipes in tables:
        lines += section(title, recipes, asked.only)
    left_out = ", ".join(f"{names} ({why})" for why, names in _left_out().items())
    lines.append(f"\nNot in these tables: {left_out}.")
    if names := unnamed():
        lines.append(f"Not measured: {', '.join(names)}.")
    if not asked.only:
        asked.out.write_text("\n".join(lines) + "\n")


def _left_out() -> dict[str, str]:
    grouped: dict[str, list[str]] = {}
    for name, why in LEFT_OUT.items():
        grouped.setdefault(why, []).append(name)
    return {why: ", ".join(names) for why, names in grouped.items()}


if __name__ == "__main__":
    main()
