"""Loss landscapes of neural networks via Morse theory, with a certified Hessian inertia."""

from morsescape.critical import (
    CriticalPoint,
    Escape,
    EscapeStatus,
    SearchStatus,
    certify,
    escape,
    find_critical_point,
    third_order_minimum,
)
from morsescape.errors import ArgumentError, DataError, MorsescapeError
from morsescape.hessian.value import Hessian
from morsescape.objective import Objective
from morsescape.spectrum.inertia import Inertia, InertiaStatus, inertia

__version__ = "0.1.0"

__all__ = [
    "ArgumentError",
    "CriticalPoint",
    "DataError",
    "Escape",
    "EscapeStatus",
    "Hessian",
    "Inertia",
    "InertiaStatus",
    "MorsescapeError",
    "Objective",
    "SearchStatus",
    "certify",
    "escape",
    "find_critical_point",
    "inertia",
    "third_order_minimum",
]
