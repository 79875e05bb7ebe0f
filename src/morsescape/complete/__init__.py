"""Every critical point in a box, proved to be all (docs/complete.md)."""

from morsescape.complete.all_points import all_critical_points
from morsescape.complete.points import ProvedPoint
from morsescape.complete.result import CriticalSet

__all__ = ["CriticalSet", "ProvedPoint", "all_critical_points"]
