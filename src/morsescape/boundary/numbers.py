"""Rules for numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from torch import Tensor

from morsescape.boundary.checked import Argument, Rule

LARGEST_SEED = 2**53  # every reader of JSON keeps an integer up to here
_NO_NUMBERS = (bool, str, bytes, np.ndarray, Tensor)  # of which some can be made floats
_LARGEST_COUNT = 2**63 - 1
Real = float | int


def a_number(
    *, least: Real = -math.inf, above: Real = -math.inf, most: Real = math.inf, words: str = ""
) -> Rule:
    """A finite number as a float: `least` ≤ it ≤ `most`, `above` < it; no bool and no string.

    Args:
        least: not below it.
        above: not at it or below.
        most: not above it.
        words: what is expected, where the range does not say it well.
    """
    expected = words or _range(least, above, most)

    def rule(argument: Argument) -> float:
        value = single(argument.value)
        try:
            real = None if isinstance(value, _NO_NUMBERS) else float(value)
        except (TypeError, ValueError, OverflowError):  # the last: an integer beyond all floats
            real = None
        if real is None or not (math.isfinite(real) and least <= real <= most and above < real):
            raise argument.refused(expected)
        return real

    return rule


def _range(least: Real, above: Real, most: Real) -> str:
    if above > -math.inf:
        return "a positive number" if above == 0 else f"a finite number above {above:g}"
    if most < math.inf:
        return f"{least:g} to {most:g}"
    return "a finite number" if least == -math.inf else f"a finite number, {least:g} or more"


def a_count(least: int = 0, *, most: int = _LARGEST_COUNT, words: str = "") -> Rule:
    """An integer from `least` to `most`; no bool, no float and no string."""
    expected = words or f"{least} or more"
    whole = an_integer(f"{expected}, an integer")

    def rule(argument: Argument) -> int:
        value = whole(argument)
        if value < least:
            raise argument.refused(expected)
        if value > most:
            raise argument.refused(f"{expected}, and at most {most:,}")
        return value

    return rule


def an_integer(expected: str = "an integer") -> Rule:
    """An integer of any size; the body says which."""

    def rule(argument: Argument) -> int:
        value = single(argument.value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise argument.refused(expected)
        return value

    return rule


def a_seed() -> Rule:
    """A seed, from 0 to 2⁵³."""
    return a_count(0, most=LARGEST_SEED)


def a_boolean() -> Rule:
    """True or False, and nothing that only counts as one of them."""

    def rule(argument: Argument) -> bool:
        value = single(argument.value)
        if not isinstance(value, bool):
            raise argument.refused("True or False")
        return value

    return rule


def single(value: Any) -> Any:
    """A number out of NumPy's or torch's wrapping, of one element without dimensions."""
    if isinstance(value, np.generic | np.ndarray | Tensor) and value.ndim == 0:
        try:
            return value.item()
        except (RuntimeError, NotImplementedError):  # on the meta device there is no value
            return value
    return value
