"""What the figures have in common: colours, and bounds as text."""

from __future__ import annotations

import math

# Okabe & Ito: colours that colour-blind readers can tell apart.
VERMILLION, BLUE, GREY, PINK, ORANGE = "#D55E00", "#0072B2", "#999999", "#CC79A7", "#E69F00"


def rounded_up(bound: float) -> str:
    """A bound with two digits, never below the bound itself.

    Example:
        >>> rounded_up(1.01e-11), rounded_up(0.0), rounded_up(9.99)
        ('1.1e-11', '0', '1.0e+01')
    """
    return _rounded(bound, 1)


def rounded_down(bound: float) -> str:
    """A lower bound with two digits, never above the bound itself.

    Example:
        >>> rounded_down(1.09e-11), rounded_down(0.0), rounded_down(1.0)
        ('1.0e-11', '0', '1.0e+00')
    """
    return _rounded(bound, -1)


def _rounded(bound: float, way: int) -> str:
    """With two digits, never less (`way` 1) or never more (-1) than the bound."""
    if bound == 0 or not math.isfinite(bound):
        return f"{bound:g}"
    text = f"{bound:.1e}"
    half = 10.0 ** (math.floor(math.log10(abs(bound))) - 1) / 2  # of a unit of the second digit
    return text if way * (float(text) - bound) >= 0 else f"{bound + way * half:.1e}"
