"""Every critical point in a box, proved to be all (docs/complete.md); homology of sublevel sets."""

from morsescape.complete.all_points import all_critical_points
from morsescape.complete.census import CriticalSet
from morsescape.complete.homology import Bar, Barcode, sublevel_homology
from morsescape.complete.points import ProvedPoint

__all__ = [
    "Bar",
    "Barcode",
    "CriticalSet",
    "ProvedPoint",
    "all_critical_points",
    "sublevel_homology",
]
