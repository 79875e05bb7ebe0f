"""Numbers as people read them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence


def interval(ends: Sequence[int]) -> str:
    """An interval of integers, or the one number that it holds.

    Example:
        >>> interval((79, 1083)), interval([4, 4])
        ('[79, 1,083]', '4')
    """
    low, high = ends
    return f"{low:,}" if low == high else f"[{low:,}, {high:,}]"


def number(value: float | int | None, form: str) -> str:
    """The number in this format, a dash for None."""
    return "–" if value is None else format(value, form)


def spread(value: tuple[float, float | None] | None) -> str:
    """Mean ± standard deviation; the mean alone of a single run.

    Example:
        >>> spread((232.9, 2.88)), spread((4.0, None))
        ('232.9 ± 2.9', '4')
    """
    if value is None:
        return "–"
    average, sd = value
    return f"{average:,.6g}" if sd is None else f"{average:,.1f} ± {sd:,.1f}"


def sum_of_causes(causes: Mapping[str, int]) -> str:
    """The causes of null directions as a sum.

    Example:
        >>> sum_of_causes({"dead inputs": 670, "softmax shift": 11})
        '670 dead inputs + 11 softmax shift'
    """
    return " + ".join(f"{count:,} {cause}" for cause, count in causes.items()) or "nothing"


def listed(names: Sequence[str]) -> str:
    """With commas, and "and" before the last."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def duration(seconds: float) -> str:
    """A time in the unit that a person would use.

    Example:
        >>> duration(41.7), duration(750.0), duration(9000.0)
        ('42 s', '12.5 min', '2.5 h')
    """
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def rounded_up(bound: float, digits: int = 2) -> str:
    """A bound with two digits or so many, never below the bound itself.

    Example:
        >>> rounded_up(1.01e-11), rounded_up(0.0), rounded_up(9.99), rounded_up(0.123456, 4)
        ('1.1e-11', '0', '1.0e+01', '0.1235')
    """
    return _rounded(bound, 1, digits)


def rounded_down(bound: float, digits: int = 2) -> str:
    """A lower bound with two digits or so many, never above the bound itself.

    Example:
        >>> rounded_down(1.09e-11), rounded_down(0.0), rounded_down(1.0)
        ('1.0e-11', '0', '1.0e+00')
    """
    return _rounded(bound, -1, digits)


def _rounded(bound: float, way: int, digits: int) -> str:
    """Never less (`way` 1) or never more (-1) than the bound; two digits always with exponent."""
    if bound == 0 or not math.isfinite(bound):
        return f"{bound:g}"

    def written(x: float) -> str:
        return f"{x:.1e}" if digits == 2 else f"{x:.{digits}g}"

    text = written(bound)
    # Half a unit of the last digit.
    half = 10.0 ** (math.floor(math.log10(abs(bound))) - digits + 1) / 2
    return text if way * (float(text) - bound) >= 0 else written(bound + way * half)
