"""Landscapes whose critical points are known exactly: to try a method on, and to test it.

Example:
    >>> import morsescape as ms
    >>> from morsescape import zoo
    >>> f = zoo.himmelblau.objective()
    >>> found = [ms.find_critical_point(f, start) for start in zoo.himmelblau.starts(3, seed=0)]
    >>> {zoo.himmelblau.signs_at(point.theta) for point in found}  # (index, nullity)
    {(0, 0)}
    >>> len(zoo.ZOO), zoo.himmelblau.morse
    (25, True)
"""

from morsescape.zoo.landscape import Landscape
from morsescape.zoo.landscapes import (
    ZOO,
    bowl,
    circle,
    deep_chain,
    double_well,
    fold,
    held_monkey,
    himmelblau,
    inflection,
    linear_pair,
    monkey,
    mueller_brown,
    one_unit,
    quadric,
    quartic,
    rayleigh,
    rosenbrock,
    six_hump,
    styblinski,
    three_hump,
    torus,
    two_layers,
    xor,
)
from morsescape.zoo.students import safran_shamir
from morsescape.zoo.valleys import banana, needle, ring, two_wells
from morsescape.zoo.wells import double_wells, plane_trap

__all__ = [
    "ZOO",
    "Landscape",
    "banana",
    "bowl",
    "circle",
    "deep_chain",
    "double_well",
    "double_wells",
    "fold",
    "held_monkey",
    "himmelblau",
    "inflection",
    "linear_pair",
    "monkey",
    "mueller_brown",
    "needle",
    "one_unit",
    "plane_trap",
    "quadric",
    "quartic",
    "rayleigh",
    "ring",
    "rosenbrock",
    "safran_shamir",
    "six_hump",
    "styblinski",
    "three_hump",
    "torus",
    "two_layers",
    "two_wells",
    "xor",
]
