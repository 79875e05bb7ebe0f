"""Damage done on purpose, one rule of each family: a campaign that does not find it proves nothing.

Each `Break` replaces one thing of the package, from outside, while it is active. The damage is of
the kind that a mistake would do: a rule that forgets the radii of its operands, a bound without one
of its terms, a product that is off in its 13th digit, less than any second opinion notices.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

Damage = Callable[[Any], Any]  # from what is there to what replaces it
OFF = 1 + 1e-13


@dataclass(frozen=True)
class Break:
    """Where: a module and the name of an attribute in it, or TABLE[key]; what becomes of it.

    `family` says which cases can notice; those of functions and models are made to measure, by
    `options` of their `case`.
    """

    module: str
    where: str
    damage: Damage
    family: str
    options: tuple[tuple[str, Any], ...] = ()


def _forgetful(rule: Any) -> Any:
    """As if the operands had no radius."""
    from morsescape.rounding.balls import Ball

    def bare(part: Any) -> Any:
        if isinstance(part, list | tuple):
            return type(part)(bare(p) for p in part)
        return Ball(part.mid) if isinstance(part, Ball) else part

    return lambda run, *args, **kwargs: rule(run, *bare(args), **kwargs)


def _silent(rule: Any) -> Any:
    """Decisions in doubt are not counted."""

    def apply(run: Any, *args: Any, **kwargs: Any) -> Any:
        before = run.kinks
        out = rule(run, *args, **kwargs)
        run.kinks = before
        return out

    return apply


def _certain(rule: Any) -> Any:
    """The result is exact, they say."""
    from morsescape.rounding.balls import Ball

    def apply(*args: Any, **kwargs: Any) -> Any:
        out = rule(*args, **kwargs)
        return Ball(out.mid) if isinstance(out, Ball) else out

    return apply


def _times(factor: Any) -> Damage:
    return lambda function: lambda *args, **kwargs: function(*args, **kwargs) * factor


def _product_off(function: Any) -> Any:
    from morsescape.rounding.double import Double

    def apply(a: Any, b: Any) -> Any:
        out = function(a, b)
        return Double(out.hi * OFF, out.lo, out.rad)

    return apply


def _no_error(function: Any) -> Any:
    return lambda *args, **kwargs: (function(*args, **kwargs)[0], 0.0)


def _less(function: Any) -> Any:
    def apply(*args: Any, **kwargs: Any) -> Any:
        bound = function(*args, **kwargs)
        return None if bound is None else bound * 1e-4

    return apply


def _first_row_untouched(function: Any) -> Any:
    def apply(*args: Any, **kwargs: Any) -> Any:
        out = function(*args, **kwargs)
        untouched = torch.zeros(len(out.matrix), dtype=torch.bool)
        untouched[0] = True
        return replace(out, untouched=untouched)

    return apply


def _straight(rule: Any) -> Any:
    """As if results along a curve did not bend."""
    from morsescape.rounding.jets import Jet

    def apply(*args: Any, **kwargs: Any) -> Any:
        out = rule(*args, **kwargs)
        if isinstance(out, Jet):
            out = Jet(out.value, out.slope, out.slope, None, out.r)
        return out

    return apply


def _of_samples(upper: Any) -> Any:
    return property(lambda piece: piece.value[1])


def _no_index(function: Any) -> Any:
    return lambda *args, **kwargs: replace(function(*args, **kwargs), upper_bound=0)


def _block_off(function: Any) -> Any:
    def apply(matrix: Any, rows: Any, columns: Any, block: Any, **kwargs: Any) -> None:
        function(matrix, rows, columns, block * OFF, **kwargs)

    return apply


_RULES = "morsescape.rounding.operations", "BALL"
_PLAIN = (("plain", True),)
_HALF = "float32 and back"  # brings radii of 1e-8, which a rule may lose
_STEEP = "times 1e+03", "sin"  # makes an error of the value larger than one of its slope


def _rule(name: str, damage: Damage, *first: str) -> Break:
    options = (("first", first), ("critical", False))
    return Break(_RULES[0], f"{_RULES[1]}[{name}]", damage, "functions", options)


def _critical(*first: str) -> tuple[tuple[str, Any], ...]:
    return ("first", first), ("critical", True)


BREAKS = {
    "balls: a cast rounds nothing": _rule("_to_copy", _certain, "tanh", _HALF, "square"),
    "balls: products forget radii": _rule("mul", _forgetful, "tanh", _HALF, "square", "mul"),
    "balls: sums forget radii": _rule("sum", _forgetful, "tanh", _HALF, "sum", *_STEEP),
    "functions: tanh forgets radii": _rule("tanh", _forgetful, _HALF, "tanh", *_STEEP),
    "functions: exp forgets radii": _rule("exp", _forgetful, _HALF, "exp", *_STEEP),
    "moves: indexing forgets radii": _rule("index", _forgetful, "tanh", _HALF, "index", *_STEEP),
    "moves: cat forgets radii": _rule("cat", _forgetful, "tanh", _HALF, "cat", *_STEEP),
    "branches: comparisons are never in doubt": _rule("gt", _silent, "plus and minus", "where"),
    "double-double: products off in the 13th digit": Break(
        "morsescape.rounding.double", "Double.__mul__", _product_off, "models", _PLAIN
    ),
    "arb: products off in the 13th digit": Break(
        "morsescape.rounding.arb", "ARB[mul]", _times(OFF), "functions",
        _critical("tanh", "sin", "square"),
    ),
    "ldl: no backward error": Break(
        "morsescape.spectrum.ldl", "Factor.bound", lambda _: lambda self: 0.0, "planted"
    ),
    "ldl: no error of any row": Break(
        "morsescape.spectrum.ldl", "Factor.spread", lambda _: lambda self, v: 0 * v, "planted"
    ),
    "assembly: the bounds of rows": Break(
        "morsescape.hessian.row_bounds", "RowBounds.spread", _times(1e-4), "models", _PLAIN
    ),
    "eigh: eigenvalues are exact": Break(
        "morsescape.spectrum.counts", "enclosed_eigenvalues", _no_error, "planted"
    ),
    "structure: no index is allowed": Break(
        "morsescape.spectrum.inertia", "structure_of", _no_index, "models", _PLAIN
    ),
    "null causes: the first row is zero": Break(
        "morsescape.hessian.value", "exact_hessian", _first_row_untouched, "models", _PLAIN
    ),
    "assembly: blocks off in the 13th digit": Break(
        "morsescape.hessian.assembly", "add_block", _block_off, "models", _PLAIN
    ),
    "assembly: the norm of the bound": Break(
        "morsescape.hessian.error_bound", "spectral_bound", _times(1e-4), "models", _PLAIN
    ),
    "variation: a ten-thousandth of it": Break(
        "morsescape.critical.certify", "hessian_variation", _less, "functions",
        _critical("sin", "exp", "square"),
    ),
    "jets: products are straight": Break(
        "morsescape.rounding.along", "JET[mul]", _straight, "paths"
    ),
    "heights: samples alone": Break(
        "morsescape.paths.enclosed", "Piece.upper", _of_samples, "paths"
    ),
    "gradient: a ten-thousandth of its error": Break(
        "morsescape.hessian.value", "gradient_error", _less, "functions",
        _critical("sin", "exp", "square"),
    ),
}  # fmt: skip


@contextmanager
def broken(name: str) -> Iterator[Break]:
    """The package with this damage, until the block ends.

    Raises:
        LookupError: what it damages is not there any more: the break has to be written anew.
    """
    it = BREAKS[name]
    owner: Any = importlib.import_module(it.module)
    path, _, key = it.where.rstrip("]").partition("[")
    *outer, last = path.split(".")
    for part in outer:
        owner = getattr(owner, part, None)
    here: Any = getattr(owner, last, None)
    if here is None or (key and key not in here):
        raise LookupError(f"{it.module} has no {it.where}")
    if key:
        owner, last, here = here, key, here[key]
    store: Any = owner.__setitem__ if key else lambda k, v: setattr(owner, k, v)
    store(last, it.damage(here))
    try:
        yield it
    finally:
        store(last, here)


def found(name: str, most: int) -> int | None:
    """The first seed below `most` that is wrong, and is not so without the damage; None if none."""
    it = BREAKS[name]
    case = partial(importlib.import_module(f".{it.family}", __package__).case, **dict(it.options))
    for seed in range(most):
        with broken(name):
            worse = case(seed)
        if _claims(worse) and not _claims(case(seed)):
            return seed
    return None


def _claims(outcome: Any) -> bool:
    return any(w.startswith(("claim", "crash")) for w in outcome.wrong)
